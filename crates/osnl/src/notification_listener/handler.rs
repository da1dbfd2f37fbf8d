use std::fmt::Display;
use std::future::Future;

use osnl_model::{NotificationFilter, Priority};
use osnl_transport::BoxFuture;

use super::{Endpoint, NotificationResult, ReceivedNotification};

type Call = Box<dyn Fn(ReceivedNotification) -> BoxFuture<'static, NotificationResult> + Send + Sync>;

/// An [`Endpoint`] made of a closure, with priorities and a filter.
///
/// The closure returns a [`NotificationResult`], nothing (handled), or a `Result`: an error is logged and requeues, as
/// an exception does with oslo.messaging.
///
/// ```
/// use osnl::notification_listener::{Handler, NotificationFilter, Pattern, Priority};
///
/// let handler = Handler::new(|received| async move {
///     let payload = &received.notification().payload;
///     let id = payload["port"]["id"].as_str().ok_or("a port without id")?;
///     println!("deleted: {id}");
///     Ok::<_, &str>(())
/// })
/// .priorities([Priority::Info])
/// .filter(NotificationFilter {
///     event_type: Some(Pattern::new(r"^port\.delete\.end$")?),
///     ..NotificationFilter::default()
/// });
/// # Ok::<(), osnl_model::PatternError>(())
/// ```
pub struct Handler {
    call: Call,
    priorities: Vec<Priority>,
    filter: Option<NotificationFilter>,
}

impl Handler {
    pub fn new<F, A>(handle: F) -> Self
    where
        F: Fn(ReceivedNotification) -> A + Send + Sync + 'static,
        A: Future + Send + 'static,
        A::Output: HandlerAnswer,
    {
        Self {
            call: Box::new(move |received| {
                let answer = handle(received);
                Box::pin(async move { answer.await.into_result() })
            }),
            priorities: Priority::ALL.to_vec(),
            filter: None,
        }
    }

    #[must_use]
    pub fn priorities(mut self, priorities: impl IntoIterator<Item = Priority>) -> Self {
        self.priorities = priorities.into_iter().collect();
        self
    }

    #[must_use]
    pub fn filter(mut self, filter: NotificationFilter) -> Self {
        self.filter = Some(filter);
        self
    }
}

impl Endpoint for Handler {
    fn priorities(&self) -> &[Priority] {
        &self.priorities
    }

    fn filter(&self) -> Option<&NotificationFilter> {
        self.filter.as_ref()
    }

    fn notify<'a>(&'a self, received: &'a ReceivedNotification) -> BoxFuture<'a, NotificationResult> {
        (self.call)(received.clone())
    }
}

/// The types that a handler may return: nothing, a result, or an error.
pub trait HandlerAnswer {
    fn into_result(self) -> NotificationResult;
}

impl HandlerAnswer for NotificationResult {
    fn into_result(self) -> NotificationResult {
        self
    }
}

impl HandlerAnswer for () {
    fn into_result(self) -> NotificationResult {
        NotificationResult::Handled
    }
}

impl<T: HandlerAnswer, E: Display> HandlerAnswer for Result<T, E> {
    fn into_result(self) -> NotificationResult {
        match self {
            Ok(answer) => answer.into_result(),
            Err(error) => {
                tracing::warn!(error = error.to_string(), "the endpoint failed");
                NotificationResult::Requeue
            }
        }
    }
}
