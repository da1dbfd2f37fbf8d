//! The writing thread: commits queued commands as one transaction, answers the callers, and keeps the
//! member's leases.

mod answers;
mod bounds;
mod changing;
mod isolating;
mod refused;
mod transfer;
mod trouble;
mod watch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_core::epoch::millis;
use osnl_journal::Outcome;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use self::bounds::ArchivedRows;
use self::isolating::REMOVAL;
use self::refused::RefusedRecords;
use self::transfer::Transfers;
use self::watch::Chore;
use crate::change;
use crate::command::PostgresCommand;
use crate::delivery::Promotion;
use crate::job::{CommitRefusal, TransactionJob};
use crate::load::{self, UnusableDeliveries};
use crate::member::{BLOCK, Member, ReaderEpoch};
use crate::options::Options;
use crate::prune;
use crate::results::JobResult;
use crate::session::{OpenError, Session};
use crate::shared::SharedJournalState;
use crate::tls::PostgresTls;

const AT_ONCE: usize = 1000;
/// After this many slow tries, a single command counts as one that cannot be stored.
const SLOW: u32 = 3;
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) struct PostgresWriter {
    options: Options,
    tls: PostgresTls,
    shared: Arc<SharedJournalState>,
    commands: mpsc::UnboundedReceiver<PostgresCommand>,
    /// Commands that did not fit into a group and run before all others.
    returned: VecDeque<PostgresCommand>,
    /// Commands that arrived during a failure, or that have waited for others.
    backlog: VecDeque<PostgresCommand>,
    session: Option<Session>,
    pub(crate) member: Member,
    is_registered: bool,
    closing: bool,
    /// A caller waits for the journal to open, so a failed connection is not retried.
    opening: bool,
    /// The start of the failure, and the time of its latest log line.
    failing: Option<(SystemTime, Instant)>,
    next_check: Instant,
    next_renewal: Duration,
    next_watch: Duration,
    swept: i64,
    chore: Chore,
    more_arrived: bool,
    /// The most commands of a transaction: lower after one that took too long.
    at_once: usize,
    /// The most changes of the operator in a transaction: lower after one that was refused or took too long.
    changes_at_once: i64,
    /// The most old rows that leave in a transaction: lower after one that took too long.
    removed_at_once: usize,
    archived: ArchivedRows,
    refused: RefusedRecords,
    transfers: Transfers,
}

impl PostgresWriter {
    /// Connects, migrates the tables if permitted, and takes the free partitions. If the database is away,
    /// the writer retries each second.
    pub(crate) async fn open(
        options: Options,
        shared: Arc<SharedJournalState>,
        commands: mpsc::UnboundedReceiver<PostgresCommand>,
    ) -> Result<Self, OpenError> {
        let tls = PostgresTls::of(&options.url).map_err(OpenError::Refused)?;
        let member = Member::new(Arc::new(options.digests.clone()));
        let mut writer = Self {
            options,
            tls,
            shared,
            commands,
            returned: VecDeque::new(),
            backlog: VecDeque::new(),
            session: None,
            member,
            is_registered: false,
            closing: false,
            opening: true,
            failing: None,
            next_check: Instant::now() + CHECK_INTERVAL,
            next_renewal: Duration::ZERO,
            next_watch: Duration::ZERO,
            swept: 0,
            chore: Chore::None,
            more_arrived: true,
            at_once: AT_ONCE,
            changes_at_once: change::AT_ONCE,
            removed_at_once: prune::AT_ONCE,
            archived: ArchivedRows::default(),
            refused: RefusedRecords::default(),
            transfers: Transfers::default(),
        };
        match writer.connected().await {
            Ok(()) => {
                writer.keep_leases().await;
                writer.do_chores().await;
            }
            Err(OpenError::Away(reason)) => writer.failed(&reason),
            Err(refusal) => return Err(refusal),
        }
        writer.opening = false;
        Ok(writer)
    }

    pub(super) async fn register(&mut self) -> Result<(), tokio_postgres::Error> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let sql = "INSERT INTO osnl_member (token, name, program, number) VALUES ($1, $2, $3, 0) ON CONFLICT DO NOTHING";
        let program = env!("CARGO_PKG_VERSION");
        session.execute(sql, &[&self.member.token, &self.options.name, &program]).await?;
        self.shared.set_token(self.member.token.clone());
        self.shared.report.forget();
        self.is_registered = true;
        Ok(())
    }

    pub(crate) async fn run(mut self) {
        let mut waiting = Vec::new();
        loop {
            let batch = self.gather(&mut waiting).await;
            if (batch.is_empty() && self.closing) || !self.work(batch).await || !self.transfer().await {
                break;
            }
            if Instant::now() >= self.next_check && !self.closing {
                self.check().await;
                self.do_chore().await;
                if !self.retry_refused().await {
                    break;
                }
                self.next_check = Instant::now() + CHECK_INTERVAL;
            }
        }
        self.release().await;
        drop(self.session);
        for waiting in waiting {
            let _ = waiting.send(());
        }
    }

    async fn gather(&mut self, closed: &mut Vec<oneshot::Sender<()>>) -> Vec<PostgresCommand> {
        let mut batch = Vec::new();
        while batch.len() < self.at_once {
            if let Some(command) = self.returned.pop_front() {
                let is_last = matches!(command, PostgresCommand::DueNow(..));
                batch.push(command);
                if is_last {
                    break;
                }
                continue;
            }
            let next = match self.backlog.pop_front() {
                Some(command) => Some(command),
                None if batch.is_empty()
                    && !self.closing
                    && !self.more_arrived
                    && self.transfers.is_empty() =>
                {
                    match timeout_at(self.next_check, self.commands.recv()).await {
                        Ok(None) => {
                            self.closing = true;
                            None
                        }
                        Ok(command) => command,
                        Err(_) => None,
                    }
                }
                None => self.commands.try_recv().ok(),
            };
            let next = match next.map(|command| self.detain(command)) {
                Some(None) => continue,
                Some(Some(command)) => Some(command),
                None => None,
            };
            match next {
                None => break,
                Some(PostgresCommand::Close(waiting)) => {
                    // Earlier commands precede the close command in the queue.
                    self.closing = true;
                    closed.extend(waiting);
                }
                Some(command @ PostgresCommand::BeginReading(_)) if !batch.is_empty() => {
                    self.backlog.push_front(command);
                    break;
                }
                // The message may be a copy of an open one: an end before it is committed first.
                Some(command) if command.asks_what_is_open() && batch.iter().any(PostgresCommand::ends) => {
                    self.backlog.push_front(command);
                    break;
                }
                Some(command @ (PostgresCommand::BeginReading(_) | PostgresCommand::DueNow(..))) => {
                    batch.push(command);
                    break;
                }
                Some(command) => batch.push(command),
            }
        }
        batch
    }

    /// Commits a batch and answers its callers; `false` when the program ends before that.
    async fn work(&mut self, mut batch: Vec<PostgresCommand>) -> bool {
        for command in batch.extract_if(.., |command| matches!(command, PostgresCommand::Do(_))) {
            if let PostgresCommand::Do(what) = command {
                what(&mut self.member);
            }
        }
        let asked: Vec<PostgresCommand> = batch
            .extract_if(.., |command| {
                matches!(command, PostgresCommand::Known(..) | PostgresCommand::Check(_))
            })
            .collect();
        let fetches: Vec<PostgresCommand> =
            batch.extract_if(.., |command| matches!(command, PostgresCommand::Fetch(..))).collect();
        if let [PostgresCommand::BeginReading(reader)] = &batch[..] {
            self.member.fenced.remove(reader);
            self.member.reading.remove(reader);
            batch.clear();
        }
        if batch.is_empty() && !self.more_arrived {
            self.bring(Vec::new(), fetches).await;
        } else if !self.commit(batch, fetches).await {
            return false;
        }
        for command in asked {
            if let PostgresCommand::Check(sender) = command {
                self.check().await;
                self.do_chores().await;
                while self.more_arrived {
                    if !self.commit(Vec::new(), Vec::new()).await {
                        return false;
                    }
                }
                let _ = sender.send(());
            } else if let (PostgresCommand::Known(object, sender), Some(session)) =
                (command, &mut self.session)
            {
                // An unreadable object counts as unknown, and the next commit reports the failure.
                let _ = sender.send(load::known(session, &object).await.unwrap_or_default());
            }
        }
        true
    }

    async fn commit(&mut self, mut batch: Vec<PostgresCommand>, fetches: Vec<PostgresCommand>) -> bool {
        self.more_arrived = false;
        let mut slow = 0;
        loop {
            if !self.number(&mut batch).await {
                return false;
            }
            match self.transact(&TransactionJob::Group(&batch)).await {
                Ok((JobResult::Group(done), sent)) => {
                    if let Some(sent) = sent {
                        self.renewed(done.written.iter().copied(), sent);
                    }
                    self.at_once = (self.at_once * 2).min(AT_ONCE);
                    self.answer(batch, *done, fetches).await;
                    return true;
                }
                Ok(_) => return true,
                Err(CommitRefusal::TooLong(reason)) => {
                    if batch.len() > 1 {
                        self.halve(&mut batch);
                    } else {
                        slow += 1;
                        self.failed(&reason);
                        let goes_on = match slow < SLOW {
                            true => self.pause().await,
                            false => self.isolate(&mut batch, reason).await,
                        };
                        if !goes_on {
                            return false;
                        }
                    }
                    self.keep_leases().await;
                }
                Err(CommitRefusal::PartsLost) => self.send_again(&mut batch),
                Err(CommitRefusal::Unstorable(reason)) => {
                    if !self.isolate(&mut batch, reason).await {
                        return false;
                    }
                }
                Err(refusal) => {
                    if !self.bear(refusal).await {
                        return false;
                    }
                }
            }
        }
    }

    fn halve(&mut self, batch: &mut Vec<PostgresCommand>) {
        self.at_once = batch.len() / 2;
        let mut rest = batch.split_off(self.at_once);
        // The other messages may still get larger numbers.
        rest.iter_mut().filter_map(PostgresCommand::number).for_each(|(id, _)| *id = 0);
        rest.into_iter().rev().for_each(|command| self.returned.push_front(command));
    }

    /// Leaves a refused command out of the next attempt. `false` when the program ends.
    async fn bear(&mut self, refusal: CommitRefusal) -> bool {
        match refusal {
            CommitRefusal::Lost(partitions) => self.lose(&partitions),
            CommitRefusal::Fenced(readers) => {
                for reader in readers {
                    tracing::warn!(
                        listener.name = &*reader.listener,
                        queue.name = &*reader.queue,
                        "another daemon reads the queue: what was received from it here is left to the broker"
                    );
                    self.member.reading.remove(&reader);
                    self.member.fenced.insert(reader);
                }
            }
            CommitRefusal::Forgotten => {
                tracing::warn!(
                    "the database does not know this daemon any more (others forget one that is silent for an hour; a restored or new \
                     database knows none): it begins anew, and its listeners subscribe again"
                );
                self.lose(&self.member.leases.partitions());
                let anew = Member::new(self.member.digests.clone());
                let former = std::mem::replace(&mut self.member, anew);
                self.member.places = former.places;
                self.member.messages = former.messages;
                self.member.leases = former.leases;
                self.member.fenced = former.fenced;
                self.member.fenced.extend(former.reading.into_keys().filter(|reader| !reader.is_own()));
                // A restored database gives numbers of rows anew.
                self.archived = ArchivedRows::default();
                self.is_registered = false;
                if self.register().await.is_err() {
                    self.session = None;
                }
            }
            CommitRefusal::Unstorable(reason) | CommitRefusal::TooLong(reason) => {
                self.give_up_chore(REMOVAL, reason);
            }
            CommitRefusal::PartsLost => {}
            CommitRefusal::Closing => return false,
        }
        true
    }

    async fn number(&mut self, batch: &mut [PostgresCommand]) -> bool {
        let mut needs: std::collections::BTreeMap<_, i64> = std::collections::BTreeMap::new();
        for command in batch.iter_mut() {
            let Some(reader) = command.reader().cloned() else { continue };
            if let Some((0, takes)) = command.number().map(|(id, takes)| (*id, takes)) {
                *needs.entry(reader).or_default() += takes;
            }
        }
        for (reader, need) in needs {
            let reading = self.member.reading.get(&reader);
            let has_enough =
                reading.is_some_and(|reading| reading.numbers.end - reading.numbers.start >= need);
            if has_enough || self.member.fenced.contains(&reader) {
                continue;
            }
            let epoch = reading.map(|reading| reading.epoch);
            let numbers = need.max(BLOCK);
            match self.transact(&TransactionJob::Read(reader.clone(), epoch, numbers)).await {
                Ok((JobResult::Read { epoch, first, numbers }, _)) => {
                    let numbers = first..first + numbers;
                    self.member.reading.insert(reader, ReaderEpoch { epoch, numbers });
                }
                Ok(_) => {}
                Err(refusal) => {
                    if !self.bear(refusal).await {
                        return false;
                    }
                }
            }
        }
        for command in batch {
            let Some(reader) = command.reader().cloned() else { continue };
            if let (Some(reading), Some((id, takes))) =
                (self.member.reading.get_mut(&reader), command.number())
                && *id == 0
            {
                *id = reading.numbers.start;
                reading.numbers.start += takes;
            }
        }
        true
    }

    async fn bring(&mut self, promoted: Vec<Promotion>, fetches: Vec<PostgresCommand>) {
        let fetches = self.detain_fetches(fetches);
        if promoted.is_empty() && fetches.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        let Some(session) = &mut self.session else {
            promoted.iter().for_each(|new| shared.claimable.not_fetched(&new.action));
            for command in fetches {
                if let PostgresCommand::Fetch(action, ..) = command {
                    shared.claimable.not_fetched(&action);
                }
            }
            return;
        };
        let actions: Vec<String> = promoted.iter().map(|new| new.action.clone()).collect();
        let mut unusable: UnusableDeliveries = Vec::new();
        let mut broken = None;
        match self.member.offer(session, &shared.claimable, promoted).await {
            Ok(mut bad) => unusable.append(&mut bad),
            Err(error) => {
                actions.iter().for_each(|action| shared.claimable.not_fetched(action));
                broken = Some(error);
            }
        }
        for command in fetches {
            let PostgresCommand::Fetch(action, ask, now) = command else { continue };
            match self.member.fetch(session, &shared.claimable, (&action, ask, now)).await {
                Ok(mut bad) => unusable.append(&mut bad),
                Err(error) => {
                    shared.claimable.not_fetched(&action);
                    broken = Some(error);
                }
            }
        }
        self.begin_downloads();
        self.backlog.extend(
            unusable.into_iter().map(|(id, reason)| PostgresCommand::End(id, Outcome::Dead(reason).into())),
        );
        if let Some(error) = broken {
            self.session = None;
            self.failed(&crate::session::words(&error));
        }
        shared.claimable.changed.notify_waiters();
    }
}

fn wall() -> i64 {
    millis(SystemTime::now())
}
