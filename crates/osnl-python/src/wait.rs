//! Waits without the interpreter's lock, and for Ctrl-C.
//!
//! Python runs signal handlers in its main thread, at any step of any call. The work therefore has
//! a thread of its own: otherwise `KeyboardInterrupt` could appear within a log line or a reader of
//! payloads, and be lost.
//!
//! The first Ctrl-C drains: running calls may end within [`DRAIN`]. After that time, or a second
//! Ctrl-C, unfinished calls are abandoned, and the broker redelivers their messages.

use std::future::Future;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use osnl::notification_listener::Shutdown;
use pyo3::exceptions::PyRuntimeError;
use pyo3::{PyErr, PyResult, Python};
use tokio::runtime::Builder;

const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// The time for running calls to end after Ctrl-C.
const DRAIN: Duration = Duration::from_secs(30);

pub(crate) struct WaitOutcome<T> {
    pub(crate) done: T,
    pub(crate) raised: Option<PyErr>,
}

/// Runs a future in a thread of its own. An exception of a signal handler, `KeyboardInterrupt` for
/// Ctrl-C, starts the drain.
pub(crate) fn run<T: Send, F: Future<Output = T>>(
    py: Python<'_>,
    work: impl FnOnce(Shutdown) -> F + Send,
) -> PyResult<WaitOutcome<T>> {
    // The engine has one thread, so one worker suffices. Only a multi-threaded runtime lets a call
    // of Python block while another thread continues the rest.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let shutdown = Shutdown::new();
    let ending = shutdown.clone();
    let (done, is_done) = channel();
    py.detach(move || {
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let result = runtime.block_on(work(shutdown));
                // A call of Python that does not return would block the program; its message is not
                // acknowledged.
                runtime.shutdown_background();
                let _ = done.send(result);
            });
            let mut raised = None;
            let mut deadline = None;
            loop {
                match is_done.recv_timeout(CHECK_INTERVAL) {
                    Ok(done) => return Ok(WaitOutcome { done, raised }),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err(PyRuntimeError::new_err("the engine ended by a panic"));
                    }
                }
                if let Err(error) = Python::attach(|py| py.check_signals()) {
                    if ending.drain.is_cancelled() {
                        ending.abort.cancel();
                    }
                    ending.drain.cancel();
                    deadline.get_or_insert_with(|| Instant::now() + DRAIN);
                    raised.get_or_insert(error);
                }
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    ending.abort.cancel();
                }
            }
        })
    })
}
