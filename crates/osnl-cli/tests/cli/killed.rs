//! A kill of osnl during its work: the broker delivers unsettled messages again.

use std::process::Command;

use osnl_testkit::{Broker, OsloPublisher, PublisherOptions, Reply, RestartableProgram, Sink};

use crate::harness::{PROMPTLY, Place, QUEUE, SOON, conf, depth, instance, notices, settled};

#[test]
fn killed_with_events_in_work_it_takes_up_all_of_them_and_asked_to_stop_it_repeats_none() {
    let vhost = Broker::shared().vhost("killed");
    let sink = Sink::start();
    sink.reply_with(Reply::Status(503));
    let place = Place::new();
    place.write("osnl.conf", conf(&vhost.url(), &sink.url("/v1/role"), ""));
    let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
    command.args(["k2hr3-osnl", "-c"]).arg(place.path("osnl.conf"));
    let mut osnl = RestartableProgram::start(command);
    osnl.wait_for("listening at", 1, SOON);
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&notices(0..20));
    sink.wait_for(3, SOON);
    depth(&vhost, QUEUE, (0, 20));

    let first = osnl.id();
    osnl.kill9();
    assert!(!osnl.is_running());
    depth(&vhost, QUEUE, (20, 0));
    sink.reply_with(Reply::Status(204));
    let tried = sink.requests().len();
    osnl.start_again();
    assert_ne!(osnl.id(), first);
    sink.wait_for(tried + 20, SOON);
    settled(&vhost, QUEUE);

    osnl.signal("TERM");
    assert_eq!(osnl.wait(PROMPTLY).code(), Some(0), "{}", osnl.output());
    publisher.notify_all(&notices(20..22));
    osnl.start_again();
    sink.wait_for(tried + 22, SOON);
    settled(&vhost, QUEUE);
    let requests = sink.requests();
    let asked = |n| requests[tried..].iter().filter(|request| request.target.contains(&instance(n))).count();
    assert_eq!((0..22).map(asked).collect::<Vec<_>>(), vec![1; 22]);
}
