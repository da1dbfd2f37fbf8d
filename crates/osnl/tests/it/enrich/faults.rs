//! A cloud that is missing, slow, or busy: the delivery waits, and continues by itself.

use std::time::{Duration, Instant};

use osnl_testkit::openstack::Openstack;
use osnl_testkit::{Reply, wait_until};

use super::{BODY, SERVERS, Stage};
use crate::harness::SOON;

#[test]
fn a_keystone_that_is_down_at_the_start_is_waited_for() {
    let stage = Stage::new();
    stage.openstack.sink().stop();
    let daemon = stage.start(&stage.conf(BODY, ""));
    stage.port(1, Openstack::id("server"));
    daemon.wait_until("it was tried more often than there are attempts", |c| c.failures.get() > 3);
    daemon.wait_for_log("[enrich:server] http://127.0.0.1");
    assert_eq!((daemon.counters.dead.get(), stage.target.requests().len()), (0, 0));
    stage.openstack.sink().restart();
    daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    assert_eq!(stage.bodies(), [r#"{"host": "web 1"}"#]);
}

#[test]
fn who_says_later_is_asked_later() {
    let stage = Stage::new();
    let daemon = stage.start(&stage.conf(BODY, ""));
    let headers = vec![("Retry-After".to_owned(), "2".to_owned())];
    stage.openstack.fail("/compute", Reply::StatusWith { status: 429, headers, body: Vec::new() });
    for n in 0..3 {
        stage.port(n, Openstack::id("server"));
    }
    wait_until(SOON, "nova is asked", || stage.openstack.count(SERVERS) > 0);
    let began = Instant::now();
    daemon.wait_for_log("status 429");
    stage.openstack.heal();
    daemon.wait_until("all are delivered", |c| c.delivered.get() == 3);
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!((daemon.counters.dead.get(), stage.bodies().len()), (0, 3));
    daemon.stop().unwrap();
}

#[test]
fn a_catalogue_without_the_service_says_what_it_has() {
    let stage = Stage::new();
    stage.openstack.without("compute");
    let daemon = stage.start(&stage.conf(BODY, ""));
    stage.port(1, Openstack::id("server"));
    daemon.wait_for_log("no service of type compute; it has identity, network, image, volumev3, baremetal");
    assert_eq!(daemon.counters.dead.get(), 0);
    daemon.stop().unwrap();
}
