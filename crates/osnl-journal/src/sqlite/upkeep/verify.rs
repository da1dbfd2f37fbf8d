//! Finds the problems of a journal: damaged pages, unreadable rows, deliveries without their message, blocked
//! lanes, and counts that differ from the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use osnl_core::quarantine::{Extent, StoredBody};
use rusqlite::{Connection, Result, Row};

use super::super::SqliteJournal;
use super::super::rows::{self, delivery_id, is};
use super::{Contents, Observer, ProgressReports, UpkeepError, UpkeepProgress, counted, open};
use crate::query::Phase;
use crate::query::RowState;

const NAMED: usize = 20;

/// The result of a check; without problems, the file is sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    pub contents: Contents,
    pub problems: Vec<String>,
}

pub fn verify(journal: &Path, observer: &Observer) -> std::result::Result<VerifyReport, UpkeepError> {
    verified(journal, observer).or_else(|error| match error {
        // Damage that prevents every read is a result of the check and no error.
        UpkeepError::Damaged { problem, .. } => {
            Ok(VerifyReport { contents: only_size(journal), problems: vec![problem] })
        }
        error => Err(error),
    })
}

fn verified(journal: &Path, observer: &Observer) -> std::result::Result<VerifyReport, UpkeepError> {
    let mut connection = open(journal)?;
    let failed = |error: rusqlite::Error| UpkeepError::for_file(journal, error);
    connection.execute_batch("BEGIN").map_err(failed)?;
    let problems = problems(&mut connection, journal, observer)?;
    let contents = counted(&connection, journal).or_else(|error| match problems.is_empty() {
        true => Err(failed(error)),
        false => Ok(only_size(journal)),
    })?;
    Ok(VerifyReport { contents, problems })
}

fn only_size(journal: &Path) -> Contents {
    Contents { bytes: SqliteJournal::bytes(journal), ..Contents::default() }
}

/// Returns the problems of an open journal; damage is a problem and no error.
pub(in crate::sqlite) fn problems(
    connection: &mut Connection,
    file: &Path,
    observer: &Observer,
) -> std::result::Result<Vec<String>, UpkeepError> {
    let stopped = observer.clone();
    // SQLite's page check reports no progress, but can be stopped.
    let report = move || stopped(UpkeepProgress { done: 0, of: 0 }).is_break();
    let failed = |error: rusqlite::Error| UpkeepError::for_file(file, error);
    connection.progress_handler(100_000, Some(report)).map_err(failed)?;
    let damage = damage(connection);
    connection.progress_handler(0, None::<fn() -> bool>).map_err(failed)?;
    let found = damage.and_then(|damage| match damage.is_empty() {
        true => FileCheck { connection, observer, problems: Vec::new() }.run(),
        false => Ok(damage),
    });
    found.or_else(|error| match UpkeepError::for_file(file, error) {
        UpkeepError::Interrupted => Err(UpkeepError::Interrupted),
        UpkeepError::Damaged { problem, .. } => Ok(vec![problem]),
        other => Ok(vec![other.to_string()]),
    })
}

fn damage(connection: &Connection) -> Result<Vec<String>> {
    let mut select = connection.prepare(&format!("PRAGMA integrity_check({NAMED})"))?;
    let found = select.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>>>()?;
    let lines = found.iter().flat_map(|text| text.lines()).filter(|line| *line != "ok");
    Ok(lines.take(NAMED).map(str::to_owned).collect())
}

/// A check under way.
struct FileCheck<'a> {
    connection: &'a Connection,
    observer: &'a Observer,
    problems: Vec<String>,
}

impl FileCheck<'_> {
    fn run(mut self) -> Result<Vec<String>> {
        self.events()?;
        self.deliveries()?;
        self.lanes()?;
        self.quarantine()?;
        self.enriched()?;
        self.tally()?;
        Ok(self.problems)
    }

    fn events(&mut self) -> Result<()> {
        let of = self.connection.query_row("SELECT count(*) FROM event", [], |row| row.get::<_, i64>(0))?;
        let mut select =
            self.connection.prepare(&format!("SELECT {}, id FROM event ORDER BY id", rows::RECEIVED))?;
        let mut rows = select.query([])?;
        let (mut done, mut reports, mut found) = (0, ProgressReports::to(self.observer), Vec::new());
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(10)?;
            if let Some(problem) = unreadable(row) {
                found.push(format!("event {id} cannot be read: {problem}"));
            }
            done += 1;
            reports.report(done, of)?;
        }
        self.add(found);
        Ok(())
    }

    fn deliveries(&mut self) -> Result<()> {
        let last = RowState::ALL.len();
        self.each(
            &format!("SELECT id FROM delivery WHERE state NOT BETWEEN 0 AND {} LIMIT {NAMED}", last - 1),
            |id| format!("delivery {} has an unknown state", delivery_id(id)),
        )?;
        // A bulk request with more deliveries than one number has places takes several numbers.
        self.each(
            &format!(
                "SELECT d.id FROM delivery d LEFT JOIN event e ON e.id = (SELECT max(id) FROM event WHERE id <= d.id >> 16) \
                 WHERE e.id IS NULL OR e.id + (e.deliveries >> 16) < d.id >> 16 LIMIT {NAMED}"
            ),
            |id| format!("delivery {} has no message", delivery_id(id)),
        )
    }

    fn lanes(&mut self) -> Result<()> {
        self.each(
            &format!(
                "SELECT min(id) FROM delivery w WHERE lane IS NOT NULL AND {} AND NOT EXISTS \
                 (SELECT 1 FROM delivery o WHERE o.lane = w.lane AND o.state IN (1, 2, 3)) GROUP BY lane LIMIT {NAMED}",
                is!(Waiting)
            ),
            |id| format!("delivery {} waits for no other", delivery_id(id)),
        )?;
        self.each(
            &format!(
                "SELECT max(id) FROM delivery WHERE lane IS NOT NULL AND {} GROUP BY lane HAVING count(*) > 1 LIMIT {NAMED}",
                is!(Ready)
            ),
            |id| format!("delivery {} is ready with another one of its resource", delivery_id(id)),
        )
    }

    fn quarantine(&mut self) -> Result<()> {
        let mut select = self.connection.prepare("SELECT id, extent, body FROM unreadable")?;
        let mut rows = select.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let stored = || -> Result<Option<StoredBody>> {
                let (extent, bytes) = (Extent::from_number(row.get(1)?), row.get(2)?);
                Ok(extent.map(|extent| StoredBody { extent, bytes }))
            };
            if !stored().is_ok_and(|stored| stored.is_some_and(|stored| stored.read().is_ok())) {
                found.push(format!("message {id} in quarantine cannot be read"));
            }
        }
        self.add(found);
        Ok(())
    }

    fn enriched(&mut self) -> Result<()> {
        self.each(&format!("SELECT delivery FROM enriched WHERE NOT json_valid(found) LIMIT {NAMED}"), |id| {
            format!("the enrichment of delivery {} is not JSON", delivery_id(id))
        })
    }

    fn tally(&mut self) -> Result<()> {
        let read = |sql: &str| -> Result<BTreeMap<(String, i64), i64>> {
            let mut select = self.connection.prepare(sql)?;
            let rows = select.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
            rows.collect()
        };
        let kept = read("SELECT action, state, count FROM tally WHERE count <> 0")?;
        let there = read("SELECT action, state, count(*) FROM delivery GROUP BY action, state")?;
        let all: BTreeSet<_> = kept.keys().chain(there.keys()).collect();
        let of = |counts: &BTreeMap<(String, i64), i64>, one: &(String, i64)| {
            counts.get(one).copied().unwrap_or_default()
        };
        let differ = all.into_iter().filter(|one| of(&kept, one) != of(&there, one));
        let words = |one: &(String, i64)| {
            let state = RowState::ALL.into_iter().find(|state| *state as i64 == one.1);
            let state = state.map_or("in an unknown state", Phase::word_of);
            let (kept, there) = (of(&kept, one), of(&there, one));
            format!("action {}: {kept} deliveries {state} are counted, and there are {there}", one.0)
        };
        let found = differ.map(words).collect();
        self.add(found);
        Ok(())
    }

    fn each(&mut self, sql: &str, line: impl Fn(i64) -> String) -> Result<()> {
        let mut select = self.connection.prepare(sql)?;
        let found = select.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>>>()?;
        self.add(found.into_iter().map(line).collect());
        Ok(())
    }

    fn add(&mut self, mut found: Vec<String>) {
        let more = found.len().saturating_sub(NAMED);
        found.truncate(NAMED);
        self.problems.append(&mut found);
        if more > 0 {
            self.problems.push(format!("{more} more of this kind"));
        }
    }
}

fn unreadable(row: &Row<'_>) -> Option<String> {
    match rows::received(row, 0) {
        Ok(received) => received.decode().err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}
