//! Waiting without the interpreter's lock, and for Ctrl-C.
//!
//! Python runs the handlers of signals in its main thread, at any step of any call. The work therefore has a thread of
//! its own: a log line or a reader of payloads that it calls never is where `KeyboardInterrupt` comes up and is lost.
//!
//! The first Ctrl-C drains: calls under way may end, for as long as [`DRAIN`]. A second one, or the end of that time,
//! leaves calls that do not return behind; the broker gets their messages back.

use std::future::Future;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use osnl::notification_listener::Shutdown;
use pyo3::exceptions::PyRuntimeError;
use pyo3::{PyErr, PyResult, Python};
use tokio::runtime::Builder;

/// The pause between looks at Python's signals.
const LOOKS: Duration = Duration::from_millis(200);

/// The time that calls under way have to end, after a Ctrl-C.
const DRAIN: Duration = Duration::from_secs(30);

/// The result of the work, and an exception that a signal raised.
pub(crate) struct WaitOutcome<T> {
    pub(crate) done: T,
    pub(crate) raised: Option<PyErr>,
}

/// Runs a future in a thread of its own. What a signal's handler raises, `KeyboardInterrupt` for Ctrl-C, gives the signal
/// to drain, and the future ends by that.
pub(crate) fn run<T: Send, F: Future<Output = T>>(
    py: Python<'_>,
    work: impl FnOnce(Shutdown) -> F + Send,
) -> PyResult<WaitOutcome<T>> {
    // One worker, as the engine has one thread. It is a runtime of several, because only there a call of Python may
    // block while another thread goes on with the rest.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let shutdown = Shutdown::new();
    let ending = shutdown.clone();
    let (done, is_done) = channel();
    py.detach(move || {
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let result = runtime.block_on(work(shutdown));
                // A call of Python that does not return would hold the program; its message is not acknowledged.
                runtime.shutdown_background();
                // The other end waits for it.
                let _ = done.send(result);
            });
            let mut raised = None;
            let mut deadline = None;
            loop {
                match is_done.recv_timeout(LOOKS) {
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
