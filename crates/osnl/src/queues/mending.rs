//! The changes that `osnl queues --apply` makes: bindings of osnl's own queues, and its own empty queues.
//!
//! A former binding is removed, and a left queue deleted, only if the management API shows that no message needs either: an
//! exchange may pass on the messages of another, and others may have bound the queue, which AMQP does not show.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_transport::{Binding, QueueInspection, QueueSeen, RabbitTransport, TransportError};
use tokio::time::timeout;

use super::{Survey, Wanted};
use crate::listener::{Bindings, ReadQueue, UnreadQueue};
use crate::native::{JournalConf, ListenerConf, Native};

/// The changes to queues and bindings that `osnl queues --apply` makes.
#[derive(Clone, Debug)]
pub struct QueueChanges {
    pub listener: Arc<str>,
    pub bind: Vec<Binding>,
    /// Bindings of which the broker does not show whether they are there. Making one again changes nothing.
    pub bind_again: Vec<Binding>,
    pub unbind: Vec<Binding>,
    pub delete: Vec<(String, Vec<Binding>)>,
    /// Former bindings and left queues that stay, because they may carry messages.
    pub kept: Vec<String>,
}

impl Native {
    fn record(&self) -> Bindings {
        let journal = match &self.journal {
            JournalConf::Memory => "memory://".to_owned(),
            JournalConf::Sqlite(options) => options.path.display().to_string(),
        };
        let record = Bindings::open(self.state_folder().as_deref(), journal);
        record.want(self.listeners.iter().flat_map(ListenerConf::read_queues).collect());
        record
    }

    #[must_use]
    pub fn has_received(&self, conf: &ListenerConf) -> bool {
        let record = self.record();
        conf.read_queues().iter().any(|queue| record.has_received(&queue.own))
    }

    /// Returns the queues that no listener reads any more, with their content where a listener's broker has them.
    pub async fn left_queues(&self, limit: Duration) -> Vec<UnreadQueue> {
        let mut left = self.record().left();
        for conf in &self.listeners {
            let Some(here) = conf.read_queues().into_iter().next() else { continue };
            let names: Vec<String> = left
                .iter()
                .filter(|one| one.seen.is_none() && one.queue.is_beside(&here.own))
                .map(|one| one.queue.queue.clone())
                .collect();
            if names.is_empty() {
                continue;
            }
            let Ok(transport) = RabbitTransport::new(conf.transport_url.clone(), conf.rabbit.clone()) else {
                continue;
            };
            // Each host may take its time before the first queue is looked at.
            let inspecting = transport.inspect(&[], &names, None, limit.mul_f64(0.5));
            let Ok(inspection) = timeout(limit, inspecting).await else { continue };
            let of_names =
                |wanted| Wanted { queues: names, exchanges: Vec::new(), dead_letters: Vec::new(), ..wanted };
            let Some(wanted) = conf.wanted().map(of_names) else { continue };
            let facts = wanted.facts(&inspection, limit).await;
            let made = |name: &str| match &facts {
                Ok(facts) => facts.bindings.get(name).map(Vec::as_slice).ok_or("the management API has none"),
                Err(unknown) => Err(unknown.reason()),
            };
            for (name, found) in &inspection.queues {
                let is_it = |one: &UnreadQueue| one.queue.queue == *name && one.queue.is_beside(&here.own);
                match found {
                    QueueInspection::Missing => left.retain(|one| !is_it(one)),
                    QueueInspection::Refused(_) => {}
                    QueueInspection::There { waiting, consumers, .. } => {
                        let seen = QueueSeen { messages: *waiting, consumers: *consumers };
                        for one in left.iter_mut().filter(|one| is_it(one)) {
                            one.seen = Some((seen, SystemTime::now()));
                            one.found(made(name));
                        }
                    }
                }
            }
        }
        left
    }

    #[must_use]
    pub fn queue_changes(&self, surveys: &[Survey], left: &[UnreadQueue]) -> Vec<QueueChanges> {
        let record = self.record();
        let mut planned: Vec<QueueChanges> = Vec::new();
        let mut deleted: Vec<&UnreadQueue> = Vec::new();
        for conf in &self.listeners {
            let queues = conf.read_queues();
            let Some(here) = queues.first() else { continue };
            let of: Vec<&Survey> = surveys
                .iter()
                .filter(|one| one.wanted.listener == conf.name && one.wanted.shards().is_none())
                .collect();
            if of.is_empty() {
                continue;
            }
            let spent: Vec<&UnreadQueue> = left
                .iter()
                .filter(|one| one.queue.is_beside(&here.own) && one.is_spent())
                .filter(|one| !deleted.iter().any(|other| other.queue.is_same(&one.queue)))
                .collect();
            deleted.extend(&spent);
            let mut changes = QueueChanges {
                listener: conf.name.clone(),
                bind: of.iter().flat_map(|survey| survey.unbound()).collect(),
                bind_again: of.iter().flat_map(|survey| survey.unseen()).collect(),
                unbind: Vec::new(),
                delete: Vec::new(),
                kept: Vec::new(),
            };
            for queue in &queues {
                for former in record.superfluous(&queue.own) {
                    match self.needs(queue, &former, &of) {
                        Some(why) => changes.kept.push(format!("{}: {why}", binding("kept", &former))),
                        None => changes.unbind.push(former),
                    }
                }
            }
            for one in spent {
                let name = &one.queue.queue;
                match (&one.others, one.name_others()) {
                    (Ok(_), None) => changes.delete.push((name.clone(), one.bindings.clone())),
                    (_, Some(others)) => changes.kept.push(format!("kept queue {name}: {others}")),
                    (Err(reason), None) => changes.kept.push(format!(
                        "kept queue {name}: whether others have bound it is not known ({reason}); to delete it: {}",
                        one.queue.delete_command()
                    )),
                }
            }
            planned.push(changes);
        }
        planned
    }

    /// Returns why a former binding of osnl is to stay, for all listeners of its queue.
    fn needs(&self, queue: &ReadQueue, former: &Binding, surveys: &[&Survey]) -> Option<String> {
        let queues = self.listeners.iter().flat_map(ListenerConf::read_queues);
        let readers = queues.filter(|one| one.own.is_same(&queue.own));
        let wanted: Vec<Binding> = readers.flat_map(|one| one.bindings).collect();
        surveys.iter().find_map(|survey| survey.needs(former, &wanted))
    }

    /// Makes the changes at the listener's broker; returns the queues that are kept, because they are not empty or
    /// unused any more.
    ///
    /// # Errors
    /// The broker refuses a change; earlier changes are made.
    pub async fn change_queues(&self, changes: &QueueChanges) -> Result<Vec<String>, TransportError> {
        let Some(conf) = self.listeners.iter().find(|conf| conf.name == changes.listener) else {
            return Ok(Vec::new());
        };
        let transport = RabbitTransport::new(conf.transport_url.clone(), conf.rabbit.clone())?;
        let bind = [&changes.bind[..], &changes.bind_again[..]].concat();
        transport.mend(&bind, &changes.unbind, &changes.delete).await
    }
}

fn binding(verb: &str, Binding { queue, exchange, routing_key }: &Binding) -> String {
    format!("{verb} queue {queue} with {routing_key} of exchange {exchange}")
}

impl QueueChanges {
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let bind = self.bind.iter().map(|one| binding("bind", one));
        let again = self.bind_again.iter().map(|one| format!("{}, unless it is", binding("bind", one)));
        let unbind = self.unbind.iter().map(|one| binding("unbind", one));
        let delete = self
            .delete
            .iter()
            .map(|(name, _)| format!("delete queue {name}, if it is still empty and unused"));
        bind.chain(again).chain(unbind).chain(delete).collect()
    }
}

#[cfg(test)]
mod tests {
    use osnl_transport::{ExchangeFound, ExchangeInspection};
    use serde_json::json;

    use super::*;
    use crate::management::{BrokerFacts, UnknownFact};
    use crate::native::{Sources, load_texts};
    use crate::queues::{QueueRow, QueueState};

    const INFO: &str = "notifications.info";
    const USUAL: &str = "exchange = nova\npool = osnl\npriorities = info";

    type Keys = &'static [(&'static str, &'static str)];

    /// The bindings of the queue `osnl`, those of the left queue `old`, and the exchanges that pass messages on.
    type Shown = (Keys, Keys, &'static [(&'static str, Keys)]);

    fn owned(keys: Keys) -> Vec<(String, String)> {
        keys.iter().map(|(exchange, key)| ((*exchange).to_owned(), (*key).to_owned())).collect()
    }

    /// osnl has bound the queue `osnl` to `fan` and `nova`, and the queue `old` to `nova`.
    fn planned(options: &str, shown: Option<Shown>) -> (Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let made = |queue: &str, exchanges: &[&str]| {
            let bindings: Vec<_> = exchanges.iter().map(|exchange| [exchange, INFO]).collect();
            json!({"hosts": ["mq1:5672"], "vhost": "/", "queue": queue, "declared": true, "bindings": bindings})
        };
        let record = json!({"format": 1, "queues": [made("osnl", &["fan", "nova"]), made("old", &["nova"])]});
        std::fs::write(folder.path().join("bindings.json"), record.to_string()).unwrap();
        let text = format!(
            "[DEFAULT]\nstate_dir = {}\n[journal]\nconnection = memory://\n[listener:l]\n\
             transport_url = rabbit://u:p@mq1/\n{options}\n[rule:r]\nactions = a\n[action:a]\ndriver = dump\n",
            folder.path().display()
        );
        let native = load_texts(&[("f".to_owned(), text)], &Sources::default()).unwrap().conf;
        let facts = shown.map(|(own, old, feeders)| BrokerFacts {
            bindings: [("osnl", own), ("old", old)]
                .map(|(queue, keys)| (queue.to_owned(), owned(keys)))
                .into(),
            feeders: feeders.iter().map(|(exchange, keys)| ((*exchange).to_owned(), owned(keys))).collect(),
            ..BrokerFacts::default()
        });
        let mut left = native.record().left();
        for one in &mut left {
            one.seen = Some((QueueSeen { messages: 0, consumers: 0 }, SystemTime::now()));
            let made = facts.as_ref().and_then(|facts| facts.bindings.get("old")).map(Vec::as_slice);
            one.found(made.ok_or("management_url is not set"));
        }
        let nova = ("nova".to_owned(), ExchangeInspection::There(ExchangeFound::default()));
        let row = QueueRow { state: QueueState::There, ..QueueRow::missing("osnl", true) };
        let facts = facts.ok_or_else(|| UnknownFact::not_asked("l"));
        let survey = native.listeners[0].wanted().unwrap().survey_depths(vec![nova], vec![row], facts);
        let changes = native.queue_changes(&[survey], &left).pop().unwrap();
        (changes.lines(), changes.kept)
    }

    #[test]
    fn only_a_binding_and_a_queue_that_carry_nothing_are_removed() {
        const DELETE: &str = "delete queue old, if it is still empty and unused";
        const UNBIND: &str = "unbind queue osnl with notifications.info of exchange fan";
        const BIND: &str = "bind queue osnl with notifications.info of exchange nova";
        const BOTH: Keys = &[("fan", INFO), ("nova", INFO)];
        const FAN: Keys = &[("fan", INFO)];
        const OLD: Keys = &[("nova", INFO)];
        let check = |shown: Option<Shown>, options: &str, lines: &[&str], kept: &[&str]| {
            let (planned, left) = planned(options, shown);
            assert_eq!(planned, lines, "{shown:?} {options}");
            let is_said =
                left.len() == kept.len() && left.iter().zip(kept).all(|(one, words)| one.contains(words));
            assert!(is_said, "{shown:?} {options}: {left:?}");
        };
        check(Some((BOTH, OLD, &[("fan", &[])])), USUAL, &[UNBIND, DELETE], &[]);
        check(Some((FAN, OLD, &[("fan", &[])])), USUAL, &[BIND, UNBIND, DELETE], &[]);
        check(Some((FAN, OLD, &[("fan", &[("nova", "audit.info")])])), USUAL, &[BIND, UNBIND, DELETE], &[]);
        let passes = "exchange nova passes messages on to exchange fan";
        check(Some((BOTH, OLD, &[("fan", &[("nova", "#")])])), USUAL, &[DELETE], &[passes]);
        let long: Shown =
            (BOTH, OLD, &[("fan", &[("middle", "")]), ("middle", &[("nova", INFO), ("fan", "")])]);
        check(Some(long), USUAL, &[DELETE], &[passes]);
        let unknown = "which exchanges pass messages on to exchange fan is not known";
        check(Some((BOTH, OLD, &[("fan", &[("middle", "")])])), USUAL, &[DELETE], &[unknown]);
        let way = "messages of exchange nova may come by fan";
        check(Some((FAN, OLD, &[("fan", &[("nova", INFO)])])), USUAL, &[DELETE], &[way]);
        check(Some((FAN, OLD, &[])), USUAL, &[DELETE], &[way]);
        let others = "kept queue old: others have bound it with \"\" of fan";
        check(Some((OLD, &[("nova", INFO), ("fan", "")], &[])), USUAL, &[UNBIND], &[others]);
        let unset = "is not known (management_url is not set)";
        let again = "bind queue osnl with notifications.info of exchange nova, unless it is";
        check(None, USUAL, &[again], &["management_url", unset]);
        check(Some((BOTH, OLD, &[("fan", &[])])), "queue = osnl", &[DELETE], &[]);
    }
}
