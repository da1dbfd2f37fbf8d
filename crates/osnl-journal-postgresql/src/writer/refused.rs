//! Records that PostgreSQL refuses while other records are accepted. Each record waits here and is retried
//! alone, so that it blocks only its own resource.
//!
//! The usual cause is a trigger or a constraint of the DBA; the record is stored once that is gone. Until
//! then `osnl status` names each record with PostgreSQL's message.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use osnl_journal::DeliveryId;
use osnl_journal::shared::RefusedRecord;
use tokio::time::Instant;

use crate::command::PostgresCommand;
use crate::delivery::ArrivedDelivery;

/// The pause before the second try; each further pause is twice as long.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// Status reports a given-up record for this time, so that an operator sees the loss.
const NAMED: Duration = Duration::from_secs(600);
/// With this many waiting records, the database refuses more than single rows, and the journal counts as
/// failed.
const MOST: usize = 100;
const MOST_GIVEN_UP: usize = 20;

pub(super) enum RefusedItem {
    Command(Box<PostgresCommand>),
    Arrived(ArrivedDelivery),
    GivenUp,
}

pub(super) struct RefusedTry {
    pub(super) item: RefusedItem,
    pub(super) shown: RefusedRecord,
    tries: u32,
    next: Instant,
}

#[derive(Default)]
pub(super) struct RefusedRecords {
    all: Vec<RefusedTry>,
    trying: Option<(SystemTime, u32)>,
}

impl RefusedRecords {
    pub(super) fn keep(&mut self, item: RefusedItem, (subject, record): (String, String), reason: String) {
        let (since, tries) = self.trying.take().unwrap_or_else(|| (SystemTime::now(), 0));
        if tries == 0 {
            tracing::error!(subject, record, reason, "PostgreSQL refuses a record, and takes others");
        }
        let pause = FIRST.saturating_mul(1 << tries.min(6)).min(LONGEST);
        let shown = RefusedRecord { subject, record, reason, since, is_given_up: false };
        self.all.push(RefusedTry { item, shown, tries: tries + 1, next: Instant::now() + pause });
    }

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

    pub(super) fn tried(&mut self) {
        self.trying = None;
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting() >= MOST
    }

    pub(super) fn waiting(&self) -> usize {
        self.all.iter().filter(|known| !matches!(known.item, RefusedItem::GivenUp)).count()
    }

    pub(super) fn shown(&self) -> Vec<RefusedRecord> {
        self.all.iter().map(|known| known.shown.clone()).collect()
    }

    /// Skips refused deliveries, and the later deliveries of their lanes.
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

pub(super) fn of_delivery(action: Option<&str>, record: &str, id: DeliveryId) -> (String, String) {
    let subject = action.map_or_else(|| "journal".to_owned(), |action| format!("action {action}"));
    (subject, format!("{record} of delivery {id}"))
}
