use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures_util::FutureExt;

use osnl_model::Notification;

use super::*;
use crate::conformance::{PLACES, StoreRig, attempts};
use crate::{ClaimLimits, NewDelivery, Outcome};

mod letters;
mod parts;

mod suite {
    conformance!(super::rig);
}

fn rig() -> StoreRig {
    let counters: Arc<Counters> = Arc::default();
    let limits = MemoryLimits::for_prefetch(u16::try_from(PLACES / 2).unwrap());
    let journal = Arc::new(MemoryJournal::new(limits, counters.clone()));
    let retrying = journal.clone();
    // A command publishes the message of the letter again.
    let retry = move |id: DeliveryId, mut entry: Entry| -> BoxFuture<'static, ()> {
        let marks = [(crate::identity::RETRY_OF.to_owned(), id.0.to_string())].into();
        Arc::make_mut(&mut entry.received).noted.marks = Some(Arc::new(marks));
        drop(append_as(&retrying, entry));
        Box::pin(std::future::ready(()))
    };
    StoreRig {
        journal: journal.clone(),
        queries: journal,
        counters,
        durable: false,
        retry: Box::new(retry),
        _keeps: Box::new(()),
    }
}

fn journal() -> MemoryJournal {
    MemoryJournal::new(MemoryLimits::for_prefetch(4), Arc::default())
}

fn entry(id: &str, key: &str, redelivered: bool) -> Entry {
    let received = ReceivedMessage::sample(format!("{id} {key}"), redelivered);
    let notification = Notification { unique_id: Some(id.to_owned()), ..Notification::default() };
    Entry {
        received: Arc::new(received),
        notification: Arc::new(notification),
        deliveries: vec![NewDelivery::new("r", "a", Some(key.to_owned()))],
    }
}

fn append(journal: &MemoryJournal, id: &str, key: &str) -> Receipt {
    append_as(journal, entry(id, key, false))
}

fn append_as(journal: &MemoryJournal, entry: Entry) -> Receipt {
    let mut permit = journal.reserve(&[], 1).now_or_never().expect("a free place");
    journal.append(&mut permit, entry)
}

fn claim(journal: &MemoryJournal) -> Vec<(DeliveryId, String)> {
    let claimed = journal.claim("a", ClaimLimits::in_order(10)).now_or_never().unwrap_or_default();
    claimed.into_iter().map(|c| (c.id, c.event.notification.unique_id.clone().unwrap())).collect()
}

fn names(claimed: &[(DeliveryId, String)]) -> Vec<&str> {
    claimed.iter().map(|(_, name)| name.as_str()).collect()
}

#[test]
fn a_delivery_that_fails_again_and_again_is_listed_with_its_answer() {
    let journal = journal();
    let _receipts = [append(&journal, "m", "web-7"), append(&journal, "n", "web-8")];
    let [first, _] = &claim(&journal)[..] else { panic!("two can be claimed") };
    let used = |made| UsedLimits { made, ..UsedLimits::default() };
    journal.attempted(first.0, used(1), "HTTP 500");
    assert_eq!(journal.failing_keys(), []);
    let since = SystemTime::now();
    journal.attempted(first.0, used(2), "HTTP 503");
    let [(action, failing)] = &journal.failing_keys()[..] else { panic!("one has failed twice") };
    assert_eq!((&**action, failing.id, failing.tries), ("a", first.0, 2));
    assert_eq!((failing.resource.as_deref(), failing.answer.as_str()), (Some("web-7"), "HTTP 503"));
    assert!(failing.since <= since && failing.at >= since);
    assert_eq!(journal.rows()[0].last_answer.as_deref(), Some("HTTP 503"));
    journal.end(first.0, End::from(Outcome::Delivered));
    assert_eq!(journal.failing_keys(), []);
}

#[test]
fn a_long_event_type_and_a_long_answer_are_listed_in_part() {
    let journal = journal();
    let mut hostile = entry("1", "k", false);
    Arc::make_mut(&mut hostile.notification).event_type = Some("ü".repeat(100_000));
    let _receipt = append_as(&journal, hostile);
    journal.attempted(claim(&journal)[0].0, attempts(1), &"ü".repeat(100_000));
    let row = &journal.rows()[0];
    assert_eq!(row.event_type.as_deref().map(str::len), Some(1000));
    assert_eq!(row.last_answer.as_deref().map(str::len), Some(1000));
}

#[test]
fn what_is_given_back_takes_its_followers_along_and_remembers_its_attempts() {
    let journal = journal();
    let receipts = [append(&journal, "1", "k"), append(&journal, "2", "k")];
    let first = claim(&journal)[0].0;
    journal.attempted(first, attempts(5), "no");
    journal.end(first, Outcome::Returned.into());
    for receipt in receipts {
        assert_eq!(receipt.now_or_never(), Some(Settle::Requeue));
    }
    assert_eq!(names(&claim(&journal)), [""; 0]);
    let _receipt = append_as(&journal, entry("1", "k", true));
    let claimed = journal.claim("a", ClaimLimits::in_order(1)).now_or_never().unwrap();
    assert_eq!(claimed[0].used.attempts, 5);
}

fn seen(entry: &Entry, journal: &MemoryJournal) -> Option<SystemTime> {
    journal.first_arrival(&entry.received, &entry.notification)
}

/// Over every return, waits count from the first arrival, and what has ended is not done again.
#[tokio::test(start_paused = true)]
async fn a_message_that_returns_again_and_again_keeps_its_first_arrival_and_what_has_ended() {
    let journal = journal();
    let (began, first) = (Instant::now(), std::time::UNIX_EPOCH + Duration::from_secs(1000));
    let message = |redelivered, received| {
        let mut message = entry("1", "k", redelivered);
        message.deliveries.push(NewDelivery::new("r", "b", None));
        Arc::make_mut(&mut message.received).origin.received = received;
        message
    };
    assert_eq!(seen(&message(true, first), &journal), None, "this process has not seen it before");
    let mut receipt = append_as(&journal, message(false, first));
    let once = journal.claim("b", ClaimLimits::in_order(1)).now_or_never().unwrap();
    journal.end(once[0].id, Outcome::Delivered.into());
    for returns in 1..5 {
        tokio::time::advance(Duration::from_secs(15 * 60)).await;
        let claimed = journal.claim("a", ClaimLimits::in_order(5)).now_or_never().unwrap();
        let [head] = &claimed[..] else { panic!("one of a") };
        assert_eq!(head.since, Some(began));
        journal.end(head.id, Outcome::Returned.into());
        assert_eq!(receipt.now_or_never(), Some(Settle::Requeue));
        let now = first + Duration::from_secs(returns * 900);
        let again = message(true, now);
        assert_eq!(seen(&again, &journal), Some(first));
        receipt = append_as(&journal, message(true, first));
        assert_eq!(seen(&again, &journal), Some(first), "also while it is open");
        assert!(journal.claim("b", ClaimLimits::in_order(1)).now_or_never().is_none(), "b has ended");
        assert_eq!(journal.rows()[0].received, first);
        assert_eq!(journal.returns(), BTreeMap::from([("a".to_owned(), u32::try_from(returns).unwrap())]));
    }
    journal.end(claim(&journal)[0].0, Outcome::Delivered.into());
    assert_eq!(receipt.now_or_never(), Some(Settle::Acknowledge));
    assert_eq!(seen(&message(true, first), &journal), None);
}

#[tokio::test(start_paused = true)]
async fn what_on_failure_has_taken_waits_on_over_a_return() {
    let journal = journal();
    let _lost = append(&journal, "1", "k");
    let given_up = End::from(Outcome::Dead("no".to_owned())).handed_to(crate::Handover::to("b"));
    journal.end(claim(&journal)[0].0, given_up);
    let began = Instant::now();
    for _ in 0..3 {
        let handed = journal.claim("b", ClaimLimits::in_order(1)).now_or_never().unwrap();
        assert_eq!((handed.len(), handed[0].since), (1, Some(began)));
        tokio::time::advance(Duration::from_secs(15 * 60)).await;
        journal.end(handed[0].id, Outcome::Returned.into());
        let _receipt = append_as(&journal, entry("1", "k", true));
        assert_eq!(names(&claim(&journal)), [""; 0], "it was given up once, and is not attempted again");
    }
    // Without that action, the rules decide anew.
    let handed = journal.claim("b", ClaimLimits::in_order(1)).now_or_never().unwrap();
    journal.end(handed[0].id, Outcome::Returned.into());
    journal.retired("b");
    let _receipt = append_as(&journal, entry("1", "k", true));
    assert_eq!(names(&claim(&journal)), ["1"]);
}

/// A quorum queue gets a returned message only when the session ends, and later messages arrive before.
#[test]
fn what_arrives_behind_a_returned_message_of_its_key_returns_too_and_waits_only_once() {
    for new_session in [false, true] {
        let journal = journal();
        let first = append(&journal, "1", "k");
        journal.end(claim(&journal)[0].0, Outcome::Returned.into());
        assert_eq!(first.now_or_never(), Some(Settle::Requeue));
        let (later, _other) = (append(&journal, "2", "k"), append(&journal, "3", "other"));
        assert_eq!(later.now_or_never(), Some(Settle::Requeue));
        assert_eq!(names(&claim(&journal)), ["3"]);
        if new_session {
            journal.subscribed("l", 9);
        } else {
            // Another daemon has taken the first: this one need not wait for it.
            let _again = append_as(&journal, entry("2", "k", true));
            assert_eq!(names(&claim(&journal)), ["2"]);
        }
        let _receipts = append(&journal, "4", "k");
        assert_eq!(names(&claim(&journal)).len(), usize::from(new_session));
    }
}

/// A reload takes an action of `on_failure` away while its delivery is open.
#[test]
fn without_the_action_of_on_failure_only_the_given_up_delivery_is_decided_anew() {
    let journal = journal();
    let several = |redelivered| {
        let mut entry = entry("1", "k", redelivered);
        entry.deliveries.push(NewDelivery::new("r", "c", Some("k".into())));
        entry.deliveries.push(NewDelivery::new("s", "a", Some("other".into())));
        entry
    };
    let claim_all = |action: &str| {
        let claimed = journal.claim(action, ClaimLimits::in_order(10)).now_or_never().unwrap_or_default();
        claimed.into_iter().map(|one| (one.event.rule.to_string(), one.id)).collect::<Vec<_>>()
    };
    let rules = |claimed: &[(String, DeliveryId)]| {
        claimed.iter().map(|(rule, _)| rule.clone()).collect::<Vec<String>>()
    };
    let _first = append_as(&journal, several(false));
    let a = claim_all("a");
    assert_eq!(rules(&a), ["r", "s"]);
    journal.end(a[0].1, given_up_to("b"));
    journal.end(a[1].1, Outcome::Delivered.into());
    journal.end(claim_all("c")[0].1, Outcome::Delivered.into());
    // The delivery of "b" is given up too, and that of "d" is open when "d" is taken away.
    journal.end(claim_all("b")[0].1, given_up_to("d"));
    journal.end(claim_all("d")[0].1, Outcome::Returned.into());
    journal.retired("d");
    let _again = append_as(&journal, several(true));
    let again = claim_all("a");
    assert_eq!((rules(&again), claim_all("c").len()), (vec!["r".to_owned()], 0));
    // The course of the given-up delivery begins anew, with all of its on_failure.
    journal.end(again[0].1, given_up_to("b"));
    assert_eq!(rules(&claim_all("b")), ["r"]);
}

fn given_up_to(action: &str) -> End {
    End::from(Outcome::Dead("why".into())).handed_to(crate::Handover::to(action))
}

#[test]
fn a_window_full_of_messages_is_crowded() {
    let journal = MemoryJournal::new(MemoryLimits::for_prefetch(2), Arc::default());
    let _first = append(&journal, "1", "k");
    assert!(!journal.is_crowded("a"));
    let _second = append(&journal, "2", "k");
    assert!(journal.is_crowded("a"));
    journal.end(claim(&journal)[0].0, Outcome::Delivered.into());
    assert!(!journal.is_crowded("a"));
}

/// The windows of several listeners are one bound, and each is handed no more than its own.
#[test]
fn a_full_window_of_one_of_several_listeners_crowds_its_actions() {
    let journal = MemoryJournal::new(MemoryLimits::for_prefetch(12), Arc::default());
    journal.subscribed("small", 2);
    journal.subscribed("large", 10);
    let keep = |id: &str, listener: &str, action: &str| {
        let mut message = entry(id, id, false);
        Arc::make_mut(&mut message.received).origin.listener = listener.into();
        message.deliveries = vec![NewDelivery::new("r", action, None)];
        append_as(&journal, message)
    };
    let _open = [keep("1", "small", "a"), keep("2", "large", "b"), keep("3", "large", "b")];
    assert!(!journal.is_crowded("a"));
    let _second = keep("4", "small", "a");
    assert_eq!(["a", "b"].map(|action| journal.is_crowded(action)), [true, false]);
    journal.end(claim(&journal)[0].0, Outcome::Delivered.into());
    assert!(!journal.is_crowded("a"));
}

#[test]
fn a_redelivered_message_adopts_its_open_entry() {
    let journal = journal();
    let lost = append(&journal, "1", "k");
    let claimed = claim(&journal);
    let adopted = append_as(&journal, entry("1", "k", true));
    // No second event, and each receipt completes with its outcome.
    assert_eq!(names(&claim(&journal)), [""; 0]);
    journal.end(claimed[0].0, Outcome::Delivered.into());
    assert_eq!(lost.now_or_never(), Some(Settle::Acknowledge));
    assert_eq!(adopted.now_or_never(), Some(Settle::Acknowledge));
}

#[test]
fn a_redelivered_message_that_is_done_is_acknowledged_without_a_second_event() {
    let journal = journal();
    let _lost = append(&journal, "1", "k");
    journal.end(claim(&journal)[0].0, Outcome::Delivered.into());
    let again = append_as(&journal, entry("1", "k", true));
    assert_eq!(again.now_or_never(), Some(Settle::Acknowledge));
    assert_eq!(names(&claim(&journal)), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_has_waited_for_too_long_is_overdue_and_adopting_starts_anew() {
    let journal = journal();
    let _receipts = [append(&journal, "1", "k"), append(&journal, "2", "k")];
    let head = claim(&journal)[0].0;
    tokio::time::advance(Duration::from_secs(15 * 60 - 1)).await;
    assert_eq!(journal.overdue("a"), []);
    let _adopted = [append_as(&journal, entry("1", "k", true)), append_as(&journal, entry("2", "k", true))];
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(journal.overdue("a"), []);
    tokio::time::advance(Duration::from_secs(15 * 60)).await;
    assert_eq!(journal.overdue("a"), [head]);
}

#[tokio::test(start_paused = true)]
async fn too_many_far_retries_go_back_oldest_first() {
    let journal = journal();
    let far = |seconds| AttemptRetry {
        due: Instant::now() + Duration::from_secs(seconds),
        used: attempts(1),
        is_charged: false,
        answer: "no".into(),
    };
    let mut receipts: Vec<_> = (1..=5).map(|n| append(&journal, &n.to_string(), &n.to_string())).collect();
    for (n, (id, _)) in claim(&journal).into_iter().enumerate() {
        journal.retry_at(id, far(if n == 0 { 59 } else { 120 }));
    }
    let settled: Vec<_> = receipts.iter_mut().map(|receipt| receipt.now_or_never()).collect();
    let back = Some(Settle::Requeue);
    assert_eq!(settled, [None, back, back, back, None]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_retry_is_returned_by_the_journal_itself_when_it_is_overdue() {
    let journal = journal();
    let receipts = [append(&journal, "1", "k"), append(&journal, "2", "k")];
    let head = claim(&journal)[0].0;
    let due = Instant::now() + Duration::from_secs(3600);
    journal.retry_at(head, AttemptRetry { due, used: attempts(1), is_charged: false, answer: "no".into() });
    tokio::time::advance(Duration::from_secs(15 * 60)).await;
    assert_eq!(journal.overdue("a"), []);
    for receipt in receipts {
        assert_eq!(receipt.now_or_never(), Some(Settle::Requeue));
    }
    assert_eq!(journal.next_due("a"), None);
}

/// The return of its message shortens no wait for a retry, unless an operator ends it.
#[tokio::test(start_paused = true)]
async fn a_delivery_that_returns_while_it_waits_for_a_retry_waits_on() {
    for is_hastened in [false, true] {
        let journal = journal();
        let receipts = [append(&journal, "1", "k"), append(&journal, "2", "k")];
        let head = claim(&journal)[0].0;
        let due = Instant::now() + Duration::from_secs(3600);
        journal.attempted(head, attempts(2), "status 429");
        let used = UsedLimits { age: Duration::from_secs(3600), ..attempts(2) };
        journal.retry_at(head, AttemptRetry { due, used, is_charged: true, answer: "status 429".into() });
        tokio::time::advance(Duration::from_secs(15 * 60)).await;
        journal.overdue("a");
        if is_hastened {
            tokio::time::advance(Duration::from_secs(1)).await;
            journal.due_now("a");
        }
        drop(receipts);
        let _again = [append_as(&journal, entry("1", "k", true)), append_as(&journal, entry("2", "k", true))];
        let failing = journal.failing_keys();
        assert_eq!(&*failing[0].1.answer, "status 429", "its failure is known on");
        if !is_hastened {
            assert_eq!(names(&claim(&journal)), [""; 0]);
            assert_eq!(journal.next_due("a"), Some(due));
            tokio::time::advance(Duration::from_secs(45 * 60)).await;
        }
        let again = journal.claim("a", ClaimLimits::in_order(10)).now_or_never().unwrap_or_default();
        assert_eq!(again.len(), 1);
        let age = if is_hastened { 15 * 60 + 1 } else { 3600 };
        assert_eq!(again[0].used.age.as_secs(), age, "a wait that ends early ages by its part");
    }
}

#[test]
fn bodies_of_dead_letters_are_bounded_in_bytes() {
    let journal = journal();
    let body = bytes::Bytes::from(vec![b' '; limits::DEAD_BYTES / 4]);
    for n in 0..10 {
        drop(journal.set_aside(ReceivedMessage::sample(body.clone(), false), n.to_string()));
    }
    let kept = journal.dead_letters();
    let reasons: Vec<&str> = kept.iter().map(|dead| dead.reason.as_str()).collect();
    assert_eq!(reasons, ["6", "7", "8", "9"]);
    let largest = vec![b' '; limits::DEAD_BYTES + 1];
    drop(journal.set_aside(ReceivedMessage::sample(largest, false), "one".to_owned()));
    assert_eq!(journal.dead_letters().len(), 1);
}

fn with_queue() -> (MemoryJournal, Receipt, Receipt) {
    let journal = journal();
    journal.keep_dead_letters_of(ReceivedMessage::sample("", false).origin.listener);
    let (first, second) = (append(&journal, "1", "k"), append(&journal, "2", "k"));
    (journal, first, second)
}

fn unburied(journal: &MemoryJournal) -> Vec<Burial> {
    let listener = ReceivedMessage::sample("", false).origin.listener;
    journal.queue_work(&listener).now_or_never().unwrap_or_default().burials
}

#[test]
fn a_dead_letter_keeps_its_place_until_the_broker_has_confirmed_it() {
    let (journal, mut first, _second) = with_queue();
    let claimed = claim(&journal);
    assert_eq!(names(&claimed), ["1"]);
    journal.end(claimed[0].0, Outcome::Dead("refused".to_owned()).into());
    // A delivery loop repeats the end of an overdue delivery.
    journal.end(claimed[0].0, Outcome::Returned.into());
    assert!(claim(&journal).is_empty() && (&mut first).now_or_never().is_none());
    let waiting = unburied(&journal);
    assert_eq!(unburied(&journal).len(), 1, "it is handed out until it is confirmed");
    let header = |name: &str| waiting[0].message.headers[name].clone();
    assert_eq!((header("osnl-reason"), header("osnl-action")), ("refused".to_owned(), "a".to_owned()));
    journal.buried(&waiting);
    assert_eq!((&mut first).now_or_never(), Some(Settle::Acknowledge));
    assert_eq!(names(&claim(&journal)), ["2"]);
    assert!(journal.dead_letters().is_empty(), "no body stays in memory");
}

#[test]
fn few_large_dead_letters_are_handed_out_together() {
    let (journal, ..) = with_queue();
    for kib in [600, 400, 600, 2_000, 1] {
        let received = ReceivedMessage::sample(vec![b' '; kib << 10], false);
        drop(journal.set_aside(received, "no JSON".to_owned()));
    }
    let groups = std::iter::from_fn(|| {
        let group = unburied(&journal);
        journal.buried(&group);
        (!group.is_empty()).then_some(group.len())
    });
    assert_eq!(groups.collect::<Vec<_>>(), [2, 1, 1, 1]);
}

#[test]
fn a_message_with_a_dead_letter_from_the_start_waits_for_all_of_its_deliveries() {
    let (journal, ..) = with_queue();
    let mut both = entry("3", "other", false);
    let mut dead = NewDelivery::new("r", "b", None);
    dead.begin = crate::Begin::Dead("undecided".to_owned());
    both.deliveries.push(dead);
    let mut receipt = append_as(&journal, both);
    let claimed = claim(&journal);
    claimed.iter().for_each(|(id, _)| journal.end(*id, Outcome::Delivered.into()));
    assert!((&mut receipt).now_or_never().is_none());
    journal.buried(&unburied(&journal));
    assert_eq!((&mut receipt).now_or_never(), Some(Settle::Acknowledge));
}

#[test]
fn an_unreadable_message_that_comes_again_meanwhile_is_kept_once() {
    let (journal, ..) = with_queue();
    let unreadable = |redelivered| {
        journal.set_aside(ReceivedMessage::sample("garbage", redelivered), "no JSON".to_owned())
    };
    drop(unreadable(false));
    let mut again = unreadable(true);
    let waiting = unburied(&journal);
    assert_eq!(waiting.len(), 1);
    journal.buried(&waiting);
    assert_eq!((&mut again).now_or_never(), Some(Settle::Acknowledge));
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_closes_waits_a_while_for_the_last_dead_letters() {
    let (journal, first, _second) = with_queue();
    let claimed = claim(&journal);
    journal.end(claimed[0].0, Outcome::Dead("refused".to_owned()).into());
    let buried = async {
        tokio::task::yield_now().await;
        journal.buried(&unburied(&journal));
    };
    tokio::join!(journal.close(), buried);
    assert_eq!(first.await, Settle::Acknowledge);

    let (journal, first, _second) = with_queue();
    let claimed = claim(&journal);
    journal.end(claimed[0].0, Outcome::Dead("refused".to_owned()).into());
    journal.close().await;
    assert_eq!(first.await, Settle::Leave, "the message stays with the broker");
}

#[test]
fn a_dead_letter_is_read_as_it_was_written_and_a_copy_has_its_number() {
    use crate::dead_letters::{DeadLetterRow, RetriedDelivery, again, copy_of};
    let (journal, ..) = with_queue();
    let claimed = claim(&journal);
    journal.end(claimed[0].0, Outcome::Dead("refused".to_owned()).into());
    let message = unburied(&journal).remove(0).message;
    let DeadLetterRow::Delivery(found) = DeadLetterRow::read(&message) else { panic!("{message:?}") };
    let (row, received) = *found;
    assert_eq!((&*row.rule, &*row.action, row.key.as_deref()), ("r", "a", Some("k")));
    assert_eq!((row.reason.as_deref(), &received.body[..]), (Some("refused"), &b"1 k"[..]));

    // A daemon that died before the acknowledgement gives the message up again.
    let (journal, ..) = with_queue();
    let claimed = claim(&journal);
    journal.end(claimed[0].0, Outcome::Dead("refused once more".to_owned()).into());
    let second = unburied(&journal).remove(0).message;
    let without_time = |message| copy_of(message).unwrap().1.to_owned();
    assert_eq!(without_time(&second), without_time(&message));

    let back = again(&message);
    let wanted = RetriedDelivery::from_marks(&back.headers).unwrap();
    assert_eq!(wanted, RetriedDelivery { rule: "r", action: "a", resource: None, letter: None });
    let DeadLetterRow::Unreadable(foreign) = DeadLetterRow::read(&Default::default()) else { panic!() };
    assert!(foreign.reason.contains("another program"), "{}", foreign.reason);
}

/// A program that may publish to the queue can repeat each header of a dead letter.
#[test]
fn a_message_that_pretends_to_be_a_dead_letter_takes_neither_its_number_nor_its_place() {
    use crate::dead_letters::{DeadLetterRow, LetterCopies, copy_of, id_of};
    let (journal, ..) = with_queue();
    journal.end(claim(&journal)[0].0, Outcome::Dead("refused".to_owned()).into());
    let letter = unburied(&journal).remove(0).message;
    let checked = |messages: &[&osnl_transport::QueuedMessage]| {
        let mut copies = LetterCopies::default();
        let checked = messages.iter().map(|message| {
            let mut message = (*message).clone();
            copies.admit(&mut message);
            message
        });
        checked.collect::<Vec<_>>()
    };
    let with = |body: &str, headers: &[(&str, &str)]| {
        let mut forged = letter.clone();
        forged.body = body.to_owned().into();
        let digest = osnl_model::BodyDigest::new(body.as_bytes()).to_string();
        let own = [("osnl-bytes", body.len().to_string()), ("osnl-digest", digest)];
        forged.headers.extend(own.map(|(name, value)| (name.to_owned(), value)));
        forged.headers.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        forged
    };
    let copy = letter.clone();
    let both = checked(&[&letter, &copy]);
    assert!(both.iter().all(|one| one.headers == letter.headers), "copies keep one number: {both:?}");
    // Of another body or kind, or about another action: a number of its own, whichever comes first.
    let kind = with("1 k", &[("osnl-kind", "unreadable")]);
    for forged in [with("2 k", &[]), with("1 k", &[("osnl-action", "b")]), kind] {
        for both in [checked(&[&letter, &forged]), checked(&[&forged, &letter])] {
            assert_eq!(id_of(&both[0]), id_of(&letter));
            assert_ne!(copy_of(&both[0]), copy_of(&both[1]));
        }
    }
    // With the facts of another body it is a message of another program, of its true size.
    let large = u64::MAX.to_string();
    for facts in [("osnl-digest", "0"), ("osnl-bytes", "1"), ("osnl-bytes", &*large)] {
        let found = checked(&[&with("2 k", &[facts])]);
        let DeadLetterRow::Unreadable(found) = DeadLetterRow::read(&found[0]) else { panic!("{facts:?}") };
        assert!(found.reason.contains("another program") && found.size == 3, "{found:?}");
    }
}

#[test]
fn a_flood_of_equal_unreadable_messages_has_a_number_for_each_and_no_copies() {
    use crate::dead_letters::{copy_of, id_of, unreadable};
    let received = ReceivedMessage::sample("garbage", false);
    let flood: Vec<_> = (0..20_000).map(|_| unreadable(&received, "no JSON")).collect();
    let numbers: HashSet<u64> = flood.iter().map(id_of).collect();
    assert_eq!(numbers.len(), flood.len());
    assert!(flood.iter().all(|message| copy_of(message).is_none() && id_of(message) < 1 << 53));
    assert_eq!(copy_of(&osnl_transport::QueuedMessage::default()), None, "of another program");
}
