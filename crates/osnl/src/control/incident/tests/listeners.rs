use super::super::listeners::UNBOUND;
use super::*;
use crate::control::{GapRow, LeftQueue, ManagementStatus};
use crate::listener::GapCause;
use crate::queues::{Finding, FindingSeverity};
use osnl_transport::{AS_CONFIGURED, Remedy};

#[test]
fn a_listener_that_does_not_listen_has_its_reason_and_its_next_attempt() {
    let reason = "login refused for user \"osnl\" (403)";
    let refused = ListenerStatus {
        reason: Some(reason.to_owned()),
        attempts: Some(3),
        next_attempt_seconds: Some(4),
        ..listener("connecting")
    };
    let doing = "osnl check --connect; osnl tries again in 4 s (3 attempts)";
    let what = "nova: not connected for 12 s";
    check(&judge_listener(&refused), &[(IncidentKind::ListenerConnecting, Warning, what, reason, doing)]);
    let remedy = Some(Remedy::command("rabbitmqctl change_password osnl"));
    let known = ListenerStatus { remedy, ..refused.clone() };
    assert_eq!(judge_listener(&known)[0].command.as_deref(), Some("rabbitmqctl change_password osnl"));
    let long = ListenerStatus { since_seconds: Some(60), ..refused };
    assert_eq!(judge_listener(&long)[0].severity, Critical);
    let missing = ListenerStatus {
        reason: Some("exchange \"nova\" does not exist yet".to_owned()),
        exchange_remedy: Some(Remedy::command("rabbitmqctl list_exchanges")),
        missing_exchanges: vec!["ironic".to_owned(), "nova".to_owned()],
        ..listener("listening")
    };
    let doing = "rabbitmqctl list_exchanges; osnl binds its queue as soon as the exchange is there";
    let absent = |what| (IncidentKind::ExchangeMissing, Warning, what, UNBOUND, doing);
    let expected =
        ["nova: exchange ironic: it does not exist", "nova: exchange nova: it does not exist"].map(absent);
    check(&judge_listener(&missing), &expected);
    let blocked = ListenerStatus { reason: Some("the journal is full".to_owned()), ..listener("blocked") };
    let doing = "mend the actions and the journal that this list names; the broker keeps the messages";
    let what = "nova: blocked for 12 s";
    check(
        &judge_listener(&blocked),
        &[(IncidentKind::ListenerBlocked, Critical, what, "the journal is full", doing)],
    );
    // What is lost meanwhile is no consequence of the blockade.
    let findings = [FindingKind::ExchangeType, FindingKind::Unread].map(finding).to_vec();
    let management = Some(ManagementStatus { findings, ..ManagementStatus::default() });
    let queue_lossy = Some("queue osnl can lose messages: at its length".to_owned());
    let (missing_exchanges, exchange_remedy) = (missing.missing_exchanges, missing.exchange_remedy);
    let lost = ListenerStatus { management, missing_exchanges, exchange_remedy, queue_lossy, ..blocked };
    let found = judge_listener(&lost);
    let kinds = found.iter().map(|one| one.kind).collect::<Vec<_>>();
    let absent = IncidentKind::ExchangeMissing;
    let expected =
        [IncidentKind::ListenerBlocked, absent, absent, IncidentKind::QueueLossy, IncidentKind::ExchangeType];
    assert_eq!(kinds, expected);
    assert_eq!(found[1].command.as_deref(), Some("rabbitmqctl list_exchanges"));
    let stalled = ListenerStatus { stalled: Some("4 messages wait".to_owned()), ..listener("listening") };
    let what = "nova: stalled: 4 messages wait";
    check(&judge_listener(&stalled), &[(IncidentKind::ListenerStalled, Critical, what, "", "see the log")]);
    check(&judge_listener(&listener("listening")), &[]);
}

fn finding(kind: FindingKind) -> Finding {
    Finding {
        kind,
        severity: FindingSeverity::Warning,
        broker: "mq1".to_owned(),
        vhost: "/".to_owned(),
        subject: "exchange nova".to_owned(),
        seen: "services publish to another topic".to_owned(),
        consequence: "nothing comes".to_owned(),
        command: "topics = notifications in [listener:nova]".into(),
        deployers: std::collections::BTreeMap::new(),
        files: Vec::new(),
    }
}

#[test]
fn a_listener_that_never_received_anything_says_the_most_likely_reason() {
    let never = ListenerStatus { never_received_seconds: Some(1200), ..listener("listening") };
    let what = "nova: it has never received anything for 20 min";
    let doing = "osnl queues shows how far notifications come, and with management_url the reason; silent_after = 0 ends this note";
    check(&judge_listener(&never), &[(IncidentKind::NeverReceived, Warning, what, "", doing)]);
    let known = ListenerStatus { silence: Some(finding(FindingKind::WrongTopic)), ..never };
    // A look that proves the reason counts at once, unless messages have come since.
    let early = ListenerStatus { never_received_seconds: None, ..known.clone() };
    let what = "nova: it has never received anything for 12 s";
    assert_eq!(judge_listener(&early).iter().map(|one| &*one.what).collect::<Vec<_>>(), [what]);
    check(&judge_listener(&ListenerStatus { messages: 1, ..early.clone() }), &[]);
    check(
        &judge_listener(&ListenerStatus { silence: Some(finding(FindingKind::NeverPublished)), ..early }),
        &[],
    );
    let what = "nova: it has never received anything for 20 min";
    let why = "exchange nova in virtual host /: services publish to another topic: nothing comes";
    let doing = "topics = notifications in [listener:nova]";
    check(&judge_listener(&known), &[(IncidentKind::NeverReceived, Warning, what, why, doing)]);
    // The missing exchange is the reason itself, with the same remedy.
    let missing = ListenerStatus {
        reason: Some("no exchange".to_owned()),
        missing_exchanges: vec!["nova".to_owned()],
        ..known
    };
    let found = judge_listener(&missing);
    assert_eq!(
        (found.len(), found[0].kind, found[0].to_do.as_deref()),
        (1, IncidentKind::ExchangeMissing, Some(doing))
    );
}

#[test]
fn a_missing_exchange_of_a_broker_is_one_incident_and_one_label_of_all_its_listeners() {
    let at = |name: &str, broker: &str, exchanges: &[&str]| {
        let place = BrokerPlace { broker: broker.to_owned(), vhost: Some("/".to_owned()) };
        judge_listener(&ListenerStatus {
            name: name.to_owned(),
            place: Some(place),
            reason: Some(format!("bound to 0 of {} exchanges", exchanges.len())),
            missing_exchanges: exchanges.iter().map(|name| (*name).to_owned()).collect(),
            ..listener("listening")
        })
    };
    let all =
        [at("nova", "mq1", &["nova"]), at("all", "mq1", &["ironic", "nova"]), at("other", "mq2", &["nova"])];
    let labels = |one: &Incident| (one.what.clone(), one.part(), one.broker().map(str::to_owned));
    let found: Vec<_> = fold(all.concat()).iter().map(labels).collect();
    let expected = [
        ("nova, all: exchange nova in virtual host /: it does not exist", "exchange nova", "mq1"),
        ("all: exchange ironic in virtual host /: it does not exist", "exchange ironic", "mq1"),
        ("other: exchange nova in virtual host /: it does not exist", "exchange nova", "mq2"),
    ];
    let own = |(what, subject, broker): (&str, &str, &str)| {
        (what.to_owned(), format!("{subject} at {broker}, virtual host /"), Some(broker.to_owned()))
    };
    assert_eq!(found, expected.map(own));
    // The reason is a label too, so it is the same for each listener.
    assert!(all.concat().iter().all(|one| one.reason() == Some(UNBOUND)));
}

#[test]
fn a_finding_of_the_doctor_is_an_incident_of_its_listener() {
    let management = Some(ManagementStatus {
        findings: vec![finding(FindingKind::Unread)],
        ..ManagementStatus::default()
    });
    let found = judge_listener(&ListenerStatus { management: management.clone(), ..listener("standby") });
    let what = "nova: exchange nova in virtual host /: services publish to another topic";
    let doing = "topics = notifications in [listener:nova]";
    check(&found, &[(IncidentKind::ServicesQueueUnread, Warning, what, "nothing comes", doing)]);
    assert_eq!((&*found[0].listeners, &*found[0].subject), (&["nova".to_owned()][..], "exchange nova"));
    // A line for a shell stands alone, with its effect behind the line.
    let bound = "rabbitmqctl set_policy -p / --apply-to queues osnl-unread '^n' '{\"max-length\":1000}'";
    let unread = Finding { command: Remedy::command(bound), ..finding(FindingKind::Unread) };
    let seen = ManagementStatus { findings: vec![unread], ..ManagementStatus::default() };
    let found = judge_listener(&ListenerStatus { management: Some(seen), ..listener("standby") });
    assert_eq!(found[0].command.as_deref(), Some(bound));
    assert!(found[0].to_do.as_ref().unwrap().contains("drops older ones"), "{found:?}");
    // An old look has its age.
    let old = management.clone().map(|seen| ManagementStatus { looked_seconds: Some(240), ..seen });
    let found = judge_listener(&ListenerStatus { management: old, ..listener("standby") });
    assert!(found[0].what.ends_with(": services publish to another topic (seen 4 min ago)"), "{found:?}");
    // The listener has seen one of the queues itself.
    let lossy = |name: &str| Finding { subject: format!("queue {name}"), ..finding(FindingKind::Lossy) };
    let management =
        management.map(|seen| ManagementStatus { findings: vec![lossy("osnl"), lossy("osnl-2")], ..seen });
    let queue_lossy = Some("queue osnl can lose messages: at its length".to_owned());
    let queues = vec!["osnl-1".to_owned(), "osnl".to_owned(), "osnl-2".to_owned()];
    let lossy_queue = Some("osnl".to_owned());
    let lossy = ListenerStatus { management, queue_lossy, lossy_queue, queues, ..listener("listening") };
    let found = judge_listener(&lossy);
    let found: Vec<_> = found.iter().map(|one| (one.kind, &*one.subject)).collect();
    assert_eq!(found, [(IncidentKind::QueueLossy, "queue osnl"), (IncidentKind::QueueLossy, "queue osnl-2")]);
}

#[test]
fn a_shared_queue_is_an_incident_and_a_standby_with_an_active_reader_is_none() {
    let shared = ListenerStatus { consumers: Some(2), ..listener("listening") };
    let what = "queue osnl: 1 consumer that is not this daemon's, and each message goes to one of them only";
    let found = judge_listener(&shared);
    assert_eq!(
        (found.len(), found[0].kind, found[0].severity, &*found[0].what),
        (1, IncidentKind::QueueShared, Critical, what)
    );
    // Both are this daemon's; or only one of them gets messages.
    check(&judge_listener(&ListenerStatus { own_consumers: 2, ..shared.clone() }), &[]);
    check(&judge_listener(&ListenerStatus { exclusive: true, ..shared }), &[]);
    let standby = ListenerStatus { consumers: Some(2), exclusive: true, ..listener("standby") };
    check(&judge_listener(&standby), &[]);
    let losing = "queue osnl was declared with other settings (durable: …): a restart deletes it";
    for state in ["listening", "standby"] {
        let listener = ListenerStatus {
            queue_lossy: Some(losing.to_owned()),
            queue_remedy: Some(AS_CONFIGURED.to_owned()),
            ..listener(state)
        };
        check(&judge_listener(&listener), &[(IncidentKind::QueueLossy, Warning, losing, "", AS_CONFIGURED)]);
    }
    // Its active reader takes none.
    let waiting = |seconds| ListenerStatus {
        queue_messages: Some(4),
        queue_waiting_seconds: Some(seconds),
        ..standby.clone()
    };
    check(&judge_listener(&waiting(59)), &[]);
    let found = judge_listener(&waiting(70));
    let what = "queue osnl: its active reader takes no message for 70 s; 4 wait";
    assert_eq!(
        (found[0].kind, found[0].severity, &*found[0].what),
        (IncidentKind::QueueUnread, Critical, what)
    );
}

/// B51, issue 46: virtual host and broker are named, and what is not known is not well.
#[test]
fn a_left_queue_is_an_incident_while_it_holds_or_receives_messages_or_may() {
    let judge = |messages, consumers, unbind: Option<&str>, expected: Option<(String, String)>| {
        let left = LeftQueue {
            broker: "mq1:5672".to_owned(),
            vhost: "/".to_owned(),
            queue: "old".to_owned(),
            messages,
            consumers,
            seen_seconds: messages.map(|_| 1),
            unbind: unbind.map(str::to_owned),
            delete: None,
        };
        let incident = judge_left_queue(&left);
        assert!(incident.iter().all(|incident| incident.kind == IncidentKind::QueueUnread));
        let found = incident.map(|incident| (incident.what, incident.why.unwrap_or_default()));
        assert_eq!(found, expected, "{left:?}");
    };
    let said = |seen: &str, consequence: &str| {
        let what = format!("queue old at mq1:5672 in virtual host /: no listener reads it any more; {seen}");
        (what, consequence.to_owned())
    };
    let (stays, fills) = ("it stays on the broker", "it fills the broker");
    judge(Some(3), Some(0), None, Some(said("3 messages in it", stays)));
    judge(Some(1), Some(0), Some("unbind"), Some(said("1 message in it, and its bindings fill it", fills)));
    judge(Some(0), Some(0), Some("unbind"), Some(said("it is empty, and its bindings fill it", fills)));
    judge(None, None, None, Some(said("its content is not known", stays)));
    let unknown = said("its content is not known, and its bindings fill it", fills);
    judge(None, None, Some("unbind"), Some(unknown));
    judge(Some(0), Some(0), None, None);
    judge(Some(3), Some(1), None, None);
    judge(Some(0), Some(1), Some("unbind"), None);
}

#[test]
fn a_history_that_is_worked_off_is_an_incident_while_it_lasts() {
    let old = ListenerStatus { old_events_seconds: Some(244 * 86_400), ..listener("listening") };
    let what = "nova: actions run for events that were up to 244 d old when they were read";
    let doing =
        "max_event_age = 1d in [listener:nova] would make dead letters of such events, which can be retried";
    check(&judge_listener(&old), &[(IncidentKind::OldEvents, Warning, what, "", doing)]);
}

#[test]
fn the_gaps_of_a_listener_are_one_incident_with_the_command_that_closes_them() {
    let gap = |id, listener: &str, is_certain, to_verify: &[&str]| GapRow {
        id,
        listener: listener.to_owned(),
        exchanges: Vec::new(),
        topics: Vec::new(),
        from: "2026-11-27T02:14:08.000Z".to_owned(),
        until: "2026-11-27T02:14:50.000Z".to_owned(),
        seconds: 30 * id,
        since_seconds: 600,
        cause: GapCause::QueueRecreated,
        is_certain,
        why: "the queue was deleted and made anew".to_owned(),
        to_verify: to_verify.iter().map(|name| (*name).to_owned()).collect(),
        command: format!("osnl gaps dismiss {id}"),
    };
    let gaps = [gap(1, "nova", false, &["roles"]), gap(2, "nova", true, &[]), gap(3, "neutron", false, &[])];
    let why = "the queue was deleted and made anew";
    let verify = "osnl gaps dismiss 1; or osnl gaps dismiss, if nothing can have been missed";
    let nova = "nova: 2 gaps of up to 60 s, in which notifications did not arrive";
    let neutron = "neutron: 1 gap of 90 s, in which notifications may not have arrived";
    let expected = [
        (IncidentKind::Gap, Critical, nova, why, verify),
        (IncidentKind::Gap, Warning, neutron, why, "osnl gaps dismiss 3; osnl gaps shows each"),
    ];
    check(&judge_gaps(&gaps), &expected);
    let labels: Vec<_> = judge_gaps(&gaps).iter().map(|one| one.reason().map(str::to_owned)).collect();
    assert_eq!(labels, [Some(why.to_owned()), Some(why.to_owned())], "no number that changes");
}
