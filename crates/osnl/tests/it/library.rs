use std::path::Path;
use std::sync::Arc;

use osnl_legacy::k2hr3::{
    Conf, Error, HostParameters, NotificationEndpoint, NotificationResult, Unusable, listen, listen_on,
    version,
};
use osnl_model::{Priority, Target, TransportUrl};
use osnl_testkit::{Broker, ListenOnly, Reply, Sink, fixture};
use osnl_transport::{Transport, TransportError, transport};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::{SOON, bound_broker, conf, instance, port_deleted, publish};

fn endpoint(sink: &Sink, more: &str) -> NotificationEndpoint {
    NotificationEndpoint::new(conf(&sink.url("/v1/role"), more)).unwrap()
}

fn info(endpoint: &NotificationEndpoint, payload: &Value) -> NotificationResult {
    let metadata =
        Map::from_iter([("message_id".to_owned(), json!("m1")), ("timestamp".to_owned(), json!("t"))]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(endpoint.info(&Map::new(), "network.node1", "port.delete.end", payload, &metadata))
}

#[test]
fn the_version_is_that_of_the_program_it_replaces() {
    assert_eq!(version(), "1.0.8");
}

#[test]
fn a_configuration_is_read_with_the_documented_refusals() {
    let folder = tempfile::tempdir().unwrap();
    let refusal =
        |path: &Path| Conf::from_path(path).map(|_| ()).map_err(Error::from).unwrap_err().to_string();
    let missing = folder.path().join("none.conf");
    assert!(refusal(&missing).starts_with(&format!("path must exist, not {}", missing.display())));
    assert!(refusal(folder.path()).starts_with("path must be a regular file, not "));
    assert!(refusal(&fixture::path("k2hr3/conf/12-bad-no-section.conf")).starts_with("parse error, "));
    let conf = Conf::from_path(&fixture::path("k2hr3/conf/01-minimal-neutron.conf")).unwrap().conf;
    assert_eq!(conf.oslo_messaging_notifications.event_type.as_str(), r"^port\.delete\.end$");
}

#[test]
fn info_answers_as_recorded_for_every_reply() {
    let recorded = fixture::json("k2hr3/requests.json");
    let mut compared = 0;
    for case in recorded["responses"].as_array().unwrap() {
        let Some(status) = case["status"].as_str().and_then(|status| status.parse().ok()) else { continue };
        let requeue = case["requeue_on_error"].as_bool().unwrap();
        let sink = Sink::start();
        sink.reply_with(Reply::Status(status));
        let endpoint = endpoint(&sink, &format!("max_retries = 0\nrequeue_on_error = {requeue}\n"));
        let result = info(&endpoint, &port_deleted(&instance(1), "10.0.0.1"));
        assert_eq!(result.to_string(), case["result"].as_str().unwrap(), "{status} {requeue}");
        assert_eq!(sink.requests().len() as u64, case["n_requests"].as_u64().unwrap(), "{status}");
        compared += 1;
    }
    assert!(compared > 30, "{compared}");
}

#[test]
fn info_tries_again_and_a_retry_that_succeeds_is_a_success() {
    let sink = Sink::start();
    sink.script(vec![Reply::CloseWithoutReply]);
    let requeueing =
        endpoint(&sink, "max_retries = 1\nretry_interval_seconds = 1\nrequeue_on_error = True\n");
    assert_eq!(info(&requeueing, &port_deleted(&instance(1), "10.0.0.1")), NotificationResult::Handled);
    assert_eq!(sink.requests().len(), 2);
}

#[test]
fn info_ends_even_when_the_target_stays_away() {
    let sink = Sink::start();
    sink.stop();
    let requeueing = endpoint(&sink, "max_retries = 0\nrequeue_on_error = True\n");
    assert_eq!(info(&requeueing, &port_deleted(&instance(1), "10.0.0.1")), NotificationResult::Requeue);
}

#[test]
fn info_handles_what_is_about_no_instance_without_a_call_and_never_requeues_it() {
    let sink = Sink::start();
    let requeueing = endpoint(&sink, "requeue_on_error = True\n");
    for payload in [
        json!({"port": {"device_id": "reserved_dhcp_port", "device_owner": "network:dhcp"}}),
        port_deleted(&instance(1), "not an address"),
        json!(null),
    ] {
        assert_eq!(info(&requeueing, &payload), NotificationResult::Handled, "{payload}");
    }
    assert_eq!(sink.requests().len(), 0);
}

#[test]
fn the_reading_of_payloads_can_be_replaced() {
    let sink = Sink::start();
    let endpoint = endpoint(&sink, "").with_payload_to_params(|payload| match payload["node"].as_str() {
        Some(uuid) => Ok(HostParameters { cuk: uuid.to_owned(), addresses: Vec::new() }),
        None => Err(Unusable::NothingToDo("no node".to_owned())),
    });
    info(&endpoint, &port_deleted(&instance(1), "10.0.0.1"));
    info(&endpoint, &json!({"node": instance(2)}));
    let requests = sink.wait_for(1, SOON);
    assert!(requests[0].target.ends_with(&instance(2)));
}

fn listen_until<T>(
    transport: impl Into<Arc<dyn Transport>>,
    endpoints: Vec<NotificationEndpoint>,
    meanwhile: impl FnOnce() -> T,
) -> (i32, T) {
    let stop = CancellationToken::new();
    let (told, transport) = (stop.clone(), transport.into());
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(listen_on(transport, endpoints, told.cancelled_owned()))
    });
    let seen = meanwhile();
    stop.cancel();
    (thread.join().unwrap(), seen)
}

#[test]
fn listen_hands_each_message_to_every_endpoint_that_wants_it() {
    let (first, second) = (Sink::start(), Sink::start());
    let wants_all = "[oslo_messaging_notifications]\nevent_type = ^.*$\npublisher_id = ^.*$\n";
    let endpoints = vec![endpoint(&first, ""), endpoint(&second, wants_all)];
    let broker = bound_broker(endpoints[1].conf());
    let (status, ()) = listen_until(Arc::new(broker.transport()) as Arc<dyn Transport>, endpoints, || {
        publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
        let other = crate::harness::framed("compute.x", "y", &json!({"instance_id": instance(2)}));
        broker.publish(&Target::new("neutron", "notifications"), &Priority::Info, other);
        second.wait_for(2, SOON);
        first.wait_for(1, SOON);
    });
    assert_eq!(status, 0);
    assert_eq!((first.requests().len(), second.requests().len()), (1, 2));
}

pub(crate) fn no_requeue() -> Arc<dyn Transport> {
    Arc::new(ListenOnly::new(|_, _| {
        Box::pin(async { Err(TransportError::Connect { host: "-".into(), reason: "never".into() }) })
    }))
}

#[test]
fn listen_answers_1_for_no_endpoint_a_wrong_one_and_a_transport_that_cannot_requeue() {
    assert_eq!(listen(Vec::new()), 1);
    let sink = Sink::start();
    // Only a program, not a file, can name an unknown transport.
    let mut wrong = conf(&sink.url("/v1/role"), "");
    wrong.oslo_messaging_notifications.transport_url =
        TransportUrl::parse("carrierpigeon://127.0.0.1:9/").unwrap();
    assert_eq!(listen(vec![NotificationEndpoint::new(wrong).unwrap()]), 1);
    assert_eq!(listen_until(no_requeue(), vec![endpoint(&sink, "")], || ()).0, 1);
    let without = "[oslo_messaging_notifications]\nallow_requeue = False\n";
    assert_eq!(listen_until(no_requeue(), vec![endpoint(&sink, without)], || ()).0, 0);
}

#[test]
fn listen_answers_1_when_the_login_is_refused() {
    let vhost = Broker::shared().vhost("library");
    let url = vhost.url().replace(":guest@", ":wrong@");
    let sink = Sink::start();
    let endpoint = endpoint(&sink, &format!("[oslo_messaging_notifications]\ntransport_url = {url}\n"));
    assert_eq!(listen(vec![endpoint]), 1);
}

#[test]
fn listen_on_a_real_broker_ends_with_0() {
    let vhost = Broker::shared().vhost("library");
    let sink = Sink::start();
    let endpoint =
        endpoint(&sink, &format!("[oslo_messaging_notifications]\ntransport_url = {}\n", vhost.url()));
    let url = &endpoint.conf().oslo_messaging_notifications.transport_url;
    let (status, ()) = listen_until(transport(url).unwrap(), vec![endpoint.clone()], || {
        osnl_testkit::wait_until(SOON, "it consumes", || {
            vhost.list_queues().iter().any(|q| q.consumers == 1)
        });
    });
    assert_eq!(status, 0);
}
