//! The actions of a loop whose settings have changed: the ones before stay until their last attempt has ended, and
//! are ended then, while the new one is at work already.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use osnl_core::attempt::{Action, ActionError, ErrorClass};
use osnl_transport::BoxFuture;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(super) struct ReplacedActions {
    former: Vec<Arc<dyn Action>>,
    /// The actions being started and ended.
    chores: FuturesUnordered<BoxFuture<'static, ()>>,
    abort: CancellationToken,
}

impl ReplacedActions {
    pub(super) fn new(abort: CancellationToken) -> Self {
        Self { former: Vec::new(), chores: FuturesUnordered::new(), abort }
    }

    /// `now` has taken the place of `before`.
    pub(super) fn by(
        &mut self,
        now: &Arc<dyn Action>,
        before: Arc<dyn Action>,
        name: &Arc<str>,
        limit: Duration,
    ) {
        self.former.push(before);
        self.chores.push(Box::pin(open(now.clone(), name.clone(), limit)));
    }

    /// Ends those that no attempt uses any more.
    pub(super) fn end_unused(&mut self) {
        for action in self.former.extract_if(.., |action| Arc::strong_count(action) == 1) {
            let abort = self.abort.clone();
            self.chores.push(Box::pin(async move { action.close(&abort).await }));
        }
    }

    /// Gets on with it; completes whenever something is done.
    pub(super) async fn work(&mut self) {
        if self.chores.next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Ends all of them: no attempt is left.
    pub(super) async fn end(mut self) {
        self.end_unused();
        while self.chores.next().await.is_some() {}
    }
}

/// Lets an action start what it keeps running; what is wrong with that is known before its first event.
pub(super) async fn open(action: Arc<dyn Action>, name: Arc<str>, limit: Duration) {
    let error = match timeout(limit, action.open()).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(_) => ActionError::new(ErrorClass::Timeout, format!("waited {limit:?}")),
    };
    let target = action.target();
    tracing::error!(
        action.name = &*name,
        target.name = target,
        error = error.to_string(),
        "the action cannot be started; its events wait until it can"
    );
}
