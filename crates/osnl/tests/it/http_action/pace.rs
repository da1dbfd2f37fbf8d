use std::time::{Duration, Instant};

use osnl_testkit::{Reply, Sink};
use osnl_transport::MemoryBroker;

use super::deliveries::{publish, start};

fn seen(lines: &str, reply: Reply, events: usize) -> (Vec<Instant>, usize) {
    let sink = Sink::start();
    sink.reply_with(reply);
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let daemon = start(folder.path(), &broker, &format!("url = {}\nidle = 1m\n{lines}", sink.url("/")));
    (0..events).for_each(|n| publish(&broker, &format!("vm-{n}")));
    daemon.wait_until("all are delivered", |c| c.delivered.get() == u64::try_from(events).unwrap());
    daemon.stop().unwrap();
    let requests = sink.requests();
    let mut times: Vec<Instant> = requests.iter().map(|request| request.at).collect();
    times.sort();
    assert_eq!(times.len(), events);
    (times, requests.iter().map(|request| request.connection).max().unwrap())
}

#[test]
fn concurrency_bounds_the_requests_and_the_connections() {
    const ANSWER: Duration = Duration::from_millis(40);
    let reply = || Reply::After(ANSWER, Box::new(Reply::Status(204)));
    for most in [1, 3] {
        let (times, connections) = seen(&format!("concurrency = {most}"), reply(), 12);
        // One more request is sent only after an answer to an earlier one.
        assert!(times.windows(most + 1).all(|some| some[most] - some[0] >= ANSWER), "{times:?}");
        assert_eq!(connections, most, "as many as there are requests at once, and kept");
    }
}

#[test]
fn rate_bounds_the_requests_of_a_time_whatever_waits() {
    const WITHIN: Duration = Duration::from_secs(1);
    let began = Instant::now();
    let (times, _) = seen("rate = 5 per 1s", Reply::Status(204), 12);
    // The bound is loose, because requests take different times to arrive.
    assert!(times.windows(6).all(|six| six[5] - six[0] >= WITHIN / 2), "{times:?}");
    assert!(began.elapsed() >= WITHIN * 2);
}
