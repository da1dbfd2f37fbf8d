//! Describes the cost of a dead machine with a configuration, and the better choice. Pure.
//!
//! The times were measured with RabbitMQ 3.10.8, 4.0.5, and 4.3.6; `docs/scale-out.md` has the table.

use osnl_brokers::Driver;
use osnl_transport::{BrokerVersion, Declare, HEARTBEAT, HEARTBEAT_OPTION, QueueKind, QueueType};

use super::{JournalConf, ListenerConf, Native};

#[derive(Clone, Copy, Debug)]
enum CostJournal {
    Sqlite,
    Memory,
}

#[derive(Clone, Copy, Debug)]
enum CostSource<'a> {
    Kafka,
    Amqp1,
    Queue(Option<&'a QueueKind>),
}

/// The missed heartbeats after which RabbitMQ closes a silent connection, as measured (2.6 to 2.9).
const SILENT_HEARTBEATS: f64 = 2.75;
/// RabbitMQ's own heartbeat, in seconds; the smaller of both sides applies.
const BROKER_HEARTBEAT: u16 = 60;

impl Native {
    /// Returns one line per fact, for each group of listeners with equal cost.
    pub(super) fn cost_of_a_dead_machine(&self) -> Vec<String> {
        let journal = match &self.journal {
            JournalConf::Sqlite(_) => CostJournal::Sqlite,
            JournalConf::Memory => CostJournal::Memory,
        };
        let mut costs: Vec<(Vec<String>, Vec<&str>)> = Vec::new();
        for listener in &self.listeners {
            let cost = cost(journal, source(listener), listener.rabbit.heartbeat(), None);
            match costs.iter_mut().find(|(known, _)| *known == cost) {
                Some((_, names)) => names.push(&listener.name),
                None => costs.push((cost, vec![&listener.name])),
            }
        }
        match &mut costs[..] {
            [(cost, _)] => std::mem::take(cost),
            costs => costs.iter().flat_map(|(cost, names)| warn_of_group(cost, names)).collect(),
        }
    }
}

fn warn_of_group(cost: &[String], names: &[&str]) -> Vec<String> {
    cost.iter().map(|line| format!("of {}: {line}", names.join(", "))).collect()
}

fn source(listener: &ListenerConf) -> CostSource<'_> {
    match listener.driver() {
        Driver::Rabbit => {}
        Driver::Kafka => return CostSource::Kafka,
        Driver::Amqp1 => return CostSource::Amqp1,
    }
    CostSource::Queue((listener.declare != Declare::Nothing).then_some(&listener.queue))
}

fn cost(
    journal: CostJournal,
    source: CostSource<'_>,
    heartbeat: u16,
    version: Option<BrokerVersion>,
) -> Vec<String> {
    let lines: &[&str] = match (journal, source) {
        (CostJournal::Sqlite, _) => &[
            "when it dies, its work waits for its disk; with a second controller, memory:// on a quorum queue goes on: osnl init --standby",
        ],
        (CostJournal::Memory, CostSource::Kafka) => &[
            "when it dies, the group gives its partitions to another daemon, and attempts under way are repeated",
        ],
        // The broker chooses this time-out, and tells it only to a connection.
        (CostJournal::Memory, CostSource::Amqp1) => &[
            "when it dies, another daemon on the queue goes on: a second after its process ends, the broker's idle time-out after it falls silent",
            "attempts under way are repeated",
        ],
        (CostJournal::Memory, CostSource::Queue(kind)) => return warn_of_queue(kind, heartbeat, version),
    };
    lines.iter().map(|&line| line.to_owned()).collect()
}

fn warn_of_queue(kind: Option<&QueueKind>, heartbeat: u16, version: Option<BrokerVersion>) -> Vec<String> {
    let seconds = |heartbeat: u16| {
        let silent = f64::from(heartbeat.min(BROKER_HEARTBEAT)) * SILENT_HEARTBEATS;
        format!("{silent:.0} s")
    };
    let silent = match heartbeat {
        0 => "if it falls silent, when TCP gives its connection up".to_owned(),
        beat => format!("{} after it falls silent", seconds(beat)),
    };
    let mut lines = vec![
        format!(
            "when it dies, another daemon on the queue goes on: a second after its process ends, {silent}"
        ),
        "attempts under way are repeated".to_owned(),
    ];
    if heartbeat == 0 || heartbeat > HEARTBEAT {
        lines.push(format!("{HEARTBEAT_OPTION} = {HEARTBEAT}: {} after it falls silent", seconds(HEARTBEAT)));
    }
    let Some(kind) = kind else { return lines };
    let is_quorum = kind.queue_type == QueueType::Quorum;
    if is_quorum && version.is_none_or(BrokerVersion::keeps_cut_off_connections) {
        let late = if kind.oslo_arguments { "60 s" } else { "20 s or more" };
        lines.push(format!("RabbitMQ 4.3 waits {late} if the daemon's node dies with it"));
    }
    if !is_quorum {
        lines.push("a classic queue waits for its node; rabbit_quorum_queue = true: it does not".to_owned());
    }
    if !kind.single_active_consumer {
        lines.push(
            "two daemons share the messages, without order; single_active_consumer = true: in order"
                .to_owned(),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_journal_and_queue_has_its_cost_and_the_better_choice() {
        let check = |journal, kind: Option<&QueueKind>, heartbeat, version: &str, expected: &[&str]| {
            let lines = cost(journal, CostSource::Queue(kind), heartbeat, BrokerVersion::read(version));
            assert_eq!(lines, expected);
        };
        let quorum = QueueKind { queue_type: QueueType::Quorum, ..QueueKind::DURABLE };
        let goes_on = "when it dies, another daemon on the queue goes on: a second after its process ends, 28 s after it \
                       falls silent";
        let repeated = "attempts under way are repeated";
        let late = "RabbitMQ 4.3 waits 20 s or more if the daemon's node dies with it";
        let disk = "when it dies, its work waits for its disk; with a second controller, memory:// on a quorum queue goes \
                    on: osnl init --standby";
        check(CostJournal::Sqlite, Some(&quorum), 10, "", &[disk]);
        check(CostJournal::Memory, Some(&quorum), 10, "", &[goes_on, repeated, late]);
        check(CostJournal::Memory, Some(&quorum), 10, "4.3.6", &[goes_on, repeated, late]);
        check(CostJournal::Memory, Some(&quorum), 10, "3.10.8", &[goes_on, repeated]);
        check(CostJournal::Memory, None, 10, "", &[goes_on, repeated]);
        let shorter = "heartbeat_timeout_threshold = 10: 28 s after it falls silent";
        let slow = goes_on.replace("28 s", "165 s");
        let classic = "a classic queue waits for its node; rabbit_quorum_queue = true: it does not";
        let lines = [&*slow, repeated, shorter, classic];
        check(CostJournal::Memory, Some(&QueueKind::DURABLE), 60, "", &lines);
        let share = "two daemons share the messages, without order; single_active_consumer = true: in order";
        let lines = [&*slow, repeated, shorter, classic, share];
        check(CostJournal::Memory, Some(&QueueKind::OSLO), 60, "", &lines);
        let never = goes_on
            .replace("28 s after it falls silent", "if it falls silent, when TCP gives its connection up");
        check(CostJournal::Memory, Some(&quorum), 0, "4.0.5", &[&*never, repeated, shorter]);
        // The heartbeat is an option of RabbitMQ.
        let idle = goes_on.replace("28 s", "the broker's idle time-out");
        assert_eq!(cost(CostJournal::Memory, CostSource::Amqp1, 60, None), [&*idle, repeated]);
    }
}
