//! The bindings that osnl has made for its own queues: `<state_dir>/bindings.json`.
//!
//! ```json
//! {"format":1,"queues":[{"vhost":"/","queue":"osnl","bindings":[["neutron","notifications.info"]]}]}
//! ```
//!
//! A queue that was left for another one and may still hold messages is to be *emptied*, by the listener that read it:
//! `"emptying":"neutron"` beside its bindings, which an older osnl passes over. `"listener":"neutron"` names the listener
//! that binds the queue: a restart with another `pool` leaves the old queue as a reload does.
//!
//! `"unsettled":3` is the number of messages that were unsettled when the run that read the queue ended; `null` while one
//! reads it.
//!
//! Bindings that the configuration no longer has are removed when a listener of that queue connects; bindings that
//! others have made are left alone. A queue that no listener reads any more is *left*: it is named until it is gone.
//!
//! Daemons with one state directory by mistake write one file. `"journal"` names the journal of the daemon that binds a queue: a
//! daemon with another journal neither empties the queue nor names it as left, since the other one reads it.
//!
//! This file knows a queue by virtual host and name, since the hosts of a cluster change. `check` compares the hosts
//! that are written; a daemon's tasks compare names only, because two readers of one queue are worse than one
//! hand-over too many.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use osnl_journal::files;
use osnl_transport::{Binding, QueueSeen};
use serde_json::{Value, json};

const FORMAT: u64 = 1;

/// A queue in a virtual host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnQueue {
    /// The virtual host.
    pub vhost: String,
    /// The queue's name.
    pub queue: String,
}

impl OwnQueue {
    /// Returns the command that deletes the queue and its messages.
    #[must_use]
    pub fn delete_command(&self) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        format!("rabbitmqctl delete_queue --vhost {} {}", quoted(&self.vhost), quoted(&self.queue))
    }
}

impl OwnQueue {
    /// It was to be emptied by a listener that is not there any more, or reads another virtual host.
    pub(crate) fn say_not_emptied(&self, listener: &str) {
        tracing::warn!(
            queue.name = self.queue,
            listener.name = listener,
            "the queue was to be emptied by a listener that does not read its virtual host any more: a listener that \
             names it in queue reads what is in it"
        );
    }

    fn binding(&self, (exchange, routing_key): &(String, String)) -> Binding {
        Binding { queue: self.queue.clone(), exchange: exchange.clone(), routing_key: routing_key.clone() }
    }
}

/// Exchange and routing key.
type BindingKeys = BTreeSet<(String, String)>;

/// The bindings that osnl has made for queues of its own, kept in a file of the state directory.
#[derive(Debug)]
pub struct Bindings {
    path: PathBuf,
    /// The name of the daemon's journal.
    journal: String,
    state: Mutex<BindingsState>,
}

#[derive(Debug, Default)]
struct BindingsState {
    made: BindingsFile,
    wanted: BTreeMap<OwnQueue, BindingKeys>,
    /// The content of queues that are left, when last seen. Not written to the file.
    seen: BTreeMap<OwnQueue, (QueueSeen, SystemTime)>,
}

/// The content of the file.
type BindingsFile = BTreeMap<OwnQueue, BoundQueue>;

/// The record of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct BoundQueue {
    bindings: BindingKeys,
    /// The listener that empties the queue.
    emptying: Option<String>,
    /// The listener that binds the queue, until nothing is left in it.
    listener: Option<String>,
    /// The journal of the daemon that binds the queue; none of an older osnl.
    journal: Option<String>,
    /// The number of messages that were unsettled when the latest run ended; `Some(None)` while one reads the queue, and
    /// after one that ended without a word.
    unsettled: Option<Option<usize>>,
}

/// A queue of ours that no listener of the configuration reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadQueue {
    /// The queue.
    pub queue: OwnQueue,
    /// The content when it was last seen; `None` if unknown.
    pub seen: Option<(QueueSeen, SystemTime)>,
    /// The listener that empties it.
    pub emptied_by: Option<String>,
}

impl UnreadQueue {
    /// Returns the command that deletes it, if it was empty and had no consumer when it was last seen.
    #[must_use]
    pub fn delete_command(&self) -> Option<String> {
        let is_empty = |seen: &QueueSeen| seen.messages == 0 && seen.consumers == 0;
        self.seen.filter(|(seen, _)| is_empty(seen)).map(|_| self.queue.delete_command())
    }
}

impl Bindings {
    /// Opens the bindings of a state directory, for the daemon with this journal. An unreadable file counts as empty: no binding
    /// is removed then.
    #[must_use]
    pub fn open(state_dir: &Path, journal: impl Into<String>) -> Self {
        let path = state_dir.join("bindings.json");
        let made = match fs::read(&path) {
            Ok(text) => read(&text).unwrap_or_else(|| {
                tracing::warn!(path = %path.display(), "the file cannot be read: osnl removes no earlier binding");
                BindingsFile::default()
            }),
            Err(_) => BindingsFile::default(),
        };
        Self {
            path,
            journal: journal.into(),
            state: Mutex::new(BindingsState { made, ..BindingsState::default() }),
        }
    }

    /// Sets the bindings that listeners make from now on.
    pub fn want(&self, wanted: impl IntoIterator<Item = (OwnQueue, Vec<Binding>)>) {
        let mut all: BTreeMap<OwnQueue, BindingKeys> = BTreeMap::new();
        for (queue, bindings) in wanted {
            all.entry(queue).or_default().extend(bindings.into_iter().map(|b| (b.exchange, b.routing_key)));
        }
        self.lock().wanted = all.clone();
        // What is read again is not to be emptied.
        self.write(|made| {
            let read_again = made.iter_mut().filter(|(queue, _)| all.contains_key(queue));
            read_again.for_each(|(_, bound)| bound.emptying = None);
        });
    }

    /// Whether a listener of the configuration reads it.
    pub(super) fn is_wanted(&self, queue: &OwnQueue) -> bool {
        self.lock().wanted.contains_key(queue)
    }

    /// Queues with bindings of ours that no listener reads.
    #[must_use]
    pub fn left(&self) -> Vec<OwnQueue> {
        let state = self.lock();
        self.own_left(&state).map(|(queue, _)| queue.clone()).collect()
    }

    /// The queues that no listener reads, and that no daemon with another journal binds.
    fn own_left<'a>(&self, state: &'a BindingsState) -> impl Iterator<Item = (&'a OwnQueue, &'a BoundQueue)> {
        let is_own =
            |bound: &BoundQueue| bound.journal.as_ref().is_none_or(|journal| *journal == self.journal);
        state.made.iter().filter(move |(queue, bound)| !state.wanted.contains_key(*queue) && is_own(bound))
    }

    /// Returns the queues without a listener, with the known facts of each.
    #[must_use]
    pub fn left_queues(&self) -> Vec<UnreadQueue> {
        let left = self.left();
        let state = self.lock();
        let known = |queue: OwnQueue| UnreadQueue {
            seen: state.seen.get(&queue).copied(),
            emptied_by: state.made.get(&queue).and_then(|bound| bound.emptying.clone()),
            queue,
        };
        left.into_iter().map(known).collect()
    }

    /// Queues that are to be emptied and that no listener of the configuration reads, with the name of the listener that
    /// does it.
    #[must_use]
    pub fn emptying(&self) -> Vec<(OwnQueue, String)> {
        let state = self.lock();
        let left = self.own_left(&state);
        left.filter_map(|(queue, bound)| Some((queue.clone(), bound.emptying.clone()?))).collect()
    }

    /// Queues that a listener of this name has bound, that no listener of the configuration reads, and that are not known
    /// to be empty: the configuration has changed while no daemon ran.
    #[must_use]
    pub fn left_behind(&self) -> Vec<(OwnQueue, String)> {
        let state = self.lock();
        let left = self.own_left(&state).filter(|(_, bound)| bound.emptying.is_none());
        left.filter_map(|(queue, bound)| Some((queue.clone(), bound.listener.clone()?))).collect()
    }

    /// The queue is left for another one, and what is in it is to be read by this listener: also after a restart.
    pub(super) fn begin_to_empty(&self, queue: &OwnQueue, listener: &str) {
        self.write(|made| {
            let bound = made.entry(queue.clone()).or_default();
            bound.emptying = Some(listener.to_owned());
            bound.journal = Some(self.journal.clone());
        });
    }

    /// Nothing is left in the queue, or that is not ours to read.
    pub(super) fn end_emptying(&self, queue: &OwnQueue) {
        self.write(|made| {
            if let Some(bound) = made.get_mut(queue) {
                (bound.emptying, bound.listener) = (None, None);
            }
        });
    }

    /// Records the content of a queue that is left; `None` where it could not be seen.
    pub(super) fn saw(&self, queue: &OwnQueue, seen: Option<QueueSeen>) {
        let seen = seen.map(|seen| (seen, SystemTime::now()));
        let mut state = self.lock();
        match seen {
            Some(seen) => state.seen.insert(queue.clone(), seen),
            None => state.seen.remove(queue),
        };
    }

    /// Returns the bindings that were made for a queue still read, and are no longer configured.
    #[must_use]
    pub fn superfluous(&self, queue: &OwnQueue) -> Vec<Binding> {
        let state = self.lock();
        let (Some(made), Some(wanted)) = (state.made.get(queue), state.wanted.get(queue)) else {
            return Vec::new();
        };
        made.bindings.difference(wanted).map(|keys| queue.binding(keys)).collect()
    }

    /// Returns the bindings that were made for a queue and still exist.
    #[must_use]
    pub fn made_for(&self, queue: &OwnQueue) -> Vec<Binding> {
        let state = self.lock();
        let bound = state.made.get(queue).into_iter().flat_map(|bound| &bound.bindings);
        bound.map(|keys| queue.binding(keys)).collect()
    }

    /// Records the bindings of a listener.
    pub fn made(&self, queue: &OwnQueue, bindings: &[Binding], listener: &str) {
        let keys = bindings.iter().map(|b| (b.exchange.clone(), b.routing_key.clone()));
        self.write(|made| {
            let bound = made.entry(queue.clone()).or_default();
            bound.bindings.extend(keys);
            bound.listener = Some(listener.to_owned());
            bound.journal = Some(self.journal.clone());
        });
    }

    /// These are no more.
    pub fn removed(&self, queue: &OwnQueue, bindings: &[Binding]) {
        let is_removed = |exchange: &str, key: &str| {
            bindings.iter().any(|b| b.exchange == exchange && b.routing_key == key)
        };
        self.write(|made| {
            let bound = made.entry(queue.clone()).or_default();
            bound.bindings.retain(|(exchange, key)| !is_removed(exchange, key));
        });
    }

    /// Records that the queue is read from now on. Returns the record of the run before.
    pub(super) fn begin_reading(&self, queue: &OwnQueue) -> Option<Option<usize>> {
        let mut former = None;
        self.write(|made| {
            former = made.entry(queue.clone()).or_default().unsettled.replace(None);
        });
        former
    }

    /// Records the number of messages that are unsettled at the end of a run.
    pub(super) fn end_reading(&self, queue: &OwnQueue, unsettled: usize) {
        self.write(|made| {
            // A queue that was never read has no record.
            if let Some(record) = made.get_mut(queue).and_then(|bound| bound.unsettled.as_mut()) {
                *record = Some(unsettled);
            }
        });
    }

    /// The queue is not there any more.
    pub fn gone(&self, queue: &OwnQueue) {
        self.lock().seen.remove(queue);
        self.write(|made| _ = made.remove(queue));
    }

    fn write(&self, change: impl FnOnce(&mut BindingsFile)) {
        let mut state = self.lock();
        let before = text(&state.made);
        change(&mut state.made);
        let now = text(&state.made);
        if now != before
            && let Err(error) = replace(&self.path, &now)
        {
            tracing::warn!(
                path = %self.path.display(),
                error = error.to_string(),
                "the file cannot be written: after a restart osnl does not know which bindings to remove"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, BindingsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    files::replace(path, text.as_bytes())
}

fn text(made: &BindingsFile) -> String {
    let queue = |(own, bound): (&OwnQueue, &BoundQueue)| {
        let BoundQueue { bindings, emptying, listener, journal, unsettled } = bound;
        let mut entry = json!({"vhost": own.vhost, "queue": own.queue, "bindings": bindings});
        for (name, word) in [("emptying", emptying), ("listener", listener), ("journal", journal)] {
            if let Some(word) = word {
                entry[name] = json!(word);
            }
        }
        if let Some(unsettled) = unsettled {
            entry["unsettled"] = json!(unsettled);
        }
        entry
    };
    format!("{}\n", json!({"format": FORMAT, "queues": made.iter().map(queue).collect::<Vec<_>>()}))
}

fn read(text: &[u8]) -> Option<BindingsFile> {
    let found: Value = serde_json::from_slice(text).ok()?;
    (found["format"] == FORMAT).then_some(())?;
    let mut made = BindingsFile::default();
    for queue in found["queues"].as_array()? {
        let word = |name: &str| Some(queue[name].as_str()?.to_owned());
        let own = OwnQueue { vhost: word("vhost")?, queue: word("queue")? };
        let (emptying, listener, journal) = (word("emptying"), word("listener"), word("journal"));
        let bindings = serde_json::from_value(queue["bindings"].clone()).ok()?;
        let unsettled = queue.get("unsettled").map(|number| usize::try_from(number.as_u64()?).ok());
        made.insert(own, BoundQueue { bindings, emptying, listener, journal, unsettled });
    }
    Some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_and_is_not_wanted_is_superfluous_and_a_queue_that_nobody_reads_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let own = |queue: &str| OwnQueue { vhost: "/".into(), queue: queue.into() };
        let bindings = |queue: &str, exchanges: &[&str]| -> Vec<Binding> {
            let binding = |exchange: &&str| Binding {
                queue: queue.into(),
                exchange: (*exchange).into(),
                routing_key: "n.info".into(),
            };
            exchanges.iter().map(binding).collect()
        };
        let memory = Bindings::open(folder.path(), "/a/journal.db");
        memory.want([(own("q"), bindings("q", &["a", "b"])), (own("r"), bindings("r", &["a"]))]);
        memory.made(&own("q"), &bindings("q", &["a", "b"]), "neutron");
        memory.made(&own("r"), &bindings("r", &["a"]), "neutron");
        assert_eq!((memory.superfluous(&own("q")), memory.left()), (vec![], vec![]));

        let again = Bindings::open(folder.path(), "/a/journal.db");
        // Two listeners of one queue: what one of them wants is not superfluous.
        again.want([(own("q"), bindings("q", &["a"])), (own("q"), bindings("q", &["c"]))]);
        assert_eq!(again.superfluous(&own("q")), bindings("q", &["b"]));
        assert_eq!(again.superfluous(&own("other")), []);
        assert_eq!(again.left(), [own("r")]);
        again.removed(&own("q"), &bindings("q", &["b"]));
        again.gone(&own("r"));
        let last = Bindings::open(folder.path(), "/a/journal.db");
        last.want([(own("q"), bindings("q", &["a"]))]);
        assert_eq!((last.superfluous(&own("q")), last.left()), (vec![], vec![]));
        assert_eq!(own("a'b").delete_command(), "rabbitmqctl delete_queue --vhost '/' 'a'\\''b'");

        fs::write(folder.path().join("bindings.json"), "{").unwrap();
        let broken = Bindings::open(folder.path(), "/a/journal.db");
        broken.want([(own("q"), vec![])]);
        assert_eq!((broken.superfluous(&own("q")), broken.left()), (vec![], vec![]));
    }

    /// Its messages would be judged by rules that are not theirs, and acknowledged.
    #[test]
    fn a_queue_of_a_daemon_with_another_journal_is_not_emptied_and_not_left() {
        let folder = tempfile::tempdir().unwrap();
        let own = |queue: &str| OwnQueue { vhost: "/".into(), queue: queue.into() };
        let open = |journal: &str| Bindings::open(folder.path(), journal);
        let a = open("/a/journal.db");
        a.want([(own("a"), vec![])]);
        a.made(&own("a"), &[], "neutron");
        a.begin_to_empty(&own("old"), "neutron");
        let b = open("memory://");
        b.want([(own("b"), vec![])]);
        assert_eq!((b.left(), b.left_behind(), b.emptying()), (vec![], vec![], vec![]));
        b.made(&own("b"), &[], "neutron");
        let again = open("/a/journal.db");
        again.want([(own("a2"), vec![])]);
        assert_eq!(again.left_behind(), [(own("a"), "neutron".to_owned())]);
        assert_eq!(again.emptying(), [(own("old"), "neutron".to_owned())]);
        assert_eq!(again.left(), [own("a"), own("old")]);
        // What an older osnl has written.
        let text = fs::read_to_string(folder.path().join("bindings.json")).unwrap();
        fs::write(folder.path().join("bindings.json"), text.replace("\"journal\"", "\"former\"")).unwrap();
        let b = open("memory://");
        b.want([(own("b"), vec![])]);
        assert_eq!(b.left(), [own("a"), own("old")]);
    }

    #[test]
    fn what_is_to_be_emptied_outlives_a_restart_and_is_deleted_by_nobody_before_it_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let own = |queue: &str| OwnQueue { vhost: "/".into(), queue: queue.into() };
        let memory = Bindings::open(folder.path(), "/a/journal.db");
        memory.want([(own("new"), vec![])]);
        memory.begin_to_empty(&own("old"), "neutron");
        let again = Bindings::open(folder.path(), "/a/journal.db");
        again.want([(own("new"), vec![])]);
        assert_eq!(again.emptying(), [(own("old"), "neutron".to_owned())]);
        let command = |messages: u32, consumers: u32| {
            again.saw(&own("old"), Some(QueueSeen { messages, consumers }));
            again.left_queues()[0].delete_command()
        };
        assert_eq!(again.left_queues()[0].delete_command(), None, "nobody has looked");
        assert_eq!((command(3, 0), command(0, 1)), (None, None));
        assert_eq!(command(0, 0).as_deref(), Some("rabbitmqctl delete_queue --vhost '/' 'old'"));
        again.saw(&own("old"), None);
        assert_eq!(again.left_queues()[0].delete_command(), None, "it could not be seen");
        again.end_emptying(&own("old"));
        assert_eq!(Bindings::open(folder.path(), "/a/journal.db").emptying(), []);
        // A queue that was left by a restart is to be emptied too, until it is known to be empty.
        memory.made(&own("before"), &[], "neutron");
        let again = Bindings::open(folder.path(), "/a/journal.db");
        again.want([(own("new"), vec![])]);
        assert_eq!(again.left_behind(), [(own("before"), "neutron".to_owned())]);
        again.end_emptying(&own("before"));
        assert_eq!(Bindings::open(folder.path(), "/a/journal.db").left_behind(), []);
        // A queue that is read again is not to be emptied.
        again.begin_to_empty(&own("old"), "neutron");
        again.want([(own("old"), vec![])]);
        assert_eq!(Bindings::open(folder.path(), "/a/journal.db").emptying(), []);
    }
}
