use osnl_testkit::{
    Broker, FaultyProxy, NetworkFault, Notice, OsloPublisher, PublisherOptions, Sink, closed_port, wait_until,
};
use serde_json::json;

use crate::harness::{PROMPTLY, Place, QUEUE, SOON, conf, notices, port_deleted, settled};

fn levels(log: &str) -> (Vec<&'static str>, bool) {
    let words = |line: &str| line.split(' ').skip(2).take(2).map(str::to_owned).collect::<Vec<_>>();
    let heads: Vec<Vec<String>> = log.lines().map(words).collect();
    let found = ["DEBUG", "INFO", "WARNING", "ERROR"];
    let found = found.into_iter().filter(|level| heads.iter().any(|head| head[0] == *level)).collect();
    (found, heads.iter().any(|head| !ours(&head[1])))
}

fn ours(name: &str) -> bool {
    name.starts_with("osnl") || name.starts_with("k2hr3_osnl")
}

#[test]
fn levels_come_from_the_file_and_the_flag_wins() {
    let check = |file: &str, flags: &[&str], expected: &[&str], libraries: bool| {
        let vhost = Broker::shared().vhost("levels");
        let place = Place::new();
        place.write("k.conf", conf(&vhost.url(), "http://127.0.0.1:9/", &format!("[DEFAULT]\n{file}")));
        let osnl = place.osnl(&[&["-c", "k.conf"], flags].concat());
        let expected = (expected.to_vec(), libraries);
        wait_until(SOON, "a consumer", || vhost.list_queues().iter().any(|queue| queue.consumers == 1));
        wait_until(SOON, &format!("{expected:?} of {file} {flags:?}"), || levels(&osnl.stderr()) == expected);
        let log = osnl.stop();
        assert_eq!(levels(&log), expected, "{file} {flags:?}\n{log}");
    };
    check("", &[], &["INFO", "WARNING"], false);
    check("debug_level = debug", &[], &["DEBUG", "INFO", "WARNING"], false);
    check("debug_level = warn", &[], &["WARNING"], false);
    check("debug_level = warning", &[], &["WARNING"], false);
    check("debug_level = notset", &[], &["WARNING"], false);
    check("debug_level = error", &[], &[], false);
    check("debug_level = error", &["-d", "debug"], &["DEBUG", "INFO", "WARNING"], false);
    check("debug_level = debug", &["-d", "critical"], &["WARNING"], false);
    check("debug_level = error", &["-l", "debug"], &["DEBUG", "ERROR"], true);
    check("debug_level = error\nlibs_debug_level = debug", &[], &["DEBUG", "ERROR"], true);
    check("debug_level = error\nlibs_debug_level = debug", &["-l", "error"], &[], false);
}

#[test]
fn the_log_goes_to_the_file_that_is_named_and_the_flag_wins() {
    let check = |file: &str, flags: &[&str], expected: Option<&str>| {
        let place = Place::new();
        let url = format!("rabbit://guest:guest@127.0.0.1:{}/", closed_port());
        place.write("k.conf", conf(&url, "http://127.0.0.1:9/", &format!("[DEFAULT]\n{file}")));
        let mut osnl = place.osnl(&[&["-c", "k.conf"], flags].concat());
        let log = || expected.map_or_else(|| osnl.stderr(), |name| place.read(name));
        wait_until(SOON, "the log", || log().contains("cannot listen"));
        osnl.signal("TERM");
        assert_eq!(osnl.wait(PROMPTLY).code(), Some(0));
        let log = expected.map_or_else(|| osnl.stderr(), |name| place.read(name));
        assert!(log.contains(" with k.conf: ") && log.contains("Stopping"), "{file} {flags:?}\n{log}");
        let mut files: Vec<String> = std::fs::read_dir(place.path("."))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "k.conf")
            .collect();
        files.sort();
        assert_eq!(files, expected.into_iter().collect::<Vec<_>>(), "{file} {flags:?}");
        assert_eq!(osnl.stderr().is_empty(), expected.is_some(), "{file} {flags:?}");
    };
    check("", &[], None);
    check("log_file = sys.stderr", &[], None);
    check("log_file = osnl.log", &[], Some("osnl.log"));
    check("", &["-f", "flag.log"], Some("flag.log"));
    check("log_file = osnl.log", &["-f", "flag.log"], Some("flag.log"));
    // As upstream: the word is special in the file, but a file name on the command line.
    check("log_file = osnl.log", &["-f", "sys.stderr"], Some("sys.stderr"));
}

/// k2hr3_osnl writes the whole payload and all headers at this level.
#[test]
fn nothing_secret_is_in_a_log_of_everything() {
    let vhost = Broker::shared().vhost("secrets");
    let sink = Sink::start();
    let place = Place::new();
    place.write("k.conf", conf(&vhost.url(), &sink.url("/v1/role"), ""));
    let osnl = place.osnl(&["-c", "k.conf", "-d", "debug", "-l", "debug"]).listening();
    let mut payload = port_deleted(1);
    payload["port"]["binding:profile"] = json!({"admin_pass": "hunter2", "token": "hunter3"});
    let context = Some(json!({"user_id": "u", "auth_token": "hunter4"}));
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify(&Notice { payload: payload.clone(), context: context.clone(), ..Notice::default() });
    publisher.notify(&Notice { event_type: "x".to_owned(), payload, context, ..Notice::default() });
    sink.wait_for(1, SOON);
    let log = osnl.stop();
    assert!(log.contains("DEBUG"), "{log}");
    for secret in ["guest:guest", "hunter"] {
        assert!(!log.contains(secret), "{secret} in\n{log}");
    }
}

/// At the level of the manual's own file.
#[test]
fn at_error_an_outage_is_logged_when_it_begins_and_when_it_is_over() {
    let (vhost, sink, place) = (Broker::shared().vhost("outages"), Sink::start(), Place::new());
    let broker = FaultyProxy::before(Broker::shared().port());
    let target = FaultyProxy::before(sink.port());
    let url = vhost.url().replace(&format!(":{}/", Broker::shared().port()), &format!(":{}/", broker.port()));
    let api_url = format!("http://127.0.0.1:{}/v1/role", target.port());
    place.write("k.conf", conf(&url, &api_url, "retry_interval_seconds = 1\n[DEFAULT]\ndebug_level = error"));
    broker.set(NetworkFault::Refuse);
    target.set(NetworkFault::Refuse);
    let osnl = place.osnl(&["-c", "k.conf"]);
    osnl.wait_for("an incident stops deliveries incident=\"k2hr3_osnl: not connected");
    broker.set(NetworkFault::None);
    osnl.wait_for("the incident is over incident=\"k2hr3_osnl: not connected");
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&notices(0..1));
    osnl.wait_for("an incident stops deliveries incident=\"k2hr3_osnl: the target is down");
    target.set(NetworkFault::None);
    osnl.wait_for("the incident is over incident=\"k2hr3_osnl: the target is down");
    settled(&vhost, QUEUE);
    let log = osnl.stop();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 4, "{log}");
    assert!(lines.iter().all(|line| line.contains(" ERROR osnl.incidents:")), "{log}");
    let remedy = "remedy=\"check host and port in transport_url; ";
    for (line, part) in [(0, "Connection refused"), (0, remedy), (1, "down_for="), (2, "Connection refused")]
    {
        assert!(lines[line].contains(part), "{part}\n{log}");
    }
}
