//! A journal in a file with something of everything.

use std::collections::BTreeMap;

use osnl_core::received::{ReceivedMessage, RowChange};
use osnl_journal::sqlite::Change;
use osnl_journal::{End, Handover, Subject};

use super::*;

/// A resource with a name that would end a string, a line, or a text of SQL.
pub(super) const HOSTILE: &str =
    "x'); DROP TABLE osnl_delivery; --\"\\ \n\r\t\u{1b}[31m %s $1 ?1 \u{1f600}\u{202e}";

/// A message without an id.
pub(super) fn nameless(redelivered: bool) -> Entry {
    let body = r#"{"event_type": "port.delete.end", "payload": {"device_id": "nameless"}}"#;
    let received = ReceivedMessage::sample(body, redelivered);
    let notification = received.decode().unwrap();
    let deliveries = vec![NewDelivery::new("r", "later", Some("nameless".into()))];
    Entry { received: received.into(), notification: notification.into(), deliveries }
}

fn of(id: &str, key: Option<&str>, action: &str, change: impl FnOnce(&mut NewDelivery)) -> Entry {
    let mut new = entry(id, "device", false);
    let delivery = &mut new.deliveries[0];
    (delivery.key, delivery.action) = (key.map(str::to_owned), action.into());
    change(delivery);
    new
}

/// Returns the only claimable delivery of an action.
async fn first(journal: &SqliteJournal, action: &str) -> ClaimedDelivery {
    within(journal.claim(action, ClaimLimits::in_order(1))).await.remove(0)
}

fn used(attempts: u32) -> UsedLimits {
    UsedLimits { attempts, age: Duration::from_millis(1234), made: attempts }
}

pub(super) async fn filled(folder: &TempDir) -> PathBuf {
    let file = file_of(folder);
    let journal = SqliteJournal::open(options_of(&file), Arc::default()).unwrap();
    let keep = async |new: Entry| {
        let settled = within(append(&journal, new).await).await;
        assert_eq!(settled, Settle::Acknowledge);
    };
    let plain = |_: &mut NewDelivery| ();
    // Delivered, asked for nothing, dead, and dead with a fallback.
    for (id, end) in [
        ("e1", End::from(Outcome::Delivered).saying("status 204").after(Some(Duration::from_millis(17)))),
        ("e2", Outcome::NothingToDo.into()),
        (
            "e3",
            End::from(Outcome::Dead("status 400: it's \0 wrong".replace('\0', "")))
                .caused_by(Some("status 400".into())),
        ),
        ("e4", End::from(Outcome::Dead("status 500".into())).handed_to(Handover::to("fallback"))),
    ] {
        keep(of(id, Some("ended"), "ended", plain)).await;
        let claimed = first(&journal, "ended").await;
        journal.end(claimed.id, end);
    }
    // A dead letter that holds its lane.
    for id in ["h1", "h2", "h3"] {
        keep(of(id, Some("holding"), "holding", plain)).await;
    }
    let claimed = first(&journal, "holding").await;
    journal.end(claimed.id, Outcome::DeadHoldingKey("status 409".into()).into());
    // One that has failed, with its requests, and two behind it.
    for id in ["r1", "r2", "r3"] {
        keep(of(id, Some("r"), "a", plain)).await;
    }
    let claimed = first(&journal, "a").await;
    for made in 1..=4 {
        journal.attempted(claimed.id, used(made), &format!("status 503 \u{fc} {made}"));
        let request = Some(format!("POST /{made}"));
        journal.sent(claimed.id, made, SentRequest { request, took: Duration::from_millis(5) });
    }
    let due = Instant::now() + Duration::from_secs(3600);
    journal.retry_at(claimed.id, AttemptRetry { due, used: used(5), answer: "status 503".into() });
    // Held, shadow, dead from the beginning, unordered, without a resource.
    keep(of("b1", Some("guarded"), "later", |new| new.begin = Begin::Held("guard of rule r".into()))).await;
    keep(of("b2", Some("guarded"), "later", plain)).await;
    keep(of("b3", Some("s"), "later", |new| new.begin = Begin::Shadow)).await;
    keep(of("b4", Some("s"), "later", |new| new.begin = Begin::Dead("when: no such name".into()))).await;
    keep(of("b5", Some("s"), "later", |new| new.ordered = false)).await;
    keep(of("b6", None, "later", |new| new.resource = Some(7))).await;
    // Names.
    let subject = Subject { id: Some(HOSTILE.to_owned()), name: Some("nul \0 name".to_owned()) };
    keep(of("n1", Some(HOSTILE), "later", |new| new.subject = subject)).await;
    keep(of("n2", Some("nul \0 key"), "later", plain)).await;
    keep(of("n3", Some(""), "later", plain)).await;
    keep(nameless(false)).await;
    keep(nameless(false)).await;
    // A copy.
    keep(of("r2", Some("r"), "a", plain)).await;
    // A message in other bytes: compressed, and with a NUL that JSON writes.
    let mut new = of("c1", Some("c"), "later", plain);
    let mut received = (*new.received).clone();
    received.body =
        r#"{"_unique_id": "c1", "event_type": "x.y", "payload": {"name": "a\u0000b \ud83d\ude00"}}"#.into();
    new.received = received.into();
    keep(new).await;
    // Enriched, from the beginning and later.
    let told = BTreeMap::from([("port".to_owned(), serde_json::json!({"name": "a\u{0}b", "n": [1, null]}))]);
    keep(of("t1", Some("t"), "enriched", |new| new.told = Some(told.into()))).await;
    keep(of("t2", Some("u"), "enriched", plain)).await;
    for claimed in claim(&journal, "enriched", 2).await {
        let values = BTreeMap::from([("server".to_owned(), serde_json::json!({"id": HOSTILE}))]);
        let learnt =
            LearntFacts { objects: vec![("server:\u{fc}".into(), "{}".into())], ..LearntFacts::default() };
        let row = |name: &str| RowChange { name: name.into(), row: Some(HOSTILE.to_owned()) };
        let learnt = LearntFacts { changes: vec![row("instance/\u{fc}"), row("port/1")], ..learnt };
        within(journal.enriched(claimed.id, &values, learnt)).await;
        journal.end(claimed.id, Outcome::Returned.into());
    }
    quarantined(&journal).await;
    within(journal.change(Change::Pause { action: "paused".into(), by: "eve".into() })).await.unwrap();
    within(journal.close()).await;
    file
}

/// Bodies that are no text, kept whole, compressed, and cut.
async fn quarantined(journal: &SqliteJournal) {
    let long: Vec<u8> = (0..200_000_u32).flat_map(|n| (n / 50).to_le_bytes()).collect();
    for (body, cut) in [(&b"\xff\xfe\0 not \x80 text"[..], false), (&long, false), (&long[..70_000], true)] {
        let mut received = ReceivedMessage::sample(body.to_vec(), false);
        if cut {
            let digest = osnl_model::BodyDigest::of(&long);
            received.noted.cut = Some(osnl_transport::Cut { bytes: long.len() as u64, digest });
        }
        within(journal.set_aside(received, "is not JSON: \u{fc}".into())).await;
    }
}
