//! Messages that PostgreSQL refuses to store.

use osnl_journal::shared::SharedJournal as _;
use osnl_journal::sqlite::{Bodies, UnreadableFilter};

use super::*;

/// Makes the database refuse rows of a table, as a DBA's trigger or a limit of PostgreSQL does.
fn refuse(stage: &Stage, table: &str, event: &str, condition: &str) {
    stage.rows(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'the row is poison' USING ERRCODE = '54000'; END $$",
    );
    stage.rows(&format!(
        "CREATE TRIGGER refuse BEFORE {event} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"
    ));
}

/// Appends messages, which the member commits together; returns how each was settled.
async fn keep_all(member: &PostgresJournal, ids: &[String]) -> Vec<Settle> {
    let paused = pause(member);
    let mut receipts = Vec::new();
    for id in ids {
        receipts.push(append(member, entry(id, "k", false)).await);
    }
    drop(paused);
    let mut settled = Vec::new();
    for receipt in receipts {
        settled.push(within(receipt).await);
    }
    settled
}

async fn delivered_in_order(member: &PostgresJournal) -> Vec<String> {
    let mut all = Vec::new();
    while let [one] = &claimable(member, "a").await[..] {
        all.extend(names(std::slice::from_ref(one)).into_iter().map(str::to_owned));
        member.end(one.id, Outcome::Delivered.into());
        within(member.look()).await;
    }
    all
}

fn numbered(poison: &[usize]) -> Vec<String> {
    (0..20).map(|n| if poison.contains(&n) { format!("poison{n}") } else { format!("m{n:02}") }).collect()
}

#[tokio::test]
async fn a_refused_message_is_set_aside_and_the_rest_keeps_its_order() {
    let stage = Stage::new();
    let options = Options { max_pending: 20, ..stage.options("a") };
    let member = PostgresJournal::open(options, Arc::default()).unwrap();
    refuse(&stage, "osnl_arrival", "INSERT", "NEW.unique_id LIKE 'poison%'");
    let ids = numbered(&[0, 7, 8]);
    assert_eq!(keep_all(&member, &ids).await, vec![Settle::Acknowledge; 20]);

    let found = within(member.quarantined(UnreadableFilter::default(), -1, 10, Bodies::Left)).await.unwrap();
    let reasons: Vec<&str> = found.iter().map(|found| found.reason.as_str()).collect();
    assert_eq!(reasons, ["PostgreSQL cannot store it: the row is poison (SQLSTATE 54000)"; 3]);
    let rest: Vec<String> = ids.iter().filter(|id| !id.starts_with("poison")).cloned().collect();
    assert_eq!(delivered_in_order(&member).await, rest);
    assert_eq!(stage.tally(), "4|17");
    // No place is taken any more.
    let more: Vec<String> = (20..40).map(|n| n.to_string()).collect();
    assert_eq!(keep_all(&member, &more).await, vec![Settle::Acknowledge; 20]);
}

#[tokio::test]
async fn a_message_that_is_refused_in_the_quarantine_too_stays_with_the_broker() {
    let stage = Stage::new();
    let member = stage.member("a");
    refuse(&stage, "osnl_arrival", "INSERT", "NEW.unique_id LIKE 'poison%'");
    refuse(&stage, "osnl_unreadable", "INSERT", "true");
    let ids = numbered(&[3]);
    let settled = keep_all(&member, &ids).await;
    for (id, settled) in ids.iter().zip(settled) {
        assert_eq!(settled, if id == "poison3" { Settle::Leave } else { Settle::Acknowledge }, "{id}");
    }
    assert_eq!(delivered_in_order(&member).await.len(), 19);
}

/// The cause is stored already: no message that comes is blamed for it.
#[tokio::test]
async fn what_cannot_be_admitted_holds_all_up_until_the_cause_is_gone() {
    let stage = Stage::new();
    let member = stage.member("a");
    keep(&member, "0", "k").await;
    // A member that meets the cause before the message comes would not take the message.
    let paused = pause(&member);
    let receipt = append(&member, entry("1", "k", false)).await;
    stage.rows("UPDATE osnl_delivery SET state = -1");
    refuse(&stage, "osnl_delivery", "UPDATE", "OLD.state = -1");
    drop(paused);
    let mut state = member.state();
    let failed = within(state.wait_for(|state| !state.takes_outcomes())).await.unwrap().clone();
    assert!(format!("{failed:?}").contains("the row is poison"), "{failed:?}");
    stage.rows("DROP TRIGGER refuse ON osnl_delivery");
    assert_eq!(within(receipt).await, Settle::Acknowledge);
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_unreadable"), "0");
}
