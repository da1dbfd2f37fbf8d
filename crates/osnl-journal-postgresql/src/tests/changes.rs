use std::collections::HashSet;

use osnl_journal::Handover;
use osnl_journal::query::{Change, ChangeOutcome, Filter, JournalChanges as _, RowState};

use super::*;

async fn ask(member: &PostgresJournal, change: Change, is_dry_run: bool) -> ChangeOutcome {
    let mut run = member.changing(change, is_dry_run);
    let mut all = ChangeOutcome::default();
    while let Some(some) = within(run.next()).await.unwrap() {
        all.changed.extend(some.changed);
        all.refused.extend(some.refused);
        all.under_way.extend(some.under_way);
    }
    all
}

fn retry() -> Change {
    Change::Retry { which: Filter::default(), out_of_order: false }
}

fn discard() -> Change {
    Change::Discard { which: Filter::default(), by: "me".into() }
}

fn dead() -> End {
    Outcome::Dead("no".into()).into()
}

pub(super) async fn halves(stage: &Stage) -> (PostgresJournal, PostgresJournal) {
    let (a, b) = (stage.member("a"), stage.member("b"));
    for _ in 0..2 {
        stage.pass(Duration::from_secs(1));
        within(a.check()).await;
        within(b.check()).await;
    }
    (a, b)
}

async fn claimed(stage: &Stage) -> (PostgresJournal, PostgresJournal, DeliveryId) {
    let (owner, other) = (stage.member("owner"), stage.member("other"));
    keep(&owner, "1", "k").await;
    keep(&owner, "2", "k").await;
    let id = claim(&owner, "a", 1).await[0].id;
    (owner, other, id)
}

#[tokio::test]
async fn dead_letters_of_all_owners_are_retried_from_any_member() {
    let stage = Stage::new();
    let (a, b) = halves(&stage).await;
    for n in 0..16 {
        keep(&a, &n.to_string(), &n.to_string()).await;
    }
    let mut shares = Vec::new();
    for member in [&a, &b] {
        let claimed = claimable(member, "a").await;
        shares.push(claimed.len());
        claimed.iter().for_each(|claimed| member.end(claimed.id, dead()));
        within(member.check()).await;
    }
    assert!(shares.iter().all(|share| *share > 2), "{shares:?}");
    assert_eq!(stage.tally(), "3|16");
    let foreseen = ask(&b, retry(), true).await;
    assert_eq!((foreseen.changed.len(), stage.tally().as_str()), (16, "3|16"));
    let of_one = Filter { ids: vec![foreseen.changed[0]], ..Filter::default() };
    let done = ask(&a, Change::Retry { which: of_one, out_of_order: false }, false).await;
    assert_eq!(done.changed, foreseen.changed[..1]);
    assert_eq!(stage.tally(), "1|1 3|15");
    assert_eq!(ask(&b, retry(), false).await.changed, foreseen.changed[1..]);
    assert_eq!(stage.tally(), "1|16");
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_change"), "0");
    assert_eq!(claimable(&a, "a").await.len() + claimable(&b, "a").await.len(), 16);
}

#[tokio::test]
async fn a_retry_keeps_the_order_of_its_resource() {
    let stage = Stage::new();
    let (a, b, first) = claimed(&stage).await;
    a.end(first, dead());
    let second = claim(&a, "a", 1).await[0].id;
    let refused = |later: DeliveryId| vec![(first, osnl_journal::query::overtaken(later))];
    assert_eq!(ask(&b, retry(), false).await.refused, refused(second), "it may be having an effect");
    a.end(second, Outcome::Delivered.into());
    within(a.check()).await;
    assert_eq!(ask(&b, retry(), true).await.refused, refused(second));
    let done = ask(&b, Change::Retry { which: Filter::default(), out_of_order: true }, false).await;
    assert_eq!(done.changed, [first]);

    // A dead letter that holds its lane has not been overtaken.
    let first = claim(&a, "a", 1).await[0].id;
    keep(&a, "3", "k").await;
    a.end(first, Outcome::DeadHoldingKey("no".into()).into());
    within(a.check()).await;
    stage.rows("DELETE FROM osnl_delivery WHERE state = 4");
    stage.rows("DELETE FROM osnl_tally WHERE state = 4");
    assert_eq!(stage.tally(), "0|1 3|1");
    assert_eq!(ask(&b, retry(), false).await.changed, [first]);
    assert_eq!(names(&claimable(&a, "a").await), ["1"]);
    a.end(first, Outcome::Delivered.into());
    assert_eq!(names(&claim(&a, "a", 1).await), ["3"]);
    assert_eq!(stage.tally(), "1|1 4|1");
}

#[tokio::test]
async fn a_retry_is_refused_where_retention_has_removed_later_effects() {
    let stage = Stage::new();
    let options = stage.options("a").bounded(|bounds| bounds.retention = Duration::ZERO);
    let a = PostgresJournal::open(options, Arc::default()).unwrap();
    keep(&a, "1", "k").await;
    keep(&a, "2", "k").await;
    a.end(claim(&a, "a", 1).await[0].id, dead());
    a.end(claim(&a, "a", 1).await[0].id, Outcome::Delivered.into());
    within(a.check()).await;
    for _ in 0..3 {
        stage.pass(Duration::from_secs(1));
        within(a.check()).await;
    }
    assert_eq!(stage.tally(), "3|1");
    let asked = ask(&a, retry(), false).await;
    assert_eq!(asked.refused[0].1, osnl_journal::query::FORGOTTEN);
    keep(&a, "3", "k").await;
    a.end(claim(&a, "a", 1).await[0].id, dead());
    within(a.check()).await;
    assert_eq!(ask(&a, retry(), false).await.changed.len(), 1, "it came later than what is forgotten");
}

#[tokio::test]
async fn a_delivery_under_way_is_discarded_when_its_attempt_has_failed() {
    for n in 0..3 {
        let stage = Stage::new();
        let (owner, other, id) = claimed(&stage).await;
        let which = Filter { ids: vec![id], ..Filter::default() };
        let change = Change::Discard { which, by: "me".into() };
        assert_eq!(ask(&other, change.clone(), true).await.under_way, [id]);
        assert_eq!(owner.withdrawn("a"), [], "a dry run calls nothing back");
        assert_eq!(ask(&other, change, false).await.under_way, [id]);
        assert_eq!(owner.withdrawn("a"), [id]);
        assert_eq!(stage.tally(), "0|1 1|1", "its lane does not go on");
        match n {
            0 => owner.end(id, Outcome::Returned.into()),
            1 => owner.end(id, dead().handed_to(Handover::to("b"))),
            _ => {
                let due = Instant::now() + Duration::from_secs(60);
                let used = osnl_journal::conformance::attempts(1);
                owner.retry_at(id, AttemptRetry { due, used, answer: "no".into() });
            }
        }
        assert_eq!(names(&claim(&owner, "a", 1).await), ["2"]);
        assert_eq!(stage.tally(), "1|1 6|1");
        assert_eq!(stage.rows("SELECT reason FROM osnl_delivery WHERE state = 6"), "discarded by me");
        assert_eq!(owner.shared.counters.dead.get(), 0);
        stage.pass(Duration::from_secs(1));
        within(other.check()).await;
        assert_eq!(stage.rows("SELECT count(*) FROM osnl_change"), "0", "the answer has no reader any more");
    }
}

#[tokio::test]
async fn a_change_of_a_delivery_whose_attempt_succeeds_is_not_made() {
    let stage = Stage::new();
    let (owner, other, id) = claimed(&stage).await;
    let which = Filter { ids: vec![id], ..Filter::default() };
    let moved = ask(&other, Change::Move { which, to: "b".into() }, false).await;
    assert_eq!(moved.under_way, [id]);
    owner.end(id, Outcome::Delivered.into());
    assert_eq!(names(&claim(&owner, "a", 1).await), ["2"]);
    assert_eq!(stage.tally(), "1|1 4|1");
    let verdicts = "SELECT verdict, why FROM osnl_change";
    assert_eq!(stage.rows(verdicts), "3|the attempt that was under way has succeeded");
}

#[tokio::test]
async fn deliveries_are_moved_to_the_lanes_of_another_action_and_released_there() {
    let stage = Stage::new();
    let (a, b) = halves(&stage).await;
    for n in 0..8 {
        keep(&a, &n.to_string(), &n.to_string()).await;
    }
    let hold = Change::Hold { which: Filter::default(), why: "wait".into() };
    assert_eq!(ask(&a, hold, false).await.changed.len(), 8);
    assert_eq!(stage.tally(), "2|8");
    let move_to = |to: &str| Change::Move { which: Filter::default(), to: to.into() };
    let refused = ask(&a, move_to("a"), false).await.refused;
    assert_eq!(
        refused.iter().map(|(_, why)| why.as_str()).collect::<HashSet<_>>(),
        HashSet::from(["it is of a already"])
    );
    assert_eq!(ask(&b, move_to("b"), false).await.changed.len(), 8);
    within(a.check()).await;
    within(b.check()).await;
    assert_eq!(stage.tally(), "2|8", "held ones stay held");
    assert_eq!(stage.rows("SELECT DISTINCT action, reason FROM osnl_delivery"), "b|wait");
    let release = Change::Release { which: Filter::default() };
    assert_eq!(ask(&a, release, false).await.changed.len(), 8);
    let (first, second) = (claimable(&a, "b").await, claimable(&b, "b").await);
    assert!(!first.is_empty() && !second.is_empty(), "{} and {}", first.len(), second.len());
    assert_eq!(first.len() + second.len(), 8);
}

#[tokio::test]
async fn what_was_asked_for_is_done_when_the_member_that_was_asked_is_gone() {
    let stage = Stage::new();
    let (owner, other, id) = claimed(&stage).await;
    owner.end(id, dead());
    within(owner.check()).await;
    let paused = pause(&owner);
    {
        let retry = retry();
        let asking = other.change(&retry, vec![id], false);
        tokio::pin!(asking);
        let asked = async {
            while stage.rows("SELECT count(*) FROM osnl_change") == "0" {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            answer = &mut asking => panic!("{answer:?}"),
            () = asked => {}
        }
    }
    within(other.close()).await;
    drop(other);
    // After the discard, the delivery behind the dead letter is claimable, as no later delivery had an
    // effect.
    stage.rows("UPDATE osnl_change SET out_of_order = true");
    drop(paused);
    within(owner.check()).await;
    assert_eq!(stage.rows(&format!("SELECT state FROM osnl_delivery WHERE id = {}", id.row())), "0");
    stage.tally();
    stage.pass(Duration::from_secs(1));
    within(owner.check()).await;
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_change"), "0");
}

#[tokio::test]
async fn a_change_that_no_owner_answers_is_taken_back() {
    let stage = Stage::new();
    let owner = stage.member("owner");
    let options = Options { answers: Duration::from_millis(200), ..stage.options("other") };
    let other = PostgresJournal::open(options, Arc::default()).unwrap();
    keep(&owner, "1", "k").await;
    within(owner.check()).await;
    let paused = pause(&owner);
    let asked = ask(&other, discard(), false).await;
    assert!(asked.refused[0].1.contains("nothing was changed, ask again"), "{asked:?}");
    drop(paused);
    within(owner.check()).await;
    assert_eq!(stage.tally(), "1|1");
}

#[tokio::test]
async fn a_change_of_a_delivery_under_way_outlives_its_owner() {
    let stage = Stage::new();
    let (owner, other, id) = claimed(&stage).await;
    let which = Filter { ids: vec![id], ..Filter::default() };
    let change = Change::Discard { which, by: "me".into() };
    assert_eq!(ask(&other, change, false).await.under_way, [id]);
    let paused = pause(&owner);
    owner.end(id, Outcome::Delivered.into());
    stage.pass(Duration::from_secs(1));
    within(other.check()).await;
    stage.pass(LEASE);
    within(other.check()).await;
    assert_eq!(names(&claimable(&other, "a").await), ["2"]);
    drop(paused);
    within(owner.check()).await;
    assert_eq!(stage.tally(), "1|1 6|1", "the late end is not recorded");
}

#[tokio::test]
async fn changes_and_ends_at_the_same_time_leave_one_end_each() {
    let stage = Stage::new();
    let (a, b) = halves(&stage).await;
    for n in 0..60 {
        keep(&a, &n.to_string(), &(n % 20).to_string()).await;
    }
    let mut delivered = HashSet::new();
    let mut answers = ChangeOutcome::default();
    for round in 0..12_u8 {
        let first = claimable(&a, "a").await;
        let second = claimable(&b, "a").await;
        let ends = async {
            for (member, all) in [(&a, &first), (&b, &second)] {
                for (n, claimed) in all.iter().enumerate() {
                    let outcome = match (n + usize::from(round)) % 3 {
                        0 => Outcome::Delivered,
                        1 => Outcome::Returned,
                        _ => Outcome::Dead("no".into()),
                    };
                    if outcome == Outcome::Delivered {
                        delivered.insert(claimed.id);
                    }
                    member.end(claimed.id, outcome.into());
                    tokio::task::yield_now().await;
                }
            }
        };
        let change = match round % 3 {
            0 => Change::Retry { which: Filter::default(), out_of_order: true },
            1 => Change::Hold { which: Filter::default(), why: "wait".into() },
            _ => Change::Release { which: Filter::default() },
        };
        let asked = if round < 11 { ask(&b, change, false) } else { ask(&b, discard(), false) };
        let (_, asked) = tokio::join!(ends, asked);
        within(a.check()).await;
        within(b.check()).await;
        stage.tally();
        answers = asked;
    }
    for member in [&a, &b] {
        for id in member.withdrawn("a") {
            member.end(id, Outcome::Returned.into());
        }
        within(member.check()).await;
    }
    let by_rows = |state: RowState| -> HashSet<DeliveryId> {
        let sql = format!("SELECT id FROM osnl_delivery WHERE state = {}", state as i16);
        let rows = stage.rows(&sql);
        rows.lines().map(|id| DeliveryId(id.parse().unwrap())).collect()
    };
    let (discarded, done) = (by_rows(RowState::Discarded), by_rows(RowState::Delivered));
    assert_eq!(done, delivered);
    assert!(answers.changed.iter().all(|id| discarded.contains(id)), "{answers:?}");
    assert_eq!(done.len() + discarded.len(), 60, "{} {}", done.len(), discarded.len());
}
