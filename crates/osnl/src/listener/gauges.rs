//! What one listener has done, for a status.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use osnl_transport::Subscription;

/// Numbers of one listener.
#[derive(Debug, Default)]
pub struct Gauges {
    received: AtomicU64,
    reconnects: AtomicU64,
    /// Milliseconds since 1970; 0 is never.
    last_message: AtomicU64,
    opened: Mutex<Opened>,
}

/// What was found when it connected last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The queues that are read.
    pub queues: Vec<String>,
    /// `host:port` that answered; `None` before the first connection.
    pub host: Option<String>,
    /// Messages that waited in the queues then.
    pub waiting: u32,
}

impl Gauges {
    pub(super) fn connected(&self, found: &Subscription, again: bool) {
        self.reconnects.fetch_add(u64::from(again), Ordering::Relaxed);
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Opened {
            queues: found.queues().iter().map(ToString::to_string).collect(),
            host: Some(found.host.clone()),
            waiting: found.waiting,
        };
    }

    pub(super) fn received(&self, messages: usize) {
        if messages > 0 {
            self.received.fetch_add(messages as u64, Ordering::Relaxed);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.last_message.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Messages taken from the broker since the start, redeliveries included.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Connections opened after the first.
    #[must_use]
    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    /// When the latest message came, of this run of the program.
    #[must_use]
    pub fn last_message(&self) -> Option<SystemTime> {
        match self.last_message.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(UNIX_EPOCH + Duration::from_millis(millis)),
        }
    }

    /// What was found when it connected last.
    #[must_use]
    pub fn opened(&self) -> Opened {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
