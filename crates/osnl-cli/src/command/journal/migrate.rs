use osnl::native::{self, JournalConf};

use super::args::MigrateArgs;
use crate::app;
use crate::command::asking::{NoAnswer, clean, print};
use crate::command::sources;
use crate::exit::Exit;

pub(super) fn run(args: &MigrateArgs) -> Result<Exit, NoAnswer> {
    let loaded = native::load(&sources::of(&args.sources))
        .map_err(|errors| NoAnswer::new(Exit::Config, errors.to_string()))?;
    let options = match loaded.conf.journal {
        JournalConf::Shared(options) => options,
        JournalConf::Memory | JournalConf::Sqlite(_) => {
            // `--dry-run` prints SQL, so the remark must be a comment.
            let begin = if args.dry_run { "-- " } else { "" };
            return Ok(print(&format!(
                "{begin}[journal] connection is not postgresql://; osnl run migrates a journal in a file by itself: nothing to do\n"
            )));
        }
    };
    let migrated = app::block_on(options.database.migrate(&options, args.dry_run))
        .map_err(|error| NoAnswer::new(Exit::Failed, error.to_string()))?;
    let migrated = migrated
        .map_err(|why| NoAnswer::new(Exit::Unavailable, format!("[journal] {}: {why}", options.shown)))?;
    if args.dry_run {
        return Ok(print(&migrated.sql));
    }
    let database = clean(&options.shown);
    let (from, to) = (migrated.from, migrated.to);
    let text = match from {
        0 => format!("{database}: tables of version {to} are created\n"),
        from if from < to => format!("{database}: the tables are migrated from version {from} to {to}\n"),
        from => format!("{database}: the tables have version {from}: nothing to do\n"),
    };
    Ok(print(&text))
}
