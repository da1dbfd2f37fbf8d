//! Messages that are kept unread, and the keys of deliveries from before.

use super::*;
use crate::control::{ControlHandler, Request, Store, WhichMessages};
use crate::quarantine::{Extent, HEAD, LONGEST_WHOLE};
use serde_json::{Value, json};

async fn put(journal: &SqliteJournal, body: impl Into<bytes::Bytes>, redelivered: bool, reason: &str) {
    let receipt = journal.set_aside(Received::sample(body, redelivered), reason.to_owned());
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

async fn ask(handler: &ControlHandler, request: Request) -> Result<Value, String> {
    within(handler.answer(&request)).await.map_err(|refusal| refusal.message)
}

fn of(filter: WhichMessages) -> Request {
    Request::QuarantineList { filter, after: 0, limit: 2 }
}

fn again(id: i64, action: &str) -> Request {
    let deliveries = json!([{"rule": "r", "action": action, "resource": "k"}]);
    let request =
        json!({"verb": "quarantine-retry", "by": "root", "messages": [{"id": id, "deliveries": deliveries}]});
    serde_json::from_value(request).unwrap()
}

/// The same of the journal that a daemon has, and of the file of one that is stopped.
#[tokio::test]
async fn the_quarantine_is_listed_shown_discarded_and_retried() {
    const READ: &str = r#"{"message_id": "m2", "event_type": "e", "payload": {"a": 1}}"#;
    for running in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let journal = Arc::new(open(&folder));
        put(&journal, SEEN, false, "no JSON").await;
        put(&journal, READ, false, "more than max_body").await;
        put(&journal, vec![b'{'; LONGEST_WHOLE + 1], false, "more than max_body").await;
        let path = options(&folder).path;
        let store = match running {
            true => Store::Sqlite(journal, path.clone()),
            false => {
                drop(journal);
                Store::File(path.clone())
            }
        };
        let handler = ControlHandler::of_store(store);

        let list = ask(&handler, of(WhichMessages::default())).await.unwrap();
        assert_eq!(
            (&list["total"], &list["next"], &list["messages"][0]["message_id"]),
            (&json!(3), &json!(2), &json!("m1"))
        );
        let by_reason = WhichMessages { reason: Some("max_body".into()), ..WhichMessages::default() };
        assert_eq!(ask(&handler, of(by_reason.clone())).await.unwrap()["total"], 2);
        let elsewhere = WhichMessages { queue: Some("other".into()), ..WhichMessages::default() };
        assert_eq!(ask(&handler, of(elsewhere)).await.unwrap()["total"], 0);

        let show = ask(&handler, Request::QuarantineShow { id: 1, raw: false }).await.unwrap();
        assert!(!show.to_string().contains("hunter2"), "{show}");
        assert_eq!(
            show["preview"],
            r#"{"message_id":"***","publisher_id":"***","event_type":"***","payload":"***""#
        );
        let raw = ask(&handler, Request::QuarantineShow { id: 1, raw: true }).await.unwrap();
        assert!(raw["body_base64"].as_str().unwrap().starts_with("eyJtZXNzYWdl"));
        let missing = ask(&handler, Request::QuarantineShow { id: 9, raw: false }).await;
        assert_eq!(missing.unwrap_err(), "there is no message 9 in the quarantine");

        for (id, why) in [
            (
                1,
                "it still cannot be read: the body is not readable JSON: EOF while parsing a string at line 1 column 89",
            ),
            (3, "only the first 65536 of its 16777217 bytes are kept: it cannot be retried"),
            (9, "there is no message 9 in the quarantine"),
        ] {
            let refused = ask(&handler, again(id, "a")).await.unwrap();
            assert_eq!((&refused["changed"], &refused["refusals"][0]["why"]), (&json!(0), &json!(why)));
        }
        assert_eq!(ask(&handler, again(2, "a")).await.unwrap()["ids"], json!([2]));
        let event = reader(&folder).list(&Filter::default(), &Page::default()).unwrap().remove(0);
        assert_eq!((event.message_id.as_deref(), &*event.queue, &*event.action), (Some("m2"), "q", "a"));

        let discard =
            |dry_run| Request::QuarantineDiscard { filter: by_reason.clone(), dry_run, by: "root".into() };
        assert_eq!(ask(&handler, discard(true)).await.unwrap()["ids"], json!([3]));
        assert_eq!(ask(&handler, discard(false)).await.unwrap()["ids"], json!([3]));
        let left = ask(&handler, of(WhichMessages::default())).await.unwrap();
        assert_eq!((&left["total"], &left["messages"][0]["id"]), (&json!(1), &json!(1)));
        let status = ask(&handler, Request::Status {}).await.unwrap();
        let attention = status["attention"].to_string();
        assert!(attention.contains("1 message is in quarantine; osnl quarantine list"), "{attention}");
    }
}

/// Finding 24: a delivery that the journal holds from before keeps the key that it has been sent with.
#[tokio::test]
async fn a_delivery_from_before_keys_had_rules_keeps_its_key_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    tamper(&journal, "UPDATE meta SET value = 2 WHERE name = 'keys_with_rule_from'").await;
    drop(journal);
    let journal = open(&folder);
    keep(&journal, "2", "other").await;
    let claimed = claim(&journal, "a", 2).await;
    let keys: Vec<_> = claimed.iter().map(|one| one.event.idempotency_key()).collect();
    assert_eq!(keys, ["m1/a", "2/r/a"]);
    drop(journal);
    let journal = open(&folder);
    let claimed = claim(&journal, "a", 2).await;
    let again: Vec<_> = claimed.iter().map(|one| one.event.idempotency_key()).collect();
    assert_eq!(again, keys);
}
