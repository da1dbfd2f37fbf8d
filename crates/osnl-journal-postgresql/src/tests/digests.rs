//! Actions with a digest: one owner gathers all of their deliveries.

use osnl_journal::query::{Change, Filter, JournalChanges as _};
use osnl_journal::{End, Handover};

use super::*;
use crate::partition::PartitionNumber;

const DIGEST: &str = "digest";
const HOME: PartitionNumber = 45;

async fn owner_and_other(stage: &Stage) -> (PostgresJournal, PostgresJournal) {
    let member = |name| {
        let digests = [Arc::from(DIGEST)].into();
        PostgresJournal::open(Options { digests, ..stage.options(name) }, Arc::default()).unwrap()
    };
    let (a, b) = (member("a"), member("b"));
    for _ in 0..3 {
        stage.pass(Duration::from_secs(1));
        within(a.check()).await;
        within(b.check()).await;
    }
    let held = async |member: &PostgresJournal| {
        let (sender, receiver) = oneshot::channel();
        member.send(PostgresCommand::Do(Box::new(move |member| {
            let _ = sender.send(member.leases.partitions());
        })));
        receiver.await.unwrap()
    };
    assert_eq!((held(&a).await.len(), held(&b).await.len()), (32, 32));
    if held(&a).await.contains(&HOME) { (a, b) } else { (b, a) }
}

fn gathered(id: &str) -> Entry {
    let mut new = entry(id, id, false);
    (new.deliveries[0].action, new.deliveries[0].ordered) = (DIGEST.into(), false);
    new
}

async fn gather(member: &PostgresJournal, id: &str) {
    let mut new = gathered(id);
    let mut received = (*new.received).clone();
    received.origin.queue = member.options.name.as_str().into();
    new.received = received.into();
    assert_eq!(within(append(member, new).await).await, Settle::Acknowledge, "{id}");
}

fn sorted(claimed: &[ClaimedDelivery]) -> Vec<String> {
    let mut names: Vec<String> = names(claimed).into_iter().map(ToString::to_string).collect();
    names.sort();
    names
}

async fn change_all(member: &PostgresJournal, change: impl Fn(Filter) -> Change, action: &str) -> usize {
    let which = Filter { action: Some(action.into()), ..Filter::default() };
    let mut run = member.changing(change(which), false);
    let mut changed = 0;
    while let Some(some) = within(run.next()).await.unwrap() {
        changed += some.changed.len();
        assert_eq!(some.refused, []);
    }
    changed
}

fn partitions_of(stage: &Stage, action: &str) -> String {
    stage.rows(&format!(
        "SELECT count(DISTINCT partition), count(*) FROM osnl_delivery WHERE action = '{action}'"
    ))
}

#[tokio::test]
async fn one_owner_gathers_all_deliveries_of_a_digest_and_a_take_over_gathers_them_all_again() {
    let stage = Stage::new();
    let (owner, other) = owner_and_other(&stage).await;
    for n in 10..18 {
        gather(if n % 2 == 0 { &owner } else { &other }, &n.to_string()).await;
    }
    assert_eq!(names(&claimable(&other, DIGEST).await), [""; 0]);
    let claimed = claimable(&owner, DIGEST).await;
    assert_eq!(sorted(&claimed), ["10", "11", "12", "13", "14", "15", "16", "17"]);
    // Two deliveries are in a digest that has been sent, one has failed, five are being gathered.
    claimed[..2].iter().for_each(|sent| owner.end(sent.id, Outcome::Delivered.into()));
    let retry = AttemptRetry {
        due: Instant::now(),
        used: osnl_journal::conformance::attempts(1),
        answer: "no".into(),
    };
    owner.retry_at(claimed[2].id, retry);
    within(owner.check()).await;
    let paused = pause(&owner);
    stage.pass(Duration::from_secs(1));
    within(other.check()).await;
    gather(&other, "18").await;
    stage.pass(LEASE);
    let again = claimable(&other, DIGEST).await;
    let mut expected = sorted(&claimed[2..]);
    expected.push("18".into());
    assert_eq!(sorted(&again), expected, "what was sent is not sent again, and nothing is missing");
    again.iter().for_each(|sent| other.end(sent.id, Outcome::Delivered.into()));
    drop(paused);
    // The former owner's claims have ended, and their outcomes are not recorded.
    claimed.iter().for_each(|late| owner.end(late.id, Outcome::Dead("late".into()).into()));
    within(owner.check()).await;
    within(other.check()).await;
    assert_eq!(stage.tally(), "4|9");
}

#[tokio::test]
async fn what_falls_back_or_is_moved_to_a_digest_is_gathered_with_the_rest() {
    let stage = Stage::new();
    let (owner, other) = owner_and_other(&stage).await;
    for n in 0..16 {
        keep(&owner, &n.to_string(), &n.to_string()).await;
    }
    keep(&owner, "behind", "0").await;
    for member in [&owner, &other] {
        let claimed = claimable(member, "a").await;
        assert!(claimed.len() > 2, "{claimed:?}");
        // Half of the deliveries are given up, and the digest takes them.
        for given_up in claimed.iter().step_by(2) {
            let to = Handover { ordered: false, ..Handover::to(DIGEST) };
            member.end(given_up.id, End::from(Outcome::Dead("no".into())).handed_to(to));
        }
        claimed.iter().skip(1).step_by(2).for_each(|back| member.end(back.id, Outcome::Returned.into()));
        within(member.check()).await;
    }
    let to = |action: &'static str| move |which| Change::Move { which, to: action.into() };
    let moved = change_all(&other, to(DIGEST), "a").await;
    within(owner.check()).await;
    let all = claimable(&owner, DIGEST).await;
    assert!(all.len() == 17 && moved > 4, "{moved}: {all:?}");
    assert_eq!((partitions_of(&stage, DIGEST).as_str(), claimable(&other, DIGEST).await.len()), ("1|17", 0));

    // After the move, each delivery has the lane of its resource again.
    all.iter().for_each(|back| owner.end(back.id, Outcome::Returned.into()));
    within(owner.check()).await;
    assert_eq!(change_all(&other, to("plain"), DIGEST).await, 17);
    let mut claimed = claimable(&owner, "plain").await;
    claimed.extend(claimable(&other, "plain").await);
    assert_eq!(
        (claimed.len(), stage.rows("SELECT count(*) FROM osnl_delivery WHERE state = 0")),
        (16, "1".into())
    );
    stage.tally();
}

/// The action had no digest before, or has none in another daemon's configuration.
#[tokio::test]
async fn what_was_kept_for_the_action_before_stays_with_its_owners_and_is_delivered() {
    let stage = Stage::new();
    let (owner, other) = owner_and_other(&stage).await;
    let before = |id: &str| {
        let mut new = gathered(id);
        new.deliveries[0].ordered = true;
        new
    };
    for n in 10..26 {
        assert_eq!(within(append(&owner, before(&n.to_string())).await).await, Settle::Acknowledge);
    }
    for n in 26..30 {
        gather(&other, &n.to_string()).await;
    }
    let (of_owner, of_other) = (claimable(&owner, DIGEST).await, claimable(&other, DIGEST).await);
    let is_new = |claimed: &&ClaimedDelivery| names(std::slice::from_ref(claimed))[0] >= "26";
    assert_eq!(of_owner.iter().filter(is_new).count(), 4);
    assert!(of_other.len() > 2 && of_owner.len() + of_other.len() == 20, "{of_other:?}");
    for (member, claimed) in [(&owner, &of_owner), (&other, &of_other)] {
        claimed.iter().for_each(|claimed| member.end(claimed.id, Outcome::Dead("no".into()).into()));
        within(member.check()).await;
    }
    let retry = |which| Change::Retry { which, out_of_order: false };
    assert_eq!(change_all(&other, retry, DIGEST).await, 20);
    let again = (claimable(&owner, DIGEST).await.len(), claimable(&other, DIGEST).await.len());
    assert_eq!(again, (of_owner.len(), of_other.len()));
    stage.tally();
}
