use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, fchmod, lgetxattr};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tokio::net::UnixListener;
use tokio::net::unix::UCred;

use super::socket_path;
use crate::group::SystemGroup;

/// The kernel's queue of unaccepted clients, as in the standard library.
const BACKLOG: i32 = 128;
/// Bytes of a path that `sockaddr_un` holds (`unix(7)`), without its final zero.
const ADDRESS: usize = 107;

/// The reasons for which the control socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
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

/// The socket has mode 0600 in a folder of mode 0700. With a group the socket has mode 0660, and its members
/// can enter the folder, whose other files stay the owner's alone.
#[derive(Clone, Debug)]
pub struct SocketPlace {
    pub state_dir: PathBuf,
    pub group: Option<SystemGroup>,
}

/// A bound control socket. The end removes its file if no other daemon has taken the name.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketPlace {
    #[must_use]
    pub fn path(&self) -> PathBuf {
        socket_path(&self.state_dir)
    }

    /// Binds the socket, and replaces a socket of a process that has ended.
    pub fn bind(&self) -> Result<ControlSocket, BindError> {
        bind(&self.state_dir, self.group.as_ref())
    }
}

impl ControlSocket {
    #[must_use]
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Whether a peer is in the group: the socket still admits no other users, or the peer shows it.
    #[must_use]
    pub fn admits(&self, peer: &UCred, group: &SystemGroup) -> bool {
        let is_ours = |meta: &fs::Metadata| (meta.dev(), meta.ino()) == self.inode;
        let admits_only = |meta: &fs::Metadata| meta.gid() == group.gid && meta.mode() & 0o007 == 0;
        let found = fs::symlink_metadata(&self.path);
        (found.is_ok_and(|meta| is_ours(&meta) && admits_only(&meta)) && !has_acl(&self.path))
            || group.has(peer)
    }
}

/// Whether an access control list admits more users than the mode shows.
fn has_acl(path: &Path) -> bool {
    let found = lgetxattr(path, "system.posix_acl_access", &mut [0_u8; 1]);
    !matches!(found, Err(Errno::NODATA | Errno::NOTSUP))
}

/// Whether a user has all rights on the control socket, and may own a socket in the state directory.
#[must_use]
pub fn may_ask(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

fn bind(state_dir: &Path, group: Option<&SystemGroup>) -> Result<ControlSocket, BindError> {
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
    Ok(ControlSocket { listener, path, inode: (meta.dev(), meta.ino()) })
}

/// Binds a socket that only this user can open. The socket has its mode before its name, so that no other
/// user can connect in between, with any umask.
pub fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    UnixListener::from_std(socket.into())
}

/// Connects, and waits at most `patience` while the queue of connections is full: a hung daemon's queue has
/// the connections of all commands that gave up.
pub(super) fn connect_within(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

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

/// Calls `with` with the path, or with a path through the open folder if an address cannot hold the whole
/// path.
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

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if let Ok(Some(meta)) = found(&self.path)
            && (meta.dev(), meta.ino()) == self.inode
        {
            // The next daemon replaces a remaining socket.
            let _ = fs::remove_file(&self.path);
        }
    }
}
