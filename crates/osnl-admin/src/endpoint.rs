//! The sockets of the server: bound at the start, then accepting.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use osnl::control::{ControlHandler, ControlSocket, SocketPlace, bind_private, may_ask};
use osnl::daemon::Daemon;
use osnl::native::{AdminAddress, AdminConf};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::caller::{Caller, Rights};
use crate::connection::{ByteStream, GRACE, Shares};
use crate::pace::Pace;
use crate::page::Pages;
use crate::service::Service;
use crate::tls::CurrentTls;

/// A pause after a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_secs(1);
/// The interval of looks at the file of a socket, and of attempts to make the control socket.
const LOOK: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum AdminStartError {
    #[error("{address}: {error}; name another address, or end what listens there")]
    Listen { address: AdminAddress, error: io::Error },
    #[error("{}: exists and is not a socket; move it away", .0.display())]
    NotASocket(PathBuf),
    #[error("{0}; name PEM files that this user can read")]
    Tls(String),
    #[error("the operating system gives no random numbers")]
    Random,
}

impl AdminStartError {
    /// Returns the option of `[admin]` to correct; `None` if it is not known.
    #[must_use]
    pub fn option(&self) -> Option<&'static str> {
        match self {
            Self::Listen { .. } | Self::NotASocket(_) => Some("listen"),
            Self::Tls(_) | Self::Random => None,
        }
    }
}

pub struct BoundEndpoint {
    socket: Socket,
    service: Arc<Service>,
}

#[derive(Debug)]
pub struct AdminEndpoint;

enum Socket {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        path: PathBuf,
        /// Whether each caller must have a token. Otherwise only root and the daemon's own user may ask for more than probes.
        has_proof: bool,
    },
    Control(ControlSocket, SocketPlace),
}

impl AdminEndpoint {
    /// Checks as a start would, without binding the address. An address in use is no error, because the daemon may be
    /// running.
    pub fn check(conf: &AdminConf) -> Result<(), AdminStartError> {
        conf.tls.as_ref().map_or(Ok(()), crate::tls::judge).map_err(AdminStartError::Tls)?;
        let failed = |error| AdminStartError::Listen { address: conf.listen.clone(), error };
        match &conf.listen {
            AdminAddress::Unix(path) if is_other_file(path) => Err(AdminStartError::NotASocket(path.clone())),
            AdminAddress::Unix(path) => folder_of_socket(path).map_err(failed),
            AdminAddress::Tcp(address) => match std::net::TcpListener::bind((address.ip(), 0)) {
                Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(failed(error)),
                Ok(_) | Err(_) => Ok(()),
            },
        }
    }

    pub async fn bind(
        conf: &AdminConf,
        handler: Arc<ControlHandler>,
    ) -> Result<BoundEndpoint, AdminStartError> {
        let access = Access::new(conf).map_err(|_| AdminStartError::Random)?;
        let pages = Pages::new(conf.environment.clone()).map_err(|_| AdminStartError::Random)?;
        let tls = conf
            .tls
            .clone()
            .map(|files| CurrentTls::new(files, handler.clone()))
            .transpose()
            .map_err(AdminStartError::Tls)?;
        let failed = |error| AdminStartError::Listen { address: conf.listen.clone(), error };
        let socket = match &conf.listen {
            AdminAddress::Tcp(address) => Socket::Tcp(TcpListener::bind(address).await.map_err(failed)?),
            AdminAddress::Unix(path) => {
                if is_other_file(path) {
                    return Err(AdminStartError::NotASocket(path.clone()));
                }
                replace(path).map_err(failed)?;
                let listener = bind_private(path).map_err(failed)?;
                Socket::Unix { listener, path: path.clone(), has_proof: conf.has_proof() }
            }
        };
        Ok(BoundEndpoint { socket, service: Service::new(handler, access, Some(pages), tls) })
    }
}

/// Adds the server on the control socket to a daemon with a state directory. While the socket cannot be bound,
/// the daemon runs without the server, and the log has the reason.
#[must_use]
pub fn serve_control_socket(daemon: Daemon, handler: Arc<ControlHandler>) -> Daemon {
    let Some(place) = handler.socket().cloned() else { return daemon };
    daemon.serving("control socket", Box::new(|end| Box::pin(answer_on(place, handler, end))))
}

pub async fn answer_on(place: SocketPlace, handler: Arc<ControlHandler>, stop: CancellationToken) {
    let mut fails = false;
    let socket = loop {
        match place.bind() {
            Ok(socket) => break socket,
            Err(error) if !std::mem::replace(&mut fails, true) => tracing::warn!(
                path = %place.path().display(),
                error = error.to_string(),
                "no control socket: osnl status and deliveries cannot ask this process"
            ),
            Err(_) => {}
        }
        if timeout(LOOK, stop.cancelled()).await.is_ok() {
            return;
        }
    };
    if fails {
        tracing::info!(path = %place.path().display(), "there is a control socket now");
    }
    let service = Service::new(handler, Access::for_control_socket(), None, None);
    BoundEndpoint { socket: Socket::Control(socket, place), service }.run(stop).await;
}

fn is_other_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| !meta.file_type().is_socket())
}

fn replace(path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(_) => std::fs::remove_file(path),
    }
}

impl BoundEndpoint {
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix { .. } | Socket::Control(..) => None,
        }
    }

    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(self.serve_all(&stop), self.service.record_history(&stop));
    }

    async fn serve_all(&self, stop: &CancellationToken) {
        let mut made_again: Option<Socket> = None;
        let mut look = interval_at(Instant::now() + LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        match (self.address(), &self.socket) {
            (Some(address), _) => tracing::info!(%address, "the admin endpoint listens"),
            (None, Socket::Unix { path, .. }) => {
                tracing::info!(path = %path.display(), "the admin endpoint listens");
            }
            (None, Socket::Tcp(_) | Socket::Control(..)) => {}
        }
        let server = self.socket.name();
        let mut shares = Shares::new();
        let (mut fails, pace) = (false, Pace::new());
        loop {
            let socket = made_again.as_ref().unwrap_or(&self.socket);
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = shares.ended() => continue,
                accepted = socket.accept() => accepted,
                _ = look.tick() => {
                    if let Some(socket) = socket.made_again() {
                        made_again = Some(socket);
                    }
                    continue;
                }
            };
            match accepted {
                Ok((stream, caller)) => {
                    if std::mem::take(&mut fails) {
                        tracing::info!(server, "connections are accepted again");
                    }
                    let is_own = caller.is_own();
                    shares.add(self.service.clone(), stream, caller, stop.clone());
                    // On the control socket the owner does not wait for other users.
                    if !is_own {
                        tokio::select! {
                            () = stop.cancelled() => break,
                            () = pace.turn() => {}
                        }
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut fails, true) {
                        tracing::warn!(server, %error, "connections cannot be accepted");
                    }
                    let _ = timeout(PAUSE, stop.cancelled()).await;
                }
            }
        }
        self.service.end_streams();
        let _ = timeout(GRACE, async { tokio::join!(shares.finish(), self.service.finish()) }).await;
        if let Socket::Unix { path, .. } = &self.socket {
            // The next daemon replaces a remaining socket.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Finds the folder of a socket. A unit creates folders below `/run` when it starts.
fn folder_of_socket(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let folder = path.parent().filter(|folder| !folder.starts_with("/run"));
    match folder.map(std::fs::metadata) {
        Some(Err(error)) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
        Some(Ok(found)) if !found.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
        None | Some(Ok(_) | Err(_)) => Ok(()),
    }
}

impl Socket {
    /// Makes a socket again whose file another program has removed; `None` if it is there or cannot be made.
    fn made_again(&self) -> Option<Self> {
        let path = match self {
            Self::Tcp(_) => return None,
            Self::Unix { path, .. } => path.clone(),
            Self::Control(_, place) => place.path(),
        };
        let is_removed = path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if !is_removed || !path.parent().is_some_and(Path::is_dir) {
            return None;
        }
        let made = match self {
            Self::Tcp(_) => return None,
            Self::Unix { has_proof, .. } => {
                let listener = bind_private(&path).ok()?;
                Self::Unix { listener, path: path.clone(), has_proof: *has_proof }
            }
            Self::Control(_, place) => Self::Control(place.bind().ok()?, place.clone()),
        };
        tracing::warn!(path = %path.display(), server = self.name(), "the socket was removed, and is made again");
        Some(made)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Tcp(_) | Self::Unix { .. } => "the admin endpoint",
            Self::Control(..) => "the control socket",
        }
    }

    async fn accept(&self) -> io::Result<(Box<dyn ByteStream>, Caller)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                let by = format!("the admin endpoint for {}", peer.ip());
                let mut caller = Caller::new(by, Rights::AsConfigured, &stream);
                caller.peer = Some(peer.ip());
                Ok((Box::new(stream), caller))
            }
            Self::Unix { listener, has_proof, .. } => {
                let (stream, _) = listener.accept().await?;
                let by = format!("the admin endpoint for {}", user(&stream));
                // The mode of the socket may have been changed.
                let may_ask = *has_proof || stream.peer_cred().is_ok_and(|peer| may_ask(peer.uid()));
                let rights = if may_ask { Rights::AsConfigured } else { Rights::Probes };
                let caller = Caller::new(by, rights, &stream);
                Ok((Box::new(stream), caller))
            }
            Self::Control(socket, place) => {
                let (stream, _) = socket.listener().accept().await?;
                let rights = match (stream.peer_cred(), &place.group) {
                    (Ok(peer), _) if may_ask(peer.uid()) => Rights::All,
                    (Ok(peer), Some(group)) if socket.admits(&peer, group) => {
                        Rights::Reads(group.name.clone())
                    }
                    (Ok(_), _) | (Err(_), _) => Rights::Nothing,
                };
                let caller = Caller::new(user(&stream), rights, &stream);
                Ok((Box::new(stream), caller))
            }
        }
    }
}

fn user(stream: &UnixStream) -> String {
    stream.peer_cred().map_or("a user".to_owned(), |peer| format!("user {}", peer.uid()))
}
