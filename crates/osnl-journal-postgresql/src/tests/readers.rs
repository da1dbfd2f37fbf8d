use super::*;

#[tokio::test]
async fn a_reader_that_was_stopped_appends_nothing_behind_its_successor() {
    let stage = Stage::new();
    let (a, b) = (stage.member("a"), stage.member("b"));
    keep(&a, "1", "k").await;
    keep(&b, "2", "k").await;
    // The broker redelivers messages that the former reader had received.
    for id in ["3", "4"] {
        assert_eq!(within(append(&a, entry(id, "k", false)).await).await, Settle::Resubscribe);
    }
    let unreadable = a.set_aside(ReceivedMessage::sample("\u{1}", false), "no JSON".into());
    assert_eq!(within(unreadable).await, Settle::Resubscribe);
    assert_eq!(a.shared.counters.quarantined.get(), 0);
    keep(&b, "3", "k").await;
    a.begin_reading("neutron", "osnl");
    let origin = ReceivedMessage::sample("", false).origin;
    a.begin_reading(&origin.listener, &origin.queue);
    keep(&a, "4", "k").await;
    assert_eq!(within(append(&b, entry("5", "k", false)).await).await, Settle::Resubscribe);
    let order = stage.rows("SELECT unique_id, epoch FROM osnl_arrival ORDER BY id");
    assert_eq!(order, "1|1\n2|2\n3|2\n4|3");
    for expected in ["1", "2", "3", "4"] {
        let claimed = claimable(&a, "a").await;
        assert_eq!(names(&claimed), [expected]);
        a.end(claimed[0].id, Outcome::Delivered.into());
    }
}

/// Members of a consumer group read one queue at once, each its own partitions; a rebalance may move a
/// partition.
#[tokio::test]
async fn each_partition_of_a_group_has_a_reader_of_its_own() {
    let stage = Stage::new();
    let (a, b) = (stage.member("a"), stage.member("b"));
    let of = |partition: &str, id: &str| {
        let mut new = entry(id, "k", false);
        Arc::make_mut(&mut new.received).noted.partition = Some(partition.into());
        new
    };
    let listener = ReceivedMessage::sample("", false).origin.listener;
    for (member, partition, id) in [(&a, "t/0", "1"), (&b, "t/1", "2"), (&a, "t/0", "3"), (&b, "t/1", "4")] {
        let kept = within(append(member, of(partition, id)).await).await;
        assert_eq!(kept, Settle::Acknowledge, "{id}");
    }
    // The group gives the partition to the other member, which reads one message again.
    b.begin_reading(&listener, "t/0");
    assert_eq!(within(append(&b, of("t/0", "3")).await).await, Settle::Acknowledge);
    assert_eq!(b.shared.counters.duplicates.get(), 1);
    assert_eq!(within(append(&a, of("t/0", "5")).await).await, Settle::Resubscribe);
    a.begin_reading(&listener, "t/0");
    assert_eq!(within(append(&a, of("t/0", "5")).await).await, Settle::Acknowledge);
    assert_eq!(within(append(&b, of("t/1", "6")).await).await, Settle::Acknowledge);
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_arrival"), "6");
}

#[tokio::test]
async fn a_refused_message_takes_no_place() {
    let stage = Stage::new();
    let (a, b) = (stage.options("a"), stage.member("b"));
    let a = PostgresJournal::open(a.bounded(|bounds| bounds.max_pending = 2), Arc::default()).unwrap();
    keep(&a, "1", "k").await;
    keep(&b, "2", "k").await;
    for id in ["3", "4", "5"] {
        assert_eq!(within(append(&a, entry(id, "k", false)).await).await, Settle::Resubscribe);
    }
    let claimed = claimable(&b, "a").await;
    assert_eq!(names(&claimed), ["1"]);
    stage.pass(Duration::from_secs(1));
    within(a.check()).await;
    assert!(a.reserve(&["a".into()], 1).now_or_never().is_none());
    b.end(claimed[0].id, Outcome::Delivered.into());
    within(b.check()).await;
    stage.pass(Duration::from_secs(1));
    within(a.check()).await;
    assert_eq!(within(a.reserve(&["a".into()], 9)).await.places(), 1);
}

#[tokio::test]
async fn a_message_that_another_member_has_kept_attaches_to_it() {
    let stage = Stage::new();
    let (a, b) = (stage.member("a"), stage.member("b"));
    keep(&a, "1", "k").await;
    let again = append(&b, entry("1", "k", true)).await;
    assert_eq!(within(again).await, Settle::Acknowledge);
    assert_eq!(b.shared.counters.deduplicated.get(), 1);
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_arrival"), "1");
    assert_eq!(names(&claimable(&a, "a").await), ["1"]);
}

#[tokio::test]
async fn copies_that_come_together_are_one() {
    let stage = Stage::new();
    let a = stage.member("a");
    let paused = pause(&a);
    let mut receipts = Vec::new();
    for redelivered in [false, true, true] {
        receipts.push(append(&a, entry("1", "k", redelivered)).await);
        let mut nameless = entry("2", "other", redelivered);
        nameless.notification = Arc::default();
        receipts.push(append(&a, nameless).await);
    }
    drop(paused);
    for receipt in receipts {
        assert_eq!(within(receipt).await, Settle::Acknowledge);
    }
    assert_eq!(stage.rows("SELECT count(*), count(nameless) FROM osnl_arrival"), "2|1");
    assert_eq!(a.shared.counters.deduplicated.get(), 4);
    assert_eq!(claimable(&a, "a").await.len(), 2);
}

#[tokio::test]
async fn a_message_without_an_id_is_no_copy_of_one_that_has_ended_before_it() {
    let stage = Stage::new();
    let a = stage.member("a");
    let nameless = |redelivered| Entry { notification: Arc::default(), ..entry("1", "k", redelivered) };
    assert_eq!(within(append(&a, nameless(false)).await).await, Settle::Acknowledge);
    let claimed = claim(&a, "a", 1).await;
    let paused = pause(&a);
    a.end(claimed[0].id, Outcome::Delivered.into());
    let again = append(&a, nameless(true)).await;
    drop(paused);
    assert_eq!(within(again).await, Settle::Acknowledge);
    assert_eq!(claimable(&a, "a").await.len(), 1);
    assert_eq!(stage.tally(), "1|1 4|1");
}

#[tokio::test]
async fn keys_and_texts_may_have_any_characters() {
    let stage = Stage::new();
    let a = stage.member("a");
    for (id, key) in [("1", "k"), ("2", "K"), ("3", "k\0"), ("4", "k ")] {
        let mut new = entry(id, "any", false);
        new.deliveries[0].key = Some(key.into());
        new.deliveries[0].subject.name = Some("na\0me".into());
        assert_eq!(within(append(&a, new).await).await, Settle::Acknowledge);
    }
    let claimed = claim(&a, "a", 4).await;
    let keys: Vec<_> = claimed.iter().map(|claimed| claimed.key.as_deref().unwrap()).collect();
    assert_eq!(keys, ["k", "K", "k\0", "k "]);
    for claimed in claimed {
        a.attempted(claimed.id, osnl_journal::conformance::attempts(1), "an\0swer");
        a.end(claimed.id, Outcome::Dead("rea\0son".into()).into());
    }
    within(a.check()).await;
    assert_eq!(stage.tally(), "3|4");
    assert_eq!(
        stage.rows("SELECT DISTINCT reason, subject_name FROM osnl_delivery"),
        "rea\u{fffd}son|na\u{fffd}me"
    );
}
