//! Letters about resources of a bulk request, which have parts of its body.

use std::collections::{BTreeSet, HashMap};

use osnl_model::bulk_part;
use osnl_transport::QueuedMessage;

use super::*;
use crate::Begin;
use crate::dead_letters::{
    DeadLetterRow, LetterCopies, LetterReads, RetriedDelivery, WaitingLetter, again, carried_out,
};

fn listener() -> Arc<str> {
    ReceivedMessage::sample("", false).origin.listener
}

fn reading(paths: &[&str]) -> LetterReads {
    LetterReads::Paths(paths.iter().map(|path| (*path).to_owned()).collect::<BTreeSet<_>>())
}

fn journal_of(reads: LetterReads) -> MemoryJournal {
    let journal = journal();
    journal.keep_dead_letters_of(listener());
    journal.set_letter_reads(&listener(), reads);
    journal
}

fn bulk(count: u32) -> ReceivedMessage {
    let port = |n: u32| format!(r#"{{"id": "port-{n}", "description": "{}"}}"#, "d".repeat(1_500));
    let ports: Vec<String> = (0..count).map(port).collect();
    let message = format!(
        r#"{{"event_type": "port.create.end", "message_id": "m", "payload": {{"ports": [{}]}}}}"#,
        ports.join(", ")
    );
    let body = serde_json::json!({"oslo.version": "2.0", "oslo.message": message}).to_string();
    ReceivedMessage::sample(body, false)
}

/// One delivery for each of these resources, with the number of the letter of which it is the copy.
fn asking(received: &ReceivedMessage, resources: std::ops::Range<u32>, begin: &Begin) -> Entry {
    let copy = received.noted.marks.as_deref().and_then(RetriedDelivery::from_marks);
    let letter = copy.and_then(|copy| copy.letter);
    let new = |n: u32| NewDelivery {
        resource: Some(n),
        begin: begin.clone(),
        letter,
        ..NewDelivery::new("r", "a", Some(format!("port-{n}")))
    };
    Entry {
        notification: Arc::new(received.decode().unwrap()),
        received: Arc::new(received.clone()),
        deliveries: resources.map(new).collect(),
    }
}

/// Puts all letters into the queue, which a reading then checks.
fn buried(journal: &MemoryJournal) -> Vec<QueuedMessage> {
    let mut letters = Vec::new();
    loop {
        let group = unburied(journal);
        journal.buried(&group);
        if group.is_empty() {
            return letters;
        }
        letters.extend(group.into_iter().map(|burial| burial.message));
    }
}

/// Returns the letters that a reading of the queue finds.
fn read(queue: &[QueuedMessage]) -> Vec<QueuedMessage> {
    let (mut queue, mut copies) = (queue.to_vec(), LetterCopies::default());
    queue.iter_mut().for_each(|message| copies.admit(message));
    copies.arrange(&queue);
    queue
        .into_iter()
        .enumerate()
        .filter(|(at, _)| copies.is_current(*at))
        .map(|(_, message)| message)
        .collect()
}

/// 500 letters with the whole body are 400 MB.
#[test]
fn the_letters_of_one_bulk_message_repeat_one_resource_each() {
    let journal = journal_of(reading(&["payload.ports.0.id", "resource.project"]));
    let received = bulk(500);
    let whole = received.decode().unwrap();
    let mut receipt = append_as(&journal, asking(&received, 0..500, &Begin::Dead("no room".to_owned())));
    let queue = buried(&journal);
    assert_eq!((&mut receipt).now_or_never(), Some(Settle::Acknowledge));
    let bytes: usize = queue.iter().map(|message| message.body.len()).sum();
    assert!(bytes < 4 * received.body.len(), "{bytes} bytes for a message of {}", received.body.len());
    let letters = read(&queue);
    assert_eq!(letters.len(), 500);
    for (n, letter) in letters.iter().enumerate() {
        let DeadLetterRow::Delivery(found) = DeadLetterRow::read(letter) else { panic!("{letter:?}") };
        let (row, kept) = *found;
        assert_eq!(row.resource, u32::try_from(n).ok());
        assert_eq!(bulk_part(&kept.decode().unwrap(), n), bulk_part(&whole, n));
        let back = carried_out(letter, &listener(), "q").decode().unwrap();
        assert_eq!(bulk_part(&back, n), bulk_part(&whole, n));
        assert_eq!(back.id(), whole.id());
    }
}

#[test]
fn a_letter_has_all_that_is_read_of_its_message() {
    let check = |reads: LetterReads, is_whole: bool| {
        let journal = journal_of(reads.clone());
        let received = bulk(3);
        let _receipt = append_as(&journal, asking(&received, 0..3, &Begin::Dead("no room".to_owned())));
        let all_whole = buried(&journal).iter().all(|letter| letter.body == received.body);
        assert_eq!(all_whole, is_whole, "{reads:?}");
    };
    check(reading(&[]), false);
    check(reading(&["payload.port.id", "event_type"]), false);
    check(reading(&["event_type", "payload.ports.2.id"]), true);
    check(reading(&["payload"]), true);
    check(LetterReads::Whole, true);
}

/// Lets a delivery of a message fail, and returns the queue with its letter.
fn fails(journal: &MemoryJournal, entry: Entry, mut queue: Vec<QueuedMessage>) -> Vec<QueuedMessage> {
    let mut receipt = append_as(journal, entry);
    visit(journal, &mut queue);
    let claimed = journal.claim("a", ClaimLimits::in_order(10)).now_or_never().unwrap_or_default();
    assert_eq!(claimed.len(), 1, "its letter is the first of the lane");
    journal.end(claimed[0].id, Outcome::DeadHoldingKey("refused".to_owned()).into());
    queue.extend(buried(journal));
    visit(journal, &mut queue);
    assert_eq!((&mut receipt).now_or_never(), Some(Settle::Acknowledge));
    queue
}

fn visit(journal: &MemoryJournal, queue: &mut Vec<QueuedMessage>) {
    while let Some(work) = journal.queue_work(&listener()).now_or_never() {
        assert!(work.burials.is_empty());
        let Some(visit) = work.visit else { return };
        // Of a letter that is replaced, the newest copy stays.
        let id = |message: &QueuedMessage| WaitingLetter::read(message).unwrap().id;
        let last: HashMap<u64, usize> = queue.iter().enumerate().map(|(at, of)| (id(of), at)).collect();
        let mut at = 0..;
        queue.retain(|message| {
            let is_last = at.next() == last.get(&id(message)).copied();
            visit.remove.get(&id(message)).is_none_or(|is_replaced| *is_replaced && is_last)
        });
        let found = read(queue).iter().filter_map(WaitingLetter::read).collect();
        journal.visited(&listener(), &visit, found, false);
    }
}

/// Copies of one letter are known by its body: with another one, the newer letter would be another letter.
#[test]
fn a_letter_that_replaces_another_has_the_body_of_that() {
    for (before, after) in [(reading(&[]), LetterReads::Whole), (LetterReads::Whole, reading(&[]))] {
        let gating = |reads: &LetterReads| {
            let journal = journal_of(reads.clone());
            journal.set_gating([listener()].into());
            journal.subscribed(&listener(), 100);
            journal
        };
        let (journal, received) = (gating(&before), bulk(4));
        let first = fails(&journal, asking(&received, 2..3, &Begin::Live), Vec::new());
        let [letter] = &first[..] else { panic!("{first:?}") };
        assert_eq!(letter.body == received.body, before == LetterReads::Whole);
        // A retry of the letter fails, after a reload; and so does the message, after a crash before its acknowledgement.
        let mut copy = carried_out(letter, &listener(), "q");
        copy.origin.redelivered = false;
        assert_eq!(copy.noted.marks.as_deref(), Some(&again(letter).headers));
        let mut anew = received.clone();
        anew.origin.redelivered = true;
        for message in [copy, anew] {
            let journal = gating(&after);
            let queue = fails(&journal, asking(&message, 2..3, &Begin::Live), first.clone());
            let [again] = &queue[..] else { panic!("one letter is left: {queue:?}") };
            assert_eq!(
                (&again.body, again.headers.get("osnl-id")),
                (&letter.body, letter.headers.get("osnl-id"))
            );
        }
    }
}
