//! The remains of earlier runs in a journal: deliveries of removed actions, the history of guards, and the
//! times of events.

use std::slice;
use std::sync::Arc;
use std::time::SystemTime;

use osnl_core::age::order_time;
use osnl_model::{Budget, Timestamp};

use super::opened_journal::OpenedJournal;
use crate::intake::Parts;
use crate::journal::query::{KeyBounds, KeyedEvent, RecentDelivery};
use crate::journal::sqlite::{JournalRate, OpenError, SqliteReader};
use crate::native::{JournalConf, Native, RuleConf};
use crate::received::ReceivedMessage;
use crate::rule::{EventOrder, Guards, TimedEvent};

/// Open deliveries of an unconfigured action, which stay until an action has that name again, or until moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphans {
    pub action: String,
    pub deliveries: u64,
}

impl std::fmt::Display for Orphans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { action, deliveries } = self;
        write!(
            f,
            "orphaned: {deliveries} deliveries in the journal wait for [action:{action}], which is not configured; \
             they continue when an action has that name again; move or discard them otherwise"
        )
    }
}

impl Native {
    /// Returns the orphaned deliveries in the journal's file.
    pub fn orphans(&self) -> Result<Vec<Orphans>, OpenError> {
        let Some(reader) = self.journal.reader()? else { return Ok(Vec::new()) };
        let mut found: Vec<Orphans> = Vec::new();
        for tally in reader.tally()? {
            if !tally.state.is_open() || self.actions.iter().any(|action| *action.name == *tally.action) {
                continue;
            }
            match found.iter_mut().find(|orphans| orphans.action == tally.action) {
                Some(orphans) => orphans.deliveries += tally.count,
                None => found.push(Orphans { action: tally.action, deliveries: tally.count }),
            }
        }
        Ok(found)
    }

    pub(super) fn say_orphans(&self) {
        match self.orphans() {
            Ok(found) => found.iter().for_each(|orphans| {
                tracing::warn!(
                    action.name = &*orphans.action,
                    deliveries = orphans.deliveries,
                    "orphaned: deliveries wait for an action that is not configured; they continue when an action has that \
                     name again; move or discard them otherwise"
                );
            }),
            Err(error) => tracing::warn!(error = error.to_string(), "the journal cannot be read: orphaned deliveries are unknown"),
        }
    }
}

/// The bytes of rows that a start reads, twice what an observer keeps.
const MOST_SEEN: usize = 256 << 20;
/// The deliveries that a start reads for rules that order by the time of events.
const MOST_ORDERED: usize = 500_000;

impl JournalConf {
    fn reader(&self) -> Result<Option<SqliteReader>, OpenError> {
        match self {
            Self::Sqlite(options) if options.path.exists() => SqliteReader::open(&options.path).map(Some),
            Self::Sqlite(_) | Self::Memory => Ok(None),
        }
    }

    /// Returns the rate of the journal's last day; `None` if it cannot be read, which others report, or has too little.
    pub(crate) fn rate(&self) -> Option<JournalRate> {
        self.reader().ok()??.rate(SystemTime::now()).ok()?
    }

    pub(super) fn seen(&self) -> Vec<(String, String)> {
        let seen = self.reader().and_then(|reader| match reader {
            Some(reader) => Ok(reader.seen(MOST_SEEN)?),
            None => Ok(Vec::new()),
        });
        seen.unwrap_or_else(|error| {
            tracing::warn!(
                error = error.to_string(),
                "the journal cannot be read: earlier events about resources are unknown"
            );
            Vec::new()
        })
    }

    pub(super) fn remind(&self, guards: &Guards) {
        let Some(since) = guards.counts_since() else { return };
        let visited = self.reader().and_then(|reader| match reader {
            Some(reader) => Ok(reader.recent(since, |row| remember(guards, &row))?),
            None => Ok(()),
        });
        if let Err(error) = visited {
            tracing::warn!(
                error = error.to_string(),
                "the journal cannot be read: earlier counts of the guards are unknown"
            );
        }
    }
}

impl Native {
    /// Reads the times of the latest events of rules that order by them, unless `before` has ordered by them.
    pub(super) fn remind_order(&self, guards: &Guards, before: Option<&Native>) {
        let is_known = |rule: &RuleConf| {
            let mut rules = before.iter().flat_map(|before| &before.rules);
            let found = rules.find(|before| before.rule.name == rule.rule.name);
            found.is_some_and(|before| before.rule.order_by_event_time && before.listeners == rule.listeners)
        };
        let rules = self.rules.iter();
        let rules: Vec<&RuleConf> =
            rules.filter(|rule| rule.rule.order_by_event_time && !is_known(rule)).collect();
        if rules.is_empty() {
            return;
        }
        let visited = self.journal.reader().and_then(|reader| {
            let Some(reader) = reader else { return Ok(()) };
            note_latest(&reader, &rules, guards.order(), &self.budget())
        });
        if let Err(error) = visited {
            tracing::warn!(
                error = error.to_string(),
                "the journal cannot be read: order_by_event_time does not know the times of earlier events"
            );
        }
    }
}

fn note_latest(
    reader: &SqliteReader,
    rules: &[&RuleConf],
    order: &EventOrder,
    budget: &Budget,
) -> Result<(), OpenError> {
    // Deliveries of one event follow each other.
    let mut latest: Option<(i64, Option<(Timestamp, String)>)> = None;
    let most = KeyBounds { keys: EventOrder::KEYS, rows: MOST_ORDERED };
    let names: Vec<Arc<str>> = rules.iter().map(|rule| rule.rule.name.clone()).collect();
    Ok(reader.latest_keys(&names, most, |KeyedEvent { rule, key, number, received }| {
        if latest.as_ref().is_none_or(|(known, _)| *known != number) {
            latest = Some((number, timed(received, budget)));
        }
        let Some((_, Some((time, message)))) = &latest else { return };
        let Some(conf) = rules.iter().find(|conf| conf.rule.name == *rule) else { return };
        // A replayed event is of no listener, and a listener may have had another name.
        let from = &received.origin.listener;
        let heard = if conf.listeners.contains(from) { slice::from_ref(from) } else { &conf.listeners[..] };
        for listener in heard {
            let (rule, source) = (&conf.rule.name, &conf.rule.key);
            order.note(TimedEvent { rule, listener, source, key, time: *time, message });
        }
    })?)
}

fn timed(received: &ReceivedMessage, budget: &Budget) -> Option<(Timestamp, String)> {
    let notification = received.decode_within(budget).ok()?;
    let time = order_time(&notification, Some(received.origin.received))?;
    let message = Parts::new(&notification).message(received).to_owned();
    Some((time, message))
}

fn remember(guards: &Guards, row: &RecentDelivery) {
    guards.remember(&row.rule, &row.action, &row.key, row.received, row.has_passed);
}

pub(super) fn follow_releases(opened: &OpenedJournal, guards: &Arc<Guards>) {
    let guards = guards.clone();
    let told = Box::new(move |row: &RecentDelivery| remember(&guards, row));
    match (&opened.sqlite, &opened.memory) {
        (Some(journal), _) => journal.on_release(told),
        (None, Some(journal)) => journal.on_release(told),
        (None, None) => {}
    }
}
