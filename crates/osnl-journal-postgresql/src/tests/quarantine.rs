//! Messages kept unread, and messages that an operator has appended again.

use osnl_journal::query::{Bodies, JournalChanges as _, JournalQueries as _, UnreadableFilter};

use super::*;

fn message(text: &str, queue: &str) -> ReceivedMessage {
    let mut received = ReceivedMessage::sample(text.to_owned(), false);
    received.origin.queue = queue.into();
    received
}

async fn found(member: &PostgresJournal, filter: UnreadableFilter) -> Vec<String> {
    let found = within(member.quarantined(filter, -1, 10, Bodies::Read)).await.unwrap();
    found.iter().map(|found| String::from_utf8_lossy(&found.received.body).into_owned()).collect()
}

#[tokio::test]
async fn any_member_looks_at_the_quarantine_and_lets_messages_go() {
    let stage = Stage::new();
    let (a, b) = (stage.member("a"), stage.member("b"));
    for (text, queue, reason) in
        [("one", "q1", "it's no JSON"), ("two", "q2", "max_body"), ("three", "q2", "depth")]
    {
        let receipt = a.set_aside(message(text, queue), reason.to_owned());
        assert_eq!(within(receipt).await, Settle::Acknowledge);
    }
    let all = UnreadableFilter::default;
    assert_eq!(found(&b, all()).await, ["one", "two", "three"]);
    let of_queue = UnreadableFilter { queue: Some("q2".into()), ..all() };
    assert_eq!(found(&b, of_queue.clone()).await, ["two", "three"]);
    let for_reason = UnreadableFilter { reason: Some("it's".into()), ..all() };
    assert_eq!(found(&b, for_reason).await, ["one"]);
    let later = UnreadableFilter { since: Some(std::time::SystemTime::now() + LEASE), ..all() };
    assert_eq!(found(&b, later).await, [""; 0]);
    let first = within(b.quarantined(all(), -1, 1, Bodies::Read)).await.unwrap().remove(0);
    assert_eq!((first.reason.as_str(), first.size, first.extent.is_whole()), ("it's no JSON", 3, true));
    assert_eq!(first.digest, first.received.digest().to_string());
    let behind = within(b.quarantined(all(), first.id, 10, Bodies::Left)).await.unwrap();
    assert_eq!(behind.len(), 2);
    assert!(behind.iter().all(|one| one.received.body.is_empty()));

    let numbers = within(b.numbers_quarantined(of_queue)).await.unwrap();
    assert_eq!(within(a.forget_quarantined(numbers.clone())).await.unwrap(), 2);
    assert_eq!(within(b.forget_quarantined(numbers)).await.unwrap(), 0, "they are gone already");
    assert_eq!(found(&a, all()).await, ["one"]);
}

/// Each body may have megabytes, and a list has a time limit.
#[tokio::test]
async fn a_list_of_the_quarantine_reads_no_bodies() {
    let stage = Stage::new();
    let a = stage.member("a");
    assert_eq!(within(a.set_aside(message("one", "q"), "no".into())).await, Settle::Acknowledge);
    let columns = view::quarantine::COLUMNS;
    stage.rows(&format!(
        "ALTER TABLE osnl_unreadable RENAME TO stored; \
         CREATE FUNCTION seen(body bytea) RETURNS bytea STABLE LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'a body is read'; END $$; \
         CREATE VIEW osnl_unreadable AS SELECT {columns}, seen(body) AS body FROM stored"
    ));
    let look = |bodies| within(a.quarantined(UnreadableFilter::default(), -1, 10, bodies));
    let [found] = &look(Bodies::Left).await.unwrap()[..] else { panic!() };
    assert_eq!((&*found.digest, found.size), (&*message("one", "q").digest().to_string(), 3));
    let refused = look(Bodies::Read).await.unwrap_err().to_string();
    assert!(refused.contains("a body is read"), "{refused}");
}

/// The digest covers the whole message, even of a message that is kept in part.
#[tokio::test]
async fn a_message_beyond_what_is_kept_has_its_own_digest() {
    let stage = Stage::new();
    let a = stage.member("a");
    let whole = message("the whole body", "q");
    let digest = whole.digest();
    let mut cut = message("the who", "q");
    cut.noted.cut = Some(osnl_transport::Cut { bytes: 14, digest });
    assert_eq!(within(a.set_aside(cut, "max_body".into())).await, Settle::Acknowledge);
    let found =
        within(a.quarantined(UnreadableFilter::default(), -1, 1, Bodies::Read)).await.unwrap().remove(0);
    assert_eq!((found.digest, found.size, found.extent.is_whole()), (digest.to_string(), 14, false));
}

#[tokio::test]
async fn a_message_that_is_appended_again_takes_the_queue_from_nobody() {
    let stage = Stage::new();
    let (a, b) = (stage.member("a"), stage.member("b"));
    keep(&a, "1", "k").await;
    let again = |id: &str| {
        let mut new = entry(id, "k", false);
        let mut received = (*new.received).clone();
        received.noted.is_again = true;
        new.received = received.into();
        new
    };
    for member in [&b, &a, &b] {
        assert_eq!(within(append(member, again("2")).await).await, Settle::Acknowledge);
    }
    keep(&a, "3", "k").await;
    keep(&a, "2", "k").await;
    assert_eq!(stage.rows("SELECT unique_id FROM osnl_arrival ORDER BY unique_id"), "1\n2\n3");
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_reader WHERE listener = ''"), "2");
    within(b.close()).await;
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_reader WHERE listener = ''"), "1");
}
