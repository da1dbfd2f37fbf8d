//! Access from outside: by the socket if a daemon holds the journal, in this process otherwise.
//!
//! Commands on the file of a stopped daemon use the same handler, on a journal that is opened without bounds:
//! opening it for a change must not remove records.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::no_access::NoAccess;
use super::silence::Silence;
use super::{ConfiguredNames, ControlClient, ControlHandler, socket_path};
use crate::dead_letters::DeadLetterQueues;
use crate::journal::files::LockHolder;
use crate::journal::sqlite::SqliteJournal;

/// A starting daemon holds the lock before its socket exists; another command holds the lock for a moment.
const BEGINNING: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);

/// The places at which a command looks for a daemon or a journal.
#[derive(Clone, Debug, Default)]
pub struct Where {
    pub state_dir: Option<PathBuf>,
    /// The journal's file; `None` for a daemon with a journal in memory.
    pub journal: Option<PathBuf>,
    pub dead_letters: Arc<DeadLetterQueues>,
    /// Any journal that the daemon of the state directory has will do.
    pub any_journal: bool,
    pub names: Option<Arc<ConfiguredNames>>,
}

/// The answerer of a command's requests: a daemon, or the file of a stopped one.
pub enum ControlBackend {
    Daemon(ControlClient, Option<PathBuf>),
    File(ControlHandler),
}

/// The reasons for which a command finds neither a daemon nor a journal.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    #[error(
        "no daemon answers at {socket}, and {file}; start the daemon (osnl run), or name it by its -c, --state-dir, or --journal"
    )]
    Nothing { socket: String, file: String },
    /// The journal is in use, and the process that holds it does not answer.
    #[error("{journal} is in use by {holder}, which does not answer at {socket}: {error}")]
    Silent { journal: String, holder: LockHolder, socket: String, error: io::Error },
    /// This user may not access the daemon's socket, so the daemon's state is unknown.
    #[error(
        "{0}, so whether a daemon runs is not known; run this command as root or as the daemon's user, or let a group read its \
         status and deliveries with control_group"
    )]
    Forbidden(NoAccess),
    #[error("{0}")]
    Hung(Box<Silence>),
    #[error("{socket}: {error}")]
    Socket { socket: String, error: io::Error },
}

/// Finds the daemon or file that answers; waits for seconds at most. `patience` bounds a daemon's silence.
pub async fn reach(place: &Where, patience: Duration) -> Result<ControlBackend, ReachError> {
    let folder = place.state_dir.clone().or_else(|| Some(place.journal.as_ref()?.parent()?.to_owned()));
    let folder = folder.unwrap_or_default();
    let socket = socket_path(&folder).display().to_string();
    let meant = place.journal.clone().filter(|_| !place.any_journal);
    // The lock shows that a daemon runs that does not answer.
    let locked = place.journal.clone().unwrap_or_else(|| folder.join("journal.db"));
    let deadline = Instant::now() + BEGINNING.min(patience);
    loop {
        let holder = place.journal.as_deref().map_or(Ok(None), SqliteJournal::find_holder);
        // A member of control_group may use the socket but not see the lock; the daemon compares the journal
        // then.
        let is_hidden = holder.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        let holder = holder.ok().flatten();
        // A daemon of the same directory with another journal is not asked about a file that no process
        // holds.
        if holder.is_none() && !is_hidden && !place.any_journal && place.journal.is_some() {
            break;
        }
        let error = match ControlClient::connect(&folder, patience) {
            Ok(client) => {
                return Ok(ControlBackend::Daemon(client.with_journal(locked), meant));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(ReachError::Hung(Silence::new(
                    None,
                    &socket_path(&folder),
                    Some(&locked),
                    patience,
                )));
            }
            Err(error) => error,
        };
        if error.kind() == io::ErrorKind::PermissionDenied {
            return Err(ReachError::Forbidden(NoAccess::to(&socket_path(&folder))));
        }
        let absent = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
        match (holder, &place.journal) {
            (None, _) if absent => break,
            (None, _) => return Err(ReachError::Socket { socket, error }),
            (Some(_), _) if absent && Instant::now() < deadline => sleep(PAUSE).await,
            (Some(holder), journal) => {
                let journal = journal.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
                return Err(ReachError::Silent { journal, holder, socket, error });
            }
        }
    }
    match &place.journal {
        Some(file) if NoAccess::is_refused(file) => {
            let file = format!("{}; run this command as root or as the daemon's user", NoAccess::to(file));
            Err(ReachError::Nothing { socket, file })
        }
        Some(file) if file.exists() => {
            Ok(ControlBackend::File(ControlHandler::for_file(file.clone(), place.names.clone())))
        }
        Some(file) => {
            let file = format!("there is no journal {}", file.display());
            Err(ReachError::Nothing { socket, file })
        }
        None if !place.dead_letters.is_empty() => {
            let (queues, names) = (place.dead_letters.clone(), place.names.clone());
            Ok(ControlBackend::File(ControlHandler::for_dead_letters(queues, names)))
        }
        None => {
            let file = "its journal is in memory, of which nothing is left".to_owned();
            Err(ReachError::Nothing { socket, file })
        }
    }
}
