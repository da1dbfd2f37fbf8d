//! The program on tansu, a broker that does not use librdkafka, with features that the mock cluster
//! lacks.
//!
//! Its messages are in memory, because osnl cannot read from its other storage. See
//! [`osnl_testkit::Tansu`].

use std::time::Duration;

use osnl_testkit::{KafkaClient, KafkaCluster as _, Sink, Tansu, TansuStorage, wait_until};
use serde_json::json;

use super::{lag, oslo, probes, publish, tap};
use crate::running::{Place, SOON, TOPIC};

/// Longer than the 45 s for which a group waits for a silent member.
const LOST: Duration = Duration::from_secs(180);

fn in_memory() -> Tansu {
    Tansu::start(TansuStorage::Memory)
}

#[test]
fn osnl_reads_from_tansu_what_oslo_publishes() {
    oslo::osnl_reads(&in_memory());
}

#[test]
fn oslo_reads_from_tansu_what_osnl_publishes() {
    oslo::oslo_reads(&in_memory());
}

#[test]
fn check_connect_looks_for_brokers_and_topics_of_tansu() {
    probes::check_probes(&in_memory());
}

#[test]
fn the_lag_on_tansu_is_in_the_status_and_the_metrics_and_unknown_without_brokers() {
    lag::lag_is_told(&in_memory());
}

#[test]
fn a_listener_on_tansu_reads_and_publishes_on() {
    publish::is_published_on(&in_memory());
}

#[test]
fn a_tap_on_tansu_shows_what_comes_next_and_leaves_no_trace() {
    tap::tap_leaves_no_trace(&in_memory());
}

/// The mock cluster lists no groups.
#[test]
fn a_tap_on_tansu_takes_nothing_and_its_check_lists_groups_with_members_and_lag() {
    let tansu = in_memory();
    tap::tap_takes_nothing(&tansu, &[format!("group osnl: stable, 1 member; lag 1 in {TOPIC}")]);
}

fn body(name: &str) -> String {
    json!({"event_type": name, "publisher_id": "network.n1", "priority": "INFO", "message_id": name, "payload": {}}).to_string()
}

fn conf(place: &Place, kafka: &KafkaClient, sink: &Sink) -> String {
    format!(
        "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = yes\n[listener:n]\ntransport_url = {}\nexchange = n\n\
         priorities = info\npool = osnl\n[rule:r]\nactions = a\n[action:a]\ndriver = http\nurl = {}\n",
        place.path("state").display(),
        kafka.url(),
        sink.url("/")
    )
}

#[track_caller]
fn wait_for_events(sink: &Sink, events: &[&str], longest: Duration) {
    let has_come = |event: &&&str| {
        let requests = sink.requests();
        requests
            .iter()
            .any(|request| String::from_utf8_lossy(&request.body).contains(&format!("\"{event}\"")))
    };
    wait_until(longest, &format!("the events {events:?}"), || {
        events.iter().filter(has_come).count() == events.len()
    });
}

/// The group gives the open messages of the lost member to the other one.
#[test]
fn a_member_that_is_killed_loses_nothing() {
    let (tansu, sink) = (in_memory(), Sink::start());
    tansu.create_topic(TOPIC, 2);
    let (one, two) = (Place::new(), Place::new());
    one.write("a.conf", &lag::conf(&one, &tansu, ""));
    two.write("a.conf", &conf(&two, &tansu, &sink));
    let lost = one.start(&["run", "-c", "a.conf"]);
    lost.wait_for("listening at the broker");
    for (partition, event) in [(0, "port.one"), (1, "port.two"), (0, "port.three")] {
        tansu.publish_to(TOPIC, partition, body(event).as_bytes(), Default::default());
        tansu.flush();
    }
    wait_until(SOON, "the first member has all", || {
        one.metrics().contains("osnl_messages_matched_total{listener=\"n\"} 3")
    });
    lost.kill();
    let left = two.start(&["run", "-c", "a.conf"]);
    wait_for_events(&sink, &["port.one", "port.two", "port.three"], LOST);
    wait_until(SOON, "all are finished", || tansu.unfinished("osnl", TOPIC) == 0);
    left.stop();
}
