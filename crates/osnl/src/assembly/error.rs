use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use osnl_transport::TransportError;

use crate::action::driver::DriverError;
use crate::action::http::HttpError;
use crate::journal::files::LockHolder;
use crate::journal::sqlite::OpenError;

/// The reasons for which no daemon can be built of a valid configuration.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("[listener:{listener}] {error}")]
    Transport { listener: Arc<str>, error: TransportError },
    #[error(
        "[listener:{listener}] {}: {error}; name another folder with state_dir in [DEFAULT], or give this user write access",
        .path.display()
    )]
    State { listener: Arc<str>, path: PathBuf, error: io::Error },
    #[error("[DEFAULT] state_dir: {0}")]
    OpenState(#[from] crate::state_dir::UnsafePlace),
    #[error(
        "[DEFAULT] state_dir: {} is in use by {by}; a state directory belongs to one daemon: stop that process, or set \
         another state_dir here", .folder.display()
    )]
    StateInUse { folder: PathBuf, by: LockHolder },
    #[error("[journal] {}: {error}", .path.display())]
    Journal { path: PathBuf, error: OpenError },
    #[error(transparent)]
    Action(#[from] DriverError),
    #[error("[enrich:{name}] {error}")]
    Enrich { name: Arc<str>, error: HttpError },
}
