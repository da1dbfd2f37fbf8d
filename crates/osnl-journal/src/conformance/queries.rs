use std::time::{Duration, SystemTime};

use osnl_core::received::ReceivedMessage;
use tokio::time::Instant;

use super::{StoreRig, append, attempts, claim, entry, number, within};
use crate::query::{
    About, AnswerPolicy, Bodies, Filter, ListPage, Phase, QueryContext, QueryError, RowOrder, RowState,
    UnreadableFilter,
};
use crate::{AttemptRetry, DeliveryId, NewDelivery};

/// Fills a store: messages 1 and 2 of one resource, with 1 claimed; message 3 waits for a retry; message 4 is for
/// another action.
async fn filled(rig: &StoreRig) {
    let journal = &*rig.journal;
    let mut third = entry("3", "L", false);
    third.deliveries[0].subject.id = Some("Port-3".to_owned());
    third.deliveries[0].subject.name = Some("web".to_owned());
    let mut fourth = entry("4", "x", false);
    fourth.deliveries = vec![NewDelivery::new("other", "b", None)];
    for entry in [entry("1", "k", false), entry("2", "k", false), third, fourth] {
        let receipt = append(journal, entry).await;
        if rig.durable {
            within(receipt).await;
        }
    }
    let claimed = claim(journal, "a", 2).await;
    let third = number(&claimed, "3");
    journal.attempted(third, attempts(1), "https://cmdb: status 409");
    let due = Instant::now() + Duration::from_secs(3600);
    journal.retry_at(third, AttemptRetry { due, used: attempts(1), answer: String::new() });
    within(journal.set_aside(ReceivedMessage::sample("barrier", false), "no JSON".into())).await;
    let arrived = Filter { phases: vec![Phase::Arrived], ..Filter::default() };
    while !listed(rig, &arrived, ListPage::default()).await.is_empty() {
        tokio::task::yield_now().await;
    }
}

async fn listed(rig: &StoreRig, filter: &Filter, page: ListPage) -> Vec<String> {
    let (rows, _) = within(rig.queries.list(filter.clone(), page, u64::MAX)).await.expect("a list");
    rows.into_iter().map(|row| row.message_id.unwrap_or_default()).collect()
}

/// Returns the filters, each with the numbers of the messages that match, oldest first.
fn cases() -> Vec<(Filter, &'static str)> {
    let all = Filter::default;
    let text = |text: &str| Some(text.to_owned());
    let key = |name: &str| Filter { key: text(name), ..all() };
    let about = |about: &[About]| Filter { about: about.to_vec(), ..all() };
    let named = |name: &str| About::Named(name.to_owned());
    let status = |status: &str| Filter { status: AnswerPolicy::status(status), ..all() };
    let answer = |words: &str| Filter { text: Some(AnswerPolicy::Text(words.to_owned())), ..all() };
    let phases = |name: &str| Filter { phases: Phase::named(name).unwrap_or_default(), ..all() };
    let context = QueryContext { configured: Some(vec!["a".to_owned()]), ..QueryContext::default() };
    let came = SystemTime::UNIX_EPOCH;
    let later = came + Duration::from_secs(3600);
    let hostile = "'; DROP TABLE delivery; --\u{0}%_\\";
    vec![
        (all(), "1234"),
        (Filter { action: text("a"), ..all() }, "123"),
        (Filter { rule: text("other"), ..all() }, "4"),
        (Filter { rule: text(""), ..all() }, ""),
        (Filter { action: text("a"), rule: text("other"), ..all() }, ""),
        (key("K"), "12"),
        (key("port-3"), "3"),
        (key("WEB"), "3"),
        (key("we_"), ""),
        (key(hostile), ""),
        (about(&[named("m4")]), "4"),
        (about(&[named("l")]), "3"),
        (about(&[named("M4")]), ""),
        (about(&[named(hostile)]), ""),
        (about(&[named("m1"), About::Resource("web".to_owned())]), "13"),
        (about(&[named("k")]), "12"),
        (Filter { event_type: text("port.delete.end"), ..all() }, "1234"),
        (Filter { event_type: text(hostile), ..all() }, ""),
        (Filter { states: vec![RowState::Waiting], ..all() }, "2"),
        (Filter { states: vec![RowState::Ready], ..all() }, "134"),
        (Filter { states: vec![RowState::Dead, RowState::Held], ..all() }, ""),
        (phases("waiting"), "2"),
        (phases("retrying"), "3"),
        (phases("ready"), "14"),
        (phases("pending"), "1234"),
        (phases("orphaned"), ""),
        (Filter { context: context.clone(), ..phases("orphaned") }, "4"),
        (Filter { context, ..phases("ready") }, "1"),
        (status("409"), "3"),
        (status("4xx"), "3"),
        (status("5xx"), ""),
        (answer("STATUS 4"), "3"),
        (answer("%"), ""),
        (answer(hostile), ""),
        (Filter { since: Some(came), until: Some(later), ..all() }, "1234"),
        (Filter { since: Some(later), ..all() }, ""),
        (Filter { until: Some(came), ..all() }, ""),
    ]
}

pub async fn every_store_finds_the_same_deliveries(open: impl Fn() -> StoreRig) {
    let rig = open();
    filled(&rig).await;
    for (filter, expected) in cases() {
        let (rows, (counts, more)) =
            within(rig.queries.list(filter.clone(), ListPage::default(), u64::MAX)).await.expect("a list");
        let found: String =
            rows.iter().filter_map(|row| row.message_id.as_deref()?.strip_prefix('m')).collect();
        assert_eq!(found, expected, "{filter:?}");
        let counted: u64 = counts.iter().map(|(_, _, count)| count).sum();
        assert_eq!((counted, more), (expected.len() as u64, false), "{filter:?}");
        assert!(rows.iter().all(|row| filter.matches(row)), "{filter:?}");
    }
}

pub async fn pages_follow_each_other_in_every_order(open: impl Fn() -> StoreRig) {
    let rig = open();
    filled(&rig).await;
    let filter = Filter::default();
    for (order, expected) in
        [(RowOrder::Oldest, ["m1", "m2", "m3", "m4"]), (RowOrder::Newest, ["m4", "m3", "m2", "m1"])]
    {
        assert_eq!(listed(&rig, &filter, ListPage { order, ..ListPage::default() }).await, expected);
        let (mut page, mut seen) = (ListPage { order, after: None, limit: 1 }, Vec::new());
        loop {
            let (rows, _) = within(rig.queries.list(filter.clone(), page, u64::MAX)).await.expect("a page");
            let Some(row) = rows.last() else { break };
            page.after = Some(row.id);
            seen.extend(rows.into_iter().filter_map(|row| row.message_id));
        }
        assert_eq!(seen, expected, "{order:?}");
    }
}

pub async fn every_store_counts_and_pauses_alike(open: impl Fn() -> StoreRig) {
    let rig = open();
    filled(&rig).await;
    let numbers = within(rig.queries.numbers()).await.expect("numbers");
    let mut tally: Vec<_> = numbers.tally.iter().map(|of| (&*of.action, of.state, of.count)).collect();
    tally.sort_unstable();
    assert_eq!(tally, [("a", RowState::Waiting, 1), ("a", RowState::Ready, 2), ("b", RowState::Ready, 1)]);
    assert_eq!(numbers.oldest.keys().collect::<Vec<_>>(), ["a", "b"]);
    let paused = async || {
        let actions = within(rig.queries.paused_actions()).await.expect("paused actions");
        actions.into_keys().collect::<Vec<_>>()
    };
    within(rig.queries.set_paused("a", Some("me"))).await.expect("a pause");
    assert_eq!(paused().await, ["a"]);
    assert!(within(rig.queries.numbers()).await.expect("numbers").paused.contains_key("a"));
    within(rig.queries.set_paused("a", None)).await.expect("a resume");
    assert_eq!(paused().await, [""; 0]);
}

/// A store that keeps nothing refuses, and never answers with nothing.
pub async fn history_and_quarantine_are_shown_or_refused(open: impl Fn() -> StoreRig) {
    let rig = open();
    filled(&rig).await;
    let (rows, _) =
        within(rig.queries.list(Filter::default(), ListPage::default(), u64::MAX)).await.expect("rows");
    let shown = within(rig.queries.show(rows[2].id)).await;
    let missing = within(rig.queries.show(DeliveryId(u64::from(u32::MAX) << 16))).await;
    let aside = within(rig.queries.quarantined(UnreadableFilter::default(), -1, 10, Bodies::Left)).await;
    let change = within(rig.queries.clone().open_to_change()).await;
    if !rig.durable {
        assert!(matches!(shown, Err(QueryError::Unsupported(_))), "{shown:?}");
        assert!(matches!(aside, Err(QueryError::Unsupported(_))), "{aside:?}");
        assert!(matches!(change, Err(QueryError::Unsupported(_))));
        return;
    }
    assert!(matches!(missing, Ok(None)), "{missing:?}");
    let shown = shown.expect("a delivery").expect("the third");
    let answers: Vec<_> = shown.tries.iter().map(|attempt| &*attempt.answer).collect();
    assert_eq!(
        (&*shown.row.message_id.unwrap_or_default(), &answers[..]),
        ("m3", &["https://cmdb: status 409"][..])
    );
    assert!(aside.expect("the quarantine").iter().any(|one| one.reason == "no JSON"));
    assert!(change.is_ok());
}
