//! A broker's death with upstream's transient queue: received messages have their effect, and the
//! gap is reported.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use osnl_testkit::{Broker, OsloPublisher, PublisherOptions, Reply, Sink, Vhost, wait_until};
use osnl_transport::BrokerVersion;
use serde_json::Value;

use crate::explain::run;
use crate::harness::{Osnl, Place, QUEUE, SOON, conf, depth, instance, notices, settled};
use crate::reloading::{ACTION, LISTENER, RULE, Rig, asked, notice};

/// The node of the tests that kill it.
fn node() -> MutexGuard<'static, Broker> {
    static NODE: OnceLock<Mutex<Broker>> = OnceLock::new();
    let node = NODE.get_or_init(|| Mutex::new(Broker::start()));
    let node = node.lock().unwrap_or_else(PoisonError::into_inner);
    if !node.is_running() {
        node.start_again();
    }
    node
}

fn ask(place: &Place, args: &[&str]) -> (Option<i32>, String) {
    let (code, stdout, _) = run(place, &[args, &["-c", "a.conf"]].concat());
    (code, stdout)
}

fn first_listener(place: &Place) -> Value {
    let (_, status) = ask(place, &["status", "--format", "json"]);
    serde_json::from_str::<Value>(&status).unwrap_or_default()["listeners"][0].clone()
}

fn start(place: &Place) -> Osnl {
    place.run(Path::new(env!("CARGO_BIN_EXE_osnl")), &["run", "-c", "a.conf"]).listening()
}

#[test]
fn after_a_brokers_death_what_had_reached_us_is_delivered_and_the_gap_is_told() {
    let broker = node();
    let vhost = broker.vhost("death");
    let sink = Sink::start();
    sink.reply_with(Reply::Status(500));
    let place = Place::new();
    let text = conf(&vhost.url(), &sink.url("/v1/role"), "retry_interval_seconds = 1");
    let osnl = place.daemon("k", &text).listening();
    osnl.wait_for("the queue is transient: a restart of the broker deletes it with its messages");
    OsloPublisher::start(&vhost.url(), PublisherOptions::default()).notify_all(&notices(0..10));
    depth(&vhost, QUEUE, (0, 10));
    sink.wait_for(2, SOON);

    broker.kill9();
    osnl.wait_for("reconnecting");
    broker.start_again();
    osnl.wait_for("the queue was gone and has been made anew");
    let tried = sink.requests().len();
    sink.reply_with(Reply::Status(204));
    let asked = |n: usize| {
        let made = sink.requests();
        made[tried..].iter().any(|request| request.target.contains(&instance(n)))
    };
    wait_until(SOON, "every message to have its effect", || (0..10).all(asked));
    OsloPublisher::start(&vhost.url(), PublisherOptions::default()).notify_all(&notices(10..11));
    wait_until(SOON, "a message after the gap", || asked(10));
    settled(&vhost, QUEUE);

    let log = osnl.stop();
    let gap = log.lines().find(|line| line.contains("made anew")).unwrap();
    let seconds = gap.split("away=\"").nth(1).unwrap().split(" s").next().unwrap();
    assert!(seconds.trim().parse::<f64>().unwrap() > 0.0, "{gap}");
    for part in [" WARNING osnl.", "are lost", "durable = true", "queue.name=k2hr3_osnl"] {
        assert!(gap.contains(part), "{part} is not in\n{gap}");
    }
    assert!(!log.contains("dead letter"), "{log}");
    assert!(log.contains(" delivered=11"), "{log}");
}

/// oslo.messaging's exchanges are transient. After a broker's restart the durable queue exists, but
/// its exchange only after the service publishes again.
#[test]
fn after_a_restart_of_the_broker_our_queue_is_read_at_once_and_bound_when_its_exchange_is_there() {
    let broker = node();
    let vhost = broker.vhost("restart");
    let (sink, place) = (Sink::start(), Place::new());
    let state = place.path("state").display().to_string();
    place.write(
        "a.conf",
        format!(
            "[DEFAULT]\nstate_dir = {state}\n[journal]\nallow_volatile = yes\n[listener:neutron]\ntransport_url = {}\n\
             exchange = neutron\npool = osnl-ex\n[rule:r]\nactions = roles\n[action:roles]\ndriver = k2hr3\napi_url = {}\n",
            vhost.url(),
            sink.url("/v1/role"),
        ),
    );
    let row = || first_listener(&place);
    let asked_for =
        |n: usize| sink.requests().iter().filter(|made| made.target.contains(&instance(n))).count();
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&notices(0..1));
    start(&place).stop();
    publisher.notify_all(&notices(1..6));
    depth(&vhost, "osnl-ex", (5, 0));
    drop(publisher);
    broker.shutdown();
    broker.start_again();
    let has_exchange = || vhost.list_exchanges().iter().any(|exchange| exchange.name == "neutron");
    if BrokerVersion::read(&vhost.greeting()[1]).unwrap().keeps_transient_exchanges() {
        vhost.delete_exchange("neutron");
    }
    assert!(!has_exchange());
    depth(&vhost, "osnl-ex", (5, 0));

    let osnl = start(&place);
    let gap = "bound to 0 of 1 exchanges: exchange \"neutron\" does not exist yet";
    osnl.wait_for("bound to 0 of 1 exchanges: exchange \\\"neutron\\\" does not exist yet");
    wait_until(SOON, "what waited is delivered", || (1..6).all(|n| asked_for(n) == 1));
    wait_until(SOON, "the status names the gap", || row()["reason"] == gap);
    assert_eq!(row()["state"], "listening");
    OsloPublisher::start(&vhost.url(), PublisherOptions::default()).notify_all(&notices(6..7));
    osnl.wait_for("the exchange is there and the queue is bound to it");
    wait_until(SOON, "the gap is over", || row()["reason"].is_null());
    OsloPublisher::start(&vhost.url(), PublisherOptions::default()).notify_all(&notices(7..8));
    wait_until(SOON, "what is published then arrives", || asked_for(7) == 1);
    osnl.stop();
}

fn has_incident(rig: &Rig, kind: &str) -> bool {
    let status = rig.status();
    status["incidents"].as_array().into_iter().flatten().any(|incident| incident["kind"] == kind)
}

/// A service declares its exchange before it publishes, so one that was deleted comes back without osnl's bindings.
#[test]
fn an_exchange_that_goes_and_comes_back_is_bound_and_its_absence_is_an_incident() {
    const GONE: &str = "bound to 0 of 1 exchanges: exchange \"neutron\" does not exist any more";
    for queue_type in ["classic", "quorum"] {
        let listener = LISTENER.replace("declare = create", &format!("queue_type = {queue_type}"));
        let rig = Rig::with(&format!("gone-{queue_type}"), &[&listener, RULE, ACTION]);
        let service = || OsloPublisher::start(&rig.vhost.url(), PublisherOptions::default());
        let is_known = |key: usize| !asked(&rig.sink, |target| target.contains(&instance(key))).is_empty();
        // What is published before the queue is bound does not arrive.
        let mut events = 0..;
        let mut arrives = |key: usize| {
            let mut publisher = service();
            wait_until(SOON, &format!("{queue_type}: an event of {key} arrives"), || {
                publisher.notify(&notice(key, events.next().unwrap()));
                is_known(key)
            });
        };
        arrives(1);
        rig.vhost.delete_exchange("neutron");
        arrives(2);

        rig.vhost.delete_exchange("neutron");
        wait_until(SOON, "its absence is an incident", || has_incident(&rig, "exchange-missing"));
        let row = rig.listener("neutron");
        assert_eq!((&row["state"], &row["reason"]), (&"listening".into(), &GONE.into()), "{row}");
        arrives(3);
        wait_until(SOON, "the incident is over", || !has_incident(&rig, "exchange-missing"));
        assert!(rig.listener("neutron")["reason"].is_null());
    }
}

/// A binding to an exchange of any type is made without an error, and the key means nothing to most.
#[test]
fn an_exchange_that_is_made_anew_with_another_type_is_an_incident_until_it_is_a_topic_exchange() {
    let rig =
        Rig::with("other-type", &[&LISTENER.replace("declare = create", "declare = passive"), RULE, ACTION]);
    for (kind, consequence) in [("fanout", "whatever its topic"), ("direct", "no notification comes by it")] {
        wait_until(SOON, "no incident", || !has_incident(&rig, "exchange-type"));
        rig.vhost.delete_exchange("neutron");
        wait_until(SOON, "its absence is an incident", || has_incident(&rig, "exchange-missing"));
        rig.vhost.declare_exchange("neutron", kind);
        wait_until(SOON, "its type is an incident", || has_incident(&rig, "exchange-type"));
        let status = rig.status();
        let incidents = status["incidents"].as_array().unwrap();
        let found = incidents.iter().find(|one| one["kind"] == "exchange-type").unwrap();
        assert_eq!(found["severity"], "critical", "{found}");
        for part in
            [&*format!("its type is {kind}, not topic"), consequence, "delete it: the service declares"]
        {
            assert!(found.to_string().contains(part), "{part} in {found}");
        }
        rig.vhost.delete_exchange("neutron");
        wait_until(SOON, "its absence is an incident", || has_incident(&rig, "exchange-missing"));
        OsloPublisher::start(&rig.vhost.url(), PublisherOptions::default()).notify(&notice(1, 1));
    }
    wait_until(SOON, "no incident", || !has_incident(&rig, "exchange-type"));
}

#[test]
fn an_exchange_of_osnls_own_is_made_anew_with_its_bindings() {
    let rig = Rig::start("gone-created");
    rig.vhost.delete_exchange("neutron");
    wait_until(SOON, "it is made and bound", || {
        rig.vhost
            .list_bindings()
            .iter()
            .any(|binding| binding.queue == "osnl" && binding.exchange == "neutron")
    });
    // The broker has the binding before its answer has come.
    let said = || rig.log().contains("the exchange was gone, and osnl has made it anew");
    wait_until(SOON, "it is said", said);
}

#[test]
fn queues_apply_binds_what_no_management_api_shows() {
    let mut rig = Rig::start("gone-applied");
    rig.end("KILL");
    rig.vhost.delete_exchange("neutron");
    OsloPublisher::start(&rig.vhost.url(), PublisherOptions::default()).notify(&notice(1, 1));
    let (code, text, errors) = rig.ask(&["queues", "--apply", "--yes"]);
    let line = "bind queue osnl with notifications.info of exchange neutron, unless it is";
    assert!(code == Some(0) && text.contains(line) && text.ends_with("applied\n"), "{text}{errors}");
    assert!(rig.vhost.list_bindings().iter().any(|one| one.queue == "osnl" && one.exchange == "neutron"));
}

/// The gaps that `osnl gaps` lists: cause, certainty, and the command that closes each.
fn gaps(place: &Place) -> Vec<(String, bool, String)> {
    let (code, stdout) = ask(place, &["gaps", "--format", "json"]);
    let found: Value = serde_json::from_str(&stdout).unwrap();
    let found: Vec<_> = found["gaps"].as_array().unwrap().clone();
    assert_eq!(code, Some(i32::from(!found.is_empty())));
    let word = |gap: &Value, name: &str| gap[name].as_str().unwrap().to_owned();
    found.iter().map(|gap| (word(gap, "cause"), gap["is_certain"] == true, word(gap, "command"))).collect()
}

#[test]
fn a_restart_of_the_broker_is_a_gap_of_a_transient_queue_alone() {
    let broker = node();
    let vhost = broker.vhost("gaps");
    for (name, is_durable) in [("durable", true), ("transient", false)] {
        let place = Place::new();
        let (state, url) = (place.path("state").display().to_string(), vhost.url());
        place.write(
            "a.conf",
            format!(
                "[DEFAULT]\nstate_dir = {state}\n[journal]\nallow_volatile = yes\n[listener:nova]\ntransport_url = {url}\n\
                 exchange = {name}\ndeclare = create\npool = osnl-{name}\nsingle_active_consumer = false\ndurable = {is_durable}\n\
                 amqp_durable_queues = {is_durable}\n[rule:r]\nactions = roles\n\
                 [action:roles]\ndriver = http\nmethod = DELETE\nurl = http://127.0.0.1:9/\n"
            ),
        );
        start(&place).stop();
        let osnl = start(&place);
        broker.kill9();
        osnl.wait_for("reconnecting");
        broker.start_again();
        osnl.wait_for(if is_durable { "subscribed again" } else { "made anew" });
        let expected =
            |cause: &str| vec![(cause.to_owned(), true, "osnl verify roles --ids FILE --live".to_owned())];
        wait_until(SOON, "the gaps", || {
            gaps(&place) == if is_durable { Vec::new() } else { expected("connection-lost") }
        });
        let log = osnl.stop();
        assert_eq!(log.contains("the listener has a gap"), !is_durable, "{log}");
        if is_durable {
            continue;
        }
        // Gaps outlive the process, and are an incident until they are closed.
        vhost.delete_queue("osnl-transient");
        let osnl = start(&place);
        let found: Vec<String> = gaps(&place).into_iter().map(|(cause, ..)| cause).collect();
        assert_eq!(found, ["connection-lost", "stopped"]);
        let ask = |args: &[&str]| ask(&place, args);
        let (_, status) = ask(&["status"]);
        assert!(status.contains("2 gaps of up to") && status.contains("osnl verify roles"), "{status}");
        let (_, text) = ask(&["gaps"]);
        assert!(
            text.contains("certain") && text.contains("-> osnl verify roles --ids FILE --live"),
            "{text}"
        );
        assert_eq!(ask(&["gaps", "dismiss", "1"]), (Some(0), "1 gap dismissed\n".to_owned()));
        assert_eq!(ask(&["gaps", "dismiss", "1"]).0, Some(1));
        assert_eq!(ask(&["gaps", "dismiss", "--all"]), (Some(0), "1 gap dismissed\n".to_owned()));
        assert_eq!(ask(&["gaps"]), (Some(0), "no gaps\n".to_owned()));
        assert!(!ask(&["status"]).1.contains(" gap"));
        osnl.stop();
    }
}

/// A daemon with `memory://`, whose target fails or takes everything.
fn place_of(vhost: &Vhost, queue: &str, sink: &Sink) -> Place {
    let place = Place::new();
    let state = place.path("state").display().to_string();
    place.write(
        "a.conf",
        format!(
            "[DEFAULT]\nstate_dir = {state}\n[journal]\nconnection = memory://\n[listener:neutron]\ntransport_url = {}\n\
             exchange = neutron\ndeclare = create\npool = osnl\n{queue}\n[rule:r]\nactions = roles\n\
             [action:roles]\ndriver = http\nmethod = DELETE\nurl = {}\n",
            vhost.url(),
            sink.url("/"),
        ),
    );
    place
}

/// A daemon stands still and loses its connection; its standby takes over, delivers, and leaves before the first is back.
/// RabbitMQ counts a standby of a classic queue, and none of a quorum queue.
#[test]
fn what_a_standby_has_read_is_no_gap_where_it_was_seen_and_else_a_possible_one() {
    let check = |kind: &str, is_seen: bool| {
        let vhost = Broker::shared().vhost(&format!("takeover-{kind}"));
        let (down, up) = (Sink::start(), Sink::start());
        down.reply_with(Reply::Status(503));
        let queue = format!("queue_type = {kind}");
        let (first, standby) = (place_of(&vhost, &queue, &down), place_of(&vhost, &queue, &up));
        let (osnl, other) = (start(&first), start(&standby));
        assert_eq!(first_listener(&standby)["state"], "standby");
        OsloPublisher::start(&vhost.url(), PublisherOptions::default()).notify_all(&notices(0..3));
        depth(&vhost, "osnl", (0, 3));
        if is_seen {
            wait_until(SOON, "the standby is counted", || first_listener(&first)["consumers"] == 2);
        }
        osnl.signal("STOP");
        vhost.close_all_connections("cut");
        up.wait_for(3, SOON);
        settled(&vhost, "osnl");
        assert_eq!(gaps(&standby), []);
        other.stop();
        osnl.signal("CONT");
        osnl.wait_for("unsettled messages did not come back, and the queue is empty");
        let found: Vec<_> =
            gaps(&first).into_iter().map(|(cause, is_certain, _)| (cause, is_certain)).collect();
        let possible = vec![("messages-missing".to_owned(), false)];
        assert_eq!(found, if is_seen { Vec::new() } else { possible }, "{kind}");
        osnl.stop();
    };
    std::thread::scope(|scope| {
        scope.spawn(|| check("classic", true));
        check("quorum", false);
    });
}

#[test]
fn a_reload_that_connects_anew_leaves_no_gap() {
    let vhost = Broker::shared().vhost("reload-gap");
    let sink = Sink::start();
    sink.reply_with(Reply::Status(503));
    let place = place_of(&vhost, "", &sink);
    let osnl = start(&place);
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&notices(0..3));
    depth(&vhost, "osnl", (0, 3));
    place.write("a.conf", place.read("a.conf").replace("pool = osnl\n", "pool = osnl\nprefetch = 7\n"));
    assert_eq!(ask(&place, &["reload"]).0, Some(0));
    osnl.wait_for("as many messages as were unsettled are delivered again");
    publisher.notify_all(&notices(3..5));
    depth(&vhost, "osnl", (0, 5));
    assert_eq!(gaps(&place), []);
    osnl.stop();
}
