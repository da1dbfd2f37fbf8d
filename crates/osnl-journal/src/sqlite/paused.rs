//! Paused actions, which survive a restart: `meta` has a row `paused NAME` with the time of each. Rows `paused-by NAME` and
//! `paused-for NAME` have the operator and the reason on a second line, with the same time.

use rusqlite::{Connection, OptionalExtension as _, Result};

use super::rows::from_millis;
use crate::{Pause, PauseNote, PausedActions};

const PREFIX: &str = "paused ";
const BY: &str = "paused-by ";
const FOR: &str = "paused-for ";

/// Pauses an action. A reason for an action that is paused replaces the former one, and its operator.
pub(super) fn pause(connection: &Connection, action: &str, note: &PauseNote, now: i64) -> Result<()> {
    const INSERT: &str = "INSERT OR IGNORE INTO meta (name, value) VALUES (?1, ?2)";
    const SINCE: &str = "SELECT value FROM meta WHERE name = ?1";
    let name = format!("{PREFIX}{action}");
    let since: Option<i64> = connection.query_row(SINCE, [&name], |row| row.get(0)).optional()?;
    if since.is_some() && note.reason.is_none() {
        return Ok(());
    }
    let since = since.unwrap_or(now);
    connection.execute(INSERT, (name, since))?;
    forget_note(connection, action)?;
    connection.execute(INSERT, (format!("{BY}{action}\n{}", note.by), since))?;
    if let Some(reason) = &note.reason {
        connection.execute(INSERT, (format!("{FOR}{action}\n{reason}"), since))?;
    }
    Ok(())
}

pub(super) fn resume(connection: &Connection, action: &str) -> Result<()> {
    connection.execute("DELETE FROM meta WHERE name = ?1", [format!("{PREFIX}{action}")])?;
    forget_note(connection, action)
}

fn forget_note(connection: &Connection, action: &str) -> Result<()> {
    for prefix in [BY, FOR] {
        let begin = format!("{prefix}{action}\n");
        connection.execute("DELETE FROM meta WHERE substr(name, 1, length(?1)) = ?1", [begin])?;
    }
    Ok(())
}

/// Returns the paused actions. A row of a note that an older program left at a resume has a different time and is ignored.
pub(super) fn list(connection: &Connection) -> Result<PausedActions> {
    // The rows of pauses come before those of notes, and those of operators before those of reasons.
    let mut select = connection
        .prepare_cached("SELECT name, value FROM meta WHERE name GLOB 'paused[ -]*' ORDER BY name")?;
    let mut rows = select.query([])?;
    let mut paused = PausedActions::new();
    while let Some(row) = rows.next()? {
        let (name, since): (String, _) = (row.get(0)?, from_millis(row.get(1)?));
        if let Some(action) = name.strip_prefix(PREFIX) {
            paused.insert(action.to_owned(), Pause { since, note: None });
            continue;
        }
        let noted = name.strip_prefix(BY).or_else(|| name.strip_prefix(FOR));
        let Some((action, words)) = noted.and_then(|noted| noted.split_once('\n')) else { continue };
        let Some(pause) = paused.get_mut(action).filter(|pause| pause.since == since) else { continue };
        match &mut pause.note {
            None => pause.note = Some(PauseNote { by: words.to_owned(), reason: None }),
            Some(note) => note.reason = Some(words.to_owned()),
        }
    }
    Ok(paused)
}
