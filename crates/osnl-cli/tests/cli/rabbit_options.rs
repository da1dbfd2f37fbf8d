use std::path::Path;
use std::time::{Duration, Instant};

use osnl_testkit::{Authority, Broker, OsloPublisher, PublisherOptions, ServerIdentity, Sink, wait_until};

use crate::harness::{Place, QUEUE, SOON, conf, notices, settled};

const BELIEVED: &str = "encrypted, but the broker's certificate is not verified";

#[test]
fn a_native_file_reaches_the_broker_as_its_options_say() {
    let authority = Authority::new();
    let broker = Broker::shared();
    let vhost = broker.vhost("run-options");
    let port = broker.tls_port(&authority.issue(&ServerIdentity::LOOPBACK), None);
    let place = Place::new();
    let ca = authority.file();
    place.write(
        "osnl.conf",
        format!(
            "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = yes\n\
             [oslo_messaging_rabbit]\nssl = false\nssl_ca_file = {}\namqp_durable_queues = false\n\
             heartbeat_timeout_threshold = 11\nrabbit_qos_prefetch_count = 7\n\
             [listener:neutron]\ntransport_url = rabbit://guest:guest@localhost:{port}/{}?kombu_reconnect_delay=1.5\n\
             exchange = neutron\npriorities = info\ndeclare = create\ntls = verify\nrabbit_login_method = PLAIN\n\
             pool = osnl\n[rule:all]\nactions = record\n[action:record]\ndriver = dump\npath = record.jsonl\n",
            place.path("state").display(),
            ca.display(),
            vhost.name()
        ),
    );
    let osnl = Path::new(env!("CARGO_BIN_EXE_osnl"));
    let mut refused = place.run(osnl, &["run", "--config-file", "osnl.conf"]);
    let (status, said) = refused.refused();
    assert_eq!(status, Some(78), "{said}");
    assert!(said.contains("[listener:neutron]: tls = verify and ssl = false; one requires TLS"), "{said}");

    let text = place.read("osnl.conf").replace("ssl = false", "ssl = true");
    place.write("osnl.conf", text);
    let running = place.run(osnl, &["run", "--config-file", "osnl.conf"]).listening();
    assert_eq!(vhost.heartbeats(), [11]);
    let queues = vhost.list_queues();
    assert_eq!(
        queues.iter().map(|queue| (&*queue.name, queue.durable)).collect::<Vec<_>>(),
        [("osnl", false)]
    );
    OsloPublisher::start(&vhost.url(), PublisherOptions::default()).notify_all(&notices(0..3));
    wait_until(SOON, "three events to be recorded", || place.read("record.jsonl").lines().count() == 3);
    settled(&vhost, "osnl");

    let closed = Instant::now();
    vhost.close_all_connections("to see when it is back");
    running.wait_for("subscribed again");
    let back = closed.elapsed();
    assert!(back >= Duration::from_millis(1500), "{back:?}");
    let log = running.stop();
    assert!(!log.contains(BELIEVED) && !log.contains(":guest@"), "{log}");
}

#[test]
fn under_the_legacy_name_the_query_counts_and_the_section_is_told_not_to() {
    let authority = Authority::new();
    let broker = Broker::shared();
    let vhost = broker.vhost("legacy-options");
    let port = broker.tls_port(&authority.issue(&ServerIdentity::LOOPBACK), None);
    let sink = Sink::start();
    let url = format!(
        "rabbit://guest:guest@localhost:{port}/{}?ssl=1&amqp_durable_queues=1&heartbeat_timeout_threshold=0",
        vhost.name()
    );
    let more = "[oslo_messaging_notifications]\ntls = unverified\n[oslo_messaging_rabbit]\nssl = false\nheartbeat_timeout_threshold = 5";
    let place = Place::new();
    let running = place.daemon("k", &conf(&url, &sink.url("/v1/role"), more)).listening();
    assert_eq!(vhost.heartbeats(), [0]);
    assert!(vhost.list_queues().iter().any(|queue| queue.name == QUEUE && queue.durable));
    let log = running.stop();
    assert_eq!(log.matches(BELIEVED).count(), 1, "{log}");
    assert!(log.contains("[oslo_messaging_rabbit]: not applied, because k2hr3_osnl did not either"), "{log}");
}
