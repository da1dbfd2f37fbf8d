use osnl_transport::{Argument, Declare, QueueKind, QueueType};

use super::{WHOLE, load, warnings};
use crate::native::ListenerConf;

fn with(lines: &str) -> String {
    format!("{WHOLE}[listener:neutron]\n{lines}\n")
}

fn alone(lines: &str) -> String {
    let rest = &WHOLE[WHOLE.find("[rule").unwrap()..];
    format!("[listener:neutron]\ntransport_url = rabbit://u@localhost/\n{lines}\n{rest}")
}

#[track_caller]
fn listener(text: &str) -> ListenerConf {
    let loaded = load(text).unwrap_or_else(|errors| panic!("{errors}"));
    let document = loaded.document();
    assert!(document.reads_back(), "{}", document.text(true));
    let again = load(&document.text(true)).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(format!("{:?}", again.conf.listeners), format!("{:?}", loaded.conf.listeners));
    loaded.conf.listeners[0].clone()
}

#[test]
fn a_queue_stands_alone() {
    let conf = listener(&alone("queue = theirs"));
    assert_eq!((conf.pool.as_deref(), conf.declare), (Some("theirs"), Declare::Nothing));
    assert_eq!(conf.queue, QueueKind::OSLO);
    assert!(conf.config().targets.is_empty());
}

#[test]
fn every_form_means_what_it_says_and_reads_back() {
    let conf = listener(&with("exchange = neutron, nova\ntopics = a, b\npriorities = info, error"));
    assert_eq!(
        (conf.exchanges.len(), conf.config().targets.len(), conf.queues()),
        (2, 8, vec!["osnl".to_owned()])
    );
    assert_eq!(conf.queue, QueueKind::DURABLE);

    // Without a pool, the listener reads the queues that services declare.
    let conf = listener(&with("pool =\ntopics = a, b\npriorities = info, error"));
    assert_eq!(
        (conf.pool.as_deref(), conf.queues()),
        (None, ["a.info", "a.error", "b.info", "b.error"].map(String::from).to_vec())
    );
    assert_eq!(conf.queue, QueueKind::OSLO);
    assert_eq!(
        listener(&with("pool =\ndurable = true")).queue,
        QueueKind { durable: true, ..QueueKind::OSLO }
    );

    let conf = listener(&with(
        "queue_type = quorum\ndelivery_limit = 5\narguments = x-max-length=1000,\n  x-dead-letter-exchange=\"a,b\", \
         x-overflow=reject-publish, x-of-tomorrow=true",
    ));
    let text = |text: &str| Argument::Text(text.to_owned());
    let arguments = [
        ("x-max-length", Argument::Integer(1000)),
        ("x-dead-letter-exchange", text("a,b")),
        ("x-overflow", text("reject-publish")),
        ("x-of-tomorrow", Argument::Boolean(true)),
    ];
    let expected = QueueKind {
        queue_type: QueueType::Quorum,
        delivery_limit: Some(5),
        arguments: arguments.map(|(name, value)| (name.to_owned(), value)).into(),
        ..QueueKind::DURABLE
    };
    assert_eq!(conf.queue, expected);
}

#[test]
fn the_explanation_names_what_is_bound_made_and_read() {
    let explained = |text: &str| {
        let native = load(text).unwrap_or_else(|errors| panic!("{errors}")).conf;
        let all = native.explain();
        let of_listener = all.lines().skip_while(|line| !line.starts_with("listener ")).skip(2);
        let of_listener = of_listener.take_while(|line| line.starts_with("  "));
        of_listener.map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    let late = "awaited until its service creates it";
    assert_eq!(
        explained(&with("exchange = neutron, nova\npriorities = info\npool =")),
        [
            &format!("exchange   neutron, {late}"),
            &format!("exchange   nova, {late}"),
            "bindings   notifications.{info}",
            "queues     the services' own, one for each binding; each message goes to one of its consumers",
            "queues     created if missing: transient: lost with its messages when the broker restarts",
            "prefetch   at most 200 unacknowledged messages",
        ]
    );
    assert_eq!(
        explained(&alone("queue = log")),
        [
            "queue      log, awaited until it exists; nothing is declared or bound",
            "prefetch   at most 200 unacknowledged messages",
        ]
    );
    let quorum = explained(&with("queue_type = quorum\ndelivery_limit = 5\narguments = x-max-length=9"));
    assert_eq!(
        quorum[2..4],
        [
            "queue      osnl, created if missing: quorum, single active consumer, delivered at most 5 times again",
            "arguments  x-max-length=9",
        ]
    );
}

#[test]
fn an_event_that_arrives_twice_is_told() {
    let check = |second: &str, first: &str, expected: Option<&str>| {
        let text = with(first)
            + "[listener:second]\nexchange = neutron\npool = second\n"
            + second
            + "\n[rule:one]\nlisteners = neutron\nactions = record\nevent_type = ^port\\.create\\.end$\n";
        let warnings = load(&text).unwrap().all_warnings();
        let twice: Vec<String> =
            warnings.iter().map(ToString::to_string).filter(|said| said.contains("each time")).collect();
        assert_eq!(twice.len(), usize::from(expected.is_some()), "{twice:?}");
        assert!(expected.is_none_or(|expected| twice[0].contains(expected)), "{twice:?}");
    };
    let here = "transport_url = rabbit://u:hunter2@localhost/\n";
    let same = "[rule:gone] listeners: each event of topic notifications arrives at the listeners neutron and second";
    check(here, "", Some(same));
    check("transport_url = rabbit://u:hunter2@mq2,other:hunter3@localhost:5672/\n", "", Some(same));
    check("transport_url = rabbit://u:hunter2@LocalHost./\n", "", Some(same));
    check("transport_url = rabbit://u:hunter2@localhost:5671/?ssl=1\n", "", Some(same));
    check(&format!("{here}topics = notifications, versioned_notifications"), "", Some(same));
    let both = "an event of a service that publishes to notifications and audit arrives at the listeners";
    check(&format!("{here}topics = audit"), "", Some(both));
    check(&format!("{here}topics = versioned_notifications"), "", None);
    check(&format!("{here}priorities = error"), "priorities = info", None);
    check("transport_url = rabbit://u:hunter2@localhost/other", "", None);
    check("transport_url = rabbit://u:hunter2@elsewhere/", "", None);
    let versioned = "topics = versioned_notifications, versioned_audit";
    let of_one = "[listener:neutron] topics: an event of a service that publishes to versioned_audit and";
    check("transport_url = rabbit://u:hunter2@elsewhere/", versioned, Some(of_one));
}

#[test]
fn an_action_that_publishes_to_the_queue_of_its_listener_is_told() {
    let check = |url: &str, expected: bool| {
        let text = format!(
            "{WHOLE}[rule:again]\nactions = again\nevent_type = ^port\\.create\\.end$\n\
             [action:again]\ndriver = publish\ntransport_url = {url}\nexchange = neutron\n"
        );
        let is_told = warnings(&load(&text).unwrap()).iter().any(|said| said.contains(", in a loop"));
        assert_eq!(is_told, expected, "{url}");
    };
    check("rabbit://u:hunter2@LocalHost./", true);
    check("rabbit://u:hunter2@localhost:5671/?ssl=1", true);
    check("rabbit://u:hunter2@localhost/other", false);
    check("rabbit://u:hunter2@elsewhere/", false);
}
