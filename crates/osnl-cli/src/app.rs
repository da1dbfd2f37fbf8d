//! Runs a daemon as a process: signals, the exit status, and notifications to systemd.
//!
//! One thread runs all tasks but the AMQP client's socket loop, the journal's writer, and stderr: a
//! second worker would double the price of a message.

mod notify;
mod systemd_status;

use std::io;
use std::time::Duration;

use osnl::daemon::{Daemon, DaemonError, RunEnd};
use osnl::metrics::Counters;
use osnl::shutdown::Shutdown;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, Interval, interval_at};

use self::notify::SystemdNotifier;
use self::systemd_status::SystemdStatus;
use crate::exit::Exit;
use crate::logging;

/// The longest time of a drain. One attempt may last `timeout_seconds`, 30 unless set.
pub(crate) const DRAIN_DEADLINE: Duration = Duration::from_secs(30);

const REMIND: Duration = Duration::from_secs(10);

/// The threads for work that blocks stay as long as the process.
const KEPT: Duration = Duration::from_secs(365 * 86_400);

/// The runtime's end does not wait for a name lookup, which may take as long as the resolver likes.
///
/// Where the system refuses a thread, work that blocks waits for one that is there. Tokio panics without any, so one is
/// started now, and stays.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = runtime()?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}

/// Returns a runtime for several parts of work, whose connections it keeps in between.
pub(crate) fn runtime() -> io::Result<Runtime> {
    let refused = |error: io::Error| {
        let problem = format!("the system refuses another thread: {error}; raise TasksMax= or ulimit -u");
        io::Error::new(error.kind(), problem)
    };
    let may_start = std::thread::Builder::new().spawn(|| {}).map_err(refused)?;
    let _ = may_start.join();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().thread_keep_alive(KEPT).build()?;
    drop(runtime.spawn_blocking(|| {}));
    Ok(runtime)
}

/// Runs the daemon until SIGTERM or SIGINT; a second signal aborts the drain. SIGHUP reopens the
/// log file and requests a reload.
pub(crate) async fn run(
    daemon: Daemon,
    mut signals: Signals,
    counters: &Counters,
) -> Result<Exit, DaemonError> {
    let shutdown = Shutdown::new();
    let systemd = SystemdNotifier::from_environment();
    let daemon_state = daemon.state();
    let status = SystemdStatus::new(daemon_state.clone(), daemon.journal.state()).publish(&systemd);
    let daemon = match logging::ends() {
        Some(ends) => daemon.watching(ends),
        None => daemon,
    };
    let daemon = daemon.run(&shutdown, DRAIN_DEADLINE);
    tokio::pin!(daemon, status);
    let mut received = 0;
    let mut drain: Option<(Instant, Interval)> = None;
    let ended = loop {
        tokio::select! {
            // The daemon's loops are polled before `READY=1` is sent to systemd.
            biased;
            ended = &mut daemon => break ended,
            caught = signals.next() => {
                let name = match caught {
                    ProgramSignal::Hangup => {
                        logging::reopen();
                        daemon_state.request_reload("SIGHUP");
                        continue;
                    }
                    ProgramSignal::End(name) => name,
                };
                received += 1;
                if received == 1 {
                    tracing::info!("Stopping");
                    tracing::info!(signal = name, at_most = seconds(DRAIN_DEADLINE), "waiting for running attempts");
                    systemd.send(&format!("STOPPING=1\nSTATUS={}", systemd_status::STOPPING));
                    shutdown.drain.cancel();
                    let now = Instant::now();
                    drain = Some((now + DRAIN_DEADLINE, interval_at(now + REMIND, REMIND)));
                } else {
                    tracing::warn!(signal = name, "dropping running attempts; unfinished work is repeated");
                    shutdown.abort.cancel();
                }
            }
            end = remind(&mut drain) => {
                let left = end.saturating_duration_since(Instant::now());
                tracing::info!(at_most = seconds(left), "still waiting for running attempts");
            }
            () = &mut status => {}
        }
    };
    systemd.send("STOPPING=1");
    let ended = ended?;
    log_summary(counters);
    Ok(match ended {
        RunEnd::Drained => Exit::Done,
        RunEnd::DeadlinePassed => {
            tracing::error!(
                after = seconds(DRAIN_DEADLINE),
                "running attempts did not end in time; the broker delivers the rest again"
            );
            Exit::Failed
        }
        RunEnd::Aborted => Exit::Interrupted,
    })
}

async fn remind(drain: &mut Option<(Instant, Interval)>) -> Instant {
    match drain {
        Some((end, lines)) => {
            lines.tick().await;
            *end
        }
        None => std::future::pending().await,
    }
}

fn log_summary(counters: &Counters) {
    let counts: Vec<String> = counters
        .snapshot()
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name}={count}"))
        .collect();
    tracing::info!(counts = counts.join(" "), "Stopped");
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgramSignal {
    End(&'static str),
    Hangup,
}

pub(crate) struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hangup: Option<Signal>,
    /// SIGXFSZ would end the program at a file-size limit. Caught, the write fails instead, and the
    /// caller handles the error.
    _file_size: Option<Signal>,
}

impl Signals {
    /// Starts to catch signals; must be called within a runtime. A signal before [`run`] is kept
    /// for that function.
    pub(crate) fn catch() -> Self {
        let listen =
            |kind| signal(kind).inspect_err(|error| tracing::warn!(%error, "a signal cannot be caught")).ok();
        Self {
            interrupt: listen(SignalKind::interrupt()),
            terminate: listen(SignalKind::terminate()),
            hangup: listen(SignalKind::hangup()),
            _file_size: listen(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())),
        }
    }

    pub(crate) async fn next(&mut self) -> ProgramSignal {
        tokio::select! {
            () = caught(&mut self.interrupt) => ProgramSignal::End("SIGINT"),
            () = caught(&mut self.terminate) => ProgramSignal::End("SIGTERM"),
            () = caught(&mut self.hangup) => ProgramSignal::Hangup,
        }
    }
}

pub(crate) async fn caught(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::mpsc;
    use std::time::Duration;

    use rustix::process::{Resource, Rlimit, setrlimit};

    use super::*;

    /// The size of the stack of a thread that Rust's library starts.
    const STACK: u64 = 2 << 20;

    #[test]
    fn the_end_does_not_wait_for_what_blocks() {
        let (release, wait) = mpsc::channel::<()>();
        block_on(async {
            let (begun, begins) = tokio::sync::oneshot::channel();
            drop(tokio::task::spawn_blocking(move || {
                begun.send(()).unwrap();
                wait.recv_timeout(Duration::from_secs(20))
            }));
            begins.await.unwrap();
        })
        .unwrap();
        assert!(release.send(()).is_ok(), "it has ended before this line");
    }

    const NO_THREADS: &str = "OSNL_TEST_NO_THREADS";

    /// Runs in a process of its own, whose memory has no room for the stack of another thread.
    #[test]
    fn work_that_blocks_waits_for_its_thread_where_the_system_refuses_another() {
        if std::env::var_os(NO_THREADS).is_some() {
            return block_on(works_without_another_thread()).unwrap();
        }
        let name = "work_that_blocks_waits_for_its_thread_where_the_system_refuses_another";
        let name = format!("{}::{name}", module_path!().split_once("::").unwrap().1);
        let mut own = Command::new(std::env::current_exe().unwrap());
        let output = own.args(["--exact", &name]).env(NO_THREADS, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
    }

    async fn works_without_another_thread() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
        let size: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
        let most = Some((size << 10) + STACK / 2);
        setrlimit(Resource::As, Rlimit { current: most, maximum: most }).unwrap();
        // The stacks of ended threads are used again first.
        let refused = loop {
            let thread = std::thread::Builder::new().stack_size(STACK as usize);
            if let Err(error) = thread.spawn(std::thread::park) {
                break error;
            }
        };
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        let both = [1, 2].map(|n| tokio::task::spawn_blocking(move || n));
        for (n, done) in (1..).zip(both) {
            assert_eq!(done.await.unwrap(), n);
        }
    }
}
