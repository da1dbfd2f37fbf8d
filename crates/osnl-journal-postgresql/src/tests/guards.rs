//! Guards that count over all members.

use osnl_config::Rate;
use osnl_journal::shared::{GuardRates, SharedChangeRun, SharedJournal as _};
use osnl_journal::sqlite::{Change, Filter, ListPage, Phase, RowOrder};

use super::*;
use crate::member::CommitFault;

const WITHIN: Duration = Duration::from_secs(600);

fn guards(rules: &[(&str, u32)], actions: &[(&str, u32)]) -> GuardRates {
    let rates = |rates: &[(&str, u32)]| {
        rates.iter().map(|(name, keys)| ((*name).into(), Rate { keys: *keys, within: WITHIN })).collect()
    };
    GuardRates { rules: rates(rules), actions: rates(actions) }
}

fn guarded(stage: &Stage, name: &str, guards: GuardRates) -> PostgresJournal {
    PostgresJournal::open(Options { guards, ..stage.options(name) }, Arc::default()).unwrap()
}

/// Members with equal shares of the partitions.
async fn members<const N: usize>(stage: &Stage, guards: &GuardRates) -> [PostgresJournal; N] {
    let members = std::array::from_fn(|n| guarded(stage, &format!("m{n}"), guards.clone()));
    share(stage, &members).await;
    members
}

/// Lets members find each other, take what they own, and admit what has arrived.
async fn share(stage: &Stage, members: &[PostgresJournal]) {
    for _ in 0..4 {
        stage.pass(Duration::from_secs(1));
        for member in members {
            within(member.look()).await;
        }
    }
}

/// Appends a message about each resource, in one group, and lets the member judge those that it owns.
async fn arrive(member: &PostgresJournal, keys: impl IntoIterator<Item = String>) {
    let mut receipts = Vec::new();
    for key in keys {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let id = IDS.fetch_add(1, Ordering::Relaxed).to_string();
        receipts.push(append(member, entry(&id, &key, false)).await);
    }
    for receipt in receipts {
        assert_eq!(within(receipt).await, Settle::Acknowledge);
    }
    within(member.look()).await;
}

/// Lets a member read the queue that another one has read.
fn read_in_place_of_others(member: &PostgresJournal) {
    let origin = ReceivedMessage::sample("", false).origin;
    member.begin_reading(&origin.listener, &origin.queue);
}

fn keys(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

/// Returns the number of deliveries that are held, and of those that were let through, with a prefix of their keys.
fn verdicts(stage: &Stage, prefix: &str) -> String {
    stage.rows(&format!(
        "SELECT count(*) FILTER (WHERE state = 2 AND guarded), count(*) FILTER (WHERE state BETWEEN 0 AND 1) \
         FROM osnl_delivery WHERE convert_from(key, 'UTF8') LIKE '{prefix}%'"
    ))
}

/// Returns the keys that are held.
fn held(stage: &Stage) -> String {
    stage
        .rows("SELECT convert_from(key, 'UTF8') FROM osnl_delivery WHERE state = 2 AND guarded ORDER BY id")
        .replace('\n', " ")
}

fn counted(members: &[PostgresJournal]) -> u64 {
    members.iter().map(|member| member.shared.counters.guarded.get()).sum()
}

#[tokio::test]
async fn members_that_race_at_a_guard_let_through_exactly_its_number() {
    const ROUNDS: usize = 25;
    let stage = Stage::new();
    let members: [_; 3] = members(&stage, &guards(&[], &[("a", 5)])).await;
    for round in 0..ROUNDS {
        let prefix = format!("r{round}-");
        let paused = [&members[1], &members[2]].map(pause);
        arrive(&members[0], keys(&prefix, 24)).await;
        drop(paused);
        tokio::join!(members[0].look(), members[1].look(), members[2].look());
        assert_eq!(verdicts(&stage, &prefix), "19|5", "round {round}");
        stage.slide(WITHIN + Duration::from_secs(60));
        share(&stage, &members).await;
    }
    assert_eq!(counted(&members), 19 * ROUNDS as u64);
    let reasons = stage.rows("SELECT DISTINCT reason FROM osnl_delivery WHERE state = 2");
    assert_eq!(reasons, "guard of action a: more than 5 per 10m");
    // What has left the window is forgotten.
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_guard_key"), "24");
    stage.tally();
}

#[tokio::test]
async fn a_guard_counts_what_the_former_owner_has_let_through() {
    let stage = Stage::new();
    let [a, b] = members(&stage, &guards(&[], &[("a", 5)])).await;
    arrive(&a, keys("k", 2)).await;
    within(b.look()).await;
    assert_eq!(verdicts(&stage, "k"), "0|2");
    let paused = pause(&a);
    read_in_place_of_others(&b);
    arrive(&b, keys("m", 24)).await;
    let admitted = stage.rows("SELECT count(*) FROM osnl_delivery WHERE state = -1");
    assert_ne!(admitted, "0", "a has not admitted its own");
    stage.pass(Duration::from_secs(1));
    within(b.look()).await;
    stage.pass(LEASE);
    within(b.look()).await;
    within(b.look()).await;
    assert_eq!(verdicts(&stage, "m"), "21|3");
    drop(paused);
    within(a.look()).await;
    arrive(&b, keys("n", 3)).await;
    share(&stage, &[a, b]).await;
    assert_eq!((verdicts(&stage, "n"), verdicts(&stage, "")), ("3|0".into(), "24|5".into()));
}

#[tokio::test]
async fn what_was_let_through_goes_on_and_a_further_resource_waits_for_the_window() {
    let stage = Stage::new();
    let [a, b] = members(&stage, &guards(&[], &[("a", 2)])).await;
    let arrive = async |words: &str| {
        arrive(&a, words.split(' ').map(str::to_owned)).await;
        within(b.look()).await;
        held(&stage)
    };
    assert_eq!(arrive("k1 k2").await, "");
    assert_eq!(arrive("k3").await, "k3");
    assert_eq!(arrive("k1 k1 k2").await, "k3");
    stage.slide(WITHIN - Duration::from_secs(100));
    assert_eq!(arrive("k1").await, "k3");
    share(&stage, &[]).await;
    let full = [("action", "a".into(), true)];
    within(a.look()).await;
    assert_eq!(a.guard_states(), full);
    // k2 and k3 have left the window, k1 has not.
    stage.slide(Duration::from_secs(200));
    assert_eq!(arrive("k4").await, "k3");
    assert_eq!(arrive("k5").await, "k3 k5");
    stage.slide(WITHIN * 2);
    within(b.look()).await;
    assert_eq!(b.guard_states(), [("action", "a".into(), false)]);
}

#[tokio::test]
async fn what_is_released_on_any_member_is_let_through_from_then_on() {
    let stage = Stage::new();
    let members: [_; 2] = members(&stage, &guards(&[("r", 2)], &[("a", 9)])).await;
    arrive(&members[0], keys("k", 6)).await;
    share(&stage, &members).await;
    assert_eq!(verdicts(&stage, "k"), "4|2");
    let [a, b] = &members;
    let filter = Filter { phases: vec![Phase::HeldByGuard], ..Filter::default() };
    let (rows, _) =
        within(b.list(filter, ListPage { order: RowOrder::Oldest, after: None, limit: 100 }, 100))
            .await
            .unwrap();
    assert_eq!(rows.len(), 4);
    let before = stage.rows("SELECT reason FROM osnl_delivery WHERE state = 2 LIMIT 1");
    assert_eq!(before, "guard of rule r: more than 2 per 10m");
    let mut run = SharedChangeRun::new(b, Change::Release { which: Filter::default() }, false);
    let mut released = 0;
    while let Some(some) = within(run.next()).await.unwrap() {
        released += some.changed.len();
    }
    assert_eq!((released, verdicts(&stage, "k")), (4, "0|6".into()));
    arrive(a, keys("k", 7)).await;
    share(&stage, &members).await;
    assert_eq!(held(&stage), "k6");
}

#[tokio::test]
async fn a_commit_without_an_answer_counts_once() {
    for fault in [CommitFault::AnswerLost, CommitFault::CommitLost] {
        let stage = Stage::new();
        let rates = guards(&[], &[("a", 5)]);
        let a = guarded(&stage, "a", rates.clone());
        arrive(&a, keys("k", 1)).await;
        // It owns nothing: what it appends is judged by the other one.
        let reader = guarded(&stage, "reader", rates);
        let paused = pause(&a);
        read_in_place_of_others(&reader);
        arrive(&reader, keys("m", 8)).await;
        a.send(PostgresCommand::Do(Box::new(move |member| member.fault = fault)));
        drop(paused);
        within(a.look()).await;
        assert_eq!((verdicts(&stage, "m"), counted(&[a])), ("4|4".into(), 4), "{fault:?}");
        assert_eq!(stage.rows("SELECT count(*) FROM osnl_guard_key"), "9", "{fault:?}");
    }
}

/// Fallbacks and what the operator moves are not judged; neither are deliveries of other actions.
#[tokio::test]
async fn a_guard_judges_what_a_rule_has_asked_for() {
    let stage = Stage::new();
    let a = guarded(&stage, "a", guards(&[], &[("b", 1)]));
    arrive(&a, keys("k", 3)).await;
    let handed = End {
        to: Some(osnl_journal::Handover { action: "b".into(), ordered: true, told: None }),
        ..Outcome::Dead("no".into()).into()
    };
    for claimed in claim(&a, "a", 3).await {
        a.end(claimed.id, handed.clone());
    }
    within(a.look()).await;
    assert_eq!(verdicts(&stage, "k"), "0|3");
    let mut own = entry("own", "x", false);
    own.deliveries = ["x", "y"].map(|key| NewDelivery::new("r", "b", Some(key.into()))).into();
    assert_eq!(within(append(&a, own).await).await, Settle::Acknowledge);
    within(a.look()).await;
    assert_eq!(held(&stage), "y");
}

/// Both have counted before either writes: one of them counts again.
#[tokio::test]
async fn members_that_have_counted_the_same_do_not_let_through_twice_as_many() {
    let stage = Stage::new();
    let rates = guards(&[], &[("a", 5)]);
    let [a, b] = members(&stage, &rates).await;
    arrive(&a, keys("k", 1)).await;
    tokio::join!(a.look(), b.look());
    // It owns nothing: what it appends is admitted by the others.
    let reader = guarded(&stage, "reader", rates);
    let paused = [&a, &b].map(pause);
    read_in_place_of_others(&reader);
    arrive(&reader, keys("m", 24)).await;
    assert_eq!(verdicts(&stage, "m"), "0|0");
    let options = stage.options("lock");
    let tls = tls::PostgresTls::of(&options.url).unwrap();
    let lock = session::Session::connect(&options.url, tls, options.patience).await.unwrap();
    lock.client.batch_execute("BEGIN; SELECT 1 FROM osnl_window FOR UPDATE").await.unwrap();
    drop(paused);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    osnl_testkit::wait_until(LEASE, "both to write", || stage.rows(waiting) == "2");
    lock.client.batch_execute("ROLLBACK").await.unwrap();
    tokio::join!(a.look(), b.look());
    assert_eq!(verdicts(&stage, "m"), "20|4");
}
