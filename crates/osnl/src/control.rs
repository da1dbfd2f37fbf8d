//! Requests to a daemon, or to the journal of a stopped daemon.
//!
//! HTTP is the only protocol: always on `control.sock` in the state directory, with `[admin]` also on a port
//! or a second socket. Each verb is a row of [`routes::ROUTES`], by which [`ControlClient`] writes a request
//! and the server of `osnl-admin` reads it.
//!
//! ```text
//! GET /api/v1/deliveries?action=roles&state=dead
//! {"deliveries": [...], "totals": {...}, "next": null}
//! GET /api/v1/deliveries/17.0
//! {"error": {"code": "not-found", "message": "there is no delivery 17.0"}}
//! ```
//!
//! A client that accepts [`LINES`] gets status 200 as soon as its request is parsed. While the daemon works,
//! it sends four lines a second: the progress, `{"progress": {"done": 1000, "of": 5000}}`, or an empty line.
//! The last line is `{"ok": …}` or `{"error": …}`. So a long silence shows the client that the daemon hangs.
//! A client that disconnects ends its request after the current step.
//!
//! On `control.sock` the peer must be root or the daemon's own user; members of `control_group` only read.
//! There a request names its user (`by`), and may ask for the bytes of a message (`raw`). A daemon refuses a
//! request whose [`JOURNAL_HEADER`] names another journal.
//!
//! [`ControlHandler`] answers requests of socket, page, and API. [`reach`] finds the handler from outside: by
//! the socket if a daemon holds the journal, else in this process, on the journal's file.

mod again;
mod answer;
mod client;
mod conditions;
mod configuration;
mod handler;
mod incident;
mod incident_report;
mod lag;
mod no_access;
mod quarantine;
pub mod query;
mod reach;
mod refusal;
mod request;
pub mod routes;
mod rules;
mod silence;
mod socket;
mod status;
mod time;
mod words;

use std::path::{Path, PathBuf};

pub use self::again::{Again, GivenMessage, RuleDelivery};
pub use self::answer::*;
pub use self::client::{AskError, ControlClient};
pub use self::configuration::{ConfigurationReport, LastReload};
pub use self::handler::{
    ConfiguredNames, ControlHandler, MeasuredAction, MeasuredJournal, MeasuredListener, Measurements, Store,
};
pub(crate) use self::incident::{CallTerms, IncidentCall, KnownIncidents};
pub use self::incident::{IncidentCause, IncidentKind, IncidentSeverity};
pub use self::incident_report::{Incident, IncidentActor};
pub use self::no_access::NoAccess;
pub use self::quarantine::{
    MessageAgain, NotChanged, QuarantineChanges, QuarantineList, QuarantineShow, QuarantinedMessage,
    WhichMessages,
};
pub use self::reach::{ControlBackend, ReachError, Where, reach};
pub use self::refusal::{Code, RequestRefusal};
pub use self::request::{ControlRequest, ListOrder, Which};
pub use self::rules::{
    RuleReport, RuleSettings, RulesReport, TriedEvent, UnmatchedGroup, UnmatchedReport, UnmatchedRow,
};
pub use self::silence::Silence;
pub use self::socket::{BindError, ControlSocket, SocketPlace, bind_private, may_ask};
pub use self::status::{
    AttemptFailure, ConfigurationStatus, ExpiryStatus, FailingResource, HeldReason, JournalStatus, LagStatus,
    LeftQueue, ListenerStatus, ManagementStatus, NotReloaded, PartitionLag, QueueStatus, Status,
    StatusNumbers, TargetReport, Unavailable,
};
pub use self::time::{ago, from_now, relative, shown as timestamp, span};
pub use self::words::{StateTone, counter_words, millis, short_answer, size};
pub use crate::numbers::{counted, grouped};

pub const LONGEST_REQUEST: usize = 4 << 20;

pub const LINES: &str = "application/x-ndjson";

/// The header with the path of the journal that is meant, percent-encoded.
pub const JOURNAL_HEADER: &str = "osnl-journal";

#[doc(hidden)]
pub fn read_again(text: &[u8]) -> Result<Vec<u8>, String> {
    use routes::{BASE, Route, RouteLookup, Sender, find};
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let (line, body) = (String::from_utf8_lossy(&text[..end]), text.get(end + 1..).unwrap_or_default());
    let (method, target) = line.split_once(' ').ok_or("no target")?;
    let method = method.parse().map_err(|_| "no method")?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match find(&method, path.strip_prefix(BASE).ok_or("another path")?) {
        RouteLookup::Route(route, values) => {
            let own = Sender { name: "me", is_own: true };
            let (route, target, body) = Route::write(&route.read(values, query, body, own)?)?;
            Ok([format!("{} {target}\n", route.method).as_bytes(), &body].concat())
        }
        other => Err(format!("{other:?}")),
    }
}

#[must_use]
pub fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

#[cfg(test)]
mod tests;
