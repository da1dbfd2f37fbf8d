//! A message above a limit is retried once the option is raised, with and without a daemon. An
//! accepted message is delivered even under a lower limit. Only the beginning of a huge message is
//! kept.

use osnl_model::BodyDigest;
use osnl_testkit::{Notice, RawMessage, Reply, wait_until};

use crate::reloading::{ACTION, LISTENER, RULE, Rig, SOON, notice};

fn listener(max_body: &str) -> String {
    format!("{LISTENER}max_body = {max_body}\n")
}

fn long(key: usize) -> Notice {
    let mut notice = notice(key, 1);
    notice.payload["padding"] = "x".repeat(10_000).into();
    notice
}

#[track_caller]
fn is_kept(rig: &Rig, count: u64) {
    wait_until(SOON, &format!("{count} in quarantine"), || rig.status()["journal"]["quarantined"] == count);
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
    let told = "message cannot be read; set aside";
    wait_until(SOON, "the log tells of it", || rig.log().contains(told));
    let log = rig.log();
    let line = log.lines().find(|line| line.contains(told)).unwrap();
    for part in ["max_body", "exchange.name=neutron", "publisher.id=", "message.id=", "message.digest="] {
        assert!(line.contains(part), "{part}: {line}");
    }
    rig.check(&[("quarantine retry --all", 1, "max_body")]);

    // The message must stay, because an undecided rule would otherwise lose it.
    let undecided =
        format!("{}when = payload.padding + 1 > 1\n", RULE.replace("[rule:r]", "[rule:undecided]"));
    rig.write(&[&large, RULE, &undecided, ACTION]);
    rig.reload(0);
    rig.check(&[("quarantine retry --all", 1, "rule undecided cannot be decided: when")]);
    is_kept(&rig, 1);

    rig.write(&[&large, RULE, ACTION]);
    rig.reload(0);
    // The numbers of a request are in its address.
    let ids: String = (1..1800).map(|id| format!(" {}", 10_000_000 + id)).collect();
    rig.check(&[
        ("quarantine retry --all --dry-run", 0, "1 message would be stored as events\n"),
        (&format!("quarantine retry --dry-run 1{ids}"), 1, "1 message would be stored as events\n"),
        ("quarantine retry --all", 0, "1 message stored as events\n"),
    ]);
    wait_until(SOON, "its effect is there", || rig.sink.requests().len() == 1);
    is_kept(&rig, 0);

    rig.write(&[&small, RULE, ACTION]);
    rig.reload(0);
    rig.listening("neutron");
    rig.publisher.notify_all(&[long(2)]);
    is_kept(&rig, 1);
    rig.end("TERM");
    rig.check(&[("quarantine retry 1 2 3", 1, "there is no message with this number")]);
    rig.write(&[&large, RULE, ACTION]);
    rig.check(&[("quarantine retry --reason max_body", 0, "1 message stored as events\n")]);
    rig.run();
    wait_until(SOON, "its effect is there too", || rig.sink.requests().len() == 2);
    is_kept(&rig, 0);
}

#[test]
fn an_accepted_event_is_delivered_after_a_restart_with_a_lower_max_body() {
    let mut rig = Rig::start("quarantine-lower");
    rig.sink.reply_with(Reply::Status(503));
    rig.publisher.notify_all(&[long(1)]);
    wait_until(SOON, "its first attempt", || !rig.sink.requests().is_empty());
    rig.end("TERM");
    let asked = rig.sink.requests().len();
    rig.write(&[&listener("4KiB"), RULE, ACTION]);
    rig.sink.reply_with(Reply::Status(204));
    rig.run();
    wait_until(SOON, "its effect", || rig.sink.requests().len() > asked);
    wait_until(SOON, "the end of it", || rig.target("roles")["pending"] == 0);
    assert_eq!(rig.target("roles")["dead"], 0, "{}", rig.log());
}

/// The next start would take such a file for the journal's own.
#[test]
fn an_export_takes_no_name_of_a_file_that_the_journal_itself_uses() {
    let mut rig = Rig::with("quarantine-export", &[&listener("4KiB"), RULE, ACTION]);
    rig.publisher.notify_all(&[long(1)]);
    is_kept(&rig, 1);
    let own = "belongs to the journal itself; name another file";
    let check = |rig: &Rig| {
        rig.check(&[
            ("quarantine export 1 -o state/journal.db.saved", 1, own),
            ("quarantine export 1 -o state/journal.db.dead.jsonl.1 --state-dir state", 1, own),
            ("quarantine export 1 -o state/journal.db.new --journal state/journal.db", 1, own),
        ]);
    };
    check(&rig);
    rig.end("TERM");
    check(&rig);
    for more in ["saved", "dead.jsonl.1", "new"] {
        assert!(!rig.home.path().join(format!("state/journal.db.{more}")).exists(), "{more}");
    }
    rig.check(&[("quarantine export 1 -o state/journal.db.body", 0, "")]);
}

/// A message above 16 MiB is never in memory as a whole.
#[test]
fn of_a_huge_message_the_beginning_is_kept_and_the_next_has_its_effect() {
    let mut rig = Rig::start("quarantine-cut");
    let head = r#"{"event_type": "port.delete.end", "publisher_id": "network.evil", "payload": {"x": ""#;
    let body = [head, &"x".repeat(17 << 20), "\"}}"].concat().into_bytes();
    let (bytes, digest) = (body.len(), BodyDigest::new(&body));
    let routing_key = "notifications.info".into();
    rig.publisher.raw(&RawMessage { exchange: "neutron".into(), routing_key, body, ..RawMessage::default() });
    rig.publish([(1, 1)]);
    wait_until(SOON, "the effect of the event behind it", || rig.sink.requests().len() == 1);
    is_kept(&rig, 1);
    let reason = format!("the body has {bytes} bytes; the limit is 4194304 (option max_body)");
    let body = format!("{bytes} bytes, digest {digest}, of which the first 65536 are kept");
    rig.check(&[
        ("quarantine show 1", 0, &reason),
        ("quarantine show 1", 0, &body),
        ("quarantine show 1", 0, "network.evil"),
        ("quarantine export 1 -o body", 1, "these are the first 65536"),
        ("quarantine retry 1", 1, "only the beginning"),
    ]);
    assert_eq!(std::fs::metadata(rig.home.path().join("body")).unwrap().len(), 65536);
}
