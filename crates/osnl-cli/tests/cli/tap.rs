mod large;
mod save;

use std::path::Path;

use osnl_testkit::{
    Broker, BrokerObjects, DeclaredBinding, DeclaredQueue, Exchange, Notice, OsloPublisher, PublisherOptions,
    RawMessage, Vhost, wait_until,
};
use osnl_transport::BrokerVersion;
use serde_json::json;

use crate::harness::{Osnl, PROMPTLY, Place, SOON};

pub(crate) struct Rig {
    pub(crate) place: Place,
    pub(crate) vhost: Vhost,
    pub(crate) publisher: OsloPublisher,
}

impl Rig {
    fn new(name: &str) -> Self {
        let vhost = Broker::shared().vhost(name);
        let publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        Self { place: Place::new(), vhost, publisher }
    }

    pub(crate) fn with_nova(name: &str) -> Self {
        let mut rig = Self::new(name);
        rig.publisher.notify(&event(0));
        rig
    }

    fn tap(&self, args: &[&str]) -> Osnl {
        let url = self.vhost.url();
        let args: Vec<&str> = ["tap", &url].iter().chain(args).copied().collect();
        self.place.run(Path::new(env!("CARGO_BIN_EXE_osnl")), &args)
    }

    fn listening(&self, args: &[&str]) -> Osnl {
        let tap = self.tap(args);
        tap.wait_for("listening at");
        tap
    }
}

fn state(vhost: &Vhost) -> (Vec<Exchange>, Vec<DeclaredQueue>, Vec<DeclaredBinding>) {
    (vhost.list_exchanges(), vhost.list_queues(), vhost.list_bindings())
}

const HOSTILE: &str = "\u{1b}]0;owned\u{7}";

pub(crate) fn event(n: usize) -> Notice {
    Notice {
        exchange: "nova".to_owned(),
        publisher_id: "compute.node1".to_owned(),
        event_type: "compute.instance.delete.end".to_owned(),
        payload: json!({"instance_id": format!("i-{n}"), "display_name": format!("vm {n}"), "adminPass": "S3CRET",
            "note": HOSTILE}),
        ..Notice::default()
    }
}

fn events(numbers: std::ops::Range<usize>) -> Vec<Notice> {
    numbers.map(event).collect()
}

fn ids(stdout: &str) -> Vec<String> {
    let id = |line: &str| Some(line.split_once(" id=")?.1.split(' ').next()?.to_owned());
    stdout.lines().filter_map(id).collect()
}

fn expected(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("i-{n}")).collect()
}

#[track_caller]
fn shows(tap: &Osnl, count: usize) {
    wait_until(SOON, &format!("{count} lines of the tap"), || tap.stdout().lines().count() >= count);
}

#[test]
fn a_tap_takes_nothing_from_anybody_and_leaves_nothing_behind() {
    let mut rig = Rig::with_nova("tap-apart");
    rig.publisher.prepare(&BrokerObjects {
        exchange: "nova".to_owned(),
        queue: "others".to_owned(),
        durable: false,
        ..BrokerObjects::default()
    });
    let before = state(&rig.vhost);
    let mut taps = [rig.listening(&["--exchange", "nova"]), rig.listening(&["--exchange", "nova"])];
    let own: Vec<_> =
        rig.vhost.list_queues().into_iter().filter(|q| q.name.starts_with("amq.gen-")).collect();
    assert_eq!(own.len(), 4, "a queue and its counter for each tap: {own:?}");
    for queue in &own {
        assert!(!queue.durable && queue.auto_delete, "{queue:?}");
        assert_eq!(queue.arguments["x-overflow"], "drop-head", "{queue:?}");
        assert!(queue.arguments["x-max-length"].is_u64() && queue.arguments["x-max-length-bytes"].is_u64());
    }
    let keys: Vec<String> = rig
        .vhost
        .list_bindings()
        .into_iter()
        .filter(|b| own.iter().any(|q| q.name == b.queue))
        .map(|b| b.routing_key)
        .collect();
    assert_eq!(keys.iter().filter(|key| *key == "notifications.*").count(), 2, "{keys:?}");

    let mut others = Vec::new();
    for numbers in [1..11, 11..21] {
        rig.publisher.notify_all(&events(numbers.clone()));
        for queue in ["notifications.info", "others"] {
            others.extend(std::iter::from_fn(|| rig.publisher.take(queue)));
        }
        for tap in &taps {
            shows(tap, numbers.end - 1);
        }
    }
    assert_eq!(others.len(), 41, "what was there before, and twenty in each queue");
    assert!(others.iter().all(|message| !message.redelivered));
    for tap in &mut taps {
        assert_eq!(ids(&tap.stdout()), expected(1..21));
        tap.signal("INT");
        assert_eq!(tap.wait(PROMPTLY).code(), Some(0), "{}", tap.stderr());
        assert!(tap.stderr().contains("osnl tap: 20 events shown in "), "{}", tap.stderr());
    }
    wait_until(SOON, "the taps' queues to vanish", || rig.vhost.list_queues().len() == before.1.len());
    let mut after = state(&rig.vhost);
    after.1.iter_mut().zip(&before.1).for_each(|(queue, before)| queue.ready = before.ready);
    assert_eq!(after, before);
}

#[test]
fn an_exchange_that_comes_later_is_named_and_bound_as_soon_as_it_is_there() {
    let mut rig = Rig::new("tap-late");
    // RabbitMQ 4.3 and newer refuse permissions for topics of an exchange that does not exist.
    let can_permit = BrokerVersion::read(&rig.vhost.greeting()[1]) < BrokerVersion::read("4.3.0");
    if can_permit {
        rig.vhost.ctl(&["set_topic_permissions", "guest", "nova", ".*", "^notifications\\."]);
    }
    let mut tap = rig.listening(&["--exchange", "nova,glance", "--count", "2"]);
    tap.wait_for("not there yet in virtual host \"tap-late-");
    tap.wait_for("nova, glance; a service makes its exchange when it first publishes");
    assert_eq!(rig.vhost.list_exchanges(), [], "no exchange is declared");
    rig.publisher.notify(&event(1));
    tap.wait_for("exchange nova exists now: bound");
    if can_permit {
        tap.wait_for("exchange nova: refused: 403 ACCESS_REFUSED - ");
        tap.wait_for("access to topic 'versioned_notifications.*'");
        tap.wait_for("osnl tap: -> ");
    }
    rig.publisher.notify_all(&events(2..4));
    assert_eq!(tap.wait(PROMPTLY).code(), Some(0), "{}", tap.stderr());
    assert_eq!(ids(&tap.stdout()), expected(2..4));
}

#[test]
fn an_exchange_that_is_deleted_and_made_again_is_tapped_again() {
    let mut rig = Rig::with_nova("tap-gone");
    let mut tap = rig.listening(&["--exchange", "nova"]);
    rig.publisher.notify(&event(1));
    shows(&tap, 1);
    rig.vhost.delete_exchange("nova");
    tap.wait_for("exchange nova does not exist any more; tap looks for it again");
    let mut publisher = OsloPublisher::start(&rig.vhost.url(), PublisherOptions::default());
    publisher.notify(&event(9));
    tap.wait_for("exchange nova exists now: bound");
    publisher.notify(&event(2));
    shows(&tap, 2);
    tap.signal("TERM");
    assert!(tap.wait(PROMPTLY).code().is_some());
}

#[test]
fn a_lost_connection_is_said_made_again_and_its_gap_reported() {
    let mut rig = Rig::with_nova("tap-lost");
    let mut tap = rig.listening(&["--exchange", "nova"]);
    rig.publisher.notify(&event(1));
    shows(&tap, 1);
    rig.vhost.close_all_connections("maintenance");
    tap.wait_for("connection lost: 320 CONNECTION_FORCED - maintenance; connecting again");
    tap.wait_for("what was published meanwhile was not seen");
    let mut publisher = OsloPublisher::start(&rig.vhost.url(), PublisherOptions::default());
    publisher.notify(&event(2));
    shows(&tap, 2);
    tap.signal("TERM");
    assert_eq!(tap.wait(PROMPTLY).code(), Some(0));
    assert!(tap.stderr().contains("2 events shown, 1 gap of "), "{}", tap.stderr());
}

#[test]
fn what_the_queues_limit_drops_is_counted() {
    let mut rig = Rig::with_nova("tap-limit");
    let mut tap = rig.listening(&["--exchange", "nova", "--queue-limit", "20", "--raw"]);
    // A stopped tap acts like a terminal that does not read, but without its buffers.
    tap.signal("STOP");
    let body = format!(r#"{{"event_type": "x", "priority": "INFO", "payload": "{}"}}"#, "x".repeat(20_000));
    for _ in 0..400 {
        rig.publisher.raw(&RawMessage {
            exchange: "nova".into(),
            body: body.clone().into_bytes(),
            ..RawMessage::default()
        });
    }
    tap.signal("CONT");
    tap.wait_for("at its limit (20 messages, 64 MiB, 60 s) the queue drops the oldest");
    tap.wait_for("reading has caught up");
    // The tap has caught up when nothing was dropped for a second; messages left in the queue would be missing in the sum.
    wait_until(SOON, "the tap has read the rest", || {
        let own = rig.vhost.list_queues().into_iter().filter(|queue| queue.name.starts_with("amq.gen-"));
        own.map(|queue| queue.ready + queue.unacked).sum::<u64>() == 0
    });
    tap.signal("INT");
    assert_eq!(tap.wait(PROMPTLY).code(), Some(0));
    let stderr = tap.stderr();
    let summary = stderr.lines().last().unwrap();
    let number = |before: &str| {
        summary.split(before).next().unwrap().rsplit([' ', ':']).next().unwrap().parse::<u64>().unwrap()
    };
    let (shown, dropped) = (number(" events shown"), number(" dropped by the queue's limit"));
    assert_eq!(shown + dropped, 400, "{stderr}");
    assert!(dropped >= 300, "{stderr}");
}

#[test]
fn only_what_is_asked_for_is_shown_and_the_status_says_whether_anything_was() {
    let mut rig = Rig::with_nova("tap-filters");
    let cases: [(&[&str], &[&str]); 9] = [
        (&[], &["i-1", "i-2", "p-1", "i-3"]),
        (&["--event-type", "^port\\."], &["p-1"]),
        (&["--event-type", "delete"], &[]),
        (&["--publisher", "network", "--publisher", "compute\\.node1", "--resource", "vm 2"], &["i-2"]),
        (&["--project", "PROJECT-1"], &["p-1"]),
        (&["--resource", "P-1", "--resource", "i-3"], &["p-1", "i-3"]),
        (&["--priority", "ERROR,warning"], &["i-3"]),
        (&["--topic", "versioned_notifications"], &[]),
        (&["--key", "#.error", "--key", "nothing"], &["i-3"]),
    ];
    let mut taps: Vec<Osnl> =
        cases.iter().map(|(args, _)| rig.tap(&[&["--exchange", "nova"], *args].concat())).collect();
    taps.iter().for_each(|tap| tap.wait_for("listening at"));
    rig.publisher.notify_all(&[
        event(1),
        event(2),
        Notice {
            publisher_id: "network.n1".into(),
            event_type: "port.delete.end".into(),
            payload: json!({"port": {"id": "p-1", "name": "eth", "project_id": "project-1"}}),
            ..event(0)
        },
        Notice { priority: "error".into(), ..event(3) },
    ]);
    for ((args, expected), tap) in cases.iter().zip(&mut taps) {
        shows(tap, expected.len());
        tap.signal("INT");
        let status = i32::from(expected.is_empty());
        assert_eq!(tap.wait(SOON).code(), Some(status), "{args:?}\n{}", tap.stderr());
        assert_eq!(ids(&tap.stdout()), *expected, "{args:?}");
    }
}

#[test]
fn the_articles_url_and_a_listeners_are_understood() {
    let place = Place::new();
    let article = format!("amqp://guest:guest@127.0.0.1:{}//", Broker::shared().port());
    let mut tap =
        place.run(Path::new(env!("CARGO_BIN_EXE_osnl")), &["tap", &article, "-e", "tap-none", "--for", "5s"]);
    assert_eq!(tap.wait(PROMPTLY).code(), Some(1), "{}", tap.stderr());
    assert!(tap.stderr().contains("virtual host \"/\", exchanges: none yet"), "{}", tap.stderr());
    let stderr = tap.stderr();
    let seconds = stderr
        .split_once(" 0 events shown in ")
        .and_then(|(_, rest)| rest.split_once(" s")?.0.parse::<f64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds >= 5.0), "{stderr}");

    let mut rig = Rig::with_nova("tap-listener");
    rig.place.write(
        "osnl.conf",
        format!(
            "[listener:compute]\ntransport_url = {}\nexchange = nova\ntopics = notifications\npriorities = error\n\
             pool = osnl\n[rule:r]\nlisteners = compute\nevent_type = x\nactions = d\n[action:d]\ndriver = dump\npath = d\n",
            rig.vhost.url()
        ),
    );
    let args = ["tap", "--config-file", "osnl.conf", "--listener", "compute", "-n", "1"];
    let mut tap = rig.place.run(Path::new(env!("CARGO_BIN_EXE_osnl")), &args);
    tap.wait_for("exchanges: nova");
    rig.publisher.notify_all(&[event(1), Notice { priority: "error".into(), ..event(2) }]);
    assert_eq!(tap.wait(PROMPTLY).code(), Some(0), "{}", tap.stderr());
    assert_eq!(ids(&tap.stdout()), expected(2..3));

    // A tap covers all listeners of a configuration on one broker unless one is named.
    rig.publisher.notify(&Notice { exchange: "neutron".into(), ..event(0) });
    let text = std::fs::read_to_string(rig.place.path("osnl.conf")).unwrap();
    let second = format!(
        "[listener:network]\ntransport_url = {}\nexchange = neutron\npriorities = info\npool = other\n",
        rig.vhost.url()
    );
    rig.place.write("osnl.conf", format!("{text}{second}"));
    let args = ["tap", "--config-file", "osnl.conf", "-n", "2"];
    let mut tap = rig.place.run(Path::new(env!("CARGO_BIN_EXE_osnl")), &args);
    tap.wait_for("listening at");
    let of_neutron = Notice { exchange: "neutron".into(), ..event(4) };
    rig.publisher.notify_all(&[Notice { priority: "error".into(), ..event(3) }, of_neutron]);
    assert_eq!(tap.wait(PROMPTLY).code(), Some(0), "{}", tap.stderr());
    let mut shown = ids(&tap.stdout());
    shown.sort();
    assert_eq!(shown, expected(3..5));
}

#[test]
fn without_exchanges_those_of_the_known_services_are_chosen_and_said() {
    let mut rig = Rig::with_nova("tap-known");
    let mut tap = rig.listening(&["-n", "2"]);
    tap.wait_for("others may exist: name them with --exchange");
    tap.wait_for("exchanges: nova\n");
    tap.wait_for(": neutron, glance, cinder, keystone, ironic, openstack, ");
    rig.publisher.notify(&event(1));
    shows(&tap, 1);
    rig.publisher.notify(&Notice { exchange: "keystone".into(), ..event(9) });
    tap.wait_for("exchange keystone exists now: bound");
    rig.publisher.notify(&Notice { exchange: "keystone".into(), ..event(2) });
    assert_eq!(tap.wait(SOON).code(), Some(0), "{}", tap.stderr());
    assert_eq!(ids(&tap.stdout()), expected(1..3));
}

#[test]
fn a_broker_that_lets_nobody_in_is_69_and_says_why() {
    let rig = Rig::new("tap-refused");
    let check = |url: &str, args: &[&str], expected: &str| {
        let all: Vec<&str> = ["tap", url].iter().chain(args).copied().collect();
        let mut tap = rig.place.run(Path::new(env!("CARGO_BIN_EXE_osnl")), &all);
        let (code, stderr) = tap.refused();
        assert_eq!(code, Some(69), "{stderr}");
        assert!(stderr.contains(expected) && !stderr.contains("S3CRET"), "{expected} in\n{stderr}");
        assert_eq!(tap.stdout(), "");
    };
    let port = Broker::shared().port();
    check(&format!("rabbit://guest:S3CRET@127.0.0.1:{port}/"), &[], "login refused for user \"guest\"");
    check(
        &format!("rabbit://guest:S3CRET@127.0.0.1:{port}/"),
        &[],
        "osnl tap: -> to test user and password of transport_url: rabbitmqctl authenticate_user guest; to change them at the broker: rabbitmqctl change_password guest; or correct them in transport_url",
    );
    check(
        &format!("rabbit://guest:guest@127.0.0.1:{port}/none-such"),
        &[],
        "virtual host \"none-such\" refused",
    );
    let closed = osnl_testkit::closed_port();
    let away = format!("amqp://guest:S3CRET@127.0.0.1:{closed}//");
    check(&away, &["--for", "3s"], "cannot connect: 127.0.0.1:");
}

#[test]
fn a_tap_that_guesses_says_so_and_none_waits_for_ever() {
    let place = Place::new();
    let tap = |args: &[&str]| {
        place.run(Path::new(env!("CARGO_BIN_EXE_osnl")), &[&["tap"], args].concat()).refused()
    };
    let (_, stderr) = tap(&["--timeout", "100ms", "--for", "100ms"]);
    let guess = "no configuration was found (/etc/osnl/osnl.conf does not exist); guest at localhost is a guess: \
                 name a broker (osnl tap rabbit://USER:PASSWORD@HOST:5672/), or a configuration (-c FILE)";
    assert!(stderr.contains(guess), "{stderr}");
    // Neither a closed port nor a broker that stays silent.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for port in [osnl_testkit::closed_port(), silent.local_addr().unwrap().port()] {
        let url = format!("rabbit://guest:guest@127.0.0.1:{port}/");
        let (code, stderr) = tap(&[&url, "--timeout", "300ms"]);
        assert!(!stderr.contains("guess"), "{stderr}");
        assert!(stderr.contains("error: no connection within 300ms (--timeout)"), "{stderr}");
        assert_eq!(code, Some(69), "{stderr}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_well() {
    let mut rig = Rig::with_nova("tap-head");
    let script = "\"$0\" tap \"$1\" --exchange nova | head -n 3";
    let mut head = rig.place.run(
        Path::new("bash"),
        &["-o", "pipefail", "-c", script, env!("CARGO_BIN_EXE_osnl"), &rig.vhost.url()],
    );
    head.wait_for("listening at");
    let began = std::time::Instant::now();
    for n in 1.. {
        rig.publisher.notify(&event(n));
        if !head.is_running() {
            break;
        }
        assert!(began.elapsed() < SOON, "{}", head.stderr());
    }
    assert_eq!(head.wait(PROMPTLY).code(), Some(0), "{}", head.stderr());
    assert_eq!(ids(&head.stdout()), expected(1..4));
}

#[test]
fn rates_are_told_each_second_though_nothing_comes() {
    let mut rig = Rig::with_nova("tap-rates");
    let mut tap = rig.listening(&["-e", "nova", "--rates"]);
    rig.publisher.notify_all(&events(1..11));
    wait_until(SOON, "a table", || tap.stdout().contains("/s compute.instance.delete.end\n"));
    wait_until(SOON, "a second without events", || tap.stdout().contains(" 0.0/s in all\n"));
    tap.signal("INT");
    assert_eq!(tap.wait(PROMPTLY).code(), Some(0), "{}", tap.stderr());
    assert!(tap.stdout().contains(" 10 events in "), "{}", tap.stdout());
}
