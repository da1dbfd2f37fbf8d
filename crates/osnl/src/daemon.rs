//! Listeners, delivery loops and the journal between them, run together and drained in order; and what becomes of
//! them when their configuration changes meanwhile.

mod board;
mod reload;
mod tasks;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_transport::{BoxFuture, TransportError};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::board::{Board, Heard, Reloads};
pub(crate) use self::reload::Asked;
pub use self::reload::{Changes, Outcome, Reason, Refused, Reload, SectionChange, Told, What};
use self::tasks::Tasks;
use crate::control::ControlSocket;
use crate::delivery::DeliveryLoop;
use crate::journal::Journal;
use crate::listener::Listener;
use crate::metrics::Counters;
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
    /// Shows what runs.
    board: Arc<Board>,
    /// Reads the configuration again.
    reload: Option<(Box<dyn Reload>, Arc<Counters>)>,
}

/// A reload under way.
type Preparing = BoxFuture<'static, (Box<dyn Reload>, Result<Changes, Refused>)>;

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
    /// These, without anything that answers questions.
    #[must_use]
    pub fn new(listeners: Vec<Listener>, deliveries: Vec<DeliveryLoop>, journal: Arc<dyn Journal>) -> Self {
        let board = Arc::new(Board::new(&listeners, &deliveries));
        Self { listeners, deliveries, journal, control: None, board, reload: None }
    }

    /// The same, and whoever is asked to [reload](Board::reload) asks this one. Reloads are counted.
    #[must_use]
    pub fn with_reload(mut self, reload: Box<dyn Reload>, counters: Arc<Counters>) -> Self {
        self.reload = Some((reload, counters));
        self
    }

    /// What runs, as it changes.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        self.board.clone()
    }

    /// Runs until told to drain, or until a listener cannot go on.
    ///
    /// The order of the end: listeners take nothing new, attempts under way finish, the journal says
    /// that no outcome will come any more, listeners settle what is complete and close. What is left
    /// unsettled is delivered again by the broker.
    ///
    /// # Errors
    /// The first listener that could not go on; everything else was drained.
    pub async fn run(self, shutdown: &Shutdown, drain_deadline: Duration) -> Result<Ended, TransportError> {
        let mut tasks = Tasks::start(shutdown, self.listeners, self.deliveries);
        let asked = CancellationToken::new();
        // Also stops it when what runs the daemon is dropped.
        let _unasked = asked.clone().drop_guard();
        let mut controls = JoinSet::new();
        if let Some(control) = self.control {
            controls.spawn(control.run(asked.clone()));
        }

        let mut first_error = None;
        let mut requests = self.board.inbox().filter(|_| self.reload.is_some());
        let (mut reload, counters) = self.reload.unzip();
        let mut preparing: Option<(Preparing, Asked)> = None;
        loop {
            tokio::select! {
                biased;
                () = shutdown.drain.cancelled() => break,
                // A listener that ends by itself at the start has failed; the others are told to drain.
                Some(ended) = tasks.listeners.join_next_with_id() => {
                    if let Some(error) = tasks.listener_ended(ended) {
                        first_error = error;
                        break;
                    }
                }
                Some(ended) = tasks.deliveries.join_next() => tasks.delivery_ended(ended),
                Some(_) = tasks.handovers.join_next() => {}
                (again, prepared) = prepared(&mut preparing) => {
                    let asked = preparing.take().map(|(_, asked)| asked);
                    let counters = counters.as_deref();
                    reload = Some(reloaded(&self.board, &mut tasks, again, prepared, asked, counters));
                }
                Some(asked) = next(&mut requests), if reload.is_some() => {
                    if let Some(reload) = reload.take() {
                        tracing::info!("{}: the configuration is read again", asked.by);
                        self.board.note(|reloads| reloads.begun += 1);
                        preparing = Some((reload.prepare(), asked));
                    }
                }
            }
        }
        // Whoever waits for a reload hears that there will be none.
        drop((preparing, requests));
        shutdown.drain.cancel();

        let drained = async {
            wait_all(&mut tasks.deliveries, |()| {}).await;
            self.journal.close().await;
            wait_all(&mut tasks.listeners, |result| {
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
                wait_all(&mut tasks.deliveries, |()| {}).await;
                wait_all(&mut tasks.listeners, |_| {}).await;
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

/// Waits while nothing is prepared.
async fn prepared(preparing: &mut Option<(Preparing, Asked)>) -> (Box<dyn Reload>, Result<Changes, Refused>) {
    match preparing {
        Some((preparing, _)) => preparing.await,
        None => std::future::pending().await,
    }
}

async fn next(requests: &mut Option<tokio::sync::mpsc::Receiver<Asked>>) -> Option<Asked> {
    requests.as_mut()?.recv().await
}

/// Does what was prepared, or says why not.
fn reloaded(
    board: &Board,
    tasks: &mut Tasks,
    mut reload: Box<dyn Reload>,
    prepared: Result<Changes, Refused>,
    asked: Option<Asked>,
    counters: Option<&Counters>,
) -> Box<dyn Reload> {
    let outcome = match prepared {
        Ok(changes) => {
            board.change(&changes.begin, &changes.leave, &changes.deliveries, &changes.order);
            let told = changes.told.clone();
            reload.commit();
            tasks.apply(changes);
            counters.inspect(|counters| counters.reloads.increment());
            said(&told);
            Outcome::Done(told)
        }
        Err(refused) => {
            counters.inspect(|counters| counters.reloads_refused.increment());
            for error in &refused.errors {
                tracing::error!("not reloaded: {error}");
            }
            tracing::error!("the configuration is not reloaded; the one from before goes on");
            Outcome::Refused(refused)
        }
    };
    board.note(|reloads| {
        reloads.ended += 1;
        let since = reloads.failed.as_ref().map(|(since, _)| *since);
        (reloads.loaded, reloads.failed) = match &outcome {
            Outcome::Done(_) => (SystemTime::now(), None),
            Outcome::Refused(refused) => {
                (reloads.loaded, Some((since.unwrap_or_else(SystemTime::now), refused.clone())))
            }
        };
    });
    if let Some(answer) = asked.and_then(|asked| asked.answer) {
        // Who has gone meanwhile looks into the log.
        let _ = answer.send(outcome);
    }
    reload
}

fn said(told: &Told) {
    for change in &told.changes {
        tracing::info!("{change}");
    }
    for warning in &told.warnings {
        tracing::warn!("{warning}");
    }
    match told.changes.len() {
        0 => tracing::info!("reloaded: nothing has changed"),
        sections => tracing::info!("reloaded: {sections} sections have changed"),
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
