//! When the child ends, all unanswered events fail, and the task ends too. The task ends only after the child
//! and its whole group are gone, so that no event is attempted twice at once.
//!
//! A line that is no verdict may be the report of an effect, so it refuses for good the unanswered events that the child may
//! have read. The worker refuses events for the next child until a moment has passed without such a line: one that greets
//! holds its action, and costs no further events.

use osnl_action::{ActionError, Completion, ErrorClass};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
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

const MOST_UNREAD: usize = 256 * 1024;
/// The time for the child's last output after it has ended or closed its input.
const LAST_CALL: Duration = Duration::from_secs(1);
/// The remedy of a line that is no verdict.
const UNREADABLE: &str =
    "correct what the program writes to standard output, and look at the target before you retry";

#[derive(Debug)]
pub(super) struct ChildOrder {
    pub(super) id: u64,
    pub(super) line: Vec<u8>,
    pub(super) answer: oneshot::Sender<Result<Completion, ActionError>>,
}

#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) action: Arc<str>,
    pub(super) name: String,
    pub(super) reply_limit: usize,
    pub(super) stop_timeout: Duration,
    /// Cancelled when an attempt is given up, because the child hangs.
    pub(super) hung: CancellationToken,
    pub(super) abort: CancellationToken,
    /// Whether a child of this program has answered since the daemon's start, which proves that the
    /// program is the right one.
    pub(super) has_answered: Arc<AtomicBool>,
    /// The error of this child for the events that it has not read, if it ended because of a line that is no verdict.
    pub(super) garbled: Arc<OnceLock<ActionError>>,
}

#[derive(Debug)]
enum EndCause {
    Drained,
    Hung,
    Gone,
    Garbage(String),
    Fatal(String),
}

pub(super) struct Supervisor {
    terms: Terms,
    process: ProcessGroup,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    chatter: Chatter,
    orders: mpsc::Receiver<ChildOrder>,
    out: BytesMut,
    heard: LineBuffer,
    unanswered: HashMap<u64, oneshot::Sender<Result<Completion, ActionError>>>,
    /// The events of which the child has no byte yet, each with the place of its line in all that is written.
    unseen: VecDeque<(u64, usize)>,
    /// The bytes that the child's input has taken.
    written: usize,
    last_call: Option<Instant>,
}

impl Supervisor {
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
            unseen: VecDeque::new(),
            written: 0,
            last_call: None,
            terms,
        }
    }

    pub(super) async fn run(mut self) {
        let mut cause = self.converse().await;
        // The last line of a program may lack its end.
        if matches!(cause, EndCause::Gone)
            && let Some(line) = self.heard.rest()
            && let Some(problem) = self.judge(&line)
        {
            cause = problem;
        }
        self.orders.close();
        let is_garbled = matches!(cause, EndCause::Garbage(_));
        let status = self.wind_down(&cause).await;
        // The last words are in the pipe, which a process outside the group may hold open.
        let _ = timeout(LAST_CALL, self.chatter.relay_to_end()).await;
        let is_unseen = |id: &u64| self.unseen.iter().any(|(unseen, _)| unseen == id);
        let (unseen, seen): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.unanswered).into_iter().partition(|(id, _)| is_unseen(id));
        let error = self.failure(cause, status, (seen.len(), unseen.len()));
        for (_, answer) in seen {
            let _ = answer.send(Err(error.clone()));
        }
        // These can be given to the next child.
        let error = if error.class.is_final() { ActionError::unrunnable(error.reason) } else { error };
        if is_garbled {
            let _ = self.terms.garbled.set(error.clone());
        }
        for (_, answer) in unseen {
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
                    Ok(n) => self.advance(n),
                    Err(_) => {
                        // The verdicts show whether the child has read the events before it closed
                        // its input.
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
                        return EndCause::Hung;
                    }
                    for order in batch.drain(..) {
                        self.unseen.push_back((order.id, self.written + self.out.len()));
                        self.out.extend_from_slice(&order.line);
                        self.unanswered.insert(order.id, order.answer);
                    }
                }
                // Polled last: a child that logs without end must not delay events.
                never = self.chatter.relay() => match never {},
            }
        }
    }

    fn advance(&mut self, written: usize) {
        self.out.advance(written);
        self.written += written;
        while self.unseen.pop_front_if(|(_, begins)| *begins < self.written).is_some() {}
    }

    fn listen(&mut self) -> Option<EndCause> {
        loop {
            let cause = match self.heard.next() {
                NextLine::Line(line) => self.judge(&line),
                NextLine::More => return None,
                NextLine::TooLong(line) => {
                    let (begin, limit) = (tidy(&line, 80), self.terms.reply_limit);
                    Some(EndCause::Garbage(format!("{begin:?} is longer than reply_limit, {limit} bytes")))
                }
            };
            if cause.is_some() {
                return cause;
            }
        }
    }

    /// Answers the event that a line is about. Returns the reason to end the child if there is none. A blank line reports
    /// nothing.
    fn judge(&mut self, line: &[u8]) -> Option<EndCause> {
        if line.trim_ascii().is_empty() {
            return None;
        }
        let (id, result) = match verdict::read(line) {
            Ok(ChildLine::Verdict(id, result)) => (id, result),
            Ok(ChildLine::Fatal(reason)) => return Some(EndCause::Fatal(reason)),
            Err(problem) => return Some(EndCause::Garbage(problem)),
        };
        let Some(answer) = self.unanswered.remove(&id) else {
            let begin = tidy(line, 80);
            return Some(EndCause::Garbage(format!("{begin:?} has the id of no event that waits")));
        };
        self.terms.has_answered.store(true, Ordering::Relaxed);
        let _ = answer.send(result);
        None
    }

    async fn wind_down(&mut self, cause: &EndCause) -> io::Result<std::process::ExitStatus> {
        self.stdin = None;
        let patience = match cause {
            EndCause::Drained | EndCause::Fatal(_) => self.terms.stop_timeout,
            EndCause::Gone => LAST_CALL,
            EndCause::Hung | EndCause::Garbage(_) => Duration::ZERO,
        };
        let Self { process, stdout, chatter, terms, .. } = self;
        let mut sink = tokio::io::sink();
        // Reading on keeps the child from blocking on a full pipe.
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
        (seen, unseen): (usize, usize),
    ) -> ActionError {
        let name = &self.terms.name;
        let ended = ending(status);
        let words = self.chatter.last_words();
        // A program that has never answered may be the wrong one, so its start counts as failed.
        // Otherwise the event may have ended the child, and its attempts count.
        let has_answered = self.terms.has_answered.load(Ordering::Relaxed);
        let class = if has_answered { ErrorClass::Reset } else { ErrorClass::Connect };
        let is_told = seen + unseen > 0 || matches!(cause, EndCause::Drained);
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
            EndCause::Garbage(problem) => {
                let reason = format!(
                    "{name} was ended, because {problem}; its standard output is for verdicts, for everything else \
                     is its standard error"
                );
                if seen > 0 {
                    return ActionError::unreadable("unreadable verdict", reason, UNREADABLE);
                }
                (ErrorClass::Connect, reason)
            }
            EndCause::Fatal(reason) => (ErrorClass::Connect, format!("{name}: {reason}")),
        };
        if !is_told {
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
