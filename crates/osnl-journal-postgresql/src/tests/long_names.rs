use osnl_model::bounded_id;

use super::*;

async fn deliver_all(member: &PostgresJournal) -> Vec<String> {
    let mut delivered = Vec::new();
    loop {
        let claimed = claimable(member, "a").await;
        if claimed.is_empty() {
            return delivered;
        }
        assert_eq!(claimed.len(), 1, "they have one key");
        delivered.extend(names(&claimed).into_iter().map(str::to_owned));
        member.end(claimed[0].id, Outcome::Delivered.into());
        within(member.check()).await;
    }
}

#[tokio::test]
async fn a_message_with_long_names_is_delivered_and_keeps_its_order() {
    let stage = Stage::new();
    let member = stage.member("a");
    let key = long(1);
    let (first, second) = (long(2), long(3));
    keep(&member, &first, &key).await;
    keep(&member, &second, &key).await;
    keep(&member, &first, &key).await;
    keep(&member, "other", &format!("{}x", &key[..5999])).await;
    let keys =
        "SELECT count(DISTINCT key), min(length(key)) > 900, max(length(key)) < 1000 FROM osnl_delivery";
    assert_eq!(stage.rows(keys), "2|t|t");
    let lanes = "SELECT count(DISTINCT lane) FROM osnl_delivery";
    assert_eq!(stage.rows(lanes), "2");
    let claimed = claimable(&member, "a").await;
    // A long id is stored as its digest.
    assert_eq!(names(&claimed), [&*bounded_id(&*first), "other"]);
    claimed.iter().for_each(|claimed| member.end(claimed.id, Outcome::Delivered.into()));
    within(member.check()).await;
    assert_eq!(deliver_all(&member).await, [bounded_id(&*second)]);
}

#[tokio::test]
async fn an_event_type_of_canaries_with_a_long_id_is_delivered() {
    let stage = Stage::new();
    let member = stage.member("a");
    let mut new = entry(&long(1), "k", false);
    let mut notification = (*new.notification).clone();
    notification.event_type = Some("osnl.canary".to_owned());
    new.notification = notification.into();
    assert_eq!(within(append(&member, new).await).await, Settle::Acknowledge);
    assert_eq!(deliver_all(&member).await.len(), 1);
}

#[tokio::test]
async fn a_long_object_is_known_by_its_name() {
    let stage = Stage::new();
    let member = stage.member("a");
    keep(&member, "m", "k").await;
    let claimed = claimable(&member, "a").await;
    let (one, other) = (long(1), format!("{}x", &long(1)[..5999]));
    let learnt = LearntFacts { objects: vec![(one.clone(), "{}".to_owned())], ..Default::default() };
    within(member.enriched(claimed[0].id, &Default::default(), learnt)).await;
    assert_eq!(within(member.known(&one)).await.as_deref(), Some("{}"));
    assert_eq!(within(member.known(&other)).await, None);
}
