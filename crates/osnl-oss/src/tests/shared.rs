//! The rows of a shared journal: messages that are told of against them mean the same as in a process that remembers everything.

use std::collections::BTreeMap;

use osnl_core::observe::Observe as _;
use osnl_core::recall::{ReadRows, RecallReport, Recaller, message_of_row};
use osnl_core::received::ReceivedMessage;
use osnl_model::Notification;

use super::super::*;

/// Rows follow from each other a few times.
const READINGS: usize = 8;

fn watched() -> WatchedActions {
    let mut watched = WatchedActions::default();
    watched.add("a".into(), Lists::default());
    watched
}

/// The meaning of a message, and the keys of its deliveries.
type MessageMeaning = (Option<String>, Vec<(Option<u32>, String)>);

/// A process with its rows, and the rows of a shared journal.
pub(super) struct Both {
    process: Watcher,
    kept: BTreeMap<String, String>,
    recaller: Recaller,
    shared: BTreeMap<String, String>,
}

impl Both {
    pub(super) fn new() -> Self {
        let recaller = Watcher::of_shared_journal(watched()).recaller().unwrap();
        let process = Watcher::new(watched(), Vec::new());
        Self { process, kept: BTreeMap::new(), recaller, shared: BTreeMap::new() }
    }

    /// Tells both of these messages, which come in one group, and then that the APIs have answered about the last one.
    pub(super) fn hear(&mut self, bodies: &[String], learns: bool) {
        let one_by_one = bodies.iter().map(|body| {
            let received = ReceivedMessage::sample(body.clone(), false);
            let (noted, keys) = self.process.note(&received, &received.decode().unwrap());
            keep(&mut self.kept, noted.changes);
            (noted.happened.map(|happened| happened.to_string()), keys)
        });
        let expected: Vec<MessageMeaning> = one_by_one.collect();
        let happened: Vec<Occurrence> = expected
            .iter()
            .flat_map(|(happened, _)| serde_json::from_str::<Vec<_>>(happened.as_deref().unwrap()).unwrap())
            .collect();
        let answer = happened.last().filter(|_| learns).cloned().map(|mut happened| {
            happened.instance.memory_mb = Some(512);
            let nics = vec![Nic { address: "10.9.9.9".into(), ..Nic::default() }];
            Complete { happened, nics, asked: true }
        });
        keep(&mut self.kept, self.process.learn(answer.iter()).changes);
        let facts = recalling::facts(answer.iter());
        assert_eq!(self.recalled(bodies, &facts), expected);
        let resources = |(name, _): &(&String, &String)| message_of_row(name).is_none();
        let shared: BTreeMap<_, _> = self.shared.iter().filter(resources).collect();
        assert_eq!(shared, self.kept.iter().collect());
    }

    fn recalled(&mut self, bodies: &[String], facts: &str) -> Vec<MessageMeaning> {
        let messages: Vec<Notification> =
            bodies.iter().map(|body| Notification::decode(body.as_bytes()).unwrap()).collect();
        let payload = |body: &String| ReceivedMessage::sample(body.clone(), false).payload_text();
        let told = messages.iter().zip(bodies).map(|(n, body)| RecallReport::Message(n, payload(body)));
        let reports: Vec<_> = told.chain([RecallReport::Facts(facts)]).collect();
        let mut rows = ReadRows::new();
        for _ in 0..READINGS {
            match self.recaller.0.recall(&reports, &rows) {
                Ok(mut recalled) => {
                    assert!(recalled.changes.iter().all(|change| rows.contains_key(&change.name)));
                    keep(&mut self.shared, recalled.changes);
                    recalled.meanings.truncate(bodies.len());
                    let meaning = recalled.meanings.into_iter();
                    return meaning.map(|one| (one.happened.map(|it| it.to_string()), one.keys)).collect();
                }
                Err(unread) => {
                    assert!(unread.iter().all(|name| !rows.contains_key(name)), "{unread:?}");
                    rows.extend(
                        unread.into_iter().map(|name| (name.clone(), self.shared.get(&name).cloned())),
                    );
                }
            }
        }
        panic!("{READINGS} readings are not enough for {bodies:?}");
    }
}

fn keep(rows: &mut BTreeMap<String, String>, changes: Vec<RowChange>) {
    for RowChange { name, row } in changes {
        match row {
            Some(row) => rows.insert(name, row),
            None => rows.remove(&name),
        };
    }
}
