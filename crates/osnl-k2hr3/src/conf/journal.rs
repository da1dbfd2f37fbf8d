//! `[journal]` of a `k2hr3_osnl.conf`: osnl's own group, with the options of the native form.

use osnl::native::JournalConf;
use osnl::native::journal::{IDLE, ONLY, file_of, max_size_of, retention_of};
use osnl_config::Origin;
use osnl_journal::sqlite::SqliteOptions;

use super::check::Checker;
use super::schema::JOURNAL;

/// Every option but `connection`.
const BOUNDS: [&str; 5] = ["retention", "max_size", "max_pending", "max_dead", "allow_volatile"];

pub(super) fn journal(checker: &mut Checker<'_>) -> Option<JournalConf> {
    let connection = checker.text(JOURNAL, "connection")?;
    let retention = checker.text(JOURNAL, "retention").and_then(|text| {
        retention_of(&text)
            .map_err(|(problem, allowed)| checker.refuse::<()>(JOURNAL, "retention", &problem, allowed))
            .ok()
    });
    let max_size = match checker.settings.origin(JOURNAL, "max_size") {
        Origin::Default => Some(None),
        Origin::File { .. } | Origin::Environment { .. } | Origin::CommandLine { .. } => {
            checker.text(JOURNAL, "max_size").and_then(|text| match max_size_of(&text) {
                Ok(bytes) => Some(Some(bytes)),
                Err((problem, allowed)) => checker.refuse(JOURNAL, "max_size", &problem, allowed),
            })
        }
    };
    let max_pending = bound(checker, "max_pending", 1_000_000);
    let max_dead = bound(checker, "max_dead", 10_000);
    let allow_volatile = checker.boolean(JOURNAL, "allow_volatile");
    let (retention, max_size, max_pending, max_dead) = (retention?, max_size?, max_pending?, max_dead?);
    if connection == "memory://" {
        for option in BOUNDS {
            if checker.settings.origin(JOURNAL, option) != Origin::Default {
                checker.warn(JOURNAL, option, "means nothing for memory://", IDLE);
            }
        }
        return Some(JournalConf::Memory);
    }
    match file_of(&connection) {
        Ok(path) => Some(JournalConf::Sqlite(SqliteOptions {
            retention,
            max_size,
            max_pending,
            max_dead,
            allow_volatile: allow_volatile?,
            ..SqliteOptions::new(path)
        })),
        Err(problem) => checker.refuse(JOURNAL, "connection", problem, ONLY),
    }
}

fn bound(checker: &mut Checker<'_>, option: &str, default: i64) -> Option<u64> {
    let number = checker.integer(JOURNAL, option, default)?;
    match u32::try_from(number) {
        Ok(number) if number > 0 => Some(number.into()),
        Ok(_) | Err(_) => {
            let problem = format!("{number} is out of range");
            checker.refuse(JOURNAL, option, &problem, &format!("allowed: 1 to {}", u32::MAX))
        }
    }
}
