//! The socket: made with mode 0600, several clients, bounded requests, removed at the end. With a group it has mode 0660,
//! and its members may ask for what changes nothing and holds no secret; the folder can be entered then, and its
//! other files are the owner's alone.
//!
//! Root and the daemon's own user have a share of the clients of their own, so that other users never keep them out. In each
//! share the oldest idle client gives way to a new one ([`Connections`]); while all are being answered, the new one is refused.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::client::connect_within;
use super::progress::RequestProgress;
use super::refusal::{Code, RequestRefusal};
use super::wire::{WireRequest, read_request, write_answer, write_progress};
use super::{ControlHandler, LONGEST_REQUEST, socket_path};
use crate::connections::{Busy, Connections};
use crate::group::SystemGroup;

/// Clients of root and the daemon's user at once.
const OPERATORS: usize = 64;
/// Those of all other users.
const OTHERS: usize = 16;
/// The first request of a client must be there within this time: a command asks as soon as it is connected.
const FIRST: Duration = Duration::from_secs(5);
/// A client that says nothing more, or takes no answer, for so long is let go.
const IDLE: Duration = Duration::from_secs(60);
/// While a request is worked on, the client gets a space so often: JSON allows it before an answer, and the client knows
/// that this process lives.
const ALIVE: Duration = Duration::from_millis(250);
/// A request that has no answer after so many is one of a thread that hangs.
const MOST_ALIVE: u32 = 1200;
/// The interval between two lines about the progress of a request.
const TELL: Duration = Duration::from_millis(500);
/// Clients that the kernel keeps until they are accepted, as with the standard library.
const BACKLOG: i32 = 128;
/// Bytes of a path that `sockaddr_un` holds (`unix(7)`), its zero apart.
const ADDRESS: usize = 107;

/// A handler behind a socket, not there yet.
pub struct ControlSocket {
    state_dir: PathBuf,
    handler: Arc<ControlHandler>,
    group: Option<SystemGroup>,
}

/// The rights of a client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rights {
    All,
    Reads,
    None,
}

/// Why there is no socket. What is said follows its path.
#[derive(Debug, thiserror::Error)]
enum BindError {
    #[error("another daemon answers there; give each its own state_dir")]
    InUse,
    #[error("exists and is not a socket; move it away")]
    NoSocket,
    #[error("belongs to user {0}; remove it, or name another state_dir")]
    Foreign(u32),
    #[error(
        "it cannot be given to the group {0}: {1}; make this user a member of it (SupplementaryGroups={0} and \
         SystemCallFilter=@chown in the unit), or remove control_group"
    )]
    Group(String, io::Error),
    #[error("{0}; give this user write access to the folder, or name another state_dir")]
    Io(#[from] io::Error),
}

/// The socket's file, removed at the end if it is still ours.
struct BoundSocket {
    path: PathBuf,
    inode: (u64, u64),
}

impl ControlSocket {
    /// A handler for the socket of this state directory, which is created if missing.
    #[must_use]
    pub fn new(state_dir: PathBuf, handler: Arc<ControlHandler>) -> Self {
        Self { state_dir, handler, group: None }
    }

    /// Lets members of this group ask for what changes nothing.
    #[must_use]
    pub fn open_to(self, group: Option<SystemGroup>) -> Self {
        Self { group, ..self }
    }

    /// Returns the rights of a client. Beside root and the owner, the socket's mode lets in the group alone.
    fn rights(&self, client: &UnixStream) -> Rights {
        match (client.peer_cred(), &self.group) {
            (Ok(peer), _) if may_ask(peer.uid()) => Rights::All,
            (Ok(_), Some(_)) => Rights::Reads,
            (Ok(_), None) | (Err(_), _) => Rights::None,
        }
    }

    /// Answers requests until `stop`. Without a socket the daemon runs on, and the log has the reason.
    pub async fn run(self, stop: CancellationToken) {
        let path = socket_path(&self.state_dir);
        let (listener, _bound) = match bind(&self.state_dir, self.group.as_ref()) {
            Ok(bound) => bound,
            Err(error) => {
                tracing::warn!(
                    path = %path.display(),
                    error = error.to_string(),
                    "no control socket: osnl status and deliveries cannot ask this process"
                );
                return;
            }
        };
        let (mut operators, mut others) = (Connections::at_most(OPERATORS), Connections::at_most(OTHERS));
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = operators.ended() => {}
                () = others.ended() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let rights = self.rights(&stream);
                        let share = if rights == Rights::All { &mut operators } else { &mut others };
                        if share.make_room() {
                            let (handler, group) = (self.handler.clone(), self.group.clone());
                            share.add(move |busy| Box::pin(serve(stream, handler, rights, group, busy)));
                        } else {
                            refuse_for_now(&stream);
                        }
                    }
                    Err(error) => {
                        // Such as too many open files: it may pass.
                        tracing::warn!(error = error.to_string(), "control socket: accept failed, retrying in 1 s");
                        let _ = timeout(Duration::from_secs(1), stop.cancelled()).await;
                    }
                },
            }
        }
    }
}

/// Tells a client that all are being answered. It has asked nothing yet, so its buffer has room.
fn refuse_for_now(client: &UnixStream) {
    let why = "too many requests are being answered; ask again in a moment";
    let _ = client.try_write(&write_answer(&Err(RequestRefusal::new(Code::Unavailable, why))));
}

/// One client, until it goes.
async fn serve(
    stream: UnixStream,
    handler: Arc<ControlHandler>,
    rights: Rights,
    group: Option<SystemGroup>,
    busy: Busy,
) {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading);
    let mut line = Vec::new();
    let mut wait = FIRST;
    loop {
        line.clear();
        busy.set(false);
        let mut bounded = (&mut reading).take(LONGEST_REQUEST as u64);
        match timeout(std::mem::replace(&mut wait, IDLE), bounded.read_until(b'\n', &mut line)).await {
            Ok(Ok(1..)) => busy.set(true),
            Ok(Ok(0) | Err(_)) | Err(_) => return,
        }
        let (answer, last) = if rights == Rights::None {
            let why = "only root and the daemon's own user may ask";
            (Err(RequestRefusal::new(Code::Forbidden, why)), true)
        } else if !line.ends_with(b"\n") && line.len() == LONGEST_REQUEST {
            let why =
                format!("the request is longer than {LONGEST_REQUEST} bytes; ask in parts, or by a filter");
            (Err(RequestRefusal::new(Code::BadRequest, why)), true)
        } else {
            let answer = match read(&handler, &line).await {
                Err(refusal) => Some(Err(refusal)),
                Ok(asked) if rights == Rights::Reads && !asked.request.only_reads() => {
                    let group = group.iter().map(|group| group.name.as_str()).collect::<String>();
                    let why = format!(
                        "members of the group {group} may only read; ask as root or as the daemon's user"
                    );
                    Some(Err(RequestRefusal::new(Code::Forbidden, why)))
                }
                Ok(asked) if !asked.request.only_reads() && has_gone(&mut writing).await => {
                    tracing::info!("a change was asked for by a client that has gone; it is not made");
                    return;
                }
                Ok(asked) if asked.progress => telling(&handler, &asked, &mut reading, &mut writing).await,
                Ok(asked) => Some(beside_signs_of_life(handler.answer(&asked.request), &mut writing).await),
            };
            let Some(answer) = answer else { return };
            (answer, false)
        };
        match timeout(IDLE, writing.write_all(&write_answer(&answer))).await {
            Ok(Ok(())) if !last => {}
            Ok(Ok(()) | Err(_)) | Err(_) => return,
        }
    }
}

/// Whether the client has given up before its request was begun, as it does when this process hangs for a while. What it was
/// told has failed must not happen later.
async fn has_gone(client: &mut OwnedWriteHalf) -> bool {
    // A space before an answer is no part of it.
    !matches!(timeout(IDLE, client.write_all(b" ")).await, Ok(Ok(())))
}

/// An answer, with spaces before it while it is being made. A client that has gone does not end what it asked for.
async fn beside_signs_of_life<T>(answer: impl Future<Output = T>, client: &mut OwnedWriteHalf) -> T {
    tokio::pin!(answer);
    let mut alive = interval_at(Instant::now() + ALIVE, ALIVE);
    let mut left = MOST_ALIVE;
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            _ = alive.tick(), if left > 0 => {
                let is_sent = client.try_write(b" ").is_ok();
                left = if is_sent { left - 1 } else { 0 };
            }
        }
    }
}

async fn read(handler: &ControlHandler, line: &[u8]) -> Result<WireRequest, RequestRefusal> {
    let asked = read_request(line)?;
    if let Some(journal) = &asked.journal {
        handler.is_of(journal).await?;
    }
    Ok(asked)
}

/// The answer, with lines about its progress before it; `None` once the client is gone. What it has asked for ends then,
/// after the step that is under way.
async fn telling(
    handler: &ControlHandler,
    asked: &WireRequest,
    reading: &mut BufReader<OwnedReadHalf>,
    writing: &mut OwnedWriteHalf,
) -> Option<Result<serde_json::Value, RequestRefusal>> {
    let latest = Mutex::new(None);
    let note =
        |progress: RequestProgress| *latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
    let answering = handler.answer_telling(&asked.request, &note);
    tokio::pin!(answering);
    let mut ticks = interval_at(Instant::now() + TELL, TELL);
    let mut is_there = true;
    loop {
        tokio::select! {
            biased;
            answer = &mut answering => return Some(answer),
            read = reading.fill_buf(), if is_there => match read {
                Ok([]) | Err(_) => return None,
                Ok(_) => is_there = false,
            },
            _ = ticks.tick() => {
                let told = latest.lock().unwrap_or_else(PoisonError::into_inner).take();
                // A space is a sign of life.
                let line = told.map_or_else(|| b" ".to_vec(), write_progress);
                match timeout(IDLE, writing.write_all(&line)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return None,
                }
            }
        }
    }
}

fn may_ask(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Binds the socket, and replaces one on which no process answers any more.
fn bind(state_dir: &Path, group: Option<&SystemGroup>) -> Result<(UnixListener, BoundSocket), BindError> {
    DirBuilder::new().recursive(true).mode(0o700).create(state_dir)?;
    let path = socket_path(state_dir);
    if let Some(found) = found(&path)? {
        if !found.file_type().is_socket() {
            return Err(BindError::NoSocket);
        }
        if !may_ask(found.uid()) && rustix::process::geteuid().as_raw() != 0 {
            return Err(BindError::Foreign(found.uid()));
        }
        match with_short(&path, |short| connect_within(short, Duration::from_secs(1))) {
            Ok(_) => return Err(BindError::InUse),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(BindError::InUse),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Under another name until its mode is right; then it takes the place at once.
    let fresh = state_dir.join(format!("control.sock.{}", std::process::id()));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let listener = with_short(&fresh, bind_private)?;
    if let Some(group) = group {
        share(state_dir, group, 0o710).and_then(|()| share(&fresh, group, 0o660)).inspect_err(|_| {
            let _ = fs::remove_file(&fresh);
        })?;
    }
    fs::rename(&fresh, &path)?;
    let meta = fs::symlink_metadata(&path)?;
    Ok((listener, BoundSocket { path, inode: (meta.dev(), meta.ino()) }))
}

/// Binds a socket that only this user can open. It has its mode before it has a name, so that no other user can connect
/// in between, whatever the umask.
///
/// # Errors
/// Those of the operating system.
pub fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    UnixListener::from_std(socket.into())
}

/// Gives it to the group.
fn share(path: &Path, group: &SystemGroup, mode: u32) -> Result<(), BindError> {
    let failed = |error| BindError::Group(group.name.clone(), error);
    if fs::metadata(path).map_err(failed)?.gid() != group.gid {
        chown(path, None, Some(group.gid)).map_err(failed)?;
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)
}

fn found(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The path itself, or one by way of its open folder if it is longer than an address may be.
pub(super) fn with_short<T>(path: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let length = path.as_os_str().as_bytes().len();
    let (Some(folder), Some(name), true) = (path.parent(), path.file_name(), length > ADDRESS) else {
        return with(path);
    };
    let folder = File::open(folder)?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    with(&short).map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => error,
        kind => {
            let why = format!(
                "the path has {length} bytes, an address {ADDRESS}, and the way round by /proc fails: {error}"
            );
            io::Error::new(kind, why)
        }
    })
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        if let Ok(Some(meta)) = found(&self.path)
            && (meta.dev(), meta.ino()) == self.inode
        {
            // The next daemon replaces a socket that is left.
            let _ = fs::remove_file(&self.path);
        }
    }
}
