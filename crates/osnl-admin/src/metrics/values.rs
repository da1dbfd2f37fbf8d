//! The value of each metric, from the counters and the status.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use osnl::control::{MeasuredAction, MeasuredJournal, MeasuredListener, Measurements};
use osnl::journal::query::{Phase, RowState};
use osnl_core::metrics::{Canary, Counter};
use tokio::time::Instant;

use super::ProcessNumbers;
use super::families as of;
use super::families::Family;
use super::text::{FamilyWriter, SampleWriter};

const LISTENER_STATES: [&str; 6] = ["connecting", "listening", "standby", "blocked", "draining", "stopped"];
const TARGET_STATES: [&str; 4] = ["ok", "down", "probing", "paused"];
/// The most characters of an incident's reason: an answer of a target may be a page.
const REASON: usize = 200;
const JOURNAL_STATES: [&str; 3] = ["ok", "full", "failed"];

pub(super) fn write(measured: &Measurements, process: Option<&ProcessNumbers>, out: &mut FamilyWriter) {
    out.family(&of::BUILD, |samples| samples.sample(&[env!("CARGO_PKG_VERSION")], 1u64));
    out.family(&of::ATTENTION, |samples| {
        // Two incidents of one kind, such as of two deliveries of an action, are one sample for each reason.
        let mut all = BTreeSet::new();
        for incident in &measured.incidents {
            let (kind, cause) = (incident.kind.name(), incident.kind.cause().to_string());
            let (severity, subject) = (incident.severity.name(), incident.part());
            let broker = incident.broker().unwrap_or_default();
            let reason: String = incident.reason().unwrap_or_default().chars().take(REASON).collect();
            let or_none = |names: &[String]| match names {
                [] => vec![String::new()],
                names => names.to_vec(),
            };
            for action in or_none(&incident.actions) {
                for listener in or_none(&incident.listeners) {
                    let labels: [&str; 8] =
                        [&kind, &cause, &severity, &subject, broker, &action, &listener, &reason];
                    all.insert(labels.map(str::to_owned));
                }
            }
        }
        for labels in &all {
            samples.sample(&labels.each_ref().map(String::as_str), 1u64);
        }
    });
    out.family(&of::GAPS, |samples| {
        for listener in &measured.listeners {
            for (certainty, count) in ["possible", "certain"].into_iter().zip(listener.gaps) {
                samples.sample(&[&listener.name, certainty], count);
            }
        }
    });
    listeners(&measured.listeners, out);
    out.family(&of::RULE_MATCHES, |samples| {
        measured.rules.iter().for_each(|(rule, times)| samples.sample(&[rule], *times));
    });
    out.family(&of::GUARD_HOLDING, |samples| {
        for (kind, name, holds) in &measured.guards {
            samples.sample(&[kind, name], u64::from(*holds));
        }
    });
    out.family(&of::STREAM_SILENT, |samples| {
        for stream in &measured.streams {
            samples.sample(&[stream.kind.name(), &stream.name], u64::from(stream.is_silent));
        }
    });
    canary(&measured.counters.series.canary, out);
    actions(&measured.actions, out);
    let counters = &measured.counters;
    let total = |counter: &Counter| Some(counter.get());
    out.value(&of::GUARDED, total(&counters.guarded));
    out.value(&of::TOO_OLD, total(&counters.too_old));
    out.value(&of::RETURNED, total(&counters.returned));
    out.value(&of::STALLS, total(&counters.stalls));
    out.value(&of::PATTERN_LIMITS, total(&counters.step_limits));
    journal(&measured.journal, out);
    let series = &counters.series;
    out.family(&of::COMMITS, |samples| samples.histogram(&[], &series.commits.observed()));
    out.family(&of::CHECKPOINTS, |samples| samples.histogram(&[], &series.checkpoints.observed()));
    out.family(&of::RELOADS, |samples| {
        samples.sample(&["done"], counters.reloads.get());
        samples.sample(&["refused"], counters.reloads_refused.get());
    });
    out.value(&of::RELOAD_OK, Some(u64::from(measured.is_reloaded)));
    out.value(&of::CONFIG_LOADED, Some(measured.loaded));
    out.value(&of::CPU, process.map(|process| process.cpu_seconds));
    out.value(&of::RSS, process.map(|process| process.resident_bytes));
    out.value(&of::ANONYMOUS, process.and_then(|process| process.anonymous_bytes));
    out.value(&of::VIRTUAL, process.map(|process| process.virtual_bytes));
    out.value(&of::MAX_VIRTUAL, process.map(|process| process.max_virtual_bytes));
    out.value(&of::FDS, process.map(|process| process.open_fds));
    out.value(&of::MAX_FDS, process.and_then(|process| process.max_fds));
    out.value(&of::THREADS, process.map(|process| process.threads));
    out.value(&of::START, process.map(|process| process.started));
}

fn canary(canary: &Canary, out: &mut FamilyWriter) {
    if !canary.is_on() {
        return;
    }
    out.family(&of::CANARIES, |samples| {
        let Canary { sent, refused, returned, lost, .. } = canary;
        for (result, counter) in
            [("sent", sent), ("refused", refused), ("returned", returned), ("lost", lost)]
        {
            samples.sample(&[result], counter.get());
        }
    });
    out.value(&of::CANARY_LATE, Some(u64::from(canary.late(Instant::now()).is_some())));
    out.family(&of::CANARY_DELAY, |samples| samples.histogram(&[], &canary.delay.observed()));
}

fn listeners(listeners: &[MeasuredListener], out: &mut FamilyWriter) {
    out.family(&of::LISTENER_STATE, |samples| {
        for listener in listeners {
            samples.state(&[&listener.name], &LISTENER_STATES, listener.state);
        }
    });
    let mut each = |family: &'static Family, write: &dyn Fn(&MeasuredListener, &mut SampleWriter<'_>)| {
        out.family(family, |samples| listeners.iter().for_each(|listener| write(listener, samples)));
    };
    each(&of::LISTENER_STALLED, &|l, s| s.sample(&[&l.name], u64::from(l.is_stalled)));
    each(&of::RECEIVED, &|l, s| s.sample(&[&l.name], l.series.received.get()));
    each(&of::MATCHED, &|l, s| s.sample(&[&l.name], l.series.matched.get()));
    each(&of::UNMATCHED, &|l, s| s.sample(&[&l.name], l.series.unmatched.get()));
    each(&of::QUARANTINED, &|l, s| s.sample(&[&l.name], l.series.quarantined.get()));
    each(&of::DUPLICATES, &|l, s| s.sample(&[&l.name], l.series.duplicates.get()));
    each(&of::EVENTS, &|l, s| {
        for (event_type, times) in l.series.types.counts() {
            s.sample(&[&l.name, &event_type], times);
        }
    });
    each(&of::LAST_MESSAGE, &|l, s| {
        if let Some(at) = l.last_message {
            s.sample(&[&l.name], at);
        }
    });
    each(&of::RECONNECTS, &|l, s| s.sample(&[&l.name], l.series.reconnects.get()));
    each(&of::RECEIPT, &|l, s| s.histogram(&[&l.name], &l.series.receipt.observed()));
    each(&of::APPEND, &|l, s| s.histogram(&[&l.name], &l.series.append.observed()));
    each(&of::QUEUE_MESSAGES, &|l, s| {
        for (queue, seen) in &l.waiting {
            s.sample(&[&l.name, queue], u64::from(seen.messages));
        }
    });
    each(&of::QUEUE_CONSUMERS, &|l, s| {
        for (queue, seen) in &l.waiting {
            s.sample(&[&l.name, queue], u64::from(seen.consumers));
        }
    });
    each(&of::KAFKA_LAG, &|l, s| {
        for (group, partition) in l.lag.iter().flat_map(|l| l.partitions.iter().map(move |p| (&l.group, p))) {
            if let Some(lag) = partition.lag {
                s.sample(&[&l.name, group, &partition.topic, &partition.partition.to_string()], lag);
            }
        }
    });
    each(&of::KAFKA_LAG_UNKNOWN, &|l, s| {
        if let Some(lag) = &l.lag {
            let unknown = lag.partitions.iter().filter(|partition| partition.lag.is_none()).count();
            s.sample(&[&l.name, &lag.group], unknown as u64);
        }
    });
    each(&of::BROKER_CERTIFICATE, &|l, s| {
        if let Some(ends) = l.certificate_ends {
            s.sample(&[&l.name], u64::try_from(ends).unwrap_or_default());
        }
    });
}

fn label(word: &str) -> String {
    word.replace(' ', "-")
}

fn actions(actions: &[MeasuredAction], out: &mut FamilyWriter) {
    let mut each = |family: &'static Family, write: &dyn Fn(&MeasuredAction, &mut SampleWriter<'_>)| {
        out.family(family, |samples| actions.iter().for_each(|action| write(action, samples)));
    };
    each(&of::TARGET_STATE, &|a, s| {
        if let Some(state) = a.state {
            s.state(&[&a.name], &TARGET_STATES, state);
        }
    });
    each(&of::DELIVERIES, &|a, s| {
        for state in RowState::ALL {
            s.sample(
                &[&a.name, &label(Phase::word_of(state))],
                a.deliveries.get(&state).copied().unwrap_or_default(),
            );
        }
    });
    each(&of::OLDEST_PENDING, &|a, s| {
        let age = a.oldest_pending.and_then(|at| SystemTime::now().duration_since(at).ok());
        s.sample(&[&a.name], age.map_or(0, |age| age.as_secs()));
    });
    each(&of::IN_PROGRESS, &|a, s| s.sample(&[&a.name], a.under_way as u64));
    each(&of::ATTEMPTS, &|a, s| {
        s.sample(&[&a.name, "ok"], a.series.succeeded.get());
        for (class, times) in a.series.failures().filter(|(_, times)| *times > 0) {
            s.sample(&[&a.name, class], times);
        }
    });
    each(&of::ENDED, &|a, s| {
        s.sample(&[&a.name, Phase::Delivered.word()], a.series.delivered.get());
        s.sample(&[&a.name, &label(Phase::NoActionNeeded.word())], a.series.no_action_needed.get());
        s.sample(&[&a.name, Phase::Dead.word()], a.series.dead.get());
    });
    each(&of::EFFECT, &|a, s| s.histogram(&[&a.name], &a.series.effect.observed()));
    each(&of::RESTARTS, &|a, s| {
        if let Some(restarts) = a.restarts {
            s.sample(&[&a.name], restarts);
        }
    });
    each(&of::TARGET_CERTIFICATE, &|a, s| {
        if let Some(ends) = a.certificate_ends {
            s.sample(&[&a.name], u64::try_from(ends).unwrap_or_default());
        }
    });
}

fn journal(journal: &MeasuredJournal, out: &mut FamilyWriter) {
    out.value(&of::QUARANTINE, journal.quarantined);
    if !journal.dead_letters.is_empty() {
        // Queues of several brokers may have one name.
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for queue in &journal.dead_letters {
            if let Some(count) = queue.count {
                *counts.entry(&queue.queue).or_default() += count;
            }
        }
        out.family(&of::DEAD_LETTER_QUEUE, |samples| {
            counts.into_iter().for_each(|(queue, count)| samples.sample(&[queue], count));
        });
    }
    out.family(&of::JOURNAL_STATE, |samples| samples.state(&[], &JOURNAL_STATES, journal.state));
    out.value(&of::JOURNAL_READABLE, Some(u64::from(journal.is_readable)));
    out.value(&of::JOURNAL_SIZE, journal.bytes);
    out.value(&of::JOURNAL_MAX, journal.max_bytes);
    out.value(&of::JOURNAL_FREE, journal.free_bytes);
}
