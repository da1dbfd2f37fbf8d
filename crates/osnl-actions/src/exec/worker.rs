//! One child of an action: its start, its calls, and its quiet time, in which it gets no event.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::process::ProcessGroup;
use super::program::Program;
use super::supervisor::{ChildOrder, Supervisor, Terms};
use osnl_action::{ActionError, Completion};
use osnl_core::ends::watched;

/// The capacity of the channel to the supervisor; a further event waits.
const ORDERS: usize = 64;
/// The time after its start in which a child gets no event if the one before it wrote a line that is no verdict.
const QUIET: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct ChildSettings {
    pub action: Arc<str>,
    pub program: Program,
    pub name: String,
    pub reply_limit: usize,
    pub stop_timeout: Duration,
}

#[derive(Debug)]
pub struct ExecWorker {
    plan: ChildSettings,
    slot: Mutex<ChildSlot>,
    ids: AtomicU64,
    starts: AtomicU64,
    has_answered: Arc<AtomicBool>,
    abort: CancellationToken,
}

#[derive(Debug, Default)]
struct ChildSlot {
    child: Option<Handle>,
    supervisor: JoinSet<()>,
    /// The end of the child's quiet time, and the error of the child before it.
    quiet: Option<(Instant, ActionError)>,
}

impl ChildSlot {
    /// Refuses events in the child's quiet time. An event that waited for its end might reach the time-out of its attempt.
    fn refuse_if_quiet(&self) -> Result<(), ActionError> {
        let Some((until, error)) = &self.quiet else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        Err(ActionError { retry_after: Some(left), ..error.clone() })
    }
}

#[derive(Clone, Debug)]
struct Handle {
    orders: mpsc::Sender<ChildOrder>,
    hung: CancellationToken,
    garbled: Arc<OnceLock<ActionError>>,
}

impl Handle {
    /// Whether the child can take events. The supervisor may not know yet that the child hangs.
    fn is_usable(&self) -> bool {
        !self.orders.is_closed() && !self.hung.is_cancelled()
    }
}

impl ExecWorker {
    pub fn new(plan: ChildSettings) -> Self {
        let abort = CancellationToken::new();
        let (slot, starts, has_answered) = Default::default();
        Self { plan, slot, ids: AtomicU64::new(1), starts, has_answered, abort }
    }

    pub fn plan(&self) -> &ChildSettings {
        &self.plan
    }

    pub fn id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub fn restarts(&self) -> u64 {
        self.starts.load(Ordering::Relaxed).saturating_sub(1)
    }

    pub async fn start(
        &self,
        prologue: impl Fn() -> Result<Vec<u8>, ActionError>,
    ) -> Result<(), ActionError> {
        self.child(&prologue).await.map(drop)
    }

    /// Sends lines to the child, starting it if there is none, and returns the answers in order.
    /// Dropping the future ends the child: a hanging child must not continue while its event is
    /// attempted again.
    pub async fn ask(
        &self,
        lines: Vec<(u64, Vec<u8>)>,
        prologue: impl Fn() -> Result<Vec<u8>, ActionError>,
    ) -> Vec<Result<Completion, ActionError>> {
        let child = match self.child(&prologue).await {
            Ok(child) => child,
            Err(error) => return lines.iter().map(|_| Err(error.clone())).collect(),
        };
        let guard: DropGuard = child.hung.drop_guard();
        let mut waiting = Vec::with_capacity(lines.len());
        for (id, line) in lines {
            let (answer, answered) = oneshot::channel();
            let _ = child.orders.send(ChildOrder { id, line, answer }).await;
            waiting.push(answered);
        }
        let mut results = Vec::with_capacity(waiting.len());
        for answered in waiting {
            results.push(answered.await.unwrap_or_else(|_| {
                let reason = format!("{} has just ended", self.plan.name);
                Err(ActionError::unrunnable(reason))
            }));
        }
        guard.disarm();
        results
    }

    pub async fn close(&self, abort: &CancellationToken) {
        let mut slot = self.slot.lock().await;
        slot.child = None;
        tokio::select! {
            biased;
            () = gone(&mut slot.supervisor) => return,
            () = abort.cancelled() => self.abort.cancel(),
        }
        gone(&mut slot.supervisor).await;
    }

    async fn child(
        &self,
        prologue: &impl Fn() -> Result<Vec<u8>, ActionError>,
    ) -> Result<Handle, ActionError> {
        let mut slot = self.slot.lock().await;
        let child = match slot.child.clone().filter(Handle::is_usable) {
            Some(child) => child,
            None => self.next_child(&mut slot, prologue).await?,
        };
        slot.refuse_if_quiet()?;
        Ok(child)
    }

    async fn next_child(
        &self,
        slot: &mut ChildSlot,
        prologue: &impl Fn() -> Result<Vec<u8>, ActionError>,
    ) -> Result<Handle, ActionError> {
        // Two children at once could process one event twice.
        gone(&mut slot.supervisor).await;
        let prologue = prologue()?;
        let ChildSettings { action, program, name, reply_limit, stop_timeout } = &self.plan;
        let (process, pipes) = ProcessGroup::start(program.command())
            .map_err(|error| ActionError::unrunnable(program.refusal(&error)))?;
        self.starts.fetch_add(1, Ordering::Relaxed);
        tracing::info!(
            action.name = &**action,
            process.id = process.id(),
            program = %name,
            "program started"
        );
        let garbled = slot.child.take().and_then(|before| before.garbled.get().cloned());
        slot.quiet = garbled.map(|error| (Instant::now() + QUIET, error));
        let (orders, taken) = mpsc::channel(ORDERS);
        let (hung, garbled) = (CancellationToken::new(), Arc::default());
        let terms = Terms {
            action: action.clone(),
            name: name.clone(),
            reply_limit: *reply_limit,
            stop_timeout: *stop_timeout,
            hung: hung.clone(),
            abort: self.abort.clone(),
            has_answered: self.has_answered.clone(),
            garbled: Arc::clone(&garbled),
        };
        let supervised = Supervisor::new(terms, (process, pipes), &prologue, taken).run();
        let task = || format!("the supervisor of {name} of action {action}");
        slot.supervisor.spawn(watched(task, supervised));
        let child = Handle { orders, hung, garbled };
        slot.child = Some(child.clone());
        Ok(child)
    }
}

async fn gone(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!(error = error.to_string(), "a supervisor ended by a panic; its child is killed");
        }
    }
}
