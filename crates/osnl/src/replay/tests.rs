use super::*;
use crate::explain::Ruling;
use crate::journal::ClaimLimits;
use crate::journal::query::{Filter, ListPage};
use crate::journal::sqlite::{SqliteJournal, SqliteOptions, SqliteReader};
use crate::metrics::Counters;
use crate::native::{Native, Sources, load_texts};
use crate::saved;

const CONF: &str = "
[DEFAULT]
state_dir = /var/lib/osnl
[listener:neutron]
transport_url = rabbit://h/
exchange = neutron
pool = osnl
[rule:ports]
event_type = ^port
actions = audit
[rule:all]
actions = audit, more
[action:audit]
driver = dump
[action:more]
driver = dump
";

fn conf() -> Native {
    load_texts(&[("a.conf".to_owned(), CONF.to_owned())], &Sources::default()).unwrap().conf
}

fn event(n: u32) -> String {
    format!(
        "{{\"event_type\": \"port.delete.end\", \"message_id\": \"m-{n}\", \"timestamp\": \"then\", \"_unique_id\": \"u-{n}\", \
         \"payload\": {{\"port_id\": \"p\", \"n\": {n}, \"digits\": 1.50}}}}\n"
    )
}

fn planned(numbers: std::ops::Range<u32>, rules: &[&str]) -> Vec<ReplayEvent> {
    read(&numbers.map(event).collect::<String>(), rules)
}

fn read(text: &str, rules: &[&str]) -> Vec<ReplayEvent> {
    read_behind(text, rules, &[])
}

fn read_behind(text: &str, rules: &[&str], before: &[DeliveryListRow]) -> Vec<ReplayEvent> {
    let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
    let conf = conf();
    let mut explainer = Explainer::for_replay(&conf).with_rules(&rules);
    let event = |saved: RecordedEvent| {
        let event = ExplainedEvent::from_saved("f", &saved, &Budget::DEFAULT);
        ReplayEvent::from_saved(saved, event, before.to_vec(), &mut explainer)
    };
    saved::read(text).unwrap().into_iter().map(event).collect()
}

struct File {
    folder: tempfile::TempDir,
    counters: Arc<Counters>,
}

impl File {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), counters: Arc::default() }
    }

    fn options(&self) -> SqliteOptions {
        SqliteOptions::new(self.folder.path().join("journal.db"))
            .bounded(|bounds| bounds.allow_volatile = true)
    }

    async fn append(&self, planned: &[ReplayEvent], how: ReplaySettings) -> Result<u64, ReplayError> {
        let journal = SqliteJournal::open(self.options(), self.counters.clone()).unwrap();
        let appended = live(&journal, planned, how).await;
        journal.close().await;
        appended
    }

    fn reader(&self) -> SqliteReader {
        SqliteReader::open(&self.options().path).unwrap()
    }

    fn rows(&self) -> Vec<String> {
        let page = ListPage { limit: 10_000, ..ListPage::default() };
        let rows = self.reader().list(&Filter::default(), &page).unwrap();
        rows.iter().map(|row| format!("{} {} {}", row.id, row.rule, row.action)).collect()
    }
}

#[tokio::test]
async fn what_fires_is_appended_in_order_under_fresh_ids() {
    let file = File::new();
    assert_eq!(file.append(&planned(0..600, &["ports"]), ReplaySettings::default()).await.unwrap(), 600);
    let expected: Vec<String> = (1..=600).map(|n| format!("{n}.0 ports audit")).collect();
    assert_eq!(file.rows(), expected);
    let reader = file.reader();
    for number in [1, 2, 600] {
        let received = reader.event(number).unwrap().unwrap().received;
        let notification = received.decode().unwrap();
        assert_eq!(notification.payload["n"], number - 1);
        assert_eq!(notification.timestamp.as_deref(), Some("then"), "the time is the event's");
        let (id, unique) = (notification.message_id.unwrap(), notification.unique_id.unwrap());
        assert!(id.len() == 36 && unique.len() == 32, "{id} {unique}");
        assert!(String::from_utf8_lossy(&received.body).contains("1.50"), "numbers keep their digits");
    }
    assert_eq!(file.append(&planned(0..1, &[]), ReplaySettings::default()).await.unwrap(), 1);
    assert_eq!(file.rows()[600..], ["601.0 ports audit", "601.1 all audit", "601.2 all more"]);
    assert_eq!(file.counters.duplicates.get(), 0);
}

#[tokio::test]
async fn with_its_own_ids_a_copy_is_no_second_event() {
    let file = File::new();
    let how = ReplaySettings { keep_ids: true, ..ReplaySettings::default() };
    file.append(&planned(0..2, &["ports"]), how).await.unwrap();
    file.append(&planned(0..3, &["ports"]), how).await.unwrap();
    assert_eq!(file.rows(), ["1.0 ports audit", "2.0 ports audit", "3.0 ports audit"]);
    assert_eq!(file.counters.duplicates.get(), 2);
    let ids: HashSet<String> = ["m-2", "m-9"].map(str::to_owned).into();
    let known = file.reader().deliveries_of(&ids).unwrap();
    assert_eq!(known["m-2"].iter().map(|row| row.id.to_string()).collect::<Vec<_>>(), ["3.0"]);
    assert_eq!(known.len(), 1);
}

/// An export has the queue of each message; what tap saves has none.
#[tokio::test]
async fn with_its_own_ids_a_copy_is_known_by_the_queue_from_which_it_came() {
    let file = File::new();
    let how = ReplaySettings { keep_ids: true, ..ReplaySettings::default() };
    let exported = |queue: &str| serde_json::json!({"queue": queue, "body": event(0).trim_end()}).to_string();
    for (queue, events, copies) in [("osnl", 1, 0), ("osnl", 1, 1), ("osnl-2", 2, 1)] {
        file.append(&read(&exported(queue), &["ports"]), how).await.unwrap();
        assert_eq!((file.rows().len(), file.counters.duplicates.get()), (events, copies), "{queue}");
    }
    let before = file.reader().deliveries_of(&["m-0".to_owned()].into()).unwrap().remove("m-0").unwrap();
    file.append(&read_behind(&event(0), &["ports"], &before), how).await.unwrap();
    assert_eq!((file.rows().len(), file.counters.duplicates.get()), (2, 2));
    assert_eq!(&*file.reader().event(2).unwrap().unwrap().received.origin.queue, "osnl-2");
}

#[tokio::test]
async fn events_are_chosen_and_say_what_was_done_about_them() {
    use crate::journal::Outcome;
    let file = File::new();
    file.append(&planned(0..3, &["ports"]), ReplaySettings::default()).await.unwrap();
    let journal = SqliteJournal::open(file.options(), file.counters.clone()).unwrap();
    let claimed = journal.claim("audit", ClaimLimits::in_order(1)).await;
    journal.end(claimed[0].id, Outcome::Delivered.into());
    journal.close().await;
    drop(journal);

    let reader = file.reader();
    let numbers = |filter: Filter, limit, last| reader.event_numbers(&filter, limit, last).unwrap();
    assert_eq!(numbers(Filter::default(), 2, false), [1, 2]);
    assert_eq!(numbers(Filter::default(), 2, true), [2, 3]);
    assert_eq!(numbers(Filter { states: vec![RowState::Delivered], ..Filter::default() }, 9, true), [1]);
    assert!(reader.event(4).unwrap().is_none());

    let before = |number| {
        let conf = conf();
        let kept = reader.event(number).unwrap().unwrap();
        let event = ReplayEvent::from_kept(kept, &mut Explainer::for_replay(&conf));
        let states = event.trace.effects().map(|(_, effect)| event.before(effect).map(|row| row.state));
        states.collect::<Vec<_>>()
    };
    let delivered = Some(RowState::Delivered);
    assert_eq!(before(1), [delivered, delivered, None], "by action, whatever rule it was");
    assert!(before(2).iter().all(|state| *state != delivered));
}

#[tokio::test]
async fn a_journal_that_takes_nothing_is_said() {
    let file = File::new();
    let options = file.options().bounded(|bounds| bounds.max_pending = 3);
    let journal = SqliteJournal::open(options, file.counters.clone()).unwrap();
    let how = ReplaySettings { patience: Duration::from_secs(2), ..ReplaySettings::default() };
    let error = live(&journal, &planned(0..5, &["ports"]), how).await.unwrap_err();
    let appended = match error {
        ReplayError::Stuck { appended } => appended,
        ReplayError::Unknown { .. } | ReplayError::Closed { .. } => panic!("{error}"),
    };
    journal.close().await;
    drop(journal);
    assert_eq!(file.rows().len() as u64, appended);
}

#[tokio::test]
async fn what_cannot_be_read_or_does_not_fire_is_left_out() {
    let file = File::new();
    let planned = read("{\"body\": \"no json\"}\n{\"event_type\": \"x\", \"payload\": {}}", &["ports"]);
    assert!(matches!(planned[0].trace.rules[0].ruling, Ruling::Unreadable(_)));
    assert_eq!(file.append(&planned, ReplaySettings::default()).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_journal_does_not_answer_about_is_not_said_to_be_missing() {
    // Receipts complete with outcomes, which this test never makes.
    let limits = crate::journal::memory::MemoryLimits::for_prefetch(10);
    let journal = crate::journal::memory::MemoryJournal::new(limits, Arc::default());
    let error = live(&journal, &planned(0..5, &["ports"]), ReplaySettings::default()).await.unwrap_err();
    let ReplayError::Unknown { appended: 0, sent } = error else { panic!("{error}") };
    assert!(sent > 0);
    assert_eq!(journal.rows().len() as u64, sent);
}
