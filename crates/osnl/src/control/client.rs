//! The client of a daemon's control socket.
//!
//! Each request has a connection of its own, because a command may pause for minutes between two requests. A daemon
//! that sends no lines hangs, and the error names its process.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_encode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::{AnswerLine, OnProgress};
use super::query::RESERVED;
use super::refusal::{Code, RequestRefusal};
use super::routes::Route;
use super::silence::{Silence, listening_process};
use super::socket::{connect_within, may_ask, with_short};
use super::{ControlRequest, JOURNAL_HEADER, LINES, socket_path};

/// The largest answer in bytes, which is a message's body.
const LONGEST: usize = 512 << 20;

/// Asks the daemon behind a control socket.
#[derive(Clone, Debug)]
pub struct ControlClient {
    socket: PathBuf,
    patience: Duration,
    journal: Option<PathBuf>,
}

/// The reasons for which a request to the daemon has no result.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(transparent)]
    Refused(#[from] RequestRefusal),
    #[error("{0}")]
    Silent(Box<Silence>),
    #[error("the daemon did not answer: {0}")]
    Io(#[from] io::Error),
    #[error("what the daemon answered is not understood: {0}; it may be of another version")]
    NotUnderstood(String),
}

impl From<hyper::Error> for AskError {
    fn from(error: hyper::Error) -> Self {
        if error.is_parse() {
            Self::NotUnderstood(error.to_string())
        } else {
            Self::Io(io::Error::other(error))
        }
    }
}

impl From<serde_json::Error> for AskError {
    fn from(error: serde_json::Error) -> Self {
        Self::NotUnderstood(error.to_string())
    }
}

impl ControlClient {
    /// Returns a client of the daemon with this state directory, if the daemon accepts a connection.
    /// `patience` is the longest silence of the daemon.
    ///
    /// # Errors
    /// The socket is missing, no daemon accepts its connections, or it belongs to a user other than root,
    /// this user, and the owner of the folder. A daemon whose queue of connections stays full is
    /// [`io::ErrorKind::WouldBlock`].
    pub fn connect(state_dir: &Path, patience: Duration) -> io::Result<Self> {
        let client = Self { socket: socket_path(state_dir), patience, journal: None };
        client.stream()?;
        Ok(client)
    }

    fn stream(&self) -> io::Result<UnixStream> {
        let owner = std::fs::symlink_metadata(&self.socket)?.uid();
        // A member of control_group asks a daemon of another user; that user's folder is as trusted as the
        // socket.
        let is_of_folder = || {
            let folder = self.socket.parent().and_then(|folder| std::fs::metadata(folder).ok());
            folder.is_some_and(|folder| folder.uid() == owner)
        };
        if rustix::process::geteuid().as_raw() != 0 && !may_ask(owner) && !is_of_folder() {
            let why = format!("the socket belongs to user {owner}, its folder to another one");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        with_short(&self.socket, |short| connect_within(short, self.patience))
    }

    #[must_use]
    pub(super) fn with_journal(self, journal: PathBuf) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// A daemon whose journal is not `journal` refuses the request.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        request: &ControlRequest,
        journal: Option<&Path>,
    ) -> Result<T, AskError> {
        Ok(serde_json::from_value(self.ask_with_progress(request, journal, &|_| {}).await?)?)
    }

    pub async fn ask_with_progress(
        &self,
        request: &ControlRequest,
        journal: Option<&Path>,
        told: OnProgress<'_>,
    ) -> Result<Value, AskError> {
        let request = written(request, journal)?;
        let stream = self.stream().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => AskError::Silent(self.silence(None)),
            _ => error.into(),
        })?;
        let process = listening_process(&stream);
        stream.set_nonblocking(true)?;
        let stream = TokioIo::new(tokio::net::UnixStream::from_std(stream)?);
        let (mut sender, connection) = http1::handshake(stream).await?;
        // Dropping the set ends the connection with this request.
        let mut connections = JoinSet::new();
        connections.spawn(connection);
        let answer = self.within(process, sender.send_request(request)).await??;
        self.heard(process, answer, told).await
    }

    async fn heard(
        &self,
        process: Option<i32>,
        answer: Response<Incoming>,
        told: OnProgress<'_>,
    ) -> Result<Value, AskError> {
        let (head, mut body) = answer.into_parts();
        let mut text = Vec::new();
        while let Some(frame) = self.within(process, body.frame()).await? {
            let Ok(data) = frame?.into_data() else { continue };
            text.extend_from_slice(&data);
            if text.len() > LONGEST {
                return Err(AskError::NotUnderstood(format!("it is longer than {LONGEST} bytes")));
            }
            // A large result arrives in thousands of pieces, so only a piece with a line end is searched.
            while head.status == StatusCode::OK && data.contains(&b'\n') {
                let Some(end) = text.iter().position(|byte| *byte == b'\n') else { break };
                let line: Vec<u8> = text.drain(..=end).collect();
                match line.trim_ascii() {
                    [] => {}
                    line => match serde_json::from_slice(line)? {
                        AnswerLine::Progress(progress) => told(progress),
                        AnswerLine::Ok(answer) => return Ok(answer),
                        AnswerLine::Error(refusal) => return Err(refusal.into()),
                    },
                }
            }
        }
        match head.status {
            StatusCode::OK => Err(AskError::Io(io::ErrorKind::UnexpectedEof.into())),
            // The server's parser answers without a body, such as with 431.
            status if text.is_empty() => {
                let why = format!("the request was refused: {status}; ask in parts, or by a filter");
                Err(RequestRefusal::new(Code::BadRequest, why).into())
            }
            _ => Err(refused(&text)),
        }
    }

    async fn within<T>(&self, process: Option<i32>, what: impl Future<Output = T>) -> Result<T, AskError> {
        timeout(self.patience, what).await.map_err(|_| AskError::Silent(self.silence(process)))
    }

    fn silence(&self, process: Option<i32>) -> Box<Silence> {
        Silence::new(process, &self.socket, self.journal.as_deref(), self.patience)
    }
}

fn written(request: &ControlRequest, journal: Option<&Path>) -> Result<Request<Full<Bytes>>, AskError> {
    let bad = |message: String| RequestRefusal::new(Code::BadRequest, message);
    let (route, target, body) = Route::write(request).map_err(bad)?;
    let mut head = Request::builder()
        .method(&route.method)
        .uri(target)
        // HTTP requires the name of a host, and a socket has none.
        .header(HOST, "osnl")
        .header(ACCEPT, LINES)
        .header(CONTENT_TYPE, "application/json");
    if let Some(journal) = journal {
        let path = percent_encode(journal.as_os_str().as_bytes(), RESERVED).to_string();
        head = head.header(JOURNAL_HEADER, path);
    }
    head.body(Full::from(body)).map_err(|error| bad(format!("{error}; ask in parts, or by a filter")).into())
}

fn refused(text: &[u8]) -> AskError {
    #[derive(Deserialize)]
    struct Refused {
        error: Told,
    }
    #[derive(Deserialize)]
    struct Told {
        code: Value,
        message: String,
    }
    match serde_json::from_slice(text) {
        Ok(Refused { error: Told { code, message } }) => {
            // The server's own codes, such as `method`, are about the request.
            let code = serde_json::from_value(code).unwrap_or(Code::BadRequest);
            RequestRefusal::new(code, message).into()
        }
        Err(error) => error.into(),
    }
}
