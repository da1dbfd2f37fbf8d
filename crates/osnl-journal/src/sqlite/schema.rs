//! The tables, their versions, and how an older file becomes a newer one.
//!
//! `tables.md` explains tables, states and indexes. The version is in `PRAGMA user_version`, and
//! `PRAGMA application_id` says that the file is a journal of osnl's. A version that has been released never
//! changes: what changes is appended to [`MIGRATIONS`], and a dump of the old version goes to
//! `fixtures/journal/`, from which a test migrates.

use rusqlite::{Connection, TransactionBehavior, params};

use super::rows::lane;
use super::{OpenError, blocks};

/// `osnl` in ASCII.
pub(super) const APPLICATION: i64 = 0x6f73_6e6c;

/// The same of a journal that was moved to another store (`osnm`), and of the unfinished copy of one (`osnu`): no program opens
/// them. A row of `meta`, `moved to URL` or `moved from URL`, names the other one.
pub(super) const MOVED: i64 = 0x6f73_6e6d;
pub(super) const UNFINISHED: i64 = 0x6f73_6e75;

/// The steps from each version to the next; the first from an empty file to version 1.
pub(super) const MIGRATIONS: [MigrationStep; 10] = [
    MigrationStep { sql: V1, fill: None },
    MigrationStep { sql: V2, fill: None },
    MigrationStep { sql: V3, fill: Some(fill_lanes) },
    MigrationStep { sql: V4, fill: None },
    MigrationStep { sql: V5, fill: None },
    MigrationStep { sql: V6, fill: None },
    MigrationStep { sql: V7, fill: None },
    MigrationStep { sql: V8, fill: Some(fill_causes) },
    MigrationStep { sql: V9, fill: None },
    MigrationStep { sql: V10, fill: Some(blocks::fill) },
];

/// One step: what SQL says, then what it cannot.
pub(super) struct MigrationStep {
    sql: &'static str,
    fill: Option<fn(&Connection) -> rusqlite::Result<()>>,
}

const V1: &str = "
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    identity INTEGER NOT NULL,
    received INTEGER NOT NULL,
    redelivered INTEGER NOT NULL,
    copies INTEGER NOT NULL DEFAULT 0,
    deliveries INTEGER NOT NULL,
    listener TEXT NOT NULL,
    queue TEXT NOT NULL,
    exchange TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    content_type TEXT,
    content_encoding TEXT,
    compression TEXT,
    message_id TEXT,
    unique_id TEXT,
    event_type TEXT,
    body BLOB NOT NULL
);
CREATE INDEX event_identity ON event (identity);

CREATE TABLE delivery (
    id INTEGER PRIMARY KEY,
    rule TEXT NOT NULL,
    action TEXT NOT NULL,
    key TEXT,
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    ended INTEGER,
    reason TEXT
);
CREATE INDEX delivery_open ON delivery (action, key) WHERE state <= 2 AND key IS NOT NULL;
CREATE INDEX delivery_ready ON delivery (action) WHERE state = 1;
CREATE INDEX delivery_dead ON delivery (ended) WHERE state = 3;
CREATE INDEX delivery_done ON delivery (ended) WHERE state >= 4;

CREATE TABLE attempt (
    delivery INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    at INTEGER NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (delivery, slot)
) WITHOUT ROWID;

CREATE TABLE unreadable (
    id INTEGER PRIMARY KEY,
    identity INTEGER NOT NULL,
    received INTEGER NOT NULL,
    redelivered INTEGER NOT NULL,
    listener TEXT NOT NULL,
    queue TEXT NOT NULL,
    exchange TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    content_type TEXT,
    content_encoding TEXT,
    compression TEXT,
    reason TEXT NOT NULL,
    size INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX unreadable_identity ON unreadable (identity);

CREATE TABLE tally (
    action TEXT NOT NULL,
    state INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (action, state)
) WITHOUT ROWID;

CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
";

/// Which resource of a bulk request, the age used up, and dead letters that hold their key.
const V2: &str = "
ALTER TABLE delivery ADD COLUMN resource INTEGER;
ALTER TABLE delivery ADD COLUMN aged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN holds_key INTEGER NOT NULL DEFAULT 0;
CREATE INDEX delivery_holds ON delivery (action, key) WHERE state = 3 AND holds_key = 1;
";

/// A number in place of two texts: with a long backlog most of an index on texts is not in memory, and each end of a
/// delivery writes a page of it.
const V3: &str = "
DROP INDEX delivery_open;
DROP INDEX delivery_holds;
ALTER TABLE delivery ADD COLUMN lane INTEGER;
CREATE INDEX delivery_lane ON delivery (lane) WHERE lane IS NOT NULL;
CREATE INDEX delivery_holds ON delivery (lane) WHERE holds_key = 1 AND lane IS NOT NULL;
";

/// Enrichments of deliveries, and the last known state of objects that enrichments asked about.
const V4: &str = "
CREATE TABLE enriched (delivery INTEGER PRIMARY KEY, found TEXT NOT NULL);
CREATE TABLE object (name TEXT PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX object_at ON object (at);
";

/// Notes that a message got when it arrived, and the last known state of resources: facts that later messages leave
/// out.
const V5: &str = "
ALTER TABLE event ADD COLUMN noted TEXT;
CREATE TABLE seen (name TEXT PRIMARY KEY, at INTEGER NOT NULL, row TEXT NOT NULL) WITHOUT ROWID;
";

/// When a retry is due and the pause that this was, whether a delivery waits for its lane, whether a guard holds it, and
/// what is to be done with one once its attempt has ended. A lane's own index says which states it has, dead letters
/// that hold it included, so that theirs goes.
///
/// For older rows: a row that was open with a key and without a lane waits for no lane; of rows that have ended
/// nothing says so. A row held with the reason of a guard is held by one; of a discarded row, the reason has been
/// overwritten. A row that has failed and is open is due since its latest attempt.
const V6: &str = "
ALTER TABLE delivery ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN pause INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN ordered INTEGER NOT NULL DEFAULT 1;
ALTER TABLE delivery ADD COLUMN guarded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN wish INTEGER;
ALTER TABLE delivery ADD COLUMN wish_text TEXT;
UPDATE delivery SET ordered = 0 WHERE state <= 2 AND key IS NOT NULL AND lane IS NULL;
UPDATE delivery SET guarded = 1 WHERE state = 2 AND reason GLOB 'guard of *' OR state = 6;
UPDATE delivery SET due = coalesce((SELECT max(at) FROM attempt WHERE attempt.delivery = delivery.id), 1)
    WHERE state = 1 AND tries > 0;
DROP INDEX delivery_ready;
DROP INDEX delivery_lane;
DROP INDEX delivery_holds;
CREATE INDEX delivery_ready ON delivery (action, due) WHERE state = 1;
CREATE INDEX delivery_lane ON delivery (lane, state) WHERE lane IS NOT NULL;
CREATE INDEX delivery_wish ON delivery (wish) WHERE wish IS NOT NULL;
";

/// Facts about messages that are kept unread, and how much of each is kept; deliveries that are held since the process
/// ended while they were attempted; and the first event whose idempotency keys have the rule in them: earlier ones
/// have been sent with the others.
const V7: &str = "
ALTER TABLE unreadable ADD COLUMN digest TEXT;
ALTER TABLE unreadable ADD COLUMN extent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE unreadable ADD COLUMN message_id TEXT;
ALTER TABLE unreadable ADD COLUMN publisher_id TEXT;
ALTER TABLE unreadable ADD COLUMN event_type TEXT;
CREATE TABLE suspect (delivery INTEGER PRIMARY KEY, at INTEGER NOT NULL, ends INTEGER NOT NULL);
INSERT INTO meta (name, value) SELECT 'keys_with_rule_from', coalesce(max(id), 0) + 1 FROM event;
";

/// The kind of failure that a dead letter ended with, and an index by which those of one kind leave.
const V8: &str = "
ALTER TABLE delivery ADD COLUMN cause TEXT;
DROP INDEX delivery_dead;
CREATE INDEX delivery_dead ON delivery (holds_key, action, cause, ended) WHERE state = 3;
";

/// The resource that a delivery is about and the number of its message's id, by which an operator finds it; the request
/// of a failed attempt and how long it took. Older rows have none of it. What is held has an index, so that it is found
/// among millions that are done.
const V9: &str = "
ALTER TABLE delivery ADD COLUMN resource_id TEXT;
ALTER TABLE delivery ADD COLUMN resource_name TEXT;
ALTER TABLE delivery ADD COLUMN message INTEGER;
ALTER TABLE delivery ADD COLUMN took INTEGER;
ALTER TABLE attempt ADD COLUMN request TEXT;
ALTER TABLE attempt ADD COLUMN took INTEGER;
CREATE INDEX delivery_held ON delivery (action) WHERE state = 2;
";

/// Facts about the blocks of events, for searches (`blocks.rs`). Dead letters, and those
/// that wait for a retry, have indexes in the order of their numbers, so that the newest are found among many.
const V10: &str = "
CREATE TABLE block (id INTEGER PRIMARY KEY, facts BLOB NOT NULL);
CREATE TABLE block_names (id INTEGER PRIMARY KEY, names BLOB NOT NULL);
CREATE INDEX delivery_dead_newest ON delivery (state) WHERE state = 3;
CREATE INDEX delivery_retrying ON delivery (state) WHERE state = 1 AND due > 0 AND tries > 0;
";

/// Reads the causes of older dead letters out of their reasons.
fn fill_causes(connection: &Connection) -> rusqlite::Result<()> {
    let mut select =
        connection.prepare("SELECT id, reason FROM delivery WHERE state = 3 AND reason IS NOT NULL")?;
    let mut update = connection.prepare("UPDATE delivery SET cause = ?2 WHERE id = ?1")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (id, reason) in rows.collect::<rusqlite::Result<Vec<(i64, String)>>>()? {
        // What has no class of failure ends before its first number.
        let cause = match reason.split_once(": ") {
            Some((class, _)) => class,
            None => reason.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default(),
        };
        update.execute(params![id, cause])?;
    }
    Ok(())
}

/// Gives what is open, and dead letters that hold their key, the lanes they are in.
fn fill_lanes(connection: &Connection) -> rusqlite::Result<()> {
    let mut select = connection.prepare(
        "SELECT id, action, key FROM delivery NOT INDEXED \
         WHERE key IS NOT NULL AND (state <= 2 OR state = 3 AND holds_key = 1) ORDER BY id",
    )?;
    let mut update = connection.prepare("UPDATE delivery SET lane = ?2 WHERE id = ?1")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (action, key) = (row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
        update.execute(params![row.get::<_, i64>(0)?, lane(action, key)])?;
    }
    Ok(())
}

/// The newest version this program knows.
#[expect(clippy::cast_possible_wrap, reason = "a handful")]
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings an empty file, or one of an older version, to `to`, a version at a time, each in one transaction.
///
/// # Errors
/// The file is another program's, of a newer version, or SQLite refuses.
pub(super) fn migrate(connection: &mut Connection, to: i64) -> Result<(), OpenError> {
    let found = check(connection)?;
    for version in found..to {
        let step = usize::try_from(version).ok().and_then(|version| MIGRATIONS.get(version));
        let Some(step) = step else { break };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step.sql)?;
        if let Some(fill) = step.fill {
            fill(&transaction)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", version + 1)?;
        transaction.commit()?;
        if found > 0 {
            let version = version + 1;
            tracing::info!(
                journal.version = version,
                former = format_args!("the journal's tables are now of version {version}"),
                "the journal's tables have a new version",
            );
        }
    }
    Ok(())
}

/// The version of a file that is a journal; 0 of an empty one.
///
/// # Errors
/// As [`migrate`].
pub(super) fn check(connection: &Connection) -> Result<i64, OpenError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let version = pragma("user_version")?;
    let application = pragma("application_id")?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version, tables) {
        (0, 0, 0) => Ok(0),
        (APPLICATION, 1.., _) if version <= VERSION => Ok(version),
        (APPLICATION, 1.., _) => Err(OpenError::Newer { found: version, known: VERSION }),
        (MOVED, 1.., _) => Err(OpenError::Moved(other(connection, "moved to "))),
        (UNFINISHED, 1.., _) => Err(OpenError::Unfinished(other(connection, "moved from "))),
        _ => Err(OpenError::NotAJournal("it holds another program's tables".to_owned())),
    }
}

/// Returns the other side of a move. A copy that did not finish may have lost its name.
fn other(connection: &Connection, prefix: &str) -> String {
    let sql = "SELECT substr(name, length(?1) + 1) FROM meta WHERE substr(name, 1, length(?1)) = ?1";
    let found = connection.query_row(sql, [prefix], |row| row.get(0));
    found.unwrap_or_else(|_| "another journal".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables and indexes, in order of their names.
    fn shape(connection: &Connection) -> Vec<String> {
        let mut rows =
            connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
        let rows = rows.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.map(|sql| sql.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    fn fresh(to: i64) -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, to).unwrap();
        connection
    }

    /// The dump of a version: what it made, with rows in every table.
    fn recorded(version: i64) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&osnl_testkit::fixture::text(&format!("journal/v{version}.sql"))).unwrap();
        connection
    }

    #[test]
    fn every_older_version_becomes_the_newest_and_keeps_its_rows() {
        for version in 1..=VERSION {
            let mut old = recorded(version);
            assert_eq!(
                shape(&old),
                shape(&fresh(version)),
                "version {version} has been changed after its release"
            );
            migrate(&mut old, VERSION).unwrap();
            assert_eq!(check(&old).unwrap(), VERSION);
            assert_eq!(shape(&old), shape(&fresh(VERSION)));
            let rows = super::super::reader::list(&old, &Default::default(), &Default::default()).unwrap();
            let seen: Vec<_> =
                rows.iter().map(|row| (row.id.0, row.state.name(), row.action.as_str())).collect();
            let lanes = lanes(&old);
            let expected = [("k", 65536), ("k", 131_072), ("other", 196_608)];
            // The first version knew no dead letters that hold their key.
            let expected = if version == 1 { &expected[..2] } else { &expected };
            let expected: Vec<_> = expected.iter().map(|(key, id)| (*id, lane("roles", key))).collect();
            assert_eq!(lanes, expected, "version {version}");
            // Those from before the sixth: what has failed is due since its latest attempt.
            let due: i64 =
                old.query_row("SELECT due FROM delivery WHERE id = 65536", [], |row| row.get(0)).unwrap();
            let expected = if version >= 6 { 1_790_000_060_000 } else { 1_790_000_000_200 };
            assert_eq!(due, expected, "version {version}");
            let cause: String =
                old.query_row("SELECT cause FROM delivery WHERE state = 3", [], |row| row.get(0)).unwrap();
            assert_eq!(cause, "status 409", "version {version}");
            assert_eq!(
                seen,
                [
                    (65536, "ready", "roles"),
                    (65537, "delivered", "audit"),
                    (131_072, "waiting", "roles"),
                    (196_608, "dead", "roles")
                ],
                "version {version}"
            );
        }
    }

    fn lanes(connection: &Connection) -> Vec<(i64, i64)> {
        let sql = "SELECT id, lane FROM delivery WHERE lane IS NOT NULL ORDER BY id";
        let mut rows = connection.prepare(sql).unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Finding 24: a delivery that was there before keeps the key that it has been sent with.
    #[test]
    fn events_from_before_the_seventh_version_keep_their_keys() {
        for (version, first) in [(1, 4), (6, 4), (7, 3), (8, 3), (9, 3), (10, 3)] {
            let mut old = recorded(version);
            migrate(&mut old, VERSION).unwrap();
            let sql = "SELECT value FROM meta WHERE name = 'keys_with_rule_from'";
            let from: i64 = old.query_row(sql, [], |row| row.get(0)).unwrap();
            // The first version had two events and the number of a third.
            assert!(from == first || (version == 1 && from == 3), "version {version}: {from}");
        }
    }

    /// The columns of the sixth version get the facts of the old rows.
    #[test]
    fn what_was_a_sentence_or_worked_out_again_becomes_a_column() {
        let mut old = recorded(5);
        old.execute_batch(
            "INSERT INTO delivery (id, rule, action, key, state, reason, lane) VALUES
              (1, 'r', 'a', 'k', 2, 'guard of rule r: more than 1 per 1m', 7),
              (2, 'r', 'a', 'k', 2, 'held by root', 7),
              (3, 'r', 'a', 'k', 2, 'guard of rule r: more than 1 per 1m', NULL),
              (4, 'r', 'a', NULL, 1, NULL, NULL),
              (5, 'r', 'a', 'k', 1, NULL, NULL),
              (6, 'r', 'a', 'k', 4, 'guard of the gate said 200', NULL);
             UPDATE delivery SET tries = 2 WHERE id = 5;",
        )
        .unwrap();
        migrate(&mut old, VERSION).unwrap();
        let mut select =
            old.prepare("SELECT id, ordered, guarded, due FROM delivery WHERE id < 10 ORDER BY id").unwrap();
        let rows = select
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .unwrap()
            .map(Result::unwrap);
        let expected: [(i64, bool, bool, i64); 6] = [
            (1, true, true, 0),
            (2, true, false, 0),
            (3, false, true, 0),
            (4, true, false, 0),
            (5, false, false, 1),
            (6, true, false, 0),
        ];
        assert_eq!(rows.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_step_that_fails_leaves_the_older_version() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("PRAGMA application_id = 0; PRAGMA user_version = 0").unwrap();
        let transaction = connection.transaction().unwrap();
        assert!(transaction.execute_batch(&format!("{V1} CREATE TABLE event (x)")).is_err());
        drop(transaction);
        assert_eq!(shape(&connection), [""; 0]);
        migrate(&mut connection, VERSION).unwrap();
        assert_eq!(check(&connection).unwrap(), VERSION);
    }

    #[test]
    fn foreign_and_newer_files_are_refused() {
        let check = |sql: &str, expected: &str| {
            let mut connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(sql).unwrap();
            assert_eq!(migrate(&mut connection, VERSION).unwrap_err().to_string(), expected);
        };
        let foreign = "is not a journal of osnl: it holds another program's tables; name a file that does not exist yet";
        check("CREATE TABLE t (x)", foreign);
        check("PRAGMA application_id = 7; PRAGMA user_version = 1", foreign);
        let newer = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 1000");
        check(
            &newer,
            "was written by a newer osnl (version 1000 of its tables, this one knows 10); run that one, let it write a file for this one (osnl journal export --schema 10), or name another file",
        );
    }
}
