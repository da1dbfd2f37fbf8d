use std::sync::Mutex;
use std::time::SystemTime;

use osnl_core::epoch::from_millis;
use osnl_journal::query::{JournalQueries as _, Tally};
use osnl_journal::shared::{HeldTarget, SharedJournal as _};

use super::changes::halves;
use super::*;

#[tokio::test]
async fn work_of_a_silent_member_is_taken_over_after_a_lease_and_not_before() {
    let stage = Stage::new();
    let (a, b) = (stage.member("a"), stage.member("b"));
    keep(&a, "1", "k").await;
    keep(&a, "2", "k").await;
    assert_eq!(names(&claim(&a, "a", 1).await), ["1"]);
    let paused = pause(&a);
    stage.pass(Duration::from_secs(1));
    within(b.check()).await;
    stage.pass(LEASE - Duration::from_millis(1));
    assert_eq!(names(&claimable(&b, "a").await), [""; 0], "it has not been seen unchanged for a whole lease");
    stage.pass(Duration::from_secs(1));
    // The claimed delivery is repeated before the next one of its resource.
    let again = claimable(&b, "a").await;
    assert_eq!(names(&again), ["1"]);
    b.end(again[0].id, Outcome::Delivered.into());
    assert_eq!(names(&claim(&b, "a", 1).await), ["2"]);
    assert_eq!(stage.tally(), "1|1 4|1");
    drop(paused);
}

#[tokio::test]
async fn a_member_that_was_paused_beyond_its_lease_records_nothing() {
    let stage = Stage::new();
    let (a, b) = (stage.member("a"), stage.member("b"));
    for id in ["1", "2", "3"] {
        keep(&a, id, "k").await;
    }
    keep(&a, "4", "other").await;
    let claimed = within(a.claim("a", ClaimLimits::in_order(1))).await;
    assert_eq!(names(&claimed), ["1"]);
    let lease = a.term(&[claimed[0].id]).unwrap();
    assert_eq!(lease.left(), LEASE);
    let paused = pause(&a);
    a.attempted(claimed[0].id, osnl_journal::conformance::attempts(7), "late");
    a.end(claimed[0].id, Outcome::Dead("late".into()).into());
    stage.pass(Duration::from_secs(1));
    within(b.check()).await;
    stage.pass(LEASE);
    assert!(a.claim("a", ClaimLimits::in_order(9)).now_or_never().is_none(), "its own lease has ended");
    assert_eq!(lease.left(), Duration::ZERO, "no request of it is begun");
    let again = claimable(&b, "a").await;
    assert_eq!(names(&again), ["1", "4"]);
    drop(paused);
    within(a.check()).await;
    assert_eq!(stage.tally(), "0|2 1|2", "the late end is not recorded");
    assert_eq!(stage.rows("SELECT max(attempts), count(reason) FROM osnl_delivery"), "0|0");
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_attempt"), "0");
    assert_eq!(lease.left(), Duration::ZERO);
    assert_eq!(b.term(&[again[0].id]).unwrap().left(), LEASE);
    assert!(fence(&again[0]) > fence(&claimed[0]));
    assert!(a.shared.claimable.in_memory().is_empty(), "nothing of it is left in memory");
    for claimed in again {
        b.end(claimed.id, Outcome::Delivered.into());
    }
    assert_eq!(names(&claim(&b, "a", 1).await), ["2"]);
    assert_eq!(stage.tally(), "0|1 1|1 4|2");
    assert_eq!((a.shared.counters.dead.get(), b.shared.counters.delivered.get()), (0, 2));
}

#[tokio::test]
async fn an_attempt_ends_when_its_partition_is_lost_though_other_leases_are_renewed() {
    let stage = Stage::new();
    let a = stage.member("a");
    keep(&a, "1", "k").await;
    keep(&a, "2", "other").await;
    let claimed = claim(&a, "a", 2).await;
    let leases: Vec<_> = claimed.iter().map(|claimed| a.term(&[claimed.id]).unwrap()).collect();
    let left = || leases.iter().map(|lease| lease.left()).collect::<Vec<_>>();
    assert_eq!((names(&claimed), left()), (vec!["1", "2"], vec![LEASE, LEASE]));
    let of_first = "(SELECT d.partition FROM osnl_delivery d ORDER BY d.id LIMIT 1)";
    stage.rows(&format!(
        "UPDATE osnl_partition SET epoch = epoch + 1, token = 'b', beat = beat + 1 WHERE id = {of_first}"
    ));
    stage.pass(Duration::from_secs(6));
    // The first check finds the lost lease, and the second renews the others.
    within(a.check()).await;
    within(a.check()).await;
    assert_eq!(left(), [Duration::ZERO, LEASE]);
    // The partition was given back and taken again: the claim still belongs to an earlier epoch.
    stage.rows("UPDATE osnl_partition SET token = NULL, beat = beat + 1 WHERE token = 'b'");
    stage.pass(Duration::from_secs(1));
    within(a.check()).await;
    assert_eq!(left()[0], Duration::ZERO);
    a.end(claimed[0].id, Outcome::Returned.into());
    within(a.check()).await;
    let again = claim(&a, "a", 1).await;
    assert_eq!(names(&again), ["1"]);
    assert!(a.term(&[again[0].id]).unwrap().left() > Duration::ZERO);
    assert!(fence(&again[0]) > fence(&claimed[0]), "no request has the fence of the lease that was lost");
}

#[tokio::test]
async fn an_outcome_of_an_earlier_epoch_is_dropped_by_its_own_member() {
    let stage = Stage::new();
    let a = stage.member("a");
    keep(&a, "1", "k").await;
    let claimed = claim(&a, "a", 1).await;
    // Another member takes the partition and gives it back at once.
    stage.rows("UPDATE osnl_partition SET epoch = epoch + 1, token = NULL, beat = beat + 1");
    stage.pass(Duration::from_secs(6));
    within(a.check()).await;
    stage.pass(Duration::from_secs(6));
    within(a.check()).await;
    assert_eq!(a.withdrawn("a"), [claimed[0].id]);
    a.end(claimed[0].id, Outcome::Delivered.into());
    within(a.check()).await;
    assert_eq!(stage.tally(), "1|1");
    assert_eq!(names(&claim(&a, "a", 1).await), ["1"]);
}

#[tokio::test]
async fn a_member_that_ends_gives_its_work_back_at_once() {
    let stage = Stage::new();
    let (a, b) = (stage.member("a"), stage.member("b"));
    keep(&a, "1", "k").await;
    assert_eq!(claim(&a, "a", 1).await.len(), 1);
    within(a.close()).await;
    stage.pass(Duration::from_secs(1));
    assert_eq!(names(&claimable(&b, "a").await), ["1"]);
    assert_eq!(stage.rows("SELECT name FROM osnl_member"), "b");
}

#[tokio::test]
async fn members_share_the_partitions_and_each_delivery_has_one_owner() {
    let stage = Stage::new();
    let (a, b) = halves(&stage).await;
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_partition GROUP BY token"), "32\n32");
    let expected: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    for name in &expected {
        keep(&a, name, name).await;
    }
    let (first, second) = (claimable(&a, "a").await, claimable(&b, "a").await);
    assert!(first.len() > 9 && second.len() > 9, "{} and {}", first.len(), second.len());
    let mut of_both: Vec<&str> = names(&first).into_iter().chain(names(&second)).collect();
    of_both.sort_by_key(|name| name.parse::<u32>().unwrap());
    assert_eq!(of_both, expected);
    for (member, claimed) in [(&a, first), (&b, second)] {
        claimed.iter().for_each(|claimed| member.end(claimed.id, Outcome::Delivered.into()));
        within(member.check()).await;
    }
    assert_eq!(stage.tally(), "4|40");
}

#[tokio::test]
async fn a_member_tells_the_others_which_targets_it_holds() {
    let stage = Stage::new();
    let (a, b) = (stage.member("a"), stage.member("b"));
    let held = HeldTarget {
        action: "roles".to_owned(),
        since: from_millis(1_790_000_000_123),
        reason: "503".to_owned(),
    };
    let holds = Arc::new(Mutex::new(vec![held.clone()]));
    let told = holds.clone();
    a.report_held(Box::new(move || told.lock().unwrap().clone()));
    let seen = async || {
        stage.pass(Duration::from_secs(1));
        within(a.check()).await;
        stage.pass(Duration::from_secs(1));
        within(b.check()).await;
        let members = within(b.numbers()).await.unwrap().members;
        members.into_iter().map(|member| (member.name, member.held)).collect::<Vec<_>>()
    };
    assert_eq!(seen().await, [("a".to_owned(), vec![held]), ("b".to_owned(), Vec::new())]);
    holds.lock().unwrap().clear();
    assert_eq!(seen().await, [("a".to_owned(), Vec::new()), ("b".to_owned(), Vec::new())]);
}

/// A sum over the daemons in Prometheus would count each delivery once per daemon.
#[tokio::test]
async fn the_shares_that_members_report_add_up() {
    let stage = Stage::new();
    let (a, b) = halves(&stage).await;
    for n in 0..20 {
        keep(&a, &n.to_string(), &n.to_string()).await;
    }
    let overviews = [within(a.numbers()).await.unwrap(), within(b.numbers()).await.unwrap()];
    let count = |tally: &[Tally]| tally.iter().map(|of| of.count).sum::<u64>();
    assert_eq!(overviews.each_ref().map(|found| count(&found.tally)), [20, 20]);
    let own = overviews.each_ref().map(|found| count(&found.own.as_ref().unwrap().tally));
    assert_eq!(own.iter().sum::<u64>(), 20);
    assert!(own.iter().all(|own| *own > 0), "{own:?}");
    assert_eq!(overviews.iter().filter(|found| found.own.as_ref().unwrap().reports_sums).count(), 1);
}

/// The first delivery of an empty lane is claimable with its append; another member's earlier delivery comes
/// before it.
#[tokio::test]
async fn what_another_member_has_appended_and_is_not_admitted_yet_keeps_its_place() {
    let stage = Stage::new();
    let (a, b) = (stage.member("a"), stage.member("b"));
    keep(&a, "0", "other").await;
    assert_eq!(stage.tally(), "1|1");
    let paused = pause(&a);
    keep(&b, "1", "k").await;
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_delivery WHERE state = -1"), "1");
    let second = entry("2", "k", false);
    let origin = &second.received.origin;
    a.begin_reading(&origin.listener, &origin.queue);
    let ((), ()) = tokio::join!(keep(&a, "2", "k"), async { drop(paused) });
    assert_eq!(names(&claimable(&a, "a").await), ["0", "1"]);
    assert_eq!(stage.tally(), "0|1 1|2");
}

#[tokio::test]
async fn a_fallback_delivery_has_a_number_though_its_arrival_has_65536() {
    let stage = Stage::new();
    let a = stage.member("a");
    let of = |n: u32| NewDelivery { resource: Some(n), ..NewDelivery::new("r", "a", Some(n.to_string())) };
    let many = Entry { deliveries: (0..2048).map(of).collect(), ..entry("1", "k", false) };
    assert_eq!(within(append(&a, many).await).await, Settle::Acknowledge);
    keep(&a, "2", "k").await;
    // The arrival's last number is taken, as if all others had been given up before.
    stage.rows("UPDATE osnl_delivery SET id = (arrival << 16) + 65535 WHERE key = '2047' RETURNING 1");
    for claimed in claim(&a, "a", 2).await.into_iter().take(2) {
        let end = End::from(Outcome::Dead("no".into()));
        a.end(claimed.id, end.handed_to(osnl_journal::Handover::to("b")));
    }
    let given = claim(&a, "b", 2).await;
    assert_eq!(names(&given), ["1", "1"]);
    assert_eq!(
        stage.rows("SELECT DISTINCT (id >> 16) - arrival, id & 65535 FROM osnl_delivery WHERE action = 'b' ORDER BY 2"),
        "1|0\n1|1"
    );
    // The second arrival has no reserved numbers, and the third has the next one.
    let (first, third) = ("(SELECT min(id) FROM osnl_arrival)", "(SELECT max(id) FROM osnl_arrival)");
    assert_eq!(stage.rows(&format!("SELECT {third} - {first}")), "2");
}

#[tokio::test]
async fn a_fallback_delivery_is_admitted_by_the_owner_of_its_lane() {
    let stage = Stage::new();
    let (a, b) = halves(&stage).await;
    let names_of: Vec<String> = (0..16).map(|n| n.to_string()).collect();
    for name in &names_of {
        keep(&a, name, name).await;
    }
    for member in [&a, &b] {
        for claimed in claimable(member, "a").await {
            let end = End::from(Outcome::Dead("why".into()));
            member.end(claimed.id, end.handed_to(osnl_journal::Handover::to("b")));
        }
        within(member.check()).await;
    }
    let (first, second) = (claimable(&a, "b").await, claimable(&b, "b").await);
    assert!(!first.is_empty() && !second.is_empty());
    assert_eq!(first.len() + second.len(), names_of.len());
    assert_eq!(stage.tally(), "1|16 3|16");
}

#[tokio::test]
async fn a_retry_waits_for_its_pause_at_most_whatever_the_former_owners_clock_said() {
    let stage = Stage::new();
    let a = stage.member("a");
    keep(&a, "1", "k").await;
    let claimed = claim(&a, "a", 1).await;
    let due = Instant::now() + Duration::from_secs(60);
    let used = osnl_journal::conformance::attempts(1);
    a.retry_at(claimed[0].id, AttemptRetry { due, used, answer: "no".into() });
    within(a.close()).await;
    stage.rows("UPDATE osnl_delivery SET due = due + 86400000");
    let _b = stage.member("b");
    let left = "SELECT due - extract(epoch FROM now()) * 1000 BETWEEN 50000 AND 61000 FROM osnl_delivery";
    assert_eq!(stage.rows(left), "t");
}

/// A machine that has just booted may be hours behind, until its clock is set.
#[tokio::test]
async fn a_retry_waits_for_its_pause_at_most_where_the_clock_was_behind_at_the_start() {
    let stage = Stage::new();
    let a = stage.member("a");
    keep(&a, "1", "k").await;
    let claimed = claim(&a, "a", 1).await;
    let used = osnl_journal::conformance::attempts(1);
    let due = Instant::now();
    a.retry_at(claimed[0].id, AttemptRetry { due, used, answer: "no".into() });
    within(a.close()).await;
    let started = SystemTime::now() - Duration::from_secs(2 * 3600);
    let b = PostgresJournal::open(Options { started, ..stage.options("b") }, Arc::default()).unwrap();
    assert_eq!(names(&claim(&b, "a", 1).await), ["1"]);
}

/// If the newest messages don't fit, a probe gets the newest of them: a message of 260 kB takes 24 MiB
/// decoded.
#[tokio::test]
async fn of_large_messages_the_newest_is_claimed_as_such() {
    let stage = Stage::new();
    let a = stage.member("a");
    let objects = vec![r#"{"":0}"#; 37_000].join(",");
    for n in 0..6 {
        let body = format!(r#"{{"_unique_id": "{n}", "event_type": "e", "payload": [{objects}]}}"#);
        let received = ReceivedMessage::sample(body, false);
        let notification = received.decode().unwrap().into();
        let deliveries = vec![NewDelivery::new("r", "a", Some(n.to_string()))];
        let entry = Entry { received: received.into(), notification, deliveries };
        assert_eq!(within(append(&a, entry).await).await, Settle::Acknowledge);
    }
    within(a.check()).await;
    let newest = ClaimLimits { newest: 1, ..ClaimLimits::default() };
    for n in ["5", "4"] {
        let claimed = within(a.claim("a", newest)).await;
        assert_eq!((names(&claimed), claimed[0].newest), (vec![n], true));
        a.end(claimed[0].id, Outcome::Delivered.into());
    }
}
