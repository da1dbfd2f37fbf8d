use super::*;

#[tokio::test]
async fn what_has_ended_leaves_after_its_retention_and_its_message_with_the_last() {
    let stage = Stage::new();
    let a = stage.member("a");
    let mut two = entry("1", "k", false);
    two.deliveries.push(NewDelivery::new("r", "b", Some("k".into())));
    assert_eq!(within(append(&a, two.clone()).await).await, Settle::Acknowledge);
    keep(&a, "2", "other").await;
    keep(&a, "3", "third").await;
    for claimed in claimable(&a, "a").await {
        let outcome = match names(std::slice::from_ref(&claimed))[0] {
            "3" => Outcome::Dead("why".into()),
            _ => Outcome::Delivered,
        };
        a.attempted(claimed.id, osnl_journal::conformance::attempts(1), "no");
        a.end(claimed.id, outcome.into());
    }
    within(a.check()).await;
    assert_eq!(stage.tally(), "1|1 3|1 4|2");
    let rows = "SELECT (SELECT count(*) FROM osnl_arrival), (SELECT count(*) FROM osnl_attempt)";
    let check = async |expected: &str, tally: &str| {
        stage.pass(Duration::from_secs(1));
        within(a.check()).await;
        assert_eq!((&*stage.rows(rows), &*stage.tally()), (expected, tally));
    };
    check("3|3", "1|1 3|1 4|2").await;
    stage.rows("UPDATE osnl_delivery SET ended = ended - 8::bigint * 86400000");
    check("2|1", "1|1 3|1").await;
    // The other delivery of the first message is open, so a copy is still recognized.
    assert_eq!(within(append(&a, two).await).await, Settle::Acknowledge);
    // After its retention, a message with the same id is new.
    keep(&a, "2", "other").await;
    assert_eq!(stage.rows("SELECT unique_id FROM osnl_arrival ORDER BY id"), "1\n3\n2");
}

#[tokio::test]
async fn a_message_that_was_left_without_deliveries_leaves_too() {
    let stage = Stage::new();
    let a = stage.member("a");
    keep(&a, "1", "k").await;
    keep(&a, "2", "k").await;
    stage.rows("DELETE FROM osnl_delivery; DELETE FROM osnl_tally; UPDATE osnl_arrival SET received = 4000000000000 WHERE unique_id = '2'");
    stage.pass(Duration::from_secs(1));
    within(a.check()).await;
    assert_eq!(stage.rows("SELECT unique_id FROM osnl_arrival"), "2");
}

#[tokio::test]
async fn objects_beyond_the_bound_leave_the_oldest_first() {
    let stage = Stage::new();
    let a = stage.member("a");
    stage.rows(
        "INSERT INTO osnl_object (name, at, body) SELECT n::text::bytea, \
         floor(extract(epoch FROM now()) * 1000)::bigint + n, '{}' FROM generate_series(1, 100007) AS n",
    );
    stage.pass(Duration::from_secs(1));
    within(a.check()).await;
    let left = "SELECT count(*), min(at) = max(at) - 99999 FROM osnl_object";
    assert_eq!(stage.rows(left), "100000|t");
}
