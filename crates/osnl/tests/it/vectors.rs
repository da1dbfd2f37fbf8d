use std::sync::Arc;

use osnl::actions::k2hr3::HostParameters;
use osnl_legacy::k2hr3::ApiUrl;
use osnl_model::{Priority, Target};
use osnl_testkit::{Sink, SinkRequest, fixture};
use osnl_transport::MemoryBroker;
use serde_json::Value;

use crate::harness::{DaemonRig, SOON, bound_broker, conf, framed};

/// A recorded case in which osnl differs on purpose: a router's port is about no instance.
const NOT_REQUESTED: &str = "neutron-router-port";

/// The payload that the program's manual prints, and the program passes over; the request is that of the other case.
const AS_THE_MANUAL_HAS_IT: (&str, &str) = ("neutron-flat-payload", "neutron-ip-null-entry");

/// The recorded cases, with the requests that osnl makes of them.
fn vectors() -> Vec<Value> {
    let mut vectors = fixture::json("k2hr3/requests.json")["vectors"].as_array().unwrap().clone();
    let found = |vectors: &[Value], id: &str| vectors.iter().position(|vector| vector["id"] == id).unwrap();
    let router = found(&vectors, NOT_REQUESTED);
    let (flat, wrapped) = AS_THE_MANUAL_HAS_IT;
    let (flat, wrapped) = (found(&vectors, flat), found(&vectors, wrapped));
    vectors[router]["requests"] = Value::Array(Vec::new());
    assert_eq!(vectors[flat]["requests"], Value::Array(Vec::new()), "as the program was");
    vectors[flat]["requests"] = vectors[wrapped]["requests"].clone();
    vectors
}

fn expected_targets(vector: &Value) -> Vec<&str> {
    vector["requests"].as_array().unwrap().iter().map(|r| r["target"].as_str().unwrap()).collect()
}

#[test]
fn every_recorded_url_gives_the_recorded_target_and_host() {
    let recorded = fixture::json("k2hr3/requests.json");
    let parameters = HostParameters {
        cuk: "12345678-1234-5678-1234-567812345678".to_owned(),
        addresses: vec!["10.0.0.1".to_owned()],
    };
    let mut compared = 0;
    for case in recorded["api_urls"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        let (Some(line), Some(host)) = (case["requests"][0].as_str(), case["host_header"][0].as_str()) else {
            continue;
        };
        let url = ApiUrl::parse(&case["api_url"].as_str().unwrap().replace("PORT", "1"));
        // Upstream let a fragment swallow the parameters and gave a query a second question mark.
        if id == "url-fragment" {
            assert!(url.is_err());
            continue;
        }
        let line = if id == "url-query" { line.replace("b?extra", "b&extra") } else { line.to_owned() };
        let url = url.unwrap();
        assert_eq!(
            format!("DELETE {} HTTP/1.1", parameters.request_target(url.path_and_query())),
            line,
            "{id}"
        );
        assert_eq!(format!("Host: {}", url.authority()), host.replace("PORT", "1"), "{id}");
        compared += 1;
    }
    assert!(compared >= 7, "{compared}");
}

/// Returns headers without accepted differences: the program's name, and the kept connections.
fn comparable(headers: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
    headers.into_iter().filter(|(name, _)| name != "User-Agent" && name != "Connection").collect()
}

fn recorded_headers(request: &Value) -> Vec<(String, String)> {
    let header = |pair: &Value| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned());
    comparable(request["headers"].as_array().unwrap().iter().map(header))
}

pub(crate) fn assert_as_recorded(made: &SinkRequest, recorded: &Value, port: u16) {
    assert_eq!(made.method, recorded["method"].as_str().unwrap());
    assert_eq!(made.target, recorded["target"].as_str().unwrap());
    assert_eq!(made.version, recorded["http_version"].as_str().unwrap());
    assert_eq!(String::from_utf8_lossy(&made.body), recorded["body"].as_str().unwrap());
    let port = port.to_string();
    let made = made.headers.iter().map(|(name, value)| (name.clone(), value.replace(&port, "PORT")));
    assert_eq!(comparable(made), recorded_headers(recorded));
}

#[test]
fn the_daemon_makes_the_recorded_requests_byte_for_byte() {
    let sink = Sink::start();
    let conf = conf(
        &sink.url("/v1/role"),
        "[oslo_messaging_notifications]\nevent_type = ^.*delete\\.end$\npublisher_id = ^.*$\n",
    );
    let broker = bound_broker(&conf);
    let daemon = DaemonRig::start(&conf, Arc::new(broker.transport()));
    let mut expected = 0;
    for vector in vectors() {
        publish_vector(&broker, &vector);
        for target in expected_targets(&vector) {
            expected += 1;
            let made = sink.wait_for(expected, SOON);
            assert_eq!(made[expected - 1].target, target);
            assert_as_recorded(&made[expected - 1], &vector["requests"][0], sink.port());
        }
    }
    daemon.wait_until("all are finished", |c| {
        (c.delivered.get() + c.no_action_needed.get() + c.dead.get()) as usize == vectors().len()
    });
    assert_eq!(sink.requests().len(), expected);
    daemon.stop().unwrap();
}

fn publish_vector(broker: &MemoryBroker, vector: &Value) {
    let text = |key: &str| vector[key].as_str().unwrap();
    let body = framed(text("publisher_id"), text("event_type"), &vector["payload"]);
    broker.publish(&Target::new("neutron", "notifications"), &Priority::Info, body);
}
