//! A story: the settings of its daemons, and its steps, all from one seed.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use osnl_transport::QueueType;

/// The settings of the daemons of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether the journal is a file.
    pub sqlite: bool,
    /// Whether a second daemon reads the same queues, as a standby.
    pub standby: bool,
    /// The queues, each with its own keys, all read by the same daemon.
    pub queues: usize,
    /// The shards, each read by a daemon of its own behind one that splits the events.
    pub shards: Option<u32>,
    pub quorum: bool,
    pub prefetch: u16,
    /// The option `give_back_after`.
    pub give_back: Duration,
    /// The longest time for which `memory://` keeps a message unsettled.
    pub stay: Duration,
    pub concurrency: usize,
    pub timeout: Duration,
    pub max_attempts: u32,
    /// The longest pause between attempts.
    pub max_pause: Duration,
    /// Whether a delivery without an attempt left returns to the broker.
    pub returns: bool,
    pub hold_max: Option<Duration>,
    /// The most events of a call, the wait for others, and whether they are one digest.
    pub batch: (usize, Duration, bool),
    /// The calls within a time.
    pub rate: Option<(u32, Duration)>,
    /// The longest time of a commit.
    pub disk: Duration,
}

impl Settings {
    fn new(random: &mut Rng) -> Self {
        let sqlite = random.u8(..3) == 0;
        let seconds =
            |random: &mut Rng, choices: &[u64]| Duration::from_secs(*random.choice(choices).unwrap_or(&1));
        let standby = random.u8(..4) == 0;
        let shards = (!standby && random.u8(..6) == 0).then(|| random.u32(1..=4));
        // A message stays for three times as long as a young session, as in the program. Waits are shorter and longer.
        let give_back = seconds(random, &[8, 20, 120]);
        let hold_max = (random.u8(..3) == 0).then(|| give_back * *random.choice(&[1, 5, 10]).unwrap_or(&1));
        let batch = match random.u8(..8) {
            0 => (random.usize(2..6), seconds(random, &[0, 1, 20]), false),
            1 | 2 => (random.usize(2..8), give_back * *random.choice(&[1, 5, 10]).unwrap_or(&1), true),
            _ => (1, Duration::ZERO, false),
        };
        Self {
            sqlite,
            standby,
            queues: if shards.is_none() && random.u8(..4) == 0 { random.usize(2..=3) } else { 1 },
            shards,
            quorum: random.bool(),
            prefetch: *random.choice(&[1, 2, 4, 8, 32]).unwrap_or(&1),
            give_back,
            stay: give_back * 3,
            concurrency: random.usize(1..5),
            timeout: seconds(random, &[2, 10, 30]),
            max_attempts: random.u32(1..6),
            max_pause: seconds(random, &[5, 20, 60]),
            returns: hold_max.is_none() && random.u8(..5) == 0,
            hold_max,
            batch,
            // A slower rate gives messages back, with pauses that grow to an hour.
            rate: (random.u8(..8) == 0).then(|| (random.u32(1..4), give_back / 2)),
            disk: Duration::from_millis(*random.choice(&[0, 0, 20, 3000]).unwrap_or(&0)),
        }
    }

    /// Returns the time after which nothing may wait any more, once everything is well.
    pub(super) fn patience(&self) -> Duration {
        // The pause of a listener that returned its messages is at most an hour.
        Duration::from_secs(2 * 3600)
    }

    pub(super) fn daemons(&self) -> usize {
        match self.shards {
            Some(shards) => 1 + shards as usize,
            None => 1 + usize::from(self.standby),
        }
    }

    /// Whether a daemon splits the events, and has no effects of its own.
    pub(super) fn splits(&self, daemon: usize) -> bool {
        self.shards.is_some() && daemon == 0
    }

    /// Returns the queues that a daemon reads.
    pub(super) fn queues_of(&self, daemon: usize) -> Vec<usize> {
        match self.shards {
            Some(_) => vec![daemon],
            None => (0..self.queues).collect(),
        }
    }

    pub(super) fn one_is_active(&self) -> bool {
        self.standby || self.shards.is_some()
    }

    pub(super) fn queue_type(&self) -> QueueType {
        if self.quorum { QueueType::Quorum } else { QueueType::Classic }
    }

    /// Returns whether deliveries of one key keep their order.
    pub(super) fn is_ordered(&self) -> bool {
        !self.batch.2
    }
}

/// The answers of the target about one event while the target is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    Good,
    /// It is refused so many times, then taken.
    Refused(u32),
    /// It is always refused.
    Bad,
    /// It is refused for good by the first answer.
    Final,
}

impl fmt::Display for Nature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => Ok(()),
            Self::Refused(times) => write!(f, "; the target refuses it {times} times"),
            Self::Bad => f.write_str("; the target always refuses it"),
            Self::Final => f.write_str("; the target refuses it for good"),
        }
    }
}

/// The behaviour of the target for all events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It answers after up to this time.
    Well(Duration),
    /// No connection is accepted.
    Down,
    /// It answers nothing; `true`: the effect takes place.
    Hangs(bool),
    /// It answers 503.
    Stumbles,
    /// The effect takes place, then the connection is cut.
    Cuts,
    /// It refuses the login.
    Locked,
    /// It answers 429, with a time.
    Busy(Duration),
    /// It refuses everything with 404.
    Refuses,
    /// Each call is answered by a mood of its own.
    Moody,
}

/// A step of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Publish {
        event: usize,
        key: u8,
        nature: Nature,
    },
    Target(Mood),
    /// A daemon is killed at its step outside after so many others, and starts again after a time.
    Kill {
        daemon: usize,
        fuse: u32,
        away: Duration,
    },
    /// A daemon is stopped in good order, and starts again after a time.
    Stop {
        daemon: usize,
        away: Duration,
    },
    /// The connection of a daemon is lost.
    Cut {
        daemon: usize,
    },
    /// The broker refuses connections for a time.
    BrokerDown(Duration),
    /// The broker reads nothing that daemons send for a time.
    BrokerDeaf(Duration),
    Reload {
        daemon: usize,
        what: Reloaded,
    },
    /// An operator pauses the action for a time.
    Pause {
        daemon: usize,
        length: Duration,
    },
    /// An operator changes all deliveries of a key in the file of a daemon.
    Change {
        daemon: usize,
        key: u8,
        verb: Verb,
    },
    /// The time of day jumps by so many seconds.
    Clock(i64),
}

/// The verb of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Retry,
    Discard,
    Hold,
    Release,
}

/// The part that a reload replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The settings of the action, which are the same.
    Settings,
    /// The delivery loop: the action is removed, and one of the same name added.
    Action,
    /// The listener.
    Listener,
    /// The rules.
    Rules,
}

/// A seed with all that follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    pub seed: u64,
    pub settings: Settings,
    /// The steps, each with its time since the beginning.
    pub steps: Vec<(Duration, Step)>,
}

impl Story {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let settings = Settings::new(&mut random);
        let keys = random.u8(1..6);
        // One scale for all pauses, so that some stories are a storm and some a night.
        let scale = *random.choice(&[1, 5, 60]).unwrap_or(&5);
        let scenes = random.usize(10..60);
        let steps = Vec::new();
        let mut plot = Plot { random, settings, keys, now: Duration::ZERO, events: 0, bad: 0, steps };
        for _ in 0..scenes {
            if plot.random.u8(..3) > 0 {
                plot.now += Duration::from_millis(plot.random.u64(1..scale * 1000));
            }
            plot.scene();
        }
        let is_night = if plot.settings.hold_max.is_some() { 2 } else { 6 };
        if plot.random.u8(..is_night) == 0 {
            plot.night();
        }
        Self { seed, settings: plot.settings, steps: plot.steps }
    }
}

/// A story while it is made.
struct Plot {
    random: Rng,
    settings: Settings,
    keys: u8,
    now: Duration,
    events: usize,
    bad: u32,
    steps: Vec<(Duration, Step)>,
}

impl Plot {
    fn add(&mut self, step: Step) {
        self.steps.push((self.now, step));
    }

    fn publish(&mut self, key: u8, nature: Nature) {
        self.events += 1;
        self.add(Step::Publish { event: self.events - 1, key, nature });
    }

    fn scene(&mut self) {
        let daemon = self.random.usize(..self.settings.daemons());
        let step = match self.random.u8(..29) {
            0..13 => {
                let key = self.random.u8(..self.keys);
                let nature = nature(&mut self.random, &self.settings, &mut self.bad);
                return self.publish(key, nature);
            }
            13..16 => Step::Target(mood(&mut self.random)),
            16..18 => {
                let fuse = self.random.u32(..30);
                Step::Kill { daemon, fuse, away: seconds(&mut self.random, 60) }
            }
            18 => Step::Stop { daemon, away: seconds(&mut self.random, 60) },
            19 => Step::Cut { daemon },
            20 => Step::BrokerDown(seconds(&mut self.random, 90)),
            21 => Step::BrokerDeaf(seconds(&mut self.random, 60)),
            22 => {
                let whats = [Reloaded::Settings, Reloaded::Action, Reloaded::Listener, Reloaded::Rules];
                Step::Reload { daemon, what: *self.random.choice(&whats).unwrap_or(&Reloaded::Settings) }
            }
            23 => return self.burst(daemon),
            24 => return self.unsteady(daemon),
            25 => Step::Clock(self.random.i64(-7200..7200)),
            26..28 if self.settings.sqlite => {
                let verbs = [Verb::Retry, Verb::Discard, Verb::Hold, Verb::Release];
                let (key, verb) = (self.random.u8(..self.keys), self.random.choice(&verbs));
                Step::Change { daemon, key, verb: *verb.unwrap_or(&Verb::Retry) }
            }
            _ => Step::Pause { daemon, length: seconds(&mut self.random, 200) },
        };
        self.add(step);
    }

    /// More events of a key at once than the daemon can hold, and a change of listeners in their midst.
    fn burst(&mut self, daemon: usize) {
        let key = self.random.u8(..self.keys);
        let most = 2 * usize::from(self.settings.prefetch.min(8)) + 3;
        for _ in 0..self.random.usize(2..=most) {
            self.publish(key, Nature::Good);
        }
        if self.random.bool() {
            self.now += Duration::from_millis(self.random.u64(..5000));
        }
        let step = match self.random.u8(..4) {
            0 => Step::Cut { daemon },
            1 => Step::Reload { daemon, what: Reloaded::Action },
            _ => Step::Reload { daemon, what: Reloaded::Listener },
        };
        self.add(step);
        self.publish(key, Nature::Good);
    }

    /// A connection that is lost again and again while an event waits.
    fn unsteady(&mut self, daemon: usize) {
        let key = self.random.u8(..self.keys);
        self.publish(key, Nature::Good);
        for _ in 0..self.random.usize(2..10) {
            self.now += seconds(&mut self.random, 10);
            self.add(Step::Cut { daemon });
        }
    }

    /// An outage that is longer than every wait.
    fn night(&mut self) {
        let mood = *self.random.choice(&[Mood::Down, Mood::Locked, Mood::Stumbles]).unwrap_or(&Mood::Down);
        self.add(Step::Target(mood));
        for _ in 0..self.random.usize(1..4) {
            let key = self.random.u8(..self.keys);
            self.publish(key, Nature::Good);
        }
        let held = self.settings.hold_max.unwrap_or_default() * 2;
        self.now += held + Duration::from_secs(self.random.u64(1..4) * 600);
        self.add(Step::Target(Mood::Well(Duration::ZERO)));
    }
}

fn seconds(random: &mut Rng, most: u64) -> Duration {
    Duration::from_millis(random.u64(1..most * 1000))
}

fn nature(random: &mut Rng, settings: &Settings, bad: &mut u32) -> Nature {
    match random.u8(..10) {
        0 | 1 => Nature::Refused(random.u32(1..settings.max_attempts + 2)),
        // Without a limit of attempts it would never end.
        // Nor does a digest that is refused.
        2 if !settings.returns && !settings.batch.2 && *bad < 4 => {
            *bad += 1;
            Nature::Bad
        }
        3 => Nature::Final,
        _ => Nature::Good,
    }
}

fn mood(random: &mut Rng) -> Mood {
    match random.u8(..14) {
        0..5 => Mood::Well(Duration::from_millis(random.u64(..3000))),
        5 | 6 => Mood::Down,
        7 => Mood::Hangs(random.bool()),
        8 => Mood::Stumbles,
        9 => Mood::Cuts,
        10 => Mood::Locked,
        11 => Mood::Busy(Duration::from_secs(random.u64(1..40))),
        12 => Mood::Refuses,
        _ => Mood::Moody,
    }
}
