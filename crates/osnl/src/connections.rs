//! The limit of connections: an idle one ends for a new one, so silent clients do not exclude others. The peer with
//! the most connections gives way first.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::net::IpAddr;
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
    open: VecDeque<OpenConnection>,
}

struct OpenConnection {
    task: AbortHandle,
    busy: Busy,
    peer: Option<IpAddr>,
}

impl Connections {
    #[must_use]
    pub fn at_most(most: usize) -> Self {
        Self { most, tasks: JoinSet::new(), open: VecDeque::new() }
    }

    /// Ends an idle connection if necessary; returns `false` if none is idle.
    pub fn make_room(&mut self) -> bool {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|open| !open.task.is_finished());
        while self.open.len() >= self.most {
            if !self.end_one(|open| !open.busy.0.load(Ordering::Relaxed)) {
                return false;
            }
        }
        true
    }

    /// Ends the oldest connection, of those that may end, of the peer that has the most.
    fn end_one(&mut self, may_end: impl Fn(&OpenConnection) -> bool) -> bool {
        let share = |peer| self.open.iter().filter(|open| open.peer == peer).count();
        let candidates = self.open.iter().enumerate().filter(|(_, open)| may_end(open));
        let one = candidates.max_by_key(|(at, open)| (share(open.peer), Reverse(*at))).map(|(at, _)| at);
        let one = one.and_then(|at| self.open.remove(at));
        one.iter().for_each(|open| open.task.abort());
        one.is_some()
    }

    /// Serves a connection; if no connection is idle, another one ends.
    pub fn add(&mut self, peer: Option<IpAddr>, serve: impl FnOnce(Busy) -> BoxFuture<'static, ()>) {
        if !self.make_room() {
            self.end_one(|_| true);
        }
        let busy = Busy::default();
        let task = self.tasks.spawn(serve(busy.clone()));
        self.open.push_back(OpenConnection { task, busy, peer });
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
            connections.add(None, move |busy| {
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
    async fn the_peer_with_the_most_connections_gives_way() {
        for is_busy in [false, true] {
            let mut connections = Connections::at_most(3);
            let mut ended = Vec::new();
            for peer in [1, 2, 2, 2, 1] {
                let (alive, end) = oneshot::channel::<()>();
                ended.push(end);
                connections.add(Some(IpAddr::from([192, 0, 2, peer])), move |busy| {
                    busy.set(is_busy);
                    Box::pin(async move {
                        let _alive = alive;
                        std::future::pending::<()>().await;
                    })
                });
            }
            tokio::task::yield_now().await;
            let is_closed = |end: &mut oneshot::Receiver<()>| end.try_recv() == Err(TryRecvError::Closed);
            let closed: Vec<bool> = ended.iter_mut().map(is_closed).collect();
            assert_eq!(closed, [false, true, true, false, false]);
        }
    }

    #[tokio::test]
    async fn there_is_no_room_while_all_are_answered() {
        let mut connections = Connections::at_most(2);
        for _ in 0..2 {
            assert!(connections.make_room());
            connections.add(None, |busy| {
                busy.set(true);
                Box::pin(std::future::pending())
            });
        }
        assert!(!connections.make_room());
    }
}
