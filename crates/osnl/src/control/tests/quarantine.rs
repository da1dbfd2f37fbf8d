use osnl_core::quarantine::LONGEST_WHOLE;
use osnl_core::received::ReceivedMessage;
use osnl_journal::memory::{MemoryJournal, MemoryLimits};
use osnl_journal::query::{Filter, ListPage};
use osnl_journal::sqlite::SqliteReader;
use osnl_journal::{Journal as _, Settle};

use super::*;

const SEEN: &str =
    r#"{"message_id": "m1", "publisher_id": "network.n1", "event_type": "e", "payload": "hunter2"#;

pub(super) async fn put(journal: &SqliteJournal, body: impl Into<bytes::Bytes>, reason: &str) {
    let receipt = journal.set_aside(ReceivedMessage::sample(body, false), reason.to_owned());
    assert_eq!(receipt.await, Settle::Acknowledge);
}

async fn ask(handler: &ControlHandler, request: ControlRequest) -> Result<Value, String> {
    handler.answer(&request).await.map_err(|refusal| refusal.message)
}

fn listing(filter: WhichMessages) -> ControlRequest {
    ControlRequest::QuarantineList { filter, after: 0, limit: 2 }
}

fn again(ids: &[i64], action: &str) -> ControlRequest {
    let deliveries = json!([{"rule": "r", "action": action, "resource": "k"}]);
    let messages: Vec<Value> =
        ids.iter().map(|id| json!({"id": id, "deliveries": deliveries.clone()})).collect();
    let request = json!({"verb": "quarantine-retry", "by": "root", "messages": messages});
    serde_json::from_value(request).unwrap()
}

#[tokio::test]
async fn the_quarantine_is_listed_shown_discarded_and_retried() {
    const READ: &str = r#"{"message_id": "m2", "event_type": "e", "payload": {"a": 1}}"#;
    for running in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let options = SqliteOptions::new(path.clone()).bounded(|bounds| bounds.allow_volatile = true);
        let journal = Arc::new(SqliteJournal::open(options, Arc::default()).unwrap());
        put(&journal, SEEN, "no JSON").await;
        put(&journal, READ, "more than max_body").await;
        put(&journal, vec![b'{'; LONGEST_WHOLE + 1], "more than max_body").await;
        put(&journal, READ.replace("m2", "m4"), "no JSON").await;
        let handler = match running {
            true => ControlHandler::for_store(Store::for_sqlite(journal)),
            false => {
                drop(journal);
                ControlHandler::for_file(path.clone(), None)
            }
        };

        let list = ask(&handler, listing(WhichMessages::default())).await.unwrap();
        assert_eq!(
            (&list["total"], &list["next"], &list["messages"][0]["message_id"]),
            (&json!(4), &json!(2), &json!("m1"))
        );
        let by_reason = WhichMessages { reason: Some("max_body".into()), ..WhichMessages::default() };
        assert_eq!(ask(&handler, listing(by_reason.clone())).await.unwrap()["total"], 2);
        let elsewhere = WhichMessages { queue: Some("other".into()), ..WhichMessages::default() };
        let refused = ask(&handler, listing(elsewhere)).await.unwrap_err();
        assert!(refused.starts_with("there is no queue other; there are "), "{refused}");

        let show = ask(&handler, ControlRequest::QuarantineShow { id: 1, raw: false }).await.unwrap();
        assert!(!show.to_string().contains("hunter2"), "{show}");
        assert_eq!(
            show["preview"],
            r#"{"message_id":"***","publisher_id":"***","event_type":"***","payload":"***""#
        );
        let raw = ask(&handler, ControlRequest::QuarantineShow { id: 1, raw: true }).await.unwrap();
        assert!(raw["body_base64"].as_str().unwrap().starts_with("eyJtZXNzYWdl"));
        let missing = ask(&handler, ControlRequest::QuarantineShow { id: 9, raw: false }).await;
        assert_eq!(missing.unwrap_err(), "there is no message 9 in the quarantine");

        for (id, why) in [
            (
                1,
                "it still cannot be read: the body is not readable JSON: EOF while parsing a string at line 1 column 89",
            ),
            (3, "only the first 65536 of its 16777217 bytes are kept: it cannot be retried"),
            (9, "there is no message 9 in the quarantine"),
        ] {
            let refused = ask(&handler, again(&[id], "a")).await.unwrap();
            assert_eq!((&refused["changed"], &refused["refusals"][0]["why"]), (&json!(0), &json!(why)));
        }
        // An unreadable message does not keep later messages.
        let done = ask(&handler, again(&[2, 1, 4], "a")).await.unwrap();
        assert_eq!((&done["ids"], &done["refusals"][0]["id"]), (&json!([2, 4]), &json!(1)));
        let events =
            SqliteReader::open(&path).unwrap().list(&Filter::default(), &ListPage::default()).unwrap();
        let mut told: Vec<_> =
            events.iter().map(|row| (row.message_id.as_deref(), &*row.queue, &*row.action)).collect();
        told.sort_unstable();
        assert_eq!(told, [(Some("m2"), "q", "a"), (Some("m4"), "q", "a")]);

        let discard = |dry_run| ControlRequest::QuarantineDiscard {
            filter: by_reason.clone(),
            dry_run,
            by: "root".into(),
        };
        assert_eq!(ask(&handler, discard(true)).await.unwrap()["ids"], json!([3]));
        assert_eq!(ask(&handler, discard(false)).await.unwrap()["ids"], json!([3]));
        let left = ask(&handler, listing(WhichMessages::default())).await.unwrap();
        assert_eq!((&left["total"], &left["messages"][0]["id"]), (&json!(1), &json!(1)));
        let status = ask(&handler, ControlRequest::Status { look: false }).await.unwrap();
        assert_eq!(status["incidents"][1]["what"], "1 message is in quarantine", "{status}");
    }
}

/// One reading of a dead letter queue is bounded.
#[tokio::test(start_paused = true)]
async fn a_part_of_the_letters_is_not_counted_as_all() {
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(0), Arc::default()));
    let queues = Arc::new(crate::dead_letters::tests::overfull_queue());
    let handler = ControlHandler::for_store(Store::for_memory(journal, queues));
    let list = ask(&handler, listing(WhichMessages::default())).await.unwrap();
    assert_eq!((&list["total"], &list["is_at_least"]), (&json!(1), &json!(true)), "{list}");
    let filter = Which { event_type: Some("none".into()), ..Which::default() };
    let request = ControlRequest::Discard { filter, dry_run: false, by: "root".into() };
    let answer = ask(&handler, request).await.unwrap();
    assert_eq!((&answer["changed"], &answer["is_at_least"]), (&json!(0), &json!(true)), "{answer}");
    for (ids, dry_run, changed, is_at_least) in [
        (vec![], true, 1, true),
        (vec![1, 10_001], true, 1, true),
        (vec![1], true, 1, false),
        (vec![10_001], false, 0, true),
        (vec![1], false, 1, false),
        (vec![], true, 1, false),
    ] {
        let filter = WhichMessages { ids, ..WhichMessages::default() };
        let request = ControlRequest::QuarantineDiscard { filter, dry_run, by: "root".into() };
        let answer = ask(&handler, request).await.unwrap();
        let found = (answer["changed"] == changed, answer["is_at_least"] == true);
        assert_eq!(found, (true, is_at_least), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_letter_behind_those_of_one_reading_is_not_just_said_to_be_missing() {
    const MORE: &str = "; osnl reads the first 10,000 letters of each queue, and more wait: retry or discard some of \
                        these first";
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(0), Arc::default()));
    let queues = Arc::new(crate::dead_letters::tests::overfull_queue());
    let handler = ControlHandler::for_store(Store::for_memory(journal, queues));
    let discard = |id: i64, dry_run: bool| {
        let filter = WhichMessages { ids: vec![id], ..WhichMessages::default() };
        ControlRequest::QuarantineDiscard { filter, dry_run, by: "root".into() }
    };
    for dry_run in [true, false] {
        let refused = ask(&handler, discard(10_001, dry_run)).await.unwrap();
        let why = refused["refusals"][0]["why"].as_str().unwrap();
        assert!(why.ends_with(MORE), "{refused}");
    }
    let ids = vec![10_001];
    for request in [
        ControlRequest::QuarantineShow { id: 10_001, raw: false },
        ControlRequest::Show { id: "0.10001".into(), raw: false },
        listing(WhichMessages { ids, ..WhichMessages::default() }),
    ] {
        let refused = ask(&handler, request).await.unwrap_err();
        assert!(refused.starts_with("there is no ") && refused.ends_with(MORE), "{refused}");
    }
    assert_eq!(ask(&handler, discard(1, false)).await.unwrap()["changed"], 1);
    assert_eq!(ask(&handler, discard(10_001, false)).await.unwrap()["changed"], 1);
    let refused = ask(&handler, discard(10_001, false)).await.unwrap();
    assert!(!refused["refusals"][0]["why"].as_str().unwrap().contains("10,000"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_breaks_off_says_and_logs_how_much_is_done() {
    let deliveries = json!({"verb": "retry", "filter": {}, "by": "root"});
    let messages: Vec<i64> = (1..=200).map(|n| 2 * n).collect();
    for (request, done, logged) in [
        (
            again(&messages, "a"),
            "; 100 messages were changed before",
            ["INFO an operator retried messages of the quarantine", " messages=100 "],
        ),
        (
            serde_json::from_value(deliveries).unwrap(),
            "; 100 deliveries were changed before",
            ["INFO an operator changed deliveries", " deliveries=100 "],
        ),
    ] {
        let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(0), Arc::default()));
        let queues = Arc::new(crate::dead_letters::tests::breaking_queue());
        let handler = ControlHandler::for_store(Store::for_memory(journal, queues));
        let log = log::Log::default();
        let _logged = tracing::subscriber::set_default(log.subscriber());
        let refused = ask(&handler, request).await.unwrap_err();
        assert!(refused.contains("reset by peer") && refused.ends_with(done), "{refused}");
        let is_logged = |line: &String| logged.iter().all(|part| line.contains(part));
        assert!(log.lines().iter().any(is_logged), "{:?}", log.lines());
    }
}

/// A retry keeps the whole plan of a message: both rules and actions that cannot be decided.
#[test]
fn a_message_stays_in_quarantine_while_a_condition_cannot_be_decided() {
    let text = |rule: &str, action: &str| {
        format!(
            "[listener:l]\ntransport_url = rabbit://h/\nexchange = neutron\ntopics = notifications\npool = p\n\
             [rule:r]\nactions = sure, unsure\n{rule}[action:sure]\ndriver = dump\npath = /var/log/sure\n\
             [action:unsure]\ndriver = dump\npath = /var/log/unsure\n{action}"
        )
    };
    let planned = |rule: &str, action: &str| {
        let files = [("a.conf".to_owned(), text(rule, action))];
        let conf = crate::native::load_texts(&files, &Default::default()).unwrap().conf;
        let body = r#"{"event_type": "e", "payload": {"state": "there"}}"#;
        let again = MessageAgain::planned(&conf, 1, ReceivedMessage::sample(body, false))?;
        Ok::<_, String>(again.deliveries.into_iter().map(|delivery| delivery.action).collect::<Vec<_>>())
    };
    let (odd, undecided) = ("when = payload.state + 1 > 1\n", " cannot be decided: when cannot be decided: ");
    assert_eq!(planned("", ""), Ok(vec!["sure".to_owned(), "unsure".to_owned()]));
    assert_eq!(planned("", "when = payload.state == 'gone'\n"), Ok(vec!["sure".to_owned()]));
    let check = |refused: Result<Vec<String>, String>, begin: &str| {
        let why = refused.unwrap_err();
        assert!(why.starts_with(&format!("{begin}{undecided}")), "{why}");
    };
    check(planned(odd, ""), "rule r");
    check(planned("", odd), "action unsure of rule r");
    check(planned("mode = shadow\n", odd), "action unsure of rule r");
}

#[test]
fn the_log_shows_which_messages_an_operator_has_changed() {
    let check = |filter: Value, expected: &str| {
        let filter: WhichMessages = serde_json::from_value(filter).unwrap();
        assert_eq!(filter.to_string(), expected);
    };
    check(json!({}), "all");
    check(json!({"ids": [1, 2], "queue": "osnl"}), "ids = 1, 2; queue = osnl");
    check(
        json!({"reason": "no JSON", "since": "2026-11-01T00:00:00Z"}),
        "reason = no JSON; since = 2026-11-01T00:00:00Z",
    );
}
