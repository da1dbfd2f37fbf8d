use super::*;
use crate::NewDelivery;

#[tokio::test]
async fn deliveries_of_one_event_share_it_when_they_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let mut bulk = entry("1", "k", false);
    let new = |n: u32| NewDelivery { resource: Some(n), ..NewDelivery::new("r", "a", Some(format!("k{n}"))) };
    bulk.deliveries = (0..600).map(new).collect();
    within(append(&journal, bulk).await).await;
    keep(&journal, "2", "other").await;
    drop(journal);

    let journal = open(&folder);
    let first = claim(&journal, "a", 250).await;
    let (message, read) = (first[0].event.received.clone(), first[0].event.notification.clone());
    let weak = Arc::downgrade(&read);
    let mut rest = first;
    while rest.len() < 601 {
        let more = claim(&journal, "a", (601 - rest.len()).min(250)).await;
        rest.extend(more);
    }
    let (others, same): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|claimed| claimed.event.resource.is_none());
    assert_eq!((names(&others), same.len()), (vec!["2"], 600));
    for claimed in &same {
        assert!(
            Arc::ptr_eq(&claimed.event.notification, &read) && Arc::ptr_eq(&claimed.event.received, &message)
        );
    }
    drop((message, read));
    assert!(weak.upgrade().is_some());
    for claimed in same {
        journal.end(claimed.id, Outcome::Delivered.into());
    }
    assert!(weak.upgrade().is_none(), "nothing keeps it beyond its deliveries");
}
