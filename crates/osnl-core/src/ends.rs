//! Reports tasks and threads that end unexpectedly.
//!
//! A daemon that lost one of its parts looks healthy and does nothing. So a part that ends without a request, mostly by
//! a panic, is reported here with its name. The daemon then ends with an error: unacknowledged messages stay with the
//! broker, and the service manager restarts the process.
//!
//! | part | reported by |
//! | --- | --- |
//! | listener, delivery loop, handover, control socket | the daemon, which awaits them |
//! | journal writer, checkpointer, the thread of the unmatched ring | [`EndReports::thread`] |
//! | long-running parts of an action (plug-ins, timers) | `watched`, within the delivery loop that started the part |
//! | the thread that writes log lines to stderr | the binary, through `Daemon::watching` |
//!
//! A panic in a template or endpoint of a library user is the outcome of one event. A request on the control socket
//! must not be able to end a daemon.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::watch;

tokio::task_local! {
    static CURRENT: EndReports;
}

/// A part of the daemon that ended without a request, which ends the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnexpectedEnd {
    pub task: String,
    /// The message of the panic, or the reason.
    pub message: String,
}

impl fmt::Display for UnexpectedEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended unexpectedly: {}", self.task, self.message)
    }
}

/// Takes reports of unexpected ends, and keeps the first. Clones share the report.
#[derive(Clone, Debug)]
pub struct EndReports(Arc<watch::Sender<Option<UnexpectedEnd>>>);

impl Default for EndReports {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl EndReports {
    pub fn report(&self, task: &str, message: impl Into<String>) {
        let end = UnexpectedEnd { task: task.to_owned(), message: message.into() };
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(end);
            is_first
        });
    }

    #[must_use]
    pub fn reported(&self) -> Option<UnexpectedEnd> {
        self.0.borrow().clone()
    }

    pub async fn first(&self) -> UnexpectedEnd {
        let mut ends = self.0.subscribe();
        match ends.wait_for(Option::is_some).await.map(|end| end.clone()) {
            Ok(Some(end)) => end,
            // The sender is in `self`, so the channel never closes.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    pub fn thread<T>(&self, task: &str, body: impl FnOnce() -> T) -> Option<T> {
        caught(body).map_err(|message| self.report(task, message)).ok()
    }

    pub async fn task(self, task: String, body: impl Future<Output = ()>) {
        if let Err(panic) = AssertUnwindSafe(body).catch_unwind().await {
            self.report(&task, message(&*panic));
        }
    }

    pub async fn within<T>(self, body: impl Future<Output = T>) -> T {
        CURRENT.scope(self, body).await
    }
}

/// Runs `body`, and returns the message of its panic as the error. After a panic, values that `body` has touched must
/// not be used.
pub fn caught<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(AssertUnwindSafe(body)).map_err(|panic| message(&*panic))
}

/// Wraps a task that an action spawns, so that its panic is reported to the delivery loop. Outside a daemon the caller
/// that awaits the task sees the panic.
pub fn watched(
    task: impl FnOnce() -> String,
    body: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static {
    let ends = CURRENT.try_with(|ends| (ends.clone(), task())).ok();
    async move {
        match ends {
            Some((ends, task)) => ends.task(task, body).await,
            None => body.await,
        }
    }
}

pub fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;

    use super::*;

    #[test]
    fn the_first_end_counts_with_its_words() {
        let ends = EndReports::default();
        assert_eq!((ends.thread("t", || 7), ends.reported()), (Some(7), None));
        let number = 4;
        assert_eq!(ends.thread("one", || -> u8 { panic!("in {number}") }), None);
        assert_eq!(ends.thread("two", || -> u8 { panic!("later") }), None);
        let end = ends.first().now_or_never().unwrap();
        assert_eq!(end.to_string(), "one ended unexpectedly: in 4");
    }

    #[tokio::test]
    async fn a_task_of_an_action_is_reported_where_its_loop_is() {
        let ends = EndReports::default();
        let spawned = async {
            TaskTracker::new().spawn(watched(|| "plug-in p".to_owned(), async { panic!("odd") })).await
        };
        ends.clone().within(spawned).await.unwrap();
        assert_eq!(ends.reported().unwrap().to_string(), "plug-in p ended unexpectedly: odd");
        let elsewhere = TaskTracker::new().spawn(watched(|| "x".to_owned(), async { panic!("odd") }));
        assert!(elsewhere.await.unwrap_err().is_panic());
    }
}
