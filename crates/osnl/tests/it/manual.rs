//! What k2hr3_osnl's manual prints, played as printed: the files of its sections 2.2 and 3.3 with the messages of 3.2.

use std::sync::Arc;

use osnl_legacy::k2hr3::Conf;
use osnl_testkit::{PrintedMessage, Sink, fixture};
use osnl_transport::Properties;
use serde_json::{Value, json};

use crate::harness::{DaemonRig, SOON, bound_broker};

const FILES: [&str; 2] = ["k2hr3/manual/k2hr3_osnl.conf", "k2hr3/conf/06-all-options-documented.conf"];

#[test]
fn each_printed_file_and_each_printed_message_make_the_request() {
    let printed = PrintedMessage::all();
    assert_eq!(printed.len(), 3);
    for message in printed {
        for file in FILES {
            check(file, &message);
        }
    }
}

#[track_caller]
fn check(file: &str, message: &PrintedMessage) {
    let sink = Sink::start();
    let text = message.conf(&fixture::text(file)).replace("https://localhost/v1/role", &sink.url("/v1/role"));
    let conf = Conf::from_text("k2hr3_osnl.conf", &text).unwrap().conf;
    let broker = bound_broker(&conf);
    let daemon = DaemonRig::start(&conf, Arc::new(broker.transport()));
    // A copy under the same id would be the same message.
    let mut other: Value = serde_json::from_str(&message.body).unwrap();
    other["message_id"] = json!("another");
    let framed = json!({"oslo.version": "2.0", "oslo.message": other.to_string()}).to_string();
    for (number, body) in [message.body.clone(), framed].into_iter().enumerate() {
        let key = format!("{}.info", message.topic);
        let routed = broker.publish_raw(&message.exchange, &key, body.into(), Properties::default());
        assert_eq!(routed, 1, "{file}: {message:?}");
        let made = sink.wait_for(number + 1, SOON);
        assert_eq!((&*made[number].method, &*made[number].target), ("DELETE", &*message.request), "{file}");
    }
    daemon.wait_until("both are delivered", |counters| counters.delivered.get() == 2);
    daemon.stop().unwrap();
}
