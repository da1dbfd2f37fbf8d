//! Calls of Python functions, made by Python's own threads.
//!
//! A method may never return, and Python kills such a thread when the program ends. At that time no
//! frame of this library may be on its stack. So threads of Python fetch calls and return results,
//! and the engine waits for these without the interpreter. A thread that waits for a call has left
//! before [`Calls::close`] returns.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::types::PyTuple;
use pyo3::{Bound, Py, PyAny, PyResult, Python, pyclass, pymethods};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// The time for running calls to end after the engine has given up.
const LAST_CHANCE: Duration = Duration::from_secs(1);

thread_local! {
    /// Cancelled at the end of the listener that this thread makes calls for.
    static LISTENER_END: RefCell<Option<CancellationToken>> = const { RefCell::new(None) };
}

/// Returns the end of the listener that this thread makes calls for; `None` in other threads.
pub(crate) fn listener_end() -> Option<CancellationToken> {
    LISTENER_END.with_borrow(Clone::clone)
}

#[pyclass(frozen)]
pub(crate) struct Calls {
    shared: Arc<SharedCalls>,
}

#[derive(Clone)]
pub(crate) struct Caller {
    shared: Arc<SharedCalls>,
}

#[derive(Default)]
struct SharedCalls {
    state: Mutex<CallQueue>,
    changed: Condvar,
    end: CancellationToken,
}

#[derive(Default)]
struct CallQueue {
    queue: VecDeque<PendingCall>,
    waiting: usize,
    under_way: usize,
    is_starting: bool,
    is_closed: bool,
}

struct PendingCall {
    function: Arc<Py<PyAny>>,
    texts: Vec<Option<String>>,
    result: oneshot::Sender<String>,
}

/// A call that a thread has taken. Without a result, for whatever reason, it has failed.
#[pyclass]
pub(crate) struct TakenCall {
    request: Option<PendingCall>,
    shared: Arc<SharedCalls>,
    /// Whether another thread is to be started, since none waits for the next call.
    #[pyo3(get)]
    needs_thread: bool,
}

impl SharedCalls {
    fn lock(&self) -> MutexGuard<'_, CallQueue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// Queues a call with texts and returns its result; `None` without a result.
    pub(crate) async fn call(&self, function: Arc<Py<PyAny>>, texts: Vec<Option<String>>) -> Option<String> {
        self.ask(function, texts).await.ok()
    }

    fn ask(&self, function: Arc<Py<PyAny>>, texts: Vec<Option<String>>) -> oneshot::Receiver<String> {
        let (result, receiver) = oneshot::channel();
        let mut state = self.shared.lock();
        // After the close the result's sender is dropped, which ends the call.
        if !state.is_closed {
            state.queue.push_back(PendingCall { function, texts, result });
            self.shared.changed.notify_all();
        }
        receiver
    }
}

impl Calls {
    pub(crate) fn caller(&self) -> Caller {
        Caller { shared: self.shared.clone() }
    }

    /// Ends the waiting threads, and waits for the threads within this library.
    pub(crate) fn close(&self, py: Python<'_>) {
        py.detach(|| {
            self.shared.end.cancel();
            let mut state = self.shared.lock();
            state.is_closed = true;
            state.queue.clear();
            self.shared.changed.notify_all();
            let left = self.shared.changed.wait_while(state, |state| state.waiting > 0);
            let left = left.unwrap_or_else(PoisonError::into_inner);
            let ended =
                self.shared.changed.wait_timeout_while(left, LAST_CHANCE, |state| state.under_way > 0);
            drop(ended.unwrap_or_else(PoisonError::into_inner));
        });
    }
}

#[pymethods]
impl Calls {
    #[new]
    fn new() -> Self {
        Self { shared: Arc::default() }
    }

    /// Returns the next call as soon as there is one; `None` at the end. With `none_starts`, the thread that was to be
    /// started has begun, or was refused.
    fn next(&self, py: Python<'_>, none_starts: bool) -> Option<TakenCall> {
        LISTENER_END.set(Some(self.shared.end.clone()));
        let mut state = self.shared.lock();
        if none_starts {
            state.is_starting = false;
        }
        loop {
            while let Some(request) = state.queue.pop_front() {
                // The engine has given up calls whose channel is closed.
                if !request.result.is_closed() {
                    state.under_way += 1;
                    let needs_thread = state.waiting == 0 && !state.is_starting;
                    state.is_starting |= needs_thread;
                    return Some(TakenCall {
                        request: Some(request),
                        shared: self.shared.clone(),
                        needs_thread,
                    });
                }
            }
            if state.is_closed {
                return None;
            }
            state.waiting += 1;
            drop(state);
            py.detach(|| {
                let is_idle = |state: &mut CallQueue| !state.is_closed && state.queue.is_empty();
                drop(self.shared.changed.wait_while(self.shared.lock(), is_idle));
            });
            state = self.shared.lock();
            state.waiting -= 1;
            self.shared.changed.notify_all();
        }
    }
}

#[pymethods]
impl TakenCall {
    #[getter]
    fn function(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.request.as_ref().map(|request| request.function.clone_ref(py))
    }

    #[getter]
    fn texts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.request.as_ref().map_or(&[][..], |request| &request.texts))
    }

    fn end(&mut self, result: String) {
        if let Some(request) = self.request.take() {
            // The engine may have given up the call.
            let _ = request.result.send(result);
        }
    }
}

impl Drop for TakenCall {
    fn drop(&mut self) {
        self.shared.lock().under_way -= 1;
        self.shared.changed.notify_all();
    }
}
