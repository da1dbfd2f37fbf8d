//! Calls the actions of `[incidents]`: compares the incidents every five seconds, and appends an event to the journal
//! for each that begins or ends. Order, retries, and templates are those of any delivery.
//!
//! `<state_dir>/incidents.json` has the incidents that have begun.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use osnl_journal::files::replace_in_folder;
use osnl_model::Priority;
use osnl_transport::stamp;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::control::{CallTerms, ControlHandler, IncidentCall, KnownIncidents};
use crate::daemon::ServiceTask;
use crate::journal::{Journal, NewDelivery, Settle, Subject};
use crate::native::{ConfInForce, Native};
use crate::received::ReceivedMessage;
use crate::replay::{self, ReplaySettings};
use crate::saved::RecordedEvent;

const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The time that the journal may take for an event; later the next look decides anew.
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
    start: Instant,
}

impl IncidentTask {
    pub(super) fn new(
        handler: Arc<ControlHandler>,
        conf: Arc<ConfInForce>,
        (journal, is_durable): (Arc<dyn Journal>, bool),
        folder: Option<&Path>,
    ) -> Self {
        let (path, known) = read(folder.map(|folder| folder.join("incidents.json")));
        Self { handler, conf, journal, is_durable, path, known, start: Instant::now() }
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
            self.known = KnownIncidents::default();
            return;
        };
        let terms = CallTerms { running: self.start.elapsed(), ..terms };
        let Ok(status) = self.handler.status().await else { return };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (next, calls) = self.known.after(&status.incidents, &terms, now);
        self.known = next;
        if calls.is_empty() {
            return;
        }
        for call in calls {
            if !append(&*self.journal, &call, self.is_durable).await {
                self.known.undo(call, now);
            }
        }
        if let Some(path) = &self.path
            && let Err(error) = replace_in_folder(path, text(&self.known).as_bytes())
        {
            tracing::warn!(
                path = %path.display(),
                error = error.to_string(),
                "the file of incidents cannot be written: after a restart actions may be called again"
            );
        }
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

/// Returns whether the journal has the event. One in memory answers only after the call.
async fn append(journal: &dyn Journal, call: &IncidentCall, is_durable: bool) -> bool {
    let Some((received, notification)) = event(call) else { return false };
    let actions: Vec<Arc<str>> = call.actions.iter().map(|name| name.as_str().into()).collect();
    let delivery = |action: &Arc<str>| NewDelivery::new(RULE, action.clone(), Some(call.resource()));
    let deliveries = actions.iter().map(delivery).collect();
    let how = ReplaySettings { keep_ids: true, ..ReplaySettings::default() };
    let mut entry = replay::entry(received, &notification, deliveries, how);
    for delivery in &mut entry.deliveries {
        delivery.subject = Subject { id: Some(call.resource()), name: None };
    }
    let Ok(mut permit) = timeout(PATIENCE, journal.reserve(&actions, 1)).await else { return false };
    let receipt = journal.append(&mut permit, entry);
    !is_durable || matches!(timeout(PATIENCE, receipt).await, Ok(Settle::Acknowledge))
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
    use super::*;

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
