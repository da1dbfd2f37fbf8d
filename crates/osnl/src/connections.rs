//! The bound on connections of the control socket and of the admin endpoint: when there are as many as may be, the oldest one
//! that is not being answered gives way.
//!
//! So clients that connect and send nothing keep no other client out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use osnl_transport::BoxFuture;
use tokio::task::{AbortHandle, JoinSet};

/// Whether a connection's request is being answered.
#[derive(Clone, Debug, Default)]
pub struct Busy(Arc<AtomicBool>);

impl Busy {
    /// Notes whether it is.
    pub fn set(&self, busy: bool) {
        self.0.store(busy, Ordering::Relaxed);
    }
}

/// The connections that are open.
pub struct Connections {
    most: usize,
    tasks: JoinSet<()>,
    /// The oldest first.
    open: VecDeque<(AbortHandle, Busy)>,
}

impl Connections {
    /// None yet, and at most so many at once.
    #[must_use]
    pub fn at_most(most: usize) -> Self {
        Self { most, tasks: JoinSet::new(), open: VecDeque::new() }
    }

    /// Makes room for another one: if there are too many, the oldest idle one ends. `false`: all are being answered.
    pub fn make_room(&mut self) -> bool {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|(task, _)| !task.is_finished());
        while self.open.len() >= self.most {
            let idle = self.open.iter().position(|(_, busy)| !busy.0.load(Ordering::Relaxed));
            match idle.and_then(|idle| self.open.remove(idle)) {
                Some((task, _)) => task.abort(),
                None => return false,
            }
        }
        true
    }

    /// Serves another one; if all are being answered, the oldest ends.
    pub fn add(&mut self, serve: impl FnOnce(Busy) -> BoxFuture<'static, ()>) {
        if !self.make_room()
            && let Some((task, _)) = self.open.pop_front()
        {
            task.abort();
        }
        let busy = Busy::default();
        let task = self.tasks.spawn(serve(busy.clone()));
        self.open.push_back((task, busy));
    }

    /// Waits until one has ended; for ever if none is open.
    pub async fn ended(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until all have ended.
    pub async fn finish(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::{self, error::TryRecvError};

    use super::*;

    const MOST: usize = 16;

    #[tokio::test]
    async fn the_oldest_that_is_idle_gives_way() {
        let mut connections = Connections::at_most(MOST);
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

    #[tokio::test]
    async fn there_is_no_room_while_all_are_answered() {
        let mut connections = Connections::at_most(2);
        for _ in 0..2 {
            assert!(connections.make_room());
            connections.add(|busy| {
                busy.set(true);
                Box::pin(std::future::pending())
            });
        }
        assert!(!connections.make_room());
    }
}
