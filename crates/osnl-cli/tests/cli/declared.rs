//! Exchanges and queues on the broker for each option and place, compared with the real
//! oslo.messaging. Its programs must also start and work on osnl's declarations.

use std::path::Path;
use std::sync::OnceLock;

use osnl_testkit::{
    Broker, Notice, OsloListener, OsloPublisher, PublisherOptions, Sink, Upstream, Vhost, python, wait_until,
};

use crate::harness::{Osnl, Place, QUEUE, SOON, conf, instance};

const OSNL: &str = env!("CARGO_BIN_EXE_osnl");
const EXCHANGE: &str = "neutron";
const OF_SERVICE: &str = "notifications.info";

const OPTIONS: [&str; 10] = [
    "amqp_durable_queues=0",
    "amqp_durable_queues=1",
    "amqp_auto_delete=1",
    "amqp_durable_queues=1&amqp_auto_delete=1",
    "rabbit_quorum_queue=1",
    "rabbit_quorum_queue=1&rabbit_quorum_delivery_limit=5&rabbit_quorum_max_memory_length=10&\
     rabbit_quorum_max_memory_bytes=1000",
    "rabbit_ha_queues=1",
    "rabbit_ha_queues=1&amqp_durable_queues=1",
    "amqp_durable_queues=0&rabbit_quorum_queue=1",
    "rabbit_quorum_delivery_limit=5",
];

#[derive(Clone, Debug, PartialEq)]
struct DeclaredObjects(String);

impl DeclaredObjects {
    #[track_caller]
    fn on(vhost: &Vhost, queue: &str) -> Self {
        let exchange = || vhost.list_exchanges().into_iter().find(|exchange| exchange.name == EXCHANGE);
        let found = || vhost.list_queues().into_iter().find(|found| found.name == queue);
        let mut seen = None;
        wait_until(SOON, "exchange and queue are there", || {
            seen = exchange().zip(found());
            seen.is_some()
        });
        let (exchange, queue) = seen.unwrap();
        Self(format!(
            "exchange {} durable {} auto_delete {} {}; queue durable {} auto_delete {} {}",
            exchange.kind,
            exchange.durable,
            exchange.auto_delete,
            exchange.arguments,
            queue.durable,
            queue.auto_delete,
            queue.arguments
        ))
    }
}

fn with(vhost: &Vhost, options: &str) -> String {
    format!("{}?{options}", vhost.url())
}

fn lines(options: &str) -> String {
    options.replace('&', "\n").replace('=', " = ")
}

fn theirs() -> &'static [(DeclaredObjects, DeclaredObjects)] {
    static ROWS: OnceLock<Vec<(DeclaredObjects, DeclaredObjects)>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let rows = OPTIONS.iter().map(|options| {
            let (of_notifier, of_pool) = (vhost(), vhost());
            let mut peer = OsloPublisher::start(&with(&of_notifier, options), PublisherOptions::default());
            peer.notify(&Notice::default());
            let to = [(EXCHANGE, "notifications")];
            let _listens = OsloListener::start(&with(&of_pool, options), &to, Some(QUEUE), false);
            (DeclaredObjects::on(&of_notifier, OF_SERVICE), DeclaredObjects::on(&of_pool, QUEUE))
        });
        let rows: Vec<_> = rows.collect();
        // Otherwise all rows could agree on empty declarations.
        assert!(rows[1].0.0.starts_with("exchange topic durable true"), "{rows:?}");
        rows
    })
}

fn vhost() -> Vhost {
    Broker::shared().vhost("declared")
}

fn run(place: &Place, text: &str) -> Osnl {
    let state = place.path("state");
    place.write(
        "osnl.conf",
        format!("[DEFAULT]\nstate_dir = {}\n[journal]\nconnection = memory://\n{text}", state.display()),
    );
    place.run(Path::new(OSNL), &["run", "--config-file", "osnl.conf"]).listening()
}

fn listener(name: &str, url: &str, more: &str) -> String {
    format!(
        "[listener:{name}]\ntransport_url = {url}\nexchange = {EXCHANGE}\npriorities = info\ndeclare = create\n{more}\n"
    )
}

const RULE: &str = "[rule:all]\nactions = record\n[action:record]\ndriver = dump\npath = record.jsonl\n";

#[test]
fn issue_46_a_native_listener_declares_as_oslo_messaging_does_wherever_an_option_stands() {
    for (n, options) in OPTIONS.iter().enumerate() {
        let vhosts = [vhost(), vhost(), vhost(), vhost()];
        let [query, section, own, pool] = &vhosts;
        let same = format!("pool = {QUEUE}\nsingle_active_consumer = false\noslo_arguments = true");
        // osnl's own pool is durable unless an option says otherwise.
        let same = if options.contains("durable_queues") {
            same
        } else {
            format!("{same}\ndurable = {}", options.contains("quorum_queue=1"))
        };
        let several = listener("query", &with(query, options), "pool =")
            + &listener("own", &own.url(), &format!("pool =\n{}", lines(options)))
            + &listener("pool", &with(pool, options), &same);
        let (place, other) = (Place::new(), Place::new());
        let _daemon = run(&place, &format!("{several}{RULE}"));
        let of_section = listener("section", &section.url(), "pool =");
        let _other = run(&other, &format!("[oslo_messaging_rabbit]\n{}\n{of_section}{RULE}", lines(options)));
        let (of_notifier, of_pool) = &theirs()[n];
        for (place, vhost, queue, expected) in [
            ("query", query, OF_SERVICE, of_notifier),
            ("section", section, OF_SERVICE, of_notifier),
            ("listener", own, OF_SERVICE, of_notifier),
            ("pool", pool, QUEUE, of_pool),
        ] {
            assert_eq!(&DeclaredObjects::on(vhost, queue), expected, "{place} {options}");
        }
    }
}

#[test]
fn issue_46_k2hr3_osnl_conf_declares_as_oslo_messaging_does() {
    for (options, (_, expected)) in OPTIONS.iter().zip(theirs()) {
        let (vhost, place, sink) = (vhost(), Place::new(), Sink::start());
        let text = conf(&with(&vhost, options), &sink.url("/v1/role"), "");
        let _daemon = place.daemon("k", &text).listening();
        assert_eq!(&DeclaredObjects::on(&vhost, QUEUE), expected, "{options}");
        let shown =
            place.run(Path::new(OSNL), &["config", "show", "--show-secrets", "--k2hr3-osnl", "k.conf"]);
        let mut shown = shown;
        assert_eq!(shown.wait(SOON).code(), Some(0), "{options} {}", shown.stderr());
        let other = self::vhost();
        let native = Place::new();
        native.write("osnl.conf", shown.stdout().replace(vhost.name(), other.name()));
        let _daemon = native.run(Path::new(OSNL), &["run", "-c", "osnl.conf"]).listening();
        assert_eq!(&DeclaredObjects::on(&other, QUEUE), expected, "{options}");
    }
}

#[test]
fn issue_46_what_is_published_to_is_declared_as_oslo_messaging_declares_it() {
    for (options, (expected, _)) in OPTIONS.iter().zip(theirs()) {
        let vhosts = [vhost(), vhost(), vhost(), vhost()];
        let [query, section, sent, source] = &vhosts;
        let action = |name: &str, url: &str| {
            format!(
                "[action:{name}]\ndriver = publish\ntransport_url = {url}\nexchange = {EXCHANGE}\ndeclare = create\n"
            )
        };
        let read = format!(
            "[listener:source]\ntransport_url = {}\nexchange = source\npool = source\ndurable = true\nauto_delete = false\n\
             queue_type = classic\ndeclare = create\n",
            source.url()
        );
        let place = Place::new();
        let text = |section: &str, to: &str| {
            format!("{section}{read}[rule:all]\nactions = to\n{}", action("to", to))
        };
        let of_section = format!("[oslo_messaging_rabbit]\n{}\n", lines(options));
        for (section, to, at) in [("", with(query, options), query), (&of_section, section.url(), section)] {
            let daemon = run(&place, &text(section, &to));
            let mut peer = OsloPublisher::start(&source.url(), PublisherOptions::default());
            peer.raw(&osnl_testkit::RawMessage {
                exchange: "source".to_owned(),
                routing_key: OF_SERVICE.to_owned(),
                body: br#"{"event_type": "e", "publisher_id": "p", "priority": "INFO", "payload": {}, "message_id": "1"}"#.to_vec(),
                ..osnl_testkit::RawMessage::default()
            });
            assert_eq!(&DeclaredObjects::on(at, OF_SERVICE), expected, "publish {section}{to}");
            daemon.stop();
        }
        let url = with(sent, options);
        let line =
            ["send", "--declare", "--transport-url", &url, "--exchange", EXCHANGE, "--event-type", "e"];
        let mut send = place.run(Path::new(OSNL), &line);
        assert_eq!(send.wait(SOON).code(), Some(0), "{}", send.stderr());
        assert_eq!(&DeclaredObjects::on(sent, OF_SERVICE), expected, "send {options}");
    }
}

const RPC: &str = r#"
import sys
import oslo_messaging
from oslo_config import cfg

class Endpoint:
    def ping(self, ctxt):
        return "pong"

oslo_messaging.set_transport_defaults("neutron")
conf = cfg.CONF
conf([], project="osnl-test", default_config_files=[], default_config_dirs=[])
for url in sys.stdin.read().split():
    transport = oslo_messaging.get_rpc_transport(conf, url=url)
    target = oslo_messaging.Target(topic="agents", server="one")
    server = oslo_messaging.get_rpc_server(transport, target, [Endpoint()], executor="threading")
    server.start()
    client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic="agents"), timeout=20)
    print(client.call({}, "ping"))
    server.stop()
    server.wait()
"#;

#[test]
fn issue_46_services_start_and_work_on_what_osnl_has_declared() {
    let mut running = Vec::new();
    for options in ["amqp_durable_queues=1", "rabbit_quorum_queue=1"] {
        for pool in ["pool = osnl", "pool ="] {
            let (vhost, place) = (vhost(), Place::new());
            let url = with(&vhost, options);
            let daemon = run(&place, &(listener("neutron", &url, pool) + RULE));
            running.push((url, vhost, place, daemon));
        }
    }
    let urls: Vec<&str> = running.iter().map(|(url, ..)| &**url).collect();
    assert_eq!(python(RPC, &urls.join("\n")).split_whitespace().collect::<Vec<_>>(), ["pong"; 4]);
    for (url, _vhost, place, daemon) in running {
        let mut peer = OsloPublisher::start(&url, PublisherOptions::default());
        peer.notify(&Notice::default());
        let _theirs = OsloListener::start(&url, &[(EXCHANGE, "notifications")], None, false);
        wait_until(SOON, "the effect", || place.read("record.jsonl").lines().count() == 1);
        let log = daemon.stop();
        assert!(!log.contains("PRECONDITION"), "{log}");
    }
}

#[test]
fn issue_46_k2hr3_osnl_and_osnl_share_a_queue_whichever_is_first() {
    for options in ["amqp_durable_queues=1", "rabbit_quorum_queue=1", "amqp_auto_delete=1"] {
        for is_first in [true, false] {
            let (vhost, place, sink) = (vhost(), Place::new(), Sink::start());
            place.write("k.conf", conf(&with(&vhost, options), &sink.url("/v1/role"), ""));
            let consumers = |n: u64| {
                wait_until(SOON, &format!("{n} consumers, {options}"), || {
                    vhost.list_queues().iter().any(|queue| queue.name == QUEUE && queue.consumers == n)
                });
            };
            let ours = || place.osnl(&["-c", "k.conf"]).listening();
            let first = is_first.then(ours);
            let _theirs = Upstream::start(&place.path("k.conf"));
            consumers(1 + u64::from(is_first));
            let ours = first.unwrap_or_else(ours);
            consumers(2);
            let mut peer = OsloPublisher::start(&with(&vhost, options), PublisherOptions::default());
            peer.notify(&Notice {
                event_type: "port.delete.end".to_owned(),
                payload: serde_json::json!({"port": {"device_id": instance(1), "id": instance(2),
                    "device_owner": "compute:nova", "fixed_ips": [{"ip_address": "10.0.0.1"}]}}),
                ..Notice::default()
            });
            sink.wait_for(1, SOON);
            let log = ours.stop();
            assert!(!log.contains("PRECONDITION"), "{log}");
        }
    }
}
