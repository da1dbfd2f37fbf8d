//! The target: an address for each daemon, which identifies its effects, and faults on request. A record shows which
//! requests a target would refuse that keeps the largest fence of each resource.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{REJECTED, SPARE};
use crate::{FaultyProxy, NetworkFault, Reply, Sink, SinkRequest};

const USUAL: u64 = 60;

const LATE: Duration = Duration::from_millis(400);

#[derive(Clone, Copy, Debug)]
pub(super) struct TargetEffect {
    pub(super) event: u64,
    pub(super) port: u32,
    pub(super) daemon: usize,
    pub(super) is_spare: bool,
    /// Whether a request before had a larger fence; `None` without a fence, from an older version.
    pub(super) is_behind: Option<bool>,
    pub(super) at: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestCounts {
    pub(super) failed: usize,
    pub(super) foreign: usize,
    pub(super) behind: usize,
}

#[derive(Default)]
struct SharedTargetState {
    fault: Option<Reply>,
    slow: Vec<usize>,
    requests: Vec<u64>,
    counts: RequestCounts,
    effects: Vec<TargetEffect>,
    fences: HashMap<(String, u32), u64>,
}

pub(super) struct SharedTarget {
    sinks: Vec<Sink>,
    proxies: Vec<FaultyProxy>,
    state: Arc<Mutex<SharedTargetState>>,
}

impl SharedTarget {
    pub(super) fn start(daemons: usize) -> Self {
        let state = Arc::new(Mutex::new(SharedTargetState {
            requests: vec![0; daemons],
            ..SharedTargetState::default()
        }));
        let sink = |daemon: usize| {
            let (sink, state) = (Sink::start(), state.clone());
            sink.reply_when(move |request| Some(state.lock().unwrap().answer(daemon, request)));
            sink
        };
        let sinks: Vec<Sink> = (0..daemons).map(sink).collect();
        let proxies = sinks.iter().map(|sink| FaultyProxy::before(sink.port())).collect();
        Self { sinks, proxies, state }
    }

    pub(super) fn url(&self, daemon: usize, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.proxies[daemon].port())
    }

    pub(super) fn reach(&self, daemon: usize, fault: NetworkFault) {
        self.proxies[daemon].set(fault);
    }

    pub(super) fn refuse(&self) {
        self.sinks.iter().for_each(Sink::stop);
    }

    pub(super) fn accept(&self) {
        self.sinks.iter().for_each(Sink::restart);
    }

    pub(super) fn fail_with(&self, fault: Option<Reply>) {
        self.state.lock().unwrap().fault = fault;
    }

    pub(super) fn slow_down(&self, daemon: usize, is_slow: bool) {
        let mut state = self.state.lock().unwrap();
        state.slow.retain(|other| *other != daemon);
        state.slow.extend(is_slow.then_some(daemon));
    }

    pub(super) fn requests(&self, daemon: usize) -> u64 {
        self.state.lock().unwrap().requests[daemon]
    }

    pub(super) fn count(&self) -> usize {
        self.state.lock().unwrap().effects.len()
    }

    pub(super) fn effects(&self) -> Vec<TargetEffect> {
        self.state.lock().unwrap().effects.clone()
    }

    pub(super) fn counts(&self) -> RequestCounts {
        self.state.lock().unwrap().counts
    }

    pub(super) fn forget(&self) {
        self.sinks.iter().for_each(Sink::forget);
    }
}

impl SharedTargetState {
    fn answer(&mut self, daemon: usize, request: &SinkRequest) -> Reply {
        self.requests[daemon] += 1;
        let Some((event, port)) = numbers(&request.body) else {
            self.counts.foreign += 1;
            return Reply::Status(204);
        };
        let is_spare = request.target == SPARE;
        let is_behind = self.is_behind(port, request);
        let verdict = Reply::Status(if event.is_multiple_of(REJECTED) && !is_spare { 400 } else { 204 });
        let after = |pause: Duration| Reply::After(pause, Box::new(verdict.clone()));
        let (reply, is_answered) = match &self.fault {
            Some(Reply::After(pause, _)) => (after(*pause), true),
            Some(fault) => (fault.clone(), false),
            None if self.slow.contains(&daemon) => (after(LATE), true),
            None => (after(Duration::from_millis(fastrand::u64(..USUAL))), true),
        };
        if is_answered && verdict == Reply::Status(204) {
            self.effects.push(TargetEffect { event, port, daemon, is_spare, is_behind, at: Instant::now() });
        } else {
            self.counts.failed += 1;
        }
        reply
    }

    fn is_behind(&mut self, port: u32, request: &SinkRequest) -> Option<bool> {
        let fence: u64 = request.header("osnl-fence")?.parse().ok()?;
        let latest = self.fences.entry((request.target.clone(), port)).or_default();
        let is_behind = fence < *latest;
        *latest = fence.max(*latest);
        self.counts.behind += usize::from(is_behind);
        Some(is_behind)
    }
}

fn numbers(body: &[u8]) -> Option<(u64, u32)> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let port = body["port"].as_str()?.strip_prefix("port-")?;
    Some((body["n"].as_u64()?, port.parse().ok()?))
}
