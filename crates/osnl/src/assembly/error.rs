//! The reasons why a configuration that is right cannot run here.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use osnl_transport::TransportError;

use crate::action::driver::DriverError;
use crate::action::http::HttpError;
use crate::journal::shared::UnusableDatabase;
use crate::journal::sqlite::OpenError;

/// The reasons why a valid configuration cannot run on this machine.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A listener's transport.
    #[error("[listener:{listener}] {error}")]
    Transport {
        /// The section's name.
        listener: Arc<str>,
        /// The fault.
        error: TransportError,
    },
    /// Nothing names a folder for what has to outlive the process.
    #[error(
        "[listener:{listener}] a stream needs a folder for how far it was read; set state_dir in [DEFAULT]"
    )]
    NoState {
        /// The section's name.
        listener: Arc<str>,
    },
    /// The folder for what has to outlive the process.
    #[error(
        "[listener:{listener}] {}: {error}; name another folder with state_dir in [DEFAULT], or give this user write access",
        .path.display()
    )]
    State {
        /// The section's name.
        listener: Arc<str>,
        /// The state directory.
        path: PathBuf,
        /// The operating system's reason.
        error: io::Error,
    },
    /// Another user could replace what has to outlive the process.
    #[error("[DEFAULT] state_dir: {0}")]
    OpenState(#[from] crate::state_dir::UnsafePlace),
    /// Another daemon keeps its state there.
    #[error(
        "[DEFAULT] state_dir: {} is in use by {by}; a state directory belongs to one daemon: stop that process, or set \
         another state_dir here", .folder.display()
    )]
    StateInUse {
        /// The state directory.
        folder: PathBuf,
        /// The process.
        by: String,
    },
    /// The file of the journal.
    #[error("[journal] {}: {error}", .path.display())]
    Journal {
        /// As configured.
        path: PathBuf,
        /// The fault and its remedy.
        error: OpenError,
    },
    /// The database of a shared journal answers, and cannot be used.
    #[error("[journal] {database}: {error}")]
    Database {
        /// The connection, without its password.
        database: String,
        /// The fault and its remedy.
        error: UnusableDatabase,
    },
    /// An action cannot be built.
    #[error(transparent)]
    Action(#[from] DriverError),
    /// The certificates of an enrichment.
    #[error("[enrich:{name}] {error}")]
    Enrich {
        /// The section's name.
        name: Arc<str>,
        /// The fault and its remedy.
        error: HttpError,
    },
}
