//! Upstream's transient queue and a broker that dies: what had reached us has its effect, and the gap is told.

use osnl_testkit::{Broker, Options, Publisher, Reply, Sink, wait_until};

use crate::harness::{Place, QUEUE, SOON, conf, depth, instance, notices, settled};

#[test]
fn after_a_brokers_death_what_had_reached_us_is_delivered_and_the_gap_is_told() {
    let broker = Broker::start();
    let vhost = broker.root();
    let sink = Sink::start();
    sink.reply_with(Reply::Status(500));
    let place = Place::new();
    let text = conf(&vhost.url(), &sink.url("/v1/role"), "retry_interval_seconds = 1");
    let osnl = place.daemon("k", &text).listening();
    osnl.wait_for(
        "the queue is transient, as k2hr3_osnl declares it: a restart of the broker loses what waits",
    );
    Publisher::start(&vhost.url(), Options::default()).notify_all(&notices(0..10));
    depth(&vhost, QUEUE, (0, 10));
    sink.wait_for(2, SOON);

    broker.kill9();
    osnl.wait_for("connecting again");
    broker.start_again();
    osnl.wait_for("the queue was gone and has been made anew");
    let tried = sink.requests().len();
    sink.reply_with(Reply::Status(204));
    let asked = |n: usize| {
        let made = sink.requests();
        made[tried..].iter().any(|request| request.target.contains(&instance(n)))
    };
    wait_until(SOON, "every message to have its effect", || (0..10).all(asked));
    // The new queue works like the old one.
    Publisher::start(&vhost.url(), Options::default()).notify_all(&notices(10..11));
    wait_until(SOON, "a message after the gap", || asked(10));
    settled(&vhost, QUEUE);

    let log = osnl.stop();
    let gap = log.lines().find(|line| line.contains("made anew")).unwrap();
    let seconds = gap.split("published in the ").nth(1).unwrap().split(" s since").next().unwrap();
    assert!(seconds.trim().parse::<f64>().unwrap() > 0.0, "{gap}");
    for part in [" WARNING osnl.", "is lost", "declared durable", "queue.name=k2hr3_osnl"] {
        assert!(gap.contains(part), "{part} is not in\n{gap}");
    }
    assert!(!log.contains("dead letter"), "{log}");
    assert!(log.contains(" delivered=11"), "{log}");
}
