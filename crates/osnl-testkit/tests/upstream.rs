use std::time::Duration;

use osnl_testkit::{Broker, Notice, OsloPublisher, PublisherOptions, Sink, Upstream, fixture};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn upstream_sends_the_recorded_request() {
    let recorded = fixture::json("k2hr3/requests.json");
    let vector = &recorded["vectors"][0];
    let vhost = Broker::shared().vhost("upstream");
    let sink = Sink::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("osnl.conf");
    let text = format!(
        "[oslo_messaging_notifications]\ntransport_url = {}\n[k2hr3]\napi_url = {}\n",
        vhost.url(),
        sink.url("/v1/role")
    );
    std::fs::write(&file, text).unwrap();

    let mut upstream = Upstream::start(&file);
    upstream.wait_for("Starting", SOON);
    osnl_testkit::wait_until(SOON, "upstream's consumer", || {
        vhost.list_queues().iter().any(|queue| queue.name == "k2hr3_osnl" && queue.consumers == 1)
    });
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify(&Notice {
        publisher_id: vector["publisher_id"].as_str().unwrap().to_owned(),
        event_type: vector["event_type"].as_str().unwrap().to_owned(),
        payload: vector["payload"].clone(),
        ..Notice::default()
    });

    let requests = sink.wait_for(1, SOON);
    assert_eq!(requests[0].method, "DELETE");
    assert_eq!(requests[0].target, vector["requests"][0]["target"].as_str().unwrap());
    assert_eq!(requests[0].header("host"), Some(format!("127.0.0.1:{}", sink.port()).as_str()));
    upstream.wait_for("NotificationResult.HANDLED", SOON);
    upstream.signal("INT");
    assert!(upstream.wait(SOON).success());
    assert!(upstream.stderr().contains("Stopping"));
}
