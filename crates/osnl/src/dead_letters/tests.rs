//! Commands on the dead letter queue of a broker in memory, whose daemon gives each retried message up again.

use osnl_model::{BodyDigest, Priority, Target};
use osnl_transport::{
    Consumer, ListenOptions, OutgoingMessage, QueueAccess, QueueReader, Tap, TapOptions, WantsBody,
};

use tokio::time::timeout;

use super::queue::VISIT_PATIENCE;
use super::*;
use crate::control::{ControlHandler, ControlRequest, Store, Which};
use crate::intake::RuleEngine;
use crate::journal::dead_letters::{LetterWait, WaitingLetter, again};
use crate::journal::memory::MemoryLimits;
use crate::journal::query::{JournalQueries as _, RowState};
use crate::journal::{
    Begin, ClaimLimits, DeliveryId, Entry, Journal as _, NewDelivery, Outcome, Receipt, Settle,
};
use crate::metrics::Counters;
use crate::received::ReceivedMessage;
use crate::rule::{GuardHold, GuardKind, GuardName, Rule};

const QUEUE: &str = "q";
const LISTENER: &str = "l";

#[derive(Default)]
struct BrokerQueues {
    /// The dead letters in their order.
    dead: BTreeMap<usize, QueuedMessage>,
    /// The messages that were put back.
    retried: Vec<QueuedMessage>,
    /// The most messages that may be put back.
    most: usize,
    /// The number of messages put back after which the connection breaks.
    breaks_after: Option<usize>,
    /// Whether another program reads the dead letters.
    is_locked: bool,
    depth: Option<u32>,
    /// The number of readings.
    read: usize,
}

#[derive(Clone, Default)]
struct MemoryBroker(Arc<Mutex<BrokerQueues>>);

struct MemoryReading {
    broker: MemoryBroker,
    places: Vec<usize>,
    messages: Vec<QueuedMessage>,
    waiting: usize,
}

impl MemoryBroker {
    fn with(letters: impl IntoIterator<Item = QueuedMessage>) -> Self {
        let dead: BTreeMap<usize, QueuedMessage> = letters.into_iter().enumerate().collect();
        let most = dead.len();
        Self(Arc::new(Mutex::new(BrokerQueues { dead, most, ..BrokerQueues::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, BrokerQueues> {
        self.0.lock().unwrap()
    }

    fn queues(&self) -> DeadLetterQueues {
        let queues = DeadLetterQueues::default();
        let (rules, count, trouble, busy, expected, refused, changed) = Default::default();
        let (name, source) = (format!("{QUEUE}.dead"), QUEUE.to_owned());
        let transport = Arc::new(self.clone());
        let turn = Arc::new(tokio::sync::Mutex::new(Instant::now()));
        let queue = DeadLetterQueue {
            name,
            source,
            transport,
            rules,
            count,
            trouble,
            busy,
            expected,
            refused,
            changed,
            turn,
        };
        queues.lock().insert(LISTENER.into(), queue);
        queues
    }

    async fn retry(&self) -> Vec<u64> {
        let queues = self.queues();
        let mut changed = ChangedLetters::default();
        let is_delivery = |message: &QueuedMessage| row_of(message).is_some();
        queues.change(DeadLetterChange::Retry, is_delivery, &mut changed).await.unwrap();
        changed.ids
    }
}

impl QueueAccess for MemoryBroker {
    fn put<'a>(
        &'a self,
        queue: &'a str,
        _make: bool,
        messages: &'a [QueuedMessage],
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        let mut queues = self.lock();
        if queue != QUEUE {
            let next = queues.dead.keys().last().map_or(0, |last| last + 1);
            queues.dead.extend(messages.iter().cloned().enumerate().map(|(n, message)| (next + n, message)));
            return Box::pin(std::future::ready(Ok(())));
        }
        if queues.breaks_after.is_some_and(|most| queues.retried.len() + messages.len() > most) {
            let reason = "reset by peer".to_owned();
            return Box::pin(std::future::ready(Err(TransportError::Lost { reason })));
        }
        for message in messages {
            queues.retried.push(message.clone());
            let count = queues.retried.len();
            assert!(count <= queues.most, "what has come back is retried again");
            // The retry fails at once.
            let next = queues.dead.keys().last().map_or(0, |last| last + 1);
            queues.dead.insert(next, letter(1_000_000 + count, &message.body));
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn take<'a>(
        &'a self,
        _queue: &'a str,
        wants_body: WantsBody<'a>,
    ) -> BoxFuture<'a, Result<Option<Box<dyn QueueReader>>, TransportError>> {
        let mut queues = self.lock();
        queues.read += 1;
        if queues.is_locked {
            let [what, reason] = ["read the dead letters", "RESOURCE_LOCKED"].map(str::to_owned);
            let locked = TransportError::Refused { what, reason, code: Some(405) };
            return Box::pin(std::future::ready(Err(locked)));
        }
        let mut reading = MemoryReading {
            broker: self.clone(),
            places: Vec::new(),
            messages: Vec::new(),
            waiting: queues.dead.len(),
        };
        for (place, message) in queues.dead.iter().take(MOST_READ) {
            let mut message = message.clone();
            if !wants_body(&mut message) {
                message.body.clear();
            }
            reading.places.push(*place);
            reading.messages.push(message);
        }
        Box::pin(std::future::ready(Ok(Some(Box::new(reading) as Box<dyn QueueReader>))))
    }

    fn depth<'a>(&'a self, _queue: &'a str) -> BoxFuture<'a, Result<Option<u32>, TransportError>> {
        Box::pin(std::future::ready(Ok(self.lock().depth)))
    }
}

impl QueueReader for MemoryReading {
    fn messages(&self) -> &[QueuedMessage] {
        &self.messages
    }

    fn has_more(&self) -> bool {
        self.waiting > self.messages.len()
    }

    fn waiting(&self) -> u64 {
        self.waiting as u64
    }

    fn acknowledge(&mut self, at: usize) -> BoxFuture<'_, Result<(), TransportError>> {
        self.broker.lock().dead.remove(&self.places[at]);
        Box::pin(std::future::ready(Ok(())))
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), TransportError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Transport for MemoryBroker {
    fn listen<'a>(
        &'a self,
        _to: &'a [(Target, Priority)],
        _options: &'a ListenOptions,
    ) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
        unreachable!("commands only use the queues")
    }

    fn send<'a>(
        &'a self,
        _to: &'a Target,
        _priority: &'a Priority,
        _message: OutgoingMessage,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        unreachable!("commands only use the queues")
    }

    fn tap<'a>(&'a self, _options: &'a TapOptions) -> BoxFuture<'a, Result<Box<dyn Tap>, TransportError>> {
        unreachable!("commands only use the queues")
    }

    fn queue_access(&self) -> Option<&dyn QueueAccess> {
        Some(self)
    }

    fn location(&self) -> String {
        "memory".to_owned()
    }
}

fn letter(number: usize, body: &[u8]) -> QueuedMessage {
    let headers = [
        ("osnl-id", number.to_string()),
        ("osnl-kind", "dead-letter".to_owned()),
        ("osnl-rule", "r".to_owned()),
        ("osnl-action", "a".to_owned()),
        ("osnl-idempotency-key", format!("m{number}/r/a")),
        ("osnl-bytes", body.len().to_string()),
        ("osnl-digest", BodyDigest::new(body).to_string()),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value)).into();
    QueuedMessage { body: body.to_vec().into(), headers, ..QueuedMessage::default() }
}

fn waiting(number: usize, (why, place, key): (&str, &str, &str)) -> QueuedMessage {
    let mut waiting = letter(number, b"body");
    let headers = [("osnl-waits", why), ("osnl-place", place), ("osnl-key", key)];
    waiting.headers.extend(headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
    waiting
}

/// Returns a journal whose listener has a dead letter queue and a guard, and that queue. Each message is a delivery of `a`.
fn gated(prefetch: usize) -> (Arc<MemoryJournal>, MemoryBroker, Arc<DeadLetterQueues>) {
    let counters = Arc::new(Counters::default());
    let limits = MemoryLimits::for_prefetch(u16::try_from(prefetch).unwrap());
    let journal = Arc::new(MemoryJournal::new(limits, counters.clone()));
    journal.keep_dead_letters_of(LISTENER.into());
    journal.set_gating([LISTENER.into()].into());
    let rule = Rule { name: "r".into(), actions: vec!["a".into()], ..Rule::default() };
    let rules = LiveRules::new(RuleEngine::new(vec![rule], journal.clone(), counters));
    let broker = MemoryBroker::default();
    let queues = broker.queues();
    queues.lock().get_mut(LISTENER).unwrap().rules = Some(Arc::new(rules));
    (journal, broker, Arc::new(queues))
}

/// Hands the journal a message of this number, whose delivery a guard may hold.
async fn arrives(journal: &MemoryJournal, number: usize, key: &str, is_held: bool) -> Receipt {
    let body = format!("{{\"event_type\": \"x\", \"message_id\": \"{number}\", \"payload\": {{}}}}");
    let mut received = ReceivedMessage::sample(body, false);
    received.origin.listener = LISTENER.into();
    let notification = Arc::new(received.decode().unwrap());
    let mut new = NewDelivery::new("r", "a", Some(key.to_owned()));
    if is_held {
        let guard = GuardName::new(GuardKind::Action, "a");
        new.begin = Begin::Held(GuardHold::new(guard, "more than 1 per 1m"));
    }
    let entry = Entry { received: Arc::new(received), notification, deliveries: vec![new] };
    let mut place = journal.reserve(&["a".into()], 1).await;
    journal.append(&mut place, entry)
}

/// Returns a queue with a letter more than one reading shows. The first one and the last one are unreadable.
pub(crate) fn overfull_queue() -> DeadLetterQueues {
    let count = MOST_READ + 1;
    let numbered = |number: usize| {
        let mut letter = letter(number, b"body");
        if number == 1 || number == count {
            letter.headers.extend([("osnl-kind".to_owned(), "unreadable".to_owned())]);
        }
        letter
    };
    let broker = MemoryBroker::with((1..=count).map(numbered));
    broker.lock().depth = u32::try_from(count).ok();
    broker.queues()
}

/// Returns a queue with the letters 1 to 400, of which each second one is unreadable, and whose connection breaks after 100.
pub(crate) fn breaking_queue() -> DeadLetterQueues {
    let numbered = |number: usize| {
        let mut letter = letter(number, b"body");
        if number.is_multiple_of(2) {
            letter.headers.extend([("osnl-kind".to_owned(), "unreadable".to_owned())]);
        }
        letter
    };
    let broker = MemoryBroker::with((1..=400).map(numbered));
    broker.lock().breaks_after = Some(100);
    broker.queues()
}

#[tokio::test]
async fn a_retry_of_more_than_one_reading_takes_retries_each_letter_once() {
    let count = MOST_READ + 1000;
    let broker = MemoryBroker::with((0..count).map(|number| letter(number, b"body")));
    let foreseen = broker.queues().foresee(DeadLetterChange::Retry, |_: &QueuedMessage| true).await.unwrap();
    assert_eq!((foreseen.ids.len(), foreseen.has_more), (MOST_READ, true));
    let retried = broker.retry().await;
    assert_eq!(retried, (0..count as u64).collect::<Vec<_>>());
    let queues = broker.lock();
    assert_eq!((queues.retried.len(), queues.dead.len()), (count, count));
}

/// A program that may publish to the queue writes any header, also that of a size.
#[tokio::test]
async fn a_message_that_names_a_size_stops_no_retry_of_others() {
    let mut forged = letter(0, b"forged");
    forged.headers.insert("osnl-bytes".to_owned(), (1_u64 << 40).to_string());
    let broker = MemoryBroker::with([forged].into_iter().chain((1..4).map(|number| letter(number, b"body"))));
    assert_eq!(broker.retry().await, [1, 2, 3]);
    assert_eq!(broker.lock().dead[&0].body[..], b"forged"[..]);
}

#[tokio::test]
async fn a_message_with_the_headers_of_a_dead_letter_takes_the_place_of_none() {
    for is_first in [true, false] {
        let mut forged = letter(1, b"forged");
        let mut letters = vec![letter(1, b"real"), forged.clone()];
        if is_first {
            letters.swap(0, 1);
        }
        let broker = MemoryBroker::with(letters);
        broker.retry().await;
        let retried: HashSet<Vec<u8>> =
            broker.lock().retried.iter().map(|message| message.body.to_vec()).collect();
        assert_eq!(retried, [b"real".to_vec(), b"forged".to_vec()].into());
        // With the digest of the real one, it is no delivery.
        forged.headers = letter(1, b"real").headers;
        let broker = MemoryBroker::with([forged, letter(1, b"real")]);
        broker.retry().await;
        let bodies: Vec<Vec<u8>> =
            broker.lock().retried.iter().map(|message| message.body.to_vec()).collect();
        assert_eq!(bodies, [b"real".to_vec()]);
    }
}

/// What is the same in a letter and its copy can be computed by the letter's publisher.
#[tokio::test]
async fn a_copy_of_a_letter_with_any_other_header_hides_no_letter() {
    let real = letter(1, b"body");
    let origin = ["exchange", "listener", "queue", "received", "routing-key"];
    let rest = ["ended", "event-type", "guard", "key", "message-id", "place", "reason", "resource"];
    let [origin, rest] = [&origin[..], &rest].map(|names| names.iter().map(|name| format!("osnl-{name}")));
    let names: Vec<String> = real.headers.keys().cloned().chain(origin).chain(rest).collect();
    for name in &names {
        for value in [None, Some("unreadable"), Some("1")] {
            let mut forged = real.clone();
            forged.headers.remove(name);
            forged.headers.extend(value.map(|value| (name.clone(), value.to_owned())));
            let broker = MemoryBroker::with([real.clone(), forged]);
            let (found, _) = broker.queues().read(|_| false).await.unwrap();
            let rows = found.iter().filter(|message| id_of(message) == 1).filter_map(row_of);
            let rows: Vec<_> = rows.map(|row| (row.rule, row.action, row.state)).collect();
            assert_eq!(rows, [("r".to_owned(), "a".to_owned(), RowState::Dead)], "{name} {value:?}");
            assert!(broker.retry().await.contains(&1), "{name} {value:?}");
            let retried = broker.lock().retried[0].clone();
            assert_eq!((&retried.body[..], &*retried.headers["osnl-action"]), (&b"body"[..], "a"), "{name}");
        }
    }
}

/// Commands may read the queue for a long time, one after the other.
#[tokio::test(start_paused = true)]
async fn letters_are_put_while_commands_keep_the_daemon_from_reading_them() {
    for is_other_program in [true, false] {
        let broker = MemoryBroker::default();
        broker.lock().is_locked = is_other_program;
        let queues = broker.queues();
        let turn = queues.lock()["l"].turn.clone();
        let _command = if is_other_program { None } else { Some(turn.lock_owned().await) };
        twenty_letters_are_put(&broker, &queues).await;
    }
}

/// A command reads for seconds.
#[tokio::test(start_paused = true)]
async fn a_queue_that_is_busy_for_a_minute_is_in_trouble() {
    let (journal, broker, queues) = gated(4);
    let trouble = || queues.states().remove(0).trouble.map(|(_, reason)| reason);
    let course = async {
        broker.lock().is_locked = true;
        journal.ask_for_letters(LISTENER);
        sleep(BUSY_FOR_LONG - VISIT_PATIENCE).await;
        assert_eq!(trouble(), None);
        sleep(3 * VISIT_PATIENCE).await;
        assert!(trouble().unwrap().contains("is busy"));
        broker.lock().is_locked = false;
        sleep(2 * VISIT_PATIENCE).await;
        assert_eq!(trouble(), None);
    };
    tokio::select! {
        _ = queues.serve_one(&journal, LISTENER.into()) => unreachable!("the listener stays"),
        () = course => {}
    }
}

async fn twenty_letters_are_put(broker: &MemoryBroker, queues: &DeadLetterQueues) {
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(4), Arc::default()));
    journal.keep_dead_letters_of("l".into());
    let put = async {
        for n in 0..20_u32 {
            journal.ask_for_letters("l");
            let body = format!("{{\"event_type\": \"x\", \"message_id\": \"{n}\", \"payload\": {{}}}}");
            let mut received = ReceivedMessage::sample(body, false);
            received.origin.listener = "l".into();
            let notification = Arc::new(received.decode().unwrap());
            let begin = Begin::Dead("undecided".to_owned());
            let dead = NewDelivery { begin, ..NewDelivery::new("r", "a", None) };
            let entry = Entry { received: Arc::new(received), notification, deliveries: vec![dead] };
            let mut place = journal.reserve(&["a".into()], 1).await;
            let receipt = journal.append(&mut place, entry);
            let settled = timeout(VISIT_PATIENCE + 2 * LONGEST_WAIT, receipt).await;
            assert_eq!(settled, Ok(Settle::Acknowledge), "letter {n}");
        }
    };
    tokio::select! {
        _ = queues.serve_one(&journal, "l".into()) => unreachable!("the listener stays"),
        () = put => {}
    }
    assert_eq!(broker.lock().dead.len(), 20);
}

/// A daemon that is killed before it has removed the letter that another one replaces leaves both.
#[tokio::test]
async fn of_a_letter_and_the_one_that_replaces_it_the_later_counts() {
    let waits = |why: &str| waiting(1, (why, "7", "port"));
    let broker = MemoryBroker::with([waits("guard"), waits("hold_key")]);
    let queues = broker.queues();
    let (found, _) = queues.read(|_| false).await.unwrap();
    let states: Vec<_> = found.iter().filter_map(row_of).map(|row| row.state).collect();
    assert_eq!(states, [RowState::Dead]);
    let is_held = |message: &QueuedMessage| row_of(message).is_some_and(|row| row.state == RowState::Held);
    let mut released = ChangedLetters::default();
    queues.change(DeadLetterChange::Release, is_held, &mut released).await.unwrap();
    assert_eq!(released.ids, [0; 0]);
    assert_eq!(broker.retry().await, [1]);
    assert_eq!(broker.lock().retried.len(), 1);
    let queue = queues.lock()["l"].clone();
    let visited = queue.visit(&LetterVisit::new(Instant::now()), 1).await.unwrap();
    assert_eq!(visited.found.iter().map(|letter| letter.why).collect::<Vec<_>>(), [LetterWait::HoldKey]);
}

#[tokio::test]
async fn a_dry_run_counts_what_a_change_does() {
    let letters = [
        letter(1, b"body"),
        waiting(2, ("guard", "2", "a")),
        waiting(3, ("hold_key", "3", "a")),
        waiting(4, ("hold_key", "4", "b")),
        waiting(5, ("guard", "5", "b")),
    ];
    for (change, states, ids, behind) in [
        (DeadLetterChange::Retry, &[RowState::Dead][..], &[1_u64, 4][..], &[(3_u64, 2_u64)][..]),
        (DeadLetterChange::Release, &[RowState::Held], &[2], &[(5, 4)]),
        (DeadLetterChange::Discard, &[RowState::Dead, RowState::Held], &[1, 2, 3, 4, 5], &[]),
    ] {
        let is_meant =
            |message: &QueuedMessage| row_of(message).is_some_and(|row| states.contains(&row.state));
        let broker = MemoryBroker::with(letters.clone());
        let mut foreseen = broker.queues().foresee(change, is_meant).await.unwrap();
        let kept = broker.lock().dead.len();
        assert_eq!(kept, 5, "{change:?}");
        let mut changed = ChangedLetters::default();
        broker.queues().change(change, is_meant, &mut changed).await.unwrap();
        for of in [&mut foreseen, &mut changed] {
            of.ids.sort_unstable();
            assert_eq!((&*of.ids, &*of.behind), (ids, behind), "{change:?}");
        }
    }
}

/// A daemon that has lost its connection may put a letter of a message that the other daemon has too.
#[tokio::test]
async fn the_letters_of_two_daemons_keep_the_order_of_the_first() {
    let behind = |number: usize, place: &str| waiting(number, ("behind", place, "port"));
    let broker = MemoryBroker::with([behind(5, "10"), behind(2, "11"), behind(5, "20")]);
    let queue = broker.queues().lock()["l"].clone();
    let visited = queue.visit(&LetterVisit::new(Instant::now()), 1).await.unwrap();
    let mut found: Vec<_> = visited.found.iter().map(|letter| (letter.place, letter.id)).collect();
    found.sort_unstable();
    assert_eq!(found, [(10, 5), (11, 2)]);
}

/// A daemon that did not see the letter has put one that only waits behind others; its guard let the delivery pass.
#[tokio::test]
async fn what_waits_for_release_does_so_though_a_later_copy_waits_only_behind_another() {
    let copies = || [waiting(5, ("guard", "10", "port")), waiting(5, ("behind", "20", "port"))];
    let broker = MemoryBroker::with(copies());
    let mut visit = LetterVisit::new(Instant::now());
    visit.carry_out = [(5, LetterWait::Behind)].into();
    let queue = broker.queues().lock()["l"].clone();
    let visited = queue.visit(&visit, 1).await.unwrap();
    let found: Vec<_> = visited.found.iter().map(|letter| (letter.id, letter.why)).collect();
    assert_eq!((visited.begun.len(), found), (0, vec![(5, LetterWait::Guard)]));
    let is_held = |message: &QueuedMessage| row_of(message).is_some_and(|row| row.state == RowState::Held);
    let mut changed = ChangedLetters::default();
    broker.queues().change(DeadLetterChange::Discard, is_held, &mut changed).await.unwrap();
    assert_eq!((changed.ids, broker.lock().dead.len()), (vec![5], 0));
    // Of what has come since the command began, all copies are left alone.
    let broker = MemoryBroker::with(copies());
    let queue = broker.queues().lock()["l"].clone();
    let (mut changed, mut sent) = (ChangedLetters::default(), HashSet::new());
    queue.change(DeadLetterChange::Discard, &is_held, &mut changed, (&mut sent, &mut Some(1))).await.unwrap();
    assert_eq!((changed.ids, broker.lock().dead.len()), (Vec::new(), 2));
}

/// The daemon before may not have called `on_failure`. A listing shows the dead letter.
#[tokio::test]
async fn a_daemon_has_the_letter_of_a_given_up_delivery_until_on_failure_has_ended() {
    for is_open in [true, false] {
        let held = waiting(5, ("guard", "10", "port"));
        let mut dead = held.clone();
        dead.headers.retain(|name, _| name != "osnl-waits" && name != "osnl-place");
        dead.headers.extend(is_open.then(|| ("osnl-on-failure".to_owned(), "b".to_owned())));
        let broker = MemoryBroker::with([held, dead]);
        let queue = broker.queues().lock()["l"].clone();
        let visited = queue.visit(&LetterVisit::new(Instant::now()), 1).await.unwrap();
        assert_eq!(visited.found.len(), usize::from(is_open));
        let is_dead =
            |message: &QueuedMessage| row_of(message).is_some_and(|row| row.state == RowState::Dead);
        let mut changed = ChangedLetters::default();
        broker.queues().change(DeadLetterChange::Discard, is_dead, &mut changed).await.unwrap();
        assert_eq!((changed.ids, broker.lock().dead.len()), (vec![5], 0));
    }
}

/// Another daemon may be active after all.
#[tokio::test]
async fn without_a_message_in_the_session_a_copy_is_sent_of_a_letter_that_nothing_is_before() {
    let listener: Arc<str> = "l".into();
    let journal = MemoryJournal::new(MemoryLimits::for_prefetch(4), Arc::default());
    journal.keep_dead_letters_of(listener.clone());
    journal.set_gating([listener.clone()].into());
    journal.active(&listener);
    let broker = MemoryBroker::with([waiting(1, ("behind", "7", "port"))]);
    let queues = broker.queues();
    for sent in [0, 1] {
        let visit = journal.queue_work(&listener).await.visit.unwrap();
        let visited = queues.visit(&listener, &visit, IN_HAND).await.unwrap();
        assert_eq!((visited.begun.len(), broker.lock().retried.len()), (0, sent));
        journal.visited(&listener, &visited.done, visited.found, visited.has_more);
    }
    let (sent, expected) = (broker.lock().retried[0].clone(), again(&waiting(1, ("behind", "7", "port"))));
    assert_eq!((sent.body, sent.headers), (expected.body, expected.headers));
}

/// Another daemon may have been active meanwhile.
#[tokio::test(start_paused = true)]
async fn after_a_pause_a_message_waits_for_a_count_and_for_a_reading_only_if_letters_have_changed() {
    let (journal, broker, queues) = gated(4);
    let comes = async |number| {
        let _receipt = arrives(&journal, number, "k", false).await;
        let claimed =
            timeout(VISIT_PATIENCE + LONGEST_WAIT, journal.claim("a", ClaimLimits::in_order(1))).await;
        let claimed = claimed.unwrap_or_default();
        claimed.iter().for_each(|delivery| journal.end(delivery.id, Outcome::Delivered.into()));
        sleep(2 * FIRST_PAUSE).await;
        claimed.len()
    };
    let messages = async {
        assert_eq!(comes(1).await, 1, "the first one waits for a reading");
        broker.lock().is_locked = true;
        assert_eq!(comes(2).await, 1, "there is no letter, as before");
        broker.lock().depth = Some(1);
        assert_eq!(comes(3).await, 0, "a letter has been put, and cannot be read");
        broker.lock().is_locked = false;
        assert_eq!(comes(4).await, 1);
    };
    tokio::select! {
        _ = queues.serve_one(&journal, LISTENER.into()) => unreachable!("the listener stays"),
        () = messages => {}
    }
}

/// A visit begins with as many letters as may be in hand, not with as many as have ended between two polls.
#[tokio::test(start_paused = true)]
async fn letters_that_nothing_is_before_any_more_are_carried_out_in_few_visits() {
    const KEYS: usize = 50;
    const LETTERS: usize = 4 * IN_HAND;
    let (journal, broker, queues) = gated(LETTERS);
    let course = async {
        let mut receipts = Vec::new();
        for number in 0..LETTERS {
            receipts.push(arrives(&journal, number, &format!("k{}", number % KEYS), number < KEYS).await);
        }
        join_all(receipts).await;
        assert_eq!(broker.lock().dead.len(), LETTERS);
        // An operator discards what the guard held.
        broker.lock().dead.retain(|_, letter| WaitingLetter::read(letter).unwrap().why != LetterWait::Guard);
        let before = broker.lock().read;
        journal.ask_for_letters(LISTENER);
        let mut delivered = 0;
        while delivered < LETTERS - KEYS {
            let claimed = journal.claim("a", ClaimLimits::in_order(IN_HAND)).await;
            delivered += claimed.len();
            claimed.iter().for_each(|delivery| journal.end(delivery.id, Outcome::Delivered.into()));
        }
        broker.lock().read - before
    };
    let visits = tokio::select! {
        _ = queues.serve_one(&journal, LISTENER.into()) => unreachable!("the listener stays"),
        visits = course => visits,
    };
    assert!(visits <= 8, "{visits} visits");
}

#[tokio::test(start_paused = true)]
async fn a_discard_ends_what_a_delivery_loop_has_in_hand_and_names_what_runs() {
    for runs in [false, true] {
        let (journal, broker, queues) = gated(4);
        let handler = ControlHandler::for_store(Store::for_memory(journal.clone(), queues.clone()));
        let discard = async |ids: Vec<String>| {
            let filter = Which { ids, ..Which::default() };
            let request = ControlRequest::Discard { filter, dry_run: false, by: "root".into() };
            handler.answer(&request).await.unwrap()
        };
        let course = async {
            let receipts = [arrives(&journal, 0, "k", true).await, arrives(&journal, 1, "k", false).await];
            join_all(receipts).await;
            let numbers = broker.lock().dead.values().map(id_of).collect::<Vec<_>>();
            let [held, behind] = [0, 1].map(|at: usize| DeliveryId(numbers[at]).to_string());
            assert_eq!(discard(vec![held]).await["changed"], 1);
            let claims =
                async || timeout(COUNTED, journal.claim("a", ClaimLimits::in_order(1))).await.unwrap();
            let claimed = claims().await;
            let gives_back = async {
                assert_eq!((claims().await.len(), journal.withdrawn("a")), (0, vec![claimed[0].id]));
                if !runs {
                    journal.end(claimed[0].id, Outcome::Returned.into());
                }
            };
            let (answer, ()) = tokio::join!(discard(vec![behind.clone()]), gives_back);
            let told =
                ["changed", "ids", "under_way", "under_way_ids"].map(|field| answer[field].to_string());
            let ids = format!("[\"{behind}\"]");
            let expected = if runs { ["0", "[]", "1", &ids] } else { ["1", &ids, "null", "null"] };
            assert_eq!(told, expected);
            assert_eq!(broker.lock().dead.len(), 0);
        };
        tokio::select! {
            _ = queues.serve_one(&journal, LISTENER.into()) => unreachable!("the listener stays"),
            () = course => {}
        }
    }
}

/// What was not read may be held by a guard. The dead letters of another queue are dead all the same.
#[tokio::test]
async fn letters_are_called_dead_only_if_none_that_was_not_read_is_among_them() {
    let listener: Arc<str> = "l".into();
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(0), Arc::default()));
    journal.keep_dead_letters_of(listener.clone());
    journal.set_gating([listener.clone()].into());
    let held = |number: usize| waiting(number, ("guard", "7", &format!("port{number}")));
    let broker = MemoryBroker::with((0..=MOST_READ).map(held));
    let dead_letters = Arc::new(broker.queues());
    let known = dead_letters.lock()["l"].clone();
    let other = DeadLetterQueue { name: "other.dead".to_owned(), count: Some(5), ..known };
    dead_letters.lock().insert("other".into(), other);
    let queries = MemoryAndQueues { journal: journal.clone(), dead_letters: dead_letters.clone() };
    let dead = async || {
        let numbers = queries.numbers().await.unwrap();
        (numbers.dead_in_queues, numbers.has_unread_letters)
    };
    let visit = async || {
        let visit = journal.queue_work(&listener).await.visit.unwrap();
        let visited = dead_letters.visit(&listener, &visit, IN_HAND).await.unwrap();
        journal.visited(&listener, &visited.done, visited.found, visited.has_more);
    };
    assert_eq!(dead().await, (5, false), "a queue whose broker is not connected");
    dead_letters.count_one(&listener).await;
    assert_eq!(dead().await, (5, false), "a standby with an empty queue");
    let most = MOST_READ as u64;
    broker.lock().depth = u32::try_from(most + 1).ok();
    dead_letters.count_one(&listener).await;
    assert_eq!(dead().await, (most + 6, true), "a standby");
    journal.active(&listener);
    visit().await;
    assert_eq!(dead().await, (6, true), "one letter was not read");
    broker.lock().dead.pop_last();
    journal.ask_for_letters(&listener);
    visit().await;
    assert_eq!(dead().await, (5, false), "all letters have been read");
}
