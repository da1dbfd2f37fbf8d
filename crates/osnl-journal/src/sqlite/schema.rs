//! The tables, and the conversion of a file to a journal.
//!
//! `PRAGMA user_version` has the version, and `PRAGMA application_id` marks a journal of osnl. osnl 0.1.0 ships
//! version 1. A later change of the tables needs a conversion from each shipped version, with a dump of that version
//! under `fixtures/journal/`.

use std::collections::HashSet;
use std::sync::LazyLock;

use rusqlite::{Connection, TransactionBehavior};

use super::OpenError;

pub(super) const APPLICATION: i64 = 0x6f73_6e6c;

pub(super) const VERSION: i64 = 1;

const TABLES: &str = "
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
    body BLOB NOT NULL,
    noted TEXT
);
CREATE TABLE delivery (
    id INTEGER PRIMARY KEY,
    rule TEXT NOT NULL,
    action TEXT NOT NULL,
    key TEXT,
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    ended INTEGER,
    reason TEXT,
    resource INTEGER,
    aged INTEGER NOT NULL DEFAULT 0,
    holds_key INTEGER NOT NULL DEFAULT 0,
    lane INTEGER,
    due INTEGER NOT NULL DEFAULT 0,
    pause INTEGER NOT NULL DEFAULT 0,
    ordered INTEGER NOT NULL DEFAULT 1,
    guarded INTEGER NOT NULL DEFAULT 0,
    deferred INTEGER,
    deferred_text TEXT,
    cause TEXT,
    resource_id TEXT,
    resource_name TEXT,
    message INTEGER,
    took INTEGER
);
CREATE TABLE attempt (
    delivery INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    at INTEGER NOT NULL,
    answer TEXT NOT NULL,
    request TEXT,
    took INTEGER,
    class TEXT,
    host TEXT,
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
    body BLOB NOT NULL,
    digest TEXT,
    extent INTEGER NOT NULL DEFAULT 0,
    message_id TEXT,
    publisher_id TEXT,
    event_type TEXT
);
CREATE TABLE tally (
    action TEXT NOT NULL,
    state INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (action, state)
) WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE enriched (delivery INTEGER PRIMARY KEY, found TEXT NOT NULL);
CREATE TABLE object (name TEXT PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE seen (name TEXT PRIMARY KEY, at INTEGER NOT NULL, row TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE suspect (delivery INTEGER PRIMARY KEY, at INTEGER NOT NULL, ends INTEGER NOT NULL);
CREATE TABLE block (id INTEGER PRIMARY KEY, facts BLOB NOT NULL);
CREATE TABLE block_names (id INTEGER PRIMARY KEY, names BLOB NOT NULL);

CREATE INDEX event_identity ON event (identity);
CREATE INDEX delivery_done ON delivery (ended) WHERE state >= 4;
CREATE INDEX unreadable_identity ON unreadable (identity);
CREATE INDEX object_at ON object (at);
CREATE INDEX delivery_ready ON delivery (action, due) WHERE state = 1;
CREATE INDEX delivery_lane ON delivery (lane, state) WHERE lane IS NOT NULL;
CREATE INDEX delivery_deferred ON delivery (deferred) WHERE deferred IS NOT NULL;
CREATE INDEX delivery_dead ON delivery (holds_key, action, cause, ended) WHERE state = 3;
CREATE INDEX delivery_held ON delivery (action, reason) WHERE state = 2;
CREATE INDEX delivery_stopped ON delivery (state, action) WHERE state = 0 OR state = 3;
CREATE INDEX delivery_dead_newest ON delivery (state) WHERE state = 3;
CREATE INDEX delivery_retrying ON delivery (state) WHERE state = 1 AND due > 0 AND tries > 0;
";

/// Creates the tables of an empty file.
///
/// # Errors
/// The file is another program's, of another version, or SQLite refuses.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), OpenError> {
    let found = check(connection)?;
    if found == VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

pub(super) fn check(connection: &Connection) -> Result<i64, OpenError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let version = pragma("user_version")?;
    let application = pragma("application_id")?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if (application, version, tables) == (0, 0, 0) {
        return Ok(0);
    }
    judge_marks(application, version)?;
    has_only_our_objects(connection)?;
    Ok(version)
}

/// Judges `application_id` and `user_version` of a file that is not empty.
pub(super) fn judge_marks(application: i64, version: i64) -> Result<(), OpenError> {
    match (application, version) {
        (APPLICATION, VERSION) => Ok(()),
        (APPLICATION, 1..) => Err(OpenError::Newer { found: version, known: VERSION }),
        _ => Err(OpenError::NotAJournal("it holds another program's tables".to_owned())),
    }
}

static OBJECTS: LazyLock<HashSet<String>> =
    LazyLock::new(|| TABLES.split(';').map(without_blanks).filter(|sql| !sql.is_empty()).collect());

fn without_blanks(sql: &str) -> String {
    sql.split_whitespace().collect()
}

/// Refuses triggers, views, and other objects. Triggers and views act on the rows of the journal, and a file from elsewhere may
/// have been prepared to do so.
fn has_only_our_objects(connection: &Connection) -> Result<(), OpenError> {
    let mut select = connection.prepare("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
    let mut objects = select.query([])?;
    while let Some(object) = objects.next()? {
        let (kind, name, sql): (String, String, String) = (object.get(0)?, object.get(1)?, object.get(2)?);
        let is_of_sqlite = kind == "table" && ["sqlite_stat1", "sqlite_stat4"].contains(&name.as_str());
        let is_ours = ["table", "index"].contains(&kind.as_str()) && OBJECTS.contains(&without_blanks(&sql));
        if !is_ours && !is_of_sqlite {
            return Err(OpenError::ForeignObject { kind, name: name.escape_debug().take(80).collect() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(connection: &Connection) -> Vec<String> {
        let sql = "SELECT s.type || ' ' || s.name || ' ' || c.name || ' ' || c.type || ' ' || c.\"notnull\" || ' ' || \
                   coalesce(c.dflt_value, '') || ' ' || c.pk FROM sqlite_schema s, pragma_table_info(s.name) c \
                   UNION ALL SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1";
        let mut rows = connection.prepare(sql).unwrap();
        let rows = rows.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn recorded() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&osnl_testkit::fixture::text("journal/v1.sql")).unwrap();
        connection
    }

    #[test]
    fn a_recorded_journal_has_these_tables_and_keeps_its_rows() {
        let mut old = recorded();
        prepare(&mut old).unwrap();
        assert_eq!(check(&old).unwrap(), VERSION);
        let mut fresh = Connection::open_in_memory().unwrap();
        prepare(&mut fresh).unwrap();
        assert_eq!(shape(&old), shape(&fresh), "the tables have changed after their release");
        let rows = super::super::reader::list(&old, &Default::default(), &Default::default()).unwrap();
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.id.0, crate::query::Phase::word_of(row.state), row.action.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                (65536, "ready", "roles"),
                (65537, "delivered", "audit"),
                (131_072, "waiting", "roles"),
                (196_608, "dead", "roles")
            ]
        );
    }

    #[test]
    fn a_journal_with_objects_that_osnl_did_not_make_is_refused() {
        let check = |sql: &str, expected: &str| {
            let mut connection = recorded();
            connection.execute_batch(sql).unwrap();
            let error = prepare(&mut connection).unwrap_err().to_string();
            assert!(error.starts_with(&format!("has {expected}, which osnl did not make")), "{sql}: {error}");
        };
        check(
            "CREATE TRIGGER t AFTER INSERT ON attempt BEGIN DELETE FROM delivery; END",
            "a trigger named t",
        );
        check("CREATE VIEW v AS SELECT * FROM event", "a view named v");
        check("CREATE TABLE t (x)", "a table named t");
        check("CREATE UNIQUE INDEX i ON event (id, received)", "an index named i");
        check("DROP TABLE seen; CREATE VIEW seen AS SELECT 1", "a view named seen");
        check("ALTER TABLE tally ADD COLUMN x DEFAULT 7", "a table named tally");
        let mut analyzed = recorded();
        analyzed.execute_batch("ANALYZE").unwrap();
        prepare(&mut analyzed).unwrap();
    }

    #[test]
    fn foreign_and_newer_files_are_refused() {
        let check = |sql: &str, expected: &str| {
            let mut connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(sql).unwrap();
            assert_eq!(prepare(&mut connection).unwrap_err().to_string(), expected);
        };
        let foreign = "is not a journal of osnl: it holds another program's tables; name a file that does not exist yet";
        check("CREATE TABLE t (x)", foreign);
        check("PRAGMA application_id = 7; PRAGMA user_version = 1", foreign);
        check(
            &format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 1000"),
            "was written by a newer osnl (version 1000 of its tables, this one knows 1); run that one, or name another file",
        );
    }
}
