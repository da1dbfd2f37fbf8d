use osnl_core::metrics::Canary;
use osnl_journal::shared::SharedJournal as _;

use super::*;

fn sent(id: &str, action: &str) -> Entry {
    let body = format!(
        r#"{{"_unique_id": "u{id}", "message_id": "{id}", "event_type": "{}", "payload": {{}}}}"#,
        Canary::EVENT_TYPE
    );
    let received = ReceivedMessage::sample(body, false);
    let notification = received.decode().unwrap();
    let deliveries = vec![NewDelivery::new("r", "b", None), NewDelivery::new("r", action, None)];
    Entry { received: received.into(), notification: notification.into(), deliveries }
}

#[tokio::test]
async fn the_sender_learns_that_its_canary_has_come_back_from_any_member() {
    let stage = Stage::new();
    let (owner, sender) = (stage.member("owner"), stage.member("sender"));
    for (id, action) in [("c1", Canary::ACTION), ("c2", Canary::ACTION), ("c3", Canary::ACTION), ("c4", "a")]
    {
        let receipt = append(&sender, sent(id, action)).await;
        assert_eq!(within(receipt).await, Settle::Acknowledge, "{id}");
    }
    let ids = ["c1", "c2", "c3", "c4", "c5"].map(str::to_owned).to_vec();
    let returned = async || {
        let mut returned = within(sender.returned_canaries(ids.clone())).await.unwrap();
        returned.sort();
        returned
    };
    for action in ["a", "b"] {
        claimable(&owner, action).await.iter().for_each(|made| owner.end(made.id, Outcome::Delivered.into()));
    }
    within(owner.check()).await;
    assert_eq!(returned().await, [""; 0], "the deliveries of other actions say nothing");
    let claimed = claimable(&owner, Canary::ACTION).await;
    assert_eq!(claimed.len(), 3);
    owner.end(claimed[0].id, Outcome::NothingToDo.into());
    owner.end(claimed[1].id, Outcome::Dead("no".into()).into());
    within(owner.check()).await;
    assert_eq!(returned().await, ["c1"]);
    owner.end(claimed[2].id, Outcome::Delivered.into());
    within(owner.check()).await;
    assert_eq!(returned().await, ["c1", "c3"]);
    // The index serves the query only if both have the same condition.
    let condition = stage.rows("SELECT pg_get_indexdef('osnl_arrival_canary'::regclass)");
    assert!(condition.contains(&format!("'{}'", Canary::EVENT_TYPE)), "{condition}");
}
