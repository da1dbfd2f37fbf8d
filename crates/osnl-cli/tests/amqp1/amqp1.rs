use osnl_testkit::{Amqp1Peer, FaultyProxy, Sink, closed_port, wait_until};
use serde_json::{Value, json};

use crate::running::{Place, SOON};

fn publish(oslo: &Amqp1Peer, driver: &str, project: &str) {
    let (event, payload) = ("compute.instance.delete.end", json!({"driver": driver}));
    let event = json!({"driver": driver, "event_type": event, "project": project, "payload": payload, "exchange": "nova"});
    oslo.ask(&event);
}

fn conf(place: &Place, listeners: &str, sink: &Sink) -> String {
    format!(
        "[DEFAULT]\nstate_dir = {}\n[admin]\nlisten = unix:{}\n[journal]\nallow_volatile = yes\n{listeners}[rule:r]\n\
         event_type = ^compute\\.\ncontext.project_id = ^p1$\nactions = a\n[action:a]\ndriver = http\nurl = {}\n",
        place.path("state").display(),
        place.path("admin.sock").display(),
        sink.url("/"),
    )
}

fn listener(name: &str, url: &str, more: &str) -> String {
    format!("[listener:{name}]\ntransport_url = {url}\n{more}\n")
}

const NOVA: &str = "exchange = nova\npriorities = info\npool = osnl";

#[test]
fn osnl_acts_on_what_oslo_publishes() {
    for (product, address) in [
        ("", "unicast.nova.notifications.info"),
        ("qpid-dispatch-router", "openstack.org/om/notify/anycast/nova/notifications.info"),
    ] {
        let (broker, place, sink) = (Amqp1Peer::broker(product), Place::new(), Sink::start());
        let proxy = FaultyProxy::before(broker.port());
        let url = format!("amqp://127.0.0.1:{},127.0.0.1:{}/", closed_port(), proxy.port());
        place.write("a.conf", &conf(&place, &listener("n", &url, NOVA), &sink));
        let (code, stdout, stderr) = place.run(&["check", "-c", "a.conf", "--connect"]);
        assert!(stdout.contains("answers") && code != Some(2), "{stdout}{stderr}");
        assert!(format!("{stdout}{stderr}").contains("each message goes to one reader"), "{stdout}{stderr}");
        let osnl = place.start(&["run", "-c", "a.conf"]);
        osnl.wait_for("listening");
        let oslo = Amqp1Peer::publisher(&format!("amqp://127.0.0.1:{}/", broker.port()));
        for driver in ["messaging", "messagingv2"] {
            publish(&oslo, driver, "p1");
            publish(&oslo, driver, "p2");
        }
        let requests = sink.wait_for(2, SOON);
        wait_until(SOON, "all are accepted", || broker.ask(&json!({}))["accepted"] == 4);
        let (code, stdout, stderr) = place.run(&["status", "-c", "a.conf"]);
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert!(stdout.contains(address), "{stdout}");
        proxy.cut();
        let scraped = |line: &str| place.metrics().lines().any(|found| found == line);
        let reconnected = "osnl_listener_reconnects_total{listener=\"n\"} 1";
        wait_until(SOON, "the listener reconnects", || scraped(reconnected));
        for line in [
            "osnl_messages_matched_total{listener=\"n\"} 2",
            "osnl_messages_unmatched_total{listener=\"n\"} 2",
            "osnl_listener_state{listener=\"n\",state=\"listening\"} 1",
        ] {
            // The state follows the count, and metrics are computed five times a second at most.
            wait_until(SOON, line, || scraped(line));
        }
        let log = osnl.stop();
        let bodies: String = requests.iter().map(|request| String::from_utf8_lossy(&request.body)).collect();
        assert!(bodies.contains("\"messaging\"") && bodies.contains("\"messagingv2\""), "{bodies}\n{log}");
        assert_eq!(sink.requests().len(), 2, "the context decides\n{log}");
        assert!(log.contains("a router keeps none") && log.contains("has no effect"), "{log}");
    }
}

#[test]
fn a_look_at_queues_names_the_listeners_that_have_none_as_right() {
    let (place, sink) = (Place::new(), Sink::start());
    let url = "amqp://127.0.0.1:1,127.0.0.1:2/";
    place.write("a.conf", &conf(&place, &listener("n", url, NOVA), &sink));
    let (code, stdout, stderr) = place.run(&["queues", "-c", "a.conf"]);
    let expected = "listener n: 127.0.0.1:1, 127.0.0.1:2, AMQP 1.0 has no queues to look at\n\nno findings\n";
    assert_eq!((code, &*stdout), (Some(0), expected), "{stderr}");
    let (code, stdout, stderr) = place.run(&["queues", "-c", "a.conf", "--format", "json"]);
    let all: Value = serde_json::from_str(&stdout).unwrap();
    let expected = json!([{"listener": "n", "broker": "127.0.0.1:1, 127.0.0.1:2"}]);
    assert_eq!((code, &all["amqp1"], &all["kafka"]), (Some(0), &expected, &json!([])), "{stderr}");
}

#[test]
fn a_broker_that_is_rabbitmq_is_refused_with_the_right_scheme() {
    let (broker, place, sink) = (Amqp1Peer::broker("RabbitMQ"), Place::new(), Sink::start());
    let url = format!("amqp://127.0.0.1:{}/", broker.port());
    place.write("a.conf", &conf(&place, &listener("n", &url, NOVA), &sink));
    let (code, stdout, stderr) = place.run(&["check", "-c", "a.conf", "--connect"]);
    assert!(code != Some(0) && stdout.contains("write rabbit://"), "{stdout}{stderr}");
    let osnl = place.start(&["run", "-c", "a.conf"]);
    osnl.wait_for("the broker is RabbitMQ");
    let (code, stdout, stderr) = place.run(&["status", "-c", "a.conf"]);
    assert!(code != Some(0) && stdout.contains("write rabbit://"), "{stdout}{stderr}");
    osnl.stop();

    place.write("b.conf", &conf(&place, &listener("n", "amqp://guest:guest@localhost:5672//", NOVA), &sink));
    let (code, stdout, stderr) = place.run(&["check", "-c", "b.conf"]);
    assert_eq!(code, Some(78), "{stdout}{stderr}");
    assert!(stderr.contains("write rabbit://; for AMQP 1.0 write one /"), "{stderr}");
}

#[test]
fn a_url_that_may_be_of_rabbitmq_is_warned_of_with_the_right_scheme() {
    let (place, sink) = (Place::new(), Sink::start());
    for (url, expected) in [
        ("amqp://osnl:secret@mq1:5672/openstack", Some("; for RabbitMQ write rabbit://\n")),
        ("amqps://osnl:secret@mq1:5671/openstack", Some("; for RabbitMQ write rabbit://...?ssl=1\n")),
        ("amqp://osnl:secret@mq1/", Some("; for RabbitMQ write rabbit://\n")),
        ("amqp://mq1:5672/", None),
        ("amqp://osnl:secret@mq1:5673/openstack", None),
        ("amqp://osnl:secret@mq1:5672/openstack?addressing_mode=legacy", None),
    ] {
        place.write("a.conf", &conf(&place, &listener("n", url, NOVA), &sink));
        let section = format!("[oslo_messaging_notifications]\ntransport_url = {url}\nexchange = nova\n");
        place.write("k2hr3.conf", &(section + "[k2hr3]\napi_url = http://127.0.0.1:1/\n"));
        for [flag, file] in [["-c", "a.conf"], ["--k2hr3-osnl", "k2hr3.conf"]] {
            let (code, stdout, stderr) = place.run(&["check", flag, file]);
            let said = format!("{stdout}{stderr}");
            let is_named =
                expected.map_or(!said.contains("for RabbitMQ"), |expected| said.contains(expected));
            assert!(code == Some(0) && is_named, "{file}, {url}: {code:?} {said}");
        }
    }
}

#[test]
fn two_listeners_of_one_address_are_refused_and_others_are_not() {
    let (place, sink, url) = (Place::new(), Sink::start(), "amqp://127.0.0.1:1/");
    let refused = "[listener:n] uses an address of this broker already";
    for (url_of_other, other, expected) in [
        (url, "exchange = neutron\npriorities = info\npool =", None),
        (url, "exchange = nova\npriorities = warn\npool =", None),
        (url, "exchange = neutron, nova\npriorities = info\npool =", Some("exchange: ")),
        (url, "exchange = nova\npriorities = info\npool = other", Some("exchange: ")),
        (url, "queue = unicast.nova.notifications.info", Some("queue: ")),
        ("amqp://127.0.0.1:1/?addressing_mode=routable", NOVA, Some("exchange: ")),
        ("amqp://127.0.0.1:1/other", NOVA, None),
        ("amqp://127.0.0.1:2/", NOVA, None),
    ] {
        let listeners = listener("n", url, NOVA) + &listener("o", url_of_other, other);
        place.write("a.conf", &conf(&place, &listeners, &sink));
        let (code, stdout, stderr) = place.run(&["check", "-c", "a.conf"]);
        let said = format!("{stdout}{stderr}");
        let is_expected = match expected {
            Some(option) => said.contains(&format!("{option}{refused}")) && code == Some(78),
            None => !said.contains(refused) && code == Some(0),
        };
        assert!(is_expected, "{url_of_other} {other}: {code:?} {said}");
    }
}

#[test]
fn dead_letters_that_only_a_queue_can_keep_are_refused() {
    let (place, sink) = (Place::new(), Sink::start());
    let of_queue = "exchange = nova\npriorities = info\npool = osnl\nqueue_type = quorum";
    let conf = conf(&place, &listener("n", "amqp://127.0.0.1:1/", of_queue), &sink);
    let conf = conf.replace("allow_volatile = yes", "connection = memory://");
    place.write("a.conf", &(conf + "on_dead = hold_key\n"));
    let (code, stdout, stderr) = place.run(&["check", "-c", "a.conf"]);
    let expected = "[listener:n] has no queue of its own for waiting deliveries";
    assert!(code == Some(78) && stderr.contains(expected), "{code:?} {stdout}{stderr}");
}

#[test]
fn a_configuration_of_k2hr3_osnl_runs_with_one_warning() {
    let (broker, place) = (Amqp1Peer::broker(""), Place::new());
    let url = format!("amqp://127.0.0.1:{}/", broker.port());
    let conf = format!(
        "[oslo_messaging_notifications]\ntransport_url = {url}\nexchange = nova\n[k2hr3]\napi_url = http://127.0.0.1:1/\n"
    );
    place.write("k2hr3.conf", &conf);
    let (code, stdout, stderr) = place.run(&["check", "--k2hr3-osnl", "k2hr3.conf"]);
    let said = format!("{stdout}{stderr}");
    let is_limit = |line: &&str| line.starts_with("warning: ") && line.contains("there are no pools");
    let warnings = said.lines().filter(is_limit).count();
    assert_eq!((code, warnings), (Some(0), 1), "{said}");
    let osnl = place.start(&["k2hr3-osnl", "-c", "k2hr3.conf"]);
    wait_until(SOON, "the address to be read", || broker.ask(&json!({}))["senders"] != 0);
    publish(&Amqp1Peer::publisher(&url), "messagingv2", "p1");
    wait_until(SOON, "the message is accepted", || broker.ask(&json!({}))["accepted"] == 1);
    osnl.kill();
}
