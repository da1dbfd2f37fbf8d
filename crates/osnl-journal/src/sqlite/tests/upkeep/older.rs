//! A journal for an older program is what that program would have written.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::super::super::schema;
use super::super::super::upkeep::{LEAST_SCHEMA, OlderReport, SCHEMA, export_older};
use super::*;

/// A journal of the newest version, made of the dump of an older one.
fn upgraded(folder: &TempDir, version: i64, more: &str) -> PathBuf {
    let file = folder.path().join("journal.db");
    let mut connection = Connection::open(&file).unwrap();
    let dump = osnl_testkit::fixture::text(&format!("journal/v{version}.sql"));
    connection.execute_batch(&dump).unwrap();
    schema::migrate(&mut connection, SCHEMA).unwrap();
    connection.execute_batch(more).unwrap();
    file
}

fn exported(folder: &TempDir, file: &Path, version: i64) -> (OlderReport, Connection) {
    let to = folder.path().join("older.db");
    let report = export_older(file, &to, version, false, &quiet()).unwrap();
    assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    (report, Connection::open(&to).unwrap())
}

/// All rows of all tables, by their names.
fn dump(connection: &Connection) -> Vec<(String, Vec<Vec<Value>>)> {
    let list = |sql: &str| -> Vec<String> {
        let mut select = connection.prepare(sql).unwrap();
        select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let tables = list("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    let rows = |table: &String| {
        let mut select = connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let columns = select.column_count();
        let row = |row: &rusqlite::Row<'_>| (0..columns).map(|n| row.get(n)).collect::<rusqlite::Result<_>>();
        select.query_map([], row).unwrap().map(Result::unwrap).collect()
    };
    tables.iter().map(|table| (table.clone(), rows(table))).collect()
}

/// The dump of a version, upgraded and exported for that version again, is that dump.
#[test]
fn each_version_gets_back_what_it_had_written() {
    for version in LEAST_SCHEMA..=SCHEMA {
        let folder = tempfile::tempdir().unwrap();
        let file = upgraded(&folder, version, "");
        let (report, exported) = exported(&folder, &file, version);
        assert_eq!((report.contents.schema, report.contents.dead), (version, 1));
        let recorded = Connection::open_in_memory().unwrap();
        recorded.execute_batch(&osnl_testkit::fixture::text(&format!("journal/v{version}.sql"))).unwrap();
        assert_eq!(dump(&exported), dump(&recorded), "version {version}");
    }
}

/// The newest dump for every older program: it goes on with the same deliveries, and is told what it does not know.
#[test]
fn the_newest_version_becomes_each_older_one() {
    let more = "INSERT INTO unreadable SELECT 3, 7, received, 0, listener, queue, exchange, routing_key, NULL, NULL, NULL, \
                'cut', 99999999, X'00', 'ff', 2, NULL, NULL, NULL FROM unreadable WHERE id = 1; \
                UPDATE unreadable SET extent = 1, size = 3, body = X'789CABAEAE060002E50172' WHERE id = 2; \
                UPDATE meta SET value = 1 WHERE name = 'keys_with_rule_from'";
    for version in LEAST_SCHEMA..=SCHEMA {
        let folder = tempfile::tempdir().unwrap();
        let file = upgraded(&folder, 9, more);
        let (report, older) = exported(&folder, &file, version);
        let notes: Vec<&str> = report.notes.iter().map(|note| note.strip_suffix(": 1").unwrap()).collect();
        let expected = [
            (7, "quarantined messages left out, of which only the beginning is kept"),
            (7, "failed deliveries that will be repeated with another Idempotency-Key"),
            (6, "forgotten requests to discard, hold, or move a delivery after its attempt"),
            (6, "retries that are due at once"),
            (4, "enrichments that will be asked for again"),
        ];
        let expected = expected.into_iter().filter(|(since, _)| version < *since).map(|(_, note)| note);
        assert_eq!(notes, expected.collect::<Vec<_>>(), "version {version}");
        // A program that knows the quarantine's columns no more finds the body as it came.
        let body: Vec<u8> =
            older.query_row("SELECT body FROM unreadable WHERE id = 2", [], |row| row.get(0)).unwrap();
        assert_eq!(body == b"{{{", version < 7, "version {version}: {body:?}");
        let quarantined: i64 =
            older.query_row("SELECT count(*) FROM unreadable", [], |row| row.get(0)).unwrap();
        assert_eq!(quarantined, if version < 7 { 2 } else { 3 });
        drop(older);
        // And back again: nothing is lost that both know.
        let opened = open_with(SqliteOptions {
            allow_volatile: true,
            ..SqliteOptions::new(folder.path().join("older.db"))
        });
        drop(opened);
        let rows = SqliteReader::open(&folder.path().join("older.db")).unwrap();
        let rows = rows.list(&Filter::default(), &ListPage::default()).unwrap();
        let rows: Vec<_> = rows.iter().map(|row| (row.id.to_string(), row.state.name())).collect();
        let expected = [
            ("1.0", if version < 6 { "ready" } else { "discarded" }),
            ("1.1", "delivered"),
            ("2.0", if version < 6 { "waiting" } else { "ready" }),
            ("3.0", "dead"),
        ];
        assert_eq!(rows, expected.map(|(id, state)| (id.to_owned(), state)), "version {version}");
    }
}

#[tokio::test]
async fn an_export_for_an_older_program_is_refused_where_it_would_repeat_or_cannot_be_written() {
    let (folder, journal, _in_hand) = filled().await;
    let file = options(&folder).path;
    let to = folder.path().join("older.db");
    let refused = |asked: i64| export_older(&file, &to, asked, false, &quiet()).unwrap_err();
    for asked in [i64::MIN, 0, 1, 11, i64::MAX] {
        let error = refused(asked).to_string();
        assert_eq!(error, format!("version {asked} of the tables cannot be written; allowed: 2 to 10"));
    }
    assert!(matches!(refused(8), UpkeepError::InUse { .. }));
    drop(journal);
    std::fs::write(&to, "there").unwrap();
    assert!(matches!(refused(8), UpkeepError::Exists { .. }));
    assert_eq!(export_older(&file, &to, 8, true, &quiet()).unwrap().contents.open, 3);
    // It cannot be newer than what it is made of.
    let newer = folder.path().join("newer.db");
    assert!(matches!(export_older(&to, &newer, 9, false, &quiet()), Err(UpkeepError::Schema { .. })));
    let stopping: Observer = Arc::new(|_| ControlFlow::Break(()));
    drop(export_older(&file, &newer, 8, false, &stopping));
    assert!(!folder.path().join("newer.db.part").exists());
}
