use osnl_core::quarantine::{Extent, HEAD, LONGEST_WHOLE};

use super::super::upkeep::{BackupSource, Observer, RestoreOptions, backup, restore};
use super::*;
use crate::query::{Bodies, Unreadable, UnreadableFilter};

async fn put(journal: &SqliteJournal, body: impl Into<bytes::Bytes>, redelivered: bool, reason: &str) {
    let receipt = journal.set_aside(ReceivedMessage::sample(body, redelivered), reason.to_owned());
    assert_eq!(within(receipt).await, Settle::Acknowledge);
}

const SEEN: &str =
    r#"{"message_id": "m1", "publisher_id": "network.n1", "event_type": "e", "payload": "hunter2"#;

#[tokio::test]
async fn a_message_is_kept_as_received_and_a_long_one_by_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let long = vec![b'['; LONGEST_WHOLE + 1];
    for (body, redelivered) in [
        (SEEN.as_bytes(), false),
        (&[b' '; 5000], false),
        (&long, false),
        (&long, true),
        (SEEN.as_bytes(), true),
    ] {
        put(&journal, body.to_vec(), redelivered, "why").await;
    }
    let kept = reader(&folder).unreadable(0, 10).unwrap();
    let shown: Vec<_> =
        kept.iter().map(|one| (one.extent, one.size, one.received.body.len(), one.digest.len())).collect();
    assert_eq!(
        shown,
        [
            (Extent::Compressed, SEEN.len() as u64, SEEN.len(), 16),
            (Extent::Compressed, 5000, 5000, 16),
            (Extent::Head, LONGEST_WHOLE as u64 + 1, HEAD, 16),
        ]
    );
    assert_eq!(kept[0].received.body[..], *SEEN.as_bytes());
    let all = UnreadableFilter::default();
    let listed = reader(&folder).quarantined(&all, 0, 10, Bodies::Left).unwrap();
    assert!(listed.iter().all(|one| one.received.body.is_empty()));
    let shown = |of: &[Unreadable]| -> Vec<_> {
        of.iter().map(|one| (one.extent, one.size, one.digest.clone())).collect()
    };
    assert_eq!(shown(&listed), shown(&kept));
    assert_eq!(kept[0].glimpse.publisher_id.as_deref(), Some("network.n1"));
    assert!(std::fs::metadata(&options(&folder).path).unwrap().len() < 1 << 20);
}

#[tokio::test]
async fn a_row_from_before_has_its_digest_and_ids_too_and_its_copy_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    const SEEN: &str = r#"{"message_id": "m1""#;
    put(&journal, SEEN, false, "why").await;
    let new = reader(&folder).unreadable(0, 10).unwrap().remove(0);
    let old = "UPDATE unreadable SET digest = NULL, message_id = NULL, publisher_id = NULL, event_type = NULL, \
               extent = 0, body = CAST('{\"message_id\": \"m1\"' AS BLOB)";
    tamper(&journal, old).await;
    let old = reader(&folder).unreadable(0, 10).unwrap().remove(0);
    assert_eq!((&old.digest, &old.glimpse), (&new.digest, &new.glimpse));
    put(&journal, SEEN, true, "why").await;
    assert_eq!(reader(&folder).unreadable(0, 10).unwrap().len(), 1);
}

fn numbers(folder: &TempDir) -> Vec<i64> {
    reader(folder).numbers_quarantined(&UnreadableFilter::default()).unwrap()
}

#[tokio::test]
async fn a_number_of_a_message_that_has_left_is_not_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for n in 0..3_u8 {
        put(&journal, vec![0xff, n], false, "why").await;
    }
    assert_eq!(numbers(&folder), [1, 2, 3]);
    journal.forget_quarantined(vec![3]).await.unwrap();
    put(&journal, vec![0xff, 3], false, "why").await;
    assert_eq!(numbers(&folder), [1, 2, 4]);
    journal.forget_quarantined(vec![1, 2, 4]).await.unwrap();
    drop(journal);
    let journal = open(&folder);
    put(&journal, vec![0xff, 4], false, "why").await;
    assert_eq!(numbers(&folder), [5]);
    drop(journal);

    let journal = open_with(options(&folder).bounded(|bounds| bounds.max_dead = 1));
    for n in 5..9_u8 {
        put(&journal, vec![0xff, n], false, "why").await;
    }
    osnl_testkit::wait_until(Duration::from_secs(60), "the others have left", || numbers(&folder) == [9]);
}

#[tokio::test]
async fn a_restored_backup_gives_no_number_again_that_the_replaced_journal_gave() {
    let folder = tempfile::tempdir().unwrap();
    let (file, copy) = (options(&folder).path, folder.path().join("copy.db"));
    let quiet: Observer = Arc::new(|_| std::ops::ControlFlow::Continue(()));
    let journal = open(&folder);
    put(&journal, vec![0xff, 0], false, "why").await;
    backup(&file, &copy, false, &quiet).unwrap();
    put(&journal, vec![0xff, 1], false, "why").await;
    journal.forget_quarantined(vec![2]).await.unwrap();
    drop(journal);
    let how = RestoreOptions { aside: Some(folder.path().join("aside.db")), pause_by: None };
    restore(BackupSource::File(&copy), &file, &how, &quiet).unwrap();
    let journal = open(&folder);
    put(&journal, vec![0xff, 2], false, "why").await;
    assert_eq!(numbers(&folder), [1, 3]);
}
