//! Calls the actions of `[incidents]`: compares the incidents every five seconds, and appends an event to the journal
//! for each that begins or ends. Order, retries, and templates are those of any delivery.
//!
//! `<state_dir>/incidents.json` has the incidents that have begun.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use osnl_core::clock::Clock;
use osnl_journal::files::replace_in_folder;
use osnl_model::Priority;
use osnl_transport::stamp;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

use crate::control::{CallTerms, ControlHandler, Incident, IncidentCall, KnownIncidents};
use crate::daemon::ServiceTask;
use crate::journal::{Journal, NewDelivery, Receipt, Settle, Subject};
use crate::native::{ConfInForce, Native};
use crate::received::ReceivedMessage;
use crate::replay::{self, ReplaySettings};
use crate::saved::RecordedEvent;

const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The time that a look waits for the journal. Without a place for an event, the next look decides anew. An event that was
/// handed over may be kept much later, so nothing is decided before the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The version of the file of known incidents.
const FORMAT: u64 = 1;
/// The rule of these deliveries, and their publisher with the host's name.
const RULE: &str = "incidents";

impl Native {
    /// Returns the terms of `[incidents]`; `None` without an action.
    pub(crate) fn call_terms(&self) -> Option<CallTerms> {
        let conf = self.incidents.as_ref()?;
        let with_fallbacks = |name: &Arc<str>| {
            let chain = crate::native::chain(&self.actions, name).into_iter().cloned();
            (name.clone(), chain.chain([name.clone()]).collect())
        };
        let actions = conf.actions.iter().map(with_fallbacks).collect();
        let (after, severity, kinds) = (conf.after, conf.severity, conf.kinds.clone());
        Some(CallTerms { actions, after, severity, kinds, running: Duration::MAX })
    }
}

/// The task that calls, and the incidents that it knows.
pub(super) struct IncidentTask {
    handler: Arc<ControlHandler>,
    conf: Arc<ConfInForce>,
    journal: Arc<dyn Journal>,
    is_durable: bool,
    /// The file of known incidents; without it a restart may begin an incident again.
    path: Option<PathBuf>,
    known: KnownIncidents,
    open: Vec<OpenCall>,
    file: FileState,
    start: Instant,
    clock: Clock,
}

/// A call whose event the journal has neither kept nor refused. `at`: seconds since 1970.
struct OpenCall {
    call: IncidentCall,
    at: u64,
    receipt: Receipt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileState {
    Written,
    /// Calls were made since.
    Due,
    /// The latest attempt to write it has failed, which is logged.
    Failed,
}

impl IncidentTask {
    pub(super) fn new(
        handler: Arc<ControlHandler>,
        conf: Arc<ConfInForce>,
        (journal, is_durable): (Arc<dyn Journal>, bool),
        folder: Option<&Path>,
    ) -> Self {
        let (path, known) = read(folder.map(|folder| folder.join("incidents.json")));
        let (open, file, start, clock) = (Vec::new(), FileState::Written, Instant::now(), Clock::start());
        Self { handler, conf, journal, is_durable, path, known, open, file, start, clock }
    }

    pub(super) fn service(mut self) -> ServiceTask {
        Box::new(|end| {
            Box::pin(async move {
                let mut tick = interval(CHECK_INTERVAL);
                tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    let look = async {
                        tick.tick().await;
                        self.look().await;
                    };
                    tokio::select! {
                        biased;
                        () = end.cancelled() => return,
                        () = look => {}
                    }
                }
            })
        })
    }

    async fn look(&mut self) {
        let Some(terms) = self.conf.get().and_then(|loaded| loaded.conf.call_terms()) else {
            (self.known, self.open) = Default::default();
            return;
        };
        let terms = CallTerms { running: self.start.elapsed(), ..terms };
        let Ok(status) = self.handler.status().await else { return };
        self.call(&status.incidents, &terms, self.now()).await;
    }

    /// Returns the seconds since 1970, as at the start: a step of the system clock makes no incident older.
    fn now(&self) -> u64 {
        self.clock.now().unsigned_abs() / 1000
    }

    async fn call(&mut self, found: &[Incident], terms: &CallTerms, now: u64) {
        self.settle().await;
        if self.open.is_empty() {
            let (next, calls) = self.known.after(found, terms, now);
            self.known = next;
            for call in calls {
                if self.file == FileState::Written {
                    self.file = FileState::Due;
                }
                match append(&*self.journal, &call, self.is_durable).await {
                    Some(receipt) => self.open.push(OpenCall { call, at: now, receipt }),
                    None => self.known.undo(call, now),
                }
            }
            self.settle().await;
        }
        self.write();
    }

    /// Waits for the journal's answers, and takes back the calls that it has refused.
    async fn settle(&mut self) {
        let until = Instant::now() + PATIENCE;
        for OpenCall { call, at, mut receipt } in std::mem::take(&mut self.open) {
            match timeout_at(until, &mut receipt).await {
                Ok(Settle::Acknowledge) => {}
                Ok(Settle::Requeue | Settle::Leave) => self.known.undo(call, at),
                Err(_) => self.open.push(OpenCall { call, at, receipt }),
            }
        }
    }

    /// Writes the file if it is due. A call that the journal may still refuse is not in it: after a crash it is made again.
    fn write(&mut self) {
        let Some(path) = &self.path else { return };
        if self.file == FileState::Written || !self.open.is_empty() {
            return;
        }
        let written =
            replace_in_folder(path, text(&self.known.shifted(self.clock.ahead() / 1000)).as_bytes());
        if let (Err(error), FileState::Due) = (&written, self.file) {
            tracing::warn!(
                path = %path.display(),
                error = error.to_string(),
                "the file of incidents cannot be written: after a restart actions may be called again"
            );
        }
        self.file = if written.is_ok() { FileState::Written } else { FileState::Failed };
    }
}

fn text(known: &KnownIncidents) -> String {
    format!("{}\n", json!({"format": FORMAT, "incidents": known}))
}

/// Returns the known incidents, and the file if it may be replaced. An unreadable file counts as empty, and one of a newer
/// osnl stays as it is.
fn read(mut path: Option<PathBuf>) -> (Option<PathBuf>, KnownIncidents) {
    let Some(text) = path.as_ref().and_then(|path| fs::read(path).ok()) else {
        return (path, KnownIncidents::default());
    };
    let found = serde_json::from_slice::<Value>(&text).unwrap_or_default();
    let is_newer = found["format"].as_u64().is_some_and(|format| format > FORMAT);
    // The first form of the file is the list alone.
    let list = if found.is_array() { found } else { found["incidents"].clone() };
    match serde_json::from_value::<KnownIncidents>(list) {
        Ok(known) if !is_newer => (path, known),
        Ok(_) | Err(_) => {
            let file = path.as_ref().map(|path| path.display().to_string());
            path = path.filter(|_| !is_newer);
            tracing::warn!(
                path = file,
                "the file of incidents cannot be read: actions may be called again for incidents that last"
            );
            (path, KnownIncidents::default())
        }
    }
}

/// Hands an event to the journal; `None` if it has no place. One in memory answers only after the call.
async fn append(journal: &dyn Journal, call: &IncidentCall, is_durable: bool) -> Option<Receipt> {
    let (received, notification) = event(call)?;
    let actions: Vec<Arc<str>> = call.actions.iter().map(|name| name.as_str().into()).collect();
    let delivery = |action: &Arc<str>| NewDelivery::new(RULE, action.clone(), Some(call.resource()));
    let deliveries = actions.iter().map(delivery).collect();
    let how = ReplaySettings { keep_ids: true, ..ReplaySettings::default() };
    let mut entry = replay::entry(received, &notification, deliveries, how);
    for delivery in &mut entry.deliveries {
        delivery.subject = Subject { id: Some(call.resource()), name: None };
    }
    let mut permit = timeout(PATIENCE, journal.reserve(&actions, 1)).await.ok()?;
    let receipt = journal.append(&mut permit, entry);
    Some(if is_durable { receipt } else { Receipt::complete(Settle::Acknowledge) })
}

fn event(call: &IncidentCall) -> Option<(ReceivedMessage, osnl_model::Notification)> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let what = (call.event_type(), if call.is_begin { Priority::Error } else { Priority::Info });
    let event = RecordedEvent::own(format!("osnl.{host}"), what, stamp::message_id(), &call.payload())?;
    let mut received = ReceivedMessage::from(event);
    (received.origin.listener, received.origin.queue) = ("osnl".into(), RULE.into());
    let notification = received.decode().ok()?;
    Some((received, notification))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::UNIX_EPOCH;

    use osnl_core::epoch::simulated;

    use super::*;
    use crate::control::IncidentSeverity;
    use crate::journal::memory::{MemoryJournal, MemoryLimits};
    use crate::journal::{ClaimLimits, Outcome};

    fn chat(after: Duration) -> CallTerms {
        CallTerms {
            actions: vec![("chat".into(), BTreeSet::new())],
            after,
            severity: IncidentSeverity::Critical,
            kinds: Vec::new(),
            running: Duration::MAX,
        }
    }

    fn down() -> Vec<Incident> {
        let down = json!({
            "kind": "target-down", "severity": "critical", "subject": "action roles", "actions": ["roles"],
            "listeners": [], "what": "roles: the target is down", "waiting": 0, "for_release": 0,
            "must_act": "osnl", "symptoms": [],
        });
        vec![serde_json::from_value(down).unwrap()]
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_of_the_system_clock_calls_neither_early_nor_late() {
        let (minute, noon) = (Duration::from_secs(60), UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        for stepped in [noon - 540 * minute, noon + 540 * minute] {
            simulated::set(Some(noon));
            let folder = tempfile::tempdir().unwrap();
            let memory = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(10), Arc::default()));
            let handler = Arc::new(ControlHandler::for_file(folder.path().join("journal"), None));
            let path = folder.path().join("incidents.json");
            let mut task =
                IncidentTask::new(handler, Arc::default(), (memory.clone(), false), Some(folder.path()));
            task.call(&down(), &chat(2 * minute), task.now()).await;
            simulated::set(Some(stepped));
            for expected in [0, 1] {
                tokio::time::advance(minute).await;
                task.call(&down(), &chat(2 * minute), task.now()).await;
                assert_eq!(memory.rows().len(), expected);
            }
            // The file has the times of the present system clock, which the next run has from its start.
            let written: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            let stepped = stepped.duration_since(UNIX_EPOCH).unwrap().as_secs();
            assert_eq!(written["incidents"][0]["since"], json!(stepped));
        }
        simulated::set(None);
    }

    /// The journal in memory answers after the delivery, as late as one whose disk is full or slow.
    #[tokio::test(start_paused = true)]
    async fn a_call_that_the_journal_keeps_late_is_made_once_and_has_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("incidents.json");
        let memory = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(10), Arc::default()));
        let journal: Arc<dyn Journal> = memory.clone();
        let handler = Arc::new(ControlHandler::for_file(folder.path().join("journal"), None));
        let mut task = IncidentTask::new(handler, Arc::default(), (journal, true), Some(folder.path()));
        let (terms, down) = (chat(Duration::ZERO), down());
        let none: Vec<Incident> = Vec::new();
        let waiting =
            || -> Vec<String> { memory.rows().into_iter().filter_map(|row| row.event_type).collect() };
        let (begin, end) = ("osnl.incident.begin", "osnl.incident.end");
        // It is over before the journal has kept its beginning, and comes again.
        for (found, now) in [(&down, 1000), (&none, 1005), (&none, 1010), (&down, 1015)] {
            task.call(found, &terms, now).await;
            assert_eq!((waiting(), path.exists()), (vec![begin.to_owned()], false), "{now}");
        }
        let begun = memory.claim("chat", ClaimLimits::in_order(1)).await;
        memory.end(begun[0].id, Outcome::Delivered.into());
        fs::create_dir(&path).unwrap();
        task.call(&down, &terms, 1020).await;
        assert_eq!((waiting(), path.is_file()), (Vec::new(), false));
        fs::remove_dir(&path).unwrap();
        task.call(&down, &terms, 1025).await;
        assert_eq!((waiting(), path.is_file()), (Vec::new(), true), "written at the next look");
        task.call(&none, &terms, 1030).await;
        task.call(&none, &terms, 1035).await;
        assert_eq!(waiting(), [end]);
        // A refused call is decided again.
        task.open[0].receipt = Receipt::complete(Settle::Leave);
        task.call(&none, &terms, 1040).await;
        assert_eq!(waiting(), [end, end]);
    }

    #[test]
    fn the_file_of_a_newer_version_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("incidents.json");
        let none = KnownIncidents::default();
        assert_eq!(read(Some(path.clone())), (Some(path.clone()), none.clone()));
        let newer = r#"{"format":2,"incidents":[]}"#;
        for (found, is_replaced) in [(&*text(&none), true), ("[]", true), ("{", true), (newer, false)] {
            fs::write(&path, found).unwrap();
            let (place, known) = read(Some(path.clone()));
            assert_eq!((place.is_some(), known), (is_replaced, none.clone()), "{found}");
        }
    }
}
