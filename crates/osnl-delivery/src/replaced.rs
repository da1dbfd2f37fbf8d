//! The actions of a loop whose settings have changed. An earlier action stays until its last attempt has ended, while
//! the new action is already at work.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use osnl_core::attempt::{Action, ActionError, ErrorClass};
use osnl_transport::BoxFuture;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The former actions of a loop, each closed after its last attempt.
pub(super) struct ReplacedActions {
    former: Vec<Arc<dyn Action>>,
    /// Openings and closings under way.
    chores: FuturesUnordered<BoxFuture<'static, ()>>,
    abort: CancellationToken,
}

impl ReplacedActions {
    pub(super) fn new(abort: CancellationToken) -> Self {
        Self { former: Vec::new(), chores: FuturesUnordered::new(), abort }
    }

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

    pub(super) fn end_unused(&mut self) {
        for action in self.former.extract_if(.., |action| Arc::strong_count(action) == 1) {
            let abort = self.abort.clone();
            self.chores.push(Box::pin(async move { action.close(&abort).await }));
        }
    }

    pub(super) async fn work(&mut self) {
        if self.chores.next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    pub(super) async fn end(mut self) {
        self.end_unused();
        while self.chores.next().await.is_some() {}
    }
}

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
