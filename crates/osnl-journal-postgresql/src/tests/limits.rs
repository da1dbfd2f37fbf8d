//! Large jobs, which the server ends, are done in parts.

use osnl_journal::query::{Bodies, JournalQueries as _, UnreadableFilter};

use super::bounds::left;
use super::unstorable::{hold, keep_all};
use super::*;

const MANY: usize = 9;

fn end_large(stage: &Stage, table: &str, (event, rows): (&str, &str)) {
    stage.rows(&format!(
        "CREATE FUNCTION end_large() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           IF (SELECT count(*) FROM written) > 3 THEN PERFORM pg_cancel_backend(pg_backend_pid()); END IF; \
           PERFORM 1; RETURN NULL; END $$; \
         CREATE TRIGGER end_large AFTER {event} ON {table} REFERENCING {rows} TABLE AS written \
         FOR EACH STATEMENT EXECUTE FUNCTION end_large()"
    ));
}

fn numbers() -> Vec<String> {
    (0..MANY).map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn a_group_that_the_server_ends_is_committed_in_parts() {
    let stage = Stage::new();
    let member = stage.member("a");
    end_large(&stage, "osnl_arrival", ("INSERT", "NEW"));
    assert_eq!(keep_all(&member, &numbers()).await, vec![Settle::Acknowledge; MANY]);
    let order = "SELECT string_agg(unique_id, ' ' ORDER BY id) FROM osnl_arrival";
    assert_eq!(stage.rows(order), numbers().join(" "));
    let aside = within(member.quarantined(UnreadableFilter::default(), -1, 1, Bodies::Left)).await;
    assert!(aside.unwrap().is_empty());
}

#[tokio::test]
async fn a_change_that_the_server_ends_is_made_in_parts() {
    let stage = Stage::new();
    let member = stage.member("a");
    for id in numbers() {
        keep(&member, &id, &id).await;
    }
    end_large(&stage, "osnl_delivery", ("UPDATE", "NEW"));
    let ids = within(member.select(&hold())).await.unwrap();
    let changed = within(member.change(&hold(), ids, false)).await.unwrap();
    assert_eq!((changed.changed.len(), stage.tally()), (MANY, format!("2|{MANY}")));
}

#[tokio::test]
async fn a_removal_that_the_server_ends_is_made_in_parts() {
    let stage = Stage::new();
    let folder = tempfile::tempdir().unwrap();
    let options = stage.options("a").bounded(|bounds| {
        bounds.retention = Duration::ZERO;
        bounds.max_dead = 1;
    });
    let archive = Some(folder.path().join("a"));
    let member = PostgresJournal::open(Options { archive, ..options }, Arc::default()).unwrap();
    for id in numbers() {
        keep(&member, &id, &id).await;
    }
    let claimed = claimable(&member, "a").await;
    end_large(&stage, "osnl_delivery", ("DELETE", "OLD"));
    // Four dead letters are beyond the bound, one more than leave at once.
    let (delivered, dead) = claimed.split_at(MANY - 5);
    delivered.iter().for_each(|claimed| member.end(claimed.id, Outcome::Delivered.into()));
    dead.iter().for_each(|claimed| member.end(claimed.id, Outcome::Dead("no".into()).into()));
    let removed = async {
        while stage.tally() != "3|1" {
            stage.pass(Duration::from_secs(1));
            within(member.check()).await;
        }
    };
    within(removed).await;
    assert_eq!(left(folder.path(), "a").len(), 4, "each record is written once");
}
