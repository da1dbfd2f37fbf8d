//! `osnl init`: `osnl check` accepts every sample, and no file is overwritten.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use osnl_testkit::{Broker, Notice, OsloPublisher, PublisherOptions, Reply, Sink, wait_until};
use serde_json::{Value, json};

use crate::harness::{PROMPTLY, Place, SOON, depth, instance, notices, settled};
use crate::monitoring::{address, get, sample};

const OSNL: &str = env!("CARGO_BIN_EXE_osnl");
const TARGETS: [&str; 9] =
    ["dump", "exec", "file", "http", "k2hr3", "k2hr3_register", "mail", "publish", "syslog"];

#[track_caller]
fn run(place: &Place, args: &[&str], status: i32) -> (String, String) {
    let mut osnl = place.run(Path::new(OSNL), args);
    let code = osnl.wait(PROMPTLY).code();
    assert_eq!(code, Some(status), "{args:?}: {}{}", osnl.stdout(), osnl.stderr());
    (osnl.stdout(), osnl.stderr())
}

#[test]
fn check_accepts_the_sample_of_every_service_and_target() {
    let place = Place::new();
    let (listed, _) = run(&place, &["events", "--format", "json"], 0);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let listed = listed["services"].as_array().unwrap();
    let services: Vec<&str> = listed.iter().map(|service| service["service"].as_str().unwrap()).collect();
    assert!(services.len() > 10, "{services:?}");
    // A sample is the part of its service and that of its target, and a test in the program loads each pair.
    let is_checked =
        |service: &str, target: &str| target == "http" || ["glance", "neutron", "nova"].contains(&service);
    for target in TARGETS {
        for service in services.iter().filter(|service| is_checked(service, target)) {
            let file = format!("{service}-{target}.conf");
            if target.starts_with("k2hr3") && !["neutron", "nova"].contains(service) {
                let (_, why) = run(&place, &["init", service, "--target", target, "-o", &file], 2);
                assert!(why.contains(&format!("{target} does not act on events of {service}")), "{why}");
                assert!(!place.path(&file).exists());
                continue;
            }
            let (said, _) = run(&place, &["init", service, "--target", target, "-o", &file], 0);
            assert!(said.starts_with(&format!("{file}: written; ")), "{said}");
            let (checked, warned) = run(&place, &["check", "-c", &file], 0);
            let found = format!("{checked}{warned}");
            assert!(checked.contains("is valid"), "{service} {target}: {found}");
            let placeholders = place.read(&file).lines().filter(|line| is_placeholder(line)).count();
            let warnings: Vec<&str> = found.lines().filter(|line| line.contains("warning: ")).collect();
            assert_eq!(warnings.len(), placeholders, "{service} {target}: {found}");
            for warning in warnings {
                assert!(warning.contains("still has the placeholder CHANGE-ME of osnl init"), "{warning}");
            }
        }
    }
}

#[test]
fn check_accepts_a_splitter_and_its_shards_which_are_written_together_or_not_at_all() {
    let place = Place::new();
    let files = ["splitter.conf", "shard-0.conf", "shard-1.conf"];
    let args = ["init", "nova", "neutron", "--target", "http", "--shards", "2", "--standby"];
    let (said, _) = run(&place, &args, 0);
    for file in files {
        assert!(said.contains(&format!("{file}: written\n")), "{said}");
        assert_eq!(fs::metadata(place.path(file)).unwrap().permissions().mode() & 0o777, 0o600);
        let (checked, warned) = run(&place, &["check", "-c", file], 0);
        assert!(checked.contains("is valid"), "{file}: {checked}{warned}");
    }
    for words in [
        "rabbitmqctl set_permissions -p / osnl '^osnl-' '^(osnl-.*|amq\\.default)$' '^(osnl-.*|neutron|nova)$'",
        "osnl check --connect -c splitter.conf",
        "systemctl enable --now osnl@splitter osnl@shard-0 osnl@shard-1\n",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    fs::remove_file(place.path("splitter.conf")).unwrap();
    fs::remove_file(place.path("shard-0.conf")).unwrap();
    let (_, why) = run(&place, &args, 1);
    assert!(why.contains("shard-1.conf: ") && why.contains("name a file that does not exist yet"), "{why}");
    assert!(!place.path("splitter.conf").exists() && !place.path("shard-0.conf").exists());
    let kafka = ["init", "nova", "--shards", "2", "--transport-url", "amqp1://mq/"];
    assert!(!run(&place, &kafka, 78).1.is_empty());
}

fn is_placeholder(line: &str) -> bool {
    line.contains("CHANGE-ME") && !line.starts_with('#')
}

#[test]
fn nothing_is_written_over_or_through_a_link() {
    let place = Place::new();
    place.write("there.conf", "kept");
    place.write("victim", "kept");
    symlink(place.path("victim"), place.path("link.conf")).unwrap();
    symlink(place.path("nowhere"), place.path("dangling.conf")).unwrap();
    for file in ["there.conf", "link.conf", "dangling.conf", "none/a.conf", "."] {
        let (said, why) = run(&place, &["init", "nova", "-o", file], 1);
        assert!(said.is_empty() && why.contains("name a file that does not exist yet"), "{file}: {why}");
    }
    assert_eq!((place.read("there.conf"), place.read("victim")), ("kept".to_owned(), "kept".to_owned()));
    assert!(!place.path("nowhere").exists());
    let url = "rabbit://osnl:pa$s@mq1:5671/";
    run(&place, &["init", "nova", "nova", "--transport-url", url, "-o", "new.conf"], 0);
    assert_eq!(fs::metadata(place.path("new.conf")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(place.read("new.conf").contains("transport_url = rabbit://osnl:pa$$s@mq1:5671/"));
    assert!(run(&place, &["check", "-c", "new.conf"], 0).0.contains("mq1:5671"));
    let (_, why) = run(&place, &["init", "nova", "--transport-url", "rabbit://mq/\n[action:x]"], 2);
    assert!(why.contains("a URL has no line end"), "{why}");
    let (text, _) = run(&place, &["init", "nova", "--transport-url", url], 0);
    assert_eq!(text, place.read("new.conf"));
}

#[test]
fn init_the_packaged_file_and_readme_deliver_what_a_default_nova_sends() {
    let place = Place::new();
    let init = |more: &[&str]| run(&place, &[&["init", "nova", "--target", "http"], more].concat(), 0).0;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let packaged = fs::read_to_string(root.join("packaging/etc/osnl.conf")).unwrap();
    let (settings, samples) = packaged.split_at(packaged.find("# A listener").unwrap());
    let packaged = format!("{settings}{}", samples.replace("\n#", "\n"));
    let packaged = packaged.lines().filter(|line| !line.starts_with([' ', '#']));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let readme = readme.split("## A first configuration").nth(1).unwrap().split("```").nth(1).unwrap();
    let default = Notice {
        exchange: "nova".to_owned(),
        publisher_id: "compute.node1".to_owned(),
        event_type: "compute.instance.delete.end".to_owned(),
        payload: json!({"instance_id": instance(1)}),
        ..Notice::default()
    };
    let data = json!({"nova_object.name": "InstanceActionPayload", "nova_object.namespace": "nova",
        "nova_object.version": "1.8", "nova_object.data": {"uuid": instance(1)}});
    let versioned = Notice {
        topic: "versioned_notifications".to_owned(),
        event_type: "instance.delete.end".to_owned(),
        payload: data,
        ..default.clone()
    };
    let packaged = packaged.collect::<Vec<_>>().join("\n");
    delivers("init-nova", &init(&[]), &default);
    delivers("init-packaged", &packaged.replace("127.0.0.1:9464", "127.0.0.1:0"), &default);
    delivers("init-readme", readme.trim_start_matches("ini"), &default);
    delivers("init-versioned", &init(&["--versioned"]), &versioned);
    let (_, why) = run(&place, &["init", "neutron", "--versioned"], 2);
    assert!(why.contains("--versioned is for nova alone"), "{why}");
}

#[test]
fn a_start_warns_of_placeholders_and_a_publish_action_has_an_exchange() {
    let place = Place::new();
    let sample = run(&place, &["init", "nova", "--target", "http"], 0).0;
    let sample = sample.replace("CHANGE-ME@", "x@");
    let url = sample.lines().find(|line| line.starts_with("transport_url = ")).unwrap();
    let conf = sample.replace(url, "transport_url = rabbit://127.0.0.1:9/");
    place.write("osnl.conf", conf + "\n[journal]\nallow_volatile = true\n");
    let osnl = place.run(Path::new(OSNL), &["run", "-c", "osnl.conf"]);
    osnl.wait_for("[action:http] url: still has the placeholder CHANGE-ME of osnl init");
    assert!(osnl.stderr().lines().any(|line| line.contains("WARNING") && line.contains("CHANGE-ME")));
    osnl.wait_for("Connection refused");
    osnl.stop();

    let vhost = Broker::shared().vhost("init-publish");
    let args = ["init", "nova", "--target", "publish", "--transport-url", &vhost.url()];
    let sample = run(&place, &args, 0).0;
    let check = |conf: &str, expected: &str| {
        place.write("publish.conf", conf);
        let mut osnl = place.run(Path::new(OSNL), &["check", "--connect", "-c", "publish.conf"]);
        osnl.wait(SOON);
        let said = osnl.stdout();
        let line = said.lines().find(|line| line.contains("] exchange osnl-events: "));
        assert!(line.is_some_and(|line| line.contains(expected)), "{said}{}", osnl.stderr());
        assert!(!line.unwrap().contains("control_exchange"), "{said}");
    };
    check(&sample, "does not exist, and will be created");
    let without = sample.replace("declare = create\n", "");
    check(&without, "does not exist; create it at the broker, or write declare = create");
}

/// Changes only what names the site: the broker, the target, and a place that tests have.
#[track_caller]
fn delivers(name: &str, text: &str, notice: &Notice) {
    let (place, sink, vhost) = (Place::new(), Sink::start(), Broker::shared().vhost(name));
    let mut nova = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    // The first notification makes nova's exchange.
    nova.notify(notice);
    let site = |line: &str| match line.split_once(" = ") {
        Some(("transport_url", _)) => format!("transport_url = {}", vhost.url()),
        Some(("url", url)) => format!("url = {}", sink.url(&url[url.find(".com").unwrap() + 4..])),
        _ => line.to_owned(),
    };
    let text: Vec<String> = text.lines().map(site).collect();
    place.write("osnl.conf", text.join("\n") + "\n[journal]\nallow_volatile = true\n");
    let osnl = place.run(Path::new(OSNL), &["run", "-c", "osnl.conf"]).listening();
    nova.notify(notice);
    let asked = sink.wait_for(1, SOON).remove(0);
    let asked = format!("{} {}", asked.target, String::from_utf8_lossy(&asked.body));
    assert!(asked.contains(&instance(1)), "{name}: {asked}");
    settled(&vhost, "osnl-nova");
    if text.iter().any(|line| line == "[admin]") {
        let admin = address(&osnl.stderr()).unwrap();
        assert_eq!(get(&admin, "/readyz").0, 200);
        let received = sample(&admin, "osnl_messages_received_total{listener=\"nova\"}");
        assert_eq!(received.as_deref(), Some("1"));
        assert_eq!(get(&admin, "/api/v1/status").0, 403, "health and metrics only");
    }
    osnl.stop();
}

#[test]
fn with_the_configuration_for_two_controllers_the_second_goes_on_when_the_first_is_killed() {
    let vhost = Broker::shared().vhost("standby");
    let sink = Sink::start();
    sink.reply_with(Reply::Status(503));
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    // Only its service declares the exchange, so it must exist before osnl binds its queue.
    publisher.notify_all(&notices(99..100));
    let places = [Place::new(), Place::new()];
    let [mut first, mut second] = places.each_ref().map(|place| {
        let url = vhost.url();
        let args = ["init", "neutron", "--target", "http", "--standby", "--transport-url", &url];
        let text =
            run(place, &args, 0).0.replace("https://CHANGE-ME.example.com/events", &sink.url("/events"));
        place.write("osnl.conf", text);
        let osnl = place.run(Path::new(OSNL), &["run", "-c", "osnl.conf"]);
        osnl.wait_for("listening at");
        osnl
    });
    wait_until(SOON, "both consume the quorum queue", || {
        let mut queues = vhost.list_queues().into_iter();
        queues
            .any(|queue| (&*queue.name, &*queue.queue_type, queue.consumers) == ("osnl-neutron", "quorum", 2))
    });
    publisher.notify_all(&notices(0..10));
    sink.wait_for(1, SOON);
    depth(&vhost, "osnl-neutron", (0, 10));
    first.signal("KILL");
    first.wait(PROMPTLY);
    sink.reply_with(Reply::Status(204));
    settled(&vhost, "osnl-neutron");
    let requests = sink.requests();
    for n in 0..10 {
        let asked =
            requests.iter().any(|request| String::from_utf8_lossy(&request.body).contains(&instance(n)));
        assert!(asked, "{n}");
    }
    second.signal("TERM");
    assert_eq!(second.wait(PROMPTLY).code(), Some(0), "{}", second.stderr());
}
