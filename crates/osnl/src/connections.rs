//! The limit of connections: the oldest idle one ends for a new one, so silent clients do not exclude others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use osnl_transport::BoxFuture;
use tokio::task::{AbortHandle, JoinSet};

#[derive(Clone, Debug, Default)]
pub struct Busy(Arc<AtomicBool>);

impl Busy {
    pub fn set(&self, busy: bool) {
        self.0.store(busy, Ordering::Relaxed);
    }
}

pub struct Connections {
    most: usize,
    tasks: JoinSet<()>,
    open: VecDeque<(AbortHandle, Busy)>,
}

impl Connections {
    #[must_use]
    pub fn at_most(most: usize) -> Self {
        Self { most, tasks: JoinSet::new(), open: VecDeque::new() }
    }

    /// Ends the oldest idle connection if necessary; returns `false` if none is idle.
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

    /// Serves a connection; if no connection is idle, the oldest ends.
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

    pub async fn ended(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

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
