//! Requests to a daemon, or to the journal of one that is stopped.
//!
//! `control.sock` in the state directory (mode 0600) takes requests: a JSON object a line, at most 4 MiB, answered by a
//! line each, in their order. The caller must be root or the daemon's own user; members of
//! `control_group` may ask and change nothing.
//!
//! ```text
//! {"v": 1, "verb": "list", "filter": {"action": "roles", "states": ["dead"]}, "limit": 100}
//! {"v": 1, "ok": {"deliveries": [...], "totals": {...}, "next": null}}
//! {"v": 1, "error": {"code": "not-found", "message": "there is no delivery 17.0"}}
//! ```
//!
//! | verb | takes | answers |
//! | --- | --- | --- |
//! | `status` | | [`Status`] |
//! | `list` | `filter`, `order`, `after`, `limit` | [`List`] |
//! | `show` | `id`, `raw` | [`Show`] |
//! | `retry` | `filter`, `out_of_order`, `dry_run`, `by` | [`ChangeResult`] |
//! | `discard`, `release` | `filter`, `dry_run`, `by` | [`ChangeResult`] |
//! | `move` | `filter`, `to`, `dry_run`, `by` | [`ChangeResult`] |
//! | `pause`, `resume` | `action`, `by` | [`PauseResult`] |
//! | `probe` | `action`, `by` | [`ProbeResult`] |
//! | `replay` | `events` ([`Again`]), `keep_ids`, `by` | [`ReplayResult`] |
//! | `reload` | `by` | [`ReloadResult`] |
//! | `quarantine-list` | `filter` ([`WhichMessages`]), `after`, `limit` | [`QuarantineList`] |
//! | `quarantine-show` | `id`, `raw` | [`QuarantineShow`] |
//! | `quarantine-retry` | `messages` ([`MessageAgain`]), `by` | [`QuarantineChanges`] |
//! | `quarantine-discard` | `filter`, `dry_run`, `by` | [`QuarantineChanges`] |
//!
//! While the daemon works on a request it sends a space four times a second, before the line of the answer: a client that
//! reads nothing for long knows that the daemon hangs. With `"progress": true` the [`RequestProgress`] of a long request comes
//! in lines before its answer, and a client that goes away ends its request after the step under way. An unknown member or another
//! `v` is refused. `"journal": "/path"` in a request has it refused if the daemon's is another.
//!
//! [`ControlHandler`] answers, whatever the source of a request; [`ControlSocket`] is one way to it, [`reach`]
//! finds it from outside: by the socket where a daemon holds the journal, in this process where none does.

mod again;
mod answer;
mod client;
mod configuration;
mod handler;
mod lag;
mod no_access;
mod problem;
mod progress;
mod quarantine;
mod reach;
mod refusal;
mod request;
mod rules;
mod silence;
mod socket;
mod status;
mod time;
mod wire;
mod words;

use std::path::{Path, PathBuf};

pub use self::again::{Again, GivenMessage, RuleWish};
pub use self::answer::{
    AttemptAnswer, ChangeResult, Delivery, List, MaskedMessage, PauseResult, ProbeResult, RefusedDelivery,
    ReloadResult, ReplayResult, Show, StateTotals,
};
pub use self::client::{AskError, ControlClient};
pub use self::configuration::{ConfigurationReport, LastReload};
pub use self::handler::{
    ControlHandler, MeasuredAction, MeasuredJournal, MeasuredListener, Measurements, Store,
};
pub use self::no_access::NoAccess;
pub use self::problem::{Problem, ProblemKind, ProblemSeverity};
pub use self::progress::{OnProgress, RequestProgress};
pub use self::quarantine::{
    MessageAgain, NotChanged, QuarantineChanges, QuarantineList, QuarantineShow, QuarantinedMessage,
    WhichMessages,
};
pub use self::reach::{ControlBackend, ReachError, Where, reach};
pub use self::refusal::{Code, RequestRefusal};
pub use self::request::{ControlRequest, ListOrder, MOST_LISTED, Which};
pub use self::rules::{
    RuleReport, RuleSettings, RuleTrial, RulesReport, TrialReport, TriedEvent, UnmatchedPage, UnmatchedRow,
};
pub use self::silence::Silence;
pub use self::socket::{ControlSocket, bind_private};
pub use self::status::{
    AttemptFailure, ConfigurationStatus, ExpiryStatus, FailingResource, HeldThere, JournalMember,
    JournalStatus, LagStatus, LeftQueue, ListenerStatus, ManagementStatus, NotReloaded, PartitionLag,
    QueueRiskStatus, QueueStatus, RecordRefused, Status, TargetReport, Unavailable,
};
pub use self::time::{ago, shown as moment, span};
pub use self::words::{millis, size};

/// Bytes of a request, its line end included.
pub const LONGEST_REQUEST: usize = 4 << 20;

/// For fuzzing: a line is read as a request. The request written again, or the refusal's words.
#[doc(hidden)]
pub fn read_again(line: &[u8]) -> Result<Vec<u8>, String> {
    let asked = wire::read_request(line).map_err(|refusal| refusal.message)?;
    wire::write_request(&asked.request, asked.journal.as_deref(), asked.progress)
        .map_err(|error| error.to_string())
}

/// The only version of requests and answers so far.
pub const VERSION: u64 = 1;

/// The socket of a daemon with this state directory.
#[must_use]
pub fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

#[cfg(test)]
mod tests;
