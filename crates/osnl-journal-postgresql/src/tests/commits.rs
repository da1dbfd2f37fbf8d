use osnl_testkit::{FaultyProxy, NetworkFault, wait_until};

use super::*;
use crate::member::CommitFault;

const WAIT: Duration = Duration::from_secs(60);

fn lose(member: &PostgresJournal, fault: CommitFault) {
    member.send(PostgresCommand::Do(Box::new(move |member| member.fault = fault)));
}

/// Opens a journal behind a proxy, and returns both and the URL. Drop the proxy before the journal, which
/// waits for its thread.
fn behind_proxy(patience: Duration) -> (PostgresJournal, FaultyProxy, String) {
    let server = Postgres::shared();
    let proxy = FaultyProxy::before(server.port());
    let url = server.database().replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()));
    let options = Options { patience, ..options(&url, "a") };
    (PostgresJournal::open(options, Arc::default()).unwrap(), proxy, url)
}

#[tokio::test]
async fn a_commit_without_an_answer_takes_effect_once() {
    for fault in [CommitFault::AnswerLost, CommitFault::CommitLost] {
        let stage = Stage::new();
        let a = stage.member("a");
        // This commit takes the reader's epoch, so that the lost commit does not.
        keep(&a, "0", "0").await;
        lose(&a, fault);
        let mut nameless = entry("1", "k", false);
        nameless.notification = Arc::default();
        assert_eq!(within(append(&a, nameless).await).await, Settle::Acknowledge, "{fault:?}");
        assert_eq!(stage.rows("SELECT count(*) FROM osnl_arrival"), "2", "{fault:?}");
        let claimed = claim(&a, "a", 2).await;
        lose(&a, fault);
        for claimed in &claimed {
            a.end(claimed.id, Outcome::Delivered.into());
        }
        within(a.check()).await;
        assert_eq!(stage.tally(), "4|2", "{fault:?}");
        assert_eq!(a.shared.counters.delivered.get(), 2, "{fault:?}");
        keep(&a, "2", "k").await;
        assert_eq!(names(&claim(&a, "a", 1).await), ["2"], "{fault:?}");
    }
}

#[tokio::test]
async fn a_take_over_without_an_answer_is_one() {
    for fault in [CommitFault::AnswerLost, CommitFault::CommitLost] {
        let stage = Stage::new();
        let (a, b) = (stage.member("a"), stage.member("b"));
        keep(&a, "1", "k").await;
        within(b.check()).await;
        within(a.close()).await;
        // An epoch ahead of every clock: the next one is one larger.
        stage.rows("UPDATE osnl_partition SET epoch = 9000000000");
        lose(&b, fault);
        // No renewal is due, so the next transaction is the take-over.
        stage.pass(Duration::from_secs(1));
        within(b.check()).await;
        within(b.check()).await;
        assert_eq!(names(&claimable(&b, "a").await), ["1"], "{fault:?}");
        assert_eq!(stage.rows("SELECT DISTINCT epoch FROM osnl_partition"), "9000000001", "{fault:?}");
    }
}

#[tokio::test]
async fn a_reader_that_takes_its_epoch_without_an_answer_reads() {
    for fault in [CommitFault::AnswerLost, CommitFault::CommitLost] {
        let stage = Stage::new();
        let a = stage.member("a");
        lose(&a, fault);
        keep(&a, "1", "k").await;
        assert_eq!(stage.rows("SELECT epoch FROM osnl_reader"), "1", "{fault:?}");
    }
}

#[tokio::test]
async fn a_database_that_ends_and_comes_back_loses_nothing() {
    let mut server = Postgres::start(true);
    let url = server.database();
    let options = options(&url, "a").bounded(|bounds| bounds.allow_volatile = false);
    let a = PostgresJournal::open(options, Arc::default()).unwrap();
    keep(&a, "1", "k").await;
    let claimed = claim(&a, "a", 1).await;
    server.quit();
    a.end(claimed[0].id, Outcome::Delivered.into());
    let failed = |state: &JournalState| matches!(state, JournalState::Failed { .. });
    let state = within(a.state().wait_for(failed)).await.unwrap().clone();
    assert!(format!("{state:?}").contains("postgresql://osnl@127.0.0.1"), "{state:?}");
    assert!(matches!(a.obstacle(&["a".into()]), Some(Obstacle::Failed { .. })));
    let mut permit = Permit::default();
    let receipt = a.append(&mut permit, entry("2", "k", false));
    assert!(a.claim("a", ClaimLimits::in_order(1)).now_or_never().is_none());
    server.start_again();
    assert_eq!(within(receipt).await, Settle::Acknowledge);
    assert_eq!(*within(a.state().wait_for(|state| !failed(state))).await.unwrap(), JournalState::Working);
    assert_eq!(names(&claim(&a, "a", 1).await), ["2"]);
    assert_eq!(
        server
            .rows("test0", "SELECT state, sum(count) FROM osnl_tally WHERE count > 0 GROUP BY 1 ORDER BY 1"),
        "1|1\n4|1"
    );
}

/// After a restart, a server shows transactions as committed that waited for its standby. They are
/// acknowledged after a later commit has reached the standby, which may be promoted.
#[tokio::test]
async fn what_the_standby_may_not_have_is_not_acknowledged() {
    let mut server = Postgres::start(true);
    let url = server.database();
    let clock = Arc::<TestClock>::default();
    let options = Options { clock, patience: Duration::from_millis(500), ..options(&url, "a") };
    let a = PostgresJournal::open(options, Arc::default()).unwrap();
    keep(&a, "1", "k").await;
    let set = |server: &Postgres, names: &str| {
        server.set("synchronous_standby_names", Some(names));
        wait_until(WAIT, "the setting", || {
            server.rows("postgres", "SHOW synchronous_standby_names") == names
        });
    };
    let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    set(&server, "*");
    let mut receipt = std::pin::pin!(append(&a, entry("2", "other", false)).await);
    wait_until(WAIT, "a commit to wait", || server.rows("test0", waits) == "t");
    server.kill9();
    server.start_again();
    assert_eq!(server.rows("test0", "SELECT count(*) FROM osnl_arrival"), "2");
    wait_until(WAIT, "another commit to wait", || server.rows("test0", waits) == "t");
    assert!(receipt.as_mut().now_or_never().is_none());
    set(&server, "");
    assert_eq!(within(receipt).await, Settle::Acknowledge);
    assert_eq!(names(&claim(&a, "a", 2).await), ["1", "2"]);
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_away() {
    let (a, proxy, _) = behind_proxy(Duration::from_millis(200));
    keep(&a, "1", "k").await;
    proxy.set(NetworkFault::Stall);
    let failed = |state: &JournalState| matches!(state, JournalState::Failed { .. });
    let state = within(a.state().wait_for(failed)).await.unwrap().clone();
    assert!(format!("{state:?}").contains("no answer within"), "{state:?}");
    proxy.set(NetworkFault::None);
    keep(&a, "2", "other").await;
    assert_eq!(names(&claim(&a, "a", 2).await), ["1", "2"]);
}

#[tokio::test]
async fn a_group_that_takes_too_long_is_committed_in_parts() {
    let (a, proxy, url) = behind_proxy(Duration::from_millis(500));
    keep(&a, "0", "0").await;
    let paused = pause(&a);
    let mut receipts = Vec::new();
    for n in 1..=400 {
        let mut new = entry(&n.to_string(), "k", false);
        let received = Arc::make_mut(&mut new.received);
        received.body = [&received.body[..], &vec![b' '; 60 << 10]].concat().into();
        receipts.push(append(&a, new).await);
    }
    // 64 KiB each 4 ms: the messages need 1.5 s together, and a transaction has 1 s.
    proxy.set(NetworkFault::Delay(Duration::from_millis(4)));
    drop(paused);
    for receipt in receipts {
        assert_eq!(within(receipt).await, Settle::Acknowledge);
    }
    proxy.set(NetworkFault::None);
    let order = "SELECT string_agg(unique_id, ' ' ORDER BY id) FROM osnl_arrival";
    let expected: Vec<String> = (0..=400).map(|n| n.to_string()).collect();
    let database = url.rsplit_once('/').unwrap().1;
    assert_eq!(Postgres::shared().rows(database, order), expected.join(" "));
}

#[tokio::test]
async fn a_member_that_was_given_up_begins_anew() {
    let stage = Stage::new();
    let a = stage.member("a");
    keep(&a, "1", "k").await;
    let claimed = claim(&a, "a", 1).await;
    stage.rows("DELETE FROM osnl_member");
    a.end(claimed[0].id, Outcome::Delivered.into());
    within(a.check()).await;
    assert_eq!(stage.tally(), "1|1");
    assert_eq!(within(append(&a, entry("2", "k", false)).await).await, Settle::Resubscribe);
    for _ in 0..2 {
        stage.pass(LEASE);
        within(a.check()).await;
    }
    assert_eq!(names(&claimable(&a, "a").await), ["1"]);
}
