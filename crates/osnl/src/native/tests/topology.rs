use osnl_transport::{Argument, Declare, QueueKind, QueueType, StreamOffset};

use super::{WHOLE, errors, load};
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
fn every_conflict_says_what_to_do() {
    let check = |lines: &str, expected: &str| {
        assert_eq!(errors(load(&with(lines))), [format!("a.conf:14: [listener:neutron] {expected}")]);
    };
    check(
        "single_active_consumer = true\nqueue_type = stream",
        "single_active_consumer: a stream queue gives every reader all of its messages; remove it, or choose another \
         queue_type",
    );
    check(
        "durable = no\nqueue_type = quorum",
        "durable: a quorum queue always survives a restart of the broker; remove it, or choose another queue_type",
    );
    check(
        "arguments = x-delivery-limit=3",
        "arguments: a classic queue does not know x-delivery-limit; leave it out of the list, or choose another queue_type",
    );
    check(
        "delivery_limit = 3\nqueue_type = classic",
        "delivery_limit: a classic queue has no limit of deliveries; remove it, or choose another queue_type",
    );
    check(
        "arguments = x-queue-type=quorum",
        "arguments: x-queue-type has an option of its own, queue_type; leave it out of the list, or choose another queue_type",
    );
    check(
        "queue_type = qourum",
        "queue_type: unknown value \"qourum\"; allowed: classic, quorum, stream; did you mean quorum?",
    );
    let form = "write name=value with commas between them; in double quotes a value is a string";
    check("arguments = x-max-length", &format!("arguments: \"x-max-length\" has no value; {form}"));
    check("arguments = =1", &format!("arguments: \"=1\" has no valid name; {form}"));
    check("arguments = a=1, a=2", "arguments: names \"a\" twice; name it once");
    check(
        "stream_offset = first",
        "stream_offset: only a stream has offsets; remove it, or set queue_type = stream",
    );
    check(
        "stream_offset = yesterday\nqueue_type = stream",
        "stream_offset: \"yesterday\" is not a position in a stream; allowed: first, last, next, or a time such as \
         2026-11-20T06:00:00Z",
    );
    check(
        "single_active_consumer = yes\npool =",
        "single_active_consumer: services declare their queues without it, and would be refused; remove it, or set a \
         pool",
    );
    check(
        "topics = a.#\npool =",
        "topics: a wildcard binds a pool; without one the queue would bear this name; set a pool, or name the topics",
    );
    check(
        "prefetch = 20\npool =\ntopics = a, b, c",
        "prefetch: 20 is less than the 21 queues that share it; each needs at least one; or set a pool",
    );
    check("exchange = neutron, nova, neutron", "exchange: names \"neutron\" twice; name it once");
    check("exchange = neutron,, nova", "exchange: has an empty item; write names with commas between them");
    check("queues = x", "queues: unknown option; did you mean queue?");
    check("stream_ofset = x", "stream_ofset: unknown option; did you mean stream_offset?");
}

#[test]
fn a_queue_stands_alone() {
    let meaningless = "has no effect beside queue, which is read as it is: nothing is declared or bound; remove one \
                       of the two";
    let lines = "queue = theirs\nexchange = nova\npool = p\ndeclare = create\ndurable = true";
    let expected = [("exchange", 4), ("pool", 5), ("declare", 6), ("durable", 7)];
    assert_eq!(
        errors(load(&alone(lines))),
        expected.map(|(option, line)| format!("a.conf:{line}: [listener:neutron] {option}: {meaningless}"))
    );
    let neither = "a.conf:1: [listener:neutron] exchange: is not set; write the service's, such as neutron, nova or \
                   openstack, or read a queue as it is: queue = NAME";
    let no_pool = "a.conf:1: [listener:neutron] pool: is not set; write a queue name that no other team on this broker \
                   uses, such as pool = osnl-TEAM";
    assert_eq!(errors(load(&alone(""))), [neither, no_pool]);
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

    let single_active_consumer = false;
    let stream = QueueKind { queue_type: QueueType::Stream, single_active_consumer, ..QueueKind::DURABLE };
    for (offset, expected) in [
        ("", StreamOffset::Next),
        ("stream_offset = first", StreamOffset::First),
        ("stream_offset = last", StreamOffset::Last),
        ("stream_offset = 1790000000", StreamOffset::Timestamp(1_790_000_000)),
        ("stream_offset = 2026-11-20T06:00:00Z", StreamOffset::Timestamp(1_795_154_400)),
        ("stream_offset = 2026-11-20T07:00:00+01:00", StreamOffset::Timestamp(1_795_154_400)),
    ] {
        let conf = listener(&with(&format!("queue_type = stream\n{offset}")));
        assert_eq!(conf.queue, QueueKind { stream_offset: expected, ..stream.clone() });
        let conf = listener(&alone(&format!("queue = log\nqueue_type = stream\n{offset}")));
        assert_eq!((conf.queue.stream_offset, conf.declare), (expected, Declare::Nothing));
    }
}

#[test]
fn two_listeners_do_not_share_a_queue_but_may_share_a_stream() {
    let second = |lines: &str| {
        let lines = lines.replace('|', "\n");
        format!(
            "[listener:n]\ntransport_url = rabbit://localhost/\n{lines}\n[rule:gone]\nlisteners = neutron, n\n"
        )
    };
    let check = |first: &str, other: &str, expected: Option<(&str, u32)>| {
        let text = format!("{}{}", with(&first.replace('|', "\n")), second(other));
        let expected: Vec<String> = expected
            .map(|(option, line)| {
                let mend = match option {
                    "queue" => "read it by one listener only",
                    _ => "give each listener a pool of its own",
                };
                format!(
                    "a.conf:{line}: [listener:n] {option}: [listener:neutron] uses this queue of this broker already; \
                     {mend}"
                )
            })
            .into_iter()
            .collect();
        assert_eq!(errors(load(&text)), expected, "{text}");
    };
    check("pool = p", "queue = p", Some(("queue", 17)));
    check("pool =|priorities = info", "queue = notifications.info", Some(("queue", 18)));
    check("pool =|priorities = info", "exchange = nova|pool =|priorities = error, info", Some(("pool", 19)));
    check("pool =|priorities = info", "exchange = nova|pool =|priorities = error", None);
    check("queue_type = stream", "queue = osnl|queue_type = stream", None);
}

#[test]
fn what_is_likely_a_slip_is_warned_of() {
    let check = |lines: &str, expected: &str| {
        let loaded = load(&with(lines)).unwrap_or_else(|errors| panic!("{errors}"));
        let mut found: Vec<String> = loaded.all_warnings().iter().map(ToString::to_string).collect();
        found.retain(|warning| !warning.contains("both are one section"));
        assert_eq!(found, [format!("a.conf:14: [listener:neutron] {expected}")], "{lines}");
    };
    check(
        "arguments = x-max-lenght=5",
        "arguments: \"x-max-lenght\" is unknown to osnl, and is sent to the broker unchanged; did you mean \
         x-max-length?",
    );
    check(
        "arguments = x-overflow=reject-publish",
        "arguments: when the queue is full, a service that waits for confirms fails to publish; drop-head, the \
         broker's default, leaves services alone",
    );
    check(
        "arguments = x-max-length=5\npool =",
        "arguments: the broker refuses a service that declares its queue with other arguments; set a pool, or the options \
         that the service has: amqp_durable_queues, rabbit_quorum_queue, amqp_auto_delete",
    );
    check(
        "durable = true\npool =",
        "durable: the broker refuses a service that declares its queue with other arguments; set a pool, or the options \
         that the service has: amqp_durable_queues, rabbit_quorum_queue, amqp_auto_delete",
    );
    check(
        "declare = create",
        "declare: exchange neutron belongs to neutron: if osnl creates it first, the broker refuses a service that has \
         amqp_durable_queues or rabbit_quorum_queue otherwise; remove the line: osnl waits until the service has created it",
    );
}

#[test]
fn a_state_directory_is_a_path_from_the_root() {
    let check = |line: &str| errors(load(&format!("{WHOLE}[DEFAULT]\n{line}\n")));
    assert_eq!(
        check("state_dir = here"),
        [
            "a.conf:14: [DEFAULT] state_dir: must be an absolute path; write one that begins with /, or remove the line"
        ]
    );
    assert_eq!(check("state_dir = /var/lib/osnl"), [""; 0]);
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
        explained(&alone("queue = log\nqueue_type = stream\nstream_offset = 2026-11-20T06:00:00Z")),
        [
            "queue      log, awaited until it exists; nothing is declared or bound",
            "stream     read from 2026-11-20T06:00:00Z; later from where it was left",
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
