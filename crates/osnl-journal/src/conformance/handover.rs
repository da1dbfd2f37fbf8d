use std::time::SystemTime;

use tokio::time::Instant;

use super::{StoreRig, append, claim, entry, given_up, names, waits_since, within};
use crate::{End, Handover, NewDelivery, Outcome, Settle, UsedLimits};

pub(crate) async fn a_given_up_delivery_becomes_one_of_another_action_once(open: impl Fn() -> StoreRig) {
    let fallback = Handover::to("b");
    let rig = open();
    let journal = &*rig.journal;
    let mut several = entry("1", "k", false);
    several.deliveries[0].resource = Some(0);
    several.deliveries.push(NewDelivery { resource: Some(1), ..NewDelivery::new("r", "a", None) });
    several.deliveries.push(NewDelivery::new("s", "a", Some("other".into())));
    several.deliveries.push(NewDelivery::new("s", "b", Some("other".into())));
    let receipt = append(journal, several).await;
    let _behind = append(journal, entry("2", "k", false)).await;
    let claimed = claim(journal, "a", 3).await;
    let ended = (Instant::now(), SystemTime::now());
    for claimed in &claimed {
        journal.end(claimed.id, given_up("why").handed_to(fallback.clone()));
        journal.end(claimed.id, given_up("why").handed_to(fallback.clone()));
    }
    let made = claim(journal, "b", 3).await;
    let about: Vec<_> =
        made.iter().map(|c| (&*c.event.rule, c.key.as_deref(), c.event.resource, c.used)).collect();
    let new = UsedLimits::default();
    let mut about_sorted = about.clone();
    about_sorted.sort_by_key(|(rule, _, resource, _)| (*rule, *resource));
    let expected =
        [("r", Some("k"), Some(0), new), ("r", None, Some(1), new), ("s", Some("other"), None, new)];
    assert_eq!(about_sorted, expected);
    let mut of_fallback = made.iter().filter(|c| &*c.event.rule == "r");
    assert!(of_fallback.all(|c| waits_since(c, ended)), "none waited for its target before");
    assert!(made.iter().all(|c| &*c.event.action == "b" && c.event.idempotency_key().contains("/b")));
    assert_eq!(names(&claim(journal, "a", 1).await), ["2"], "the key is free");
    for made in made {
        journal.end(made.id, Outcome::Delivered.into());
    }
    assert_eq!(within(receipt).await, Settle::Acknowledge);
    assert_eq!(rig.counters.dead.get(), 3);
    // A delivered or returned delivery is not handed over.
    journal.end(claimed[0].id, given_up("late").handed_to(fallback.clone()));
    assert_eq!(names(&claim(journal, "b", 0).await), [""; 0]);
}

pub(crate) async fn a_fallback_delivery_keeps_the_order_of_its_action(open: impl Fn() -> StoreRig) {
    let fallback = Handover::to("b");
    let rig = open();
    let journal = &*rig.journal;
    let mut first = entry("1", "k", false);
    first.deliveries[0].action = "b".into();
    let _receipts = (append(journal, first).await, append(journal, entry("2", "k", false)).await);
    let failing = claim(journal, "a", 1).await;
    journal.end(failing[0].id, End::from(Outcome::DeadHoldingKey("why".into())).handed_to(fallback.clone()));
    let b = claim(journal, "b", 1).await;
    assert_eq!(names(&b), ["1"]);
    journal.end(b[0].id, Outcome::Delivered.into());
    assert_eq!(names(&claim(journal, "b", 1).await), ["2"]);
}
