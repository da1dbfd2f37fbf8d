//! `osnl journal`: copies, checks, restores, and shrinks the journal's file.
//!
//! No command asks the daemon, because a backup matters most when the daemon hangs.

pub(crate) mod args;
mod export;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use osnl::control::{RequestProgress, counted, size};
use osnl::journal::files::beside;
use osnl::journal::sqlite::upkeep::{
    self, BackupSource, Contents, Observer, ReplacedJournal, RestoreOptions, RestoreReport, UpkeepError,
};
use osnl::native::{self, JournalConf};
use serde_json::{Value, json};

pub(crate) use self::args::JournalArgs;
use self::args::{BackupArgs, CompactArgs, JournalCommand, JournalFileArgs, RestoreArgs, VerifyArgs};
use super::asking::{NoAnswer, clean, print, print_json};
use super::deliveries::asks;
use super::progress::Display;
use super::quarantine::messages;
use super::saved_events::time;
use super::sources;
use crate::exit::Exit;
use crate::flags::{FormatArgs, OutputFormat};

const NAMED: usize = 10;

pub(crate) fn run(args: &JournalArgs) -> Exit {
    let done = match &args.command {
        JournalCommand::Backup(args) => backup(args),
        JournalCommand::Restore(args) => restore(args),
        JournalCommand::Export(args) => export::run(args),
        JournalCommand::Verify(args) => verify(args),
        JournalCommand::Compact(args) => compact(args),
    };
    done.unwrap_or_else(|error| error.complain())
}

fn backup(args: &BackupArgs) -> Result<Exit, NoAnswer> {
    let journal = file(&args.journal)?;
    let display = Display::cancelling("MiB");
    let contents = upkeep::backup(&journal, &args.to, args.overwrite, &in_mib(&display)).map_err(refused)?;
    drop(display);
    let text = format!("{}: {}\n", shown(&args.to), words(&contents));
    Ok(report(
        &args.journal.format,
        &text,
        || json!({"file": args.to.display().to_string(), "contents": object(&contents)}),
    ))
}

fn verify(args: &VerifyArgs) -> Result<Exit, NoAnswer> {
    let journal = file(&args.journal)?;
    let display = Display::cancelling("events");
    let found = upkeep::verify(&journal, &display.observer(|progress| progress)).map_err(refused)?;
    drop(display);
    let name = journal.display().to_string();
    let (contents, problems) = (&found.contents, &found.problems);
    let mut text = String::new();
    for problem in problems {
        text.push_str(&format!("{}: {}\n", clean(&name), clean(problem)));
    }
    match problems.is_empty() {
        true => text.push_str(&format!("{}: no problem found; {}\n", clean(&name), words(contents))),
        false => text.push_str("stop osnl and restore a backup, or move the file away and keep it\n"),
    }
    let value = || json!({"file": name, "problems": problems, "contents": object(contents)});
    let printed = report(&args.journal.format, &text, value);
    Ok(if problems.is_empty() { printed } else { Exit::Failed })
}

fn compact(args: &CompactArgs) -> Result<Exit, NoAnswer> {
    let journal = file(&args.journal)?;
    let display = Display::cancelling("MiB");
    let (before, contents) = upkeep::compact(&journal, &in_mib(&display)).map_err(refused)?;
    drop(display);
    let text = format!("{}: {} before, {} after\n", shown(&journal), size(before), size(contents.bytes));
    let value = || json!({"file": journal.display().to_string(), "bytes_before": before, "contents": object(&contents)});
    Ok(report(&args.journal.format, &text, value))
}

fn restore(args: &RestoreArgs) -> Result<Exit, NoAnswer> {
    let journal = file(&args.journal)?;
    let by = args.pause.then(asks);
    let aside = args.replace.then(|| aside(&journal));
    let options = RestoreOptions { aside, pause_by: by.as_deref() };
    let display = Display::cancelling("MiB");
    let mut stdin = std::io::stdin().lock();
    let source = match args.from.as_os_str() == "-" {
        true => BackupSource::Stream(&mut stdin),
        false => BackupSource::File(&args.from),
    };
    let restored = upkeep::restore(source, &journal, &options, &in_mib(&display)).map_err(refused)?;
    drop(display);
    Ok(report(&args.journal.format, &restored_text(&journal, &restored), || {
        let replaced = restored.replaced.as_ref().map(|replaced| {
            let ended = replaced.since.iter().flat_map(|since| &since.ended).map(ToString::to_string);
            json!({
                "file": replaced.file.display().to_string(),
                "later_events": replaced.since.as_ref().map(|since| since.events),
                "ended_since": ended.collect::<Vec<_>>(),
            })
        });
        json!({
            "file": journal.display().to_string(),
            "contents": object(&restored.contents),
            "paused": restored.paused,
            "replaced": replaced,
        })
    }))
}

fn aside(journal: &Path) -> PathBuf {
    let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let mut more = (2..).map(|n| format!(".replaced-{now}-{n}"));
    let mut name = beside(journal, &format!(".replaced-{now}"));
    while name.symlink_metadata().is_ok() {
        name = beside(journal, &more.next().unwrap_or_default());
    }
    name
}

fn restored_text(journal: &Path, restored: &RestoreReport) -> String {
    let RestoreReport { contents, paused, replaced } = restored;
    let mut text = format!("{}: {}\n", shown(journal), words(contents));
    let mut line = |words: String| text.push_str(&format!("  {}\n", clean(&words)));
    if let Some(latest) = contents.latest {
        line(format!("its latest message arrived at {}; later ones are not in it", time(latest)));
    }
    if let Some(ReplacedJournal { file, since }) = replaced {
        line(format!("the journal that was there is now {}", file.display()));
        if let Some(since) = since {
            if since.events > 0 {
                line(format!("{} of it came later: osnl journal export reads them", messages(since.events)));
            }
            if !since.ended.is_empty() {
                let named: Vec<String> = since.ended.iter().take(NAMED).map(ToString::to_string).collect();
                let more = if since.ended.len() > NAMED { " ..." } else { "" };
                let (count, ids) = (since.ended.len() as u64, named.join(" "));
                line(format!("{} ended since the backup, and will be repeated: {ids}{more}", pending(count)));
            }
        }
    }
    match (contents.open, paused.as_slice()) {
        (0, _) => {}
        (open, []) => line(format!(
            "{} will be attempted when osnl starts, also if made since the backup; --pause lets you look first",
            pending(open)
        )),
        (open, paused) => line(format!(
            "{}; paused: {}. Discard those made since the backup, then run osnl actions resume",
            pending(open),
            paused.join(", ")
        )),
    }
    text
}

fn file(args: &JournalFileArgs) -> Result<PathBuf, NoAnswer> {
    if let Some(file) = &args.journal {
        return Ok(std::path::absolute(file).unwrap_or_else(|_| file.clone()));
    }
    let loaded = native::load(&sources::from_args(&args.sources))
        .map_err(|errors| NoAnswer::new(Exit::Config, errors.to_string()))?;
    match loaded.conf.journal {
        JournalConf::Sqlite(options) => Ok(options.path),
        JournalConf::Memory => {
            Err(NoAnswer::new(Exit::Config, "[journal] connection is memory://, which has no file"))
        }
    }
}

fn refused(error: UpkeepError) -> NoAnswer {
    let exit = match &error {
        UpkeepError::Open { error, .. } => error.into(),
        UpkeepError::Missing(_) | UpkeepError::InUse { .. } | UpkeepError::Busy(_) => Exit::Unavailable,
        UpkeepError::Interrupted => Exit::Interrupted,
        _ => Exit::Failed,
    };
    NoAnswer::new(exit, error.to_string())
}

fn in_mib(display: &Display) -> Observer {
    display.observer(|RequestProgress { done, of }| RequestProgress { done: done >> 20, of: of >> 20 })
}

fn report(format: &FormatArgs, text: &str, value: impl FnOnce() -> Value) -> Exit {
    match format.format {
        OutputFormat::Text => print(text),
        OutputFormat::Json => print_json(&value()),
    }
}

fn shown(path: &Path) -> String {
    clean(&path.display().to_string()).into_owned()
}

fn words(contents: &Contents) -> String {
    let events = events(contents.events);
    let Contents { bytes, open, dead, quarantined, .. } = contents;
    format!("{}, {events}, {open} pending, {dead} dead, {quarantined} in quarantine", size(*bytes))
}

fn object(contents: &Contents) -> Value {
    json!({
        "bytes": contents.bytes,
        "schema": contents.schema,
        "events": contents.events,
        "pending": contents.open,
        "dead": contents.dead,
        "quarantined": contents.quarantined,
        "latest": contents.latest.map(timestamp),
    })
}

fn timestamp(at: SystemTime) -> String {
    Timestamp::try_from(at).map(|at| format!("{at:.3}")).unwrap_or_default()
}

fn events(count: u64) -> String {
    counted(count, "event", "events")
}

fn pending(count: u64) -> String {
    counted(count, "pending delivery", "pending deliveries")
}
