//! A transaction of a member: its own number, its fences, its end.
//!
//! It writes what it relies on: the member's number, the lease rows of the partitions that it changes, the rows of the queues
//! that it reads. Each write is on condition of what the member knows, and must find its row; PostgreSQL looks at the condition
//! again when another transaction has changed the row meanwhile, Galera refuses the commit.
//!
//! A COMMIT without an answer is repeated as a whole under its number: only one of the two can write it.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use crate::member::{CommitFault, Member};
use crate::partition::PartitionNumber;
use crate::reader::QueueReader;
use crate::session::{AT_ONCE, Session, StatementAnswer, StatementValues, words};

/// Why a transaction did not commit, or may have.
#[derive(Debug)]
pub(crate) enum CommitFailure {
    /// Another transaction was in its way: it is repeated at once.
    Conflict(String),
    /// A unique index refuses a row: another transaction was faster, or the row is refused each time.
    Duplicate(String),
    /// The database cannot be written.
    Failed(String),
    /// It refuses a row that is written, and may take the others.
    Unstorable(String),
    /// The server has ended the session, as it received nothing whole for too long: it is not committed.
    TooSlow(String),
    /// There is no answer to COMMIT.
    Unknown(String),
    /// The transaction of this number is committed.
    Committed,
    /// The member's row is gone: it was silent for too long.
    Forgotten,
    /// Other members have these partitions.
    Lost(Vec<PartitionNumber>),
    /// Other members read these queues.
    Fenced(Vec<QueueReader>),
    /// Parts of a body that was sent before are not there any more.
    PartsLost,
}

/// Conflicts, and locks that took too long.
const CONFLICTS: [&str; 4] = ["40001", "40P01", "55P03", "57014"];

/// A violation of a unique index.
const DUPLICATE: &str = "23505";

/// `idle_in_transaction_session_timeout`, which counts while a large statement is on its way.
const IDLE: &str = "25P03";

/// Beginnings of SQLSTATE that are about the database, the session, or the user, and so about every row: connections,
/// unsupported features, states of transactions, logins, names that do not exist, conflicts, resources, the operator, the
/// system, settings, and defects. Any other one may be about a row, as that of a trigger, a constraint, or a value.
const OF_THE_DATABASE: [&str; 19] = [
    "01", "02", "03", "08", "0A", "0L", "0P", "25", "26", "28", "34", "3D", "3F", "40", "53", "55", "57",
    "58", "F0",
];
/// Denied permissions and unknown names: of the whole database unless they come from within a trigger.
const OF_STATEMENTS: &str = "42";
/// A denied permission is the user's for every row.
const DENIED: &str = "42501";
const DEFECTS: &str = "XX";

/// Whether an error of the server is about a row that a statement writes, so that other rows may be taken.
pub(crate) fn is_of_a_row(error: &Error) -> bool {
    let Some(said) = error.as_db_error() else { return false };
    let code = said.code().code();
    if code.starts_with(OF_STATEMENTS) {
        // Statements of ours have no context: with one it comes from a function, as that of a trigger.
        return code != DENIED && said.where_().is_some();
    }
    !code.starts_with(DEFECTS) && !OF_THE_DATABASE.iter().any(|class| code.starts_with(class))
}

impl From<Error> for CommitFailure {
    fn from(error: Error) -> Self {
        match error.code().map(SqlState::code) {
            Some(code) if CONFLICTS.contains(&code) => Self::Conflict(words(&error)),
            Some(DUPLICATE) => Self::Duplicate(words(&error)),
            Some(IDLE) => Self::TooSlow(words(&error)),
            Some(_) if is_of_a_row(&error) => Self::Unstorable(words(&error)),
            Some(_) | None => Self::Failed(words(&error)),
        }
    }
}

const NUMBER: &str = "UPDATE osnl_member SET number = $2 WHERE token = $1 AND number = $2::bigint - 1";
const LEASES: &str = "UPDATE osnl_partition p SET beat = p.beat + 1 \
     FROM unnest($2::smallint[], $3::bigint[]) AS own (id, epoch) \
     WHERE p.id = own.id AND p.epoch = own.epoch AND p.token = $1 RETURNING p.id";
const READER: &str = "UPDATE osnl_reader SET beat = beat + 1 WHERE name = $1 AND epoch = $2 AND token = $3";
const TALLY: &str = "INSERT INTO osnl_tally (partition, action, state, count) \
     SELECT * FROM unnest($1::smallint[], $2::text[], $3::smallint[], $4::bigint[]) \
     ON CONFLICT (partition, action, state) DO UPDATE SET count = osnl_tally.count + excluded.count";

/// The most statements whose answers are waited for at once.
const ANSWERED: usize = 3;

/// A value of a statement that waits to be sent.
pub(crate) type StatementValue = Box<dyn ToSql + Sync + Send>;

/// A statement that is sent with the next one whose answer is waited for.
struct UnsentStatement {
    sql: &'static str,
    values: Vec<StatementValue>,
    check: AnswerCheck,
}

/// The condition on the answer to a statement; without it the transaction is not committed.
enum AnswerCheck {
    Done,
    /// The member's number was the one before.
    Number,
    /// The member has the leases of these partitions.
    Leases(BTreeSet<PartitionNumber>),
    /// The member reads this queue.
    Reader(QueueReader),
    /// All parts of a body were there.
    Parts,
}

/// The progress of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionProgress {
    /// The one before it may still be committed: the number was not answered.
    Begins,
    /// It has the number, and COMMIT was not sent.
    HasNumber,
    /// COMMIT may have been sent.
    Commits,
}

/// An open transaction.
///
/// The network is most of what a small transaction takes. So a statement whose answer only has to be right waits for the next
/// one whose answer is needed, and both are sent at once. All that it relies on is known before COMMIT is sent.
pub(crate) struct Transaction<'a> {
    session: &'a mut Session,
    pub(crate) member: &'a Member,
    pub(crate) now: i64,
    waiting: Vec<UnsentStatement>,
    written: BTreeSet<PartitionNumber>,
    /// The change in the number of deliveries.
    tally: BTreeMap<(PartitionNumber, String, i16), i64>,
    progress: &'a mut TransactionProgress,
}

impl<'a> Transaction<'a> {
    /// Begins the transaction after the member's latest.
    pub(crate) fn begin(
        session: &'a mut Session,
        member: &'a Member,
        now: i64,
        progress: &'a mut TransactionProgress,
    ) -> Self {
        let begin = UnsentStatement { sql: "BEGIN", values: Vec::new(), check: AnswerCheck::Done };
        let values: Vec<StatementValue> = vec![Box::new(member.token.clone()), Box::new(member.number + 1)];
        let number = UnsentStatement { sql: NUMBER, values, check: AnswerCheck::Number };
        *progress = TransactionProgress::Begins;
        let (written, tally) = (BTreeSet::new(), BTreeMap::new());
        Self { session, member, now, waiting: vec![begin, number], written, tally, progress }
    }

    pub(crate) async fn query(
        &mut self,
        sql: &str,
        values: StatementValues<'_>,
    ) -> Result<Vec<Row>, CommitFailure> {
        let [rows] = self.queries([(sql, values)]).await?;
        Ok(rows)
    }

    /// Runs statements sent at once, at most [`ANSWERED`], and returns the rows of each.
    pub(crate) async fn queries<const N: usize>(
        &mut self,
        all: [(&str, StatementValues<'_>); N],
    ) -> Result<[Vec<Row>; N], CommitFailure> {
        const { assert!(N <= ANSWERED) };
        let mut rows = [const { Vec::new() }; N];
        for (rows, answer) in rows.iter_mut().zip(self.send(&all).await?) {
            *rows = answer.rows;
        }
        Ok(rows)
    }

    pub(crate) async fn execute(
        &mut self,
        sql: &str,
        values: StatementValues<'_>,
    ) -> Result<u64, CommitFailure> {
        Ok(self.send(&[(sql, values)]).await?.pop().unwrap_or_default().count)
    }

    /// Runs a statement without a need for its answer: it is sent with the next one.
    pub(crate) async fn later(
        &mut self,
        sql: &'static str,
        values: Vec<StatementValue>,
    ) -> Result<(), CommitFailure> {
        self.wait(UnsentStatement { sql, values, check: AnswerCheck::Done }).await
    }

    /// Moves all parts of a body, or ends the transaction.
    pub(crate) async fn move_all(
        &mut self,
        sql: &'static str,
        values: Vec<StatementValue>,
    ) -> Result<(), CommitFailure> {
        self.wait(UnsentStatement { sql, values, check: AnswerCheck::Parts }).await
    }

    async fn wait(&mut self, waiting: UnsentStatement) -> Result<(), CommitFailure> {
        if self.waiting.len() + ANSWERED == AT_ONCE {
            self.send(&[]).await?;
        }
        self.waiting.push(waiting);
        Ok(())
    }

    /// Sends what waits, and statements behind it; returns the answers to those.
    async fn send(
        &mut self,
        last: &[(&str, StatementValues<'_>)],
    ) -> Result<Vec<StatementAnswer>, CommitFailure> {
        let waiting = std::mem::take(&mut self.waiting);
        let values: Vec<Vec<&(dyn ToSql + Sync)>> = waiting
            .iter()
            .map(|waiting| waiting.values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect())
            .collect();
        let mut all: Vec<(&str, StatementValues<'_>)> =
            waiting.iter().zip(&values).map(|(waiting, values)| (waiting.sql, &values[..])).collect();
        all.extend(last);
        let mut answers = self.session.send(&all).await?.into_iter();
        let mut fenced = Vec::new();
        for (waiting, answer) in waiting.iter().zip(&mut answers) {
            match self.check(&waiting.check, answer).await {
                Ok(()) => {}
                Err(CommitFailure::Fenced(readers)) => fenced.extend(readers),
                Err(_) if !fenced.is_empty() => break,
                Err(trouble) => return Err(trouble),
            }
        }
        if !fenced.is_empty() {
            return Err(CommitFailure::Fenced(fenced));
        }
        Ok(answers.collect::<Result<_, _>>()?)
    }

    async fn check(
        &mut self,
        check: &AnswerCheck,
        answer: Result<StatementAnswer, Error>,
    ) -> Result<(), CommitFailure> {
        let answer = answer?;
        match check {
            AnswerCheck::Done => Ok(()),
            AnswerCheck::Number if answer.count == 1 => {
                *self.progress = TransactionProgress::HasNumber;
                Ok(())
            }
            AnswerCheck::Number => Err(self.number_is_used().await?),
            AnswerCheck::Leases(partitions) => {
                let mut lost = partitions.clone();
                for row in answer.rows {
                    lost.remove(&row.try_get(0)?);
                }
                if lost.is_empty() { Ok(()) } else { Err(CommitFailure::Lost(lost.into_iter().collect())) }
            }
            AnswerCheck::Reader(_) | AnswerCheck::Parts if answer.count == 1 => Ok(()),
            AnswerCheck::Reader(reader) => Err(CommitFailure::Fenced(vec![reader.clone()])),
            AnswerCheck::Parts => Err(CommitFailure::PartsLost),
        }
    }

    /// Tells a transaction that is committed from a member that is gone.
    async fn number_is_used(&mut self) -> Result<CommitFailure, CommitFailure> {
        // What was sent behind it may have failed, and the transaction with it.
        self.session.batch("ROLLBACK; BEGIN").await?;
        let sql = "SELECT number FROM osnl_member WHERE token = $1";
        let found = self.session.query(sql, &[&self.member.token]).await?;
        match found.first() {
            Some(row) if row.try_get::<_, i64>(0)? > self.member.number => Ok(CommitFailure::Committed),
            Some(_) | None => Ok(CommitFailure::Forgotten),
        }
    }

    /// Writes the lease rows of partitions that the transaction changes, once each.
    pub(crate) async fn own(
        &mut self,
        partitions: impl IntoIterator<Item = PartitionNumber>,
    ) -> Result<(), CommitFailure> {
        let held = &self.member.leases.held;
        let new: BTreeSet<PartitionNumber> =
            partitions.into_iter().filter(|partition| !self.written.contains(partition)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let ids: Vec<PartitionNumber> = new.iter().copied().collect();
        let epochs: Vec<i64> =
            ids.iter().map(|partition| held.get(partition).map_or(-1, |held| held.epoch)).collect();
        self.written.extend(&new);
        let values: Vec<StatementValue> =
            vec![Box::new(self.member.token.clone()), Box::new(ids), Box::new(epochs)];
        self.wait(UnsentStatement { sql: LEASES, values, check: AnswerCheck::Leases(new) }).await
    }

    /// Writes the rows of the queues that the transaction appends from.
    pub(crate) async fn read(&mut self, readers: BTreeSet<QueueReader>) -> Result<(), CommitFailure> {
        for reader in readers {
            let epoch = self.member.reading.get(&reader).map_or(-1, |reading| reading.epoch);
            let token = self.member.token.clone();
            let values: Vec<StatementValue> = vec![Box::new(reader.name()), Box::new(epoch), Box::new(token)];
            self.wait(UnsentStatement { sql: READER, values, check: AnswerCheck::Reader(reader) }).await?;
        }
        Ok(())
    }

    /// Counts deliveries in or out of a state.
    pub(crate) fn count(&mut self, partition: PartitionNumber, action: &str, state: i16, by: i64) {
        *self.tally.entry((partition, action.to_owned(), state)).or_default() += by;
    }

    /// Ends it; returns the partitions whose lease rows it has written. `keep` keeps its result before COMMIT is sent, for a
    /// COMMIT without an answer.
    pub(crate) async fn commit(
        self,
        keep: impl FnOnce(),
    ) -> Result<BTreeSet<PartitionNumber>, CommitFailure> {
        Ok(self.commit_after(None, keep).await?.0)
    }

    /// The same, and returns the rows of a statement that is sent with COMMIT, before it.
    pub(crate) async fn commit_after(
        mut self,
        last: Option<(&str, StatementValues<'_>)>,
        keep: impl FnOnce(),
    ) -> Result<(BTreeSet<PartitionNumber>, Vec<Row>), CommitFailure> {
        if !self.waiting.is_empty() {
            self.send(&[]).await?;
        }
        keep();
        *self.progress = TransactionProgress::Commits;
        if self.member.fault == CommitFault::CommitLost {
            return Err(CommitFailure::Unknown("a test has broken the connection".to_owned()));
        }
        let rows = self.write_commit(last).await?;
        if self.member.fault == CommitFault::AnswerLost {
            return Err(CommitFailure::Unknown("a test has broken the connection".to_owned()));
        }
        Ok((self.written, rows))
    }

    /// Runs the last statement, writes the counts, and commits; returns the rows of that statement.
    async fn write_commit(
        &mut self,
        last: Option<(&str, StatementValues<'_>)>,
    ) -> Result<Vec<Row>, CommitFailure> {
        let tally: Vec<_> = std::mem::take(&mut self.tally).into_iter().filter(|(_, by)| *by != 0).collect();
        let (mut partitions, mut actions, mut states, mut counts) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for ((partition, action, state), by) in tally {
            partitions.push(partition);
            actions.push(action);
            states.push(state);
            counts.push(by);
        }
        let values: [&(dyn ToSql + Sync); 4] = [&partitions, &actions, &states, &counts];
        let mut all: Vec<(&str, StatementValues<'_>)> = Vec::from_iter(last);
        if !partitions.is_empty() {
            all.push((TALLY, &values));
        }
        all.push(("COMMIT", &[]));
        let unknown = |error: Error| CommitFailure::Unknown(words(&error));
        let mut answers = self.session.send(&all).await?;
        // The server's own refusal of COMMIT too: it may end a session whose commit is done.
        let committed = answers.pop().map_or(Ok(()), |answer| answer.map(drop));
        let mut rows = Vec::new();
        for (n, answer) in answers.into_iter().enumerate() {
            match answer {
                // COMMIT behind a refused statement rolls back.
                Err(error) if error.as_db_error().is_some() => return Err(error.into()),
                Err(error) => return Err(unknown(error)),
                Ok(answer) if n == 0 && last.is_some() => rows = answer.rows,
                Ok(_) => {}
            }
        }
        // A constraint that is deferred refuses a row at COMMIT: nothing is committed then.
        committed.map_err(|error| if is_of_a_row(&error) { error.into() } else { unknown(error) })?;
        Ok(rows)
    }
}
