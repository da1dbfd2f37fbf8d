use FindingKind as K;
use FindingSeverity::{Critical, Note, Warning};
use osnl_transport::{Argument, ExchangeFound, ExchangeInspection};
use serde_json::{Value, json};

use super::*;
use crate::management::{ConsumerFacts, QueuePolicies};
use crate::native::{Sources, load_texts};

fn survey(more: &str) -> Survey {
    let text = format!(
        "[listener:l]\ntransport_url = rabbit://u:p@mq1/\nexchange = nova\npool = osnl\n{more}\n[rule:r]\nactions = a\n\
         [action:a]\ndriver = dump\n"
    );
    let loaded = load_texts(&[("f".to_owned(), text)], &Sources::default());
    let conf = loaded.unwrap_or_else(|errors| panic!("{errors}")).conf;
    let wanted = conf.listeners[0].wanted().unwrap();
    let greeting = Greeting {
        product: Some("RabbitMQ".to_owned()),
        version: Some("3.10.8".to_owned()),
        ..Greeting::default()
    };
    let mut queues: Vec<QueueRow> = wanted.queues.iter().map(|name| there(name, true)).collect();
    queues.extend([there("notifications.info", false), QueueRow::missing("notifications.error", false)]);
    for row in &mut queues {
        row.consumers = 1;
    }
    let exchange = |name: &String| (name.clone(), exchange("topic"));
    Survey {
        exchanges: wanted.exchanges.iter().map(exchange).collect(),
        greeting,
        refusals: Vec::new(),
        is_reached: true,
        queues,
        near: Vec::new(),
        denied: Vec::new(),
        alarm: None,
        facts: None,
        unknown: None,
        daemon: DaemonCounts { has_received: Some(false), ..DaemonCounts::default() },
        wanted,
    }
}

fn exchange(kind: &str) -> ExchangeInspection {
    found(kind, true)
}

fn found(kind: &str, durable: bool) -> ExchangeInspection {
    ExchangeInspection::There(ExchangeFound { kind: Some(kind.to_owned()), durable: Some(durable) })
}

fn there(name: &str, is_read: bool) -> QueueRow {
    QueueRow { state: QueueState::There, durable: Some(true), ..QueueRow::missing(name, is_read) }
}

fn row<'a>(survey: &'a mut Survey, name: &str) -> &'a mut QueueRow {
    survey.queues.iter_mut().find(|row| row.name == name).unwrap()
}

fn facts() -> QueueFacts {
    QueueFacts {
        queue_type: Some("classic".to_owned()),
        durable: Some(true),
        messages: None,
        consumer_count: None,
        arguments: BTreeMap::new(),
        policies: Ok(QueuePolicies::default()),
        delivery_limit: None,
        consumers: Vec::new(),
    }
}

fn with_api(survey: &mut Survey) -> &mut BrokerFacts {
    for row in &mut survey.queues {
        row.facts = Some(facts());
    }
    survey.facts.get_or_insert_default()
}

fn missing(s: &mut Survey) {
    s.exchanges[0].1 = ExchangeInspection::Missing;
}

fn misspelt(s: &mut Survey) {
    s.wanted.exchanges = vec!["noav".to_owned(), "cinder".to_owned()];
    s.exchanges[0] = ("noav".to_owned(), ExchangeInspection::Missing);
}

fn waiting(s: &mut Survey, name: &str, messages: u64, consumers: u64, growth: Option<f64>) {
    let row = row(s, name);
    (row.messages, row.consumers, row.growth) = (messages, consumers, growth);
}

fn bound(s: &mut Survey, name: &str, bindings: &[(&str, &str)]) {
    let bindings = bindings.iter().map(|(exchange, key)| ((*exchange).to_owned(), (*key).to_owned()));
    row(s, name).bindings = Some(bindings.collect());
}

fn passes_on(s: &mut Survey, feeders: &[(&str, &str)], exchange: &str) {
    let feeders = feeders.iter().map(|(source, key)| ((*source).to_owned(), (*key).to_owned())).collect();
    s.facts.get_or_insert_default().feeders.insert(exchange.to_owned(), feeders);
}

fn policy(s: &mut Survey, name: &str, key: &str, value: Value) {
    with_api(s);
    let effective = BTreeMap::from([(key.to_owned(), value)]);
    let of = row(s, name).facts.as_mut().unwrap();
    of.policies = Ok(QueuePolicies { policy: Some("p".to_owned()), effective, ..Default::default() });
    let of = of.clone();
    s.facts.as_mut().unwrap().queues.push((name.to_owned(), Ok(of)));
}

fn other_rules(s: &mut Survey) {
    with_api(s);
    let consumer = |host: &str, digest: &str| ConsumerFacts {
        tag: format!("osnl@{host}#{digest}"),
        connection: "10.0.0.2:1 -> 10.0.0.9:5672".into(),
        user: "u".into(),
    };
    let both = [consumer("ctl1", &s.wanted.rules_digest), consumer("ctl2", "bbbbbbbb")];
    row(s, "osnl").facts.as_mut().unwrap().consumers.extend(both);
}

fn shared(s: &mut Survey) {
    waiting(s, "osnl", 0, 2, None);
    s.daemon.consumers = Some(BTreeMap::from([("osnl".to_owned(), 1)]));
}

fn refused(s: &mut Survey) {
    s.is_reached = false;
    s.refusals.push(("mq1:5672".into(), "Connection refused".into(), Some("start it".into())));
}

fn locked(s: &mut Survey) {
    let row = row(s, "osnl");
    row.state = QueueState::Refused("405 RESOURCE_LOCKED".to_owned());
    row.remedy = Some("give the listener a pool of its own".into());
}

fn unmatched(s: &mut Survey) {
    s.daemon = DaemonCounts { has_received: Some(true), received: 7, matched: Some(0), ..Default::default() };
}

fn comes_from_others(s: &mut Survey) {
    s.daemon = DaemonCounts { has_received: Some(true), received: 7, matched: Some(7), ..Default::default() };
    missing(s);
}

const DRIVER: &str =
    "set [oslo_messaging_notifications] driver = messagingv2 in /etc/nova/nova.conf, then restart";
const INFO: &str = "notifications.info";
const BOUND: &str = "rabbitmqctl set_policy -p / --apply-to queues --priority 999 osnl-unread-notifications '^notifications\\.' \
                     '{\"max-length\":1000}'";

/// More options of the listener, the change of a healthy survey, then the only finding: kind, severity, evidence, command.
type Trouble = (&'static str, fn(&mut Survey), FindingKind, FindingSeverity, &'static str, &'static str);

#[rustfmt::skip]
const TROUBLES: &[Trouble] = &[
    ("", refused, K::Unreachable, Critical, "Connection refused", "start it"),
    ("", |s| s.alarm = Some("low on memory".into()), K::PublishersBlocked, Critical, "it blocks publishers: low on memory", "rabbitmq-diagnostics alarms"),
    ("", |s| s.denied.push("403 ACCESS_REFUSED".into()), K::Permissions, Critical, "403", "rabbitmqctl set_permissions -p / u '^(osnl)$' '^(osnl)$' '^(nova|osnl)$'"),
    ("", |s| s.exchanges[0].1 = exchange("fanout"), K::ExchangeType, Critical, "its type is fanout", "control_exchange"),
    ("declare = create\namqp_durable_queues = true", |s| s.exchanges[0].1 = found("topic", false), K::ExchangeDiffers, Warning, "it is transient, and with declare = create osnl makes a durable one", "amqp_durable_queues = false in [listener:l]"),
    ("", |s| { missing(s); s.queues.truncate(1); }, K::ExchangeMissing, Warning, "its service has published nothing here", DRIVER),
    ("", |s| { missing(s); s.queues.retain(|row| row.name != INFO); }, K::ExchangeMissing, Warning, "no queue <topic>.<priority> either: no service has published", DRIVER),
    ("", comes_from_others, K::ExchangeMissing, Warning, "it does not exist", DRIVER),
    ("", missing, K::ExchangeMissing, Warning, "nova has never published here, and other services have (queue notifications.info)", DRIVER),
    ("", |s| { missing(s); with_api(s).exchanges.push(("/nova".into(), "nova".into())); }, K::ExchangeMissing, Warning, "exists in virtual host /nova", "name virtual host /nova in transport_url"),
    ("", |s| { misspelt(s); s.near.push("nova".into()); }, K::ExchangeMissing, Warning, "did you mean nova?", "exchange = nova, cinder in [listener:l]"),
    ("", |s| { misspelt(s); with_api(s).exchanges.push(("/".into(), "nova".into())); }, K::ExchangeMissing, Warning, "did you mean nova?", "exchange = nova, cinder in [listener:l]"),
    ("", misspelt, K::ExchangeMissing, Warning, "did you mean nova?", "exchange = nova, cinder in [listener:l], or set [oslo_messaging_notifications] driver = messagingv2 in the file of the service whose control_exchange is"),
    ("", |s| { missing(s); bound(s, INFO, &[("openstack", INFO)]); }, K::ExchangeMissing, Warning, "notifications come here by exchange openstack", DRIVER),
    ("", |s| s.queues.retain(|row| row.name != INFO), K::NeverPublished, Warning, "the driver is empty (the default) or noop", DRIVER),
    ("", |s| { s.greeting.version = Some("4.3.0".into()); s.queues.retain(|row| row.name != INFO); }, K::NeverPublished, Warning, "541", DRIVER),
    ("", |s| row(s, "osnl").queue_type = Some("stream".into()), K::QueueRefused, Critical, "it is a stream", "give each reader a pool of its own"),
    ("", locked, K::QueueRefused, Critical, "405 RESOURCE_LOCKED", "a pool of its own"),
    ("topics = versioned_notifications", |_| {}, K::WrongTopic, Warning, "publish to topic notifications (queue notifications.info), and the listener binds topic versioned_notifications", "topics = notifications in [listener:l], or set [notifications] notification_format = both in /etc/nova/nova.conf, then"),
    ("priorities = error", |_| {}, K::WrongPriority, Warning, "another priority", "remove priorities"),
    ("", |s| bound(s, INFO, &[("neutron", INFO)]), K::OtherExchange, Warning, "bound to exchange neutron only", DRIVER),
    ("topics = versioned_notifications", |s| bound(s, INFO, &[("neutron", INFO)]), K::OtherExchange, Warning, "bound to exchange neutron only", DRIVER),
    ("", |s| bound(s, INFO, &[]), K::NeverPublished, Warning, "no queue <topic>.<priority> is bound to it", DRIVER),
    ("priorities = info", |s| bound(s, "osnl", &[]), K::NotBound, Critical, "notifications.info of nova", "osnl queues --apply"),
    ("priorities = info", |s| { bound(s, "osnl", &[("fan", INFO)]); passes_on(s, &[("nova", "notifications.#")], "fan"); }, K::NotBound, Note, "may get the same by exchange fan", "rabbitmqctl list_bindings -p /"),
    ("priorities = info", |s| bound(s, "osnl", &[("nova", INFO), ("cinder", INFO)]), K::SamePool, Warning, "bound with notifications.info of cinder too", "another pool"),
    ("priorities = info", |s| bound(s, "osnl", &[("nova", INFO), ("down", "")]), K::SamePool, Warning, "bound with \"\" of down too", "another pool"),
    ("", unmatched, K::NoRuleMatches, Note, "7 messages received", "osnl explain --counts"),
    ("", |s| waiting(s, INFO, 4579, 0, Some(5.0)), K::Unread, Warning, "4,579 messages, no consumer, grows by 5.0/s", BOUND),
    ("", |s| waiting(s, INFO, 3, 0, None), K::Unread, Note, "whether a policy bounds it is not known", BOUND),
    ("", |s| { with_api(s); waiting(s, INFO, 3, 0, None); }, K::Unread, Warning, "3 messages, no consumer", "rabbitmqctl set_policy -p / --apply-to queues osnl-unread-notifications '^notif"),
    ("", |s| { policy(s, INFO, "ha-mode", json!("all")); waiting(s, INFO, 3, 0, None); }, K::Unread, Warning, "3 messages, no consumer", "'{\"ha-mode\":\"all\",\"max-length\":1000}'"),
    ("", |s| waiting(s, "osnl", 9, 0, None), K::Growing, Warning, "9 messages, no consumer", "systemctl start osnl"),
    ("", |s| waiting(s, "osnl", 5000, 1, Some(2.0)), K::Growing, Warning, "5,000 messages, and grows by 2.0/s", "osnl status"),
    ("single_active_consumer = false", shared, K::Rival, Critical, "1 consumer is not of this configuration's daemon", "a pool of its own"),
    ("", |s| s.daemon.consumers = Some(BTreeMap::new()), K::Rival, Warning, "1 consumer is not of this configuration's daemon", "list_consumers -p /"),
    ("", other_rules, K::OtherRules, Warning, "osnl on ctl2 (10.0.0.2:1 -> 10.0.0.9:5672) connected to it with other rules", "the same rules"),
    ("", |s| row(s, "osnl").differs = Some("x-max-length: configured none, found 9".into()), K::Differs, Warning, "found 9", "delete it"),
    ("", |s| { with_api(s).nodes = Some(3); row(s, "osnl").queue_type = Some("classic".into()); }, K::ClassicOnCluster, Warning, "cluster of 3 nodes", "queue_type = quorum"),
    ("", |s| policy(s, "osnl", "message-ttl", json!(60000)), K::Lossy, Warning, "policy \"p\" sets message-ttl = 60000", "rabbitmqctl set_policy -p / --apply-to queues --priority 999 osnl-osnl '^osnl$'"),
    ("", |s| row(s, INFO).durable = Some(false), K::TransientQueue, Note, "it is transient", "set [oslo_messaging_rabbit] amqp_durable_queues = true in /etc/nova/nova.conf, and so"),
    ("durable = false", |s| row(s, "osnl").durable = Some(false), K::TransientQueue, Note, "transient", "durable = true"),
];

#[test]
fn each_trouble_has_its_finding_with_evidence_and_command() {
    for more in ["", "queue_type = quorum", "priorities = info", "topics = *"] {
        assert_eq!(survey(more).findings(), [], "{more}");
    }
    for (more, prepare, kind, severity, seen, command) in TROUBLES {
        let mut survey = survey(more);
        prepare(&mut survey);
        let findings = survey.findings();
        let [finding] = &findings[..] else { panic!("{kind:?} ({seen}): {findings:#?}") };
        assert_eq!((finding.kind, finding.severity), (*kind, *severity), "{finding:#?}");
        assert!(finding.seen.contains(seen), "{seen}: {finding:#?}");
        assert!(finding.command.contains(command), "{command}: {finding:#?}");
        let deployers = ["kolla-ansible", "openstack-ansible", "openstack-helm", "rhoso"];
        if finding.command.starts_with("set [") {
            assert!(deployers.iter().all(|name| finding.deployers.contains_key(*name)), "{finding:#?}");
        }
    }
}

#[test]
fn an_unread_queue_that_a_policy_bounds_and_a_standby_are_no_findings() {
    let mut bounded = survey("");
    policy(&mut bounded, INFO, "max-length", json!(1000));
    bounded.facts.as_mut().unwrap().queues.clear();
    waiting(&mut bounded, INFO, 1000, 0, None);
    let mut standby = survey("");
    shared(&mut standby);
    // This daemon is stopped, and one with the same rules reads.
    let mut elsewhere = survey("");
    other_rules(&mut elsewhere);
    row(&mut elsewhere, "osnl").facts.as_mut().unwrap().consumers.truncate(1);
    elsewhere.daemon.consumers = Some(BTreeMap::new());
    // A refused look is no evidence.
    let mut blind = survey("");
    row(&mut blind, INFO).state = QueueState::Refused("403".to_owned());
    let mut asked = survey("arguments = x-max-length=9");
    let queue = QueueFacts { arguments: BTreeMap::from([("x-max-length".to_owned(), json!(9))]), ..facts() };
    with_api(&mut asked).queues.push(("osnl".to_owned(), Ok(queue)));
    assert_eq!(asked.wanted.kind.arguments["x-max-length"], Argument::Integer(9));
    let mut twice = survey("priorities = info");
    bound(&mut twice, "osnl", &[("nova", INFO), ("fan", INFO)]);
    passes_on(&mut twice, &[("nova", INFO)], "fan");
    let mut fed = survey("");
    bound(&mut fed, INFO, &[("source", INFO)]);
    passes_on(&mut fed, &[("source", "#")], "nova");
    for survey in [bounded, standby, elsewhere, blind, asked, twice, fed] {
        assert_eq!(survey.findings(), []);
    }
}

#[test]
fn what_is_worst_is_first_and_said_once() {
    let mut one = survey("");
    row(&mut one, INFO).durable = Some(false);
    one.denied.push("403".to_owned());
    let mut all = one.findings();
    all.extend(one.findings());
    sort(&mut all);
    let kinds: Vec<FindingKind> = all.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::Permissions, FindingKind::TransientQueue]);
    // The services of two listeners fill one queue, whose count changes between the looks.
    let look = |exchange: &str, messages| {
        let mut survey = survey("");
        survey.wanted.exchanges = vec![exchange.to_owned()];
        row(&mut survey, INFO).durable = Some(false);
        (row(&mut survey, INFO).messages, row(&mut survey, INFO).consumers) = (messages, 0);
        survey.findings()
    };
    let mut all = [look("nova", 2000), look("glance", 2001), look("nova", 2002)].concat();
    sort(&mut all);
    let kinds: Vec<FindingKind> = all.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::Unread, FindingKind::TransientQueue]);
    let note = &all[1];
    let both = "in /etc/nova/nova.conf and /etc/glance/glance-api.conf, and so for each service";
    assert!(note.command.contains(both), "{}", note.command);
    assert!(
        note.deployers["kolla-ansible"].contains("nova.conf: ")
            && note.deployers["kolla-ansible"].contains("glance.conf: ")
    );
    // One listener may read both services.
    let mut one = survey("");
    one.wanted.exchanges = vec!["nova".to_owned(), "glance".to_owned()];
    row(&mut one, INFO).durable = Some(false);
    let found = one.findings();
    assert!(found.iter().any(|finding| finding.command.contains(both)), "{found:#?}");
    assert_eq!(tag_parts("osnl@ctl1#0a1b2c3d"), Some(("ctl1", "0a1b2c3d")));
    for other in ["amq.ctag-x", "osnl", "x@h#1", "osnl@h"] {
        assert_eq!(tag_parts(other), None, "{other}");
    }
}

#[test]
fn each_shard_needs_its_queue_its_binding_and_a_reader() {
    let text = "[listener:l]\ntransport_url = rabbit://u:p@mq1/\nexchange = nova\npool = osnl\n[rule:r]\nactions = a\n\
                [action:a]\ndriver = publish\ntransport_url = rabbit://u:p@mq1/\nshards = 2\n";
    let loaded = load_texts(&[("f".to_owned(), text.to_owned())], &Sources::default());
    let wanted = loaded.unwrap_or_else(|errors| panic!("{errors}")).conf.wanted_shards().pop().unwrap();
    let check = |former: Option<u32>,
                 change: &dyn Fn(&mut [QueueRow]),
                 expected: &[(K, FindingSeverity, &str)]| {
        let all = wanted.shards().unwrap().all.clone();
        let wanted = Wanted { origin: WantedOrigin::Shards(WantedShards { all, former }), ..wanted.clone() };
        let names = (0..former.unwrap_or(2).max(2)).map(|n| format!("osnl-shard-{n}"));
        let mut rows: Vec<QueueRow> = names.map(|name| there(&name, true)).collect();
        for (n, row) in rows.iter_mut().enumerate() {
            row.consumers = 1;
            row.bindings = Some(vec![("osnl-shards".to_owned(), format!("shard.{n}"))]);
        }
        change(&mut rows);
        let exchanges = vec![("osnl-shards".to_owned(), exchange("topic"))];
        let survey = wanted.survey_depths(exchanges, rows, Err(UnknownFact::not_asked("a")));
        let found: Vec<_> =
            survey.findings().into_iter().map(|one| (one.kind, one.severity, one.to_string())).collect();
        let is_alike = found.len() == expected.len()
            && found.iter().zip(expected).all(|(one, (kind, severity, words))| {
                (one.0, one.1) == (*kind, *severity) && one.2.contains(words)
            });
        assert!(is_alike, "{found:#?}");
    };
    check(None, &|_| {}, &[]);
    check(Some(2), &|_| {}, &[]);
    let gone = |rows: &mut [QueueRow]| rows[1] = QueueRow::missing("osnl-shard-1", true);
    check(
        Some(2),
        &gone,
        &[(K::QueueMissing, Warning, "queue osnl-shard-1 in virtual host /: it does not exist")],
    );
    let unread = |rows: &mut [QueueRow]| (rows[0].messages, rows[0].consumers) = (7, 0);
    check(None, &unread, &[(K::Growing, Warning, "7 messages, and no daemon reads it")]);
    let unbound = |rows: &mut [QueueRow]| rows[0].bindings = Some(Vec::new());
    check(None, &unbound, &[(K::NotBound, Warning, "it is not bound with shard.0 of osnl-shards")]);
    let twice = |rows: &mut [QueueRow]| {
        rows[1].bindings.as_mut().unwrap().push(("osnl-shards".to_owned(), "shard.0".to_owned()));
    };
    check(None, &twice, &[(K::OtherShards, Critical, "it is bound with shard.0 of osnl-shards too")]);
    let number = "it has 3 shards until now, and shards = 2 is configured: ";
    check(Some(3), &|_| {}, &[(K::OtherShards, Warning, &format!("{number}nothing is published"))]);
    let idle = |rows: &mut [QueueRow]| rows.iter_mut().for_each(|row| row.consumers = 0);
    let unread = (K::Growing, Warning, "no daemon reads it");
    check(
        Some(3),
        &idle,
        &[unread, unread, (K::OtherShards, Note, &format!("{number}its former queues are empty"))],
    );
}

#[test]
fn for_a_url_the_changes_are_flags() {
    let check = |[exchange, topic, priority]: [&str; 3], prepare: fn(&mut Survey), kind: K, command: &str| {
        let url = osnl_model::TransportUrl::parse("rabbit://u:p@mq1/").unwrap();
        let [exchanges, topics, priorities] = [exchange, topic, priority].map(|name| [name.to_owned()]);
        let wanted = Wanted::from_url(&url, &exchanges, &topics, &priorities).unwrap();
        let queues = vec![QueueRow { consumers: 1, ..there(INFO, false) }];
        let exchanges = vec![(exchange.to_owned(), self::exchange("topic"))];
        let mut survey = Survey { wanted, exchanges, queues, daemon: DaemonCounts::default(), ..survey("") };
        prepare(&mut survey);
        let findings = survey.findings();
        let [finding] = &findings[..] else { panic!("{kind:?}: {findings:#?}") };
        assert_eq!(finding.kind, kind, "{finding:#?}");
        assert!(finding.command.starts_with(command), "{finding:#?}");
        assert!(!format!("{finding} {}", finding.command).contains("listener"), "{finding:#?}");
    };
    let (nova, same): (_, fn(&mut Survey)) = (["nova", "notifications", "info"], |_| {});
    let unread: fn(&mut Survey) = |s| waiting(s, INFO, 5000, 0, None);
    check(nova, unread, K::Unread, "rabbitmqctl set_policy -p / ");
    check(
        ["nova", "versioned_notifications", "info"],
        same,
        K::WrongTopic,
        "--topic notifications, or set [",
    );
    check(["nova", "notifications", "error"], same, K::WrongPriority, "leave --priority out");
    let driver = "set [oslo_messaging_notifications] driver = messagingv2 in /etc/nova/nova.conf";
    check(nova, |s| s.queues = vec![QueueRow::missing(INFO, false)], K::NeverPublished, driver);
    check(
        nova,
        |s| s.exchanges[0].1 = exchange("direct"),
        K::ExchangeType,
        "name the service's control_exchange",
    );
    let misspelt: fn(&mut Survey) = |s| {
        missing(s);
        s.near = vec!["nova".to_owned()];
    };
    check(["nvoa", "notifications", "info"], misspelt, K::ExchangeMissing, "--exchange nova");
}
