//! `[journal]`: the store and its bounds, in every form of configuration.

use std::path::PathBuf;

use osnl_config::sections::{SectionDef, SectionReader};
use osnl_config::{OptionDef, Options as _, options};

use super::JournalConf;
use super::kinds::JOURNAL;
use crate::journal::JournalBounds;
use crate::journal::sqlite::SqliteOptions;

/// The number of unmatched messages that are remembered, with or without bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepUnmatched {
    pub heads: u32,
    pub bodies: bool,
}

impl Default for KeepUnmatched {
    fn default() -> Self {
        Self { heads: 1000, bodies: false }
    }
}

const SQLITE: &str = "sqlite:///$state_dir/journal.db";
const FORM: &str = "sqlite:///PATH or memory://";

options! {
    /// The option that chooses the journal, read before the options of its kind.
    pub struct JournalPlaceOptions {
        connection: String = SQLITE, written(FORM) => "Place of the journal. sqlite: a file that keeps events and deliveries. memory: nothing is kept; a message is acknowledged after its last delivery has ended.";
    }
}

options! {
    pub(super) struct NativeJournalOptions {
        keep_unmatched: u32 = "1000", within("0", "100000") => "Number of messages without a matching rule whose heads are kept for osnl explain.";
        keep_unmatched_bodies: bool = "false" => "true: their bodies are kept too, with secrets.";
    }
}

pub const fn section(about: &'static str) -> SectionDef {
    SectionDef::new(JOURNAL, about, JournalPlaceOptions::OPTIONS).with_shared(&[JournalBounds::OPTIONS])
}

pub(super) static OF_JOURNAL: [&[OptionDef]; 2] = [JournalBounds::OPTIONS, NativeJournalOptions::OPTIONS];

const IDLE: &str = "remove it, or set sqlite:// in connection";
const ONLY: &str = "write sqlite:///path/to/journal.db, memory://, or remove the line";
const DATABASES: [&str; 2] = ["postgresql", "postgres"];
const DATABASE: (&str, &str) = (
    "is a database, and osnl keeps no journal in one: a journal belongs to one machine, or to the broker",
    "write sqlite:///path/to/journal.db, or memory:// with a quorum queue; for a second machine see osnl init --standby, to \
     share work osnl init --shards N",
);

impl JournalConf {
    /// Returns the bound per action; `None` where the broker keeps pending deliveries.
    pub(super) fn max_pending(&self) -> Option<u64> {
        match self {
            Self::Memory => None,
            Self::Sqlite(options) => Some(options.bounds.max_pending),
        }
    }
}

pub fn journal(reader: &mut SectionReader<'_>) -> Option<JournalConf> {
    let bounds = JournalBounds::read(reader);
    let file = match file(&JournalPlaceOptions::read(reader)?.connection) {
        Ok(file) => file,
        Err((problem, remedy)) => return reader.refuse("connection", problem, remedy),
    };
    let bounds = bounds?;
    let Some(file) = file else {
        for option in
            JournalBounds::OPTIONS.iter().filter(|option| reader.is_set(option.name)).collect::<Vec<_>>()
        {
            reader.warn(option.name, "has no effect for memory://", IDLE);
        }
        return Some(JournalConf::Memory);
    };
    Some(JournalConf::Sqlite(SqliteOptions { bounds, ..SqliteOptions::new(file) }))
}

pub(super) fn journal_with_unmatched(reader: &mut SectionReader<'_>) -> Option<(JournalConf, KeepUnmatched)> {
    let own = NativeJournalOptions::read(reader);
    let journal = journal(reader);
    let NativeJournalOptions { keep_unmatched: heads, keep_unmatched_bodies: bodies } = own?;
    Some((journal?, KeepUnmatched { heads, bodies }))
}

/// Returns the file of a journal; `None` for a journal in memory.
///
/// # Errors
/// The problem and the remedy.
fn file(connection: &str) -> Result<Option<PathBuf>, (&'static str, &'static str)> {
    if connection == "memory://" {
        return Ok(None);
    }
    if DATABASES.contains(&connection.split(['+', ':']).next().unwrap_or_default()) {
        return Err(DATABASE);
    }
    let Some(path) = connection.strip_prefix("sqlite://") else {
        return Err(("is not a journal that osnl knows", ONLY));
    };
    let path = format!("/{}", path.trim_start_matches('/'));
    if path.contains('\0') {
        return Err(("has a NUL character, which no path can have", ONLY));
    }
    if !connection.starts_with("sqlite:///") || path.ends_with('/') {
        return Err(("names no file", ONLY));
    }
    Ok(Some(path.into()))
}
