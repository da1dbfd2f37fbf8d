//! The compatible form of oss_watcher: creations and releases of addresses, posted to another system.
//!
//! The [OSS Framework](https://github.com/iwwwwwwi/oss_framework) (2015, Python 2) consumes a queue, makes a *node
//! detail* of four kinds of event and hands it to plug-ins, by default to one that posts it. Its file runs here with the
//! same meaning; what it needed patched services for, and what ended it, is done otherwise:
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`event`](Lists) | which events count, and whether something came or went |
//! | [`memory`](Memory) | what was seen of instances, ports and floating IPs, and what an event means against it |
//! | [`node_detail`](NodeForm) | the keys and values of a node detail, in each of the program's forms |
//! | [`body`](Body) | JSON, or the XML around it |
//! | [`asked`](Asked) | what nova, neutron and glance say of an instance |
//! | [`completing`](Completing) | the questions of a delivery, and that each is asked once |
//!
//! All of it is pure but for [`Servers`], the source of answers; [`Asked`] asks, before a delivery's first attempt. The
//! action that posts is [`rest`]; [`python`] calls plug-ins, and [`drivers`] adds both to those of `osnl run`.

mod asked;
mod body;
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
mod watcher;
mod wire_log;

pub use self::asked::Asked;
pub use self::body::Body;
pub use self::completing::Completing;
pub use self::drivers::drivers;
pub use self::event::{Happened, Lists, What};
pub use self::instance::{Instance, Nic};
pub use self::memory::{Meaning, Memory, RowChange};
pub use self::node_detail::{Constants, IpType, Keys, NodeDetail, NodeForm, Values};
pub use self::ordered::Ordered;
pub use self::servers::{Complete, Server, Servers, completed};
pub use self::told::{Call, Telling};
pub use self::watcher::{Watched, Watcher};

/// The version that `oss_watcher --version` has always said; the version of osnl is the crate's.
#[must_use]
pub fn version() -> &'static str {
    "2015.1"
}
