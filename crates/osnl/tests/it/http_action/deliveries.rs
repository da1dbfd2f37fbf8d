use std::path::Path;
use std::time::Duration;

use osnl::journal::query::{DeliveryListRow, Filter, ListPage, RowState};
use osnl::journal::sqlite::SqliteReader;
use osnl::native::{Sources, load_texts};
use osnl_model::{Priority, Target};
use osnl_testkit::{Authority, Protocols, Reply, ServerIdentity, TlsSink};
use osnl_transport::MemoryBroker;
use serde_json::json;

use super::with;
use crate::harness::{DaemonRig, framed};

pub(super) fn start(folder: &Path, broker: &MemoryBroker, lines: &str) -> DaemonRig {
    let text = format!(
        "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = true\n\
         [listener:nova]\ntransport_url = rabbit://mq/\nexchange = nova\ndeclare = create\npriorities = info\n\
         pool = osnl\n[rule:r]\nevent_type = ^instance\\.delete\nactions = hook\n\
         [action:hook]\ndriver = http\nretry_interval = 0s\n{lines}\n",
        folder.display()
    );
    let loaded = load_texts(&[("test.conf".to_owned(), text)], &Sources::default());
    let conf = loaded.unwrap_or_else(|errors| panic!("{errors}")).conf;
    DaemonRig::bound(&conf, broker, &["nova"])
}

pub(super) fn publish(broker: &MemoryBroker, id: &str) {
    let body = framed("compute.host1", "instance.delete.end", &json!({"instance_id": id}));
    assert_eq!(broker.publish(&Target::new("nova", "notifications"), &Priority::Info, body), 1);
}

fn rows(folder: &Path, state: RowState) -> Vec<DeliveryListRow> {
    let filter = Filter { states: vec![state], ..Filter::default() };
    SqliteReader::open(&folder.join("journal.db")).unwrap().list(&filter, &ListPage::default()).unwrap()
}

#[test]
fn what_fails_for_a_time_is_delivered_by_the_same_request() {
    let authority = Authority::new();
    let target = TlsSink::start(&authority.issue(&ServerIdentity::LOOPBACK), Protocols::Tls12And13);
    let sink = target.sink();
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let lines = format!(
        "url = {}\nca_file = {}\ntimeout = 60s\nbody = {{\"gone\": \"{{{{ payload.instance_id }}}}\"}}",
        target.url("localhost", "/gone"),
        authority.file().display()
    );
    let faults = vec![
        Reply::Status(500),
        with(429, &[("Retry-After", "0")], ""),
        with(
            503,
            &[("Date", "Fri, 20 Nov 2026 06:00:00 GMT"), ("Retry-After", "Fri, 20 Nov 2026 06:00:00 GMT")],
            "",
        ),
        Reply::Garbage,
        Reply::CloseWithoutReply,
        Reply::After(Duration::from_millis(20), Box::new(Reply::Status(503))),
        Reply::Endless,
    ];
    let attempts = faults.len();
    sink.script(faults);
    let daemon = start(folder.path(), &broker, &lines);
    publish(&broker, "vm-1");
    daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    let requests = sink.requests();
    assert_eq!(requests.len(), attempts);
    let first = &requests[0];
    assert!(requests.iter().all(|r| r.body == br#"{"gone": "vm-1"}"#));
    assert!(requests.iter().all(|r| r.header("idempotency-key") == first.header("idempotency-key")));
    // All attempts share a trace, and each has a parent of its own.
    let parents: std::collections::HashSet<&str> =
        requests.iter().map(|request| request.header("traceparent").unwrap()).collect();
    let traces: std::collections::HashSet<&str> = parents.iter().map(|parent| &parent[..35]).collect();
    assert_eq!((traces.len(), parents.len()), (1, requests.len()), "{parents:?}");
    let rows = rows(folder.path(), RowState::Delivered);
    let said = rows[0].reason.as_deref().unwrap();
    assert_eq!(said, format!("POST {}: 200", target.url("localhost", "/gone")));
}
