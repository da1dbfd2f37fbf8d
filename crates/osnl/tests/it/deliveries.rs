use std::path::Path;
use std::sync::Arc;

use osnl::journal::query::{Change, DeliveryListRow, Filter, ListPage, RowState};
use osnl::journal::sqlite::{SqliteJournal, SqliteOptions, SqliteReader};
use osnl::native::{Native, Sources, load_texts};
use osnl_legacy::k2hr3::Conf;
use osnl_testkit::{Reply, Sink};
use osnl_transport::MemoryBroker;
use serde_json::json;

use crate::harness::{DaemonRig, QUEUE, SOON, bound_broker, conf, instance, port_deleted, publish};

fn native(folder: &Path, api_url: &str, rule: &str, action: &str) -> Native {
    named(folder, api_url, "roles", rule, action)
}

fn named(folder: &Path, api_url: &str, name: &str, rule: &str, action: &str) -> Native {
    let folder = folder.display();
    let text = format!(
        "[DEFAULT]\nstate_dir = {folder}\n[journal]\nallow_volatile = true\n\
         [listener:neutron]\ntransport_url = rabbit://mq/\nexchange = neutron\ndeclare = create\npriorities = info\n\
         pool = osnl\n[rule:ports]\nevent_type = ^port\\.delete\nactions = {name}\n{rule}\n\
         [action:{name}]\ndriver = k2hr3\napi_url = {api_url}\nretry_interval = 0s\n{action}\n"
    );
    let loaded = load_texts(&[("test.conf".to_owned(), text)], &Sources::default());
    loaded.unwrap_or_else(|errors| panic!("{errors}")).conf
}

fn start(conf: &Native, broker: &MemoryBroker) -> DaemonRig {
    DaemonRig::bound(conf, broker, &["neutron"])
}

fn rows(folder: &Path, states: &[RowState]) -> Vec<DeliveryListRow> {
    let filter = Filter { states: states.to_vec(), ..Filter::default() };
    SqliteReader::open(&folder.join("journal.db")).unwrap().list(&filter, &ListPage::default()).unwrap()
}

fn asked(sink: &Sink) -> Vec<String> {
    let short = |target: &str| {
        let instance = target.split("cuk=").nth(1).unwrap().split('&').next().unwrap();
        let address = target.split("10.0.0.").nth(1).unwrap().split('%').next().unwrap();
        format!(
            "{}.{address}",
            instance.trim_start_matches("12345678-1234-5678-1234-").trim_start_matches('0')
        )
    };
    sink.requests().iter().map(|request| short(&request.target)).collect()
}

#[test]
fn a_bulk_request_is_a_delivery_for_each_of_its_resources_with_the_request_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start();
    let broker = MemoryBroker::new();
    let daemon = start(&native(folder.path(), &sink.url("/v1/role"), "", ""), &broker);
    let one = |n: usize, address: &str| port_deleted(&instance(n), address)["port"].clone();
    publish(&broker, &json!({"port": one(1, "10.0.0.1")}));
    sink.wait_for(1, SOON);
    publish(&broker, &json!({"ports": [one(1, "10.0.0.1"), one(1, "10.0.0.2"), one(2, "10.0.0.3")]}));
    daemon.wait_until("all are delivered", |c| c.delivered.get() == 4);
    daemon.stop().unwrap();
    let requests = sink.requests();
    let again = requests[1..].iter().find(|r| r.target == requests[0].target).expect("the same request");
    assert_eq!(again.head, requests[0].head);
    let order: Vec<_> = asked(&sink)[1..].iter().filter(|a| a.starts_with("1.")).cloned().collect();
    assert_eq!(order, ["1.1", "1.2"]);
    let rows = rows(folder.path(), &[RowState::Delivered]);
    let told: Vec<_> = rows.iter().map(|row| (row.id.to_string(), row.resource, row.key.clone())).collect();
    let key = |n| Some(instance(n));
    assert_eq!(
        told,
        [
            ("1.0".to_owned(), None, key(1)),
            ("2.0".to_owned(), Some(0), key(1)),
            ("2.1".to_owned(), Some(1), key(1)),
            ("2.2".to_owned(), Some(2), key(2)),
        ]
    );
    assert!(rows[0].reason.as_deref().unwrap().contains("204"), "what was done is listed: {rows:?}");
}

#[test]
fn a_shadow_rule_records_what_it_would_do_and_calls_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start();
    let broker = MemoryBroker::new();
    let conf = native(folder.path(), &sink.url("/v1/role"), "mode = shadow\nguard = 1 per 10m", "");
    let daemon = start(&conf, &broker);
    for n in 0..3 {
        publish(&broker, &port_deleted(&instance(n), "10.0.0.1"));
    }
    daemon.wait_until("all are recorded", |c| c.shadow.get() == 3);
    daemon.stop().unwrap();
    assert!(sink.requests().is_empty());
    let recorded = rows(folder.path(), &[RowState::Shadow]);
    let keys: Vec<_> = recorded.iter().filter_map(|row| row.key.clone()).collect();
    assert_eq!(keys, [0, 1, 2].map(instance));
    // After shadow mode earlier events are done, and count nothing towards the guard.
    let daemon = start(&native(folder.path(), &sink.url("/v1/role"), "guard = 1 per 10m", ""), &broker);
    publish(&broker, &port_deleted(&instance(7), "10.0.0.7"));
    daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    assert_eq!(asked(&sink), ["7.7"]);
}

#[test]
fn the_order_is_by_what_the_rule_says() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start();
    let broker = MemoryBroker::new();
    // Two instances of one network: the second waits for the first, which the target rejects.
    sink.reply_when(|request| request.target.contains("10.0.0.1").then_some(Reply::Status(409)));
    let conf = native(folder.path(), &sink.url("/v1/role"), "key = payload.port.network_id", "");
    let daemon = start(&conf, &broker);
    let on = |n: usize, network: &str| {
        let mut payload = port_deleted(&instance(n), &format!("10.0.0.{n}"));
        payload["port"]["network_id"] = json!(network);
        payload
    };
    publish(&broker, &on(1, "a"));
    sink.wait_for(1, SOON);
    publish(&broker, &on(2, "a"));
    publish(&broker, &on(3, "b"));
    daemon.wait_until("the other network's is delivered", |c| c.delivered.get() == 1);
    assert!(!asked(&sink).contains(&"2.2".to_owned()));
    sink.reply_when(|_| None);
    daemon.wait_until("all are delivered", |c| c.delivered.get() == 3);
    assert_eq!(asked(&sink).last().unwrap(), "2.2");
    daemon.stop().unwrap();
}

#[test]
fn beyond_its_guard_an_action_does_nothing_until_somebody_releases_it() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start();
    let broker = MemoryBroker::new();
    let conf = native(folder.path(), &sink.url("/v1/role"), "", "guard = 2 per 10m");
    let daemon = start(&conf, &broker);
    for (n, address) in [(1, 1), (2, 1), (3, 1), (4, 1), (3, 2), (1, 2)] {
        publish(&broker, &port_deleted(&instance(n), &format!("10.0.0.{address}")));
    }
    daemon.wait_until("what passes is delivered", |c| c.delivered.get() == 3);
    daemon.wait_until("the others are held", |c| c.guarded.get() == 3);
    daemon.stop().unwrap();
    // The guard also counts deliveries before the restart.
    let daemon = start(&conf, &broker);
    publish(&broker, &port_deleted(&instance(5), "10.0.0.1"));
    publish(&broker, &port_deleted(&instance(2), "10.0.0.2"));
    daemon.wait_until("the fifth is held", |c| c.guarded.get() == 1);
    daemon.wait_until("a known one is not", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    assert_eq!(asked(&sink).iter().filter(|a| a.starts_with('3')).count(), 0);
    let held = rows(folder.path(), &[RowState::Held]);
    let reasons: Vec<_> = held.iter().filter_map(|row| row.reason.as_deref()).collect();
    assert_eq!(reasons, ["guard of action roles: more than 2 per 10m"; 4]);

    let options =
        SqliteOptions::new(folder.path().join("journal.db")).bounded(|bounds| bounds.allow_volatile = true);
    let journal = SqliteJournal::open(options, Arc::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(journal.change(Change::Release { which: Filter::default() })).unwrap();
    drop(journal);
    let daemon = start(&conf, &broker);
    daemon.wait_until("all are delivered", |c| c.delivered.get() == 4);
    daemon.stop().unwrap();
    let third: Vec<_> = asked(&sink).into_iter().filter(|a| a.starts_with('3')).collect();
    assert_eq!(third, ["3.1", "3.2"]);
}

#[test]
fn what_waits_for_an_action_that_is_gone_is_named_and_goes_on_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start();
    let conf = native(folder.path(), &sink.url("/v1/role"), "", "");
    assert_eq!(conf.orphans().unwrap(), [], "there is no journal yet");
    let broker = MemoryBroker::new();
    sink.stop();
    let daemon = start(&conf, &broker);
    publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
    daemon.wait_until("it was tried", |c| c.failures.get() > 0);
    daemon.abort().unwrap();
    sink.restart();
    let renamed = named(folder.path(), &sink.url("/v1/role"), "other", "", "");
    let said: Vec<_> = renamed.orphans().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["orphaned: 1 deliveries in the journal wait for [action:roles], which is not configured; \
          they continue when an action has that name again; move or discard them otherwise"]
    );
    let daemon = start(&renamed, &broker);
    publish(&broker, &port_deleted(&instance(2), "10.0.0.2"));
    daemon.wait_until("its own is delivered", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    assert_eq!(asked(&sink), ["2.2"]);
    let daemon = start(&conf, &broker);
    daemon.wait_until("it is adopted", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    assert_eq!(conf.orphans().unwrap(), []);
    assert_eq!(asked(&sink), ["2.2", "1.1"]);
}

#[test]
fn a_k2hr3_osnl_conf_may_name_a_journal_that_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start();
    sink.stop();
    let file = folder.path().join("journal.db");
    let journal = format!("[journal]\nconnection = sqlite://{}\nallow_volatile = true\n", file.display());
    let conf: Conf = conf(&sink.url("/v1/role"), &journal);
    let broker = bound_broker(&conf);
    let daemon = DaemonRig::start(&conf, Arc::new(broker.transport()));
    publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
    daemon.wait_until("it was tried", |c| c.failures.get() > 0);
    daemon.stop().unwrap();
    assert_eq!(broker.ready(QUEUE), 0, "it was acknowledged");
    sink.restart();
    let daemon = DaemonRig::start(&conf, Arc::new(MemoryBroker::new().transport()));
    sink.wait_for(1, SOON);
    daemon.stop().unwrap();
}
