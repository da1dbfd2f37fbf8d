//! A guard holds deliveries when more different resources than expected arrive within a window.
//!
//! A guard counts keys by their time of arrival, not by the time of the attempt. A target that was down for a night is
//! not a storm. Within a process no change of the system clock moves these times. A key that passed once passes again.
//! A key beyond the bound is held, and so are later keys until fewer have arrived within the window.
//!
//! A guard decides before the append: a duplicate counts once, and a held delivery is in the file from the first
//! moment.
//!
//! A held delivery is a state in a file. With `memory://` it is a letter in the dead letter queue, so
//! `native/deliveries.rs` asks for such a queue.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use osnl_config::Rate;
use osnl_model::bounded_id;
use tokio::time::Instant;

use super::event_order::EventOrder;
use crate::clock::SteppedClock;

const REMIND: i64 = 60_000;

/// The guards of all rules and actions, asked once for each new delivery.
#[derive(Debug, Default)]
pub struct Guards {
    rules: Windows,
    actions: Windows,
    order: Arc<EventOrder>,
    clock: SteppedClock,
}

/// The guards of the present configuration, which a reload replaces.
#[derive(Debug)]
pub struct GuardsInForce(Mutex<Arc<Guards>>);

impl GuardsInForce {
    #[must_use]
    pub fn new(guards: Arc<Guards>) -> Self {
        Self(Mutex::new(guards))
    }

    #[must_use]
    pub fn now(&self) -> Arc<Guards> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set(&self, guards: Arc<Guards>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = guards;
    }
}

/// Guards by the name of the rule or action.
type Windows = HashMap<Arc<str>, CountedGuard>;

/// A guard with what it has counted. A guard of a new configuration shares the window of the guard before, and changes
/// it in [`Guards::take_effect`].
#[derive(Clone, Debug)]
struct CountedGuard {
    rate: Rate,
    window: Arc<Mutex<GuardWindow>>,
    /// The keys of the journal, for a window that looks back further than before.
    journal: Option<Arc<Mutex<GuardWindow>>>,
}

impl Guards {
    #[must_use]
    pub fn new(
        rules: impl IntoIterator<Item = (Arc<str>, Rate)>,
        actions: impl IntoIterator<Item = (Arc<str>, Rate)>,
    ) -> Self {
        let guard = |(name, rate)| {
            let window = Arc::new(Mutex::new(GuardWindow::new(rate)));
            (name, CountedGuard { rate, window, journal: None })
        };
        Self {
            rules: rules.into_iter().map(guard).collect(),
            actions: actions.into_iter().map(guard).collect(),
            order: Arc::default(),
            clock: SteppedClock::default(),
        }
    }

    /// Continues with the windows of the guards before. Also returns the guards whose windows are new or look back
    /// further: their history has to be read from the journal.
    #[must_use]
    pub fn following(mut self, before: &Self) -> (Self, Self) {
        self.order = before.order.clone();
        self.clock = before.clock.clone();
        let mut fresh = Self { clock: before.clock.clone(), ..Self::default() };
        for (own, old, fresh) in [
            (&mut self.rules, &before.rules, &mut fresh.rules),
            (&mut self.actions, &before.actions, &mut fresh.actions),
        ] {
            for (name, own) in own {
                let known = old.get(name);
                let is_fresh = known.is_none_or(|known| known.rate.within < own.rate.within);
                if is_fresh {
                    fresh.insert(name.clone(), own.clone());
                }
                if let Some(known) = known {
                    let new = std::mem::replace(&mut own.window, known.window.clone());
                    own.journal = is_fresh.then_some(new);
                }
            }
        }
        (self, fresh)
    }

    /// Returns the times of the events before, which also judge what begins.
    #[must_use]
    pub fn order(&self) -> &EventOrder {
        &self.order
    }

    pub fn take_effect(&self) {
        for CountedGuard { rate, window, journal } in self.rules.values().chain(self.actions.values()) {
            let mut window = lock(window);
            window.rate = *rate;
            if let Some(journal) = journal {
                window.add_earlier(std::mem::replace(&mut *lock(journal), GuardWindow::new(*rate)));
            }
        }
    }

    #[must_use]
    pub fn longest(&self) -> Option<Duration> {
        let all = self.rules.values().chain(self.actions.values());
        all.map(|guard| guard.rate.within).max()
    }

    /// Returns the earliest time of day at which a key that still counts can have arrived; `None` without a guard.
    #[must_use]
    pub fn counts_since(&self) -> Option<SystemTime> {
        self.longest().map(|longest| self.clock.earliest(longest))
    }

    /// Notes a step of the system clock. A later guard reads from the journal when messages arrived, by that clock.
    pub fn look_at_clock(&self) {
        self.clock.look();
    }

    #[must_use]
    pub fn verdict(&self, rule: &str, action: &str, key: &str, at: Instant) -> Option<GuardHold> {
        let at = self.clock.millis(at);
        let mut hold = None;
        for (kind, name, guard) in [
            (GuardKind::Rule, rule, self.rules.get(rule)),
            (GuardKind::Action, action, self.actions.get(action)),
        ] {
            let Some(guard) = guard else { continue };
            let mut window = lock(&guard.window);
            if window.admits(key, at) {
                continue;
            }
            let rate = window.rate;
            hold.get_or_insert_with(|| {
                GuardHold::new(GuardName::new(kind, name), &format!("more than {rate}"))
            });
            if window.is_to_be_said(at) {
                say_guard_holds(kind.word(), name, rate);
            }
        }
        hold
    }

    #[must_use]
    pub fn states(&self, now: Instant) -> Vec<(&'static str, Arc<str>, bool)> {
        let now = self.clock.millis(now);
        let state = |kind, windows: &Windows| -> Vec<_> {
            let state = |(name, guard): (&Arc<str>, &CountedGuard)| {
                (kind, name.clone(), lock(&guard.window).is_full(now))
            };
            windows.iter().map(state).collect()
        };
        let mut states = state("rule", &self.rules);
        states.extend(state("action", &self.actions));
        states.sort();
        states
    }

    /// Adds a key from before the start of the process, or released by an operator. Keys must be added oldest first.
    pub fn remember(&self, rule: &str, action: &str, key: &str, at: SystemTime, passed: bool) {
        let at = self.clock.millis_of(at);
        for guard in [self.rules.get(rule), self.actions.get(action)].into_iter().flatten() {
            lock(&guard.window).note(key, at, passed);
        }
    }
}

/// The decision of a guard to hold a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardHold {
    /// The guard that has decided.
    pub guard: GuardName,
    /// The decision in words, which begin with the guard.
    pub why: String,
}

impl GuardHold {
    #[must_use]
    pub fn new(guard: GuardName, exceeded: &str) -> Self {
        Self { why: format!("{guard}: {exceeded}"), guard }
    }
}

/// The section that has a guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardName {
    /// The kind of the section.
    pub kind: GuardKind,
    /// The name of the rule or action.
    pub name: Arc<str>,
}

/// The kind of a section that can have a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardKind {
    Rule,
    Action,
}

impl GuardKind {
    fn word(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Action => "action",
        }
    }
}

impl GuardName {
    #[must_use]
    pub fn new(kind: GuardKind, name: &str) -> Self {
        Self { kind, name: name.into() }
    }

    /// Returns the guard of a section such as `rule:deleted`; `None` for a section of another kind.
    #[must_use]
    pub fn from_section(section: &str) -> Option<Self> {
        let (kind, name) = section.split_once(':')?;
        let kind = [GuardKind::Rule, GuardKind::Action].into_iter().find(|known| known.word() == kind)?;
        Some(Self::new(kind, name))
    }

    #[must_use]
    pub fn section(&self) -> String {
        format!("{}:{}", self.kind.word(), self.name)
    }
}

impl fmt::Display for GuardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "guard of {} {}", self.kind.word(), self.name)
    }
}

fn say_guard_holds(kind: &str, name: &str, rate: Rate) {
    tracing::error!(
        guard.kind = kind,
        guard.name = name,
        guard.rate = rate.to_string(),
        "a guard holds deliveries for further resources; look at them, then release or discard them",
    );
}

fn lock(window: &Mutex<GuardWindow>) -> std::sync::MutexGuard<'_, GuardWindow> {
    window.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time of a key in milliseconds, and a number that tells equal times apart.
type GuardOrder = (i64, u64);

/// The keys of one guard within its window.
#[derive(Debug)]
struct GuardWindow {
    rate: Rate,
    /// Each key with its latest time, and whether it has passed.
    keys: HashMap<String, (GuardOrder, bool)>,
    /// At most the latest `rate.keys` (or [`RELEASED`]): enough to know that no new key passes.
    passed: BTreeMap<GuardOrder, String>,
    /// At most the latest `rate.keys` and one more: enough to know that the bound is exceeded.
    held: BTreeMap<GuardOrder, String>,
    /// The number of the latest key.
    last: u64,
    /// The time of the latest log line; `None` before the first.
    said: Option<i64>,
}

impl GuardWindow {
    fn new(rate: Rate) -> Self {
        let (passed, held) = (BTreeMap::new(), BTreeMap::new());
        Self { rate, keys: HashMap::new(), passed, held, last: 0, said: None }
    }

    fn admits(&mut self, key: &str, at: i64) -> bool {
        self.forget(at);
        let known = self.keys.get(&*bounded_id(key));
        let others = self.keys.len() - usize::from(known.is_some());
        let passed = known.is_some_and(|(_, passed)| *passed) || others < self.rate.keys as usize;
        self.note(key, at, passed);
        passed
    }

    fn is_full(&mut self, now: i64) -> bool {
        self.forget(now);
        self.keys.len() >= self.rate.keys as usize
    }

    fn note(&mut self, key: &str, at: i64, passed: bool) {
        let key = bounded_id(key);
        if let Some((place, passed)) = self.keys.remove(&*key) {
            self.order(passed).remove(&place);
        }
        self.last += 1;
        let place = (at, self.last);
        self.order(passed).insert(place, key.clone().into_owned());
        self.keys.insert(key.into_owned(), (place, passed));
        let rate = self.rate.keys as usize;
        // An operator can release more keys than the rate lets through, and those keys must go on passing.
        for (order, most) in [(&mut self.passed, rate.max(RELEASED)), (&mut self.held, rate + 1)] {
            while order.len() > most
                && let Some((_, oldest)) = order.pop_first()
            {
                self.keys.remove(&oldest);
            }
        }
        let most = rate.max(RELEASED) + rate + 1;
        debug_assert!(self.keys.len() <= most, "{} keys of {}", self.keys.len(), self.rate);
    }

    /// Adds the keys that are not counted yet.
    fn add_earlier(&mut self, earlier: Self) {
        for (order, passed) in [(earlier.passed, true), (earlier.held, false)] {
            for ((at, _), key) in order {
                if !self.keys.contains_key(&key) {
                    self.note(&key, at, passed);
                }
            }
        }
    }

    #[cfg(test)]
    fn unnote(&mut self, key: &str) {
        if let Some((place, passed)) = self.keys.remove(&*bounded_id(key)) {
            self.order(passed).remove(&place);
        }
    }

    fn order(&mut self, passed: bool) -> &mut BTreeMap<GuardOrder, String> {
        if passed { &mut self.passed } else { &mut self.held }
    }

    /// Forgets keys from before the window. A key from the future means that the clock was set back before the start:
    /// the key would count for too long, so it is forgotten too.
    fn forget(&mut self, now: i64) {
        let before = now.saturating_sub(i64::try_from(self.rate.within.as_millis()).unwrap_or(i64::MAX));
        for order in [&mut self.passed, &mut self.held] {
            while let Some(first) = order.first_entry().filter(|first| first.key().0 <= before) {
                self.keys.remove(&first.remove());
            }
            while let Some(last) = order.last_entry().filter(|last| last.key().0 > now + AHEAD) {
                self.keys.remove(&last.remove());
            }
        }
    }

    fn is_to_be_said(&mut self, at: i64) -> bool {
        let due = self.said.is_none_or(|said| !(said..said.saturating_add(REMIND)).contains(&at));
        if due {
            self.said = Some(at);
        }
        due
    }
}

/// The number of passed keys that are remembered at least, however low the rate.
const RELEASED: usize = 10_000;

/// The tolerance in milliseconds for messages of several listeners, which do not arrive in the order of their times.
const AHEAD: i64 = 10_000;

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::epoch;

    /// A moment after the start of each guard.
    fn at(second: u64) -> Instant {
        static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        *BEGIN + Duration::from_secs(1_000_000 + second)
    }

    /// The time of day of this moment.
    fn day(second: u64) -> SystemTime {
        epoch::now() + at(second).saturating_duration_since(Instant::now())
    }

    fn held(guards: &Guards, script: &str) -> String {
        let held = script.split_whitespace().filter(|word| {
            let (key, second) = word.split_once('@').unwrap();
            guards.verdict("r", "a", key, at(second.parse().unwrap())).is_some()
        });
        held.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_long_key_is_known_by_its_digest() {
        let mut window = GuardWindow::new(Rate { keys: 2, within: Duration::from_secs(600) });
        let long = |end: &str| format!("{}{end}", "k".repeat(100_000));
        let admitted = ["a", "b", "a", "c"].map(|end| window.admits(&long(end), 0));
        assert_eq!(admitted, [true, true, true, false]);
        assert!(window.keys.keys().chain(window.passed.values()).all(|key| key.len() <= 255));
        for end in ["a", "c"] {
            window.unnote(&long(end));
        }
        assert!(window.admits(&long("d"), 0));
    }

    fn guard(keys: u32) -> Guards {
        Guards::new([], [("a".into(), Rate { keys, within: Duration::from_secs(600) })])
    }

    #[test]
    fn beyond_so_many_different_keys_within_the_window_everything_new_is_held() {
        for (script, expected) in [
            ("a@0 b@1", ""),
            ("a@0 b@1 c@2", "c@2"),
            ("a@0 a@1 a@2 a@3 b@4 a@5", ""),
            ("a@0 b@1 c@2 a@3 c@4 b@5", "c@2 c@4"),
            ("a@0 b@1 c@600", ""),
            ("a@0 b@1 c@599", "c@599"),
            // Held keys count as well, so a lasting storm is not let through bit by bit.
            ("a@0 b@1 c@2 d@300 e@590 f@601 g@700", "c@2 d@300 e@590 f@601 g@700"),
            ("a@0 b@1 c@2 d@3 e@700", "c@2 d@3"),
            ("a@4000 b@4001 c@400 d@401 e@402", "e@402"),
        ] {
            assert_eq!(held(&guard(2), script), expected, "{script}");
        }
    }

    #[test]
    fn its_state_is_full_while_a_further_key_would_be_held() {
        let check = |script: &str, second: u64, expected: bool| {
            let guards = guard(2);
            held(&guards, script);
            assert_eq!(guards.states(at(second)), [("action", "a".into(), expected)], "{script} at {second}");
        };
        check("a@0", 1, false);
        check("a@0 b@1", 2, true);
        check("a@0 b@1", 600, false);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_counts_after_a_restart() {
        let guards = guard(2);
        let storm: Vec<String> = (0..1000).map(|n| format!("k{n}@{}", n / 100)).collect();
        assert_eq!(held(&guards, &storm.join(" ")).split(' ').count(), 998);
        assert!(lock(&guards.actions["a"].window).keys.len() <= 5);
        let restarted = guard(2);
        for (key, second, passed) in [("a", 0, true), ("b", 1, true), ("c", 2, false)] {
            restarted.remember("r", "a", key, day(second), passed);
        }
        assert_eq!(held(&restarted, "c@3 a@4 d@5 e@700"), "c@3 d@5");
    }

    #[test]
    fn what_came_before_a_guard_was_there_is_bounded_too() {
        let guards = guard(100);
        for n in 0..301_000 {
            guards.remember("r", "a", &format!("k{n}"), day(n / 1000), true);
        }
        assert_eq!(lock(&guards.actions["a"].window).keys.len(), RELEASED);
        assert!(guards.verdict("r", "a", "new", at(301)).is_some());
        assert!(guards.verdict("r", "a", "k300999", at(301)).is_none());
    }

    #[test]
    fn all_that_are_released_go_on_however_few_the_rate_lets_through() {
        let guards = guard(2);
        let keys: Vec<String> = (0..12).map(|n| format!("k{n}@0")).collect();
        assert_eq!(held(&guards, &keys.join(" ")).split(' ').count(), 10);
        for n in 2..12 {
            guards.remember("r", "a", &format!("k{n}"), day(1), true);
        }
        assert_eq!(held(&guards, &keys.join(" ").replace("@0", "@2")), "");
    }

    #[test]
    fn what_is_released_is_let_through_from_then_on() {
        let guards = guard(2);
        assert_eq!(held(&guards, "a@0 b@1 c@2 c@3"), "c@2 c@3");
        guards.remember("r", "a", "c", day(3), true);
        assert_eq!(held(&guards, "c@4 d@5"), "d@5");
    }

    #[test]
    fn rules_and_actions_have_guards_of_their_own_and_the_reason_names_them() {
        let minute = |keys| Rate { keys, within: Duration::from_secs(60) };
        let guards = Guards::new([("r".into(), minute(1))], [("a".into(), minute(2))]);
        let verdict = |rule: &str, action: &str, key: &str| {
            let hold = guards.verdict(rule, action, key, at(0))?;
            assert_eq!(GuardName::from_section(&hold.guard.section()), Some(hold.guard));
            Some(hold.why)
        };
        assert_eq!(verdict("r", "a", "1"), None);
        assert_eq!(verdict("r", "a", "2").as_deref(), Some("guard of rule r: more than 1 per 1m"));
        assert_eq!(verdict("s", "a", "3").as_deref(), Some("guard of action a: more than 2 per 1m"));
        assert_eq!(verdict("s", "b", "4"), None);
        assert_eq!(guards.longest(), Some(Duration::from_secs(60)));
    }
    #[test]
    fn what_was_counted_outlives_a_change_and_the_new_rate_counts() {
        let rate = |keys, seconds| Rate { keys, within: Duration::from_secs(seconds) };
        let before = guard(2);
        assert_eq!(held(&before, "a@0 b@1"), "");
        for (after, fresh, expected) in [
            (rate(2, 600), 0, "c@2"),
            (rate(3, 600), 0, ""),
            (rate(2, 60), 0, "c@2"),
            (rate(2, 700), 1, "c@2"),
        ] {
            let (guards, new) = Guards::new([], [("a".into(), after)]).following(&before);
            assert_eq!(new.actions.len(), fresh, "{after}");
            guards.take_effect();
            assert_eq!(held(&guards, "c@2"), expected, "{after}");
            lock(&before.actions["a"].window).unnote("c");
            before.take_effect();
        }
    }

    #[test]
    fn a_window_that_looks_back_further_has_what_was_counted_and_what_the_journal_knows() {
        let before = Guards::new([], [("a".into(), Rate { keys: 3, within: Duration::from_secs(10) })]);
        assert_eq!(held(&before, "a@0 b@15"), "");
        let longer = Rate { keys: 3, within: Duration::from_secs(600) };
        let (guards, fresh) = Guards::new([], [("a".into(), longer)]).following(&before);
        for (key, second) in [("a", 0), ("b", 15)] {
            fresh.remember("r", "a", key, day(second), true);
        }
        assert_eq!(held(&before, "c@16"), "", "a key of the time before the new guards take effect");
        guards.take_effect();
        assert_eq!(held(&guards, "a@17 b@17 d@17 c@17"), "d@17");
    }
}
