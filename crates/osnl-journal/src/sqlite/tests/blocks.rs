//! A search has the same result whether or not blocks are skipped.

use std::collections::BTreeSet;

use osnl_core::rule::{GuardHold, GuardKind, GuardName};
use rusqlite::Connection;

use super::super::blocks::BlockNeeds;
use super::hands::{change, one, only};
use super::*;
use crate::query::{
    About, AnswerPolicy, Change, Filter, HeldBy, ListPage, Phase, QueryContext, RowOrder, RowState,
};
use crate::{AttemptRetry, Begin, End, Handover, NewDelivery, Subject, UsedLimits};

const EVENTS: u64 = 1700;

async fn lived(folder: &TempDir) -> SqliteJournal {
    let journal = open(folder);
    let mut receipts = Vec::new();
    for n in 0..EVENTS {
        let mut entry = entry(&n.to_string(), &format!("k{}", n % 300), false);
        if n % 333 == 1 {
            Arc::make_mut(&mut entry.notification).event_type = Some("port.create.end".to_owned());
        }
        let delivery = &mut entry.deliveries[0];
        delivery.subject =
            Subject { id: Some(format!("ID-{}", n % 301)), name: Some(format!("Web {}", n % 23)) };
        if n % 700 == 3 {
            delivery.rule = "rare".into();
        }
        if n % 97 == 0 {
            delivery.action = "b".into();
        }
        delivery.begin = match n {
            _ if n % 211 == 5 => Begin::Held(GuardHold::new(GuardName::new(GuardKind::Rule, "r"), "7")),
            _ if n % 401 == 6 => Begin::Dead("status 403: not now".into()),
            _ if n % 50 == 7 => Begin::Shadow,
            _ => Begin::Live,
        };
        if n == 600 {
            entry.deliveries.push(NewDelivery::new("second", "b", None));
        }
        receipts.push(append(&journal, entry).await);
    }
    for receipt in receipts {
        within(receipt).await;
    }
    for round in 0..60 {
        let used = |made| UsedLimits { made, ..UsedLimits::default() };
        for claimed in claim(&journal, "a", 0).await {
            let number = claimed.id.0 >> 16;
            let later = AttemptRetry {
                due: Instant::now() + Duration::from_secs(3600),
                used: used(1),
                is_charged: false,
                answer: "status 503: busy".into(),
            };
            match number {
                205 => {
                    let end = End::from(Outcome::Dead("status 409: no".into()));
                    journal.end(claimed.id, end.handed_to(Handover::to("fallback")));
                }
                _ if number % 41 == 0 => {
                    journal.end(claimed.id, Outcome::Dead("status 409: no".into()).into())
                }
                _ if number % 43 == 0 => {
                    journal.end(
                        claimed.id,
                        End { done: Some("DELETE http://x: 404".into()), ..Outcome::NothingToDo.into() },
                    );
                }
                _ if number % 47 == 0 => journal.retry_at(claimed.id, later),
                _ => journal.end(
                    claimed.id,
                    End { done: Some("DELETE http://x: 204".into()), ..Outcome::Delivered.into() },
                ),
            }
        }
        if round == 20 {
            let at = |id: &str| one(DeliveryId::parse(id).unwrap());
            change(&journal, Change::Move { which: at("1400.0"), to: "moved".into() }).await;
            change(&journal, Change::Discard { which: at("1500.0"), by: "eve".into() }).await;
            change(&journal, Change::Hold { which: at("1600.0"), why: "status 418: me".into() }).await;
            change(&journal, Change::Retry { which: only(&[RowState::Dead]), out_of_order: false }).await;
        }
    }
    claim(&journal, "a", 0).await;
    journal
}

fn filters() -> Vec<Filter> {
    let text = |text: &str| Some(text.to_owned());
    let status = |text: &str| Filter { status: AnswerPolicy::status(text), ..Filter::default() };
    let about = |text: &str| Filter { about: vec![About::parse(text)], ..Filter::default() };
    let mut all = vec![Filter::default()];
    all.extend(["r", "rare", "second", "none"].map(|rule| Filter { rule: text(rule), ..Filter::default() }));
    all.extend(
        ["a", "b", "moved", "fallback", "none"]
            .map(|action| Filter { action: text(action), ..Filter::default() }),
    );
    all.extend(["port.create.end", "x"].map(|kind| Filter { event_type: text(kind), ..Filter::default() }));
    all.extend(
        ["k7", "K7", "id-12", "ID-300", "web 22", "none"]
            .map(|key| Filter { key: text(key), ..Filter::default() }),
    );
    all.extend(["m1000", "m1699", "17", "17.0", "id-12", "web 3", "none"].map(about));
    all.extend(["204", "403", "409", "4xx", "418", "503", "5xx", "599"].map(status));
    all.extend(RowState::ALL.map(|state| only(&[state])));
    all.extend(Phase::NAMES.map(|name| Filter { phases: Phase::named(name).unwrap(), ..Filter::default() }));
    all.push(Filter { rule: text("rare"), action: text("a"), ..only(&[RowState::Delivered]) });
    all.push(Filter { text: Some(AnswerPolicy::Text("BUSY".into())), ..Filter::default() });
    all.push(Filter { event: Some(601), ..Filter::default() });
    all.extend(HeldBy::ALL.map(|by| Filter { held_by: Some(by), ..Filter::default() }));
    all.push(Filter { about: vec![About::parse("m5"), About::parse("k7")], ..Filter::default() });
    all
}

fn found(reader: &SqliteReader, filter: &Filter, order: RowOrder) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = ListPage { order, after, limit: 97 };
        let rows = reader.list(filter, &page).unwrap();
        let Some(last) = rows.last() else { return all };
        after = Some(last.id);
        all.extend(rows.iter().map(|row| row.id.to_string()));
    }
}

#[tokio::test]
async fn a_search_finds_the_same_without_the_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let journal = lived(&folder).await;
    let reader = reader(&folder);
    let copy = |name: &str, sql: &str| {
        let file = folder.path().join(name);
        reader.0.execute("VACUUM INTO ?1", [file.to_str().unwrap()]).unwrap();
        let connection = Connection::open(&file).unwrap();
        connection.execute_batch(sql).unwrap();
        SqliteReader::open(&file).unwrap()
    };
    let without = copy("without", "DELETE FROM block; DELETE FROM block_names");
    let mut left_out = BTreeSet::new();
    for mut filter in filters() {
        for configured in [None, Some(vec!["a".to_owned(), "moved".to_owned()])] {
            filter.context = QueryContext { configured, ..QueryContext::default() };
            for order in [RowOrder::Oldest, RowOrder::Newest] {
                let expected = found(&without, &filter, order);
                assert_eq!(found(&reader, &filter, order), expected, "{filter:?} {order:?}");
            }
        }
        let counts = without.count(&filter).unwrap();
        assert_eq!(reader.count(&filter).unwrap(), counts, "{filter:?}");
        let all: u64 = counts.iter().map(|(_, _, count)| count).sum();
        for most in [all.saturating_sub(1), all] {
            let (counts, has_more) = reader.count_newest(&filter, most).unwrap();
            let page = ListPage { order: RowOrder::Newest, ..ListPage::default() };
            let (rows, counted) = reader.list_and_count(&filter, &page, most).unwrap();
            assert_eq!((rows, counted), (without.list(&filter, &page).unwrap(), (counts.clone(), has_more)));
            let counted: u64 = counts.iter().map(|(_, _, count)| count).sum();
            let is_known = filter.is_by_action_and_state();
            assert_eq!(
                (counted, has_more),
                (if is_known { all } else { most }, !is_known && most < all),
                "{filter:?}"
            );
        }
        let ranges = BlockNeeds::from_conditions(filter.conditions()).ranges(&reader.0).unwrap();
        let span: i64 = ranges.iter().map(|range| (range.end.min(4 << 25) - range.start).max(0)).sum();
        if span <= 2 << 25 {
            left_out.insert(format!(
                "{:?} {:?} {:?} {:?}",
                filter.rule, filter.action, filter.key, filter.status
            ));
        }
    }
    // Otherwise the blocks would be of no use.
    for expected in [
        "Some(\"second\")",
        "Some(\"moved\")",
        "Some(\"fallback\")",
        "Some(\"none\")",
        "Status(\"418\")",
        "Status(\"599\")",
    ] {
        assert!(left_out.iter().any(|filter| filter.contains(expected)), "{expected}: {left_out:#?}");
    }
    drop(journal);
}

#[tokio::test]
async fn blocks_leave_with_their_last_event_and_go_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let blocks = || -> Vec<(i64, bool)> {
        let reader = reader(&folder);
        let mut select =
            reader.0.prepare("SELECT id, id IN (SELECT id FROM block_names) FROM block ORDER BY id").unwrap();
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    for n in 1..=511 {
        keep(&journal, &n.to_string(), "k").await;
    }
    assert_eq!(blocks(), [(0, false)]);
    drop(journal);
    let journal = open_with(options(&folder).bounded(|bounds| bounds.retention = Duration::ZERO));
    keep(&journal, "512", "k").await;
    assert_eq!(blocks(), [(0, true), (1, false)]);
    change(&journal, Change::Discard { which: Filter::default(), by: "eve".into() }).await;
    osnl_testkit::wait_until(Duration::from_secs(60), "all have left", || blocks().is_empty());
    // A block whose first events are unknown gets no row.
    keep(&journal, "513", "k").await;
    assert_eq!(blocks(), []);
    assert_eq!(
        reader(&folder)
            .list(&Filter { rule: Some("r".into()), ..Filter::default() }, &ListPage::default())
            .unwrap()
            .len(),
        1
    );
}
