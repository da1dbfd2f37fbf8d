//! A transaction of a member: its own number, its fences, its end.
//!
//! The transaction writes all rows on which its result depends: the member's number, the lease rows of the
//! changed partitions, the rows of the queues that are read. Each write is on condition of the member's
//! knowledge, and must find its row. PostgreSQL evaluates the condition again when another transaction has
//! changed the row meanwhile; Galera refuses the commit.
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

#[derive(Debug)]
pub(crate) enum CommitFailure {
    /// A conflict with another transaction: repeated at once.
    Conflict(String),
    /// A unique index refuses a row: another transaction was faster, or the row is refused each time.
    Duplicate(String),
    Failed(String),
    /// PostgreSQL refuses a row, and may accept the others.
    Unstorable(String),
    /// The server ended the statement or the session, which took too long: the transaction is not committed.
    TooSlow(String),
    Unknown(String),
    Committed,
    /// The member's row is gone: the member was silent for too long.
    Forgotten,
    Lost(Vec<PartitionNumber>),
    Fenced(Vec<QueueReader>),
    PartsLost,
}

impl CommitFailure {
    /// Repeats a job whose former try may have committed: giving the job up would forget that commit.
    pub(crate) fn with_former(self, may_be_committed: bool) -> Self {
        match self {
            Self::TooSlow(reason) | Self::Unstorable(reason) if may_be_committed => Self::Failed(reason),
            failure => failure,
        }
    }
}

const CONFLICTS: [&str; 3] = ["40001", "40P01", "55P03"];

const DUPLICATE: &str = "23505";

/// `idle_in_transaction_session_timeout`, which counts while a large statement is on its way,
/// `transaction_timeout`, and an ended statement.
const TOO_SLOW: [&str; 3] = ["25P03", "25P04", "57014"];

/// Beginnings of SQLSTATE that are about the database, the session, or the user, and so about every row:
/// connections, unsupported features, states of transactions, logins, names and permissions, conflicts,
/// resources, the operator, the system, settings, and defects. Any other state may be about a single row: a
/// trigger, a constraint, or a value.
const OF_THE_DATABASE: [&str; 21] = [
    "01", "02", "03", "08", "0A", "0L", "0P", "25", "26", "28", "34", "3D", "3F", "40", "42", "53", "55",
    "57", "58", "F0", "XX",
];
/// The beginnings that are about every row even from within a function: a trigger meets the same server.
const EVEN_IN_FUNCTIONS: [&str; 9] = ["08", "25", "40", "53", "55P03", "57P", "58", "XX001", "XX002"];
/// The server's check of new rows against row-level security. Names of C functions are in no language.
const POLICY: &str = "ExecWithCheckOptions";
/// The server's own check of permissions, and its own end of a statement, wherever the statement is.
const OF_THE_SERVER: [&str; 2] = ["aclcheck_error", "ProcessInterrupts"];

/// Whether the server's error is about a row that a statement writes, so that other rows may be accepted.
pub(crate) fn is_of_a_row(error: &Error) -> bool {
    let Some(said) = error.as_db_error() else { return false };
    let is_of = |classes: &[&str]| classes.iter().any(|class| said.code().code().starts_with(class));
    match said.routine() {
        Some(POLICY) => true,
        Some(routine) if OF_THE_SERVER.contains(&routine) => false,
        // A statement of ours has no context: a context comes from a function, such as a trigger.
        _ if said.where_().is_some() => !is_of(&EVEN_IN_FUNCTIONS),
        _ => !is_of(&OF_THE_DATABASE),
    }
}

impl From<Error> for CommitFailure {
    fn from(error: Error) -> Self {
        match error.code().map(SqlState::code) {
            Some(code) if CONFLICTS.contains(&code) => Self::Conflict(words(&error)),
            Some(DUPLICATE) => Self::Duplicate(words(&error)),
            Some(_) if is_of_a_row(&error) => Self::Unstorable(words(&error)),
            Some(code) if TOO_SLOW.contains(&code) => Self::TooSlow(words(&error)),
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

const ANSWERED: usize = 3;

pub(crate) type StatementValue = Box<dyn ToSql + Sync + Send>;

struct UnsentStatement {
    sql: &'static str,
    values: Vec<StatementValue>,
    check: AnswerCheck,
}

/// The condition on the answer to a statement; if it fails, the transaction is not committed.
enum AnswerCheck {
    Done,
    Number,
    Leases(BTreeSet<PartitionNumber>),
    Reader(QueueReader),
    Parts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionProgress {
    /// The member's transaction before may still be committed: its number was not answered.
    Begins,
    HasNumber,
    Commits,
}

/// The network is most of a small transaction's time. A statement whose answer is only checked waits for the
/// next one whose answer is needed, and both are sent at once. All checks are known before COMMIT is sent.
pub(crate) struct Transaction<'a> {
    session: &'a mut Session,
    pub(crate) member: &'a Member,
    pub(crate) now: i64,
    waiting: Vec<UnsentStatement>,
    written: BTreeSet<PartitionNumber>,
    tally: BTreeMap<(PartitionNumber, String, i16), i64>,
    progress: &'a mut TransactionProgress,
}

impl<'a> Transaction<'a> {
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

    /// Queues a statement that is only checked: the next statement sends it.
    pub(crate) async fn later(
        &mut self,
        sql: &'static str,
        values: Vec<StatementValue>,
    ) -> Result<(), CommitFailure> {
        self.wait(UnsentStatement { sql, values, check: AnswerCheck::Done }).await
    }

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

    async fn number_is_used(&mut self) -> Result<CommitFailure, CommitFailure> {
        // The transaction may have failed in a statement that was sent after it.
        self.session.batch("ROLLBACK; BEGIN").await?;
        let sql = "SELECT number FROM osnl_member WHERE token = $1";
        let found = self.session.query(sql, &[&self.member.token]).await?;
        match found.first() {
            Some(row) if row.try_get::<_, i64>(0)? > self.member.number => Ok(CommitFailure::Committed),
            Some(_) | None => Ok(CommitFailure::Forgotten),
        }
    }

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

    pub(crate) async fn read(&mut self, readers: BTreeSet<QueueReader>) -> Result<(), CommitFailure> {
        for reader in readers {
            let epoch = self.member.reading.get(&reader).map_or(-1, |reading| reading.epoch);
            let token = self.member.token.clone();
            let values: Vec<StatementValue> = vec![Box::new(reader.name()), Box::new(epoch), Box::new(token)];
            self.wait(UnsentStatement { sql: READER, values, check: AnswerCheck::Reader(reader) }).await?;
        }
        Ok(())
    }

    pub(crate) fn count(&mut self, partition: PartitionNumber, action: &str, state: i16, by: i64) {
        *self.tally.entry((partition, action.to_owned(), state)).or_default() += by;
    }

    /// Commits; returns the partitions whose lease rows were written. `keep` receives the result before
    /// COMMIT is sent, for a COMMIT without an answer.
    pub(crate) async fn commit(
        self,
        keep: impl FnOnce(),
    ) -> Result<BTreeSet<PartitionNumber>, CommitFailure> {
        Ok(self.commit_after(None, keep).await?.0)
    }

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
        // The server's own refusal of COMMIT is uncertain too: it may end a session whose commit is done.
        let committed = answers.pop().map_or(Ok(()), |answer| answer.map(drop));
        let mut rows = Vec::new();
        for (n, answer) in answers.into_iter().enumerate() {
            match answer {
                // COMMIT after a refused statement rolls back.
                Err(error) if error.as_db_error().is_some() => return Err(error.into()),
                Err(error) => return Err(unknown(error)),
                Ok(answer) if n == 0 && last.is_some() => rows = answer.rows,
                Ok(_) => {}
            }
        }
        // A deferred constraint refuses a row at COMMIT: nothing is committed then.
        committed.map_err(|error| if is_of_a_row(&error) { error.into() } else { unknown(error) })?;
        Ok(rows)
    }
}
