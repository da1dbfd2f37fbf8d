use std::path::Path;

use osnl_testkit::{Broker, BrokerObjects, Notice, OsloPublisher, PublisherOptions, Sink, Vhost};
use serde_json::json;

use crate::harness::{Osnl, Place, SOON, instance, notices};

fn daemon(place: &Place, vhost: &Vhost, sink: &Sink, state_dir: &Path, more: &str) -> Osnl {
    place.write(
        "osnl.conf",
        format!(
            "[DEFAULT]\nlog_level = debug\nstate_dir = {}\n[journal]\nconnection = memory://\n[listener:l]\ntransport_url = {}\nqueue = theirs\n{more}\n\
             [rule:r]\nactions = roles\n[action:roles]\ndriver = k2hr3\napi_url = {}\nretry_interval = 0\n",
            state_dir.display(),
            vhost.url(),
            sink.url("/v1/role"),
        ),
    );
    place.run(Path::new(env!("CARGO_BIN_EXE_osnl")), &["run", "-c", "osnl.conf"])
}

fn effects(sink: &Sink, count: usize) -> Vec<usize> {
    let requests = sink.requests();
    (0..count).map(|n| requests.iter().filter(|r| r.target.contains(&instance(n))).count()).collect()
}

#[test]
fn a_queue_that_is_not_there_is_told_once_and_read_when_it_comes() {
    let vhost = Broker::shared().vhost("missing");
    let (place, sink, state) = (Place::new(), Sink::start(), crate::private_folder().unwrap());
    let osnl = daemon(&place, &vhost, &sink, state.path(), "");
    const MISSING: &str = "does not exist, and osnl declares nothing here";
    osnl.wait_for(MISSING);
    osnl.wait_for("attempt=3");
    assert_eq!(vhost.list_queues(), []);
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.prepare(&BrokerObjects { queue: "theirs".into(), durable: false, ..BrokerObjects::default() });
    let osnl = osnl.listening();
    publisher.notify_all(&notices(0..2));
    sink.wait_for(2, SOON);
    let log = osnl.stop();
    let told = log.lines().filter(|line| line.contains(MISSING) && !line.contains(" DEBUG "));
    assert_eq!(told.count(), 1, "{log}");
}

#[test]
fn a_stream_is_refused_and_read_once_it_is_a_queue() {
    let vhost = Broker::shared().vhost("streams");
    let (place, sink, state) = (Place::new(), Sink::start(), crate::private_folder().unwrap());
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions { durable: true });
    let arguments = json!({"x-queue-type": "stream"});
    publisher.prepare(&BrokerObjects { queue: "theirs".into(), arguments, ..BrokerObjects::default() });
    publisher.notify_all(&notices(0..1));
    let osnl = daemon(&place, &vhost, &sink, state.path(), "");
    osnl.wait_for("it is a stream, which osnl does not read: give each reader a pool of its own");
    vhost.delete_queue("theirs");
    publisher.prepare(&BrokerObjects { queue: "theirs".into(), ..BrokerObjects::default() });
    let osnl = osnl.listening();
    publisher.notify_all(&notices(1..2));
    sink.wait_for(1, SOON);
    osnl.stop();
    assert_eq!(effects(&sink, 2), [0, 1]);
}

/// The URL is that of a script on kombu.
#[test]
fn a_url_alone_shows_how_far_notifications_come() {
    let (vhost, place) = (Broker::shared().vhost("queues-url"), Place::new());
    let url = vhost.url().replace("rabbit://", "amqp://");
    let check = |url: &str, flags: &[&str], code: i32, parts: &[&str]| {
        let args = [&["queues", url, "--pause", "100ms"], flags].concat();
        let mut osnl = place.run(Path::new(env!("CARGO_BIN_EXE_osnl")), &args);
        let status = osnl.wait(SOON);
        let text = osnl.stdout() + &osnl.stderr();
        assert_eq!(status.code(), Some(code), "{flags:?}\n{text}");
        for part in parts {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("guest:guest") && !text.contains("[listener:l]"), "{text}");
    };
    let never = ["broker: 127.0.0.1:", "exchange nova", "no service has published a notification"];
    check(&url, &["-e", "nova"], 1, &never);
    check(&url, &[], 1, &never);
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify(&Notice { exchange: "nova".to_owned(), ..Notice::default() });
    let found = ["exchange nova", "queue notifications.info", "1 message, no consumer", "set_policy"];
    check(&url, &["-e", "nova", "-t", "notifications", "-p", "info"], 0, &found);
    check(&url, &[], 0, &found);
    check(&url, &["-e", "nova", "-t", "versioned_notifications"], 1, &["-> --topic notifications"]);
    check(&url, &["-e", "nova", "-p", "error"], 1, &["-> leave --priority out"]);
    check(&url, &["-e", "nvoa"], 1, &["did you mean nova?", "-> --exchange nova"]);
    check("rabbit://osnl:S3CRET@h:x/", &[], 78, &["transport URL"]);
}
