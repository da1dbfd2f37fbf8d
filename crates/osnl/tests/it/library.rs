use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use osnl::shutdown::Shutdown;
use osnl_legacy::k2hr3::{
    Conf, HiddenInputs, HostParameters, NotificationEndpoint, NotificationResult, Unusable, listen_until,
    version,
};
use osnl_model::TransportUrl;
use osnl_testkit::{
    Broker, Notice, OsloPublisher, PublisherOptions, Reply, Sink, Vhost, fixture, wait_until,
};
use serde_json::json;

use crate::harness::{SOON, conf, instance, port_deleted};

fn endpoint(sink: &Sink, more: &str) -> NotificationEndpoint {
    NotificationEndpoint::new(conf(&sink.url("/v1/role"), more)).unwrap()
}

fn host(cuk: &str) -> HostParameters {
    HostParameters { cuk: cuk.to_owned(), addresses: vec!["10.0.0.1".to_owned()] }
}

fn delete(endpoint: &NotificationEndpoint, cuk: &str) -> NotificationResult {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(endpoint.delete(host(cuk), "network.node1", "port.delete.end"))
}

#[test]
fn the_version_is_that_of_the_program_it_replaces() {
    assert_eq!(version(), "1.0.8");
}

#[test]
fn a_configuration_is_read_with_the_documented_refusals() {
    let folder = tempfile::tempdir().unwrap();
    let load = |path: &Path| Conf::load(path, &HiddenInputs::none());
    let refusal = |path: &Path| load(path).map(|_| ()).unwrap_err().to_string();
    let missing = folder.path().join("none.conf");
    let expected = format!("path must exist, not {}; ", missing.display());
    assert_eq!(refusal(&missing), format!("{expected}create the file or name another one with -c"));
    let sample = folder.path().join("none.conf.sample");
    std::fs::write(&sample, "").unwrap();
    let copy = format!("copy {} to it or name another one with -c", sample.display());
    assert_eq!(refusal(&missing), expected + &copy);
    assert!(refusal(folder.path()).starts_with("path must be a regular file, not "));
    assert!(refusal(&fixture::path("k2hr3/conf/12-bad-no-section.conf")).starts_with("parse error, "));
    let conf = load(&fixture::path("k2hr3/conf/01-minimal-neutron.conf")).unwrap().conf;
    assert_eq!(conf.oslo_messaging_notifications.event_type.as_str(), r"^port\.delete\.end$");
}

#[test]
fn a_call_answers_as_recorded_for_every_reply() {
    let recorded = fixture::json("k2hr3/requests.json");
    let mut compared = 0;
    for case in recorded["responses"].as_array().unwrap() {
        let Some(status) = case["status"].as_str().and_then(|status| status.parse().ok()) else { continue };
        let requeue = case["requeue_on_error"].as_bool().unwrap();
        let sink = Sink::start();
        sink.reply_with(Reply::Status(status));
        let endpoint = endpoint(&sink, &format!("max_retries = 0\nrequeue_on_error = {requeue}\n"));
        let result = delete(&endpoint, &instance(1));
        assert_eq!(result.to_string(), case["result"].as_str().unwrap(), "{status} {requeue}");
        assert_eq!(sink.requests().len() as u64, case["n_requests"].as_u64().unwrap(), "{status}");
        compared += 1;
    }
    assert!(compared > 30, "{compared}");
}

#[test]
fn a_call_tries_again_and_a_retry_that_succeeds_is_a_success() {
    let sink = Sink::start();
    sink.script(vec![Reply::CloseWithoutReply]);
    let requeueing =
        endpoint(&sink, "max_retries = 1\nretry_interval_seconds = 1\nrequeue_on_error = True\n");
    assert_eq!(delete(&requeueing, &instance(1)), NotificationResult::Handled);
    assert_eq!(sink.requests().len(), 2);
}

#[test]
fn a_call_ends_even_when_the_target_stays_away() {
    let sink = Sink::start();
    sink.stop();
    let requeueing = endpoint(&sink, "max_retries = 0\nrequeue_on_error = True\n");
    assert_eq!(delete(&requeueing, &instance(1)), NotificationResult::Requeue);
}

#[test]
fn a_call_of_a_listener_holds_a_target_that_stays_away_and_counts_only_refusals() {
    let sink = Sink::start();
    sink.script(vec![Reply::CloseWithoutReply, Reply::Status(503), Reply::Status(403)]);
    let more = "max_retries = 1\nretry_interval_seconds = 1\nrequeue_on_error = True\n";
    let endpoint = endpoint(&sink, more);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let call = endpoint.delete_or_hold(host(&instance(1)), "network.node1", "port.delete.end");
    assert_eq!(runtime.block_on(call), NotificationResult::Handled);
    assert_eq!(sink.requests().len(), 4);
}

#[test]
fn a_host_without_an_identifier_is_handled_without_a_call_and_never_requeued() {
    let sink = Sink::start();
    let requeueing = endpoint(&sink, "requeue_on_error = True\n");
    assert_eq!(delete(&requeueing, ""), NotificationResult::Handled);
    assert_eq!(sink.requests().len(), 0);
}

fn listening(endpoints: Vec<NotificationEndpoint>, vhost: &Vhost, meanwhile: impl FnOnce(&Shutdown)) -> i32 {
    let shutdown = Shutdown::new();
    let told = shutdown.clone();
    let thread = std::thread::spawn(move || answer(endpoints, &told));
    wait_until(SOON, "it consumes", || vhost.list_queues().iter().any(|queue| queue.consumers == 1));
    meanwhile(&shutdown);
    shutdown.drain.cancel();
    thread.join().unwrap()
}

fn answer(endpoints: Vec<NotificationEndpoint>, shutdown: &Shutdown) -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(listen_until(endpoints, shutdown))
}

#[test]
fn each_message_goes_to_every_endpoint_that_wants_it_and_is_read_by_that_endpoint() {
    let vhost = Broker::shared().vhost("library");
    let (first, second) = (Sink::start(), Sink::start());
    let url = format!("[oslo_messaging_notifications]\ntransport_url = {}\n", vhost.url());
    let wants_all = format!("{url}event_type = ^.*$\npublisher_id = ^.*$\n");
    let reads = |payload: &serde_json::Value| {
        std::future::ready(match payload["node"].as_str() {
            Some(uuid) => Ok(HostParameters { cuk: uuid.to_owned(), addresses: Vec::new() }),
            None => Err(Unusable::NothingToDo("no node".to_owned())),
        })
    };
    let endpoints = vec![endpoint(&first, &url), endpoint(&second, &wants_all).with_payload_to_params(reads)];
    let status = listening(endpoints, &vhost, |_| {
        wait_until(SOON, "oslo.messaging's heartbeat", || vhost.heartbeats() == [60]);
        let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        let port = Notice { payload: port_deleted(&instance(1), "10.0.0.1"), ..Notice::default() };
        let event_type = "baremetal.node.delete.end".to_owned();
        let node = Notice { event_type, payload: json!({"node": instance(2)}), ..Notice::default() };
        publisher.notify_all(&[port, node]);
        first.wait_for(1, SOON);
        second.wait_for(1, SOON);
    });
    assert_eq!(status, 0);
    let called = |sink: &Sink| sink.requests().into_iter().map(|request| request.target).collect::<Vec<_>>();
    let (first, second) = (called(&first), called(&second));
    assert!(first.len() == 1 && first[0].contains(&instance(1)), "{first:?}");
    assert!(second.len() == 1 && second[0].ends_with(&instance(2)), "{second:?}");
}

#[test]
fn a_reader_that_never_ends_holds_its_message_alone_and_is_asked_again() {
    let vhost = Broker::shared().vhost("library");
    let sink = Sink::start();
    let more =
        format!("timeout_seconds = 1\n[oslo_messaging_notifications]\ntransport_url = {}\n", vhost.url());
    let (asked, stuck) = mpsc::channel();
    let reads = move |payload: &serde_json::Value| {
        let node = payload["node"].as_str().map(str::to_owned);
        if node.is_none() {
            asked.send(()).unwrap();
        }
        async move {
            match node {
                Some(cuk) => Ok(HostParameters { cuk, addresses: Vec::new() }),
                None => std::future::pending::<Result<_, Unusable>>().await,
            }
        }
    };
    let endpoints = vec![endpoint(&sink, &more).with_payload_to_params(reads)];
    let status = listening(endpoints, &vhost, |_| {
        let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        let of = |payload| Notice { payload, ..Notice::default() };
        publisher.notify_all(&[of(json!({"node": null})), of(json!({"node": instance(1)}))]);
        let requests = sink.wait_for(1, SOON);
        assert!(requests[0].target.ends_with(&instance(1)), "{requests:?}");
        for attempt in 1..=2 {
            stuck.recv_timeout(SOON).unwrap_or_else(|_| panic!("attempt {attempt}"));
        }
    });
    assert_eq!(status, 0);
}

#[test]
fn an_abort_gives_the_broker_back_what_k2hr3_does_not_answer() {
    let vhost = Broker::shared().vhost("library");
    let sink = Sink::start();
    sink.reply_with(Reply::Hang);
    let more =
        format!("timeout_seconds = 600\n[oslo_messaging_notifications]\ntransport_url = {}\n", vhost.url());
    let mut aborted = None;
    let status = listening(vec![endpoint(&sink, &more)], &vhost, |shutdown| {
        let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        let payload = port_deleted(&instance(1), "10.0.0.1");
        publisher.notify_all(&[Notice { payload, ..Notice::default() }]);
        sink.wait_for(1, SOON);
        shutdown.drain.cancel();
        shutdown.abort.cancel();
        aborted = Some(Instant::now());
    });
    assert_eq!(status, 0);
    assert!(aborted.unwrap().elapsed() < Duration::from_secs(30), "before the drain has ended by itself");
    wait_until(SOON, "the broker has it", || vhost.list_queues().iter().any(|queue| queue.ready == 1));
}

#[test]
fn no_endpoint_a_wrong_one_and_a_refused_login_answer_1() {
    let never = Shutdown::new();
    assert_eq!(answer(Vec::new(), &never), 1);
    let sink = Sink::start();
    // Only a program, not a file, can name an unknown transport.
    let mut wrong = conf(&sink.url("/v1/role"), "");
    wrong.oslo_messaging_notifications.transport_url =
        TransportUrl::parse("carrierpigeon://127.0.0.1:9/").unwrap();
    assert_eq!(answer(vec![NotificationEndpoint::new(wrong).unwrap()], &never), 1);
    let vhost = Broker::shared().vhost("library");
    let url = vhost.url().replace(":guest@", ":wrong@");
    let refused = endpoint(&sink, &format!("[oslo_messaging_notifications]\ntransport_url = {url}\n"));
    assert_eq!(answer(vec![refused], &never), 1);
}
