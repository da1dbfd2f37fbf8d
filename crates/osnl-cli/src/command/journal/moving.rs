//! `osnl journal move`: a journal from a file into a database that daemons share, or back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use osnl::journal::sqlite::RowState;
use osnl::journal::sqlite::transfer::{SqliteDestination, SqliteSource};
use osnl::journal::sqlite::upkeep::UpkeepProgress;
use osnl::journal::transfer::{
    self, JournalTable, MoveDestination, MoveError, MoveFailure, MoveOptions, MoveReport, MoveSource,
};
use osnl::native::journal::{JournalPlace, place};
use serde_json::{Value, json};

use super::args::JournalMoveArgs;
use super::{aside, report};
use crate::app;
use crate::command::asking::{NoAnswer, clean};
use crate::command::progress::Display;
use crate::command::sources;
use crate::exit::Exit;

/// The URLs of both kinds.
const EITHER: &str = "sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE";

pub(super) fn run(args: &JournalMoveArgs) -> Result<Exit, NoAnswer> {
    let (from, to) = (side("--from", &args.from)?, side("--to", &args.to)?);
    let options = MoveOptions { lease: args.lease, replaces: args.replace, show };
    let moved = app::block_on(move_journal(from, to, options, args));
    let moved = moved.map_err(|error| NoAnswer::new(Exit::Failed, error.to_string()))??;
    let (shown, done) = moved;
    let text = text(&shown, &done, args.dry_run);
    Ok(report(&args.format, &text, || object(&shown, &done, args.dry_run)))
}

/// The URLs of both sides, for display.
struct Urls {
    from: String,
    to: String,
}

async fn move_journal(
    from: JournalPlace,
    to: JournalPlace,
    options: MoveOptions,
    args: &JournalMoveArgs,
) -> Result<(Urls, MoveReport), NoAnswer> {
    let refused = |error: MoveError| unbegun(&error);
    let (mut source, mut destination): (Box<dyn MoveSource>, Box<dyn MoveDestination>) = match (from, to) {
        (JournalPlace::File(file), JournalPlace::Shared { connection, database, .. }) => {
            let source = SqliteSource::open(&file).map_err(refused)?;
            (Box::new(source), database.move_to(&connection, options).await.map_err(refused)?)
        }
        (JournalPlace::Shared { connection, database, .. }, JournalPlace::File(file)) => {
            let destination = destination(&file, options.replaces);
            (database.move_from(&connection, options).await.map_err(refused)?, Box::new(destination))
        }
        _ => {
            let why = "--from and --to are of one kind; name a file and a database, or copy a file with osnl journal backup, a \
                       database with pg_dump";
            return Err(NoAnswer::new(Exit::Usage, why));
        }
    };
    let shown = Urls { from: source.shown().to_owned(), to: destination.shown().to_owned() };
    let display = Display::cancelling("rows");
    let observer = display.observer(|progress| progress);
    let progress = |done, of| observer(UpkeepProgress { done, of });
    let moved = transfer::run(&mut *source, &mut *destination, args.dry_run, &progress).await;
    drop(display);
    moved.map(|report| (shown, report)).map_err(|failure| failed(&failure, destination.shown()))
}

fn destination(file: &Path, replaces: bool) -> SqliteDestination {
    SqliteDestination::new(file, replaces.then(|| aside(file)))
}

/// Reads a URL, or the file that has it.
fn side(flag: &str, url: &str) -> Result<JournalPlace, NoAnswer> {
    let refuse = |exit, why: String| Err(NoAnswer::new(exit, format!("{flag}: {why}")));
    let url = match url.strip_prefix("file://").map(PathBuf::from) {
        None => url.to_owned(),
        Some(file) => match std::fs::read_to_string(&file) {
            Ok(text) => text.trim().to_owned(),
            Err(error) => {
                return refuse(
                    Exit::Failed,
                    format!("{}: {error}; name a file that has a URL", file.display()),
                );
            }
        },
    };
    let is_shared = url.starts_with("postgres");
    match place(url, sources::drivers().database()) {
        Ok(JournalPlace::Memory) => {
            refuse(Exit::Usage, "memory:// keeps nothing that could be moved".to_owned())
        }
        Ok(found) => Ok(found),
        Err((problem, remedy)) if is_shared => refuse(Exit::Config, format!("{problem}; {remedy}")),
        Err((problem, _)) => refuse(Exit::Usage, format!("{problem}; write {EITHER}")),
    }
}

#[expect(clippy::print_stderr, reason = "the operator waits")]
fn show(line: &str) {
    eprintln!("osnl: {}", clean(line));
}

fn unbegun(error: &MoveError) -> NoAnswer {
    let exit = match error {
        MoveError::InUse(_) | MoveError::Unavailable(_) => Exit::Unavailable,
        MoveError::Refused(_) | MoveError::Failed(_) | MoveError::Differs(_) => Exit::Failed,
        MoveError::Interrupted => Exit::Interrupted,
    };
    NoAnswer::new(exit, error.to_string())
}

fn failed(failure: &MoveFailure, to: &str) -> NoAnswer {
    let answer = unbegun(&failure.error);
    if !failure.is_begun {
        return answer;
    }
    let text = format!(
        "{}\n{to} is unfinished, and osnl does not start on it; the source has everything that it had: run the same command again",
        failure.error
    );
    NoAnswer::new(answer.exit, text)
}

fn text(shown: &Urls, done: &MoveReport, is_dry_run: bool) -> String {
    let (from, to) = (clean(&shown.from), clean(&shown.to));
    let mut text = format!("{from} -> {to}\n");
    for (table, rows) in &done.rows {
        let _ = writeln!(text, "  {:<24}{rows:>12}", table.name());
        if *table == JournalTable::Deliveries {
            for (state, count) in states(done) {
                let _ = writeln!(text, "    {:<22}{count:>12}", state.name());
            }
        }
    }
    for note in &done.notes {
        let _ = writeln!(text, "  {}", clean(note));
    }
    if is_dry_run {
        text.push_str("nothing was moved (--dry-run)\n");
        return text;
    }
    let _ = writeln!(
        text,
        "  read back and compared: counts of each rule, action, and state are the same, and all rows (digest {})",
        done.digest
    );
    let seconds = done.took.as_secs_f64();
    let events = done.rows.get(&JournalTable::Events).copied().unwrap_or_default();
    let _ = writeln!(text, "  {seconds:.1} s, {:.0} events per second", events as f64 / seconds.max(0.001));
    let _ = writeln!(
        text,
        "{from} is marked as moved, and osnl does not start on it any more; set [journal] connection, and start osnl"
    );
    text
}

/// The deliveries of each state.
fn states(done: &MoveReport) -> Vec<(RowState, u64)> {
    let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
    for ((.., state), count) in &done.deliveries {
        *counts.entry(*state).or_default() += count;
    }
    RowState::ALL.into_iter().filter_map(|state| Some((state, *counts.get(&(state as i64))?))).collect()
}

fn object(shown: &Urls, done: &MoveReport, is_dry_run: bool) -> Value {
    let rows: BTreeMap<String, u64> =
        done.rows.iter().map(|(table, rows)| (table.name().replace(' ', "_"), *rows)).collect();
    let deliveries = done.deliveries.iter().map(|((rule, action, state), count)| {
        let state = RowState::ALL.into_iter().find(|known| *known as i64 == *state);
        json!({"rule": rule, "action": action, "state": state.map(RowState::name), "count": count})
    });
    json!({
        "from": shown.from,
        "to": shown.to,
        "dry_run": is_dry_run,
        "rows": rows,
        "deliveries": deliveries.collect::<Vec<_>>(),
        "digest": Some(&done.digest).filter(|digest| !digest.is_empty()),
        "notes": done.notes,
        "seconds": done.took.as_secs_f64(),
    })
}
