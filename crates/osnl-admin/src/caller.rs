use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use osnl::control::routes::{Right, Route};
use osnl::control::{Code, ControlRequest, RequestRefusal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::access::is_probe;

pub(crate) struct Caller {
    pub(crate) name: Arc<str>,
    pub(crate) rights: Rights,
    pub(crate) peer: Option<IpAddr>,
    has_asked: AtomicBool,
    connection: Option<OwnedFd>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// On the admin endpoint the token and the options of `[admin]` decide.
    AsConfigured,
    /// On the control socket root and the daemon's own user have all rights.
    All,
    /// On the control socket the members of this group may read.
    Reads(String),
    /// On a Unix socket of `[admin]` without a token other users may ask whether the daemon works and is ready.
    Probes,
    /// On the control socket other users have none.
    Nothing,
    /// Too many callers with these rights are being answered on the control socket.
    Later,
}

impl Caller {
    pub(crate) fn new(name: impl Into<Arc<str>>, rights: Rights, connection: &impl AsFd) -> Self {
        Self {
            name: name.into(),
            rights,
            peer: None,
            has_asked: AtomicBool::new(false),
            connection: connection.as_fd().try_clone_to_owned().ok(),
        }
    }

    pub(crate) fn is_own(&self) -> bool {
        self.rights != Rights::AsConfigured
    }

    pub(crate) fn asks_first(&self) -> bool {
        !self.has_asked.swap(true, Ordering::Relaxed)
    }

    /// Whether the client has disconnected, as a command does when the daemon hangs. A change that was
    /// reported as failed must not happen later.
    pub(crate) fn has_gone(&self) -> bool {
        let Some(connection) = &self.connection else { return false };
        let mut state = [PollFd::new(connection, PollFlags::RDHUP)];
        poll(&mut state, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    pub(crate) fn may_ask(&self, path: &str) -> Result<(), RequestRefusal> {
        let (code, why) = match self.rights {
            Rights::AsConfigured | Rights::All | Rights::Reads(_) => return Ok(()),
            Rights::Probes if is_probe(path) => return Ok(()),
            Rights::Probes => (
                Code::Forbidden,
                "only root and the daemon's own user may ask; for other users, set token in [admin]",
            ),
            Rights::Nothing => (Code::Forbidden, "only root and the daemon's own user may ask"),
            Rights::Later => {
                (Code::Unavailable, "too many requests are being answered; ask again in a moment")
            }
        };
        Err(RequestRefusal { code, message: why.to_owned() })
    }

    pub(crate) fn may(&self, route: &Route, request: &ControlRequest) -> Result<(), RequestRefusal> {
        match &self.rights {
            Rights::Reads(group) if route.right == Right::Change || request.shows_secrets() => {
                let why = format!(
                    "members of the group {group} may only read; ask as root or as the daemon's user"
                );
                Err(RequestRefusal { code: Code::Forbidden, message: why })
            }
            _ => Ok(()),
        }
    }
}
