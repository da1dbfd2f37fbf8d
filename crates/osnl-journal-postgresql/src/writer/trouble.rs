//! Brings a transaction to its end despite lost connections.

use std::time::{Duration, SystemTime};

use osnl_journal::JournalState;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{PostgresWriter, wall};
use crate::command::PostgresCommand;
use crate::job::{CommitRefusal, Result, TransactionJob};
use crate::member::CommitFault;
use crate::prepare::prepare;
use crate::results::JobResult;
use crate::session::{OpenError, Session, refused, words};
use crate::transaction::{CommitFailure, TransactionProgress};

const AGAIN: Duration = Duration::from_secs(1);
/// After conflicts for this long, the database counts as not writable.
const CONTENDED: Duration = Duration::from_secs(10);
/// After this many violations of a unique index, a row counts as refused: a faster transaction causes one or
/// two.
const DUPLICATES: u32 = 20;
const APART: u64 = 64;
const CONFIRM: &str = "UPDATE osnl_member SET number = number WHERE token = $1";
/// The interval at which the log repeats the failure.
const REMIND: Duration = Duration::from_secs(60);

const OF_THE_SERVER: &str = "see that the server runs, takes writes, and lets this user in";
const OF_A_ROW: &str =
    "the server runs, and refuses a row: look for the trigger, constraint, or limit that says so";

struct Contention {
    since: Instant,
    conflicts: u32,
}

impl Contention {
    fn begin() -> Self {
        Self { since: Instant::now(), conflicts: 0 }
    }
}

impl PostgresWriter {
    pub(super) async fn transact(&mut self, job: &TransactionJob<'_>) -> Result {
        let mut kept = None;
        let mut contention = None;
        loop {
            if let Err(refusal) = self.connected().await {
                self.failed(&refusal.to_string());
                if !self.pause().await {
                    return Err(CommitRefusal::Closing);
                }
                continue;
            }
            let Some(session) = &mut self.session else { continue };
            let sent = self.options.clock.now();
            let begun = Instant::now();
            let limit = self.options.patience * 2;
            let had_kept = kept.is_some();
            let mut progress = TransactionProgress::Begins;
            let run = job.run(session, &self.member, wall(), (&mut kept, &mut progress));
            let run = timeout(limit, run).await;
            let trouble = match run {
                Ok(Ok(ended)) => {
                    self.member.number += 1;
                    self.shared.counters.series.commits.observe(begun.elapsed());
                    self.works();
                    return Ok((ended, Some(sent)));
                }
                Ok(Err(trouble)) => trouble.with_former(had_kept && progress == TransactionProgress::Begins),
                Err(_)
                    if progress == TransactionProgress::HasNumber
                        || progress == TransactionProgress::Begins && !had_kept =>
                {
                    CommitFailure::TooSlow(format!("no answer within {} s", limit.as_secs()))
                }
                Err(_) => CommitFailure::Unknown(format!("no answer within {} s", limit.as_secs())),
            };
            match trouble {
                CommitFailure::Committed => {
                    if let Some(ended) = self.confirmed(kept.clone().filter(|_| had_kept)).await {
                        return ended;
                    }
                }
                CommitFailure::Forgotten => return self.refuse(CommitRefusal::Forgotten).await,
                CommitFailure::PartsLost => return self.refuse(CommitRefusal::PartsLost).await,
                CommitFailure::Lost(partitions) => return self.refuse(CommitRefusal::Lost(partitions)).await,
                CommitFailure::Fenced(readers) => return self.refuse(CommitRefusal::Fenced(readers)).await,
                CommitFailure::Duplicate(reason)
                    if job.may_be_refused()
                        && contention
                            .as_ref()
                            .is_some_and(|met: &Contention| met.conflicts >= DUPLICATES) =>
                {
                    return self.refuse(CommitRefusal::Unstorable(reason)).await;
                }
                CommitFailure::Conflict(reason) | CommitFailure::Duplicate(reason) => {
                    self.rollback().await;
                    if !self.stand_back(contention.get_or_insert_with(Contention::begin), &reason).await {
                        return Err(CommitRefusal::Closing);
                    }
                }
                CommitFailure::Unknown(reason) => {
                    tracing::debug!(reason, "the end of a transaction is unknown; it is looked up");
                    self.member.fault = CommitFault::None;
                    self.session = None;
                }
                // The whole job would take as long again, and leases end meanwhile.
                CommitFailure::TooSlow(reason) if job.may_be_refused() => {
                    tracing::debug!(reason, "a transaction takes too long; a part of it is tried");
                    self.session = None;
                    return Err(CommitRefusal::TooLong(reason));
                }
                CommitFailure::Unstorable(reason) if job.may_be_refused() => {
                    return self.refuse(CommitRefusal::Unstorable(reason)).await;
                }
                CommitFailure::Unstorable(reason) => self.fail_for_a_while(&reason, OF_A_ROW).await?,
                CommitFailure::Failed(reason) | CommitFailure::TooSlow(reason) => {
                    self.fail_for_a_while(&reason, OF_THE_SERVER).await?;
                }
            }
        }
    }

    /// Commits a write of the member's row before a transaction that was found committed counts: the
    /// transaction may be on this server alone. A restarted server does not wait for its synchronous standby
    /// again, but a later commit does. `None` if the outcome must be looked up again.
    async fn confirmed(&mut self, ended: Option<JobResult>) -> Option<Result> {
        self.rollback().await;
        let Some(ended) = ended else { return Some(Err(CommitRefusal::Forgotten)) };
        let rows = self.session.as_mut()?.execute(CONFIRM, &[&self.member.token]).await;
        match rows {
            Ok(1) => {}
            Ok(_) => return Some(Err(CommitRefusal::Forgotten)),
            Err(error) => {
                let reason = words(&error);
                tracing::debug!(reason, "a transaction is committed, and may not be on the standby yet");
                self.session = None;
                return None;
            }
        }
        self.member.number += 1;
        self.works();
        Some(Ok((ended, None)))
    }

    async fn fail_for_a_while(
        &mut self,
        reason: &str,
        remedy: &str,
    ) -> std::result::Result<(), CommitRefusal> {
        self.session = None;
        self.fail(reason, remedy);
        if self.pause().await { Ok(()) } else { Err(CommitRefusal::Closing) }
    }

    /// Waits for conflicting transactions. `false` when the program ends.
    async fn stand_back(&mut self, contention: &mut Contention, reason: &str) -> bool {
        contention.conflicts += 1;
        if contention.since.elapsed() >= CONTENDED {
            self.failed(reason);
            return self.pause().await;
        }
        // A fixed pause would let a faster member win each time.
        let longest = APART.min(1 << contention.conflicts.min(6));
        sleep(Duration::from_millis(fastrand::u64(0..longest))).await;
        true
    }

    async fn refuse(&mut self, refusal: CommitRefusal) -> Result {
        self.rollback().await;
        Err(refusal)
    }

    async fn rollback(&mut self) {
        if let Some(session) = &self.session {
            let done = timeout(self.options.patience, session.client.batch_execute("ROLLBACK")).await;
            if !matches!(done, Ok(Ok(()))) {
                self.session = None;
            }
        }
    }

    pub(super) async fn connected(&mut self) -> std::result::Result<(), OpenError> {
        if self.session.as_ref().is_some_and(|session| !session.client.is_closed()) {
            return Ok(());
        }
        self.session = None;
        let (options, tls) = (self.options.clone(), self.tls.clone());
        // Another server may answer: a replica, or a restored one.
        let connecting = async {
            let session = Session::connect(&options.url, tls, options.patience).await;
            let mut session = session.map_err(|error| OpenError::Away(words(&error)))?;
            session.keep_plans().await.map_err(refused)?;
            prepare(&session, &options).await.map(|()| session)
        };
        let limit = self.options.patience * if self.opening { 1 } else { 2 };
        let session = timeout(limit, connecting).await;
        let session =
            session.map_err(|_| OpenError::Away(format!("no answer within {} s", limit.as_secs())))?;
        self.session = Some(session?);
        if !self.is_registered
            && let Err(error) = self.register().await
        {
            self.session = None;
            return Err(refused(error));
        }
        Ok(())
    }

    /// Pauses while new commands are kept in memory. `false` at the end of the program.
    pub(super) async fn pause(&mut self) -> bool {
        if self.opening {
            return false;
        }
        let until = Instant::now() + AGAIN;
        while !self.closing {
            match timeout_at(until, self.commands.recv()).await {
                Ok(Some(command @ PostgresCommand::Close(_))) => {
                    self.closing = true;
                    self.backlog.push_back(command);
                }
                Ok(Some(command)) => self.backlog.push_back(command),
                Ok(None) => self.closing = true,
                Err(_) => return true,
            }
        }
        tracing::error!(
            commands = self.backlog.len(),
            "the journal ends without having been written: what was not acknowledged comes again, what was delivered last \
             is delivered again after the next start",
        );
        false
    }

    pub(super) fn failed(&mut self, reason: &str) {
        self.fail(reason, OF_THE_SERVER);
    }

    pub(super) fn failed_by_row(&mut self, reason: &str) {
        self.fail(reason, OF_A_ROW);
    }

    fn fail(&mut self, reason: &str, remedy: &str) {
        let now = Instant::now();
        let database = self.options.url.to_string();
        let since = match &mut self.failing {
            Some((since, said)) if now.duration_since(*said) < REMIND => *since,
            failing => {
                tracing::error!(
                    journal.database = database,
                    reason,
                    "the journal cannot be written: nothing is taken from the brokers, no attempt begins; tried each second",
                );
                let since = failing.map_or_else(SystemTime::now, |(since, _)| since);
                *failing = Some((since, now));
                since
            }
        };
        let reason = format!("{database}: {reason}; {remedy}; osnl tries each second");
        self.shared.gate.set_open(false);
        self.shared.state.send_if_modified(|state| {
            let failed = JournalState::Failed { reason, since };
            let changed = *state != failed;
            *state = failed;
            changed
        });
    }

    fn works(&mut self) {
        if self.refused.is_full() {
            let reason = self.refused.shown().pop().map(|last| last.reason).unwrap_or_default();
            let waiting = self.refused.waiting();
            self.failed_by_row(&format!("{waiting} records are refused, the last one with: {reason}"));
            return;
        }
        if let Some((since, _)) = self.failing.take() {
            let seconds = since.elapsed().unwrap_or_default().as_secs();
            tracing::info!(
                journal.database = self.options.url.to_string(),
                seconds,
                "the journal can be written again"
            );
            self.shared.gate.set_open(true);
            self.shared.state.send_replace(JournalState::Working);
            self.shared.claimable.changed.notify_waiters();
        }
    }
}
