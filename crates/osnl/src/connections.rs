//! The limit of connections: the peer with the most connections gives way to a new one, so that busy or silent
//! clients of one address do not exclude others. Of that peer the oldest idle connection ends.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use osnl_transport::BoxFuture;
use tokio::task::{AbortHandle, JoinSet};

/// Marks a connection that has a request under way, which is not closed to make room.
#[derive(Clone, Debug, Default)]
pub struct Busy(Arc<AtomicBool>);

impl Busy {
    pub fn set(&self, busy: bool) {
        self.0.store(busy, Ordering::Relaxed);
    }
}

/// The open connections of a server, of which idle ones are closed at the bound.
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

impl OpenConnection {
    fn is_idle(&self) -> bool {
        !self.busy.0.load(Ordering::Relaxed)
    }
}

impl Connections {
    #[must_use]
    pub fn at_most(most: usize) -> Self {
        Self { most, tasks: JoinSet::new(), open: VecDeque::new() }
    }

    /// Ends an idle connection if necessary; returns `false` if the one that should end is being answered.
    pub fn make_room(&mut self) -> bool {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|open| !open.task.is_finished());
        while self.open.len() >= self.most {
            match self.next_to_end() {
                Some(at) if self.open[at].is_idle() => self.end(at),
                Some(_) | None => return false,
            }
        }
        true
    }

    /// Finds the oldest connection, an idle one if possible, of the peer that has the most.
    fn next_to_end(&self) -> Option<usize> {
        let share = |peer| self.open.iter().filter(|open| open.peer == peer).count();
        let all = self.open.iter().enumerate();
        all.max_by_key(|(at, open)| (share(open.peer), open.is_idle(), Reverse(*at))).map(|(at, _)| at)
    }

    fn end(&mut self, at: usize) {
        if let Some(open) = self.open.remove(at) {
            open.task.abort();
        }
    }

    pub fn add(&mut self, peer: Option<IpAddr>, serve: impl FnOnce(Busy) -> BoxFuture<'static, ()>) {
        if !self.make_room()
            && let Some(at) = self.next_to_end()
        {
            self.end(at);
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

    /// Adds a connection of each peer, busy or idle, and returns whether each has ended.
    async fn closed(most: usize, peers: impl IntoIterator<Item = (u8, bool)>) -> Vec<bool> {
        let mut connections = Connections::at_most(most);
        let mut ended = Vec::new();
        for (peer, is_busy) in peers {
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
        ended.iter_mut().map(|end| end.try_recv() == Err(TryRecvError::Closed)).collect()
    }

    #[tokio::test]
    async fn the_oldest_that_is_idle_gives_way() {
        let closed = closed(MOST, (0..=MOST).map(|n| (1, n == 0))).await;
        let closed: Vec<usize> = (0..=MOST).filter(|n| closed[*n]).collect();
        assert_eq!(closed, [1], "the first one is being answered");
    }

    #[tokio::test]
    async fn the_peer_with_the_most_connections_gives_way() {
        for is_busy in [false, true] {
            let closed = closed(3, [1, 2, 2, 2, 1].map(|peer| (peer, is_busy))).await;
            assert_eq!(closed, [false, true, true, false, false]);
        }
    }

    #[tokio::test]
    async fn an_idle_connection_of_another_peer_does_not_end_for_busy_ones() {
        let closed = closed(3, [1, 1, 2, 1, 1].map(|peer| (peer, peer == 1))).await;
        assert!(!closed[2]);
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
