//! A daemon that runs and does not answer: its process, and the next step.
//!
//! The kernel names the process that listens at the socket; the journal's lock shows that the process runs.

use std::fmt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use osnl_config::duration;

use crate::journal::files::LockHolder;
use crate::journal::sqlite::SqliteJournal;

/// The reason for which a daemon does not answer, as far as its process shows it.
#[derive(Debug)]
pub struct Silence {
    process: Option<i32>,
    holds_journal: bool,
    is_stopped: bool,
    /// The limit of open files, if the process has reached it: then it takes no connection.
    most_open: Option<usize>,
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
        let process = process.or(match holder {
            Some(LockHolder::Process(pid)) => i32::try_from(pid).ok(),
            Some(LockHolder::Unknown) | None => None,
        });
        Box::new(Self {
            process,
            holds_journal: holder.is_some(),
            is_stopped: process.is_some_and(is_stopped),
            most_open: process.and_then(reached_limit),
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

/// Returns the limit of open files of a process that has reached it, as far as `/proc` shows that.
fn reached_limit(process: i32) -> Option<usize> {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).ok()?.count();
    most_open(&limits).filter(|most| open >= *most)
}

/// Reads the soft limit of open files in `/proc/PID/limits`.
fn most_open(limits: &str) -> Option<usize> {
    let numbers = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    numbers.split_ascii_whitespace().next()?.parse().ok()
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
        if let Some(most) = self.most_open {
            return write!(
                f,
                " It has opened all {most} files that it may, and takes no connection: raise LimitNOFILE= of its unit, then \
                 systemctl restart osnl"
            );
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
            let most_open = None;
            let silence = Silence { process, holds_journal, is_stopped, most_open, patience, socket };
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

    #[test]
    fn a_process_without_a_free_descriptor_is_not_called_hung() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             7                    7                    processes \n\
                      Max open files            40                   524288               files     \n";
        assert_eq!(most_open(limits), Some(40));
        assert_eq!(
            most_open("Max open files            unlimited            unlimited            files"),
            None
        );
        assert_eq!(most_open(""), None);
        let silence = Silence {
            process: Some(7),
            holds_journal: true,
            is_stopped: false,
            most_open: Some(40),
            patience: Duration::from_secs(5),
            socket: PathBuf::from("/s/control.sock"),
        };
        let expected = "osnl (process 7) holds the journal but has not answered for 5 s. It has opened all 40 files that it \
                        may, and takes no connection: raise LimitNOFILE= of its unit, then systemctl restart osnl";
        assert_eq!(silence.to_string(), expected);
    }
}
