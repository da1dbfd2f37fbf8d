//! The record of read queues and made bindings: `<state_dir>/bindings.json`.
//!
//! ```json
//! {"format":1,"queues":[{"hosts":["mq1:5672"],"vhost":"/","queue":"osnl","declared":true,
//!   "bindings":[["neutron","notifications.info"]],"journal":"/var/lib/osnl/journal.db"}]}
//! ```
//!
//! `"received":true`: a message of the queue has been received.
//!
//! `"unsettled":3`: unsettled messages at the end of the last run; `null` during a run.
//!
//! A connecting listener removes its bindings that the configuration lacks. A queue without a configured listener is
//! *left*. osnl reports a left queue of ours until the broker has no such queue, another queue until it is empty or
//! has a consumer. osnl never unbinds or reads a left queue at a start, since its messages may be meant for other
//! rules.
//!
//! Names mean the same queue if virtual host and name are equal and the brokers share a host, with TLS or without. The
//! hosts of a cluster change one by one.
//!
//! `"journal"` names the journal of a queue's reader: a daemon with another journal but the same directory by mistake
//! does not report that queue as left.
//!
//! `native/check.rs` compares whole lists of hosts, since a file may mean two clusters. A running daemon rather waits
//! than reads a queue twice.

mod cleanup;
mod exit;
mod given_back;
mod looks;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use osnl_core::epoch;
use osnl_journal::files::replace_in_folder;
use osnl_transport::{Binding, QueueSeen, plain_address};
use serde_json::{Value, json};

pub(super) use self::cleanup::BindingCleanup;
pub(crate) use self::exit::ReadTurn;
pub use self::exit::{ExitObstacle, QueueExit};

const FORMAT: u64 = 1;

/// The identity of a queue that osnl reads, the same under every address of its broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnQueue {
    pub hosts: BTreeSet<String>,
    pub vhost: String,
    pub queue: String,
}

impl OwnQueue {
    pub fn is_same(&self, other: &Self) -> bool {
        self.queue == other.queue && self.is_beside(other)
    }

    pub fn is_beside(&self, other: &Self) -> bool {
        let brokers: BTreeSet<String> = self.hosts.iter().map(|host| plain_address(host)).collect();
        self.vhost == other.vhost && other.hosts.iter().any(|host| brokers.contains(&plain_address(host)))
    }

    #[must_use]
    pub fn broker(&self) -> String {
        self.hosts.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    #[must_use]
    pub fn delete_command(&self) -> String {
        format!("rabbitmqctl delete_queue --vhost {} {}", quoted(&self.vhost), quoted(&self.queue))
    }

    #[must_use]
    pub fn unbind_command(&self, bindings: &[Binding]) -> Option<String> {
        let command = |binding: &Binding| {
            format!(
                "rabbitmqadmin --vhost={} delete binding source={} destination_type=queue destination={} \
                 properties_key={}",
                quoted(&self.vhost),
                quoted(&binding.exchange),
                quoted(&self.queue),
                quoted(&binding.routing_key)
            )
        };
        let commands: Vec<String> = bindings.iter().map(command).collect();
        (!commands.is_empty()).then(|| commands.join(" && "))
    }

    fn binding(&self, (exchange, routing_key): &(String, String)) -> Binding {
        Binding { queue: self.queue.clone(), exchange: exchange.clone(), routing_key: routing_key.clone() }
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

impl std::fmt::Display for OwnQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "queue {} of virtual host {} at {}", self.queue, self.vhost, self.broker())
    }
}

/// A queue that a listener of the configuration reads, with the bindings that it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadQueue {
    pub own: OwnQueue,
    pub declared: bool,
    pub bindings: Vec<Binding>,
}

type BindingKeys = BTreeSet<(String, String)>;

/// The memory of queues and bindings that osnl has made, to remove those that no listener uses any more.
#[derive(Debug)]
pub struct Bindings {
    path: Option<PathBuf>,
    journal: String,
    state: Mutex<BindingsState>,
}

/// The queues that osnl has bound, and those that the configuration reads now.
#[derive(Debug, Default)]
struct BindingsState {
    made: Vec<BoundQueue>,
    wanted: Vec<ReadQueue>,
}

/// A queue that osnl has read, with the bindings that it has made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BoundQueue {
    own: OwnQueue,
    declared: bool,
    bindings: BindingKeys,
    journal: Option<String>,
    seen: Option<(QueueSeen, SystemTime)>,
    received: bool,
    /// Unsettled messages at the end of the latest run; `Some(None)` during a run and after a crash.
    unsettled: Option<Option<usize>>,
}

/// A queue that osnl has read and that no listener reads now, to name the command that removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadQueue {
    pub queue: OwnQueue,
    pub seen: Option<(QueueSeen, SystemTime)>,
    pub bindings: Vec<Binding>,
    /// Bindings that osnl has not made, or the reason why the management API does not show any.
    pub others: Result<Vec<Binding>, String>,
    declared: bool,
}

impl UnreadQueue {
    #[must_use]
    pub fn delete_command(&self) -> Option<String> {
        (self.is_spent() && self.name_others().is_none()).then(|| self.queue.delete_command())
    }

    /// Returns whether osnl has made the queue, which is empty and without a consumer.
    pub fn is_spent(&self) -> bool {
        let is_empty = |seen: QueueSeen| seen.messages == 0 && seen.consumers == 0;
        self.declared && self.seen.is_some_and(|(seen, _)| is_empty(seen))
    }

    /// Takes the bindings that the management API shows.
    pub fn found(&mut self, made: Result<&[(String, String)], &str>) {
        let others = |made: &[(String, String)]| {
            let all = made.iter().map(|keys| self.queue.binding(keys));
            all.filter(|one| !self.bindings.contains(one)).collect()
        };
        self.others = made.map(others).map_err(str::to_owned);
    }

    /// Returns the bindings that others have made, in words.
    pub fn name_others(&self) -> Option<String> {
        let others = self.others.as_ref().ok().filter(|others| !others.is_empty())?;
        let named = others.iter().map(|one| match &*one.routing_key {
            "" => format!("\"\" of {}", one.exchange),
            key => format!("{key} of {}", one.exchange),
        });
        Some(format!("others have bound it with {}", named.collect::<Vec<_>>().join(", ")))
    }
}

impl BindingsState {
    fn wanted(&self, queue: &OwnQueue) -> impl Iterator<Item = &ReadQueue> {
        self.wanted.iter().filter(|wanted| wanted.own.is_same(queue))
    }

    fn made(&self, queue: &OwnQueue) -> Option<&BoundQueue> {
        self.made.iter().find(|made| made.own.is_same(queue))
    }
}

impl Bindings {
    /// Opens the record. Without a directory nothing outlives the process. An unreadable file counts as empty, so no
    /// binding is removed.
    #[must_use]
    pub fn open(state_dir: Option<&Path>, journal: impl Into<String>) -> Self {
        let mut path = state_dir.map(|folder| folder.join("bindings.json"));
        let mut made = Vec::new();
        if let Some((file, text)) =
            path.as_ref().and_then(|path| Some((path.display(), fs::read(path).ok()?)))
        {
            match read(&text) {
                Some(found) => made = found,
                None if is_newer(&text) => {
                    tracing::warn!(
                        path = %file,
                        "the file was written by a newer osnl, and stays as it is: osnl removes no earlier binding; run \
                         that one, or remove the file"
                    );
                    path = None;
                }
                None => {
                    tracing::warn!(path = %file, "the file cannot be read: osnl removes no earlier binding");
                }
            }
        }
        let state = BindingsState { made, wanted: Vec::new() };
        Self { path, journal: journal.into(), state: Mutex::new(state) }
    }

    pub fn want(&self, wanted: Vec<ReadQueue>) {
        self.lock().wanted = wanted;
    }

    #[must_use]
    pub(crate) fn knows(&self, queue: &OwnQueue) -> bool {
        self.lock().made(queue).is_some()
    }

    /// Returns left queues, except those that a daemon with another journal reads.
    #[must_use]
    pub fn left(&self) -> Vec<UnreadQueue> {
        let state = self.lock();
        let is_own =
            |made: &&BoundQueue| made.journal.as_ref().is_none_or(|journal| *journal == self.journal);
        let left = state.made.iter().filter(is_own).filter(|made| state.wanted(&made.own).next().is_none());
        let unread = |made: &BoundQueue| UnreadQueue {
            queue: made.own.clone(),
            seen: made.seen,
            bindings: made.bindings.iter().map(|keys| made.own.binding(keys)).collect(),
            others: Err("it was not asked for".to_owned()),
            declared: made.declared,
        };
        left.map(unread).collect()
    }

    pub(crate) fn record(&self, queue: &OwnQueue, seen: Option<QueueSeen>) {
        let is_done = |seen: &QueueSeen| seen.messages == 0 || seen.consumers > 0;
        self.write(|made| {
            made.retain(|made| {
                made.declared || !seen.is_some_and(|seen| is_done(&seen)) || !made.own.is_same(queue)
            });
            let of = made.iter_mut().find(|made| made.own.is_same(queue));
            of.into_iter().for_each(|made| made.seen = seen.map(|seen| (seen, epoch::now())));
        });
    }

    /// Returns the bindings that osnl has made and the listeners of the queue no longer have: none of a queue that has no
    /// listener, or one that reads it as it is.
    #[must_use]
    pub fn superfluous(&self, queue: &OwnQueue) -> Vec<Binding> {
        let state = self.lock();
        let readers: Vec<&ReadQueue> = state.wanted(queue).collect();
        if readers.is_empty() || readers.iter().any(|reader| !reader.declared) {
            return Vec::new();
        }
        let wanted: Vec<&Binding> = readers.iter().flat_map(|reader| &reader.bindings).collect();
        let made = state.made(queue).into_iter().flat_map(|made| &made.bindings);
        made.map(|keys| queue.binding(keys)).filter(|binding| !wanted.contains(&binding)).collect()
    }

    pub(crate) fn made(&self, queue: &ReadQueue) -> bool {
        let is_new = !self.knows(&queue.own);
        let keys = queue.bindings.iter().map(|b| (b.exchange.clone(), b.routing_key.clone()));
        self.write(|made| {
            let at = made.iter().position(|made| made.own.is_same(&queue.own)).unwrap_or_else(|| {
                let (own, declared) = (queue.own.clone(), queue.declared);
                let bindings = BindingKeys::new();
                made.push(BoundQueue {
                    own,
                    declared,
                    bindings,
                    journal: None,
                    seen: None,
                    received: false,
                    unsettled: None,
                });
                made.len() - 1
            });
            let of = &mut made[at];
            of.own.hosts.clone_from(&queue.own.hosts);
            of.declared |= queue.declared;
            of.bindings.extend(keys);
            of.journal = Some(self.journal.clone());
        });
        is_new
    }

    pub(crate) fn removed(&self, queue: &OwnQueue, bindings: &[Binding]) {
        let is_removed = |exchange: &str, key: &str| {
            bindings.iter().any(|b| b.exchange == exchange && b.routing_key == key)
        };
        self.write(|made| {
            if let Some(made) = made.iter_mut().find(|made| made.own.is_same(queue)) {
                made.bindings.retain(|(exchange, key)| !is_removed(exchange, key));
            }
        });
    }

    /// Records that the queue is read, and returns the previous run's count.
    pub(super) fn begin_reading(&self, queue: &OwnQueue) -> Option<Option<usize>> {
        let mut former = None;
        self.write(|made| {
            let of = made.iter_mut().find(|made| made.own.is_same(queue));
            former = of.and_then(|made| made.unsettled.replace(None));
        });
        former
    }

    pub(super) fn end_reading(&self, queue: &OwnQueue, unsettled: usize) {
        self.write(|made| {
            let of = made.iter_mut().find(|made| made.own.is_same(queue));
            if let Some(record) = of.and_then(|made| made.unsettled.as_mut()) {
                *record = Some(unsettled);
            }
        });
    }

    pub fn has_received(&self, queue: &OwnQueue) -> bool {
        self.lock().made(queue).is_some_and(|made| made.received)
    }

    pub(super) fn received(&self, queue: &OwnQueue) {
        self.write(|made| {
            made.iter_mut().filter(|made| made.own.is_same(queue)).for_each(|made| made.received = true);
        });
    }

    pub fn forget(&self, queue: &str, vhost: Option<&str>) {
        let left = self.left();
        let is_left = |own: &OwnQueue| left.iter().any(|one| one.queue.is_same(own));
        let is_it = |own: &OwnQueue| own.queue == queue && vhost.is_none_or(|vhost| own.vhost == vhost);
        self.write(|made| made.retain(|made| !(is_it(&made.own) && is_left(&made.own))));
    }

    pub(crate) fn gone(&self, queue: &OwnQueue) {
        self.write(|made| made.retain(|made| !made.own.is_same(queue)));
    }

    fn write(&self, change: impl FnOnce(&mut Vec<BoundQueue>)) {
        let mut state = self.lock();
        let before = text(&state.made);
        change(&mut state.made);
        let now = text(&state.made);
        if now != before
            && let Some(path) = &self.path
            && let Err(error) = replace_in_folder(path, now.as_bytes())
        {
            tracing::warn!(
                path = %path.display(),
                error = error.to_string(),
                "the file cannot be written: after a restart osnl does not know which queues it has read and bound"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, BindingsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn text(made: &[BoundQueue]) -> String {
    let queue = |bound: &BoundQueue| {
        let BoundQueue {
            own: OwnQueue { hosts, vhost, queue },
            declared,
            bindings,
            journal,
            seen: _,
            received,
            unsettled,
        } = bound;
        let mut entry = json!({
            "hosts": hosts, "vhost": vhost, "queue": queue, "declared": declared, "bindings": bindings,
            "journal": journal,
        });
        if *received {
            entry["received"] = json!(true);
        }
        if let Some(unsettled) = unsettled {
            entry["unsettled"] = json!(unsettled);
        }
        entry
    };
    format!("{}\n", json!({"format": FORMAT, "queues": made.iter().map(queue).collect::<Vec<_>>()}))
}

fn is_newer(text: &[u8]) -> bool {
    let found = serde_json::from_slice::<Value>(text).ok();
    found.and_then(|found| found["format"].as_u64()).is_some_and(|format| format > FORMAT)
}

fn read(text: &[u8]) -> Option<Vec<BoundQueue>> {
    let found: Value = serde_json::from_slice(text).ok()?;
    (found["format"] == FORMAT).then_some(())?;
    let mut made = Vec::new();
    for queue in found["queues"].as_array()? {
        let word = |name: &str| Some(queue[name].as_str()?.to_owned());
        let hosts = serde_json::from_value(queue["hosts"].clone()).ok()?;
        made.push(BoundQueue {
            own: OwnQueue { hosts, vhost: word("vhost")?, queue: word("queue")? },
            declared: queue["declared"].as_bool()?,
            bindings: serde_json::from_value(queue["bindings"].clone()).ok()?,
            journal: word("journal"),
            seen: None,
            received: queue["received"] == true,
            unsettled: queue.get("unsettled").map(|number| usize::try_from(number.as_u64()?).ok()),
        });
    }
    Some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hosts: &[&str], queue: &str) -> OwnQueue {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        OwnQueue { hosts, vhost: "/".into(), queue: queue.into() }
    }

    fn own(queue: &str) -> OwnQueue {
        at(&["a:1", "b:1"], queue)
    }

    fn bindings(queue: &str, exchanges: &[&str]) -> Vec<Binding> {
        let binding = |exchange: &&str| Binding {
            queue: queue.into(),
            exchange: (*exchange).into(),
            routing_key: "n.info".into(),
        };
        exchanges.iter().map(binding).collect()
    }

    fn bound(queue: &str, exchanges: &[&str]) -> ReadQueue {
        ReadQueue { own: own(queue), declared: true, bindings: bindings(queue, exchanges) }
    }

    fn left(memory: &Bindings) -> Vec<OwnQueue> {
        memory.left().into_iter().map(|left| left.queue).collect()
    }

    #[test]
    fn bindings_that_are_not_configured_are_superfluous_and_a_queue_without_a_listener_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Bindings::open(Some(folder.path()), "/a/journal.db");
        memory.want(vec![bound("q", &["a", "b"]), bound("r", &["a"])]);
        assert!(memory.made(&bound("q", &["a", "b"])) && memory.made(&bound("r", &["a"])));
        assert!(!memory.made(&bound("q", &[])));
        assert_eq!((memory.superfluous(&own("q")), left(&memory)), (vec![], vec![]));

        let again = Bindings::open(Some(folder.path()), "/a/journal.db");
        again.want(vec![bound("q", &["a"]), bound("q", &["c"])]);
        assert_eq!(again.superfluous(&own("q")), bindings("q", &["b"]));
        assert_eq!(again.superfluous(&own("other")), []);
        let as_it_is = ReadQueue { declared: false, ..bound("q", &[]) };
        again.want(vec![bound("q", &["a"]), as_it_is.clone()]);
        assert_eq!(again.superfluous(&own("q")), []);
        again.want(vec![as_it_is]);
        assert_eq!(again.superfluous(&own("q")), []);
        again.want(vec![bound("q", &["a"]), bound("q", &["c"])]);
        assert_eq!((left(&again), again.left()[0].bindings.clone()), (vec![own("r")], bindings("r", &["a"])));
        again.removed(&own("q"), &bindings("q", &["b"]));
        again.gone(&own("r"));
        let last = Bindings::open(Some(folder.path()), "/a/journal.db");
        last.want(vec![bound("q", &["a"])]);
        assert_eq!((last.superfluous(&own("q")), left(&last)), (vec![], vec![]));

        fs::write(folder.path().join("bindings.json"), "{").unwrap();
        let broken = Bindings::open(Some(folder.path()), "/a/journal.db");
        broken.want(vec![bound("q", &[])]);
        assert_eq!((broken.superfluous(&own("q")), left(&broken)), (vec![], vec![]));

        let newer = r#"{"format":2,"queues":{}}"#;
        fs::write(folder.path().join("bindings.json"), newer).unwrap();
        let older = Bindings::open(Some(folder.path()), "/a/journal.db");
        older.made(&bound("q", &["a"]));
        assert_eq!(fs::read_to_string(folder.path().join("bindings.json")).unwrap(), newer);
    }

    /// Otherwise the messages of the other broker's queue would be forgotten.
    #[test]
    fn a_queue_of_the_same_name_at_another_broker_is_left_and_a_cluster_may_change_its_hosts() {
        for (before, now, expected) in [
            (&["a:1", "b:1"], &["b:1", "c:1"], 0),
            (&["a:1", "b:1"], &["c:1", "d:1"], 1),
            (&["a:5672", "b:5672"], &["b:5671", "c:5671"], 0),
        ] {
            let memory = Bindings::open(None, "memory://");
            let bound_at = |hosts: &[&str]| ReadQueue { own: at(hosts, "q"), ..bound("q", &["a"]) };
            memory.made(&bound_at(before));
            let now = bound_at(now);
            memory.want(vec![now.clone()]);
            assert_eq!((memory.made(&now), memory.left().len()), (expected == 1, expected), "{now:?}");
        }
    }

    #[test]
    fn a_queue_of_a_daemon_with_another_journal_is_not_left() {
        let folder = tempfile::tempdir().unwrap();
        let a = Bindings::open(Some(folder.path()), "/a/journal.db");
        a.made(&bound("a", &[]));
        let b = Bindings::open(Some(folder.path()), "memory://");
        b.want(vec![bound("b", &[])]);
        assert_eq!(left(&b), []);
        let again = Bindings::open(Some(folder.path()), "/a/journal.db");
        again.want(vec![bound("a2", &[])]);
        assert_eq!(left(&again), [own("a")]);
    }

    #[test]
    fn only_an_empty_queue_of_ours_is_to_be_deleted_and_one_that_was_only_read_is_forgotten() {
        let memory = Bindings::open(None, "memory://");
        memory.made(&bound("ours", &["x"]));
        memory.made(&ReadQueue { declared: false, ..bound("theirs", &[]) });
        memory.want(vec![]);
        let command = |seen: Option<(u32, u32)>| {
            memory.record(&own("ours"), seen.map(|(messages, consumers)| QueueSeen { messages, consumers }));
            memory.left()[0].delete_command()
        };
        for (seen, expected) in
            [(None, false), (Some((3, 0)), false), (Some((0, 1)), false), (Some((0, 0)), true)]
        {
            assert_eq!(command(seen).is_some(), expected, "{seen:?}");
        }
        assert_eq!(own("a'b").delete_command(), "rabbitmqctl delete_queue --vhost '/' 'a'\\''b'");
        assert_eq!(
            own("ours").unbind_command(&bindings("ours", &["x"])).as_deref(),
            Some(
                "rabbitmqadmin --vhost='/' delete binding source='x' destination_type=queue destination='ours' \
                 properties_key='n.info'"
            )
        );
        for (messages, consumers, is_left) in [(3, 0, true), (0, 0, false)] {
            memory.record(&own("theirs"), Some(QueueSeen { messages, consumers }));
            assert_eq!(memory.knows(&own("theirs")), is_left, "{messages} {consumers}");
        }
    }
}
