use std::path::Path;

use osnl::daemon::RunEnd;
use osnl::journal::query::{Filter, ListPage, RowState};
use osnl::journal::sqlite::SqliteReader;
use osnl::native::{Native, Sources, load_texts};
use osnl_testkit::{Reply, Sink, wait_until};
use osnl_transport::{MemoryBroker, Properties};

use crate::harness::{DaemonRig, SOON, instance, port_deleted, publish, publish_raw};

fn native(folder: &Path, api_url: &str) -> Native {
    let folder = folder.display();
    let text = format!(
        "[DEFAULT]\nstate_dir = {folder}\n[journal]\nallow_volatile = true\n\
         [listener:neutron]\ntransport_url = rabbit://mq/\nexchange = neutron\ndeclare = create\npriorities = info\n\
         pool = osnl\n[rule:ports]\nevent_type = ^port\\.delete\nactions = roles\n[action:roles]\ndriver = k2hr3\napi_url = {api_url}\nmax_attempts = 1\n"
    );
    load_texts(&[("test.conf".to_owned(), text)], &Sources::default()).unwrap().conf
}

fn start(conf: &Native, broker: &MemoryBroker) -> DaemonRig {
    DaemonRig::bound(conf, broker, &["neutron"])
}

#[test]
fn a_refusal_is_a_dead_letter_in_the_file_with_what_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start();
    sink.reply_with(Reply::Status(409));
    let conf = native(folder.path(), &sink.url("/v1/role"));
    let broker = MemoryBroker::new();
    let daemon = start(&conf, &broker);
    publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
    daemon.wait_until("it is given up", |c| c.dead.get() == 1);
    assert_eq!(daemon.stop().unwrap(), RunEnd::Drained);
    let reader = SqliteReader::open(&folder.path().join("journal.db")).unwrap();
    let dead = Filter { states: vec![RowState::Dead], ..Filter::default() };
    let rows = reader.list(&dead, &ListPage::default()).unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].reason.as_deref().unwrap().contains("409"), "{rows:?}");
    assert_eq!(rows[0].key.as_deref(), Some(&*instance(1)));
}

/// The first event is a dead letter that holds its resource, and the newer one waits behind it. The creates before and after
/// a restart, of another rule, are older than that one.
#[test]
fn an_older_event_is_overtaken_by_one_that_waits_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start();
    sink.reply_with(Reply::Status(409));
    let home = folder.path().display();
    let text = format!(
        "[DEFAULT]\nstate_dir = {home}\n[journal]\nallow_volatile = true\n\
         [listener:neutron]\ntransport_url = rabbit://mq/\nexchange = neutron\ndeclare = create\npriorities = info\n\
         pool = osnl\n[rule:ports]\nevent_type = ^port\\.delete\nactions = roles\norder_by_event_time = true\n\
         [rule:made]\nevent_type = ^port\\.create\nactions = roles\norder_by_event_time = true\n\
         [action:roles]\ndriver = k2hr3\napi_url = {}\nmax_attempts = 1\non_dead = hold_key\n",
        sink.url("/v1/role"),
    );
    let conf = load_texts(&[("test.conf".to_owned(), text)], &Sources::default()).unwrap().conf;
    let says = |broker: &MemoryBroker, event: &str, time: &str| {
        let payload = port_deleted(&instance(1), "10.0.0.1");
        let body = format!(
            r#"{{"event_type": "port.{event}.end", "publisher_id": "network.h", "message_id": "{time}",
                "timestamp": "2026-11-28 01:00:{time}", "payload": {payload}}}"#
        );
        publish_raw(broker, body.as_bytes(), Properties::default());
    };
    let rows = || {
        let reader = SqliteReader::open(&folder.path().join("journal.db")).unwrap();
        let mut rows = reader.list(&Filter::default(), &ListPage::default()).unwrap();
        rows.sort_by_key(|row| row.id);
        let word = |reason: Option<String>| reason.is_some_and(|reason| reason.contains("overtaken"));
        rows.into_iter().map(|row| (row.state, word(row.reason))).collect::<Vec<_>>()
    };
    let (held, overtaken) = ((RowState::Waiting, false), (RowState::Dead, true));
    let refused = (RowState::Dead, false);

    let broker = MemoryBroker::new();
    let daemon = start(&conf, &broker);
    says(&broker, "delete", "03");
    daemon.wait_until("it is given up", |c| c.dead.get() == 1);
    says(&broker, "delete", "10");
    says(&broker, "create", "05");
    daemon.wait_until("the older one is given up", |c| c.dead.get() == 2);
    assert_eq!(rows(), [refused, held, overtaken]);
    assert_eq!(daemon.stop().unwrap(), RunEnd::Drained);

    let broker = MemoryBroker::new();
    let daemon = start(&conf, &broker);
    says(&broker, "create", "06");
    says(&broker, "delete", "11");
    daemon.wait_until("the older one is given up", |c| c.dead.get() == 1);
    wait_until(SOON, "the newer one waits", || rows().len() == 5);
    assert_eq!(rows(), [refused, held, overtaken, overtaken, held]);
    daemon.stop().unwrap();
    assert_eq!(sink.requests().len(), 1);
}
