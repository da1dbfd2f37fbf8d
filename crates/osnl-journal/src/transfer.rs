//! Moving a journal from one store to another, while no daemon has either.
//!
//! Both stores are read as the same [`JournalTable`]s of the same columns. What a store only derives from them (counts,
//! lanes, partitions, keys of messages, facts for searches) the destination makes anew.
//!
//! | step | after an interruption |
//! | --- | --- |
//! | The source counts its rows, and refuses what the other store cannot hold. | nothing has happened |
//! | The destination is marked as unfinished: no daemon opens it. | the source is as it was; the same move begins anew |
//! | The rows are copied, in blocks. | the same |
//! | The destination is read back and compared. | the same |
//! | The source is marked as moved: no daemon opens it. | both are marked; the same move begins anew |
//! | The mark of the destination is removed. | the move is done |
//!
//! The source is marked before the destination is free: at no moment would daemons open both. A source that is marked keeps its
//! rows, and is moved once more only to the destination that its mark names, while that is unfinished.

mod sums;
mod table;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use osnl_transport::BoxFuture;

use self::sums::TransferSums;
pub use self::table::{CellValue, ColumnKind, JournalTable, RowView};

/// The values of a row, in the order of the table's columns.
pub type CellValues = Vec<CellValue>;
/// The most rows of a block.
pub const ROWS: usize = 1000;
/// The bytes after which a block ends.
pub const BYTES: usize = 4 << 20;

/// Why a journal is not moved. Each text names the place and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// A daemon has it.
    #[error("{0}")]
    InUse(String),
    /// It cannot be reached.
    #[error("{0}")]
    Unavailable(String),
    /// It cannot be moved, or not to there.
    #[error("{0}")]
    Refused(String),
    /// The store cannot be read or written.
    #[error("{0}")]
    Failed(String),
    /// The destination does not hold what the source holds.
    #[error("the copy differs: {0}; run the same command again, and report it if that does not help")]
    Differs(String),
    /// The operator has interrupted it.
    #[error("interrupted")]
    Interrupted,
}

/// A move that did not finish.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct MoveFailure {
    /// The reason.
    pub error: MoveError,
    /// Whether the destination is marked as unfinished.
    pub is_begun: bool,
}

/// The options of a move, as far as they concern one side.
#[derive(Clone, Copy, Debug)]
pub struct MoveOptions {
    /// A member of a shared journal whose rows have not changed for so long is dead.
    pub lease: Duration,
    /// Whether what is left of a journal that was moved away is replaced in the destination.
    pub replaces: bool,
    /// Shows a line to the waiting operator.
    pub show: fn(&str),
}

/// A journal as rows.
pub trait MoveTables: Send {
    /// Returns its URL, without a password.
    fn shown(&self) -> &str;

    /// Returns the next rows of a table behind a row, in the order of its key: at most [`ROWS`], and not many more bytes than
    /// [`BYTES`].
    fn block<'a>(
        &'a mut self,
        table: JournalTable,
        after: Option<&'a [CellValue]>,
    ) -> BoxFuture<'a, Result<Vec<CellValues>, MoveError>>;
}

/// A journal that is moved away.
pub trait MoveSource: MoveTables {
    /// Counts what it holds; refuses what the other store cannot hold.
    fn survey(&mut self) -> BoxFuture<'_, Result<Survey, MoveError>>;

    /// Marks it as moved to this URL, unless a daemon has worked on it since it was opened.
    fn seal<'a>(&'a mut self, to: &'a str) -> BoxFuture<'a, Result<(), MoveError>>;
}

/// The place that a journal is moved to.
pub trait MoveDestination: MoveTables {
    /// Checks that it is empty and that no daemon has it, and changes nothing.
    fn look(&mut self) -> BoxFuture<'_, Result<Vacancy, MoveError>>;

    /// Empties it, and marks it as the unfinished copy of this URL.
    fn begin<'a>(&'a mut self, from: &'a str) -> BoxFuture<'a, Result<(), MoveError>>;

    /// Writes rows.
    fn write<'a>(
        &'a mut self,
        table: JournalTable,
        rows: &'a [CellValues],
    ) -> BoxFuture<'a, Result<(), MoveError>>;

    /// Changes a row to what it keeps of it; returns the number of values that it cannot hold as they are.
    fn fit(&self, table: JournalTable, row: &mut CellValues) -> u64;

    /// Writes what it derives from the rows.
    fn complete<'a>(&'a mut self, facts: &'a JournalFacts) -> BoxFuture<'a, Result<(), MoveError>>;

    /// Removes the mark: from now on daemons open it.
    fn finish(&mut self) -> BoxFuture<'_, Result<(), MoveError>>;
}

/// The condition of a destination that a journal may be moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vacancy {
    /// It holds nothing, or what may be replaced.
    Free,
    /// It holds the unfinished copy of a move, which begins anew.
    Unfinished,
}

/// The contents of a source.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The rows of each table.
    pub rows: BTreeMap<JournalTable, u64>,
    /// The facts besides.
    pub facts: JournalFacts,
    /// Losses that do not matter for deliveries; a line each.
    pub notes: Vec<String>,
    /// The destination of an earlier move.
    pub moved_to: Option<String>,
}

/// Facts about a journal that are in none of its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalFacts {
    /// The number of the next message: none that was shown is given to another one.
    pub next: i64,
    /// Dead letters of messages that were received until then may have been overtaken by deliveries that retention has
    /// removed; milliseconds since 1970.
    pub forgotten_until: Option<i64>,
}

/// A move that is done, or the contents that it would move.
#[derive(Clone, Debug)]
pub struct MoveReport {
    /// The rows of each table.
    pub rows: BTreeMap<JournalTable, u64>,
    /// The deliveries of each rule, action, and state; empty after a dry run.
    pub deliveries: BTreeMap<(String, String, i64), u64>,
    /// The digest over all rows, the same of both; empty after a dry run.
    pub digest: String,
    /// Losses, a line each.
    pub notes: Vec<String>,
    /// The time that it took.
    pub took: Duration,
}

/// Takes note of rows that are done and of their number; `Break` interrupts the move.
pub type ProgressCallback<'a> = &'a dyn Fn(u64, u64) -> ControlFlow<()>;

/// Moves a journal, or looks whether it could be moved.
///
/// # Errors
/// See [`MoveError`].
pub async fn run(
    from: &mut dyn MoveSource,
    to: &mut dyn MoveDestination,
    is_dry_run: bool,
    progress: ProgressCallback<'_>,
) -> Result<MoveReport, MoveFailure> {
    let begun = Instant::now();
    let unbegun = |error| MoveFailure { error, is_begun: false };
    let survey = from.survey().await.map_err(unbegun)?;
    let standing = to.look().await.map_err(unbegun)?;
    may_be_moved(&survey, standing, (from.shown(), to.shown())).map_err(unbegun)?;
    let mut report = MoveReport {
        rows: survey.rows.clone(),
        deliveries: BTreeMap::new(),
        digest: String::new(),
        notes: survey.notes.clone(),
        took: Duration::ZERO,
    };
    if !is_dry_run {
        to.begin(from.shown()).await.map_err(unbegun)?;
        let moved = copy(from, to, &survey, progress).await;
        let sums = moved.map_err(|error| MoveFailure { error, is_begun: true })?;
        if sums.replaced() > 0 {
            let replaced = sums.replaced();
            report.notes.push(format!("texts with a NUL character, which is U+FFFD now: {replaced}"));
        }
        report.digest = sums.digest();
        report.rows = sums.rows();
        report.deliveries = sums.into_deliveries();
    }
    report.took = begun.elapsed();
    Ok(report)
}

/// Refuses a source that was moved already, unless its destination is still unfinished.
fn may_be_moved(survey: &Survey, standing: Vacancy, (from, to): (&str, &str)) -> Result<(), MoveError> {
    match &survey.moved_to {
        Some(there) if there != to || standing != Vacancy::Unfinished => {
            Err(MoveError::Refused(format!("{from}: was moved to {there} already; move that one")))
        }
        Some(_) | None => Ok(()),
    }
}

/// The way through all rows of a journal, block by block.
#[derive(Debug, Default)]
struct TableWalk {
    /// The tables that are done.
    done: usize,
    /// The last row of the table that is not.
    after: Option<CellValues>,
}

impl TableWalk {
    /// Returns the next rows and their table; `None` at the end.
    async fn next(
        &mut self,
        of: &mut dyn MoveTables,
    ) -> Result<Option<(JournalTable, Vec<CellValues>)>, MoveError> {
        while let Some(table) = JournalTable::ALL.get(self.done) {
            let rows = of.block(*table, self.after.as_deref()).await?;
            self.after = rows.last().cloned();
            if !rows.is_empty() {
                return Ok(Some((*table, rows)));
            }
            self.done += 1;
        }
        Ok(None)
    }
}

async fn copy(
    from: &mut dyn MoveSource,
    to: &mut dyn MoveDestination,
    survey: &Survey,
    progress: ProgressCallback<'_>,
) -> Result<TransferSums, MoveError> {
    // Each row is written once and read back once.
    let of = survey.rows.values().sum::<u64>() * 2;
    let (mut done, mut source, mut copied) = (0, TransferSums::default(), TransferSums::default());
    let mut advance = |rows: usize| {
        done += rows as u64;
        if progress(done.min(of), of).is_break() { Err(MoveError::Interrupted) } else { Ok(()) }
    };
    let mut walk = TableWalk::default();
    while let Some((table, mut rows)) = walk.next(from).await? {
        to.write(table, &rows).await?;
        for row in &mut rows {
            source.add_replaced(to.fit(table, row));
            source.add(table, row);
        }
        advance(rows.len())?;
    }
    to.complete(&survey.facts).await?;
    let mut walk = TableWalk::default();
    while let Some((table, rows)) = walk.next(to).await? {
        for row in &rows {
            copied.add(table, row);
        }
        advance(rows.len())?;
    }
    if let Some(difference) = source.difference(&copied) {
        return Err(MoveError::Differs(difference));
    }
    advance(0)?;
    from.seal(to.shown()).await?;
    to.finish().await?;
    Ok(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_moved_twice_only_to_its_own_unfinished_destination() {
        let check = |moved_to: Option<&str>, standing, expected: Option<&str>| {
            let survey = Survey { moved_to: moved_to.map(str::to_owned), ..Survey::default() };
            let refused = may_be_moved(&survey, standing, ("a", "b")).err().map(|error| error.to_string());
            assert_eq!(refused.as_deref(), expected, "{moved_to:?} {standing:?}");
        };
        check(None, Vacancy::Free, None);
        check(None, Vacancy::Unfinished, None);
        check(Some("b"), Vacancy::Unfinished, None);
        check(Some("b"), Vacancy::Free, Some("a: was moved to b already; move that one"));
        check(Some("c"), Vacancy::Unfinished, Some("a: was moved to c already; move that one"));
    }
}
