//! A daemon that runs and does not answer: its process, and the next step.
//!
//! The kernel names the process that listens at the socket; the journal's lock shows that the process runs.

use std::fmt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use osnl_config::duration;

use crate::journal::sqlite::SqliteJournal;

/// The reason for which a daemon does not answer, as far as its process shows it.
#[derive(Debug)]
pub struct Silence {
    process: Option<i32>,
    holds_journal: bool,
    is_stopped: bool,
    patience: Duration,
    socket: PathBuf,
}

impl Silence {
    pub(super) fn new(
        process: Option<i32>,
        socket: &Path,
        journal: Option<&Path>,
        patience: Duration,
    ) -> Box<Self> {
        let holder = journal.and_then(SqliteJournal::holder);
        let holding = holder.as_deref().and_then(|holder| holder.strip_prefix("process ")?.parse().ok());
        let process = process.or(holding);
        Box::new(Self {
            process,
            holds_journal: holder.is_some(),
            is_stopped: process.is_some_and(is_stopped),
            patience,
            socket: socket.to_owned(),
        })
    }
}

/// Returns the process that listens at the other end; `None` if it is invisible, as in another container.
pub(super) fn listening_process(stream: &UnixStream) -> Option<i32> {
    let peer = rustix::net::sockopt::socket_peercred(stream).ok()?;
    Some(peer.pid.as_raw_nonzero().get())
}

/// Whether a signal has stopped the process, as far as `/proc` shows that.
fn is_stopped(process: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name is in parentheses, and may contain any character.
    stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with(['T', 't']))
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.process {
            Some(process) => write!(f, "osnl (process {process}) ")?,
            None => f.write_str("osnl ")?,
        }
        let within = seconds(self.patience);
        match self.holds_journal {
            true => write!(f, "holds the journal but has not answered for {within}.")?,
            false => write!(f, "has not answered for {within} at {}.", self.socket.display())?,
        }
        f.write_str(" It may be hung: systemctl status osnl")?;
        if let Some(process) = self.process {
            write!(f, "; kill -ABRT {process}")?;
            if self.is_stopped {
                write!(f, ". A signal has stopped it; to let it go on: kill -CONT {process}")?;
            }
        }
        Ok(())
    }
}

fn seconds(time: Duration) -> String {
    match time.subsec_nanos() {
        0 => format!("{} s", time.as_secs()),
        _ => duration::shown(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_named_with_the_next_step() {
        let check = |process, holds_journal, is_stopped, patience, expected: &str| {
            let socket = PathBuf::from("/s/control.sock");
            let silence = Silence { process, holds_journal, is_stopped, patience, socket };
            assert_eq!(silence.to_string(), expected);
        };
        let five = Duration::from_secs(5);
        check(
            Some(26354),
            true,
            false,
            five,
            "osnl (process 26354) holds the journal but has not answered for 5 s. It may be hung: systemctl status osnl; \
             kill -ABRT 26354",
        );
        check(
            Some(7),
            false,
            true,
            Duration::from_millis(500),
            "osnl (process 7) has not answered for 500ms at /s/control.sock. It may be hung: systemctl status osnl; \
             kill -ABRT 7. A signal has stopped it; to let it go on: kill -CONT 7",
        );
        check(
            None,
            true,
            false,
            five,
            "osnl holds the journal but has not answered for 5 s. It may be hung: systemctl status osnl",
        );
    }
}
