//! Enrichments from real APIs: names as of the event, a Keystone that is away, tokens that end, endpoints that are
//! wrong and corrected.

use std::thread;
use std::time::{Duration, Instant};

use osnl_testkit::{Sink, wait_until};
use serde_json::{Value, json};

use crate::stand::{Osnl, SOON, Stand, bodies, stand, text};

/// Each port event becomes a request with names of the port, its network, and its project.
fn conf(stand: &Stand, sink: &Sink) -> String {
    let login = stand.cloud.login_options();
    let section = |name: &str| format!("[enrich:{name}]\nkind = {name}\n{login}");
    format!(
        "[rule:r]\nevent_type = ^port\\.(create|update|delete)\\.end$\nactions = cmdb\n\
         [action:cmdb]\ndriver = http\nurl = {}\nenrich = port, network, project\nretry_interval = 1s\n\
         body = {{\"event\": {{{{ event_type|tojson }}}}, \"own\": {{{{ resource.name|tojson }}}}, \
         \"port\": {{{{ port.name|tojson }}}}, \"network\": {{{{ network.name|tojson }}}}, \
         \"project\": {{{{ project.name|tojson }}}}}}\n{}{}{}",
        sink.url("/cmdb"),
        section("port"),
        section("network"),
        section("project")
    )
}

fn expect(sink: &Sink, count: usize, last: &Value) {
    wait_until(SOON, &format!("{count} requests"), || sink.requests().len() >= count);
    assert_eq!(bodies(sink)[count - 1], *last);
}

#[test]
fn an_event_has_the_names_as_of_the_event() {
    let mut stand = stand();
    let sink = Sink::start();
    let osnl = Osnl::new(&stand, "enrich", &conf(&stand, &sink)).run();
    let (network, _) = stand.network("blue", "10.8.0.0/24", false);
    let port = stand.create("port", json!({"network_id": network, "name": "vm-1"}));
    let body = |event: &str, name: &str| json!({"event": event, "own": name, "port": name, "network": "blue", "project": "admin"});
    expect(&sink, 1, &body("port.create.end", "vm-1"));
    stand.update("port", &port["id"], json!({"name": "vm-1b"}));
    expect(&sink, 2, &body("port.update.end", "vm-1b"));
    stand.update("port", &port["id"], json!({"name": ""}));
    expect(&sink, 3, &body("port.update.end", ""));
    stand.delete("port", &port["id"]);
    expect(&sink, 4, &body("port.delete.end", ""));
    drop(osnl);
}

#[test]
fn deliveries_wait_for_a_keystone_that_is_away_and_for_nothing_else() {
    let mut stand = stand();
    let sink = Sink::start();
    let (network, _) = stand.network("green", "10.7.0.0/24", false);
    let osnl = Osnl::new(&stand, "away", &conf(&stand, &sink)).run();
    stand.cloud.set_token_seconds(5);
    let first = stand.create("port", json!({"network_id": network, "name": "first"}));
    wait_until(SOON, "the first request", || sink.requests().len() == 1);
    // A token that its service still believes is used; the next one cannot be had.
    stand.create("port", json!({"network_id": network, "name": "second"}));
    stand.cloud.stop_service("keystone");
    wait_until(SOON, "the second request, or a line that says why not", || {
        sink.requests().len() == 2 || osnl.log().contains("cannot connect") || osnl.log().contains("is down")
    });
    stand.cloud.start_service("keystone");
    wait_until(SOON, "the second request", || sink.requests().len() == 2);
    assert_eq!(bodies(&sink)[1]["port"], "second");
    stand.delete("port", &first["id"]);
    wait_until(SOON, "the deletion", || sink.requests().len() == 3);
    stand.cloud.set_token_seconds(3600);
    assert!(!osnl.log().contains("dead letter"), "{}", osnl.log());
}

#[test]
fn tokens_that_end_every_few_seconds_are_renewed() {
    let mut stand = stand();
    let sink = Sink::start();
    let (network, _) = stand.network("short", "10.6.0.0/24", false);
    stand.cloud.set_token_seconds(6);
    let osnl = Osnl::new(&stand, "short", &conf(&stand, &sink)).run();
    let began = Instant::now();
    let mut made = 0;
    while began.elapsed() < Duration::from_secs(20) {
        made += 1;
        stand.create("port", json!({"network_id": network, "name": format!("p{made}")}));
        wait_until(SOON, "its request", || sink.requests().len() == made);
        thread::park_timeout(Duration::from_secs(1));
    }
    assert!(bodies(&sink).iter().all(|body| body["network"] == "short" && body["project"] == "admin"));
    stand.cloud.set_token_seconds(3600);
    assert!(!osnl.log().contains("dead letter"), "{}", osnl.log());
    println!("{made} deliveries in {:.0} s with tokens of 6 s", began.elapsed().as_secs_f32());
}

/// Review of clouds, D1 and D3.
#[test]
fn a_wrong_endpoint_holds_is_named_and_counts_no_more_when_it_is_corrected() {
    let mut stand = stand();
    let sink = Sink::start();
    let (network, _) = stand.network("moved", "10.5.0.0/24", false);
    let url = stand.cloud.url("neutron").unwrap();
    let all = stand.cloud.call("keystone", "GET", "/v3/endpoints", Value::Null, 200);
    let endpoints = all["endpoints"].as_array().unwrap();
    let endpoint = endpoints.iter().find(|endpoint| text(&endpoint["url"]) == url).unwrap();
    let path = format!("/v3/endpoints/{}", text(&endpoint["id"]));
    let set = |stand: &mut Stand, url: &str| {
        let body = json!({"endpoint": {"url": url}});
        stand.cloud.call("keystone", "PATCH", &path, body, 200);
    };
    set(&mut stand, &format!("{url}/networking"));
    let osnl = Osnl::new(&stand, "wrong", &conf(&stand, &sink)).run();
    let checked = osnl.ask(&["check", "--connect", "-c", "osnl.conf"]);
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.contains("not the answer of the network API about a missing object"), "{checked}");
    stand.create("port", json!({"network_id": network, "name": "lost?"}));
    osnl.wait_for_log("/networking/v2.0/ports");
    assert!(sink.requests().is_empty());
    set(&mut stand, &url);
    let corrected = Instant::now();
    wait_until(SOON, "the delivery goes out without a restart", || sink.requests().len() == 1);
    assert_eq!(bodies(&sink)[0]["port"], "lost?");
    println!("delivered {:.0} s after the endpoint was corrected", corrected.elapsed().as_secs_f32());
}
