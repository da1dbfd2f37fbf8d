//! Asking a daemon from another process. Calls block, each for as long as the daemon is silent at most.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::progress::OnProgress;
use super::refusal::RequestRefusal;
use super::silence::{Silence, listening_process};
use super::socket::with_short;
use super::wire::{AnswerLine, read_answer, write_request};
use super::{ControlRequest, socket_path};

/// Bytes of an answer; the largest is a message's body.
const LONGEST: u64 = 512 << 20;

/// A connection to a daemon's socket.
#[derive(Debug)]
pub struct ControlClient {
    stream: BufReader<UnixStream>,
    socket: PathBuf,
    patience: Duration,
    /// The journal whose lock shows that the daemon runs.
    journal: Option<PathBuf>,
}

/// The reasons for a missing answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The daemon does not do it.
    #[error(transparent)]
    Refused(#[from] RequestRefusal),
    /// The daemon was silent for too long.
    #[error("{0}")]
    Silent(Box<Silence>),
    #[error("the daemon did not answer: {0}")]
    Io(#[from] io::Error),
    /// The answer is not valid JSON.
    #[error("what the daemon answered is not understood: {0}; it may be of another version")]
    Json(#[from] serde_json::Error),
}

impl ControlClient {
    /// Connects to the socket of a state directory. From now on the daemon may be silent for so long at a time; while it
    /// works on a request it gives signs of life.
    ///
    /// # Errors
    /// The socket is missing, no daemon answers on it, or it belongs to a user other than root, this one, and the owner
    /// of the folder. A daemon whose queue of connections stays full is [`io::ErrorKind::WouldBlock`].
    pub fn connect(state_dir: &Path, patience: Duration) -> io::Result<Self> {
        let path = socket_path(state_dir);
        let owner = std::fs::symlink_metadata(&path)?.uid();
        let own = rustix::process::geteuid().as_raw();
        // A member of control_group asks a daemon of another user; that user's folder is as trusted as the socket.
        let is_trusted = owner == 0
            || owner == own
            || std::fs::metadata(state_dir).is_ok_and(|folder| folder.uid() == owner);
        if own != 0 && !is_trusted {
            let why = format!("the socket belongs to user {owner}, its folder to another one");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let stream = with_short(&path, |short| connect_within(short, patience))?;
        stream.set_read_timeout(Some(patience))?;
        Ok(Self { stream: BufReader::new(stream), socket: path, patience, journal: None })
    }

    /// Sets the journal whose lock shows that the daemon runs.
    #[must_use]
    pub(super) fn with_journal(self, journal: PathBuf) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// Asks, and waits for the answer. A daemon with another journal than this refuses.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn ask(&mut self, request: &ControlRequest, journal: Option<&Path>) -> Result<Value, AskError> {
        self.asked(request, journal, None)
    }

    /// Like [`ask`](Self::ask), and reports the progress.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn ask_telling(
        &mut self,
        request: &ControlRequest,
        journal: Option<&Path>,
        told: OnProgress<'_>,
    ) -> Result<Value, AskError> {
        self.asked(request, journal, Some(told))
    }

    fn asked(
        &mut self,
        request: &ControlRequest,
        journal: Option<&Path>,
        told: Option<OnProgress<'_>>,
    ) -> Result<Value, AskError> {
        let request = write_request(request, journal, told.is_some())?;
        let mut line = self.exchange(Some(&request))?;
        loop {
            match read_answer(&line)? {
                AnswerLine::Answer(answer) => return Ok(answer?),
                AnswerLine::Progress(progress) => told.iter().for_each(|told| told(progress)),
            }
            line = self.exchange(None)?;
        }
    }

    /// Sends a request, if there is one, and reads a line.
    fn exchange(&mut self, request: Option<&[u8]>) -> Result<Vec<u8>, AskError> {
        let sent = request.map_or(Ok(()), |request| self.stream.get_mut().write_all(request));
        sent.and_then(|()| self.line()).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::Silent(self.silence()),
            _ => error.into(),
        })
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        // Spaces come in while the daemon works: each begins the wait anew.
        if (&mut self.stream).take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line)
    }

    fn silence(&self) -> Box<Silence> {
        let process = listening_process(self.stream.get_ref());
        Silence::of(process, &self.socket, self.journal.as_deref(), self.patience)
    }

    /// Like [`ask`](Self::ask), and reads the answer as `T`.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn ask_for<T: DeserializeOwned>(
        &mut self,
        request: &ControlRequest,
        journal: Option<&Path>,
    ) -> Result<T, AskError> {
        Ok(serde_json::from_value(self.ask(request, journal)?)?)
    }
}

/// Connects, and waits so long at most where the queue of connections is full: each command that gave up on a hung
/// daemon has left one there. The limit holds for writing too.
pub(super) fn connect_within(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}
