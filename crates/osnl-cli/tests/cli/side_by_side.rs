//! The real k2hr3_osnl and osnl on one broker, each with its own queue and target: the same
//! messages give the same requests.

use std::collections::BTreeMap;

use osnl_testkit::{Broker, Notice, OsloPublisher, PublisherOptions, Sink, SinkRequest, Upstream, fixture};
use serde_json::Value;

use crate::harness::{Place, SOON, conf, instance, settled};

/// The case in which upstream asks K2HR3 to forget an unknown router, and osnl does not.
const ROUTER: &str = "neutron-router-port";

/// The payload of upstream's manual, which upstream passes over.
const FLAT: &str = "neutron-flat-payload";

fn by_cuk(sink: &Sink) -> BTreeMap<String, Vec<String>> {
    let mut made: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for SinkRequest { method, target, version, headers, body, .. } in sink.requests() {
        let cuk = target.split("cuk=").nth(1).unwrap().split('&').next().unwrap();
        let mut text = format!("{method} {target} {version}\n");
        for (name, value) in headers.iter().filter(|(name, _)| name != "User-Agent" && name != "Connection") {
            text += &format!("{name}: {}\n", value.replace(&sink.port().to_string(), "PORT"));
        }
        text += &String::from_utf8_lossy(&body);
        made.entry(cuk.to_owned()).or_default().push(text);
    }
    made
}

#[test]
fn the_same_messages_give_the_same_requests() {
    let vhost = Broker::shared().vhost("side-by-side");
    let (theirs, ours) = (Sink::start(), Sink::start());
    let place = Place::new();
    let filter =
        "[oslo_messaging_notifications]\nevent_type = ^.*delete\\.end$\npublisher_id = ^.*$\npool = ";
    place.write("theirs.conf", conf(&vhost.url(), &theirs.url("/v1/role"), &format!("{filter}theirs")));
    let upstream = Upstream::start(&place.path("theirs.conf"));
    let text = conf(&vhost.url(), &ours.url("/v1/role"), &format!("{filter}ours"));
    let osnl = place.daemon("ours", &text).listening();
    osnl_testkit::wait_until(SOON, "the real k2hr3_osnl consumes", || {
        vhost.list_queues().iter().any(|queue| queue.name == "theirs" && queue.consumers == 1)
    });

    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let recorded = fixture::json("k2hr3/requests.json");
    let vectors = recorded["vectors"].as_array().unwrap();
    let (mut published, mut requests, mut router, mut flat) = (0, 0, 0, 0);
    for (n, vector) in vectors.iter().enumerate() {
        let makes = vector["requests"].as_array().unwrap().len();
        let drivers = match n % 2 {
            _ if makes > 0 => &["messaging", "messagingv2"][..],
            0 => &["messagingv2"],
            _ => &["messaging"],
        };
        for driver in drivers {
            publisher.notify(&notice(vector, driver));
            published += 1;
            requests += makes;
            router += usize::from(vector["id"] == ROUTER);
            flat += usize::from(vector["id"] == FLAT);
            // One message at a time: upstream works on 64 at once and keeps no order.
            theirs.wait_for(requests, SOON);
            ours.wait_for(requests - router + flat, SOON);
        }
    }
    assert!(published > 40 && requests > 30, "{published}, {requests}");
    settled(&vhost, "theirs");
    settled(&vhost, "ours");
    let log = osnl.stop();
    assert!(log.contains(&format!("received={published} ")), "{log}");
    drop(upstream);

    let (mut theirs, mut ours) = (by_cuk(&theirs), by_cuk(&ours));
    assert_eq!(theirs.remove(&instance(98)).map(|requests| requests.len()), Some(router));
    assert_eq!(ours.remove(&instance(97)).map(|requests| requests.len()), Some(flat));
    assert!(ours.keys().eq(theirs.keys()), "{:?}\n{:?}", ours.keys(), theirs.keys());
    for (cuk, theirs) in &theirs {
        assert_eq!(&ours[cuk], theirs, "{cuk}");
    }
}

fn notice(vector: &Value, driver: &str) -> Notice {
    let text = |key: &str| vector[key].as_str().unwrap().to_owned();
    let mut payload = vector["payload"].clone();
    if vector["id"] == ROUTER {
        payload["port"]["device_id"] = instance(98).into();
    }
    if vector["id"] == FLAT {
        payload["device_id"] = instance(97).into();
    }
    Notice {
        driver: driver.to_owned(),
        publisher_id: text("publisher_id"),
        event_type: text("event_type"),
        payload,
        ..Notice::default()
    }
}
