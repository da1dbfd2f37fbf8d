//! The rows of all metrics. `values.rs` has their values; `docs/reference/metrics.md` is made of the rows by
//! `tests/admin/packaging.rs`.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Grows until the process ends; its samples end in `_total`.
    Counter,
    Gauge,
    Histogram,
    /// The value 1 with facts as labels; its samples end in `_info`.
    Info,
}

impl MetricKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    pub kind: MetricKind,
    pub unit: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

impl Family {
    #[must_use]
    pub fn sample(&self) -> String {
        match self.kind {
            MetricKind::Counter => format!("{}_total", self.name),
            MetricKind::Info => format!("{}_info", self.name),
            MetricKind::Gauge | MetricKind::Histogram => self.name.to_owned(),
        }
    }
}

macro_rules! families {
    ($($id:ident = $name:literal $kind:ident $unit:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) static $id: Family =
            Family { name: $name, kind: MetricKind::$kind, unit: $unit, labels: &[$($label),*], help: $help };)*
        pub static FAMILIES: &[&Family] = &[$(&$id),*];
    };
}

families! {
    BUILD = "osnl_build" Info "" ["version"] "The version of the program.";
    ATTENTION = "osnl_attention" Gauge "" ["kind", "cause", "severity", "subject", "broker", "action", "listener", "reason"] "1 while there is an incident, as osnl status lists it; absent otherwise. Kinds that turn into one another have one cause. subject is the part that is broken, with its broker; broker is empty for a part of the daemon itself, action and listener where it concerns none. osnl's own words in reason have no number that moves; those of a target or a broker may.";
    GAPS = "osnl_gaps" Gauge "" ["listener", "certainty"] "Intervals in which notifications could not reach the listener (certain) or may not have (possible), and that are neither verified nor dismissed.";
    LISTENER_STATE = "osnl_listener_state" Gauge "" ["listener", "state"] "1 for the state that the listener is in.";
    LISTENER_STALLED = "osnl_listener_stalled" Gauge "" ["listener"] "1 while messages wait and none moves.";
    RECEIVED = "osnl_messages_received" Counter "" ["listener"] "Messages taken from the broker, redeliveries included.";
    MATCHED = "osnl_messages_matched" Counter "" ["listener"] "Messages that a rule matched.";
    UNMATCHED = "osnl_messages_unmatched" Counter "" ["listener"] "Messages that matched no rule.";
    QUARANTINED = "osnl_messages_quarantined" Counter "" ["listener"] "Messages that could not be read, or exceeded a limit.";
    DUPLICATES = "osnl_messages_duplicate" Counter "" ["listener"] "Messages that were in the journal already.";
    EVENTS = "osnl_events" Counter "" ["listener", "event_type"] "Messages by event type, redeliveries included; types beyond the first 500 of a listener, or longer than 100 bytes, are other.";
    LAST_MESSAGE = "osnl_listener_last_message_timestamp_seconds" Gauge "seconds" ["listener"] "The time of the latest message since the start.";
    RECONNECTS = "osnl_listener_reconnects" Counter "" ["listener"] "Connections to the broker after the first.";
    RECEIPT = "osnl_message_receipt_delay_seconds" Histogram "seconds" ["listener"] "The time from publication until receipt, of messages whose head matched a rule.";
    APPEND = "osnl_message_append_delay_seconds" Histogram "seconds" ["listener"] "The time from publication until the event was in the journal.";
    QUEUE_MESSAGES = "osnl_queue_messages" Gauge "" ["listener", "queue"] "Messages that wait with the broker, asked each ten seconds; without a sample while not connected.";
    QUEUE_CONSUMERS = "osnl_queue_consumers" Gauge "" ["listener", "queue"] "Consumers that the broker counts, osnl's own included; of a quorum queue with a single active consumer, that one alone; without a sample while not connected.";
    KAFKA_LAG = "osnl_kafka_consumergroup_lag" Gauge "" ["listener", "consumergroup", "topic", "partition"] "Messages from the group's next commit to the end, in a partition that the listener reads; absent while the end is not known.";
    KAFKA_LAG_UNKNOWN = "osnl_kafka_consumergroup_lag_unknown" Gauge "" ["listener", "consumergroup"] "Partitions that the listener reads and whose lag is not known.";
    BROKER_CERTIFICATE = "osnl_broker_certificate_expiry_timestamp_seconds" Gauge "seconds" ["listener"] "The end of the validity of the broker's certificate.";
    RULE_MATCHES = "osnl_rule_matches" Counter "" ["rule"] "Messages that the rule matched.";
    GUARD_HOLDING = "osnl_guard_holding" Gauge "" ["kind", "name"] "1 while the guard of a rule or an action holds further resources.";
    STREAM_SILENT = "osnl_stream_silent" Gauge "" ["kind", "name"] "1 while a listener or a rule with expect has fewer messages than that.";
    CANARIES = "osnl_canaries" Counter "" ["result"] "Canaries: sent, refused by the broker, returned, lost.";
    CANARY_LATE = "osnl_canary_late" Gauge "" [] "1 while no canary has come back for the time of three.";
    CANARY_DELAY = "osnl_canary_delay_seconds" Histogram "seconds" [] "The time from publication until the canary has come back.";
    TARGET_STATE = "osnl_target_state" Gauge "" ["action", "state"] "1 for the state that the target is in.";
    DELIVERIES = "osnl_deliveries" Gauge "" ["action", "state"] "Deliveries in the journal; those that have ended leave it after retention. ready has also what runs or is retried.";
    OLDEST_PENDING = "osnl_delivery_oldest_pending_age_seconds" Gauge "seconds" ["action"] "The age of the oldest delivery that does not wait for release; 0 without one.";
    IN_PROGRESS = "osnl_delivery_attempts_in_progress" Gauge "" ["action"] "Attempts under way.";
    ATTEMPTS = "osnl_delivery_attempts" Counter "" ["action", "result"] "Attempts by their result: ok, or the class of the failure.";
    ENDED = "osnl_deliveries_ended" Counter "" ["action", "outcome"] "Deliveries that have ended, by their outcome.";
    EFFECT = "osnl_delivery_effect_delay_seconds" Histogram "seconds" ["action"] "The time from publication until the effect, with delivery numbers as exemplars.";
    RESTARTS = "osnl_plugin_restarts" Counter "" ["action"] "The times that the program of an action was started again, of actions that keep one running.";
    TARGET_CERTIFICATE = "osnl_target_certificate_expiry_timestamp_seconds" Gauge "seconds" ["action"] "The end of the validity of the certificate that the target showed last.";
    GUARDED = "osnl_deliveries_guarded" Counter "" [] "Deliveries that a guard let wait for release.";
    TOO_OLD = "osnl_deliveries_too_old" Counter "" [] "Deliveries that became dead letters because their event was too old when it was first read (max_event_age), or overtaken by a newer one (order_by_event_time).";
    RETURNED = "osnl_messages_returned" Counter "" [] "Messages given back to the broker.";
    STALLS = "osnl_listener_stalls" Counter "" [] "The times that messages waited and none moved.";
    PATTERN_LIMITS = "osnl_pattern_limits" Counter "" [] "Texts that a pattern could not be tried on within its limit of steps.";
    QUARANTINE = "osnl_quarantine_messages" Gauge "" [] "Messages in quarantine.";
    DEAD_LETTER_QUEUE = "osnl_dead_letter_queue_messages" Gauge "" ["queue"] "Dead letters and unreadable messages in the dead letter queue of a journal in memory.";
    JOURNAL_STATE = "osnl_journal_state" Gauge "" ["state"] "1 for the state that the journal is in.";
    JOURNAL_READABLE = "osnl_journal_readable" Gauge "" [] "1 if the journal could be read for these numbers.";
    JOURNAL_SIZE = "osnl_journal_size_bytes" Gauge "bytes" [] "The space that the journal takes.";
    JOURNAL_MAX = "osnl_journal_max_size_bytes" Gauge "bytes" [] "The space that the journal may take.";
    JOURNAL_FREE = "osnl_journal_free_space_bytes" Gauge "bytes" [] "The free space of the journal's file system.";
    COMMITS = "osnl_journal_commit_duration_seconds" Histogram "seconds" [] "The time of a commit, its fdatasync included.";
    CHECKPOINTS = "osnl_journal_checkpoint_duration_seconds" Histogram "seconds" [] "The time of a move from the write-ahead log to the journal's file.";
    RELOADS = "osnl_config_reloads" Counter "" ["result"] "Reloads of the configuration.";
    RELOAD_OK = "osnl_config_last_reload_successful" Gauge "" [] "0 after a reload that was refused.";
    CONFIG_LOADED = "osnl_config_loaded_timestamp_seconds" Gauge "seconds" [] "The time at which the configuration in force was read.";
    CPU = "process_cpu_seconds" Counter "seconds" [] "CPU time of the process.";
    RSS = "process_resident_memory_bytes" Gauge "bytes" [] "Resident memory, with the pages of the program's file, which the kernel drops at will.";
    ANONYMOUS = "process_anonymous_memory_bytes" Gauge "bytes" [] "Anonymous memory: what the process costs.";
    VIRTUAL = "process_virtual_memory_bytes" Gauge "bytes" [] "Virtual memory.";
    MAX_VIRTUAL = "process_virtual_memory_max_bytes" Gauge "bytes" [] "The limit of virtual memory; 2^64 - 1 without one.";
    FDS = "process_open_fds" Gauge "" [] "Open file descriptors.";
    MAX_FDS = "process_max_fds" Gauge "" [] "The limit of open file descriptors.";
    THREADS = "process_threads" Gauge "" [] "Threads.";
    START = "process_start_time_seconds" Gauge "seconds" [] "The time at which the process began.";
}

#[must_use]
pub fn table() -> String {
    let mut table = "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for family in FAMILIES {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, help) = (family.sample(), family.kind.name(), family.help);
        table.push_str(&format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", ")));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_units_follow_the_conventions_of_prometheus() {
        for family in FAMILIES {
            let Family { name, unit, .. } = family;
            assert!(name.starts_with("osnl_") || name.starts_with("process_"), "{name}");
            assert!(unit.is_empty() || name.ends_with(&format!("_{unit}")), "{name} is in {unit}");
            assert!(!name.ends_with("_total") && !name.ends_with("_info"), "{name}: the ending is added");
            assert!(family.help.ends_with('.'), "{name}: {}", family.help);
        }
        let mut names: Vec<_> = FAMILIES.iter().map(|family| family.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAMILIES.len());
    }
}
