//! Names with two addresses, of which the first refuses.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use osnl_testkit::{Broker, FaultyProxy, Sink};

use crate::journalled::{Rig, preload};

const NAME: &str = "two.test";
const ADDRESSES: [&str; 2] = ["127.0.0.1", "127.0.0.2"];

#[test]
fn broker_and_target_are_reached_by_the_second_address_of_their_name() {
    let second: IpAddr = ADDRESSES[1].parse().unwrap();
    let mut rig = Rig::new("two-addresses");
    let broker = Broker::shared().port();
    let (proxy, sink) = (FaultyProxy::at(second, broker), Sink::start_at(second));
    let text = fs::read_to_string(rig.path("a.conf")).unwrap();
    let text = text.replace(&format!("127.0.0.1:{broker}"), &format!("{NAME}:{}", proxy.port()));
    let text = text.replace(&rig.sink.url(""), &format!("http://{NAME}:{}", sink.port()));
    assert_eq!(text.matches(NAME).count(), 2, "{text}");
    fs::write(rig.path("a.conf"), text).unwrap();
    rig.sink = sink;
    let names = PathBuf::from(format!("{NAME} {}", ADDRESSES.join(" ")));
    rig.start_under(&[], &[("LD_PRELOAD", preload().to_owned()), ("OSNL_TEST_NAME", names)]);
    for _ in 0..2 {
        rig.consuming();
        rig.publish(3, 3);
        rig.all_done();
        // The next connection looks the name up again.
        assert!(proxy.cut() > 0, "the broker is reached through the proxy");
        rig.sink.restart();
    }
    let log = rig.log();
    assert!(!log.contains("Connection refused"), "a refusal of one address is no failure: {log}");
}
