use std::path::Path;
use std::sync::Arc;

use osnl::journal::query::{Change, Filter, ListPage, Phase, RowState};
use osnl::journal::sqlite::{SqliteJournal, SqliteOptions, SqliteReader};
use osnl::native::{Native, Sources, load_texts};
use osnl_testkit::{Reply, Sink};
use osnl_transport::MemoryBroker;

use crate::harness::{DaemonRig, instance, port_deleted, publish};

fn native(folder: &Path, journal: &str, first: &Sink, second: &Sink, chat: &str) -> Native {
    let text = format!(
        "[DEFAULT]\nstate_dir = {folder}\n[journal]\n{journal}\n\
         [listener:neutron]\ntransport_url = rabbit://mq/\nexchange = neutron\ndeclare = create\npriorities = info\n\
         pool = osnl\n[rule:ports]\nevent_type = ^port\\.delete\nactions = first\n\
         [action:first]\ndriver = k2hr3\napi_url = {first}\nmax_attempts = 2\nretry_interval = 0s\non_failure = second\n\
         [action:second]\ndriver = k2hr3\napi_url = {second}\nmax_attempts = 1\non_failure = chat\n\
         [action:chat]\ndriver = dump\npath = {folder}/chat.jsonl\n{chat}\n",
        folder = folder.display(),
        first = first.url("/v1/role"),
        second = second.url("/v1/role"),
    );
    let loaded = load_texts(&[("test.conf".to_owned(), text)], &Sources::default());
    loaded.unwrap_or_else(|errors| panic!("{errors}")).conf
}

fn start(conf: &Native, broker: &MemoryBroker) -> DaemonRig {
    DaemonRig::bound(conf, broker, &["neutron"])
}

fn lines(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("chat.jsonl")).unwrap_or_default().lines().count()
}

const JOURNALS: [&str; 2] = ["allow_volatile = true", "connection = memory://"];

#[test]
fn what_one_action_gives_up_the_next_does_and_each_has_its_own_attempts() {
    for journal in JOURNALS {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (Sink::start(), Sink::start());
        first.reply_when(|_| Some(Reply::Status(409)));
        second.reply_when(|request| request.target.contains("10.0.0.2").then_some(Reply::Status(409)));
        let broker = MemoryBroker::new();
        let daemon = start(&native(folder.path(), journal, &first, &second, ""), &broker);
        publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
        publish(&broker, &port_deleted(&instance(2), "10.0.0.2"));
        daemon.wait_until("all are done", |c| c.delivered.get() == 2);
        assert_eq!((daemon.counters.dead.get(), lines(folder.path())), (3, 1), "{journal}");
        daemon.stop().unwrap();
        assert_eq!((first.requests().len(), second.requests().len()), (4, 2), "{journal}");
        if journal == JOURNALS[0] {
            let rows = SqliteReader::open(&folder.path().join("journal.db")).unwrap();
            let rows = rows.list(&Filter::default(), &ListPage::default()).unwrap();
            let said: Vec<String> = rows
                .iter()
                .map(|row| format!("{} {} {}", row.id, row.action, Phase::word_of(row.state)))
                .collect();
            assert_eq!(
                said,
                [
                    "1.0 first dead",
                    "1.1 second delivered",
                    "2.0 first dead",
                    "2.1 second dead",
                    "2.2 chat delivered"
                ]
            );
        }
    }
}

#[test]
fn a_dead_letter_that_is_retried_and_given_up_again_is_handed_on_once() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Sink::start(), Sink::start());
    first.reply_when(|_| Some(Reply::Status(409)));
    let broker = MemoryBroker::new();
    let conf = native(folder.path(), JOURNALS[0], &first, &second, "");
    let daemon = start(&conf, &broker);
    publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
    daemon.wait_until("it is done", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    let options =
        SqliteOptions::new(folder.path().join("journal.db")).bounded(|bounds| bounds.allow_volatile = true);
    let journal = SqliteJournal::open(options, Arc::default()).unwrap();
    let which = Filter { states: vec![RowState::Dead], ..Filter::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let retry = journal.change(Change::Retry { which, out_of_order: true });
    assert_eq!(runtime.block_on(retry).unwrap().changed.len(), 1);
    drop(journal);
    let daemon = start(&conf, &broker);
    daemon.wait_until("it is given up again", |c| c.dead.get() == 1);
    daemon.stop().unwrap();
    assert_eq!((first.requests().len(), second.requests().len()), (4, 1));
}

#[test]
fn a_fallback_that_does_not_want_the_event_gets_none() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Sink::start(), Sink::start());
    for sink in [&first, &second] {
        sink.reply_when(|_| Some(Reply::Status(409)));
    }
    let broker = MemoryBroker::new();
    let when = format!("when = payload.port.device_id == '{}'", instance(2));
    let daemon = start(&native(folder.path(), JOURNALS[0], &first, &second, &when), &broker);
    publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
    publish(&broker, &port_deleted(&instance(2), "10.0.0.2"));
    daemon.wait_until("all are given up", |c| c.dead.get() == 4 && c.delivered.get() == 1);
    daemon.stop().unwrap();
    assert_eq!(lines(folder.path()), 1);
}

fn started(folder: &Path, journal: &str, broker: &MemoryBroker, actions: &str) -> DaemonRig {
    let text = format!(
        "[DEFAULT]\nstate_dir = {folder}\n[journal]\n{journal}\n\
         [listener:neutron]\ntransport_url = rabbit://mq/\nexchange = neutron\ndeclare = create\npriorities = info\n\
         pool = osnl\n[rule:ports]\nevent_type = ^port\\.delete\nactions = first\n{actions}",
        folder = folder.display(),
    );
    let loaded = load_texts(&[("test.conf".to_owned(), text)], &Sources::default());
    start(&loaded.unwrap_or_else(|errors| panic!("{errors}")).conf, broker)
}

fn written(folder: &Path, name: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn whoever_gets_what_is_given_up_is_told_by_whom_why_and_how_often() {
    for journal in JOURNALS {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let (first, second) = (Sink::start(), Sink::start());
        first.reply_when(|_| Some(Reply::Status(409)));
        second.reply_when(|_| Some(Reply::Status(410)));
        let broker = MemoryBroker::new();
        let template = "format = template\ntemplate = {\"by\": \"{{ failure.action }}\", \"why\": {{ failure.reason|tojson }}, \
                        \"times\": {{ failure.attempts }}, \"said\": {{ failure.answer|tojson }}, \
                        \"before\": \"{{ failure.before.action }}\"}";
        let actions = format!(
            "[action:first]\ndriver = k2hr3\napi_url = {}\nmax_attempts = 2\nretry_interval = 0s\non_failure = second\n\
             [action:second]\ndriver = k2hr3\napi_url = {}\nmax_attempts = 1\non_failure = chat\n\
             [action:chat]\ndriver = file\npath = {at}/chat.jsonl\n{template}\non_failure = last\n\
             [action:last]\ndriver = dump\npath = {at}/last.jsonl\n",
            first.url("/v1/role"),
            second.url("/v1/role"),
        );
        let daemon = started(folder.path(), journal, &broker, &actions);
        publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
        daemon.wait_until("it is told of", |c| c.delivered.get() == 1);
        daemon.stop().unwrap();
        let told = written(folder.path(), "chat.jsonl");
        let told = &told[0];
        assert_eq!(
            (&told["by"], &told["times"], &told["before"]),
            (&"second".into(), &1.into(), &"first".into())
        );
        let why = told["why"].as_str().unwrap();
        assert!(why.starts_with("status 410"), "{why}");
        let said = told["said"].as_str().unwrap();
        assert!(why.starts_with(said) && !said.is_empty(), "{said}");
    }
}

#[test]
fn what_is_dead_from_the_beginning_is_handed_on() {
    let undecided = "when = payload.port.device_id + 1 > 2\n";
    let unmade = "body = {\"up\": {{ payload.port.up }}}\n";
    for journal in JOURNALS {
        for (rule, own, why) in [
            ("", unmade, "body: "),
            ("", undecided, "action first: when cannot be decided"),
            (undecided, "", "rule ports: when cannot be decided"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let sink = Sink::start();
            let broker = MemoryBroker::new();
            let actions = format!(
                "{rule}[action:first]\ndriver = http\nurl = {}\n{own}on_failure = chat\n\
                 [action:chat]\ndriver = dump\npath = {}/chat.jsonl\n",
                sink.url("/"),
                folder.path().display(),
            );
            let daemon = started(folder.path(), journal, &broker, &actions);
            publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
            daemon.wait_until("it is told of", |c| c.delivered.get() == 1);
            assert_eq!(daemon.counters.dead.get(), 1, "{why}");
            daemon.stop().unwrap();
            let told = written(folder.path(), "chat.jsonl");
            let failure = &told[0]["failure"];
            assert_eq!((told.len(), &failure["action"]), (1, &"first".into()), "{journal} {why}");
            assert!(failure["reason"].as_str().unwrap().contains(why), "{failure}");
            assert_eq!(sink.requests().len(), 0);
        }
    }
}

#[test]
fn what_is_dead_from_the_beginning_is_handed_on_to_whoever_wants_it() {
    for (rule, when, expected) in [
        ("", "", 1),
        ("", "when = payload.port.device_id == 'another'\n", 0),
        ("actions = first, chat\n", "", 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let broker = MemoryBroker::new();
        let at = folder.path().display();
        let actions = format!(
            "[action:first]\ndriver = dump\npath = {at}/first.jsonl\nwhen = payload.port.device_id + 1 > 2\n\
             on_failure = chat\n[action:chat]\ndriver = dump\npath = {at}/chat.jsonl\n{when}"
        );
        let daemon = started(folder.path(), JOURNALS[0], &broker, &format!("{rule}{actions}"));
        publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
        daemon.wait_until("it is given up", |c| c.dead.get() == 1 && c.delivered.get() == expected);
        daemon.stop().unwrap();
        assert_eq!(lines(folder.path()), usize::try_from(expected).unwrap(), "{rule}{when}");
        let told = written(folder.path(), "chat.jsonl");
        assert_eq!(
            told.iter().filter(|line| line["failure"].is_null()).count(),
            usize::from(!rule.is_empty())
        );
    }
}
