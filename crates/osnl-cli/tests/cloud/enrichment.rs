use std::thread;
use std::time::{Duration, Instant};

use osnl_testkit::{Notice, OsloPublisher, PublisherOptions, Sink, wait_until};
use serde_json::{Value, json};

use crate::stand::{Osnl, SOON, Stand, bodies, stand, text};

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
    let (sink, plain) = (Sink::start(), Sink::start());
    let (network, _) = stand.network("green", "10.7.0.0/24", false);
    let without = format!(
        "[rule:other]\nevent_type = ^subnet\\.update\\.end$\nactions = plain\n[action:plain]\ndriver = http\nurl = {}\n",
        plain.url("/plain")
    );
    let osnl = Osnl::new(&stand, "away", &(conf(&stand, &sink) + &without)).run();
    stand.cloud.set_token_seconds(15);
    let first = stand.create("port", json!({"network_id": network, "name": "first"}));
    wait_until(SOON, "the first request", || sink.requests().len() == 1);
    assert!(osnl.ask(&["status", "-c", "osnl.conf"]).status.success());
    stand.create("port", json!({"network_id": network, "name": "second"}));
    stand.cloud.stop_service("keystone");
    // The first message may precede the outage. neutron itself needs Keystone for each call, so a
    // stand-in publishes the next messages.
    let before = sink.requests().len();
    let mut neutron = OsloPublisher::start(&stand.vhost.url(), PublisherOptions::default());
    let mut events = 0;
    let mut publish = |event: &str, payload: Value| {
        events += 1;
        neutron.notify(&Notice { event_type: event.to_owned(), payload, ..Notice::default() });
    };
    let third = json!({"port": {"id": first["id"], "name": "third", "network_id": network,
                                "tenant_id": first["tenant_id"], "device_id": "d3"}});
    publish("port.update.end", third);
    let down = || {
        let status = osnl.ask(&["status", "-c", "osnl.conf", "--format", "json"]);
        let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        let action = status["targets"].as_array()?.iter().find(|target| target["action"] == "cmdb")?.clone();
        action["dependencies_down"][0]["since_seconds"].as_u64()
    };
    wait_until(SOON, "a dependency is down", || down().is_some());
    wait_until(2 * SOON, "a minute without Keystone", || down().is_some_and(|seconds| seconds >= 60));
    publish("subnet.update.end", json!({"subnet": {"id": "s", "name": "s"}}));
    wait_until(SOON, "what needs no cloud goes out meanwhile", || plain.requests().len() == 1);
    let status = osnl.ask(&["status", "-c", "osnl.conf"]);
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert_eq!(status.status.code(), Some(1), "{text}");
    assert!(
        text.contains("cmdb: deliveries that need [enrich:port] ")
            && text.contains("deliveries that do not need it go on"),
        "{text}"
    );
    stand.cloud.start_service("keystone");
    let back = Instant::now();
    wait_until(SOON, "the requests that waited", || sink.requests().len() == 3);
    println!(
        "Keystone away for a minute: {} waited, sent {:.1} s after it was back",
        3 - before,
        back.elapsed().as_secs_f32()
    );
    let names: Vec<Value> = bodies(&sink)[1..].iter().map(|body| body["own"].clone()).collect();
    assert!(names.contains(&json!("second")) && names.contains(&json!("third")), "{names:?}");
    let list = || osnl.ask(&["deliveries", "list", "-c", "osnl.conf", "--format", "json"]);
    let mut listed = Value::Null;
    // The target may have the last request before the journal has its answer.
    wait_until(SOON, "four deliveries are delivered", || {
        listed = serde_json::from_slice(&list().stdout).unwrap();
        let deliveries = listed["deliveries"].as_array().unwrap();
        deliveries.len() >= 4 && deliveries.iter().all(|delivery| delivery["state"] == "delivered")
    });
    let deliveries = listed["deliveries"].as_array().unwrap();
    assert!(deliveries.iter().all(|delivery| delivery["attempts_counted"] == 0), "{listed}");
    wait_until(SOON, "all is well", || osnl.ask(&["status", "-c", "osnl.conf"]).status.success());
    assert!(!osnl.log().contains("given up"), "{}", osnl.log());
}

#[test]
fn tokens_that_end_every_few_seconds_are_renewed() {
    let mut stand = stand();
    let sink = Sink::start();
    let (network, _) = stand.network("short", "10.6.0.0/24", false);
    stand.cloud.set_token_seconds(12);
    let osnl = Osnl::new(&stand, "short", &conf(&stand, &sink)).run();
    let began = Instant::now();
    let mut made = 0;
    while began.elapsed() < Duration::from_secs(40) {
        made += 1;
        stand.create("port", json!({"network_id": network, "name": format!("p{made}")}));
        wait_until(SOON, "its request", || sink.requests().len() == made);
        thread::park_timeout(Duration::from_secs(1));
    }
    assert!(bodies(&sink).iter().all(|body| body["network"] == "short" && body["project"] == "admin"));
    assert!(!osnl.log().contains("given up"), "{}", osnl.log());
    println!("{made} deliveries in {:.0} s with tokens of 12 s", began.elapsed().as_secs_f32());
}

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
