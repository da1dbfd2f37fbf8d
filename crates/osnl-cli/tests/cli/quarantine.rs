//! A message beyond a budget goes through the rules once the option is raised, with a daemon and without.

use osnl_testkit::{Notice, wait_until};

use crate::reloading::{ACTION, LISTENER, RULE, Rig, SOON, notice};

/// The listener, with bodies of at most so much.
fn listener(max_body: &str) -> String {
    format!("{LISTENER}max_body = {max_body}\n")
}

/// About a resource, and longer than 4 KiB.
fn long(key: usize) -> Notice {
    let mut notice = notice(key, 1);
    notice.payload["padding"] = "x".repeat(10_000).into();
    notice
}

#[track_caller]
fn is_kept(rig: &Rig, count: u64) {
    wait_until(SOON, &format!("{count} in quarantine"), || rig.status()["journal"]["unreadable"] == count);
}

#[test]
fn a_message_that_was_too_large_is_retried_once_max_body_is_raised() {
    let mut rig = Rig::start("quarantine-retry");
    let (small, large) = (listener("4KiB"), listener("1MiB"));
    rig.write(&[&small, RULE, ACTION]);
    rig.reload(0);
    rig.listening("neutron");
    rig.publisher.notify_all(&[long(1)]);
    is_kept(&rig, 1);
    let log = rig.log();
    let line = log.lines().find(|line| line.contains("message cannot be read; set aside")).unwrap();
    for part in ["max_body", "exchange.name=neutron", "publisher.id=", "message.id=", "message.digest="] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let (code, told, _) = rig.ask(&["quarantine", "retry", "--all"]);
    assert!(code == Some(1) && told.contains("max_body"), "{told}");

    // By the daemon that runs.
    rig.write(&[&large, RULE, ACTION]);
    rig.reload(0);
    let (code, told, failed) = rig.ask(&["quarantine", "retry", "--all", "--dry-run"]);
    assert_eq!((code, told.as_str()), (Some(0), "1 message would be appended to the journal\n"), "{failed}");
    let (code, told, failed) = rig.ask(&["quarantine", "retry", "--all"]);
    assert_eq!((code, told.as_str()), (Some(0), "1 message appended to the journal\n"), "{failed}");
    wait_until(SOON, "its effect is there", || rig.sink.requests().len() == 1);
    is_kept(&rig, 0);

    // On the journal of one that is stopped.
    rig.write(&[&small, RULE, ACTION]);
    rig.reload(0);
    rig.listening("neutron");
    rig.publisher.notify_all(&[long(2)]);
    is_kept(&rig, 1);
    rig.signal("TERM");
    rig.daemon.take().unwrap().wait().unwrap();
    let (code, told, _) = rig.ask(&["quarantine", "retry", "1", "2", "3"]);
    assert!(code == Some(1) && told.contains("there is none of this number"), "{told}");
    rig.write(&[&large, RULE, ACTION]);
    let (code, told, failed) = rig.ask(&["quarantine", "retry", "--reason", "max_body"]);
    assert_eq!((code, told.as_str()), (Some(0), "1 message appended to the journal\n"), "{failed}");
    rig.run();
    wait_until(SOON, "its effect is there too", || rig.sink.requests().len() == 2);
    is_kept(&rig, 0);
}
