//! The compatible form of oss_watcher: reports allocations and releases of addresses to another
//! system.
//!
//! The [OSS Framework](https://github.com/iwwwwwwi/oss_framework) (2015, Python 2) consumes a
//! queue, builds a *node detail* from four kinds of events, and passes it to plug-ins; the default
//! plug-in posts the detail. This crate runs its configuration file with the same meaning, on
//! services without patches:
//!
//! ```
//! use osnl_model::Notification;
//! use osnl_legacy::oss::{BodyForm, EventReport, Lists, Memory, NodeForm, PluginInvocation};
//!
//! let message = Notification::decode(
//!     br#"{"event_type": "compute.instance.create.end", "payload": {"instance_id": "2f6c", "hostname": "web-1",
//!         "display_name": "web 1", "created_at": "2026-11-20 07:14:20+00:00", "fixed_ips": [{"address": "10.0.0.7"}]}}"#,
//! )?;
//! // The memory keeps what earlier events said of the same instance.
//! let (mut memory, lists) = (Memory::default(), Lists::default());
//! let happened = memory.interpret(&message, None, &lists).happened;
//!
//! let EventReport::Calls(calls) = EventReport::from(happened, "compute.instance.create.end", None, &lists) else {
//!     return Err("nothing to report".into());
//! };
//! let [PluginInvocation { happened, created: true }] = &calls[..] else { return Err("not one allocation".into()) };
//! let body = BodyForm::Json.text(&NodeForm::default().node_detail(happened))?;
//! assert!(body.starts_with(r#"{"FQDN": "web-1", "IP": "10.0.0.7", "#), "{body}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! All modules are pure but for [`Servers`], the source of answers, which [`CloudLookup`] asks before a delivery's
//! first attempt.

mod asked;
mod body;
mod bounds;
mod completing;
pub mod conf;
mod drivers;
mod event;
mod instance;
mod memory;
mod node_detail;
mod ordered;
pub mod python;
pub mod rest;
mod servers;
#[cfg(test)]
mod tests;
mod told;
mod watched;
mod watcher;
mod wire_log;

pub use self::asked::CloudLookup;
pub use self::body::BodyForm;
pub use self::completing::CompletionStep;
pub use self::drivers::drivers;
pub use self::event::{Lists, Occurrence, What};
pub use self::instance::{KnownInstance, Nic};
pub use self::memory::{EventMeaning, Memory, RowChange};
pub use self::node_detail::{Constants, DetailKeys, IpType, NodeDetail, NodeForm};
pub use self::ordered::OrderedMap;
pub use self::servers::{Complete, KnownServer, Servers, completed};
pub use self::told::{EventReport, PluginInvocation};
pub use self::watched::WatchedActions;
pub use self::watcher::Watcher;

/// The version that `oss_watcher --version` has always printed; the version of osnl is the crate's.
#[must_use]
pub fn version() -> &'static str {
    "2015.1"
}
