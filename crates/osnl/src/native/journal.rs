//! `[journal]`: the store and its bounds, in every form of configuration.

use std::path::PathBuf;
use std::time::Duration;

use osnl_config::sections::{RawSection, SectionReader};
use osnl_config::{Kind, OptionDef, duration, shown, size};
use osnl_model::Secret;

use super::schema::JOURNAL;
use super::{JournalConf, members};
use crate::action::driver::NativeReader as _;
use crate::journal::shared::{CheckedConnection, SharedDatabase};
use crate::journal::sqlite::SqliteOptions;
use crate::unmatched::KeepUnmatched;

/// The options of a journal in any form of configuration.
#[rustfmt::skip]
pub static STORE: &[OptionDef] = &[
    OptionDef::new("connection", "sqlite:///PATH, memory:// or postgresql://USER:PASSWORD@HOST/DATABASE", "Place of the journal. sqlite: a file that keeps events and deliveries. memory: nothing is kept; a message is acknowledged after its last delivery has ended. postgresql: a database that several daemons share.").or("sqlite:///$state_dir/journal.db").secret_by_login(),
    OptionDef::new("retention", "duration", "Time for which ended deliveries and their events are kept.").or("7d"),
    OptionDef::new("max_size", "size", "Largest size of the file, at least 16MiB. Without it: 10 GiB, or half of the free space if that is less."),
    OptionDef::typed("max_pending", Kind::Integer, "Most pending deliveries of one action; see on_full.").or("1000000"),
    OptionDef::typed("max_dead", Kind::Integer, "Most dead letters that are kept.").or("10000"),
    OptionDef::typed("allow_volatile", Kind::Bool, "true: the journal may be in a place that a restart of the machine empties, such as tmpfs or /tmp.").or("false"),
];

#[rustfmt::skip]
pub(super) static BESIDES: &[OptionDef] = &[
    OptionDef::typed("keep_unmatched", Kind::Integer, "Number of messages without a matching rule whose heads are kept for osnl explain, 0 to 100000.").or("1000"),
    OptionDef::typed("keep_unmatched_bodies", Kind::Bool, "true: their bodies are kept too, with secrets.").or("false"),
    OptionDef::new("lease", "duration", "postgresql: time after which other daemons take over the work of a silent one, 2s to 10m; the same for all daemons. Without it: 15s."),
];

const LONGEST_RETENTION: Duration = Duration::from_secs(3650 * 86_400);
pub(super) const SMALLEST: u64 = 16 << 20;
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

/// The limit of `keep_unmatched`: operators look no further back, and each message costs memory.
const MOST_UNMATCHED: u32 = 100_000;

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
            Self::Sqlite(options) => Some(options.max_pending),
            Self::Shared(options) => Some(options.max_pending),
        }
    }
}

pub(super) fn keep_unmatched(reader: &mut SectionReader<'_>) -> Option<KeepUnmatched> {
    let heads = reader.number("keep_unmatched", 0, MOST_UNMATCHED);
    let bodies = reader.boolean("keep_unmatched_bodies");
    Some(KeepUnmatched { heads: heads?, bodies: bodies? })
}

#[derive(Clone, Debug)]
pub enum JournalPlace {
    Memory,
    File(PathBuf),
    Shared { connection: Secret, checked: CheckedConnection, database: &'static dyn SharedDatabase },
}

/// Reads [`STORE`] without a shared journal.
pub fn journal(reader: &mut SectionReader<'_>) -> Option<JournalConf> {
    read(reader, |text| match is_shared(&text) {
        true => Err((NATIVE_ONLY.0.to_owned(), NATIVE_ONLY.1)),
        false => place(text, None),
    })
}

pub(super) fn journal_with(
    reader: &mut SectionReader<'_>,
    database: Option<&'static dyn SharedDatabase>,
) -> Option<JournalConf> {
    read(reader, |text| place(text, database))
}

fn read(
    reader: &mut SectionReader<'_>,
    place: impl FnOnce(String) -> Result<JournalPlace, (String, &'static str)>,
) -> Option<JournalConf> {
    let connection = reader.text("connection").and_then(|text| match place(text) {
        Ok(place) => Some(place),
        Err((problem, remedy)) => reader.refuse("connection", &problem, remedy),
    });
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
        overflowing: Default::default(),
    };
    if let JournalPlace::Shared { connection, checked: CheckedConnection { shown, logins }, database } =
        connection
    {
        reader.warn_of_logins(&logins);
        return members::journal(reader, options, (connection, shown), database).map(JournalConf::Shared);
    }
    members::idle(reader);
    let JournalPlace::File(path) = connection else {
        for option in STORE[1..].iter().filter(|option| reader.is_set(option.name)).collect::<Vec<_>>() {
            reader.warn(option.name, "has no effect for memory://", IDLE);
        }
        return Some(JournalConf::Memory);
    };
    Some(JournalConf::Sqlite(SqliteOptions { path, ..options }))
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

/// Writes [`STORE`] such that it reads back as the same.
pub fn written(options: &SqliteOptions) -> Vec<(&'static str, String)> {
    let SqliteOptions { path, retention, max_size, max_pending, max_dead, allow_volatile, overflowing: _ } =
        options;
    let mut written = vec![
        ("connection", format!("sqlite://{}", path.display())),
        ("retention", format!("{}s", retention.as_secs())),
    ];
    written.extend(max_size.map(|bytes| ("max_size", bytes.to_string())));
    written.push(("max_pending", max_pending.to_string()));
    written.push(("max_dead", max_dead.to_string()));
    written.push(("allow_volatile", allow_volatile.to_string()));
    written
}

fn file_of(connection: &str) -> Result<PathBuf, &'static str> {
    let Some(path) = connection.strip_prefix("sqlite://") else {
        return Err("is not a journal that osnl knows");
    };
    let path = format!("/{}", path.trim_start_matches('/'));
    if !connection.starts_with("sqlite:///") || path.ends_with('/') {
        return Err("names no file");
    }
    Ok(path.into())
}

fn retention(reader: &mut SectionReader<'_>) -> Option<Duration> {
    let text = reader.text("retention")?;
    match retention_of(&text) {
        Ok(found) => Some(found),
        Err((problem, allowed)) => reader.refuse("retention", &problem, allowed),
    }
}

fn retention_of(text: &str) -> Result<Duration, (String, &'static str)> {
    match duration::parse(text) {
        Some(found) if found <= LONGEST_RETENTION => Ok(found),
        Some(_) => Err((format!("{} is out of range", shown(text)), "allowed: 0 to 3650d")),
        None => Err((format!("{} is not a duration", shown(text)), "write 12h, 7d or 90d")),
    }
}

/// Returns the bound; `Some(None)` if nothing sets the option.
fn max_size(reader: &mut SectionReader<'_>) -> Option<Option<u64>> {
    if !reader.is_set("max_size") {
        return Some(None);
    }
    let text = reader.text("max_size")?;
    match max_size_of(&text) {
        Ok(bytes) => Some(Some(bytes)),
        Err((problem, allowed)) => reader.refuse("max_size", &problem, allowed),
    }
}

fn max_size_of(text: &str) -> Result<u64, (String, &'static str)> {
    match size::parse(text) {
        Some(bytes) if bytes >= SMALLEST => Ok(bytes),
        Some(_) => Err((format!("{} is too small", shown(text)), "at least 16MiB")),
        None => Err((format!("{} is not a size", shown(text)), "write 500MiB, 10GiB or a number of bytes")),
    }
}
