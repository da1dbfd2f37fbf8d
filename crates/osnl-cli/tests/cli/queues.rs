use std::path::Path;

use osnl_testkit::{Broker, BrokerObjects, OsloPublisher, PublisherOptions, Reply, Sink, Vhost, wait_until};
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
fn killed_while_it_reads_a_stream_it_repeats_and_never_loses() {
    let vhost = Broker::shared().vhost("killed");
    let (place, sink, state) = (Place::new(), Sink::start(), crate::private_folder().unwrap());
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions { durable: true });
    let arguments = json!({"x-queue-type": "stream"});
    publisher.prepare(&BrokerObjects { queue: "theirs".into(), arguments, ..BrokerObjects::default() });
    publisher.notify_all(&notices(0..30));
    let start = || daemon(&place, &vhost, &sink, state.path(), "queue_type = stream\nstream_offset = first");
    for round in 0..3 {
        sink.reply_with(Reply::Status(204));
        let tried = sink.requests().len();
        let osnl = start();
        sink.wait_for(tried + 1, SOON);
        sink.reply_with(Reply::Hang);
        let n = 30 + round * 10;
        publisher.notify_all(&notices(n..n + 10));
        osnl.signal("KILL");
        drop(osnl);
    }
    sink.reply_with(Reply::Status(204));
    // An attempt that hung until the kill counts as an effect too, and its event is read once more.
    let tried = sink.requests().len();
    let osnl = start();
    let is_last_repeated = || sink.requests()[tried..].iter().any(|r| r.target.contains(&instance(59)));
    wait_until(SOON, "all have had their effect", || {
        is_last_repeated() && effects(&sink, 60).iter().all(|n| *n >= 1)
    });
    osnl.stop();
    let made = sink.requests().len();
    publisher.notify_all(&notices(60..61));
    let osnl = start();
    wait_until(SOON, "the last has had its effect", || effects(&sink, 61)[60] == 1);
    osnl.stop();
    assert_eq!(sink.requests().len(), made + 1);
}
