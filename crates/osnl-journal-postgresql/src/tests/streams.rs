//! Streams with an expectation, judged on what all members have received.

use std::time::SystemTime;

use osnl_config::Rate;
use osnl_core::metrics::StreamKind;
use osnl_journal::store::clock::whole_millis;

use super::*;
use crate::member::CommitFault;

const WITHIN: Duration = Duration::from_secs(600);
/// A verdict waits for a lease in addition.
const UNTIL: u64 = 615;

fn expecting(stage: &Stage, name: &str, messages: u32) -> PostgresJournal {
    let member = stage.member(name);
    let rate = Rate { keys: messages, within: WITHIN };
    let streams = [StreamKind::Listener, StreamKind::Rule].map(|kind| (kind, "s".into(), rate));
    member.shared.counters.series.streams.expect(streams, SystemTime::now());
    member
}

fn receive(member: &PostgresJournal, messages: usize) {
    member.shared.counters.series.streams.note(
        StreamKind::Listener,
        &"s".into(),
        messages,
        SystemTime::now(),
    );
}

/// Lets each member renew, tell, and judge, twice: the first may judge before the last tells.
async fn renew(stage: &Stage, members: &[&PostgresJournal]) {
    for _ in 0..2 {
        stage.pass(Duration::from_secs(5));
        for member in members {
            within(member.look()).await;
        }
    }
}

/// Makes everything that is known older, or only what was received.
fn age(stage: &Stage, seconds: u64, also_seen: bool) {
    let by = whole_millis(Duration::from_secs(seconds));
    let seen = if also_seen { format!(", seen = seen - {by}") } else { String::new() };
    stage.rows(&format!("UPDATE osnl_stream SET since = since - {by}, last = last - {by}{seen}"));
    stage.rows(&format!(
        "UPDATE osnl_stream_slot SET last = last - {by}, slot = (last - {by}) / ({WITHIN_MILLIS} / 32)"
    ));
}

const WITHIN_MILLIS: u64 = 600_000;

/// Returns the age of the latest message of the listener, in seconds, and whether the listener and the rule are silent.
fn verdict(member: &PostgresJournal) -> (Option<u64>, bool, bool) {
    let states = member.shared.counters.series.streams.states(SystemTime::now());
    let age = states[0].last.map(|last| SystemTime::now().duration_since(last).unwrap_or_default());
    (age.map(|age| age.as_secs() / 10 * 10), states[0].is_silent, states[1].is_silent)
}

#[tokio::test]
async fn a_stream_is_silent_when_no_member_has_received_enough() {
    let stage = Stage::new();
    let (a, b) = (expecting(&stage, "a", 1), expecting(&stage, "b", 1));
    renew(&stage, &[&a, &b]).await;
    receive(&a, 1);
    renew(&stage, &[&a, &b]).await;
    age(&stage, UNTIL - 5, false);
    renew(&stage, &[&a, &b]).await;
    assert_eq!([verdict(&a), verdict(&b)], [(Some(UNTIL - 5), false, false); 2], "both agree");
    age(&stage, 10, false);
    renew(&stage, &[&a, &b]).await;
    assert_eq!([verdict(&a), verdict(&b)], [(Some(620), true, true); 2]);
    receive(&b, 1);
    renew(&stage, &[&a, &b]).await;
    assert_eq!([verdict(&a), verdict(&b)], [(Some(0), false, true); 2], "the rule is another stream");
    // A member that starts knows at once.
    let c = expecting(&stage, "c", 1);
    assert_eq!(verdict(&c), (None, false, false), "nothing is known yet");
    renew(&stage, &[&c]).await;
    assert_eq!(verdict(&c), (Some(0), false, true));
}

#[tokio::test]
async fn messages_of_all_members_are_counted_once() {
    let stage = Stage::new();
    let (a, b) = (expecting(&stage, "a", 4), expecting(&stage, "b", 4));
    renew(&stage, &[&a, &b]).await;
    age(&stage, UNTIL + 5, false);
    receive(&a, 2);
    a.send(PostgresCommand::Do(Box::new(|member| member.fault = CommitFault::AnswerLost)));
    renew(&stage, &[&a]).await;
    assert_eq!(stage.rows("SELECT sum(count) FROM osnl_stream_slot"), "2");
    receive(&b, 1);
    renew(&stage, &[&b, &a]).await;
    assert_eq!([verdict(&a).1, verdict(&b).1], [true; 2], "three of four");
    receive(&b, 1);
    renew(&stage, &[&b, &a]).await;
    assert_eq!([verdict(&a).1, verdict(&b).1], [false; 2]);
    age(&stage, UNTIL - 5, false);
    receive(&a, 3);
    renew(&stage, &[&b, &a]).await;
    assert_eq!([verdict(&a).1, verdict(&b).1], [false; 2]);
    age(&stage, 20, false);
    renew(&stage, &[&b, &a]).await;
    assert_eq!([verdict(&a), verdict(&b)], [(Some(20), true, true); 2], "four have left the time");
    // Whatever has been told leaves.
    age(&stage, 3 * UNTIL, false);
    renew(&stage, &[&a]).await;
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_stream_slot"), "0");
    stage.rows("UPDATE osnl_stream SET name = 'former', seen = 0 WHERE last IS NULL");
    renew(&stage, &[&a]).await;
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_stream"), "2");
}

#[tokio::test]
async fn what_a_member_has_told_stays_true_when_it_is_gone() {
    let stage = Stage::new();
    let (a, b) = (expecting(&stage, "a", 1), expecting(&stage, "b", 1));
    renew(&stage, &[&a, &b]).await;
    receive(&a, 1);
    // It tells the rest when it ends.
    within(a.close()).await;
    drop(a);
    renew(&stage, &[&b]).await;
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_member"), "1");
    age(&stage, UNTIL - 5, false);
    renew(&stage, &[&b]).await;
    assert_eq!(verdict(&b), (Some(UNTIL - 5), false, false));
    age(&stage, 10, false);
    renew(&stage, &[&b]).await;
    assert_eq!(verdict(&b), (Some(620), true, true), "and a member that is gone does not help for longer");
}

/// Nothing could be taken from the brokers meanwhile.
#[tokio::test]
async fn time_in_which_no_member_worked_does_not_count() {
    let stage = Stage::new();
    let (a, b) = (expecting(&stage, "a", 1), expecting(&stage, "b", 1));
    receive(&a, 1);
    renew(&stage, &[&a, &b]).await;
    // As if the database had been away.
    age(&stage, UNTIL + 60, true);
    stage.pass(Duration::from_secs(1));
    within(b.look()).await;
    assert_eq!(verdict(&b), (Some(0), false, false), "it has not been told anew, and no member judges");
    renew(&stage, &[&a, &b]).await;
    assert_eq!([verdict(&a), verdict(&b)], [(Some(670), false, false); 2]);
    age(&stage, UNTIL + 5, false);
    renew(&stage, &[&a, &b]).await;
    assert_eq!([verdict(&a).1, verdict(&b).1], [true; 2], "it is watched again");
}

#[tokio::test]
async fn a_daemon_writes_for_streams_only_with_its_renewals() {
    let stage = Stage::new();
    let (a, quiet) = (expecting(&stage, "a", 1), stage.member("b"));
    renew(&stage, &[&a]).await;
    let told = || stage.rows("SELECT sum(seen) FROM osnl_stream");
    let before = told();
    for _ in 0..20 {
        receive(&a, 1);
        within(a.look()).await;
    }
    assert_eq!(told(), before);
    renew(&stage, &[&a]).await;
    assert_ne!(told(), before);
    assert_eq!(stage.rows("SELECT sum(count) FROM osnl_stream_slot"), "20");
    drop(quiet);
}
