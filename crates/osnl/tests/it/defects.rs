//! Defects of k2hr3_osnl 1.0.8, one test each. Defects of the program (signals, exit codes, tracebacks, the default
//! path) are tested in `osnl-cli`; TLS, names, and IPv6 in `tls` and `proxy`.

use std::time::{Duration, Instant};

use osnl_legacy::k2hr3::{ApiUrl, Conf};
use osnl_testkit::{Reply, Sink};
use serde_json::json;

use crate::harness::{QUEUE, SOON, daemon_for, instance, port_deleted, publish};

fn load(text: &str) -> Result<osnl_legacy::k2hr3::LoadedConf, String> {
    Conf::from_text("k2hr3_osnl.conf", text).map_err(|error| error.to_string())
}

#[test]
fn the_default_api_url_has_its_colon() {
    assert_eq!(load("").unwrap().conf.k2hr3.api_url.to_string(), "https://localhost/v1/role");
}

#[test]
fn the_documented_names_retries_and_warning_count() {
    let text = "[DEFAULT]\ndebug_level = warning\nlibs_debug_level = warning\n[k2hr3]\nretries = 3\n";
    assert_eq!(load(text).unwrap().conf.k2hr3.max_retries, 3);
}

#[test]
fn the_sample_of_the_manual_is_accepted() {
    let sample = osnl_testkit::fixture::text("k2hr3/conf/06-all-options-documented.conf");
    assert_eq!(load(&sample).unwrap().conf.k2hr3.max_retries, 3);
}

#[test]
fn a_host_name_is_not_cut_at_its_dash() {
    assert_eq!(
        ApiUrl::parse("http://k2hr3-api.example.com/v1/role").unwrap().host(),
        "k2hr3-api.example.com"
    );
}

#[test]
fn values_are_checked_at_the_start_and_not_when_a_message_is_there_to_be_lost() {
    let error = load("[k2hr3]\ntimeout_seconds = soon\napi_url = https//localhost/v1/role\n").unwrap_err();
    assert!(error.contains("k2hr3_osnl.conf:2") && error.contains("k2hr3_osnl.conf:3"), "{error}");
}

#[test]
fn a_driver_section_that_has_no_effect_is_warned_of() {
    let loaded = load("[oslo_messaging_rabbit]\nssl = true\n").unwrap();
    assert!(
        loaded.warnings.iter().any(|w| w.to_string().contains("oslo_messaging_rabbit")),
        "{:?}",
        loaded.warnings
    );
}

#[test]
fn a_retry_that_succeeds_is_a_success() {
    let sink = Sink::start();
    sink.script(vec![Reply::Hang]);
    let (broker, daemon) = daemon_for(&sink, "timeout_seconds = 1\nrequeue_on_error = True\n");
    publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
    daemon.wait_until("delivered", |c| c.delivered.get() == 1);
    assert_eq!(daemon.counters.returned.get(), 0);
    daemon.stop().unwrap();
    assert_eq!((sink.requests().len(), broker.ready(QUEUE)), (2, 0));
}

#[test]
fn a_pause_of_one_message_blocks_no_other() {
    let sink = Sink::start();
    let stalled = instance(0);
    sink.reply_when(move |request| request.target.contains(&stalled).then_some(Reply::Hang));
    let (broker, daemon) = daemon_for(&sink, "timeout_seconds = 30\n");
    publish(&broker, &port_deleted(&instance(0), "10.0.0.1"));
    sink.wait_for(1, SOON);
    let began = Instant::now();
    (1..=100).for_each(|n| publish(&broker, &port_deleted(&instance(n), "10.0.0.1")));
    daemon.wait_until("the others are delivered", |c| c.delivered.get() == 100);
    assert!(began.elapsed() < Duration::from_secs(30), "before the stalled one can have ended");
    drop(daemon);
}

#[test]
fn a_reply_that_breaks_off_is_tried_again_instead_of_dropped() {
    for failure in [Reply::CloseWithoutReply, Reply::Garbage, Reply::ShortBody, Reply::Reset] {
        let sink = Sink::start();
        sink.script(vec![failure]);
        let (broker, daemon) = daemon_for(&sink, "");
        publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
        daemon.wait_until("delivered", |c| c.delivered.get() == 1);
        daemon.stop().unwrap();
    }
}

#[test]
fn a_message_that_can_never_succeed_is_not_requeued() {
    let sink = Sink::start();
    let (broker, daemon) = daemon_for(&sink, "requeue_on_error = True\n");
    publish(&broker, &json!({"port": {"device_id": "reserved_dhcp_port", "device_owner": "network:dhcp"}}));
    publish(
        &broker,
        &json!({"port": {"device_id": instance(9), "device_owner": "network:router_interface"}}),
    );
    publish(&broker, &port_deleted(&instance(1), "10.0.0.256"));
    publish(&broker, &port_deleted("i-0000002a", "10.0.0.1"));
    daemon.wait_until("all have ended", |c| c.no_action_needed.get() == 2 && c.dead.get() == 2);
    assert_eq!(daemon.counters.returned.get(), 0);
    daemon.stop().unwrap();
    assert_eq!((sink.requests().len(), broker.ready(QUEUE)), (0, 0));
}
