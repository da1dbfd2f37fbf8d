//! Listeners, delivery loops and the journal between them, run together and drained in order.

use std::sync::Arc;
use std::time::Duration;

use osnl_transport::TransportError;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::control::ControlSocket;
use crate::delivery::DeliveryLoop;
use crate::journal::Journal;
use crate::listener::Listener;
use crate::shutdown::Shutdown;

/// After an abort the tasks have this long to notice.
const ABORT_GRACE: Duration = Duration::from_secs(2);

/// What runs together.
pub struct Daemon {
    /// Each keeps one subscription up.
    pub listeners: Vec<Listener>,
    /// One per action.
    pub deliveries: Vec<DeliveryLoop>,
    /// What stands between them.
    pub journal: Arc<dyn Journal>,
    /// Answers questions about all of it, until the end of the drain.
    pub control: Option<ControlSocket>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything in work was finished and settled.
    Drained,
    /// The deadline passed first; what was in work goes back to the broker.
    DeadlinePassed,
    /// An abort was asked for; what was in work goes back to the broker.
    Aborted,
}

impl Daemon {
    /// Runs until told to drain, or until a listener cannot go on.
    ///
    /// The order of the end: listeners take nothing new, attempts under way finish, the journal says
    /// that no outcome will come any more, listeners settle what is complete and close. What is left
    /// unsettled is delivered again by the broker.
    ///
    /// # Errors
    /// The first listener that could not go on; everything else was drained.
    pub async fn run(self, shutdown: &Shutdown, drain_deadline: Duration) -> Result<Ended, TransportError> {
        let mut listeners = JoinSet::new();
        for listener in self.listeners {
            listeners.spawn(listener.run(shutdown.clone()));
        }
        let mut deliveries = JoinSet::new();
        for delivery in self.deliveries {
            deliveries.spawn(delivery.run(shutdown.clone()));
        }

        let asked = CancellationToken::new();
        // Also stops it when what runs the daemon is dropped.
        let _unasked = asked.clone().drop_guard();
        let mut controls = JoinSet::new();
        if let Some(control) = self.control {
            controls.spawn(control.run(asked.clone()));
        }

        let mut first_error = None;
        tokio::select! {
            biased;
            () = shutdown.drain.cancelled() => {}
            // A listener that ends by itself has failed; the others are told to drain.
            ended = listeners.join_next() => first_error = ended.and_then(failure),
        }
        shutdown.drain.cancel();

        let drained = async {
            wait_all(&mut deliveries, |()| {}).await;
            self.journal.close().await;
            wait_all(&mut listeners, |result| {
                if let Err(error) = result {
                    first_error.get_or_insert(error);
                }
            })
            .await;
        };
        let in_time = tokio::select! {
            biased;
            () = shutdown.abort.cancelled() => Some(Ended::Aborted),
            in_time = timeout(drain_deadline, drained) => in_time.is_err().then_some(Ended::DeadlinePassed),
        };
        asked.cancel();
        wait_all(&mut controls, |()| {}).await;
        if let Some(ended) = in_time {
            shutdown.abort.cancel();
            let rest = async {
                wait_all(&mut deliveries, |()| {}).await;
                wait_all(&mut listeners, |_| {}).await;
            };
            // What does not notice in time is cut off when its set is dropped.
            let _ = timeout(ABORT_GRACE, rest).await;
            return Ok(ended);
        }
        match first_error {
            Some(error) => Err(error),
            None => Ok(Ended::Drained),
        }
    }
}

fn failure(ended: Result<Result<(), TransportError>, tokio::task::JoinError>) -> Option<TransportError> {
    match ended {
        Ok(result) => result.err(),
        Err(error) => {
            tracing::error!(%error, "a listener ended by a panic");
            None
        }
    }
}

async fn wait_all<T: 'static>(tasks: &mut JoinSet<T>, mut each: impl FnMut(T)) {
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(value) => each(value),
            Err(error) => tracing::error!(%error, "a task ended by a panic"),
        }
    }
}
