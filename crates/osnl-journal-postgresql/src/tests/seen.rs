//! Facts that earlier messages told: over members, after a take-over, and when two members tell of one resource at once.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::mpsc::Receiver;

use osnl_core::recall::{
    ReadRows, Recall, RecallReport, RecalledMeaning, Recaller, Recollection, RowChange, message_row,
};

use super::*;
use crate::member::CommitFault;

/// The meaning of a message `A<B` is all that was told of `A` and of `B` before; then it is told of `A`.
#[derive(Debug, Default)]
struct Ledger {
    computed: AtomicU64,
    /// Says that a meaning is computed, and waits until it may go on; once.
    gate: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

impl Ledger {
    fn computed(&self) -> u64 {
        self.computed.load(Ordering::SeqCst)
    }

    /// Stops the next computation; returns what tells that it has stopped, and what lets it go on.
    fn stop(&self) -> (Receiver<()>, Sender<()>) {
        let ((stops, is_stopped), (go_on, goes_on)) = (channel(), channel());
        *self.gate.lock().unwrap() = Some((stops, goes_on));
        (is_stopped, go_on)
    }
}

impl Recall for Ledger {
    fn recall(
        &self,
        reports: &[RecallReport<'_>],
        rows: &ReadRows,
    ) -> Result<Recollection, BTreeSet<String>> {
        let mut rows = rows.clone();
        let (mut recalled, mut unread, mut changed) =
            (Recollection::default(), BTreeSet::new(), BTreeSet::new());
        for report in reports {
            let (id, told) = match report {
                RecallReport::Message(n, _) => (n.unique_id.clone().unwrap(), n.event_type.clone().unwrap()),
                RecallReport::Facts(facts) => ("fact".to_owned(), (*facts).to_owned()),
            };
            let names: Vec<&str> = told.split('<').collect();
            unread.extend(
                names.iter().filter(|name| !rows.contains_key(**name)).map(|name| (*name).to_owned()),
            );
            let text = |name: &&str| rows.get(*name).cloned().flatten().unwrap_or_default();
            let happened = names.iter().map(text).collect::<Vec<_>>().join("|");
            let own = names[0].to_owned();
            if id == "forget" {
                rows.insert(own.clone(), None);
            } else {
                let before = text(&names[0]);
                let now = if before.is_empty() { id.clone() } else { format!("{before} {id}") };
                rows.insert(own.clone(), Some(now));
            }
            changed.insert(own.clone());
            let meaning = RecalledMeaning { happened: Some(happened.into()), keys: vec![(None, own)] };
            recalled.meanings.push(if id == "fact" { RecalledMeaning::default() } else { meaning });
        }
        if !unread.is_empty() {
            return Err(unread);
        }
        self.computed.fetch_add(1, Ordering::SeqCst);
        let gate = self.gate.lock().unwrap().take();
        if let Some((stops, goes_on)) = gate {
            stops.send(()).unwrap();
            let _ = goes_on.recv();
        }
        recalled.changes =
            changed.into_iter().map(|name| RowChange { row: rows[&name].clone(), name }).collect();
        Ok(recalled)
    }
}

/// A message from a queue, about a resource and what it reads besides.
fn told(ledger: &Arc<Ledger>, queue: &str, id: &str, about: &str) -> Entry {
    let mut new = entry(id, "key of the message", false);
    let mut received = (*new.received).clone();
    received.origin.queue = queue.into();
    received.noted.recaller = Some(Recaller(ledger.clone()));
    let mut notification = (*new.notification).clone();
    notification.event_type = Some(about.to_owned());
    (new.received, new.notification) = (received.into(), notification.into());
    new.deliveries[0].is_keyed_by_note = true;
    new
}

async fn tell(member: &PostgresJournal, new: Entry) -> Settle {
    within(append(member, new).await).await
}

const KNOWN: &str = "SELECT convert_from(name, 'UTF8'), told FROM osnl_seen ORDER BY name";
const MEANINGS: &str = "SELECT a.unique_id, a.happened, convert_from(d.key, 'UTF8') FROM osnl_arrival a \
     JOIN osnl_delivery d ON d.arrival = a.id ORDER BY a.id";

#[tokio::test]
async fn what_one_reader_has_seen_another_one_knows_after_a_take_over() {
    let (stage, ledger) = (Stage::new(), Arc::<Ledger>::default());
    let (a, b) = (stage.member("a"), stage.member("b"));
    assert_eq!(tell(&a, told(&ledger, "q", "created", "x")).await, Settle::Acknowledge);
    // It stops, and the broker chooses the other one; what it had in hand tells nothing.
    assert_eq!(tell(&b, told(&ledger, "q", "changed", "x")).await, Settle::Acknowledge);
    assert_eq!(tell(&a, told(&ledger, "q", "late", "x")).await, Settle::Leave);
    assert_eq!(tell(&b, told(&ledger, "q", "created", "x")).await, Settle::Acknowledge, "a copy");
    assert_eq!(tell(&b, told(&ledger, "q", "deleted", "x")).await, Settle::Acknowledge);
    assert_eq!(stage.rows(MEANINGS), "created||x\nchanged|created|x\ndeleted|created changed|x");
    assert_eq!(stage.rows(KNOWN), "x|created changed deleted");
    assert_eq!(stage.rows("SELECT version FROM osnl_seen_version"), "3");
    // The lane is that of the note; the meaning is there, read from the tables or not.
    for (expected, meaning) in [("created", ""), ("changed", "created"), ("deleted", "created changed")] {
        let mut claimed = claimable(&a, "a").await;
        claimed.extend(claimable(&b, "a").await);
        assert_eq!((names(&claimed), claimed[0].key.as_deref()), (vec![expected], Some("x")));
        let received = &claimed[0].event.received;
        assert_eq!((received.noted.happened.as_deref(), &received.noted.recaller), (Some(meaning), &None));
        for member in [&a, &b] {
            member.end(claimed[0].id, Outcome::Delivered.into());
            within(member.look()).await;
        }
    }
    assert_eq!(tell(&b, told(&ledger, "q", "forget", "x")).await, Settle::Acknowledge);
    assert_eq!(stage.rows(KNOWN), "");
    assert_eq!(stage.rows("SELECT resources, messages FROM osnl_seen_version"), "0|0");
}

#[tokio::test]
async fn what_another_member_tells_meanwhile_is_computed_anew() {
    // Both write what they read; then each reads what the other one writes.
    for (of_a, of_b, expected) in [("x", "x", "1|0 2\n2|0"), ("x<y", "y<x", "1|0|2\n2||0")] {
        let (stage, ledger) = (Stage::new(), Arc::<Ledger>::default());
        let (a, b) = (stage.member("a"), stage.member("b"));
        // Both have their epochs.
        assert_eq!(tell(&a, told(&ledger, "p", "0", "x")).await, Settle::Acknowledge);
        assert_eq!(tell(&b, told(&ledger, "q", "z", "z")).await, Settle::Acknowledge);
        assert_eq!(tell(&a, told(&ledger, "p", "y", "z")).await, Settle::Acknowledge);
        let before = ledger.computed();
        let (is_stopped, go_on) = ledger.stop();
        let late = append(&a, told(&ledger, "p", "1", of_a)).await;
        tokio::task::spawn_blocking(move || is_stopped.recv().unwrap()).await.unwrap();
        assert_eq!(tell(&b, told(&ledger, "q", "2", of_b)).await, Settle::Acknowledge);
        drop(go_on);
        assert_eq!(within(late).await, Settle::Acknowledge);
        assert!(ledger.computed() >= before + 3, "{of_a}");
        let meanings =
            "SELECT unique_id, happened FROM osnl_arrival WHERE unique_id IN ('1', '2') ORDER BY unique_id";
        assert_eq!(stage.rows(meanings), expected, "{of_a}");
        // Lanes are in the order of the meanings.
        let later = "SELECT a.id > b.id FROM osnl_arrival a, osnl_arrival b WHERE a.unique_id = '1' AND b.unique_id = '2'";
        assert_eq!(stage.rows(later), "t", "{of_a}");
        assert_eq!(stage.rows("SELECT version FROM osnl_seen_version"), "5");
    }
}

#[tokio::test]
async fn members_that_race_about_one_resource_tell_of_it_one_after_the_other() {
    const EACH: usize = 60;
    let (stage, ledger) = (Stage::new(), Arc::<Ledger>::default());
    let members = ["a", "b", "c"].map(|name| stage.member(name));
    let mut receipts = Vec::new();
    for n in 0..EACH {
        for (member, queue) in members.iter().zip(["p", "q", "r"]) {
            receipts.push(append(member, told(&ledger, queue, &format!("{queue}{n}"), "x")).await);
        }
        if n % 5 == 0 {
            tokio::task::yield_now().await;
            within(receipts.pop().unwrap()).await;
        }
    }
    for receipt in receipts {
        assert_eq!(within(receipt).await, Settle::Acknowledge);
    }
    // In the order of the lane each knows of those before it, and of no other.
    let mut expected = String::new();
    for line in stage.rows("SELECT unique_id, happened FROM osnl_arrival ORDER BY id").lines() {
        let (id, happened) = line.split_once('|').unwrap();
        assert_eq!(happened, expected);
        expected = format!("{expected} {id}").trim_start().to_owned();
    }
    assert_eq!(expected.split_whitespace().count(), 3 * EACH);
    assert_eq!(stage.rows(KNOWN), format!("x|{expected}"));
    for queue in ["p", "q", "r"] {
        let of_queue: Vec<&str> = expected.split_whitespace().filter(|id| id.starts_with(queue)).collect();
        let in_order: Vec<String> = (0..EACH).map(|n| format!("{queue}{n}")).collect();
        assert_eq!(of_queue, in_order);
    }
    assert_eq!(stage.rows("SELECT count(DISTINCT lane) FROM osnl_delivery"), "1");
}

#[tokio::test]
async fn a_commit_without_an_answer_tells_once() {
    for fault in [CommitFault::AnswerLost, CommitFault::CommitLost] {
        let (stage, ledger) = (Stage::new(), Arc::<Ledger>::default());
        let a = stage.member("a");
        assert_eq!(tell(&a, told(&ledger, "q", "1", "x")).await, Settle::Acknowledge);
        a.send(PostgresCommand::Do(Box::new(move |member| member.fault = fault)));
        assert_eq!(tell(&a, told(&ledger, "q", "2", "x")).await, Settle::Acknowledge);
        assert_eq!(stage.rows(KNOWN), "x|1 2", "{fault:?}");
        assert_eq!(stage.rows(MEANINGS), "1||x\n2|1|x", "{fault:?}");
    }
}

/// No action asks for it, and later messages mean something else with it.
#[tokio::test]
async fn a_message_without_a_delivery_and_the_answers_of_a_delivery_are_noted() {
    let (stage, ledger) = (Stage::new(), Arc::<Ledger>::default());
    let a = stage.member("a");
    let nothing = Entry { deliveries: Vec::new(), ..told(&ledger, "q", "1", "x") };
    assert_eq!(tell(&a, nothing).await, Settle::Acknowledge);
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_arrival"), "0");
    assert_eq!(tell(&a, told(&ledger, "q", "2", "x")).await, Settle::Acknowledge);
    let claimed = claim(&a, "a", 1).await;
    let recalled = Some((Recaller(ledger.clone()), "x".to_owned()));
    let learnt = LearntFacts { recalled, ..LearntFacts::default() };
    within(a.enriched(claimed[0].id, &Default::default(), learnt.clone())).await;
    assert_eq!(stage.rows(KNOWN), "x|1 2 fact");
    assert_eq!(stage.rows(MEANINGS), "2|1|x");
    // It has ended: its answers count no more.
    a.end(claimed[0].id, Outcome::Delivered.into());
    within(a.look()).await;
    within(a.enriched(claimed[0].id, &Default::default(), learnt)).await;
    assert_eq!(stage.rows(KNOWN), "x|1 2 fact");
}

#[tokio::test]
async fn what_was_not_touched_for_longest_is_forgotten_beyond_the_bound() {
    let (stage, ledger) = (Stage::new(), Arc::<Ledger>::default());
    let a = stage.member("a");
    for (n, about) in ["x", "y", "x", &message_row("m"), &message_row("n")].into_iter().enumerate() {
        assert_eq!(tell(&a, told(&ledger, "q", &n.to_string(), about)).await, Settle::Acknowledge);
    }
    assert_eq!(stage.rows("SELECT resources, messages FROM osnl_seen_version"), "2|2");
    stage.rows("UPDATE osnl_seen_version SET resources = 99999, messages = 4096");
    for about in ["z", "w", &message_row("o")] {
        assert_eq!(tell(&a, told(&ledger, "q", about, about)).await, Settle::Acknowledge);
    }
    assert_eq!(stage.rows("SELECT resources, messages FROM osnl_seen_version"), "100000|4096");
    let names = stage.rows("SELECT convert_from(name, 'UTF8') FROM osnl_seen ORDER BY touched");
    assert_eq!(names, "x\nmessage/n\nz\nw\nmessage/o");
}

#[tokio::test]
async fn a_name_that_no_index_takes_is_known_too() {
    let (stage, ledger) = (Stage::new(), Arc::<Ledger>::default());
    let member = stage.member("a");
    let name = long(7);
    for id in ["created", "changed", "forget"] {
        assert_eq!(tell(&member, told(&ledger, "q", id, &name)).await, Settle::Acknowledge);
    }
    let meanings = "SELECT unique_id, happened FROM osnl_arrival ORDER BY id";
    assert_eq!(stage.rows(meanings), "created|\nchanged|created\nforget|created changed");
    assert_eq!(stage.rows(KNOWN), "");
}
