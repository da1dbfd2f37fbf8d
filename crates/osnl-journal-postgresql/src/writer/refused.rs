//! Records that PostgreSQL refuses while it takes others: each waits here and is tried alone, again and again, so that it holds
//! up nothing but its own resource.
//!
//! The usual cause is a trigger or a constraint of the DBA, and the record is taken once that is gone. Until then
//! `osnl status` names each record, with PostgreSQL's words.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use osnl_journal::DeliveryId;
use osnl_journal::shared::RefusedRecord;
use tokio::time::Instant;

use crate::command::PostgresCommand;
use crate::delivery::ArrivedDelivery;

/// The pause before the second try; each further pause is twice as long.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(60);
/// The time for which a record that was given up is named.
const NAMED: Duration = Duration::from_secs(600);
/// With so many records that wait, the database refuses more than single rows: the journal counts as failed.
const MOST: usize = 100;
/// The most records that were given up and are named.
const MOST_GIVEN_UP: usize = 20;

pub(super) enum RefusedItem {
    /// A command whose caller, or whose delivery, waits for the record.
    Command(Box<PostgresCommand>),
    /// A stored delivery that cannot be admitted.
    Arrived(ArrivedDelivery),
    /// Nothing: the record was given up, and is named for a while.
    GivenUp,
}

/// A record with its tries.
pub(super) struct RefusedTry {
    pub(super) item: RefusedItem,
    pub(super) shown: RefusedRecord,
    tries: u32,
    next: Instant,
}

#[derive(Default)]
pub(super) struct RefusedRecords {
    all: Vec<RefusedTry>,
    /// The beginning and the tries of the record that is being tried.
    trying: Option<(SystemTime, u32)>,
}

impl RefusedRecords {
    /// Keeps a record for later; `subject` and `record` name it.
    pub(super) fn keep(&mut self, item: RefusedItem, (subject, record): (String, String), reason: String) {
        let (since, tries) = self.trying.take().unwrap_or_else(|| (SystemTime::now(), 0));
        if tries == 0 {
            tracing::error!(subject, record, reason, "PostgreSQL refuses a record, and takes others");
        }
        let pause = FIRST.saturating_mul(1 << tries.min(6)).min(LONGEST);
        let shown = RefusedRecord { subject, record, reason, since, is_given_up: false };
        self.all.push(RefusedTry { item, shown, tries: tries + 1, next: Instant::now() + pause });
    }

    /// Names a record that is given up.
    pub(super) fn give_up(&mut self, (subject, record): (String, String), reason: String) {
        let is_given_up = |known: &RefusedTry| matches!(known.item, RefusedItem::GivenUp);
        let next = Instant::now() + NAMED;
        let known = self.all.iter_mut().find(|known| {
            is_given_up(known) && known.shown.subject == subject && known.shown.record == record
        });
        if let Some(known) = known {
            (known.shown.reason, known.next) = (reason, next);
            return;
        }
        tracing::error!(subject, record, reason, "PostgreSQL refuses a record, which is given up");
        if self.all.iter().filter(|known| is_given_up(known)).count() < MOST_GIVEN_UP {
            let since = SystemTime::now();
            let shown = RefusedRecord { subject, record, reason, since, is_given_up: true };
            self.all.push(RefusedTry { item: RefusedItem::GivenUp, shown, tries: 0, next });
        }
    }

    /// Takes the next record that is to be tried now; forgets those that were named for long enough.
    pub(super) fn take_due(&mut self) -> Option<RefusedTry> {
        let now = Instant::now();
        self.all.retain(|known| !matches!(known.item, RefusedItem::GivenUp) || known.next > now);
        let at = self
            .all
            .iter()
            .position(|known| known.next <= now && !matches!(known.item, RefusedItem::GivenUp))?;
        let due = self.all.remove(at);
        self.trying = Some((due.shown.since, due.tries));
        Some(due)
    }

    /// The record that was due has been tried.
    pub(super) fn tried(&mut self) {
        self.trying = None;
    }

    /// Whether so many wait that the database counts as one that cannot be written.
    pub(super) fn is_full(&self) -> bool {
        self.waiting() >= MOST
    }

    /// Returns the number of records that wait.
    pub(super) fn waiting(&self) -> usize {
        self.all.iter().filter(|known| !matches!(known.item, RefusedItem::GivenUp)).count()
    }

    /// Returns the records as they are named, and the reason of the latest.
    pub(super) fn shown(&self) -> Vec<RefusedRecord> {
        self.all.iter().map(|known| known.shown.clone()).collect()
    }

    /// Leaves out refused deliveries, and the later deliveries of their lanes.
    pub(super) fn without_refused(&self, mut arrived: Vec<ArrivedDelivery>) -> Vec<ArrivedDelivery> {
        let (mut ids, mut lanes) = (HashSet::new(), HashSet::new());
        for known in &self.all {
            if let RefusedItem::Arrived(refused) = &known.item {
                ids.insert(refused.id);
                lanes.extend(refused.lane);
            }
        }
        arrived.retain(|new| !ids.contains(&new.id) && new.lane.is_none_or(|lane| !lanes.contains(&lane)));
        arrived
    }
}

/// Names a record about a delivery of an action.
pub(super) fn of_delivery(action: Option<&str>, record: &str, id: DeliveryId) -> (String, String) {
    let subject = action.map_or_else(|| "journal".to_owned(), |action| format!("action {action}"));
    (subject, format!("{record} of delivery {id}"))
}
