use std::process::{Command, Stdio};
use std::sync::OnceLock;

use osnl_testkit::{
    Broker, OsloPublisher, PublisherOptions, Reply, Sink, Vhost, closed_port, free_port, wait_until,
};
use serde_json::Value;

use crate::harness::{Osnl, Place, SOON, notices};

pub(crate) fn node() -> &'static (Broker, u16) {
    static NODE: OnceLock<(Broker, u16)> = OnceLock::new();
    NODE.get_or_init(|| {
        let port = free_port();
        let broker = Broker::start_with_management(port);
        for (user, password, tag) in [("monitor", "m0n:@/", "monitoring"), ("plain", "p", "other")] {
            broker.ctl(&["add_user", user, password]);
            broker.root().set_tag(user, tag);
        }
        (broker, port)
    })
}

fn conf(vhost: &Vhost, management: &str, more: &str) -> String {
    format!(
        "[journal]\nconnection = memory://\n[DEFAULT]\nstate_dir = STATE\n[listener:l]\ntransport_url = {}\n\
         exchange = neutron\ndeclare = create\npool = osnl\n{management}\n{more}\n[rule:r]\nactions = a\n[action:a]\ndriver = dump\n",
        vhost.url()
    )
}

fn write(place: &Place, text: &str) {
    let state = place.path("state").display().to_string();
    place.write("osnl.conf", text.replace("STATE", &state));
}

fn osnl(place: &Place, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
    command.env_clear().env("HOME", place.path("")).current_dir(place.path("")).stdin(Stdio::null());
    let output = command.args(args).args(["-c", "osnl.conf"]).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

fn checked(place: &Place) -> Vec<String> {
    let (_, text) = osnl(place, &["check", "--connect"]);
    assert!(!text.contains("m0n"), "{text}");
    let of_queue = |line: &&str| {
        line.contains("] management API")
            || line.contains("] queue osnl: policy ")
            || line.contains("] queue osnl: operator policy ")
    };
    text.lines().filter(of_queue).map(str::to_owned).collect()
}

fn status(place: &Place) -> Value {
    let (_, text) = osnl(place, &["status", "--format", "json"]);
    serde_json::from_str(&text).unwrap_or_default()
}

fn run(place: &Place) -> Osnl {
    place.run(std::path::Path::new(env!("CARGO_BIN_EXE_osnl")), &["run", "-c", "osnl.conf"])
}

fn url(login: &str, port: u16) -> String {
    format!("management_url = http://{login}127.0.0.1:{port}/")
}

const TO_D: &str = r#"{"message-ttl":60000,"dead-letter-exchange":"d"}"#;

#[test]
fn what_the_broker_adds_to_a_queue_is_said_by_check_and_status() {
    let (broker, port) = node();
    let monitor = url("monitor:m0n%3A%40%2F@", *port);
    let check = |name: &str, prepare: fn(&Vhost), more: &str, expected: &[&str]| {
        let vhost = broker.vhost(name);
        vhost.set_permissions("monitor", ["^$"; 3]);
        prepare(&vhost);
        let place = Place::new();
        write(&place, &conf(&vhost, &monitor, more));
        let found = checked(&place);
        assert_eq!(
            found[0],
            "ok       [listener:l] management API, queue osnl: is asked when the queue exists"
        );
        assert!(found[1..].iter().all(|line| line.contains("queue osnl.dead: is asked when")), "{found:?}");
        let daemon = run(&place);
        let is_known = || status(&place)["listeners"][0]["management"]["status"] == "known";
        wait_until(SOON * 2, "the API has told all", is_known);
        let (known, shown, lines) = (status(&place), osnl(&place, &["status"]), checked(&place));
        assert_eq!(known["incidents"].as_array().unwrap().len(), expected.len(), "{name}: {known:#}");
        for (incident, words) in known["incidents"].as_array().unwrap().iter().zip(expected) {
            let [what, why, command] =
                ["what", "why", "command"].map(|member| incident[member].as_str().unwrap());
            assert!(format!("{what}: {why}").contains(words), "{name}: {incident}");
            let lines_of = format!("!    {what}\nwhy  {why}\ndo   {command}\n");
            assert!(shown.1.contains(&lines_of), "{name}: {lines_of}\n{}", shown.1);
            let seen = what.splitn(3, ": ").nth(2).unwrap();
            let warning = format!("warning  [listener:l] queue osnl: {seen}: {why}; {command}");
            assert!(lines.contains(&warning), "{name}: {warning}\n{lines:#?}");
        }
        assert_eq!(shown.0, Some(i32::from(!expected.is_empty())), "{name}: {}", shown.1);
        assert_eq!(shown.1.contains("all is well"), expected.is_empty(), "{name}: {}", shown.1);
        assert!(!shown.1.contains("unknown"), "{name}: {}", shown.1);
        let is_asked = |line: &String| line.starts_with("ok       [listener:l] management API, queue osnl: ");
        assert!(lines.iter().any(is_asked), "{lines:?}");
        assert!(!daemon.stderr().contains("m0n"), "{}", daemon.stderr());
        (vhost, place, daemon, known)
    };
    // In parallel, because each waits for its daemon's next request to the API.
    let (vhost, place, daemon, known) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (.., status) = check("plain", |_| {}, "", &[]);
            let known = &status["listeners"][0]["management"];
            let version = broker.root().greeting()[1].clone();
            assert_eq!(
                (&known["version"], &known["queues"][0]["type"]),
                (&version.into(), &"classic".into())
            );
        });
        scope.spawn(|| {
            check(
                "policy",
                |vhost| vhost.set_policy("ttl", "^osnl$", TO_D),
                "",
                &["policy \"ttl\" sets message-ttl = 60000: a message that waits for 60 s goes to exchange \"d\""],
            )
        });
        scope.spawn(|| {
            check(
                "quorum",
                |vhost| vhost.set_policy("limit", "^osnl$", r#"{"delivery-limit":20}"#),
                "queue_type = quorum",
                &["policy \"limit\" sets delivery-limit = 20: a message that returns more than 20 times is dropped"],
            )
        });
        check(
            "operator",
            |vhost| vhost.set_operator_policy("most", "^osnl$", r#"{"max-length":5}"#),
            "",
            &[
                "operator policy \"most\" sets max-length = 5: beyond 5 messages the oldest message is dropped",
            ],
        )
    });
    let remedy = known["incidents"][0]["command"].as_str().unwrap();
    let words: Vec<String> = remedy.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect();
    assert_eq!(words[0], "rabbitmqctl", "{remedy}");
    let words: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    broker.ctl(&words);
    wait_until(SOON, "the broker has the statistics", || checked(&place).len() == 1);
    drop(daemon);
    drop(vhost);
}

#[test]
fn an_answer_that_is_missing_is_unknown_and_says_what_to_do() {
    let (broker, port) = node();
    let check = &|management: &str, reason: &str, remedy: &str| {
        let vhost = broker.vhost("unknown");
        let remedy = &remedy.replace("VHOST", vhost.name());
        let place = Place::new();
        write(&place, &conf(&vhost, management, ""));
        let _daemon = run(&place);
        let seen = || status(&place)["listeners"][0].clone();
        wait_until(SOON, "the listener reads, and the API was asked", || {
            let listener = seen();
            let found = listener["management"]["reason"].as_str();
            listener["state"] == "listening" && found.is_some_and(|found| found.contains(reason))
        });
        let found = seen()["management"].clone();
        assert_eq!(found["status"], "unknown", "{found:#}");
        assert!(found["remedy"].as_str().unwrap().contains(remedy), "{found:#}");
        let (code, text) = osnl(&place, &["status"]);
        assert!(text.contains("  l: policies and delivery limit are unknown: "), "{text}");
        assert_eq!(code, Some(0), "a default installation has no alarm: {text}");
        let lines = checked(&place);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let begin = "untested [listener:l] management API";
        assert!(lines[0].starts_with(begin) && lines[0].contains(reason), "{lines:?}");
        assert!(lines[0].contains(remedy), "{lines:?}");
    };
    let blind = "rabbitmqctl set_permissions -p VHOST monitor '^$' '^$' '^$'";
    let unset = "in [listener:l] of an osnl.conf: management_url = https://HOST:15671/";
    std::thread::scope(|scope| {
        for (management, reason, remedy) in [
            (String::new(), "management_url is not set", unset),
            (
                url("plain:p@", *port),
                "401, the user has no tag",
                "rabbitmqctl set_user_tags plain monitoring",
            ),
            (url("monitor:m0n%3A%40%2F@", *port), "the user may not see the virtual host", blind),
            (url("monitor:wrong@", *port), "401, the login is refused", "authenticate_user monitor"),
            (url("", closed_port()), "127.0.0.1", "rabbitmq-plugins enable rabbitmq_management"),
        ] {
            scope.spawn(move || check(&management, reason, remedy));
        }
    });
    let other = url("", *port);
    let shared = Broker::shared().vhost("unknown-other");
    let place = Place::new();
    write(&place, &conf(&shared, &other, ""));
    let lines = checked(&place);
    assert!(lines[0].contains("management_url is not for this broker: it is of cluster"), "{lines:?}");
}

fn unsettled(vhost: &Vhost, place: &Place, more: &str) -> (Osnl, Sink) {
    let sink = Sink::start();
    sink.reply_with(Reply::Status(503));
    let text = conf(vhost, "", more);
    let action = format!("driver = k2hr3\napi_url = {}\n", sink.url("/v1/role"));
    write(
        place,
        &text.replace("driver = dump\n", &action).replace("actions = a", "event_type = ^port\nactions = a"),
    );
    let daemon = run(place);
    wait_until(SOON, "it listens", || listener(place)["state"] == "listening");
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&notices(0..3));
    wait_until(SOON, "all are handed over", || vhost.queue_depth("osnl") == Some((0, 3)));
    (daemon, sink)
}

fn listener(place: &Place) -> Value {
    status(place)["listeners"][0].clone()
}

/// The gaps that `osnl gaps` lists: cause, certainty, and reason.
fn gaps(place: &Place) -> Vec<(String, bool, String)> {
    let (_, text) = osnl(place, &["gaps", "--format", "json"]);
    let found: Value = serde_json::from_str(&text).unwrap_or_default();
    let word = |gap: &Value, name: &str| gap[name].as_str().unwrap_or_default().to_owned();
    let row = |gap: &Value| (word(gap, "cause"), gap["is_certain"] == true, word(gap, "why"));
    found["gaps"].as_array().into_iter().flatten().map(row).collect()
}

#[test]
fn messages_that_a_delivery_limit_drops_are_counted_and_not_called_kept() {
    let vhost = Broker::shared().vhost("dropped");
    let place = Place::new();
    let (daemon, _sink) = unsettled(&vhost, &place, "queue_type = quorum\ndelivery_limit = 2");
    for cut in 1..=5 {
        vhost.close_all_connections("cut");
        wait_until(SOON, "it listens again", || {
            let seen = listener(&place);
            seen["reconnects"].as_u64() >= Some(cut) && seen["state"] == "listening"
        });
    }
    wait_until(SOON, "the broker has dropped them", || vhost.queue_depth("osnl") == Some((0, 0)));
    let why = "unsettled messages did not come back after a lost connection: messages: 3";
    wait_until(SOON, "they are missed", || gaps(&place) == [("messages-missing".into(), false, why.into())]);
    let (code, text) = osnl(&place, &["status"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&format!("why  {why}")), "{text}");
    daemon.wait_for("unsettled messages did not come back, and the queue is empty");
    assert!(!daemon.stderr().contains("kept"), "{}", daemon.stderr());
}

#[test]
fn a_queue_that_is_gone_after_a_stop_is_said_with_what_was_unsettled_in_it() {
    let vhost = Broker::shared().vhost("gone");
    let place = Place::new();
    let (mut daemon, _sink) = unsettled(&vhost, &place, "");
    daemon.signal("TERM");
    daemon.wait(SOON);
    wait_until(SOON, "they are in the queue again", || vhost.queue_depth("osnl") == Some((3, 0)));
    vhost.delete_queue("osnl");
    let daemon = run(&place);
    wait_until(SOON, "it listens", || listener(&place)["state"] == "listening");
    daemon.wait_for("the queue that an earlier run read did not exist and was created");
    let why = "the queue was deleted and made anew: unsettled messages in it: 3";
    assert_eq!(gaps(&place), [("queue-recreated".into(), true, why.into())]);
    let seen = listener(&place);
    assert!(seen["queue_created_seconds"].is_number(), "{seen:#}");
    let (code, text) = osnl(&place, &["status"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("  l: its queue was missing and was created "), "{text}");
    assert!(text.contains(&format!("in which notifications did not arrive\nwhy  {why}\n")), "{text}");
}
