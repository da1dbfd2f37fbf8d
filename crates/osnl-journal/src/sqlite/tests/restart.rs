use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use osnl_core::event::EnrichedValues;
use serde_json::json;

use super::super::{change, deferred, load, prune, turn, work};
use super::*;
use crate::NewDelivery;
use crate::query::{Change, Filter, ListPage, RowState};

#[tokio::test]
async fn everything_is_there_again_as_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let mut odd = entry("1", "k", true);
    let received = Arc::make_mut(&mut odd.received);
    received.properties.content_type = Some("application/json".into());
    received.properties.content_encoding = Some("utf-8".into());
    received.origin.exchange = "nova".into();
    received.origin.received = std::time::UNIX_EPOCH + Duration::from_millis(1_234_567);
    let came = received.clone();
    let answers =
        EnrichedValues::from([("port".to_owned(), json!({"$serde_json::private::RawValue": "[1]"}))]);
    let enriched = Some(Arc::new(answers.clone()));
    odd.deliveries.push(NewDelivery { enriched, ..NewDelivery::new("s", "b", None) });
    within(append(&journal, odd).await).await;
    keep(&journal, "2", "k").await;
    keep(&journal, "3", "other").await;
    let first = claim(&journal, "a", 2).await;
    journal.attempted(first[0].id, attempts(2), "status 409: not now");
    let used = UsedLimits { age: Duration::from_secs(3600), ..attempts(2) };
    journal.aged(first[0].id, used);
    journal.end(first[1].id, Outcome::Dead("given up".into()).into());
    drop(journal);

    let journal = open(&folder);
    let shown = reader(&folder).show(first[0].id).unwrap().unwrap();
    assert_eq!(format!("{:?}", shown.received), format!("{came:?}"));
    let tries: Vec<_> = shown.tries.iter().map(|one| one.answer.as_str()).collect();
    assert_eq!(tries, ["status 409: not now"]);
    // A claimed delivery without an outcome is claimable again, an ended delivery is not.
    let again = claim(&journal, "a", 1).await;
    assert_eq!((names(&again), again[0].used), (vec!["1"], used));
    let b = claim(&journal, "b", 1).await;
    assert_eq!((names(&b), &*b[0].event.rule), (vec!["1"], "s"));
    assert_eq!(b[0].event.enriched.as_deref(), Some(&answers));
}

#[tokio::test]
async fn a_body_that_a_later_program_cannot_read_is_a_dead_letter_and_not_stuck() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    keep(&journal, "2", "k").await;
    tamper(&journal, "UPDATE event SET compression = 'application/x-unheard-of' WHERE id = 1").await;
    drop(journal);
    let journal = open(&folder);
    assert_eq!(names(&claim(&journal, "a", 1).await), ["2"]);
    let dead = reader(&folder).list(&Filter::default(), &ListPage::default()).unwrap();
    assert_eq!(dead[0].state, RowState::Dead);
    assert!(dead[0].reason.as_deref().unwrap().contains("cannot be read"), "{:?}", dead[0].reason);
}

#[tokio::test]
async fn order_attempts_and_numbers_go_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for (id, key) in [("1", "k"), ("2", "k"), ("3", "other")] {
        keep(&journal, id, key).await;
    }
    let first = claim(&journal, "a", 2).await;
    journal.attempted(first[0].id, attempts(2), "no");
    journal.end(first[1].id, Outcome::Delivered.into());
    drop(journal);
    let journal = open(&folder);
    let again = claim(&journal, "a", 1).await;
    assert_eq!((names(&again), again[0].used.attempts, again[0].id), (vec!["1"], 2, first[0].id));
    keep(&journal, "4", "k").await;
    journal.end(again[0].id, Outcome::Delivered.into());
    assert_eq!(names(&claim(&journal, "a", 1).await), ["2"]);
    within(append(&journal, entry("3", "other", true)).await).await;
    assert_eq!(names(&claim(&journal, "a", 0).await), [""; 0]);
    let rows = reader(&folder).list(&Filter::default(), &ListPage::default()).unwrap();
    let ids: Vec<_> = rows.iter().map(|row| (row.id.to_string(), row.copies)).collect();
    assert_eq!(
        ids,
        [("1.0".into(), 0), ("2.0".into(), 0), ("3.0".into(), 1), ("4.0".into(), 0)] as [(String, u64); 4]
    );
}

#[tokio::test]
async fn a_retried_dead_letter_waits_on_after_a_restart_and_behind_an_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    keep(&journal, "2", "k").await;
    for _ in 0..2 {
        let claimed = claim(&journal, "a", 1).await;
        journal.end(claimed[0].id, Outcome::Dead("why".into()).into());
    }
    let retry = |id: &str| {
        let which = hands::one(DeliveryId::parse(id).unwrap());
        Change::Retry { which, out_of_order: false }
    };
    assert_eq!(journal.change(retry("2.0")).await.unwrap().changed.len(), 1);
    let retried = claim(&journal, "a", 1).await;
    assert!(retried[0].began.is_some(), "{retried:?}");
    drop(journal);
    let journal = open(&folder);
    let again = claim(&journal, "a", 1).await;
    assert_eq!((again[0].id, again[0].began), (retried[0].id, retried[0].began));
    drop(journal);
    let journal = open(&folder);
    assert_eq!(journal.change(retry("1.0")).await.unwrap().changed.len(), 1);
    let rows = reader(&folder).list(&Filter::default(), &ListPage::default()).unwrap();
    assert!(rows.iter().all(|row| row.ended.is_none()), "{rows:?}");
    let first = claim(&journal, "a", 1).await;
    assert_eq!(names(&first), ["1"]);
    journal.end(first[0].id, Outcome::Delivered.into());
    let last = claim(&journal, "a", 1).await;
    assert_eq!((last[0].id, last[0].began), (retried[0].id, retried[0].began));
}

const CHILD: &str = "OSNL_TEST_JOURNAL";

/// The killed process of the next test. Without the variable the test does nothing.
#[tokio::test]
async fn appends_until_it_is_killed() {
    let Some(file) = std::env::var_os(CHILD) else { return };
    let mut promised = std::fs::File::create(Path::new(&file).with_extension("promised")).unwrap();
    let options = SqliteOptions::new(file).bounded(|bounds| bounds.allow_volatile = true);
    let journal = SqliteJournal::open(options, Arc::default()).unwrap();
    for round in 0.. {
        let mut receipts = Vec::new();
        for n in 0..50 {
            let id = format!("{}", round * 50 + n);
            receipts.push((append(&journal, entry(&id, &format!("k{}", n % 7), false)).await, id));
        }
        for (receipt, id) in receipts {
            assert_eq!(receipt.await, Settle::Acknowledge);
            writeln!(promised, "{id}").unwrap();
        }
        for claimed in journal.claim("a", ClaimLimits::in_order(5)).await {
            journal.end(claimed.id, Outcome::Delivered.into());
        }
    }
}

#[tokio::test]
async fn nothing_that_was_promised_is_missing_after_a_kill() {
    for _ in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let file = options(&folder).path;
        let mut child = Process::new(std::env::current_exe().unwrap())
            .args(["--exact", "sqlite::tests::restart::appends_until_it_is_killed"])
            .env(CHILD, &file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let promised = || std::fs::read_to_string(file.with_extension("promised")).unwrap_or_default();
        osnl_testkit::wait_until(Duration::from_secs(60), "some are promised", || {
            promised().lines().count() > 300
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let said = promised();
        // The last line may be incomplete.
        let promised: BTreeSet<String> =
            said.lines().take(said.matches('\n').count()).map(str::to_owned).collect();
        let journal = open(&folder);
        let reader = reader(&folder);
        let mut kept = BTreeSet::new();
        let mut page = ListPage { limit: 1000, ..ListPage::default() };
        loop {
            let rows = reader.list(&Filter::default(), &page).unwrap();
            let Some(last) = rows.last() else { break };
            page.after = Some(last.id);
            kept.extend(
                rows.into_iter().filter_map(|row| Some(row.message_id?.trim_start_matches('m').to_owned())),
            );
        }
        assert!(promised.is_subset(&kept), "{:?}", promised.difference(&kept).collect::<Vec<_>>());
        consistent(&folder);
        drop(journal);
    }
}

fn consistent(folder: &TempDir) {
    let connection = rusqlite::Connection::open(options(folder).path).unwrap();
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let wrong = "SELECT count(*) FROM (SELECT action, key, count(*) FILTER (WHERE state = 1) AS heads, \
                 min(id) FILTER (WHERE state = 1) = min(id) AS first FROM delivery WHERE state <= 1 \
                 GROUP BY action, key HAVING heads <> 1 OR NOT first)";
    assert_eq!(one(wrong), 0);
    let miscounted = "SELECT count(*) FROM (SELECT action, state, count(*) AS n FROM delivery GROUP BY action, state) \
                      LEFT JOIN tally USING (action, state) WHERE n IS NOT tally.count";
    assert_eq!(one(miscounted), 0);
    assert_eq!(
        connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap(),
        "ok"
    );
}

#[test]
fn no_question_on_the_way_of_a_message_scans() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder));
    let connection = rusqlite::Connection::open(options(&folder).path).unwrap();
    let plan = |sql: &str| {
        let mut select = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let parameters = select.parameter_count();
        let rows = select
            .query_map(rusqlite::params_from_iter((0..parameters).map(|_| 1)), |row| row.get::<_, String>(3))
            .unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    };
    for (sql, index) in [
        (turn::IN_LANE, "COVERING INDEX delivery_lane (lane=?)"),
        (turn::FIRST_WAITING, "COVERING INDEX delivery_lane (lane=? AND state=?)"),
        (turn::TAKEN, "COVERING INDEX delivery_lane (lane=? AND state=?)"),
        (load::READY, "COVERING INDEX delivery_ready (action=? AND due=?)"),
        (load::READY_NEWEST, "COVERING INDEX delivery_ready (action=? AND due=?)"),
        (load::READY_FROM, "COVERING INDEX delivery_ready (action=? AND due=? AND rowid>?)"),
        (change::READY_BEHIND, "COVERING INDEX delivery_lane (lane=? AND state=? AND rowid>?)"),
        (deferred::DEFERRED, "COVERING INDEX delivery_deferred"),
        (change::EFFECTS, "INDEX delivery_done (ended>?)"),
        (load::DUE, "COVERING INDEX delivery_ready (action=? AND due>? AND due<?)"),
        (load::NEXT_DUE, "COVERING INDEX delivery_ready (action=? AND due>?)"),
        ("SELECT id FROM event WHERE identity = ?", "INDEX event_identity (identity=?)"),
        ("SELECT max(id) FROM event WHERE id <= ?1 >> 16", "INTEGER PRIMARY KEY (rowid<?)"),
        (
            "SELECT id FROM delivery WHERE state >= 4 AND ended < ?1 ORDER BY ended LIMIT ?2",
            "INDEX delivery_done (ended<?)",
        ),
        (prune::DEAD_BY_CAUSE, "COVERING INDEX delivery_dead (holds_key=?)"),
        (prune::OLDEST_OF_CAUSE, "COVERING INDEX delivery_dead (holds_key=? AND action=? AND cause=?)"),
    ] {
        let plan = plan(sql);
        assert!(
            plan.contains(index) && !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"),
            "{sql}\n{plan}"
        );
    }
}

#[tokio::test]
async fn no_statement_is_planned_anew_for_other_values() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for n in 0..20 {
        keep(&journal, &format!("m{n}"), &format!("k{}", n % 5)).await;
    }
    for _ in 0..4 {
        let claimed = claim(&journal, "a", 5).await;
        claimed.into_iter().for_each(|claimed| journal.end(claimed.id, Outcome::Delivered.into()));
    }
    let (told, planned) = oneshot::channel();
    journal.send(SqliteCommand::Do(Box::new(move |connection| {
        let _ = told.send(planned_again(connection));
    })));
    assert_eq!(within(planned).await.unwrap(), [0; 6]);
    // A connection without the option plans again.
    let other = rusqlite::Connection::open(options(&folder).path).unwrap();
    for n in 0..20 {
        for sql in [work::SAME, turn::IN_LANE, turn::FIRST_WAITING] {
            other.prepare_cached(sql).unwrap().exists([n]).unwrap();
        }
        other.prepare_cached(load::READY).unwrap().exists(rusqlite::params!["a", n]).unwrap();
        let update = rusqlite::params![-n, 4, n, "no such row", n, "", n];
        other.prepare_cached(work::END).unwrap().execute(update).unwrap();
    }
    assert_ne!(planned_again(&other), [0; 6]);
}

fn planned_again(connection: &rusqlite::Connection) -> [i32; 6] {
    let statements =
        [work::SAME, turn::IN_LANE, turn::FIRST_WAITING, turn::MAKE_READY, load::READY, work::END];
    statements
        .map(|sql| connection.prepare_cached(sql).unwrap().get_status(rusqlite::StatementStatus::RePrepare))
}

#[tokio::test]
async fn a_start_reads_the_latest_rows_about_resources() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    tamper(&journal, "INSERT INTO seen VALUES ('a', 3, 'A'), ('b', 1, 'B'), ('c', 2, 'C')").await;
    let names = |most: usize| {
        reader(&folder).seen(most).unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(6), ["b", "c", "a"]);
    assert_eq!(names(5), ["c", "a"]);
    assert_eq!(names(1), [""; 0]);
}
