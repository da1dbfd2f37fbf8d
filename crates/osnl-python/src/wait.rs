//! Waits without the interpreter's lock, and for Ctrl-C.
//!
//! Python runs signal handlers in its main thread, at any step of any call. The work therefore has
//! a thread of its own: otherwise `KeyboardInterrupt` could appear within a log line or a reader of
//! payloads, and be lost.
//!
//! The first Ctrl-C drains: running calls may end within [`DRAIN`]. After that time, or a second
//! Ctrl-C, unfinished calls are abandoned, and the broker redelivers their messages.

use std::future::Future;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use osnl::notification_listener::Shutdown;
use pyo3::exceptions::PyRuntimeError;
use pyo3::{PyErr, PyResult, Python};
use tokio::runtime::{Builder, Runtime};

const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// The time for running calls to end after Ctrl-C.
const DRAIN: Duration = Duration::from_secs(30);

/// The time that tokio keeps an idle thread: as long as the engine runs.
const KEPT: Duration = Duration::from_secs(365 * 86_400);

pub(crate) struct WaitOutcome<T> {
    pub(crate) done: T,
    pub(crate) raised: Option<PyErr>,
}

/// Runs a future in a thread of its own. An exception of a signal handler, `KeyboardInterrupt` for
/// Ctrl-C, starts the drain.
///
/// A thread that the system refuses is a `RuntimeError`, as Python's own threads have it.
pub(crate) fn run<T: Send, F: Future<Output = T>>(
    py: Python<'_>,
    work: impl FnOnce(Shutdown) -> F + Send,
) -> PyResult<WaitOutcome<T>> {
    let shutdown = Shutdown::new();
    let ending = shutdown.clone();
    let (done, is_done) = channel();
    let engine = move || {
        let ended = engine_runtime().map(|runtime| {
            let result = runtime.block_on(work(shutdown));
            // The runtime's end does not wait for a name lookup, which may take as long as the
            // resolver likes.
            runtime.shutdown_background();
            result
        });
        let _ = done.send(ended);
    };
    py.detach(move || {
        thread::scope(|scope| {
            let engine =
                thread::Builder::new().spawn_scoped(scope, engine).map_err(|error| refused(&error))?;
            let mut raised = None;
            let mut deadline = None;
            loop {
                match is_done.recv_timeout(CHECK_INTERVAL) {
                    Ok(ended) => return ended.map(|done| WaitOutcome { done, raised }),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        // The scope panics for a panicked thread that is not joined.
                        let _ = engine.join();
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

/// Starts the engine's runtime. Where the system refuses its first thread, tokio panics: one is tried before.
fn engine_runtime() -> PyResult<Runtime> {
    let tried = thread::Builder::new().spawn(|| {}).map_err(|error| refused(&error))?;
    let _ = tried.join();
    let runtime = Builder::new_current_thread().thread_keep_alive(KEPT).enable_all().build()?;
    // Name lookups use this thread where the system later refuses one.
    drop(runtime.spawn_blocking(|| {}));
    Ok(runtime)
}

fn refused(error: &io::Error) -> PyErr {
    PyRuntimeError::new_err(format!(
        "the engine cannot start: the system refuses another thread: {error}; raise TasksMax= or ulimit -u"
    ))
}
