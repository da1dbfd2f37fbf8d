use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use osnl::control::{
    Again, AskError, ClosedGaps, ControlBackend, ControlClient, ControlRequest, LONGEST_REQUEST,
    ReplayResult, RequestProgress, Where, reach,
};
use osnl::journal::sqlite::SqliteJournal;
use osnl::native::Native;
use osnl::replay::ReplayEvent;
use osnl::verify::VerifiedKind;

use crate::app;
use crate::command::deliveries::asks;
use crate::command::saved_events::{SavedEventsRefusal, forbidden};
use crate::exit::Exit;

/// The most events of one request: all are in one commit, and deliveries must continue meanwhile.
const AT_ONCE: usize = 256;
/// The bytes of a request for its events; the rest is for the enclosing JSON.
const BYTES: usize = LONGEST_REQUEST - 4096;

/// The daemon that has the journal, to which events are appended.
pub(in crate::command) struct ReplayDaemon(ControlClient, PathBuf);

impl ReplayDaemon {
    pub(in crate::command) fn for_journal(
        conf: &Native,
        journal: &Path,
        patience: Duration,
    ) -> Result<Option<Self>, SavedEventsRefusal> {
        match SqliteJournal::find_holder(journal) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(forbidden(journal)),
            Ok(None) | Err(_) => return Ok(None),
            Ok(Some(_)) => {}
        }
        let place =
            Where { state_dir: conf.state_folder(), journal: Some(journal.to_owned()), ..Where::default() };
        let reached =
            app::block_on(reach(&place, patience)).map_err(|error| (Exit::Failed, error.to_string()))?;
        match reached.map_err(|error| (Exit::Unavailable, error.to_string()))? {
            ControlBackend::Daemon(client, _) => Ok(Some(Self(client, journal.to_owned()))),
            // The daemon has ended since the journal's lock was looked at.
            ControlBackend::File(_) => Ok(None),
        }
    }

    /// Returns the number of events, and that of those that the journal had before.
    pub(in crate::command) fn append(
        &self,
        planned: &[ReplayEvent],
        how: AppendSettings,
        show: impl Fn(RequestProgress),
    ) -> Result<(u64, u64), SavedEventsRefusal> {
        let mut group = EventGroup::default();
        let (mut appended, mut copies) = (0, 0);
        let of = planned.len() as u64;
        let asked = planned.iter().filter_map(|plan| Some((plan, Again::from_event(plan)?)));
        let mut send = |group: &mut EventGroup| -> Result<(), SavedEventsRefusal> {
            let events = std::mem::take(group).events;
            if events.is_empty() {
                return Ok(());
            }
            let ReplayResult { appended: new, kept_already } = self.ask(events, how).map_err(|error| {
                let before = if appended > 0 {
                    format!(" ({appended} events were appended before)")
                } else {
                    String::new()
                };
                (Exit::Unavailable, format!("{error}{before}"))
            })?;
            appended += new + kept_already;
            copies += kept_already;
            show(RequestProgress { done: appended, of });
            Ok(())
        };
        for (plan, again) in asked {
            let bytes = serde_json::to_vec(&again).map_or(usize::MAX, |text| text.len() + 1);
            if bytes > BYTES {
                let text = format!(
                    "the event {} is too large for a request to the daemon ({bytes} bytes of {BYTES}): stop the \
                     daemon and replay then, or publish it with osnl send",
                    plan.trace.event.name
                );
                send(&mut group)?;
                return Err((Exit::Failed, text));
            }
            if group.events.len() == AT_ONCE || group.bytes + bytes > BYTES {
                send(&mut group)?;
            }
            group.bytes += bytes;
            group.events.push(again);
        }
        send(&mut group)?;
        Ok((appended, copies))
    }

    /// Closes the gaps that a complete verification of an action covers, and returns their number.
    pub(in crate::command) fn close_gaps(
        &self,
        action: &str,
        kind: VerifiedKind,
        until: String,
    ) -> Result<usize, AskError> {
        let request = ControlRequest::VerifiedGaps { action: action.to_owned(), kind, until, by: asks() };
        let told: ClosedGaps = app::block_on(self.0.ask(&request, Some(&self.1)))??;
        Ok(told.closed.len())
    }

    fn ask(&self, events: Vec<Again>, how: AppendSettings) -> Result<ReplayResult, AskError> {
        let AppendSettings { keep_ids, guarded } = how;
        let request = ControlRequest::Replay { events, keep_ids, guarded, by: asks() };
        app::block_on(self.0.ask(&request, Some(&self.1)))?
    }
}

/// The choices of an append.
#[derive(Clone, Copy, Debug)]
pub(in crate::command) struct AppendSettings {
    pub(in crate::command) keep_ids: bool,
    /// Whether guards may hold the deliveries.
    pub(in crate::command) guarded: bool,
}

#[derive(Default)]
struct EventGroup {
    events: Vec<Again>,
    bytes: usize,
}
