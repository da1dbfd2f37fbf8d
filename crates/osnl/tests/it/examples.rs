use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use osnl::notification_listener::{Handler, NotificationListener, Target, TransportUrl};
use osnl_testkit::{Broker, Guard, python, wait_until};

use crate::harness::SOON;

const PUBLISH: &str = r#"
import json, sys
import oslo_messaging
from oslo_config import cfg
asked = json.load(sys.stdin)
for compression in asked["compressions"]:
    conf = cfg.ConfigOpts()
    conf([], project="osnl-test", default_config_files=[], default_config_dirs=[])
    oslo_messaging.get_notification_transport(conf, url=asked["url"]).cleanup()
    conf.set_override("control_exchange", "neutron")
    if compression:
        conf.set_override("kombu_compression", compression, group="oslo_messaging_rabbit")
    transport = oslo_messaging.get_notification_transport(conf, url=asked["url"])
    for driver in ("messaging", "messagingv2"):
        notifier = oslo_messaging.Notifier(transport, driver=driver, topics=["notifications"], retry=3)
        notifier = notifier.prepare(publisher_id="network.n1")
        for priority in ("audit", "debug", "info", "warn", "error", "critical", "sample"):
            getattr(notifier, priority)({}, f"{compression}.{driver}.{priority}", {"text": "仮想 😀" * 100})
    transport.cleanup()
"#;

const PRIORITIES: [&str; 7] = ["audit", "debug", "info", "warn", "error", "critical", "sample"];

fn publish(url: &str, compressions: &[Option<&str>]) {
    let _ = python(PUBLISH, &serde_json::json!({"url": url, "compressions": compressions}).to_string());
}

fn example(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(
        path.exists(),
        "no example {name}: run `cargo build -p osnl --examples`, or the tests without --test"
    );
    Command::new(path)
}

fn expected(compressions: &[Option<&str>]) -> Vec<String> {
    let mut lines = Vec::new();
    for compression in compressions {
        for driver in ["messaging", "messagingv2"] {
            lines.extend(PRIORITIES.map(|priority| {
                format!("{priority} {}.{driver}.{priority} network.n1", compression.unwrap_or("None"))
            }));
        }
    }
    lines.sort();
    lines
}

#[test]
fn the_example_listens_to_the_real_publisher() {
    let vhost = Broker::shared().vhost("example");
    let mut listen = example("listen");
    listen.args([&vhost.url(), "neutron", "notifications", "example", "14"]);
    let mut child = listen.stdout(Stdio::piped()).spawn().unwrap();
    let _guard = Guard::over(&[child.id()], None);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "listening");
    publish(&vhost.url(), &[None]);
    let mut seen: Vec<String> = lines.map(Result::unwrap).collect();
    seen.sort();
    assert_eq!(seen, expected(&[None]));
    assert!(child.wait().unwrap().success());
    wait_until(SOON, "all is acknowledged", || vhost.queue_depth("example") == Some((0, 0)));
}

#[test]
fn the_example_of_filters_does_what_it_says() {
    let output = example("filter").output().unwrap();
    let expected = "seen Some(\"port.delete.end\")\nrequeue\nforget \"p1\"\nseen Some(\"port.delete.end\")\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert!(output.status.success());
}

#[test]
fn what_kombu_compressed_is_read_in_every_priority_and_both_framings() {
    let vhost = Broker::shared().vhost("compressed");
    let url = TransportUrl::parse(&vhost.url()).unwrap();
    let (send, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let listener = NotificationListener::builder(&url)
        .target(Target::new("neutron", "notifications"))
        .pool("compressed")
        .endpoint(Handler::new(move |received| {
            let n = received.notification();
            assert_eq!(n.payload["text"], "仮想 😀".repeat(100));
            let compression = received.properties().compression.clone();
            let (priority, event_type) = (n.priority.clone().unwrap(), n.event_type.clone().unwrap());
            let _ = send.send((compression, format!("{priority} {event_type} network.n1")));
            async {}
        }))
        .build()
        .unwrap();
    let compressions = [None, Some("gzip"), Some("bzip2")];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let seen = runtime.block_on(async {
        let running = listener.start();
        running.listening().await;
        let address = vhost.url();
        tokio::task::spawn_blocking(move || publish(&address, &compressions)).await.unwrap();
        let mut all = Vec::new();
        while all.len() < 3 * 14 {
            all.push(tokio::time::timeout(SOON, seen.recv()).await.expect("all arrive").unwrap());
        }
        running.stop();
        running.wait().await.unwrap();
        all
    });
    for (compression, line) in &seen {
        let named = compression.as_deref().unwrap_or("None");
        let header = ["None", "application/x-gzip", "application/x-bz2"]
            .into_iter()
            .zip(["None", "gzip", "bzip2"])
            .find(|(header, _)| *header == named);
        assert!(line.contains(header.unwrap().1), "{line} came with {named}");
    }
    let mut lines: Vec<String> = seen.into_iter().map(|(_, line)| line).collect();
    lines.sort();
    assert_eq!(lines, expected(&compressions));
    wait_until(SOON, "all is acknowledged", || vhost.queue_depth("compressed") == Some((0, 0)));
}
