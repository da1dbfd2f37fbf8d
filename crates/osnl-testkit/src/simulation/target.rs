//! The target: an action whose calls have effects in the world, and answers by the mood of the target.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use osnl_core::attempt::{Action, ActionError, Completion, ErrorClass};
use osnl_core::event::Event;
use osnl_model::shard_of;
use osnl_transport::BoxFuture;
use tokio::time::sleep;

use super::story::{Mood, Nature, Settings};
use super::who::Who;
use super::world::{World, WorldState};

/// The action of one life of a daemon.
pub(super) struct SimulatedAction {
    world: World,
    who: Who,
    whole: bool,
    timeout: Duration,
}

/// The action of a daemon that splits the events: it publishes each to the queue of its shard.
pub(super) struct Splitter {
    world: World,
    who: Who,
    shards: NonZeroU32,
}

/// The verdicts of a call, and when they arrive.
struct Answer {
    after: Duration,
    verdicts: Vec<Result<Completion, ActionError>>,
}

impl SimulatedAction {
    pub(super) fn new(world: &World, who: Who, settings: &Settings) -> Arc<Self> {
        let (_, _, whole) = settings.batch;
        Arc::new(Self { world: world.clone(), who, whole, timeout: settings.timeout })
    }

    /// Takes the call; `None` if the daemon is dead, or the target never answers.
    fn call(&self, events: &[usize]) -> Option<Answer> {
        let mut state = self.world.lock();
        let mood = match state.target.mood() {
            Mood::Moody => moody(&mut state),
            mood => mood,
        };
        if !state.steps(self.who, "a call of the target") {
            return None;
        }
        if !matches!(mood, Mood::Well(_)) {
            state.oracle.fails();
        }
        let fails = |class: ErrorClass, words: &str| {
            events.iter().map(|_| Err(ActionError::new(class, words))).collect()
        };
        let soon = Duration::from_millis(1);
        match mood {
            Mood::Well(most) => {
                let millis = u64::try_from(most.as_millis()).unwrap_or(0);
                let after = Duration::from_millis(state.random.u64(0..=millis));
                if after >= self.timeout {
                    events.iter().for_each(|event| state.oracle.repeats(*event));
                }
                Some(Answer { after, verdicts: self.taken(&mut state, events) })
            }
            Mood::Down => Some(Answer { after: soon, verdicts: fails(ErrorClass::Connect, "refused") }),
            Mood::Hangs(has_effect) => {
                for event in events {
                    if has_effect {
                        has(&mut state, self.who, *event, "takes effect, and no answer follows");
                    } else {
                        state.say(format_args!("event {event}: {} calls, and no answer follows", self.who));
                    }
                    state.oracle.repeats(*event);
                }
                None
            }
            Mood::Stumbles => {
                Some(Answer { after: soon, verdicts: fails(ErrorClass::Status(503), "overloaded") })
            }
            Mood::Cuts => {
                for event in events {
                    has(&mut state, self.who, *event, "takes effect, and the connection is cut");
                    state.oracle.repeats(*event);
                }
                Some(Answer { after: soon, verdicts: fails(ErrorClass::Reset, "cut") })
            }
            Mood::Locked => {
                Some(Answer { after: soon, verdicts: fails(ErrorClass::Status(401), "locked out") })
            }
            Mood::Busy(pause) => {
                let error = || ActionError {
                    retry_after: Some(pause),
                    ..ActionError::new(ErrorClass::Status(429), "too many")
                };
                Some(Answer { after: soon, verdicts: events.iter().map(|_| Err(error())).collect() })
            }
            Mood::Refuses | Mood::Moody => {
                events.iter().for_each(|event| state.oracle.refuses(*event));
                Some(Answer { after: soon, verdicts: fails(ErrorClass::Status(404), "no such path") })
            }
        }
    }

    /// Takes the events by their natures: of a digest all or none.
    fn taken(&self, state: &mut WorldState, events: &[usize]) -> Vec<Result<Completion, ActionError>> {
        let verdicts: Vec<_> = events.iter().map(|event| judge(state, *event)).collect();
        let verdicts = match verdicts.iter().find_map(|verdict| verdict.clone().err()) {
            Some(error) if self.whole => vec![Err(error); events.len()],
            _ => verdicts,
        };
        for (event, verdict) in events.iter().zip(&verdicts) {
            match verdict {
                Ok(_) => has(state, self.who, *event, "takes effect"),
                Err(error) => {
                    state.oracle.refuses(*event);
                    state.say(format_args!("event {event}: the target refuses it: {error}"));
                }
            }
        }
        verdicts
    }
}

/// The events of a call until it ends, or is given up.
struct UnderWay<'a> {
    world: &'a World,
    who: Who,
    events: &'a [usize],
}

impl<'a> UnderWay<'a> {
    fn new(world: &'a World, who: Who, events: &'a [usize]) -> Self {
        world.lock().oracle.calls(who, events);
        Self { world, who, events }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.world.lock().oracle.called(self.who, self.events);
    }
}

fn has(state: &mut WorldState, who: Who, event: usize, how: &str) {
    state.say(format_args!("event {event}: {who} calls, and it {how}"));
    state.oracle.has_effect(who, event);
}

fn judge(state: &mut WorldState, event: usize) -> Result<Completion, ActionError> {
    let (nature, refused) = state.oracle.nature(event);
    let error = |class| Err(ActionError::new(class, "not this one"));
    match nature {
        Nature::Refused(times) if refused < times => error(ErrorClass::Status(422)),
        Nature::Good | Nature::Refused(_) => Ok(Completion::Delivered("taken".to_owned())),
        Nature::Bad => error(ErrorClass::Status(422)),
        Nature::Final => error(ErrorClass::Rejected),
    }
}

fn moody(state: &mut WorldState) -> Mood {
    match state.random.u8(..10) {
        0 => Mood::Down,
        1 => Mood::Hangs(false),
        2 => Mood::Hangs(true),
        3 => Mood::Stumbles,
        4 => Mood::Cuts,
        5 => Mood::Busy(Duration::from_secs(3)),
        _ => Mood::Well(Duration::from_millis(200)),
    }
}

impl Splitter {
    pub(super) fn new(world: &World, who: Who, shards: u32) -> Arc<Self> {
        let shards = NonZeroU32::new(shards).unwrap_or(NonZeroU32::MIN);
        Arc::new(Self { world: world.clone(), who, shards })
    }

    /// Publishes an event; `None` if the daemon is dead, or the broker does not answer.
    fn publish(&self, event: usize) -> Option<Result<Completion, ActionError>> {
        let mut state = self.world.lock();
        if !state.steps(self.who, "a publication") || state.broker.is_deaf() {
            return None;
        }
        if state.broker.is_down() {
            return Some(Err(ActionError::new(ErrorClass::Connect, "refused")));
        }
        let key = state.oracle.splits(event);
        let shard = shard_of(&format!("k{key}"), self.shards);
        state.broker.publish_to(1 + shard as usize, event);
        state.changed.notify_waiters();
        let is_confirmed = state.random.u8(..16) > 0;
        let lost = if is_confirmed { "" } else { ", and the confirmation is lost" };
        state.say(format_args!("event {event}: {} publishes it to shard {shard}{lost}", self.who));
        if is_confirmed {
            return Some(Ok(Completion::Delivered("published".to_owned())));
        }
        state.oracle.refuses(event);
        state.oracle.repeats(event);
        Some(Err(ActionError::new(ErrorClass::Reset, "not confirmed")))
    }
}

impl Action for Splitter {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        Box::pin(async move {
            let mut verdicts = Vec::new();
            for event in events.iter().filter_map(number) {
                match self.publish(event) {
                    Some(verdict) => verdicts.push(verdict),
                    None => std::future::pending().await,
                }
            }
            sleep(Duration::from_millis(3)).await;
            let is_alive = self.world.lock().steps(self.who, "a confirmation");
            if is_alive { verdicts } else { std::future::pending().await }
        })
    }

    fn target(&self) -> String {
        "shards".to_owned()
    }
}

impl Action for SimulatedAction {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        Box::pin(async move {
            let numbers: Vec<usize> = events.iter().filter_map(number).collect();
            let _under_way = UnderWay::new(&self.world, self.who, &numbers);
            match self.call(&numbers) {
                Some(Answer { after, verdicts }) => {
                    sleep(after).await;
                    let is_alive = self.world.lock().steps(self.who, "an answer of the target");
                    if is_alive { verdicts } else { std::future::pending().await }
                }
                None => std::future::pending().await,
            }
        })
    }

    fn target(&self) -> String {
        "target".to_owned()
    }
}

/// Returns the number of an event, which is in its id.
pub(super) fn number(event: &Event) -> Option<usize> {
    event.notification.message_id.as_deref()?.strip_prefix('m')?.parse().ok()
}
