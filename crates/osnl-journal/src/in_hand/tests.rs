use std::process::{Command, Stdio};

use tokio_util::task::TaskTracker;

use super::*;
use crate::DeliveryId;

const NONE: [usize; 0] = [];

fn body(n: usize) -> Bytes {
    format!("{{\"message_id\": \"m{n}\", \"payload\": \"{}\"}}", "x".repeat(2000)).into()
}

fn process(folder: &Path) -> InHand {
    let in_hand = InHand::open(folder, true);
    in_hand.running();
    in_hand
}

fn looks_at(in_hand: &InHand, messages: &[usize]) -> Vec<usize> {
    let bodies: Vec<Bytes> = messages.iter().map(|n| body(*n)).collect();
    in_hand.upcoming(bodies.iter());
    let suspected = |n: &usize| {
        let suspected = in_hand.message(&body(*n)).is_some();
        in_hand.wanted();
        suspected
    };
    let found = messages.iter().copied().filter(suspected).collect();
    in_hand.evaluated();
    found
}

fn ends_in(folder: &Path, messages: &[usize]) -> Vec<usize> {
    let in_hand = process(folder);
    let bodies: Vec<Bytes> = messages.iter().map(|n| body(*n)).collect();
    in_hand.upcoming(bodies.iter());
    bodies
        .iter()
        .zip(messages)
        .filter_map(|(body, n)| {
            let suspected = in_hand.message(body).is_some();
            in_hand.wanted();
            suspected.then_some(*n)
        })
        .collect()
}

#[test]
fn a_file_of_a_newer_version_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in-hand");
    let newer = [b"osnlhnd2".as_slice(), &[7; SIZE]].concat();
    std::fs::write(&file, &newer).unwrap();
    assert_eq!(ends_in(folder.path(), &[1, 2]), NONE);
    assert!(std::fs::read(&file).unwrap() == newer);
}

#[test]
fn a_message_in_hand_at_three_unexpected_ends_is_not_looked_at_again_and_at_two_it_is() {
    let folder = tempfile::tempdir().unwrap();
    // The other messages are candidates the first time, and are read before message 7 each time.
    for _ in 0..2 {
        assert_eq!(ends_in(folder.path(), &[1, 2, 7]), NONE);
    }
    assert_eq!(ends_in(folder.path(), &[1, 2, 7]), NONE, "two ends do not");
    let in_hand = process(folder.path());
    assert_eq!(looks_at(&in_hand, &[1, 2, 7, 3]), [7]);
    // The count starts anew, as a message in quarantine may be retried.
    assert_eq!(looks_at(&in_hand, &[7]), NONE);
}

#[test]
fn what_was_decoded_since_is_not_suspected() {
    let folder = tempfile::tempdir().unwrap();
    ends_in(folder.path(), &[7]);
    ends_in(folder.path(), &[7]);
    let in_hand = process(folder.path());
    assert_eq!(looks_at(&in_hand, &[7, 8]), NONE);
    drop(in_hand);
    ends_in(folder.path(), &[7]);
    assert_eq!(looks_at(&process(folder.path()), &[7]), NONE, "one end since then");
}

#[test]
fn a_start_that_is_refused_is_no_end() {
    let folder = tempfile::tempdir().unwrap();
    ends_in(folder.path(), &[7]);
    for _ in 0..5 {
        drop(InHand::open(folder.path(), true));
    }
    ends_in(folder.path(), &[7]);
    assert_eq!(looks_at(&process(folder.path()), &[7]), NONE);
}

#[test]
fn a_clean_end_counts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let in_hand = process(folder.path());
        in_hand.upcoming([body(7)].iter());
        let suspected = in_hand.message(&body(7));
        in_hand.wanted();
        in_hand.claimed(&[70]);
        in_hand.clean_end();
        assert_eq!(suspected, None);
    }
    let in_hand = process(folder.path());
    assert!(!in_hand.is_careful());
    assert_eq!(in_hand.take_suspects(), []);
}

fn attempts(folder: &Path, claimed: &[u64], polled: u64) -> Vec<(u64, u32)> {
    let in_hand = Arc::new(process(folder));
    let suspects = in_hand.take_suspects();
    in_hand.claimed(claimed);
    let (inner, key) = (in_hand.clone(), polled);
    let attempt: BoxFuture<'static, ()> = Box::pin(async move {
        std::mem::forget(inner);
        let _ = key;
        std::future::pending().await
    });
    let mut attempt = in_hand.clone().around(vec![polled], attempt);
    let mut context = Context::from_waker(std::task::Waker::noop());
    if in_hand.is_careful() {
        std::mem::forget(PollMark::begin(&in_hand, &[polled]));
    }
    assert!(in_hand.is_careful() || attempt.as_mut().poll(&mut context).is_pending());
    suspects
}

#[test]
fn a_delivery_in_hand_at_three_unexpected_ends_is_suspect_and_those_beside_it_are_not() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        assert_eq!(attempts(folder.path(), &[1, 2, 7], 7), []);
    }
    assert_eq!(attempts(folder.path(), &[1, 2, 7], 2), [(7, 3)]);
    // Delivery 2 was a candidate once and in hand once.
    assert_eq!(process(folder.path()).take_suspects(), []);
}

#[tokio::test]
async fn an_attempt_that_waits_is_not_in_hand_and_one_that_panics_stays_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    drop(process(folder.path()));
    let in_hand = Arc::new(process(folder.path()));
    assert!(in_hand.is_careful());
    let waits: BoxFuture<'static, ()> = Box::pin(std::future::pending());
    let mut waiting = in_hand.clone().around(vec![5], waits);
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    let counted = |in_hand: &InHand| in_hand.lock().ends.clone();
    assert_eq!(counted(&process(folder.path())), BTreeMap::new());

    let in_hand = Arc::new(process(folder.path()));
    let odd: BoxFuture<'static, ()> = Box::pin(async { panic!("odd") });
    let odd = TaskTracker::new().spawn(in_hand.clone().around(vec![6], odd));
    assert!(odd.await.unwrap_err().is_panic());
    let mut later = in_hand.clone().around(vec![8], Box::pin(std::future::pending::<()>()));
    assert!(later.as_mut().poll(&mut context).is_pending());
    let ends = counted(&process(folder.path()));
    assert_eq!(ends.keys().copied().collect::<Vec<_>>(), [(EntryKind::Delivery, 6)]);
}

#[test]
fn lists_are_bounded_and_what_is_old_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let in_hand = process(folder.path());
    let keys: Vec<u64> = (1..=3000).collect();
    in_hand.claimed(&keys[..700]);
    in_hand.claimed(&keys[700..2000]);
    in_hand.claimed(&keys[2000..]);
    drop(in_hand);
    let file = OpenOptions::new().read(true).open(folder.path().join("in-hand")).unwrap();
    assert_eq!(file.metadata().unwrap().len(), SIZE as u64);
    let (ends, was_unexpected) = InHand::read(&file, 1_000_000).unwrap();
    assert!(was_unexpected);
    assert_eq!(ends.len(), COUNTED);
    assert!(ends.keys().all(|(kind, key)| *kind == EntryKind::Delivery && (1977..=3000).contains(key)));
    let in_hand = process(folder.path());
    in_hand.clean_end();
    let (ends, was_unexpected) = InHand::read(&file, now() + FORGOTTEN.as_secs()).unwrap();
    assert_eq!((ends.len(), was_unexpected), (0, false));
}

#[test]
fn a_file_that_is_not_ours_or_cannot_be_had_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in-hand"), b"something else").unwrap();
    assert_eq!(looks_at(&process(folder.path()), &[1]), NONE);
    let elsewhere = folder.path().join("elsewhere");
    std::fs::write(&elsewhere, b"kept").unwrap();
    let link = folder.path().join("linked");
    std::fs::create_dir(&link).unwrap();
    std::os::unix::fs::symlink(&elsewhere, link.join("in-hand")).unwrap();
    assert_eq!(looks_at(&process(&link), &[1]), NONE);
    assert_eq!(std::fs::read(&elsewhere).unwrap(), b"kept");
}

#[test]
fn keys_tell_bodies_apart_by_what_stands_at_their_ends() {
    let keys: std::collections::BTreeSet<u64> = (0..10_000).map(|n| key_of(&body(n))).collect();
    assert_eq!(keys.len(), 10_000);
    let tail = |n: usize| format!("{}{n}", "x".repeat(5000));
    assert_ne!(key_of(tail(1).as_bytes()), key_of(tail(2).as_bytes()));
    assert_ne!(delivery_key(b"b", "r", "a", None), delivery_key(b"b", "r", "a", Some(0)));
    assert_ne!(delivery_key(b"b", "r", "a", None), delivery_key(b"b", "s", "a", None));
    assert_eq!(InHand::default().key_of(DeliveryId(7), b"b", "r", "a", None), 7);
}

/// The variable with the folder for the program below; the following test starts that program.
const FOLDER: &str = "OSNL_TEST_IN_HAND";

/// A process that aborts while it decodes a message, as stack overflow does. Without the variable, the test
/// only checks that no message is refused.
#[test]
fn aborts_while_it_decodes() {
    match std::env::var_os(FOLDER) {
        None => assert_eq!(looks_at(&InHand::default(), &[7]), NONE),
        Some(folder) => {
            let in_hand = process(Path::new(&folder));
            in_hand.upcoming([body(1), body(7)].iter());
            for n in [1, 7] {
                if in_hand.message(&body(n)).is_some() {
                    continue;
                }
                in_hand.wanted();
                if n == 7 {
                    std::process::abort();
                }
            }
            in_hand.clean_end();
        }
    }
}

#[test]
fn a_process_that_aborts_three_times_over_a_message_goes_on_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = || {
        let mut this = Command::new(std::env::current_exe().unwrap());
        this.args(["--exact", "in_hand::tests::aborts_while_it_decodes"]).env(FOLDER, folder.path());
        this.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    };
    assert_eq!([run(), run(), run(), run()], [false, false, false, true]);
}
