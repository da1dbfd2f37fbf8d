//! `[journal]`: the store and its bounds, in every form of configuration.

use std::path::PathBuf;
use std::time::Duration;

use osnl_config::sections::{RawSection, SectionDef, SectionReader};
use osnl_config::{OptionDef, Options as _, options};
use osnl_model::Secret;

use super::kinds::JOURNAL;
use super::{JournalConf, members};
use crate::action::driver::NativeReader as _;
use crate::journal::JournalBounds;
use crate::journal::shared::{CheckedConnection, SharedDatabase};
use crate::journal::sqlite::SqliteOptions;
use crate::unmatched::KeepUnmatched;

const SQLITE: &str = "sqlite:///$state_dir/journal.db";
const FORM: &str = "sqlite:///PATH, memory:// or postgresql://USER:PASSWORD@HOST/DATABASE";

options! {
    pub struct JournalPlaceOptions {
        connection: String = SQLITE, written(FORM), secret_by_login => "Place of the journal. sqlite: a file that keeps events and deliveries. memory: nothing is kept; a message is acknowledged after its last delivery has ended. postgresql: a database that several daemons share.";
    }
}

options! {
    pub(super) struct NativeJournalOptions {
        keep_unmatched: u32 = "1000", within("0", "100000") => "Number of messages without a matching rule whose heads are kept for osnl explain.";
        keep_unmatched_bodies: bool = "false" => "true: their bodies are kept too, with secrets.";
        lease: Option<Duration>, within("2s", "10m") => "postgresql: time after which other daemons take over the work of a silent one; the same for all daemons. Without it: 15s.";
    }
}

pub const fn section(about: &'static str) -> SectionDef {
    SectionDef::new(JOURNAL, about, JournalPlaceOptions::OPTIONS).with_shared(&[JournalBounds::OPTIONS])
}

pub(super) static OF_JOURNAL: [&[OptionDef]; 2] = [JournalBounds::OPTIONS, NativeJournalOptions::OPTIONS];

const IDLE: &str = "remove it, or set sqlite:// in connection";
const ONLY: &str = "write sqlite:///path/to/journal.db, memory://, or remove the line";
const SHARED: [&str; 2] = ["postgresql", "postgres"];
const NOT_BUILT: (&str, &str) = (
    "needs a program with PostgreSQL, as osnl is",
    "run it with osnl, or write sqlite:///path/to/journal.db",
);

const NATIVE_ONLY: (&str, &str) = (
    "a shared journal needs osnl.conf and osnl run",
    "write sqlite:///path/to/journal.db; to share it, then make an osnl.conf of this file with osnl config show, and set connection there",
);

/// Whether an unset option has an effect; a shared journal lacks some bounds.
pub(super) fn counts(section: &RawSection, option: &str) -> bool {
    let in_a_database = || {
        let Some(entry) = section.entry("connection") else { return false };
        let content = entry.file.as_ref().and_then(|file| file.content.as_ref().ok());
        let text = content.map_or(entry.text.as_str(), |content| content);
        is_shared(text)
    };
    section.def.kind != JOURNAL || members::keeps(option) || !in_a_database()
}

fn is_shared(connection: &str) -> bool {
    SHARED.contains(&connection.split(['+', ':']).next().unwrap_or_default())
}

impl JournalConf {
    /// Returns the bound per action; `None` where the broker keeps pending deliveries.
    pub(super) fn max_pending(&self) -> Option<u64> {
        match self {
            Self::Memory => None,
            Self::Sqlite(options) => Some(options.bounds.max_pending),
            Self::Shared(options) => Some(options.bounds.max_pending),
        }
    }
}

#[derive(Clone, Debug)]
pub enum JournalPlace {
    Memory,
    File(PathBuf),
    Shared { connection: Secret, checked: CheckedConnection, database: &'static dyn SharedDatabase },
}

pub fn journal(reader: &mut SectionReader<'_>) -> Option<JournalConf> {
    read(reader, |text| match is_shared(&text) {
        true => Err((NATIVE_ONLY.0.to_owned(), NATIVE_ONLY.1)),
        false => place(text, None),
    })
}

pub(super) fn journal_with(
    reader: &mut SectionReader<'_>,
    database: Option<&'static dyn SharedDatabase>,
) -> Option<(JournalConf, KeepUnmatched)> {
    let own = NativeJournalOptions::read(reader);
    let journal = read(reader, |text| place(text, database));
    let NativeJournalOptions { keep_unmatched: heads, keep_unmatched_bodies: bodies, lease: _ } = own?;
    Some((journal?, KeepUnmatched { heads, bodies }))
}

fn read(
    reader: &mut SectionReader<'_>,
    place: impl FnOnce(String) -> Result<JournalPlace, (String, &'static str)>,
) -> Option<JournalConf> {
    let bounds = JournalBounds::read(reader);
    let connection = match place(JournalPlaceOptions::read(reader)?.connection) {
        Ok(place) => place,
        Err((problem, remedy)) => return reader.refuse("connection", &problem, remedy),
    };
    if let JournalPlace::Shared { connection, checked: CheckedConnection { shown, logins }, database } =
        connection
    {
        reader.warn_of_logins(&logins);
        return members::journal(reader, bounds, (connection, shown), database).map(JournalConf::Shared);
    }
    let bounds = bounds?;
    members::idle(reader);
    let JournalPlace::File(path) = connection else {
        for option in
            JournalBounds::OPTIONS.iter().filter(|option| reader.is_set(option.name)).collect::<Vec<_>>()
        {
            reader.warn(option.name, "has no effect for memory://", IDLE);
        }
        return Some(JournalConf::Memory);
    };
    Some(JournalConf::Sqlite(SqliteOptions { bounds, ..SqliteOptions::new(path) }))
}

/// Reads the URL of a journal.
///
/// # Errors
/// The problem and the remedy, without a password.
pub fn place(
    text: String,
    database: Option<&'static dyn SharedDatabase>,
) -> Result<JournalPlace, (String, &'static str)> {
    if text == "memory://" {
        return Ok(JournalPlace::Memory);
    }
    if !is_shared(&text) {
        return file_of(&text).map(JournalPlace::File).map_err(|problem| (problem.to_owned(), ONLY));
    }
    let Some(database) = database else { return Err((NOT_BUILT.0.to_owned(), NOT_BUILT.1)) };
    let connection = Secret::new(text);
    match database.check(&connection) {
        Ok(checked) => Ok(JournalPlace::Shared { connection, checked, database }),
        Err(problem) => Err((problem, members::CONNECTION)),
    }
}

fn file_of(connection: &str) -> Result<PathBuf, &'static str> {
    let Some(path) = connection.strip_prefix("sqlite://") else {
        return Err("is not a journal that osnl knows");
    };
    let path = format!("/{}", path.trim_start_matches('/'));
    if path.contains('\0') {
        return Err("has a NUL character, which no path can have");
    }
    if !connection.starts_with("sqlite:///") || path.ends_with('/') {
        return Err("names no file");
    }
    Ok(path.into())
}
