//! Asking a daemon from another process. Calls block.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::refusal::Refusal;
use super::socket::with_short;
use super::wire::{read_answer, write_request};
use super::{Request, socket_path};

/// A filter over a million deliveries takes seconds, a change of all of them longer.
const PATIENCE: Duration = Duration::from_secs(300);
/// Bytes of an answer; the largest is a message's body.
const LONGEST: u64 = 512 << 20;

/// A connection to a daemon's socket.
#[derive(Debug)]
pub struct Client(BufReader<UnixStream>);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The daemon does not do it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The connection ended, or took too long.
    #[error("the daemon did not answer: {0}")]
    Io(#[from] io::Error),
    /// The answer is not valid JSON.
    #[error("what the daemon answered is not understood: {0}; it may be of another version")]
    Json(#[from] serde_json::Error),
}

impl Client {
    /// Connects to the socket of a state directory.
    ///
    /// # Errors
    /// The socket is missing, no daemon answers on it, or it belongs to another user other than root.
    pub fn connect(state_dir: &Path) -> io::Result<Self> {
        let path = socket_path(state_dir);
        let owner = std::fs::symlink_metadata(&path)?.uid();
        let own = rustix::process::geteuid().as_raw();
        if own != 0 && owner != 0 && owner != own {
            let why = format!("the socket belongs to user {owner}; ask as that user or as root");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let stream = with_short(&path, |short| UnixStream::connect(short))?;
        let client = Self(BufReader::new(stream));
        client.wait_at_most(PATIENCE)?;
        Ok(client)
    }

    /// Waits so long for each answer.
    ///
    /// # Errors
    /// The operating system's.
    pub fn wait_at_most(&self, patience: Duration) -> io::Result<()> {
        self.0.get_ref().set_read_timeout(Some(patience))?;
        self.0.get_ref().set_write_timeout(Some(patience))
    }

    /// Asks, and waits for the answer. A daemon with another journal than this refuses.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn ask(&mut self, request: &Request, journal: Option<&Path>) -> Result<Value, AskError> {
        self.0.get_mut().write_all(&write_request(request, journal)?)?;
        let mut line = Vec::new();
        if (&mut self.0).take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(read_answer(&line)??)
    }

    /// The same, read.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn ask_for<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        journal: Option<&Path>,
    ) -> Result<T, AskError> {
        Ok(serde_json::from_value(self.ask(request, journal)?)?)
    }
}
