//! The bound on connections: when there are as many as may be, the oldest one that is not being answered gives way.
//!
//! So clients that connect and send nothing keep no other client out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::{AbortHandle, JoinSet};

/// Connections at once.
pub(crate) const MOST: usize = 64;

/// Whether a connection's request is being answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<AtomicBool>);

impl Busy {
    pub(crate) fn set(&self, busy: bool) {
        self.0.store(busy, Ordering::Relaxed);
    }
}

/// The connections that are open.
#[derive(Default)]
pub(crate) struct Connections {
    tasks: JoinSet<()>,
    /// The oldest first.
    open: VecDeque<(AbortHandle, Busy)>,
}

impl Connections {
    /// Serves another one; if there are too many, an older one ends.
    pub(crate) fn add(&mut self, serve: impl FnOnce(Busy) -> osnl_transport::BoxFuture<'static, ()>) {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|(task, _)| !task.is_finished());
        while self.open.len() >= MOST {
            let idle = self.open.iter().position(|(_, busy)| !busy.0.load(Ordering::Relaxed));
            if let Some((task, _)) = self.open.remove(idle.unwrap_or(0)) {
                task.abort();
            }
        }
        let busy = Busy::default();
        let task = self.tasks.spawn(serve(busy.clone()));
        self.open.push_back((task, busy));
    }

    /// Waits until one has ended; for ever if none is open.
    pub(crate) async fn ended(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until all have ended.
    pub(crate) async fn finish(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::{self, error::TryRecvError};

    use super::*;

    #[tokio::test]
    async fn the_oldest_that_is_idle_gives_way() {
        let mut connections = Connections::default();
        let mut ended = Vec::new();
        for n in 0..=MOST {
            let (alive, end) = oneshot::channel::<()>();
            ended.push(end);
            connections.add(move |busy| {
                busy.set(n == 0);
                Box::pin(async move {
                    let _alive = alive;
                    std::future::pending::<()>().await;
                })
            });
        }
        tokio::task::yield_now().await;
        let is_closed = |end: &mut oneshot::Receiver<()>| end.try_recv() == Err(TryRecvError::Closed);
        let closed: Vec<bool> = ended.iter_mut().map(is_closed).collect();
        let closed: Vec<usize> = (0..=MOST).filter(|n| closed[*n]).collect();
        assert_eq!(closed, [1], "the first one is being answered");
    }
}
