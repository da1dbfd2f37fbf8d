use std::path::Path;

use osnl_testkit::{BrokerObjects, Notice, OsloPublisher, Pty, PublisherOptions, Vhost};
use serde_json::{Value, json};

use crate::harness::{PROMPTLY, SOON};
use crate::tap::{Rig, event};

fn view(rig: &Rig, args: &[&str]) -> Pty {
    let url = rig.vhost.url();
    let args: Vec<&str> = ["tap", &url, "--exchange", "nova"].iter().chain(args).copied().collect();
    let view = start(rig, &args, (100, 24));
    view.shows(SOON, "live");
    view
}

fn start(rig: &Rig, args: &[&str], size: (u16, u16)) -> Pty {
    Pty::start(Path::new(env!("CARGO_BIN_EXE_osnl")), args, &rig.place.path(""), size)
}

fn rules(vhost: &Vhost) -> String {
    format!(
        "[listener:nova]\ntransport_url = {}\nexchange = nova\n\
         pool = osnl\n[rule:deleted]\nevent_type = ^compute\\.instance\\.delete\\.end$\nactions = d\n\
         [rule:ports]\nevent_type = ^port\\.\nactions = d\n[action:d]\ndriver = dump\npath = d\n",
        vhost.url()
    )
}

#[test]
fn a_view_lists_opens_and_finds_events_and_takes_nothing_from_anybody() {
    let mut rig = Rig::with_nova("view");
    rig.publisher.prepare(&BrokerObjects {
        exchange: "nova".to_owned(),
        queue: "others".to_owned(),
        durable: false,
        ..BrokerObjects::default()
    });
    rig.place.write("osnl.conf", rules(&rig.vhost));
    let before = (rig.vhost.list_exchanges(), rig.vhost.list_queues().len());
    let mut view = view(&rig, &["-c", "osnl.conf"]);
    rig.publisher.notify_all(&(1..4).map(event).collect::<Vec<_>>());
    rig.publisher.notify(&Notice {
        event_type: "port.create.end".into(),
        payload: json!({"port": {"id": "p-9", "name": "仮想"}}),
        ..event(0)
    });
    view.shows(SOON, "4 seen");
    for line in ["compute.instance.delete.end", "instance vm 2 i-2", "port 仮想 p-9", "bound to nova"] {
        assert!(view.picture().contains(line), "{line} in\n{}", view.picture());
    }

    the_opened_one_shows_the_verdicts(&mut view);

    view.type_in("\x1b");
    view.shows(SOON, "EVENT TYPE");
    view.type_in("/PORT\r");
    view.shows(SOON, "\"PORT\": 1 of 4");
    view.type_in("/\x15event_typ=x\r");
    view.shows(SOON, "did you mean event_type?");
    view.type_in("\x15event_type=compute\r");
    view.shows(SOON, "event_type=compute\": 3 of 4");

    view.type_in("s\x15one.jsonl\r");
    view.shows(SOON, "saved to one.jsonl");
    let saved: Value = serde_json::from_str(&rig.place.read("one.jsonl")).unwrap();
    assert!(saved["body"].as_str().unwrap().contains("S3CRET"), "{saved}");

    for command in ["explain", "replay"] {
        let args = [command, "-c", "osnl.conf", "one.jsonl"];
        let mut told = rig.place.run(Path::new(env!("CARGO_BIN_EXE_osnl")), &args);
        assert_eq!(told.wait(PROMPTLY).code(), Some(0), "{command}: {}", told.stderr());
        assert!(told.stdout().contains("rule deleted matches"), "{command}: {}", told.stdout());
        assert!(!told.stdout().contains("S3CRET"), "{command}: {}", told.stdout());
    }

    view.type_in("?");
    view.shows(SOON, "jump to the newest event");
    view.resize((80, 20));
    // crossterm may read a key that arrives with a resize only with the next key.
    view.shows(SOON, "lines 1 to 16 of");
    view.type_in("\t");
    view.shows(SOON, "PER SECOND:");
    view.type_in("q");
    assert_eq!(view.wait(PROMPTLY).code(), Some(0), "{}", view.text());
    let after = view.left_behind();
    assert!(
        after.contains("osnl tap: listening at ") && after.contains("osnl tap: 4 events shown in "),
        "{after}"
    );

    let mut others = Vec::new();
    for queue in ["notifications.info", "others"] {
        others.extend(std::iter::from_fn(|| rig.publisher.take(queue)));
    }
    assert_eq!(others.len(), 9, "four in each, and one before the other queue was there");
    assert!(others.iter().all(|message| !message.redelivered));
    osnl_testkit::wait_until(SOON, "the tap's queues to vanish", || {
        rig.vhost.list_queues().len() == before.1
    });
    assert_eq!(rig.vhost.list_exchanges(), before.0);
}

fn the_opened_one_shows_the_verdicts(view: &mut Pty) {
    view.type_in("\x1b[A\x1b[A\r");
    view.shows(SOON, "event 2");
    for line in [
        "instance_id\": \"i-2\"",
        "✓ rule deleted matches",
        "rule ports does not match: event_type is \"compute.instance.delete.end\", which does not match",
        "routing key notifications.info",
    ] {
        view.type_in("g");
        view.shows(SOON, "event type");
        let mut pages = view.picture();
        for _ in 0..4 {
            if pages.contains(line) {
                break;
            }
            view.type_in(" ");
            let now = view.picture();
            osnl_testkit::wait_until(SOON, "the next page", || {
                view.picture() != now || pages.contains(line) || at_end(view)
            });
            pages.push_str(&view.picture());
        }
        assert!(pages.contains(line), "{line} in\n{pages}");
    }
    assert!(!view.text().contains("S3CRET") && !view.text().contains("\x1b]0;"), "{}", view.text());
}

fn at_end(view: &Pty) -> bool {
    let picture = view.picture();
    picture.lines().any(|line| {
        match line.split_once("lines ").and_then(|(_, rest)| rest.split_once(" of ")) {
            Some((span, all)) => span.rsplit(' ').next() == Some(all.trim()),
            None => false,
        }
    })
}

#[test]
fn a_flood_and_an_event_of_a_megabyte_leave_the_view_usable_in_any_size() {
    let mut rig = Rig::with_nova("view-flood");
    rig.place.write("osnl.conf", rules(&rig.vhost));
    let url = rig.vhost.url();
    let osnl = Path::new(env!("CARGO_BIN_EXE_osnl"));
    let args = ["tap", &url, "--exchange", "nova", "-c", "osnl.conf"];
    let mut view = start(&rig, &args, (72, 18));
    view.shows(SOON, "live");
    let payload = json!({"instance_id": "i-1", "display_name": "仮想", "note": vec!["仮想 x".repeat(20_000); 8], "z": "the end"});
    rig.publisher.notify(&Notice { payload, ..event(0) });
    view.shows(SOON, "1 seen");
    rig.place.write(
        "one.json",
        r#"{"event_type": "port.update.end", "payload": {"port": {"id": "p", "name": "仮想"}}}"#,
    );
    let args = ["send", "--transport-url", &url, "--exchange", "nova", "--count", "4000", "one.json"];
    let mut sent = rig.place.run(osnl, &args);
    view.type_in("?");
    view.shows(SOON, "quit; a summary stays");
    view.type_in("\t");
    view.shows(SOON, "PER SECOND:");
    assert_eq!(sent.wait(SOON).code(), Some(0), "{}", sent.stderr());
    view.type_in("\t");
    view.shows(SOON, "4001 seen");
    assert!(view.picture().lines().all(|line| columns(line) <= 72), "{}", view.picture());

    view.type_in("\x1b[H\r");
    view.shows(SOON, "event 1 of 4001 seen, lines 1 to 14 of ");
    view.shows(SOON, "rules       deleted matches (1 of 2 rules); r shows");
    view.type_in("r");
    view.shows(SOON, "✓ rule deleted matches");
    view.type_in("\x1b[F");
    view.shows(SOON, "context, secrets masked");
    view.resize((200, 60));
    osnl_testkit::wait_until(SOON, "a larger picture", || {
        view.picture().lines().nth(59).is_some_and(|foot| foot.contains("Esc back"))
    });
    view.shows(SOON, "event 1 of 4001 seen, lines ");
    view.type_in("\x1b");
    view.shows(SOON, "port 仮想 p");
    view.type_in("q");
    assert_eq!(view.wait(PROMPTLY).code(), Some(0), "{}", view.left_behind());
    assert!(view.left_behind().contains("4001 events shown in "), "{}", view.left_behind());
}

fn columns(line: &str) -> usize {
    line.chars().map(|c| if ('\u{2e80}'..'\u{a000}').contains(&c) { 2 } else { 1 }).sum()
}

#[test]
fn the_terminal_is_given_back_at_every_end() {
    let rig = Rig::with_nova("view-ends");
    for (end, status) in [("q", 1), ("\x03", 1), ("TERM", 1), ("HUP", 1)] {
        let mut view = view(&rig, &["--rates"]);
        view.shows(SOON, "PER SECOND:");
        match end {
            "TERM" | "HUP" => view.signal(end),
            keys => view.type_in(keys),
        }
        assert_eq!(view.wait(PROMPTLY).code(), Some(status), "{end:?}: nothing was shown\n{}", view.text());
        let after = view.left_behind();
        assert!(after.contains("osnl tap: 0 events shown in "), "{end:?}: {after}");
    }
    let closed = format!("rabbit://127.0.0.1:{}/", osnl_testkit::closed_port());
    let mut view = start(&rig, &["tap", &closed], (100, 24));
    view.shows(SOON, "cannot connect: 127.0.0.1:");
    assert!(view.picture().contains("osnl tap  connecting"), "{}", view.picture());
    view.type_in("q");
    assert_eq!(view.wait(PROMPTLY).code(), Some(69), "{}", view.text());
    assert!(view.left_behind().contains("osnl tap: cannot connect: 127.0.0.1:"), "{}", view.left_behind());

    let refused = rig.vhost.url().replace("guest:guest@", "guest:S3CRET@");
    let mut view = start(&rig, &["tap", &refused], (100, 24));
    assert_eq!(view.wait(PROMPTLY).code(), Some(69), "{}", view.text());
    let after = view.left_behind();
    assert!(after.contains("login refused") && !view.text().contains("S3CRET"), "{after}");
}

#[test]
fn a_lost_connection_and_a_stop_are_survived() {
    let mut rig = Rig::with_nova("view-lost");
    let mut view = view(&rig, &[]);
    rig.publisher.notify(&event(1));
    view.shows(SOON, "1 seen");
    rig.vhost.close_all_connections("maintenance");
    view.shows(SOON, "1 gaps");
    view.shows(SOON, "live");
    assert!(view.text().contains("\x1b[7m"), "the selected line is marked by colour too");
    view.type_in("m");
    view.shows(SOON, "connection lost: 320 CONNECTION_FORCED - maintenance");
    let mut publisher = OsloPublisher::start(&rig.vhost.url(), PublisherOptions::default());
    publisher.notify(&event(2));
    view.shows(SOON, "2 seen");
    view.type_in("p");
    view.shows(SOON, "paused, 0 passed");
    publisher.notify(&event(3));
    view.shows(SOON, "paused, 1 passed");
    // The kernel does not stop a session leader, so the screen is left and entered again at once.
    view.type_in("\x1a");
    osnl_testkit::wait_until(SOON, "a second start", || view.text().matches("\x1b[?1049h").count() == 2);
    publisher.notify(&event(3));
    view.shows(SOON, "paused, 2 passed");
    assert!(view.picture().contains("osnl tap"), "{}", view.picture());
    view.type_in("q");
    assert_eq!(view.wait(PROMPTLY).code(), Some(0), "{}", view.text());
    assert!(view.left_behind().contains("4 events shown, 1 gap of "), "{}", view.left_behind());
}
