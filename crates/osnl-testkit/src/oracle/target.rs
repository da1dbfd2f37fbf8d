use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::{Reply, Sink, SinkRequest};

pub(super) const SHARE: u64 = 8;

#[derive(Clone, Copy, Debug)]
pub(super) struct TargetRequest {
    pub(super) event: u64,
    pub(super) key: u64,
    pub(super) daemon: usize,
    pub(super) effect: bool,
    /// Whether the target rejected the event for good.
    pub(super) rejected: bool,
    pub(super) at: Instant,
}

#[derive(Default)]
struct OracleTargetState {
    fault: Option<Reply>,
    refused: Option<(u64, Reply)>,
    /// The target rejects one event in this number for good; 0 rejects none.
    rejected: u64,
    /// The requests that the target would reject, and accepts after all.
    accepted: HashSet<u64>,
    asked: Vec<TargetRequest>,
    effects: HashSet<u64>,
    faults: BTreeMap<String, u64>,
}

pub(super) struct OracleTarget {
    sinks: Vec<Sink>,
    state: Arc<Mutex<OracleTargetState>>,
}

impl OracleTarget {
    pub(super) fn start(daemons: usize) -> Self {
        let state: Arc<Mutex<OracleTargetState>> = Arc::default();
        let sink = |daemon: usize| {
            let (sink, state) = (Sink::start(), state.clone());
            sink.reply_when(move |request| Some(state.lock().unwrap().answer(daemon, request)));
            sink
        };
        Self { sinks: (0..daemons).map(sink).collect(), state }
    }

    pub(super) fn url(&self, daemon: usize) -> String {
        self.sinks[daemon].url("/v1/role")
    }

    pub(super) fn stop(&self) {
        self.sinks.iter().for_each(Sink::stop);
    }

    pub(super) fn restart(&self) {
        self.sinks.iter().for_each(Sink::restart);
    }

    pub(super) fn fail_with(&self, fault: Option<Reply>) {
        self.state.lock().unwrap().fault = fault;
    }

    pub(super) fn refuse_some(&self, refused: Option<(u64, Reply)>) {
        self.state.lock().unwrap().refused = refused;
    }

    pub(super) fn reject_one_in(&self, share: u64) {
        self.state.lock().unwrap().rejected = share;
    }

    pub(super) fn accept(&self, events: impl Iterator<Item = u64>) {
        self.state.lock().unwrap().accepted.extend(events);
    }

    pub(super) fn effects_since(&self, time: Instant) -> Vec<TargetRequest> {
        let state = self.state.lock().unwrap();
        let late = state.asked.iter().rev().take_while(|asked| asked.at >= time);
        let mut effects: Vec<TargetRequest> = late.filter(|asked| asked.effect).copied().collect();
        effects.reverse();
        effects
    }

    pub(super) fn latest_of(&self, daemons: &[usize]) -> Option<TargetRequest> {
        let state = self.state.lock().unwrap();
        state.asked.iter().rev().find(|asked| asked.effect && daemons.contains(&asked.daemon)).copied()
    }

    pub(super) fn forget(&self) {
        self.sinks.iter().for_each(Sink::forget);
    }

    pub(super) fn count(&self) -> usize {
        self.state.lock().unwrap().asked.len()
    }

    pub(super) fn has_all(&self, mut events: impl Iterator<Item = u64>) -> bool {
        let state = self.state.lock().unwrap();
        events.all(|event| state.effects.contains(&event))
    }

    pub(super) fn requests(&self) -> Vec<TargetRequest> {
        self.state.lock().unwrap().asked.clone()
    }

    pub(super) fn faults(&self) -> BTreeMap<String, u64> {
        self.state.lock().unwrap().faults.clone()
    }
}

impl OracleTargetState {
    fn answer(&mut self, daemon: usize, request: &SinkRequest) -> Reply {
        let (key, event) = numbers(&request.target).unwrap_or((u64::MAX, u64::MAX));
        let refused = self.refused.as_ref().filter(|(share, _)| key % SHARE == *share);
        let refused = refused.map(|(_, reply)| reply.clone());
        let is_rejected =
            self.rejected > 0 && event.is_multiple_of(self.rejected) && !self.accepted.contains(&event);
        let fault = self.fault.clone().or(refused);
        let rejected = is_rejected && fault.is_none();
        let well = Reply::Status(if rejected { 410 } else { 204 });
        let reply = fault.unwrap_or(well);
        let effect = succeeds(&reply);
        if !effect {
            let name = format!("{reply:?}").split(['{', ' ']).next().unwrap_or_default().to_owned();
            *self.faults.entry(name).or_default() += 1;
        }
        self.asked.push(TargetRequest { event, key, daemon, effect, rejected, at: Instant::now() });
        if effect {
            self.effects.insert(event);
        }
        reply
    }
}

fn succeeds(reply: &Reply) -> bool {
    match reply {
        Reply::Status(status) => *status < 300,
        // The status is 200, which is what the target says about the request.
        Reply::ShortBody => true,
        Reply::After(pause, then) => *pause < Duration::from_millis(500) && succeeds(then),
        _ => false,
    }
}

/// Returns key and event of `…?cuk=00000000-0000-4000-8000-KEY&host=["10.A.B.C"]`, also with escapes.
fn numbers(target: &str) -> Option<(u64, u64)> {
    let key = target.split_once("00000000-0000-4000-8000-")?.1.get(..12)?;
    let host = target.split_once("host=")?.1.split_once("10.")?.1;
    let event = host
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .next()?
        .split('.')
        .try_fold(0, |sum, part| Some(sum * 256 + part.parse::<u64>().ok()?))?;
    Some((u64::from_str_radix(key, 16).ok()?, event))
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn key_and_event_stand_in_the_request() {
        let check = |target: &str, expected| assert_eq!(numbers(target), expected, "{target}");
        let key = "00000000-0000-4000-8000-00000000002a";
        check(&format!("/v1/role?cuk={key}&host=[\"10.1.2.3\"]"), Some((42, 66051)));
        check(&format!("/v1/role?cuk={key}&host=%5B%2210.0.1.0%22%5D"), Some((42, 256)));
        check(&format!("/v1/role?cuk={key}"), None);
        check("/v1/role?cuk=else&host=10.0.0.1", None);
    }
}
