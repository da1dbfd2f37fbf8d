//! The judgement of the shards that an action publishes to: each has a queue, with its binding and a reader, and the
//! broker keeps the same number of them.

use osnl_transport::{ExchangeInspection, Remedy, Shards, shell_quoted};

use super::judge::{Judge, messages};
use super::{Finding, FindingKind as Kind, FindingSeverity as Severity, QueueRow, QueueState, WantedShards};

const WAITS: &str = "the events of this shard wait at the splitter";

impl Judge<'_> {
    pub(super) fn shards(&self, wanted: &WantedShards) -> Vec<Finding> {
        let rows = (0..).zip(self.survey.queues.iter().filter(|row| row.is_read));
        let of_rows = rows.flat_map(|(shard, row)| self.shard(wanted, shard, row));
        self.exchange(&wanted.all).into_iter().chain(self.number(wanted)).chain(of_rows).collect()
    }

    fn exchange(&self, all: &Shards) -> Option<Finding> {
        let (name, found) = self.survey.exchanges.first()?;
        (*found == ExchangeInspection::Missing).then(|| {
            self.finding(
                (Kind::ExchangeMissing, Severity::Warning),
                format!("exchange {name}"),
                "it does not exist".to_owned(),
                "all events wait at the splitter",
                format!("start the daemons of {} shards: the first makes it", all.count),
            )
        })
    }

    fn number(&self, wanted: &WantedShards) -> Option<Finding> {
        let (former, count) = (wanted.former?, wanted.all.count.get());
        if former == count {
            return None;
        }
        let mut rows = self.survey.queues.iter().take(former as usize);
        let in_use = rows.any(|row| row.messages > 0 || row.consumers > 0);
        let (severity, consequence, command) = match in_use {
            true => (
                Severity::Warning,
                "nothing is published while one of its former queues has a message or a reader",
                format!("shards = {former} until they are empty; then stop the daemons of the shards"),
            ),
            false => (
                Severity::Note,
                "its former queues are empty and unread, so the splitter begins with the new number",
                "start the splitter, then the daemons of the shards".to_owned(),
            ),
        };
        let subject = format!("exchange {}", wanted.all.exchange);
        let seen = format!("it has {former} shards until now, and shards = {count} is configured");
        Some(self.finding((Kind::OtherShards, severity), subject, seen, consequence, command))
    }

    fn shard(&self, wanted: &WantedShards, shard: u32, row: &QueueRow) -> Vec<Finding> {
        if shard >= wanted.all.count.get() {
            return Vec::new();
        }
        let start = || Remedy::from("start the daemon of this shard");
        let one = |kind, seen, command: Remedy| {
            vec![self.queue_finding(row, (kind, Severity::Warning), seen, WAITS, command)]
        };
        match &row.state {
            QueueState::Missing => one(Kind::QueueMissing, "it does not exist".to_owned(), start()),
            QueueState::Refused(words) => {
                let command = row.remedy.clone().unwrap_or_else(|| Remedy::command("osnl check --connect"));
                one(Kind::QueueRefused, words.clone(), command)
            }
            QueueState::There => {
                let unread = (row.consumers == 0).then(|| {
                    let seen = format!("{}, and no daemon reads it", messages(row.messages));
                    let kind = (Kind::Growing, Severity::Warning);
                    self.queue_finding(row, kind, seen, "the events of this shard wait", start())
                });
                let bound = self.bound_otherwise(&wanted.all, shard, row);
                unread.into_iter().chain(bound).chain(self.differs(row)).collect()
            }
        }
    }

    /// Compares the bindings of a shard's queue, which the management API alone shows, with those of this number.
    fn bound_otherwise(&self, all: &Shards, shard: u32, row: &QueueRow) -> Vec<Finding> {
        let Some(made) = &row.bindings else { return Vec::new() };
        let keys = || made.iter().filter(|(source, _)| *source == all.exchange).map(|(_, key)| key);
        let own = Shards::key(shard);
        let missing = (!keys().any(|key| *key == own)).then(|| {
            let command = "restart the daemon of this shard, which binds it".to_owned();
            let seen = format!("it is not bound with {own} of {}", all.exchange);
            self.queue_finding(row, (Kind::NotBound, Severity::Warning), seen, WAITS, command)
        });
        let others: Vec<&str> = keys().filter(|key| **key != own).map(String::as_str).collect();
        let more = (!others.is_empty()).then(|| {
            let vhost = shell_quoted(self.survey.vhost());
            self.queue_finding(
                row,
                (Kind::OtherShards, Severity::Critical),
                format!("it is bound with {} of {} too", others.join(", "), all.exchange),
                "two daemons deliver the same events, in no order",
                format!("remove these bindings; to see all: rabbitmqctl list_bindings -p {vhost}"),
            )
        });
        missing.into_iter().chain(more).collect()
    }
}
