//! What k2hr3_osnl's manual prints, played as printed: the files of its sections 2.2 and 3.3 with the messages of 3.2.
//!
//! Its marks of omission are left out. Of nova's versioned message, whose braces do not match, the priority and the
//! publisher stand where oslo.messaging writes them; the third kind is named there, and not printed.

use std::sync::Arc;

use osnl_legacy::k2hr3::Conf;
use osnl_testkit::{Sink, fixture};
use osnl_transport::Properties;
use serde_json::{Value, json};

use crate::harness::{ListenerRig, SOON, bound_broker};

const ALL_ADDRESSES: &str = "/v1/role?extra=openstack-auto-v1&cuk=12345678-1234-5678-1234-567812345678";
const BOTH_ADDRESSES: &str = "/v1/role?extra=openstack-auto-v1&cuk=12345678-1234-5678-1234-567812345678\
                              &host=%5B%22172.16.0.1%22%2C%20%222001%3Adb8%3A%3A6%22%5D";

const FILES: [&str; 2] = ["k2hr3/manual/k2hr3_osnl.conf", "k2hr3/conf/06-all-options-documented.conf"];

/// The file, with this K2HR3, and with these lines in place of their options.
fn conf(file: &str, sink: &Sink, lines: &[&str]) -> Conf {
    let text = fixture::text(file);
    let name = |line: &str| line.split(" = ").next().unwrap().to_owned();
    let replaced = text.lines().map(|line| match lines.iter().find(|other| name(other) == name(line)) {
        Some(other) => format!("{other}\n"),
        None => format!("{line}\n"),
    });
    let text = replaced.collect::<String>().replace("https://localhost/v1/role", &sink.url("/v1/role"));
    assert!(lines.iter().all(|line| text.contains(line)), "{text}");
    Conf::from_text("k2hr3_osnl.conf", &text).unwrap().conf
}

#[track_caller]
fn check(message: &str, lines: &[&str], exchange: &str, topic: &str, target: &str) {
    for file in FILES {
        check_file(file, message, lines, exchange, topic, target);
    }
}

#[track_caller]
fn check_file(file: &str, message: &str, lines: &[&str], exchange: &str, topic: &str, target: &str) {
    let sink = Sink::start();
    let conf = conf(file, &sink, lines);
    let broker = bound_broker(&conf);
    let daemon = ListenerRig::start(&conf, Arc::new(broker.transport()));
    let bare = fixture::text(&format!("k2hr3/manual/{message}.json"));
    // A copy under the same id would be the same message.
    let mut other: Value = serde_json::from_str(&bare).unwrap();
    other["message_id"] = json!("another");
    let framed = json!({"oslo.version": "2.0", "oslo.message": other.to_string()}).to_string();
    for (number, body) in [bare, framed].into_iter().enumerate() {
        let key = format!("{topic}.info");
        assert_eq!(broker.publish_raw(exchange, &key, body.into(), Properties::default()), 1, "{message}");
        let made = sink.wait_for(number + 1, SOON);
        assert_eq!((&*made[number].method, &*made[number].target), ("DELETE", target), "{message}");
    }
    daemon.wait_until("both are delivered", |counters| counters.delivered.get() == 2);
    daemon.stop().unwrap();
}

#[test]
fn the_printed_file_and_the_printed_message_of_neutron_make_the_request() {
    check("neutron", &[], "neutron", "notifications", BOTH_ADDRESSES);
}

#[test]
fn the_printed_versioned_message_of_nova_makes_its_request() {
    let lines = [
        r"event_type = ^instance\.delete\.end$",
        "publisher_id = ^nova-compute:.*$",
        "topic = versioned_notifications",
        "exchange = nova",
    ];
    check("nova-versioned", &lines, "nova", "versioned_notifications", ALL_ADDRESSES);
}

#[test]
fn a_message_of_the_third_kind_makes_its_request() {
    let lines =
        [r"event_type = ^compute\.instance\.delete\.end$", "publisher_id = ^compute.*$", "exchange = nova"];
    check("nova-legacy", &lines, "nova", "notifications", ALL_ADDRESSES);
}
