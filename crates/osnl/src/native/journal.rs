//! `[journal]`: which store, where, and its bounds.

use std::time::Duration;

use super::section::Reader;
use super::{JournalConf, duration, size};
use crate::config::shown;
use crate::journal::sqlite::SqliteOptions;
use crate::unmatched::KeepUnmatched;

/// Ten years.
const LONGEST_RETENTION: Duration = Duration::from_secs(3650 * 86_400);
/// Room for a handful of messages of the largest kind.
const SMALLEST: u64 = 16 << 20;
const ONLY: &str = "write sqlite:///path/to/journal.db, memory://, or remove the line";

/// Of each listener's stream nobody looks further back, and each costs memory.
const MOST_UNMATCHED: u32 = 100_000;

/// What is kept of what no rule wants.
pub(super) fn keep_unmatched(reader: &mut Reader<'_>) -> Option<KeepUnmatched> {
    let heads = reader.number("keep_unmatched", 0, MOST_UNMATCHED);
    let bodies = reader.boolean("keep_unmatched_bodies");
    Some(KeepUnmatched { heads: heads?, bodies: bodies? })
}

pub(super) fn journal(reader: &mut Reader<'_>) -> Option<JournalConf> {
    let connection = reader.text("connection");
    let retention = retention(reader);
    let max_size = max_size(reader);
    let max_pending = reader.number("max_pending", 1, u32::MAX);
    let max_dead = reader.number("max_dead", 1, u32::MAX);
    let allow_volatile = reader.boolean("allow_volatile");
    let connection = connection?;
    let options = SqliteOptions {
        path: Default::default(),
        retention: retention?,
        max_size: max_size?,
        max_pending: max_pending?.into(),
        max_dead: max_dead?.into(),
        allow_volatile: allow_volatile?,
    };
    if connection == "memory://" {
        for option in ["retention", "max_size", "max_pending", "max_dead", "allow_volatile"] {
            if reader.is_set(option) {
                reader.warn(option, "means nothing for memory://", "it is of sqlite://");
            }
        }
        return Some(JournalConf::Memory);
    }
    let Some(path) = connection.strip_prefix("sqlite://") else {
        return reader.refuse("connection", "is no journal that osnl knows", ONLY);
    };
    let path = format!("/{}", path.trim_start_matches('/'));
    if !connection.starts_with("sqlite:///") || path.ends_with('/') {
        return reader.refuse("connection", "names no file", ONLY);
    }
    Some(JournalConf::Sqlite(SqliteOptions { path: path.into(), ..options }))
}

fn retention(reader: &mut Reader<'_>) -> Option<Duration> {
    let text = reader.text("retention")?;
    match duration::parse(&text) {
        Some(found) if found <= LONGEST_RETENTION => Some(found),
        Some(_) => {
            reader.refuse("retention", &format!("{} is out of range", shown(&text)), "allowed: 0 to 3650d")
        }
        None => {
            let problem = format!("{} is not a duration", shown(&text));
            reader.refuse("retention", &problem, "write 12h, 7d or 90d")
        }
    }
}

/// `Some(None)` if nothing sets it.
fn max_size(reader: &mut Reader<'_>) -> Option<Option<u64>> {
    if !reader.is_set("max_size") {
        return Some(None);
    }
    let text = reader.text("max_size")?;
    match size::parse(&text) {
        Some(bytes) if bytes >= SMALLEST => Some(Some(bytes)),
        Some(_) => reader.refuse("max_size", &format!("{} is too small", shown(&text)), "at least 16MiB"),
        None => {
            let problem = format!("{} is not a size", shown(&text));
            reader.refuse("max_size", &problem, "write 500MiB, 10GiB or a number of bytes")
        }
    }
}
