//! Folds incidents: an effect of another incident's cause is a symptom of that incident, and no second entry.

use super::{Incident, IncidentCause, IncidentKind as Kind};

pub(in crate::control) fn fold(incidents: Vec<Incident>) -> Vec<Incident> {
    let (mut effects, mut kept): (Vec<Incident>, Vec<Incident>) =
        incidents.into_iter().partition(|one| is_effect(one.kind));
    effects.sort_by_key(|one| one.kind);
    for effect in effects {
        match kept.iter_mut().find(|cause| causes(cause, &effect)) {
            Some(cause) => take(cause, effect),
            None => kept.push(effect),
        }
    }
    join_queues(kept)
}

/// Joins the incidents of several listeners of one queue or exchange, `nova, neutron: queue …`: equal incidents, and incidents of looks at the same queue with different numbers. The latest look counts.
fn join_queues(incidents: Vec<Incident>) -> Vec<Incident> {
    let mut joined: Vec<Incident> = Vec::new();
    for incident in incidents {
        let same = |one: &&mut Incident| {
            let is_equal = is_of_one_cause(one, &incident) && one.words == incident.words;
            let is_of_one_part = one.place.is_some() && one.subject == incident.subject;
            let is_near = one.kind == incident.kind && one.place == incident.place;
            incident.words.is_some() && is_near && (is_equal || is_of_one_part)
        };
        match joined.iter_mut().find(same) {
            Some(one) => {
                let is_later = incident.look_age < one.look_age;
                let words = one.words.clone().filter(|_| !is_later).or_else(|| incident.words.clone());
                let listeners = [&*one.listeners, &*incident.listeners].concat();
                let what = format!("{}: {}", listeners.join(", "), words.as_deref().unwrap_or_default());
                let latest = if is_later { incident } else { one.clone() };
                *one = Incident { listeners, what, words, ..latest };
            }
            None => joined.push(incident),
        }
    }
    joined
}

fn is_of_one_cause(one: &Incident, other: &Incident) -> bool {
    one.why == other.why && one.command == other.command && one.to_do == other.to_do
}

fn is_effect(kind: Kind) -> bool {
    matches!(kind, Kind::ListenerConnecting | Kind::ListenerBlocked | Kind::Silent | Kind::CanaryLate)
}

fn causes(cause: &Incident, effect: &Incident) -> bool {
    let is = |kind| cause.kind == kind || cause.symptoms.contains(&kind);
    let is_journal = cause.kind.cause() == IncidentCause::NotKept;
    let reads_nothing = cause.kind.cause() == IncidentCause::NotRead || is(Kind::ListenerBlocked);
    match effect.kind {
        Kind::ListenerConnecting => is(Kind::ListenerConnecting) && is_of_one_cause(cause, effect),
        Kind::ListenerBlocked => {
            let is_full = |action| cause.actions.contains(action);
            is_journal || is(Kind::PendingFull) && effect.full_action.as_ref().is_some_and(is_full)
        }
        Kind::Silent => {
            let is_same = cause.listeners.iter().any(|name| effect.listeners.contains(name));
            let comes_nothing =
                matches!(cause.kind, Kind::ExchangeMissing | Kind::ExchangeType | Kind::NeverReceived);
            is_same && (reads_nothing || comes_nothing)
        }
        _ => is_journal || reads_nothing,
    }
}

fn take(cause: &mut Incident, effect: Incident) {
    match effect.kind {
        Kind::ListenerConnecting => {
            cause.subject = format!("{}, {}", cause.subject, effect.listeners.join(", "));
            cause.what = format!("{}, {}", effect.listeners.join(", "), cause.what);
        }
        Kind::ListenerBlocked => {
            cause.what.push_str(&format!("; {} reads nothing", effect.subject));
        }
        _ => {}
    }
    cause.severity = cause.severity.max(effect.severity);
    if effect.kind != cause.kind && !cause.symptoms.contains(&effect.kind) {
        cause.symptoms.push(effect.kind);
    }
    for name in effect.listeners {
        if !cause.listeners.contains(&name) {
            cause.listeners.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::IncidentSeverity::{Critical, Warning};
    use super::super::judge_listener;
    use super::*;
    use crate::control::ListenerStatus;
    use crate::queues::BrokerPlace;

    fn listener_incident(kind: Kind, name: &str, why: &str) -> Incident {
        let found = Incident::new(kind, Critical, format!("listener {name}"), kind.name());
        found.named_by_listener(name).because(why)
    }

    fn shown(incidents: Vec<Incident>) -> Vec<String> {
        let one = |one: &Incident| {
            let symptoms: Vec<String> = one.symptoms.iter().map(|kind| kind.name()).collect();
            format!("{:?} {} [{}] ({})", one.severity, one.what, symptoms.join(" "), one.listeners.join(" "))
        };
        fold(incidents).iter().map(one).collect()
    }

    #[test]
    fn a_broker_that_is_down_is_one_incident_of_all_its_listeners() {
        let refused = "mq1:5672: Connection refused";
        let silent = Incident {
            severity: Warning,
            ..listener_incident(Kind::Silent, "nova", "expected are 1 per 10m")
        };
        let canary = Incident::new(Kind::CanaryLate, Critical, "canary", "the canary is late");
        let connecting = |name, why| listener_incident(Kind::ListenerConnecting, name, why);
        let all = [
            silent.clone(),
            connecting("nova", refused),
            connecting("neutron", refused),
            connecting("cinder", "login refused"),
            canary.clone(),
        ];
        let expected = [
            "Critical neutron, nova: listener-connecting [silent canary-late] (nova neutron)",
            "Critical cinder: listener-connecting [] (cinder)",
        ];
        assert_eq!(shown(all.to_vec()), expected);
        let unread = |name, why| listener_incident(Kind::ServicesQueueUnread, name, why);
        let queues = vec![unread("nova", "fills"), unread("neutron", "fills"), unread("cinder", "is full")];
        let expected = [
            "Critical nova, neutron: services-queue-unread [] (nova neutron)",
            "Critical cinder: services-queue-unread [] (cinder)",
        ];
        assert_eq!(shown(queues), expected);
        // A listener that reads explains no silence.
        let other = [connecting("cinder", "login refused"), silent];
        assert_eq!(shown(other.to_vec()).len(), 2);
        assert_eq!(shown(vec![canary]), ["Critical the canary is late [] ()"]);
    }

    #[test]
    fn looks_at_one_queue_of_a_broker_are_one_incident_with_the_latest_numbers() {
        let look = |name: &str, broker: &str, messages: u64, age| {
            let what = format!("queue notifications.info: {messages} messages");
            let found = Incident::new(Kind::ServicesQueueUnread, Warning, "queue notifications.info", what);
            let place = BrokerPlace { broker: broker.to_owned(), vhost: Some("/".to_owned()) };
            Incident { look_age: Some(age), ..found.at(Some(place)).named_by_listener(name) }
        };
        let all = vec![
            look("nova", "mq1", 1469, 240),
            look("cinder", "mq2", 7, 0),
            look("glance", "mq1", 1701, 60),
        ];
        let expected = [
            "Warning nova, glance: queue notifications.info: 1701 messages [] (nova glance)",
            "Warning cinder: queue notifications.info: 7 messages [] (cinder)",
        ];
        assert_eq!(shown(all), expected);
        // An alarm is the broker's, whatever the virtual hosts.
        let alarm = |name: &str| {
            let place = BrokerPlace { broker: "mq1".to_owned(), vhost: None };
            Incident::new(Kind::PublishersBlocked, Critical, "broker mq1", "broker mq1: it blocks publishers")
                .at(Some(place))
                .named_by_listener(name)
        };
        let expected = ["Critical nova, glance: broker mq1: it blocks publishers [] (nova glance)"];
        assert_eq!(shown(vec![alarm("nova"), alarm("glance")]), expected);
    }

    #[test]
    fn the_label_of_a_metric_names_the_broker_and_is_the_same_while_listeners_come_and_go() {
        let place = |vhost: Option<&str>| {
            Some(BrokerPlace { broker: "mq1".to_owned(), vhost: vhost.map(str::to_owned) })
        };
        let check = |kind, subject: &str, at, expected: (&str, Option<&str>)| {
            let found = Incident::new(kind, Warning, subject, "").at(at);
            assert_eq!((&*found.part(), found.broker()), expected);
        };
        let queue = "queue osnl";
        check(Kind::QueueLossy, queue, place(Some("/")), ("queue osnl at mq1, virtual host /", Some("mq1")));
        check(Kind::PublishersBlocked, "broker mq1", place(None), ("broker mq1", Some("mq1")));
        let connection = ("broker mq1, virtual host /", None);
        check(Kind::ListenerConnecting, "listener nova", place(Some("/")), connection);
        check(Kind::ListenerConnecting, "listener nova, neutron", place(Some("/")), connection);
        check(Kind::TargetDown, "action hook", None, ("action hook", None));
        // Of a cluster without queues, the cause names the broker whose error came last.
        let location = "kafka at k1:9092, k2:9092";
        let connecting = |name: &str, host: &str| {
            judge_listener(&ListenerStatus {
                name: name.to_owned(),
                state: "connecting".to_owned(),
                broker: location.to_owned(),
                reason: Some(format!("{host}: Connection refused")),
                ..ListenerStatus::default()
            })
        };
        let part = format!("broker {location}");
        for (host, expected) in [("k2:9092", 2), ("k1:9092", 1)] {
            let found = fold([connecting("nova", "k1:9092"), connecting("neutron", host)].concat());
            let parts: Vec<_> = found.iter().map(|one| (one.part(), one.broker())).collect();
            assert_eq!(parts, vec![(part.clone(), None); expected]);
        }
    }

    #[test]
    fn a_listener_that_has_no_place_is_a_symptom_of_what_is_full() {
        let journal = Incident::new(Kind::JournalFull, Critical, "journal", "the journal is full");
        let blocked = |full_action: Option<&str>| Incident {
            full_action: full_action.map(str::to_owned),
            ..listener_incident(Kind::ListenerBlocked, "nova", "no place")
        };
        let expected =
            ["Critical the journal is full; listener nova reads nothing [listener-blocked] (nova)"];
        assert_eq!(shown(vec![blocked(None), journal]), expected);

        let action = |name: &str| {
            let found =
                Incident::new(Kind::TargetDown, Warning, format!("action {name}"), name).for_action(name);
            Incident { symptoms: vec![Kind::PendingFull], ..found }
        };
        let expected = [
            "Warning other [pending-full] ()",
            "Critical hook; listener nova reads nothing [pending-full listener-blocked] (nova)",
        ];
        assert_eq!(shown(vec![blocked(Some("hook")), action("other"), action("hook")]), expected);
        let alone = ["Critical nova: listener-blocked [] (nova)"];
        assert_eq!(shown(vec![blocked(None)]), alone);
    }
}
