//! The target: an address for each daemon, by which its effects are known, and faults on request. It notes which requests a target
//! would refuse that keeps the largest fence of each resource.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{REJECTED, SPARE};
use crate::{FaultyProxy, NetworkFault, Reply, Sink, SinkRequest};

/// Usual answers come within so many milliseconds.
const USUAL: u64 = 60;

/// Those of a daemon that is to have a request under way.
const LATE: Duration = Duration::from_millis(400);

/// A request that was answered as a success.
#[derive(Clone, Copy, Debug)]
pub(super) struct TargetEffect {
    pub(super) event: u64,
    pub(super) port: u32,
    /// The number of the daemon that asked.
    pub(super) daemon: usize,
    /// It is the fallback's, of what was given up.
    pub(super) is_spare: bool,
    /// Whether it has a smaller fence than a request before; `None` without one, of an older version.
    pub(super) is_behind: Option<bool>,
    pub(super) at: Instant,
}

/// Counts of requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestCounts {
    pub(super) failed: usize,
    /// Those that are about none of the events.
    pub(super) foreign: usize,
    /// Those with a smaller fence than one before.
    pub(super) behind: usize,
}

#[derive(Default)]
struct SharedTargetState {
    fault: Option<Reply>,
    /// Daemons whose requests are answered late, so that one is under way.
    slow: Vec<usize>,
    requests: Vec<u64>,
    counts: RequestCounts,
    effects: Vec<TargetEffect>,
    /// The largest fence of each action and port.
    fences: HashMap<(String, u32), u64>,
}

pub(super) struct SharedTarget {
    sinks: Vec<Sink>,
    /// Before each sink.
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

    /// The network between a daemon and its address from now on.
    pub(super) fn reach(&self, daemon: usize, fault: NetworkFault) {
        self.proxies[daemon].set(fault);
    }

    pub(super) fn refuse(&self) {
        self.sinks.iter().for_each(Sink::stop);
    }

    pub(super) fn accept(&self) {
        self.sinks.iter().for_each(Sink::restart);
    }

    /// From now on, every request gets this; none: a success.
    pub(super) fn fail_with(&self, fault: Option<Reply>) {
        self.state.lock().unwrap().fault = fault;
    }

    /// Whether requests of a daemon are answered late.
    pub(super) fn slow_down(&self, daemon: usize, is_slow: bool) {
        let mut state = self.state.lock().unwrap();
        state.slow.retain(|other| *other != daemon);
        state.slow.extend(is_slow.then_some(daemon));
    }

    /// Returns the number of requests of a daemon.
    pub(super) fn requests(&self, daemon: usize) -> u64 {
        self.state.lock().unwrap().requests[daemon]
    }

    /// Returns the number of effects.
    pub(super) fn count(&self) -> usize {
        self.state.lock().unwrap().effects.len()
    }

    pub(super) fn effects(&self) -> Vec<TargetEffect> {
        self.state.lock().unwrap().effects.clone()
    }

    pub(super) fn counts(&self) -> RequestCounts {
        self.state.lock().unwrap().counts
    }

    /// The sinks keep each request otherwise.
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

    /// Whether a request has a smaller fence than one before, about the same port.
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
