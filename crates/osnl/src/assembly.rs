//! The assembly of `osnl run`: from a checked configuration to a daemon, and from a daemon's configuration to the next.

mod build;
mod canary;
mod error;
mod exits;
mod incidents;
mod opened_journal;
mod orphans;
mod parts;
mod refusals;
mod reload_summary;
mod reloading;
mod secrets;
mod silence;

pub use self::error::BuildError;
pub use self::opened_journal::OpenedJournal;
pub use self::orphans::Orphans;
pub use self::parts::Transports;
pub use self::reloading::Logs;
