//! The first line of standard output is a reason. With status 0, an output that is one verdict of
//! the protocol counts instead; with any status, one that names a fatal error. An output beyond `reply_limit` is read and forgotten: the status counts. A cancelled attempt ends its process, and no other process starts
//! before that is gone.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::chatter::Chatter;
use super::event;
use super::lines::tidy;
use super::process::{ProcessGroup, ending};
use super::verdict;
use super::worker::ChildSettings;
use osnl_action::{ActionError, Completion, ErrorClass, Event};
use osnl_core::ends::watched;

const LAST_CALL: Duration = Duration::from_secs(1);
const REASON: usize = 300;

#[derive(Debug)]
pub(super) struct Once {
    plan: ChildSettings,
    mask: bool,
    tasks: Mutex<JoinSet<()>>,
    ending: Mutex<Vec<CancellationToken>>,
    abort: CancellationToken,
}

/// One run, in a task of its own, because its end may take longer than its attempt.
struct Run {
    plan: ChildSettings,
    process: ProcessGroup,
    stdin: ChildStdin,
    stdout: ChildStdout,
    chatter: Chatter,
    input: Vec<u8>,
    hung: CancellationToken,
    abort: CancellationToken,
}

impl Once {
    pub(super) fn new(plan: ChildSettings, mask: bool) -> Self {
        let abort = CancellationToken::new();
        Self { plan, mask, tasks: Mutex::default(), ending: Mutex::default(), abort }
    }

    pub(super) fn plan(&self) -> &ChildSettings {
        &self.plan
    }

    pub(super) async fn attempt(&self, event: &Event) -> Result<Completion, ActionError> {
        self.others_have_ended().await;
        let mut command = self.plan.program.command();
        command.envs(event::variables(event));
        let (process, (stdin, stdout, stderr)) = ProcessGroup::start(command)
            .map_err(|error| ActionError::unrunnable(self.plan.program.refusal(&error)))?;
        let hung = CancellationToken::new();
        let run = Run {
            chatter: Chatter::new(self.plan.action.clone(), stderr),
            plan: self.plan.clone(),
            process,
            stdin,
            stdout,
            input: event::line(1, event, self.mask),
            hung: hung.clone(),
            abort: self.abort.clone(),
        };
        let (answer, answered) = oneshot::channel();
        let ended = CancellationToken::new();
        let at_end = ended.clone().drop_guard();
        {
            let mut tasks = lock(&self.tasks);
            while tasks.try_join_next().is_some() {}
            let task = || format!("the supervisor of {} of action {}", self.plan.name, self.plan.action);
            tasks.spawn(watched(task, async move {
                let _at_end = at_end;
                let _ = answer.send(run.finish().await);
            }));
        }
        let mut given_up = AbandonGuard { once: self, hung, ended: Some(ended) };
        let result = answered.await.unwrap_or_else(|_| {
            Err(ActionError::new(ErrorClass::Reset, format!("{} was not seen to end", self.plan.name)))
        });
        given_up.ended = None;
        result
    }

    async fn others_have_ended(&self) {
        loop {
            let Some(ended) = lock(&self.ending).last().cloned() else { return };
            ended.cancelled().await;
            lock(&self.ending).retain(|ended| !ended.is_cancelled());
        }
    }

    pub(super) async fn close(&self, abort: &CancellationToken) {
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        tokio::select! {
            biased;
            () = gone(&mut tasks) => return,
            () = abort.cancelled() => self.abort.cancel(),
        }
        gone(&mut tasks).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn gone(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

/// Dropped before `ended`, the guard cancels an attempt: the next process waits for the end of the cancelled one.
struct AbandonGuard<'a> {
    once: &'a Once,
    hung: CancellationToken,
    ended: Option<CancellationToken>,
}

impl Drop for AbandonGuard<'_> {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            self.hung.cancel();
            lock(&self.once.ending).push(ended);
        }
    }
}

impl Run {
    async fn finish(self) -> Result<Completion, ActionError> {
        let Self { plan, mut process, mut stdin, mut stdout, mut chatter, input, hung, abort } = self;
        let ChildSettings { name, reply_limit, stop_timeout, .. } = &plan;
        let mut output = BytesMut::new();
        let write = async move {
            // A process may succeed without reading its input.
            let _ = stdin.write_all(&input).await;
            drop(stdin);
            std::future::pending::<Infallible>().await
        };
        let (mut read, mut is_read) = (Box::pin(read(&mut stdout, &mut output, *reply_limit)), false);
        tokio::pin!(write);
        let is_hung = loop {
            tokio::select! {
                biased;
                () = hung.cancelled() => break true,
                () = abort.cancelled() => break true,
                () = &mut read, if !is_read => is_read = true,
                _ = process.wait() => break false,
                never = &mut write => match never {},
                never = chatter.relay() => match never {},
            }
        };
        if !is_hung && !is_read {
            let _ = timeout(LAST_CALL, &mut read).await;
        }
        drop(read);
        let status = tokio::select! {
            biased;
            status = process.end(Duration::ZERO, *stop_timeout, &abort) => status,
            never = chatter.relay() => match never {},
        };
        let _ = timeout(LAST_CALL, chatter.relay_to_end()).await;
        let words = chatter.last_words();
        let failed = |class, reason: String| Err(ActionError::new(class, reason));
        if is_hung {
            let ended = ending(status);
            return failed(ErrorClass::Timeout, format!("{name} was ended ({ended}){words}"));
        }
        if let Some(why) = verdict::fatal(&output) {
            return Err(ActionError::unrunnable(format!("{name}: {why}")));
        }
        let code = match &status {
            Ok(status) => status.code(),
            Err(_) => None,
        };
        let first = output[..].split(|byte| *byte == b'\n').next().unwrap_or_default();
        let first = tidy(first, REASON);
        match code {
            Some(0) => match verdict::read_only(&output) {
                Some(result) => result,
                None if first.is_empty() => Ok(Completion::Delivered(format!("{name}: done"))),
                None => Ok(Completion::Delivered(first)),
            },
            Some(code) => {
                let said = if first.is_empty() { words } else { format!(": {first}") };
                failed(verdict::class_of_exit(code), format!("{name} ended with {code}{said}"))
            }
            None => {
                failed(ErrorClass::Refused(None), format!("{name} has ended ({}){words}", ending(status)))
            }
        }
    }
}

async fn read(stdout: &mut ChildStdout, output: &mut BytesMut, limit: usize) {
    while let Ok(1..) = stdout.read_buf(output).await {
        output.truncate(limit);
    }
}
