use std::path::{Path, PathBuf};
use std::process::Command;

use osnl_testkit::{
    Broker, OsloPublisher, PrintedMessage, PublisherOptions, RawMessage, Sink, Vhost, fixture, wait_until,
};

use crate::harness::{PROMPTLY, Place, QUEUE, SOON, conf, instance, notices, settled};

const OSNL: &str = env!("CARGO_BIN_EXE_osnl");

/// Each name of the program, as a word, a link, and a copy, on `k2hr3_osnl.conf`.
fn programs(place: &Place) -> [(PathBuf, &'static [&'static str]); 5] {
    let link = |name: &str| {
        let link = place.path(name);
        std::os::unix::fs::symlink(OSNL, &link).unwrap();
        link
    };
    // `cp` makes the copy: a file that this process wrote could still be open in a forked child,
    // and would not start.
    std::fs::create_dir(place.path("bin")).unwrap();
    let copy = place.path("bin/k2hr3_osnl");
    assert!(Command::new("cp").args([Path::new(OSNL), &copy]).status().unwrap().success());
    [
        (OSNL.into(), &["k2hr3-osnl", "-c", "k2hr3_osnl.conf"]),
        (OSNL.into(), &["k2hr3_osnl", "--config-file=k2hr3_osnl.conf"]),
        (link("k2hr3_osnl"), &["-c", "k2hr3_osnl.conf"]),
        (link("k2hr3-osnl"), &["-ck2hr3_osnl.conf"]),
        (copy, &["--config", "k2hr3_osnl.conf"]),
    ]
}

#[test]
fn under_every_name_a_deleted_port_is_a_request_and_a_signal_the_end() {
    let vhost = Broker::shared().vhost("names");
    let sink = Sink::start();
    let place = Place::new();
    place.write("k2hr3_osnl.conf", conf(&vhost.url(), &sink.url("/v1/role"), ""));
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let mut count = 0;
    for (program, args) in &programs(&place) {
        for signal in ["TERM", "INT"] {
            let mut osnl = place.run(program, args).listening();
            publisher.notify_all(&notices(count..count + 1));
            count += 1;
            let made = sink.wait_for(count, SOON);
            let cuk = instance(count - 1);
            let expected = format!("/v1/role?extra=openstack-auto-v1&cuk={cuk}&host=%5B%2210.0.0.1%22%5D");
            assert_eq!((&*made[count - 1].method, &*made[count - 1].target), ("DELETE", &*expected));
            settled(&vhost, QUEUE);
            osnl.signal(signal);
            let status = osnl.wait(PROMPTLY);
            assert_eq!(status.code(), Some(0), "{program:?} {signal}\n{}", osnl.stderr());
            assert_eq!(osnl.stdout(), "", "{program:?}");
            check_log(&osnl.stderr());
        }
    }
    assert_eq!(sink.requests().len(), count);
}

fn is_consumed(vhost: &Vhost) -> bool {
    vhost.list_queues().iter().any(|queue| queue.name == QUEUE && queue.consumers == 1)
}

#[test]
fn under_every_name_the_manuals_file_and_each_of_its_messages_are_a_request() {
    for message in PrintedMessage::all() {
        check_printed(&message);
    }
}

fn check_printed(message: &PrintedMessage) {
    let vhost = Broker::shared().vhost("manual");
    let sink = Sink::start();
    let place = Place::new();
    let text = message
        .conf(&fixture::text("k2hr3/manual/k2hr3_osnl.conf"))
        .replace("rabbit://user:pass@127.0.0.1:5672/", &vhost.url())
        .replace("https://localhost/v1/role", &sink.url("/v1/role"));
    place.write("k2hr3_osnl.conf", text);
    let args = ["config", "show", "--show-secrets", "--k2hr3-osnl", "k2hr3_osnl.conf"];
    let mut shown = place.run(Path::new(OSNL), &args);
    assert_eq!(shown.wait(SOON).code(), Some(0), "{}", shown.stderr());
    place.write("osnl.conf", shown.stdout());
    let native: (PathBuf, &[&str]) = (OSNL.into(), &["run", "-c", "osnl.conf"]);

    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    for (number, (program, args)) in programs(&place).into_iter().chain([native]).enumerate() {
        // The file's level is error: the log does not tell that it listens.
        let osnl = place.run(&program, args);
        wait_until(SOON, &format!("{program:?} {args:?} consumes"), || is_consumed(&vhost));
        publisher.raw(&RawMessage {
            exchange: message.exchange.clone(),
            routing_key: format!("{}.info", message.topic),
            body: message.body.clone().into_bytes(),
            ..RawMessage::default()
        });
        let made = &sink.wait_for(number + 1, SOON)[number];
        assert_eq!((&*made.method, &*made.target), ("DELETE", &*message.request), "{program:?} {args:?}");
        settled(&vhost, QUEUE);
        osnl.stop();
        wait_until(SOON, "its consumer is gone", || !is_consumed(&vhost));
    }
}

#[track_caller]
fn check_log(log: &str) {
    for line in log.lines() {
        assert!(has_shape(line), "{line}\n{log}");
    }
    let info = |word: &str| log.lines().any(|line| line[24..].starts_with("INFO ") && line.contains(word));
    assert!(info(" Starting"), "{log}");
    assert!(info(" Stopping"), "{log}");
}

fn has_shape(line: &str) -> bool {
    let time = "0000-00-00 00:00:00,000 ";
    let Some((head, rest)) = line.split_at_checked(time.len()) else { return false };
    let timed = head.bytes().zip(time.bytes()).all(|(found, wanted)| match wanted {
        b'0' => found.is_ascii_digit(),
        _ => found == wanted,
    });
    let mut words = rest.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (level, place, message) = (word(), word(), word());
    let (name, number) = place.rsplit_once(':').unwrap_or_default();
    timed
        && ["DEBUG", "INFO", "WARNING", "ERROR"].contains(&level)
        && !name.is_empty()
        && number.parse::<u32>().is_ok()
        && !message.is_empty()
}

#[test]
fn the_shape_of_a_line_is_told_from_others() {
    let check = |line: &str, expected: bool| assert_eq!(has_shape(line), expected, "{line}");
    check("2026-11-20 06:41:49,007 INFO k2hr3_osnl:237 Starting", true);
    check("2026-11-20 06:41:49,007 WARNING osnl.listener:1 a b=c", true);
    check("2026-11-20 06:41:49.007 INFO k2hr3_osnl:237 Starting", false);
    check("2026-11-20T06:41:49,007 INFO k2hr3_osnl:237 Starting", false);
    check("2026-11-20 06:41:49,007 WARN k2hr3_osnl:237 Starting", false);
    check("2026-11-20 06:41:49,007 INFO k2hr3_osnl Starting", false);
    check("2026-11-20 06:41:49,007 INFO k2hr3_osnl:237", false);
    check("connection refused", false);
}
