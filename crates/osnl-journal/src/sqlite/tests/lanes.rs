//! Lanes against a model: after any order of appends, attempts, changes and restarts, each delivery has the
//! state of [`turn`](super::super::turn)'s rule.

use std::collections::BTreeSet;

use osnl_core::rule::{GuardHold, GuardKind, GuardName};

use super::*;
use crate::query::{Change, Filter, ListPage, RowState};
use crate::{AttemptRetry, Begin, End, Handover, NewDelivery, UsedLimits};

const ACTIONS: [&str; 2] = ["a", "b"];
const KEYS: [Option<&str>; 3] = [Some("k"), Some("l"), None];

#[derive(Clone, Debug, PartialEq, Eq)]
enum AskedChange {
    Discard,
    Hold,
    Move(&'static str),
}

#[derive(Clone, Debug)]
struct Delivery {
    id: DeliveryId,
    action: &'static str,
    key: Option<&'static str>,
    ordered: bool,
    state: RowState,
    holds_lane: bool,
    claimed: bool,
    waits_for_retry: bool,
    asked: Option<AskedChange>,
}

impl Delivery {
    fn lane(&self) -> Option<(&'static str, &'static str)> {
        self.key.filter(|_| self.ordered).map(|key| (self.action, key))
    }
}

#[derive(Debug, Default)]
struct Model {
    deliveries: Vec<Delivery>,
    events: u64,
}

impl Model {
    fn at(&self, id: DeliveryId) -> usize {
        self.deliveries.iter().position(|one| one.id == id).unwrap()
    }

    fn turn(&mut self, lane: Option<(&'static str, &'static str)>) {
        let Some(lane) = lane else { return };
        let of_lane = |one: &&mut Delivery| one.lane() == Some(lane);
        let is_taken = self.deliveries.iter().any(|one| {
            one.lane() == Some(lane)
                && (one.state == RowState::Ready || (one.state == RowState::Dead && one.holds_lane))
        });
        let open = self.deliveries.iter_mut().filter(of_lane).filter(|one| one.state.is_open());
        if let (false, Some(first)) = (is_taken, open.min_by_key(|one| one.id))
            && first.state == RowState::Waiting
        {
            first.state = RowState::Ready;
        }
    }

    fn open(&mut self, at: usize) {
        let one = &mut self.deliveries[at];
        (one.claimed, one.waits_for_retry, one.asked, one.holds_lane) = (false, false, None, false);
        one.state = if one.lane().is_none() { RowState::Ready } else { RowState::Waiting };
        let lane = one.lane();
        self.turn(lane);
    }

    fn leave(&mut self, at: usize, state: RowState) {
        let one = &mut self.deliveries[at];
        (one.claimed, one.waits_for_retry, one.asked, one.holds_lane) = (false, false, None, false);
        one.state = state;
        let lane = one.lane();
        self.turn(lane);
    }

    fn fulfil(&mut self, at: usize, asked: &AskedChange) {
        match asked {
            AskedChange::Discard => self.leave(at, RowState::Discarded),
            AskedChange::Hold => self.leave(at, RowState::Held),
            AskedChange::Move(to) => {
                let (was, lane) = (self.deliveries[at].state, self.deliveries[at].lane());
                self.deliveries[at].action = to;
                self.deliveries[at].state = RowState::Held;
                self.turn(lane);
                if was == RowState::Held { self.leave(at, RowState::Held) } else { self.open(at) }
            }
        }
    }

    fn append(&mut self, action: &'static str, key: Option<&'static str>, ordered: bool, begin: &Begin) {
        self.events += 1;
        let state = match begin {
            Begin::Live => RowState::Waiting,
            Begin::Shadow => RowState::Shadow,
            Begin::Held(_) => RowState::Held,
            Begin::Dead(_) | Begin::TooOld(_) => RowState::Dead,
        };
        self.deliveries.push(Delivery {
            id: DeliveryId(self.events << 16),
            action,
            key,
            ordered,
            state,
            holds_lane: false,
            claimed: false,
            waits_for_retry: false,
            asked: None,
        });
        if state == RowState::Waiting {
            self.open(self.deliveries.len() - 1);
        }
    }

    fn end(&mut self, id: DeliveryId, outcome: &Outcome, to: Option<(&'static str, bool)>) {
        let at = self.at(id);
        let asked = self.deliveries[at].asked.clone();
        match (outcome, asked) {
            (Outcome::Delivered, _) => self.leave(at, RowState::Delivered),
            (Outcome::NothingToDo, _) => self.leave(at, RowState::NothingToDo),
            (_, Some(asked)) => self.fulfil(at, &asked),
            (Outcome::Returned, None) => self.deliveries[at].claimed = false,
            (Outcome::Dead(_) | Outcome::DeadHoldingKey(_), None) => {
                let holds = matches!(outcome, Outcome::DeadHoldingKey(_));
                let one = &mut self.deliveries[at];
                (one.state, one.claimed) = (RowState::Dead, false);
                one.holds_lane = holds && one.lane().is_some();
                let lane = one.lane();
                self.turn(lane);
                if let Some((to, ordered)) = to {
                    self.fall_back(at, to, ordered);
                }
            }
        }
    }

    fn fall_back(&mut self, at: usize, to: &'static str, ordered: bool) {
        let from = self.deliveries[at].clone();
        let event = from.id.0 >> 16;
        let of_event = || self.deliveries.iter().filter(|one| one.id.0 >> 16 == event);
        if of_event().any(|one| one.action == to) {
            return;
        }
        let id = DeliveryId((event << 16) + of_event().count() as u64);
        let made = Delivery { id, action: to, ordered, state: RowState::Waiting, holds_lane: false, ..from };
        self.deliveries.push(made);
        self.open(self.deliveries.len() - 1);
    }

    fn retry(&mut self, at: usize, out_of_order: bool) {
        let one = self.deliveries[at].clone();
        if one.state != RowState::Dead {
            return;
        }
        let has_later = one.lane().is_some()
            && self.deliveries.iter().any(|other| {
                other.id > one.id
                    && (other.action, other.key) == (one.action, one.key)
                    && match other.state {
                        RowState::Delivered | RowState::NothingToDo => true,
                        RowState::Ready => other.ordered,
                        RowState::Waiting
                        | RowState::Held
                        | RowState::Dead
                        | RowState::Discarded
                        | RowState::Shadow => false,
                    }
            });
        if out_of_order || !has_later {
            self.open(at);
        }
    }

    fn ask(&mut self, at: usize, asked: &AskedChange) {
        let one = &mut self.deliveries[at];
        let may = match (asked, one.state) {
            (AskedChange::Discard, RowState::Waiting | RowState::Ready | RowState::Held | RowState::Dead) => {
                true
            }
            (AskedChange::Hold, RowState::Waiting | RowState::Ready) => true,
            (AskedChange::Move(to), RowState::Waiting | RowState::Ready | RowState::Held) => {
                one.action != *to
            }
            _ => false,
        };
        if may && one.claimed {
            one.asked = Some(asked.clone());
        } else if may {
            self.fulfil(at, asked);
        }
    }

    fn restart(&mut self) {
        let mut ids: Vec<_> = self.deliveries.iter().map(|one| one.id).collect();
        ids.sort_unstable();
        for one in &mut self.deliveries {
            one.claimed = false;
        }
        for id in ids {
            let at = self.at(id);
            if let Some(asked) = self.deliveries[at].asked.take() {
                self.fulfil(at, &asked);
            }
        }
    }

    fn claimable(&self, action: &str) -> BTreeSet<DeliveryId> {
        let is = |one: &&Delivery| {
            one.action == action && one.state == RowState::Ready && !one.claimed && !one.waits_for_retry
        };
        self.deliveries.iter().filter(is).map(|one| one.id).collect()
    }
}

fn check(folder: &TempDir, journal: &SqliteJournal, model: &Model, story: &[String]) {
    let rows =
        reader(folder).list(&Filter::default(), &ListPage { limit: 10_000, ..ListPage::default() }).unwrap();
    let found: Vec<_> = rows.iter().map(|row| (row.id, row.action.as_str(), row.state)).collect();
    let mut expected: Vec<_> = model.deliveries.iter().map(|one| (one.id, one.action, one.state)).collect();
    expected.sort_unstable_by_key(|(id, ..)| *id);
    assert_eq!(found, expected, "{}", story.join("\n"));
    for action in ACTIONS {
        let mut withdrawn: Vec<_> = model
            .deliveries
            .iter()
            .filter(|one| one.action == action && one.claimed && one.asked.is_some())
            .map(|one| one.id)
            .collect();
        withdrawn.sort_unstable();
        assert_eq!(journal.withdrawn(action), withdrawn, "{}", story.join("\n"));
    }
    let connection = rusqlite::Connection::open(options(folder).path).unwrap();
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let two_at_once = "SELECT count(*) FROM (SELECT 1 FROM delivery WHERE state = 1 AND ordered AND key IS NOT NULL \
                       GROUP BY action, key HAVING count(*) > 1)";
    assert_eq!(one(two_at_once), 0, "{}", story.join("\n"));
    let miscounted = "SELECT (SELECT count(*) FROM (SELECT action, state, count(*) AS n FROM delivery GROUP BY action, state) \
                      LEFT JOIN tally USING (action, state) WHERE n IS NOT tally.count) \
                      + (SELECT count(*) FROM tally t WHERE count <> 0 AND NOT EXISTS \
                      (SELECT 1 FROM delivery d WHERE d.action = t.action AND d.state = t.state))";
    assert_eq!(one(miscounted), 0, "{}", story.join("\n"));
}

struct Player {
    folder: TempDir,
    journal: Option<SqliteJournal>,
    model: Model,
    random: fastrand::Rng,
    story: Vec<String>,
}

impl Player {
    fn journal(&self) -> &SqliteJournal {
        self.journal.as_ref().unwrap()
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.random.usize(..of.len())].clone()
    }

    fn any_claimed(&mut self) -> Option<DeliveryId> {
        let claimed: Vec<_> =
            self.model.deliveries.iter().filter(|one| one.claimed).map(|one| one.id).collect();
        if claimed.is_empty() { None } else { Some(self.pick(&claimed)) }
    }

    async fn append(&mut self) {
        let (action, key) = (self.pick(&ACTIONS), self.pick(&KEYS));
        let ordered = self.random.u8(..5) > 0;
        let begin = match self.random.u8(..12) {
            0 => Begin::Held(GuardHold::new(GuardName::new(GuardKind::Action, "a"), "more than 1 per 1m")),
            1 => Begin::Shadow,
            2 => Begin::TooOld("why".into()),
            _ => Begin::Live,
        };
        self.story.push(format!("append {action} {key:?} {ordered} {begin:?}"));
        self.model.append(action, key, ordered, &begin);
        let mut entry = entry(&self.model.events.to_string(), "-", false);
        let new = NewDelivery::new("r", action, key.map(str::to_owned));
        entry.deliveries = vec![NewDelivery { ordered, begin, ..new }];
        within(append(self.journal(), entry).await).await;
    }

    async fn claim(&mut self) {
        let action = self.pick(&ACTIONS);
        let claimable = self.model.claimable(action);
        let most = self.random.usize(1..4);
        if claimable.is_empty() {
            assert_eq!(names(&claim(self.journal(), action, 0).await), [""; 0], "{}", self.story.join("\n"));
            return;
        }
        let mut claimed = Vec::new();
        while claimed.is_empty() {
            let newest = self.random.usize(..3);
            let limits = ClaimLimits { newest, ..ClaimLimits::in_order(most) };
            claimed = within(self.journal().claim(action, limits)).await;
        }
        for claimed in claimed {
            self.story.push(format!("claim {}", claimed.id));
            assert!(claimable.contains(&claimed.id), "{}", self.story.join("\n"));
            let at = self.model.at(claimed.id);
            self.model.deliveries[at].claimed = true;
        }
    }

    fn end(&mut self) {
        let Some(id) = self.any_claimed() else { return };
        let outcome = match self.random.u8(..8) {
            0 => Outcome::Dead("why".into()),
            1 => Outcome::DeadHoldingKey("why".into()),
            2 | 3 => Outcome::Returned,
            4 => Outcome::NothingToDo,
            _ => Outcome::Delivered,
        };
        let to = self.random.bool().then(|| (self.pick(&ACTIONS), self.random.u8(..5) > 0));
        self.story.push(format!("end {id} {outcome:?} {to:?}"));
        self.model.end(id, &outcome, to);
        let end = End::from(outcome);
        let end = match to {
            Some((to, ordered)) => end.handed_to(Handover { ordered, ..Handover::to(to) }),
            None => end,
        };
        self.journal().end(id, end);
    }

    fn retry_at(&mut self) {
        let Some(id) = self.any_claimed() else { return };
        self.story.push(format!("{id} waits for a retry"));
        let at = self.model.at(id);
        if let Some(asked) = self.model.deliveries[at].asked.clone() {
            self.model.fulfil(at, &asked);
        } else {
            let one = &mut self.model.deliveries[at];
            (one.claimed, one.waits_for_retry) = (false, true);
        }
        let due = Instant::now() + Duration::from_secs(3600);
        let used = UsedLimits { made: 1, ..UsedLimits::default() };
        self.journal().retry_at(id, AttemptRetry { due, used, is_charged: false, answer: "no".into() });
    }

    fn due_now(&mut self) {
        let action = self.pick(&ACTIONS);
        self.story.push(format!("{action} is due now"));
        for one in self.model.deliveries.iter_mut().filter(|one| one.action == action) {
            one.waits_for_retry = false;
        }
        self.journal().due_now(action);
    }

    async fn change(&mut self) {
        let ids: Vec<_> = self.model.deliveries.iter().map(|one| one.id).collect();
        if ids.is_empty() {
            return;
        }
        let (id, action) = (self.pick(&ids), self.pick(&ACTIONS));
        let which = if self.random.u8(..4) > 0 {
            Filter { ids: vec![id], ..Filter::default() }
        } else {
            Filter { action: Some(action.into()), ..Filter::default() }
        };
        let mut meant: Vec<_> = self
            .model
            .deliveries
            .iter()
            .filter(|one| if which.ids.is_empty() { one.action == action } else { one.id == id })
            .map(|one| one.id)
            .collect();
        meant.sort_unstable();
        let kind = self.random.u8(..5);
        let (to, out_of_order) = (self.pick(&ACTIONS), self.random.bool());
        let change = match kind {
            0 => Change::Retry { which, out_of_order },
            1 => Change::Discard { which, by: "me".into() },
            2 => Change::Hold { which, why: "me".into() },
            3 => Change::Release { which },
            _ => Change::Move { which, to: to.into() },
        };
        self.story.push(format!("{change:?}"));
        for id in meant {
            let at = self.model.at(id);
            match kind {
                0 => self.model.retry(at, out_of_order),
                1 => self.model.ask(at, &AskedChange::Discard),
                2 => self.model.ask(at, &AskedChange::Hold),
                3 if self.model.deliveries[at].state == RowState::Held => self.model.open(at),
                3 if self.model.deliveries[at].asked == Some(AskedChange::Hold) => {
                    self.model.deliveries[at].asked = None;
                }
                3 => {}
                _ => self.model.ask(at, &AskedChange::Move(to)),
            }
        }
        within(self.journal().change(change)).await.unwrap();
    }

    fn restart(&mut self) {
        self.story.push("restart".into());
        self.journal = None;
        self.journal = Some(open(&self.folder));
        self.model.restart();
    }

    async fn step(&mut self) {
        match self.random.u8(..20) {
            0..6 => self.append().await,
            6..10 => self.claim().await,
            10..13 => self.end(),
            13 => self.retry_at(),
            14 => self.due_now(),
            15..19 => self.change().await,
            _ => self.restart(),
        }
        within(self.journal().set_aside(ReceivedMessage::sample("barrier", false), "barrier".into())).await;
        check(&self.folder, self.journal(), &self.model, &self.story);
    }

    /// Checks that everything that is not held can be delivered in the end.
    async fn drain(&mut self) {
        self.restart();
        within(self.journal().change(Change::Release { which: Filter::default() })).await.unwrap();
        let dead = Filter { states: vec![RowState::Dead], ..Filter::default() };
        within(self.journal().change(Change::Discard { which: dead, by: "me".into() })).await.unwrap();
        ACTIONS.iter().for_each(|action| self.journal().due_now(action));
        let open = |folder: &TempDir| -> u64 {
            let tally = reader(folder).tally().unwrap();
            tally.iter().filter(|tally| tally.state.is_open()).map(|tally| tally.count).sum()
        };
        let mut rounds = 0;
        while open(&self.folder) > 0 {
            rounds += 1;
            assert!(rounds < 1000, "something is stuck\n{}", self.story.join("\n"));
            for action in ACTIONS {
                let claim = self.journal().claim(action, ClaimLimits::in_order(10));
                for claimed in claim.now_or_never().unwrap_or_default() {
                    self.journal().end(claimed.id, Outcome::Delivered.into());
                }
            }
            within(self.journal().set_aside(ReceivedMessage::sample("barrier", false), "barrier".into()))
                .await;
        }
    }
}

#[tokio::test]
async fn whatever_happens_each_delivery_stands_where_the_rule_puts_it() {
    let seeds = std::env::var("OSNL_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(24);
    for seed in 0..seeds {
        // In memory if possible, as thousands of commits are made.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let journal = Some(open(&folder));
        let random = fastrand::Rng::with_seed(seed);
        let story = vec![format!("seed {seed}")];
        let mut player = Player { folder, journal, model: Model::default(), random, story };
        for _ in 0..60 {
            player.step().await;
        }
        player.drain().await;
    }
}
