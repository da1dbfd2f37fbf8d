//! The output of `osnl queues`: tables and findings, or one object `{"brokers", "findings"}`.

use std::ops::Range;
use std::sync::Arc;

use osnl::control::grouped;
use osnl::listener::UnreadQueue;
use osnl::queues::{Finding, FindingSeverity, QueueRow, QueueState, Survey, WantedOrigin};
use osnl_transport::ExchangeInspection;
use serde_json::{Value, json};

use super::super::table::table;
use super::topics::{self, TopicsInspection};
use crate::clean;
use crate::output;
use crate::terminal::Tone;

pub(super) struct QueuesReport {
    pub(super) surveys: Vec<Survey>,
    pub(super) topics: Vec<TopicsInspection>,
    pub(super) amqp1: Vec<Amqp1Listener>,
    pub(super) left: Vec<UnreadQueue>,
    pub(super) findings: Vec<Finding>,
}

/// A listener on AMQP 1.0, whose broker is not asked.
pub(super) struct Amqp1Listener {
    pub(super) name: Arc<str>,
    pub(super) broker: String,
}

const WORDS: [(FindingSeverity, &str); 3] = [
    (FindingSeverity::Critical, "critical"),
    (FindingSeverity::Warning, "warning"),
    (FindingSeverity::Note, "note"),
];

impl QueuesReport {
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for survey in &self.surveys {
            text.push_str(&heading(survey));
            text.push_str(&table(rows(survey)));
            if let Some(unknown) = &survey.unknown {
                text.push_str(&format!("  not known: types, bindings, policies: {}\n", unknown.reason()));
                text.push_str(&format!("  -> {}\n", unknown.remedy()));
            }
            text.push('\n');
        }
        for inspection in &self.topics {
            text.push_str(&format!("Kafka at {}\n", inspection.broker));
            match &inspection.seen {
                Err(error) => text.push_str(&format!("  {error}\n")),
                Ok(seen) => {
                    let lines = topics::lines(seen, &inspection.missing);
                    text.extend(lines.iter().map(|(what, line)| format!("  {what} {line}\n")));
                }
            }
            text.push('\n');
        }
        for Amqp1Listener { name, broker } in &self.amqp1 {
            text.push_str(&format!("listener {name}: {broker}, AMQP 1.0 has no queues to look at\n\n"));
        }
        for alike in folded(&self.findings) {
            text.push_str(&shown(&alike));
        }
        text.push_str(&self.sum());
        text.lines().map(|line| format!("{}\n", clean::text(line))).collect()
    }

    fn sum(&self) -> String {
        let count = |severity| self.findings.iter().filter(|finding| finding.severity == severity).count();
        let counts =
            WORDS.iter().map(|(severity, word)| (count(*severity), word)).filter(|(count, _)| *count > 0);
        let plural = |count, word: &str| if count == 1 || word == "critical" { "" } else { "s" };
        let counts = counts.map(|(count, word)| format!("{count} {word}{}", plural(count, word)));
        let counts: Vec<String> = counts.collect();
        match counts.is_empty() {
            true if self.topics.iter().any(TopicsInspection::is_wrong) => {
                "Kafka has troubles, shown above\n".to_owned()
            }
            true => "no findings\n".to_owned(),
            false => format!("findings: {}\n", counts.join(", ")),
        }
    }

    pub(super) fn json(&self) -> String {
        let brokers: Vec<Value> = self.surveys.iter().map(broker).collect();
        let kafka: Vec<Value> = self
            .topics
            .iter()
            .map(|inspection| {
                let seen = inspection.seen.as_ref();
                json!({"broker": inspection.broker, "seen": seen.map(topics::json).ok(), "error": seen.err(), "missing": inspection.missing})
            })
            .collect();
        let amqp1 = self.amqp1.iter();
        let amqp1: Vec<Value> =
            amqp1.map(|conf| json!({"listener": &*conf.name, "broker": conf.broker})).collect();
        let all = json!({"brokers": brokers, "kafka": kafka, "amqp1": amqp1, "findings": self.findings});
        clean::json(format!("{all}\n"))
    }
}

fn heading(survey: &Survey) -> String {
    let words = survey.greeting.words().unwrap_or_else(|| "not reached".to_owned());
    let wanted = &survey.wanted;
    let of = match &wanted.origin {
        WantedOrigin::Shards(shards) => format!("{} shards of action {}", shards.all.count, wanted.listener),
        WantedOrigin::Url => "broker".to_owned(),
        WantedOrigin::Listener => format!("listener {}", wanted.listener),
    };
    format!("{of}: {}, virtual host {}, {words}\n", survey.wanted.broker, survey.vhost())
}

fn rows(survey: &Survey) -> Vec<Vec<String>> {
    let mut rows = vec![["  name", "state", "messages", "growth", "consumers"].map(str::to_owned).to_vec()];
    for (name, inspection) in &survey.exchanges {
        let state = match inspection {
            ExchangeInspection::Missing => "missing".to_owned(),
            ExchangeInspection::Refused(reason) => reason.clone(),
            ExchangeInspection::There(found) => {
                let durable = match found.durable {
                    Some(true) => "durable",
                    Some(false) => "transient",
                    None => "durability not known",
                };
                format!("{}, {durable}", found.kind.as_deref().unwrap_or("topic"))
            }
        };
        rows.push(vec![format!("  exchange {name}"), state]);
    }
    // Hardly a service publishes with all priorities.
    let shown = survey.queues.iter().filter(|row| row.is_read || row.state != QueueState::Missing);
    rows.extend(shown.map(|row| {
        let growth = row.growth.map_or_else(|| "-".to_owned(), |growth| format!("{growth:.1}/s"));
        let numbers = match row.state {
            QueueState::There => [grouped(row.messages), growth, grouped(row.consumers)],
            QueueState::Missing | QueueState::Refused(_) => ["-", "-", "-"].map(str::to_owned),
        };
        [vec![format!("  queue {}", row.name), state(row)], numbers.to_vec()].concat()
    }));
    rows
}

fn state(row: &QueueRow) -> String {
    let whose = if row.is_read { "read by osnl" } else { "the services'" };
    match &row.state {
        QueueState::Missing => "missing".to_owned(),
        // The finding has the reason.
        QueueState::Refused(_) if row.is_read => "refused".to_owned(),
        QueueState::Refused(reason) => reason.clone(),
        QueueState::There => {
            let durable = row.durable.map(|durable| if durable { "durable" } else { "transient" });
            let words = [Some(whose), row.queue_type.as_deref(), durable];
            words.into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
    }
}

/// Joins the findings that say the same about several queues or exchanges, each with its own counts.
fn folded(findings: &[Finding]) -> Vec<Vec<&Finding>> {
    let mut folded: Vec<Vec<&Finding>> = Vec::new();
    for finding in findings {
        let is_same = |other: &Finding| {
            let seen = if finding.kind.is_counted() { &finding.seen } else { &other.seen };
            let (subject, seen) = (finding.subject.clone(), seen.clone());
            Finding { subject, seen, ..other.clone() } == *finding
        };
        match folded.iter_mut().find(|alike| alike.first().is_some_and(|other| is_same(other))) {
            Some(alike) => alike.push(finding),
            None => folded.push(vec![finding]),
        }
    }
    folded
}

fn shown(alike: &[&Finding]) -> String {
    let Some(Finding { severity, vhost, broker, consequence, command, deployers, .. }) = alike.first() else {
        return String::new();
    };
    let (mut text, mut word) = (String::new(), word(*severity));
    for same in alike.chunk_by(|one, other| one.seen == other.seen) {
        let subjects: Vec<&str> = same.iter().map(|one| &*one.subject).collect();
        let seen = same.first().map_or("", |one| &*one.seen);
        text.push_str(&format!(
            "{word:<9} {} ({broker}, virtual host {vhost}): {seen}\n",
            subjects.join(", ")
        ));
        word = "";
    }
    text.push_str(&format!("          if nothing is done: {consequence}\n          -> {command}\n"));
    // A note can wait: --format json has the lines of each deployment tool.
    let deployers = deployers.iter().filter(|_| *severity > FindingSeverity::Note);
    text.extend(deployers.map(|(name, line)| format!("             {name:<18} {line}\n")));
    text
}

fn word(severity: FindingSeverity) -> &'static str {
    WORDS.iter().find(|(known, _)| *known == severity).map_or("", |(_, word)| word)
}

pub(super) fn tint(line: &str) -> Option<(Tone, Range<usize>)> {
    match line.split(' ').next() {
        Some("critical") => output::word(line, &[("critical", Tone::Bad)]),
        Some("warning") => output::word(line, &[("warning", Tone::Warn)]),
        Some("listener" | "broker:") => output::all(Tone::Strong, line),
        _ if line.contains(" shards of action ") => output::all(Tone::Strong, line),
        _ if line.starts_with("  name ") => output::all(Tone::Dim, line),
        _ if line == "no findings" => output::all(Tone::Good, line),
        _ => None,
    }
}

fn broker(survey: &Survey) -> Value {
    let exchanges = survey.exchanges.iter().map(|(name, inspection)| match inspection {
        ExchangeInspection::There(found) => {
            json!({"name": name, "state": "there", "type": found.kind, "durable": found.durable})
        }
        ExchangeInspection::Missing => json!({"name": name, "state": "missing"}),
        ExchangeInspection::Refused(reason) => json!({"name": name, "state": "refused", "reason": reason}),
    });
    let has_listener = matches!(survey.wanted.origin, WantedOrigin::Listener);
    let listener = has_listener.then_some(&*survey.wanted.listener);
    let shards = survey.wanted.shards().map(|shards| {
        json!({"action": &*survey.wanted.listener, "count": shards.all.count, "former": shards.former})
    });
    json!({
        "listener": listener, "shards": shards, "broker": survey.wanted.broker, "vhost": survey.vhost(),
        "version": survey.greeting.version, "reached": survey.is_reached,
        "exchanges": exchanges.collect::<Vec<_>>(), "queues": survey.queues,
        "unknown": survey.unknown.as_ref().map(|unknown| json!({"reason": unknown.reason(), "remedy": unknown.remedy()})),
    })
}

#[cfg(test)]
mod tests {
    use osnl::queues::FindingKind;

    use super::*;

    #[test]
    fn one_note_stands_for_all_queues_of_which_it_is_true_and_its_deployers_wait() {
        let found = |subject: &str, severity| Finding {
            kind: FindingKind::Differs,
            severity,
            broker: "mq1:5672".to_owned(),
            vhost: "/".to_owned(),
            subject: subject.to_owned(),
            seen: "is transient".to_owned(),
            consequence: "RabbitMQ 4.3 refuses it".to_owned(),
            command: "set amqp_durable_queues = true".into(),
            deployers: [("kolla".to_owned(), "a line".to_owned())].into(),
            files: Vec::new(),
        };
        let text =
            |findings: &[Finding]| -> String { folded(findings).iter().map(|alike| shown(alike)).collect() };
        let notes = ["queue info", "queue error"].map(|subject| found(subject, FindingSeverity::Note));
        let expected = "note      queue info, queue error (mq1:5672, virtual host /): is transient\n          \
                        if nothing is done: RabbitMQ 4.3 refuses it\n          -> set amqp_durable_queues = true\n";
        assert_eq!(text(&notes), expected);
        let unread = |subject: &str, seen: &str| Finding {
            kind: FindingKind::Unread,
            seen: seen.to_owned(),
            ..found(subject, FindingSeverity::Note)
        };
        let counted = [unread("queue info", "3 messages"), unread("queue error", "1 message")];
        let expected = "note      queue info (mq1:5672, virtual host /): 3 messages\n          \
                        queue error (mq1:5672, virtual host /): 1 message\n          \
                        if nothing is done: RabbitMQ 4.3 refuses it\n          -> set amqp_durable_queues = true\n";
        assert_eq!(text(&counted), expected);
        let [note, other] = notes;
        let other = Finding { seen: "has 7 messages".to_owned(), ..other };
        assert_eq!(text(&[note, other]).matches("if nothing is done").count(), 2);
        let urgent = text(&[found("queue info", FindingSeverity::Warning)]);
        assert!(urgent.ends_with("             kolla              a line\n"), "{urgent}");
    }
}
