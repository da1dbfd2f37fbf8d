//! The task that has one long-lived child: it alone writes to it, listens to it and ends it.
//!
//! Orders come in by a bounded channel, verdicts go out by one channel each. Nothing here starts a child: when one
//! has ended, for whatever reason, everything that it had not answered fails, and the task is over. It is over only
//! when the child and all of its group are gone, so that no event is attempted twice at once.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::chatter::Chatter;
use super::lines::{LineBuffer, NextLine, tidy};
use super::process::{Pipes, ProcessGroup, ending};
use super::verdict::{self, ChildLine};
use crate::{ActionError, Completion, ErrorClass};

/// No further event is taken while so many bytes wait for the child to read them.
const MOST_UNREAD: usize = 256 * 1024;
/// The time within which the last output of a child arrives after it has ended, or closed its input.
const LAST_CALL: Duration = Duration::from_secs(1);

/// One event for the child.
#[derive(Debug)]
pub(super) struct ChildOrder {
    pub(super) id: u64,
    pub(super) line: Vec<u8>,
    pub(super) answer: oneshot::Sender<Result<Completion, ActionError>>,
}

/// The settings that the two sides of a child's supervision share.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) action: Arc<str>,
    /// The program's name, for people.
    pub(super) name: String,
    /// The longest line that it may write.
    pub(super) reply_limit: usize,
    /// The time it may take to end when its input ends, and again after SIGTERM.
    pub(super) stop_timeout: Duration,
    /// An attempt was given up: the child hangs.
    pub(super) hung: CancellationToken,
    /// Everything ends at once.
    pub(super) abort: CancellationToken,
    /// A child of the program has answered since the daemon began, so the program is the right one.
    pub(super) has_answered: Arc<AtomicBool>,
}

/// The reason for the end of a conversation.
#[derive(Debug)]
enum EndCause {
    /// No more events will come, and all are answered.
    Drained,
    /// An attempt was given up.
    Hung,
    /// It has ended, or closed one of its pipes, without being asked.
    Gone,
    /// Output that is not the protocol.
    Garbage(String),
    /// It says that it cannot go on.
    Fatal(String),
}

/// See the [module](self).
pub(super) struct Supervisor {
    terms: Terms,
    process: ProcessGroup,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    chatter: Chatter,
    orders: mpsc::Receiver<ChildOrder>,
    /// Not yet written.
    out: BytesMut,
    heard: LineBuffer,
    unanswered: HashMap<u64, oneshot::Sender<Result<Completion, ActionError>>>,
    /// Set when nothing but its last words is waited for.
    last_call: Option<Instant>,
}

impl Supervisor {
    /// `prologue` is written before the first event.
    pub(super) fn new(
        terms: Terms,
        (process, (stdin, stdout, stderr)): (ProcessGroup, Pipes),
        prologue: &[u8],
        orders: mpsc::Receiver<ChildOrder>,
    ) -> Self {
        Self {
            process,
            stdin: Some(stdin),
            stdout,
            chatter: Chatter::new(terms.action.clone(), stderr),
            orders,
            out: prologue.into(),
            heard: LineBuffer::new(terms.reply_limit),
            unanswered: HashMap::new(),
            last_call: None,
            terms,
        }
    }

    /// Until the child is gone.
    pub(super) async fn run(mut self) {
        let cause = self.converse().await;
        self.orders.close();
        let status = self.wind_down(&cause).await;
        // Its last words are in the pipe; who has left the group may hold that open.
        let _ = timeout(LAST_CALL, self.chatter.relay_to_end()).await;
        let waiting = std::mem::take(&mut self.unanswered);
        let error = self.failure(cause, status, waiting.len());
        for answer in waiting.into_values() {
            // Whoever asked may have given up.
            let _ = answer.send(Err(error.clone()));
        }
        while let Ok(order) = self.orders.try_recv() {
            let _ = order.answer.send(Err(error.clone()));
        }
    }

    async fn converse(&mut self) -> EndCause {
        let mut batch = Vec::new();
        loop {
            let last_call = self.last_call;
            let may_take = self.out.len() < MOST_UNREAD && last_call.is_none();
            tokio::select! {
                biased;
                () = self.terms.hung.cancelled() => return EndCause::Hung,
                () = self.terms.abort.cancelled() => return EndCause::Hung,
                read = self.stdout.read_buf(&mut self.heard.buffer) => match read {
                    Ok(0) | Err(_) => return EndCause::Gone,
                    Ok(_) => if let Some(cause) = self.listen() {
                        return cause;
                    },
                },
                written = write(&mut self.stdin, &self.out), if !self.out.is_empty() => match written {
                    Ok(n) => self.out.advance(n),
                    Err(_) => {
                        // Whether it has read the events before is for its verdicts to say.
                        self.out.clear();
                        self.stdin = None;
                        self.last_call.get_or_insert_with(|| Instant::now() + LAST_CALL);
                    }
                },
                _ = self.process.wait(), if last_call.is_none() => {
                    self.out.clear();
                    self.last_call = Some(Instant::now() + LAST_CALL);
                }
                () = sleep_until(last_call.unwrap_or_else(Instant::now)), if last_call.is_some() => {
                    return EndCause::Gone;
                }
                taken = self.orders.recv_many(&mut batch, 64), if may_take => {
                    if taken == 0 && self.unanswered.is_empty() {
                        return EndCause::Drained;
                    }
                    if taken == 0 {
                        // Nobody waits for what is unanswered either.
                        return EndCause::Hung;
                    }
                    for order in batch.drain(..) {
                        self.out.extend_from_slice(&order.line);
                        self.unanswered.insert(order.id, order.answer);
                    }
                }
                // Last: who talks without end must not keep events waiting.
                never = self.chatter.relay() => match never {},
            }
        }
    }

    fn listen(&mut self) -> Option<EndCause> {
        loop {
            let line = match self.heard.next() {
                NextLine::Line(line) => line,
                NextLine::More => return None,
                NextLine::TooLong(line) => {
                    let begin = tidy(&line, 80);
                    let limit = self.terms.reply_limit;
                    return Some(EndCause::Garbage(format!(
                        "{begin:?} is longer than reply_limit, {limit} bytes"
                    )));
                }
            };
            match verdict::read(&line) {
                Ok(ChildLine::Fatal(reason)) => return Some(EndCause::Fatal(reason)),
                Ok(ChildLine::Verdict(id, result)) => match self.unanswered.remove(&id) {
                    Some(answer) => {
                        self.terms.has_answered.store(true, Ordering::Relaxed);
                        let _ = answer.send(result);
                    }
                    None => {
                        let begin = tidy(&line, 80);
                        return Some(EndCause::Garbage(format!(
                            "{begin:?} has the id of no event that waits"
                        )));
                    }
                },
                Err(problem) => return Some(EndCause::Garbage(problem)),
            }
        }
    }

    /// Ends it, if it has not ended yet.
    async fn wind_down(&mut self, cause: &EndCause) -> io::Result<std::process::ExitStatus> {
        // The end of its input asks it to end.
        self.stdin = None;
        let patience = match cause {
            EndCause::Drained | EndCause::Fatal(_) => self.terms.stop_timeout,
            EndCause::Gone => LAST_CALL,
            EndCause::Hung | EndCause::Garbage(_) => Duration::ZERO,
        };
        let Self { process, stdout, chatter, terms, .. } = self;
        let mut sink = tokio::io::sink();
        // Whoever ends must not be stuck in a pipe.
        let discard = async {
            let _ = tokio::io::copy(stdout, &mut sink).await;
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            biased;
            status = process.end(patience, terms.stop_timeout, &terms.abort) => status,
            never = chatter.relay() => match never {},
            never = discard => match never {},
        }
    }

    fn failure(
        &self,
        cause: EndCause,
        status: io::Result<std::process::ExitStatus>,
        waiting: usize,
    ) -> ActionError {
        let name = &self.terms.name;
        let ended = ending(status);
        let words = self.chatter.last_words();
        // A program that has never answered may be the wrong one: its start has failed. One that has is ended by an event,
        // whose attempts count: each child that such an event ends is a fresh one.
        let has_answered = self.terms.has_answered.load(Ordering::Relaxed);
        let class = if has_answered { ErrorClass::Reset } else { ErrorClass::Connect };
        let (class, reason) = match cause {
            EndCause::Drained => {
                tracing::debug!(
                    action.name = &*self.terms.action,
                    program = %name,
                    ending = %ended,
                    "the program has ended"
                );
                (ErrorClass::Connect, "osnl ends".to_owned())
            }
            EndCause::Hung => {
                (class, format!("{name} was ended, because it had no verdict in time ({ended}){words}"))
            }
            EndCause::Gone => (class, format!("{name} has ended ({ended}){words}")),
            EndCause::Garbage(problem) => (
                class,
                format!(
                    "{name} was ended, because {problem}; its standard output is for verdicts, for everything else \
                     is its standard error"
                ),
            ),
            EndCause::Fatal(reason) => (ErrorClass::Connect, format!("{name}: {reason}")),
        };
        if waiting == 0 && reason != "osnl ends" {
            // If it had events, the delivery of those logs it.
            let action = &*self.terms.action;
            tracing::warn!(
                action.name = action,
                reason,
                "the program ended and is started again with the next event"
            );
        }
        if class == ErrorClass::Connect {
            return ActionError::unrunnable(reason);
        }
        ActionError::new(class, reason)
    }
}

async fn write(stdin: &mut Option<ChildStdin>, out: &BytesMut) -> io::Result<usize> {
    match stdin {
        Some(stdin) => stdin.write(out).await,
        None => std::future::pending().await,
    }
}
