//! Streams: one member reads, and the next one goes on where it was.

use osnl_journal::shared::{SharedJournal as _, StreamLease};
use osnl_transport::BoxFuture;

use super::*;
use crate::member::CommitFault;

type LeaseFuture = BoxFuture<'static, Option<Box<dyn StreamLease>>>;

const ROW: &str = "SELECT epoch, position FROM osnl_reader";

/// Asks for the lease of the stream that messages of tests are from.
fn ask(member: &PostgresJournal) -> LeaseFuture {
    let origin = ReceivedMessage::sample("", false).origin;
    member.lease_stream(&origin.listener, &origin.queue)
}

async fn granted(asked: LeaseFuture) -> Box<dyn StreamLease> {
    within(asked).await.unwrap()
}

/// Lets a member look at the streams of others.
async fn watch(stage: &Stage, member: &PostgresJournal, after: Duration) {
    stage.pass(after);
    within(member.look()).await;
}

#[tokio::test]
async fn a_silent_reader_is_followed_after_a_lease_and_appends_nothing_behind_its_successor() {
    let stage = Stage::new();
    let (a, b) = (stage.member("a"), stage.member("b"));
    let held = granted(ask(&a)).await;
    assert_eq!(held.position(), None);
    keep(&a, "1", "k").await;
    held.keep("after 1".into());
    within(a.look()).await;
    let mut asked = ask(&b);
    within(b.look()).await;
    // It is renewed.
    for _ in 0..4 {
        watch(&stage, &a, LEASE / 2).await;
        within(b.look()).await;
        assert!((&mut asked).now_or_never().is_none());
    }
    assert!(held.lost().now_or_never().is_none());
    let paused = pause(&a);
    watch(&stage, &b, LEASE - Duration::from_millis(1)).await;
    assert!((&mut asked).now_or_never().is_none(), "it has not been seen unchanged for a whole lease");
    watch(&stage, &b, Duration::from_secs(1)).await;
    let next = granted(asked).await;
    assert_eq!(next.position(), Some("after 1"));
    held.keep("late".into());
    let late = append(&a, entry("2", "k", false)).await;
    drop(paused);
    assert_eq!(within(late).await, Settle::Leave);
    within(held.lost()).await;
    // What has lost its epoch gives nothing back.
    drop(held);
    within(a.look()).await;
    keep(&b, "2", "k").await;
    assert_eq!(stage.rows(ROW), "2|after 1");
    assert_eq!(stage.rows("SELECT unique_id, epoch FROM osnl_arrival ORDER BY id"), "1|1\n2|2");
    assert_eq!(within(append(&a, entry("3", "k", false)).await).await, Settle::Leave);
}

#[tokio::test]
async fn a_lease_that_is_given_back_is_another_members_with_its_next_look() {
    let stage = Stage::new();
    let members = ["a", "b", "c"].map(|name| stage.member(name));
    let mut asked: Vec<Option<LeaseFuture>> = members.iter().map(|member| Some(ask(member))).collect();
    for n in 0..members.len() {
        for member in &members {
            watch(&stage, member, Duration::from_secs(1)).await;
        }
        let mut holders = Vec::new();
        for (at, asked) in asked.iter_mut().enumerate() {
            if let Some(lease) = asked.as_mut().and_then(FutureExt::now_or_never) {
                holders.push((at, lease.unwrap()));
            }
        }
        assert_eq!(holders.len(), 1);
        let (at, lease) = holders.remove(0);
        asked[at] = None;
        let before = n.checked_sub(1).map(|n| n.to_string());
        assert_eq!(lease.position(), before.as_deref());
        keep(&members[at], &n.to_string(), "k").await;
        lease.keep(n.to_string());
        if n == 1 {
            // It ends.
            within(members[at].close()).await;
        }
        drop(lease);
        within(members[at].look()).await;
    }
    assert_eq!(stage.rows(ROW), "3|2");
    assert_eq!(stage.rows("SELECT unique_id FROM osnl_arrival ORDER BY id"), "0\n1\n2");
}

/// A listener that was reloaded waits for the end of the one before.
#[tokio::test]
async fn a_member_takes_no_lease_from_itself() {
    let stage = Stage::new();
    let a = stage.member("a");
    let held = granted(ask(&a)).await;
    let mut asked = ask(&a);
    watch(&stage, &a, LEASE).await;
    watch(&stage, &a, LEASE).await;
    assert!((&mut asked).now_or_never().is_none() && held.lost().now_or_never().is_none());
    held.keep("x".into());
    drop(held);
    assert_eq!(granted(asked).await.position(), Some("x"));
    // One that waits no more has nothing.
    drop(ask(&a));
    watch(&stage, &a, LEASE).await;
    assert_eq!(stage.rows("SELECT epoch, length(token) FROM osnl_reader"), "2|0");
}

#[tokio::test]
async fn a_lease_without_an_answer_is_one() {
    for fault in [CommitFault::AnswerLost, CommitFault::CommitLost] {
        let stage = Stage::new();
        let a = stage.member("a");
        within(a.look()).await;
        let lose = || a.send(PostgresCommand::Do(Box::new(move |member| member.fault = fault)));
        lose();
        let held = granted(ask(&a)).await;
        lose();
        held.keep("x".into());
        within(a.look()).await;
        assert_eq!(stage.rows(ROW), "1|x", "{fault:?}");
        lose();
        drop(held);
        within(a.look()).await;
        let held = granted(ask(&a)).await;
        assert_eq!(held.position(), Some("x"), "{fault:?}");
        keep(&a, "1", "k").await;
        assert_eq!(stage.rows(ROW), "2|x", "{fault:?}");
    }
}

#[tokio::test]
async fn a_member_that_was_given_up_has_no_lease() {
    let stage = Stage::new();
    let a = stage.member("a");
    let held = granted(ask(&a)).await;
    stage.rows("DELETE FROM osnl_member");
    assert_eq!(within(append(&a, entry("1", "k", false)).await).await, Settle::Leave);
    within(held.lost()).await;
    drop(held);
    let mut asked = ask(&a);
    within(a.look()).await;
    assert!((&mut asked).now_or_never().is_none(), "for the others it may be another daemon's");
    watch(&stage, &a, Duration::from_secs(1)).await;
    watch(&stage, &a, LEASE).await;
    let _held = granted(asked).await;
    keep(&a, "1", "k").await;
    assert_eq!(stage.rows(ROW), "2|");
}
