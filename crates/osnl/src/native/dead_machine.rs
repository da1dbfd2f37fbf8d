//! Describes the cost of a dead machine with a configuration, and the better choice. Pure.
//!
//! The times were measured with RabbitMQ 3.10.8, 4.0.5, and 4.3.6; `docs/scale-out.md` has the table.

use osnl_transport::{BrokerVersion, Declare, Driver, HEARTBEAT, HEARTBEAT_OPTION, QueueKind, QueueType};

use super::{JournalConf, ListenerConf, Native};

#[derive(Clone, Copy, Debug)]
enum CostJournal {
    Sqlite,
    Memory,
}

#[derive(Clone, Copy, Debug)]
enum CostSource<'a> {
    Kafka,
    Queue(Option<&'a QueueKind>),
}

/// The missed heartbeats after which RabbitMQ closes a silent connection, as measured (2.6 to 2.9).
const SILENT_HEARTBEATS: f64 = 2.75;
/// RabbitMQ's own heartbeat, in seconds; the smaller of both sides applies.
const BROKER_HEARTBEAT: u16 = 60;

impl Native {
    /// Returns one sentence per group of listeners with equal cost.
    pub(super) fn cost_of_a_dead_machine(&self) -> Vec<String> {
        let journal = match &self.journal {
            JournalConf::Sqlite(_) => CostJournal::Sqlite,
            JournalConf::Memory => CostJournal::Memory,
        };
        let mut costs: Vec<(String, Vec<&str>)> = Vec::new();
        for listener in &self.listeners {
            let cost = cost(journal, source(listener), listener.rabbit.heartbeat(), None);
            match costs.iter_mut().find(|(known, _)| *known == cost) {
                Some((_, names)) => names.push(&listener.name),
                None => costs.push((cost, vec![&listener.name])),
            }
        }
        match &costs[..] {
            [(cost, _)] => vec![cost.clone()],
            costs => costs.iter().map(|(cost, names)| format!("of {}: {cost}", names.join(", "))).collect(),
        }
    }
}

fn source(listener: &ListenerConf) -> CostSource<'_> {
    match listener.driver() {
        Driver::Rabbit => {}
        Driver::Kafka => return CostSource::Kafka,
        Driver::Amqp1 => return CostSource::Queue(None),
    }
    CostSource::Queue((listener.declare != Declare::Nothing).then_some(&listener.queue))
}

fn cost(
    journal: CostJournal,
    source: CostSource<'_>,
    heartbeat: u16,
    version: Option<BrokerVersion>,
) -> String {
    match (journal, source) {
        (CostJournal::Sqlite, _) => {
            "its work waits for its disk; with a second controller, memory:// on a quorum queue goes on: osnl init --standby"
                .to_owned()
        }
        (CostJournal::Memory, CostSource::Kafka) => {
            "the group gives its partitions to another daemon, and attempts under way are repeated".to_owned()
        }
        (CostJournal::Memory, CostSource::Queue(kind)) => of_queue(kind, heartbeat, version),
    }
}

fn of_queue(kind: Option<&QueueKind>, heartbeat: u16, version: Option<BrokerVersion>) -> String {
    let seconds = |heartbeat: u16| {
        let silent = f64::from(heartbeat.min(BROKER_HEARTBEAT)) * SILENT_HEARTBEATS;
        format!("{silent:.0} s")
    };
    let shorter = format!("{HEARTBEAT_OPTION} = {HEARTBEAT} makes that {}", seconds(HEARTBEAT));
    let silent = match heartbeat {
        0 => format!("when TCP gives it up if it falls silent ({shorter})"),
        beat if beat > HEARTBEAT => {
            format!("after {} if it falls silent (heartbeat {beat} s; {shorter})", seconds(beat))
        }
        beat => format!("after {} if it falls silent", seconds(beat)),
    };
    let mut parts = vec![format!(
        "another daemon on the queue goes on, after a second if the process ends, {silent}; attempts under way are repeated"
    )];
    let Some(kind) = kind else { return parts.remove(0) };
    let is_quorum = kind.queue_type == QueueType::Quorum;
    if is_quorum && version.is_none_or(BrokerVersion::keeps_cut_off_connections) {
        let late = if kind.oslo_arguments { "60 s" } else { "20 s or more" };
        parts.push(format!("RabbitMQ 4.3 waits {late} if the daemon's node dies with it"));
    }
    if !is_quorum {
        parts.push("a classic queue waits for its node: rabbit_quorum_queue = true".to_owned());
    }
    if !kind.single_active_consumer {
        parts.push("two daemons share the messages, without order: single_active_consumer = true".to_owned());
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_journal_and_queue_has_its_cost_and_the_better_choice() {
        let check = |journal, kind: Option<&QueueKind>, heartbeat, version: &str, expected: &str| {
            let said = cost(journal, CostSource::Queue(kind), heartbeat, BrokerVersion::read(version));
            assert_eq!(said, expected);
        };
        let quorum = QueueKind { queue_type: QueueType::Quorum, ..QueueKind::DURABLE };
        let goes_on = "another daemon on the queue goes on, after a second if the process ends, after 28 s if it falls \
                       silent; attempts under way are repeated";
        let late = "RabbitMQ 4.3 waits 20 s or more if the daemon's node dies with it";
        check(
            CostJournal::Sqlite,
            Some(&quorum),
            10,
            "",
            "its work waits for its disk; with a second controller, memory:// on a quorum queue goes on: osnl init \
             --standby",
        );
        check(CostJournal::Memory, Some(&quorum), 10, "", &format!("{goes_on}; {late}"));
        check(CostJournal::Memory, Some(&quorum), 10, "4.3.6", &format!("{goes_on}; {late}"));
        check(CostJournal::Memory, Some(&quorum), 10, "3.10.8", goes_on);
        check(CostJournal::Memory, None, 10, "", goes_on);
        let shorter = "heartbeat_timeout_threshold = 10 makes that 28 s";
        let slow = goes_on.replace(
            "28 s if it falls silent",
            &format!("165 s if it falls silent (heartbeat 60 s; {shorter})"),
        );
        let classic = "a classic queue waits for its node: rabbit_quorum_queue = true";
        check(CostJournal::Memory, Some(&QueueKind::DURABLE), 60, "", &format!("{slow}; {classic}"));
        let share = "two daemons share the messages, without order: single_active_consumer = true";
        check(CostJournal::Memory, Some(&QueueKind::OSLO), 60, "", &format!("{slow}; {classic}; {share}"));
        let never = goes_on.replace(
            "after 28 s if it falls silent",
            &format!("when TCP gives it up if it falls silent ({shorter})"),
        );
        check(CostJournal::Memory, Some(&quorum), 0, "4.0.5", &never);
    }
}
