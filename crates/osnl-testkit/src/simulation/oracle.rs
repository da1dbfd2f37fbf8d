//! The promises of osnl, against what broker and target have seen.
//!
//! | promise | broken by |
//! | --- | --- |
//! | each event has its effect, or a dead letter says why not | `lost` |
//! | the first effects about a key come in the order of its events, of each life of a daemon and over all lives of one | `order` |
//! | no two calls of one key are under way in a daemon | `overlap` |
//! | an effect repeats only after a kill, after an answer that did not arrive, or (without a file, or with a standby) after a stop | `repeated` |
//! | a message is acknowledged after the end of its deliveries (`memory://`) | `early` |
//! | an event becomes a dead letter only after its attempts, or after `hold_max` | `given up` |
//! | every wait ends, however often its message returns | `stuck`, `held`, `late` |
//! | every task of a daemon ends with it | `left over` |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use osnl_journal::Outcome;
use tokio::time::Instant;

use super::story::{Nature, Settings, Verb};
use super::who::Who;

/// The time in which a wait that is over has its effect: calls before it, and the pause of a retry.
const SLACK: Duration = Duration::from_secs(120);
/// The time from a failed attempt until the target is called as before, at most.
const AFTER_FAILURE: Duration = Duration::from_secs(90);

/// Longer than every story.
const NEVER: Duration = Duration::from_secs(1_000_000);

/// What one event has had.
#[derive(Clone, Debug)]
pub(super) struct EventRecord {
    key: u8,
    nature: Nature,
    published: Instant,
    /// Its arrivals in each life.
    received: BTreeMap<u32, Arrivals>,
    /// The lives in which it had effects.
    effects: Vec<u32>,
    /// Answers that refused it.
    refused: u32,
    /// Effects whose answer did not arrive.
    repeats: usize,
    /// The kills before it was published, which explain none of its repeats.
    kills_before: usize,
    /// Lives that ended its delivery.
    ended: BTreeSet<u32>,
    /// Lives that gave it to its shard, and the copies that the shard may have.
    split: BTreeSet<u32>,
    copies: usize,
    /// The reason of its last end; `None` after a success.
    dead: Option<String>,
    removed: bool,
    /// Whether an operator may have ended its delivery.
    discarded: bool,
}

impl EventRecord {
    pub(super) fn new(key: u8, nature: Nature, published: Instant) -> Self {
        Self {
            key,
            nature,
            published,
            received: BTreeMap::new(),
            effects: Vec::new(),
            refused: 0,
            repeats: 0,
            kills_before: 0,
            ended: BTreeSet::new(),
            split: BTreeSet::new(),
            copies: 0,
            dead: None,
            removed: false,
            discarded: false,
        }
    }
}

/// The arrivals of an event in one life of a daemon.
#[derive(Clone, Copy, Debug)]
struct Arrivals {
    first: Instant,
    latest: Instant,
    /// Those after the end of its wait.
    late: u32,
}

/// Gathers the evidence of a story, and judges it.
#[derive(Debug)]
pub(super) struct Oracle {
    settings: Settings,
    events: BTreeMap<usize, EventRecord>,
    /// Kills, stops that may repeat an effect, and connections that were lost to a standby.
    kills: usize,
    /// The latest event of each key with an effect: over all lives of a daemon, and in each.
    latest: BTreeMap<(Option<u32>, u8), usize>,
    /// The keys of calls under way, of each life.
    under_way: BTreeSet<(u32, u8)>,
    /// The latest pause or reload, after which a hold may begin anew.
    disturbed: Option<Instant>,
    /// The latest jump of the time of day, by which the age of a message is known.
    jumped: Option<Instant>,
    /// The time from which the target is called as if it had never failed.
    recovered: Option<Instant>,
    broken: Vec<String>,
    /// The length of the trace.
    line: usize,
}

impl Oracle {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            events: BTreeMap::new(),
            kills: 0,
            latest: BTreeMap::new(),
            under_way: BTreeSet::new(),
            disturbed: None,
            jumped: None,
            recovered: None,
            broken: Vec::new(),
            line: 0,
        }
    }

    pub(super) fn at(&mut self, line: usize) {
        self.line = line;
    }

    pub(super) fn breaks(&mut self, words: String) {
        let line = self.line;
        self.broken.push(format!("{words} (line {line} of the trace)"));
    }

    pub(super) fn published(&mut self, event: usize, record: EventRecord) {
        self.events.insert(event, EventRecord { kills_before: self.kills, ..record });
    }

    pub(super) fn body(&self, event: usize) -> String {
        let key = self.key(event);
        format!(
            r#"{{"message_id":"m{event}","event_type":"port.update.end","priority":"INFO","payload":{{"key":"k{key}"}}}}"#
        )
    }

    pub(super) fn killed(&mut self) {
        self.kills += 1;
    }

    /// Notes an end in good order: its last acknowledgements may be lost, but a file knows what it has done.
    pub(super) fn stopped(&mut self) {
        self.kills += usize::from(!self.settings.sqlite || self.settings.standby);
    }

    /// Notes that a standby may repeat what the other daemon has under way.
    pub(super) fn cut(&mut self) {
        self.kills += usize::from(self.settings.standby);
    }

    pub(super) fn jumps(&mut self) {
        self.jumped = Some(Instant::now());
    }

    pub(super) fn disturbed(&mut self, until: Instant) {
        self.disturbed = self.disturbed.max(Some(until));
    }

    /// Notes an arrival. `outage`: since when the target is down.
    pub(super) fn received(&mut self, who: Who, event: usize, outage: Option<Instant>) {
        let now = Instant::now();
        let Some(record) = self.events.get_mut(&event) else { return };
        let new = Arrivals { first: now, latest: now, late: 0 };
        let arrivals = record.received.entry(who.life).or_insert(new);
        arrivals.latest = now;
        if self.settings.splits(who.daemon) {
            return;
        }
        let (first, is_open) = (arrivals.first, !record.ended.contains(&who.life));
        let is_late = |ends: Instant| is_open && now > ends + SLACK;
        if !self.wait_ends(first, outage).is_some_and(is_late) {
            return;
        }
        let arrivals = self.events.get_mut(&event).and_then(|record| record.received.get_mut(&who.life));
        let late = arrivals.map_or(0, |arrivals| {
            arrivals.late += 1;
            arrivals.late
        });
        if late == 3 {
            let waited = first.elapsed();
            self.breaks(format!("late: event {event} returns again and again, and waits for {waited:?}"));
        }
    }

    /// Returns when a wait that began then is over: the one for others of a digest, or for a target that is down.
    fn wait_ends(&self, first: Instant, outage: Option<Instant>) -> Option<Instant> {
        let (_, wait, is_digest) = self.settings.batch;
        let undisturbed = first.max(self.disturbed.unwrap_or(first));
        match (outage, self.settings.hold_max) {
            (Some(since), Some(most)) if !self.settings.standby => Some(undisturbed.max(since) + most),
            (None, _) if is_digest && self.settings.rate.is_none() => {
                Some(undisturbed.max(self.recovered.unwrap_or(first)) + wait)
            }
            _ => None,
        }
    }

    /// Notes an attempt that fails for any reason.
    pub(super) fn fails(&mut self) {
        self.recovered = Some(Instant::now() + AFTER_FAILURE);
    }

    /// Notes an operator's change of the deliveries of a key, or of all.
    pub(super) fn changes(&mut self, key: Option<u8>, verb: Verb) {
        let now = Instant::now();
        match verb {
            // A held delivery waits until the end of the story.
            Verb::Hold => self.disturbed(now + NEVER),
            Verb::Discard => {
                let of = self.events.values_mut().filter(|record| key.is_none_or(|key| record.key == key));
                of.for_each(|record| record.discarded = true);
            }
            Verb::Retry | Verb::Release => {}
        }
    }

    /// Notes the beginning of a call: no other of its keys may be under way.
    pub(super) fn calls(&mut self, who: Who, events: &[usize]) {
        for (event, key) in self.keys(events) {
            if !self.under_way.insert((who.life, key)) && self.settings.is_ordered() {
                self.breaks(format!("overlap: event {event} is called while another of key {key} is"));
            }
            let arrivals = self.events.get(&event).and_then(|record| record.received.get(&who.life));
            let Some(Arrivals { first, latest, .. }) = arrivals.copied() else { continue };
            let ends = self.wait_ends(first, None).map(|ends| ends.max(latest) + SLACK);
            if ends.is_some_and(|ends| Instant::now() > ends) {
                self.breaks(format!("late: event {event} waits for {:?}", first.elapsed()));
            }
        }
    }

    pub(super) fn called(&mut self, who: Who, events: &[usize]) {
        for (_, key) in self.keys(events) {
            self.under_way.remove(&(who.life, key));
        }
    }

    fn keys(&self, events: &[usize]) -> Vec<(usize, u8)> {
        events.iter().filter_map(|event| Some((*event, self.events.get(event)?.key))).collect()
    }

    pub(super) fn nature(&self, event: usize) -> (Nature, u32) {
        self.events.get(&event).map_or((Nature::Good, 0), |record| (record.nature, record.refused))
    }

    pub(super) fn refuses(&mut self, event: usize) {
        self.fails();
        if let Some(record) = self.events.get_mut(&event) {
            record.refused += 1;
        }
    }

    pub(super) fn repeats(&mut self, event: usize) {
        self.fails();
        if let Some(record) = self.events.get_mut(&event) {
            record.repeats += 1;
        }
    }

    /// Notes that an event is published to its shard, and returns its key.
    pub(super) fn splits(&mut self, event: usize) -> u8 {
        self.events.get_mut(&event).map_or(0, |record| {
            record.copies += 1;
            record.key
        })
    }

    fn key(&self, event: usize) -> u8 {
        self.events.get(&event).map_or(0, |record| record.key)
    }

    pub(super) fn has_effect(&mut self, who: Who, event: usize) {
        let Some(record) = self.events.get_mut(&event) else { return };
        let key = record.key;
        // What was a dead letter before a kill, and comes again, has no order any more.
        let has_ended = !record.ended.is_empty();
        let is_first = record.effects.is_empty() && !has_ended;
        let is_first_of_life = !record.effects.contains(&who.life);
        record.effects.push(who.life);
        // A daemon that cannot keep a message gives it back, and the other one may take it.
        let lives = record.received.len().max(1);
        let kills = self.kills - record.kills_before;
        let (effects, most) = (record.effects.len(), lives + kills + record.repeats);
        if effects > most {
            self.breaks(format!("repeated: event {event} has {effects} effects, and {most} are explained"));
        }
        if !self.settings.is_ordered() {
            return;
        }
        let lives = [(None, is_first && !self.settings.standby), (Some(who.life), is_first_of_life)];
        for (life, _) in lives.into_iter().filter(|(_, is_first)| *is_first) {
            let latest = self.latest.entry((life, key)).or_insert(event);
            let before = *latest;
            *latest = event.max(before);
            // A retried dead letter precedes a later delivery, also one that had an effect and whose answer is lost.
            let is_known = self.events.get(&before).is_some_and(|other| other.effects.len() > other.repeats);
            if before > event && (is_known || !has_ended) {
                self.breaks(format!("order: event {event} of key {key} takes effect after event {before}"));
            }
        }
    }

    pub(super) fn ended(&mut self, who: Who, event: usize, outcome: &Outcome) {
        let Some(record) = self.events.get_mut(&event) else { return };
        match outcome {
            Outcome::Returned => return,
            Outcome::Delivered if self.settings.splits(who.daemon) => {
                record.split.insert(who.life);
                return;
            }
            Outcome::Delivered | Outcome::NothingToDo => record.dead = None,
            Outcome::Dead(why) | Outcome::DeadHoldingKey(why) => record.dead = Some(why.clone()),
        }
        record.ended.insert(who.life);
        let (record, limits) = (record.clone(), self.settings.clone());
        match &record.dead {
            None if record.effects.is_empty() => {
                self.breaks(format!("lost: event {event} ends as delivered and had no effect"));
            }
            Some(why) if why.contains("hold_max") => {
                let waited = record.published.elapsed();
                // A file knows the arrival by the time of day.
                let has_jumped = limits.sqlite && self.jumped.is_some_and(|at| at >= record.published);
                if limits.hold_max.is_none_or(|most| waited < most && !has_jumped) {
                    self.breaks(format!("given up: event {event} after {waited:?}: {why}"));
                }
            }
            Some(why) if record.nature != Nature::Final && record.refused < limits.max_attempts => {
                let refused = record.refused;
                self.breaks(format!("given up: event {event} after {refused} refusals: {why}"));
            }
            _ => {}
        }
    }

    pub(super) fn acknowledged(&mut self, who: Who, event: usize) {
        let sqlite = self.settings.sqlite;
        let Some(record) = self.events.get_mut(&event) else { return };
        record.removed = true;
        if sqlite || record.ended.contains(&who.life) || record.split.contains(&who.life) {
            return;
        }
        if record.copies > 1 {
            record.copies -= 1;
        } else {
            self.breaks(format!("early: event {event} is acknowledged before its end"));
        }
    }

    /// Judges events that waited for the whole of an outage, at its end: `hold_max` must have given them up.
    pub(super) fn outage_ends(&mut self, since: Instant, lives: &[u32]) {
        let Some(most) = self.settings.hold_max.filter(|_| !self.settings.standby) else { return };
        // A message may be on its way back to the daemon, whose pauses grow with the wait.
        let most = most * 5 + Duration::from_secs(600);
        let mut late = Vec::new();
        for (event, record) in &self.events {
            let arrived = lives.iter().find_map(|life| record.received.get(life));
            // A file knows arrivals by the time of day, also that of an event before this one.
            let has_jumped = self.settings.sqlite && self.jumped.is_some();
            let Some(arrived) = arrived.filter(|_| record.ended.is_empty() && !has_jumped) else { continue };
            let begun = self.disturbed.map_or(since, |at| at.max(since)).max(arrived.first);
            let waited = begun.elapsed();
            if waited > most {
                late.push(format!("held: event {event} has waited for {waited:?} and is not given up"));
            }
        }
        late.into_iter().for_each(|words| self.breaks(words));
    }

    pub(super) fn is_settled(&self) -> bool {
        self.events.values().all(|record| {
            let has_ended = !record.ended.is_empty() && (record.dead.is_some() || !record.effects.is_empty());
            record.removed && (has_ended || record.discarded)
        })
    }

    pub(super) fn not_settled(&mut self, left: String) {
        let open: Vec<usize> =
            self.events.iter().filter(|(_, r)| r.ended.is_empty()).map(|(n, _)| *n).collect();
        self.breaks(format!("stuck: events {open:?} have not ended{left}"));
    }

    pub(super) fn is_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    /// Returns the broken promises, the first first.
    pub(super) fn judge(&mut self) -> Vec<String> {
        let lost =
            self.events.iter().filter(|(_, r)| r.effects.is_empty() && r.dead.is_none() && !r.discarded);
        let lost: Vec<usize> = lost.map(|(event, _)| *event).collect();
        if !lost.is_empty() {
            self.breaks(format!("lost: events {lost:?} have neither an effect nor a dead letter"));
        }
        std::mem::take(&mut self.broken)
    }
}
