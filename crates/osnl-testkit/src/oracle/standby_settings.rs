use std::path::Path;
use std::time::Duration;

use super::QUEUE;

const SPLIT: &str = "osnl-split";
const GUARD_WINDOW: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StandbySettings {
    pub(super) journal: &'static str,
    /// The interval of heartbeats in seconds; the broker closes a silent connection after 2.6 to 2.9 intervals.
    pub(super) heartbeat: u32,
    pub(super) concurrency: u32,
    pub(super) part: StandbyPart,
    /// The most different resources within [`GUARD_WINDOW`]; with it, deliveries behind a dead letter wait.
    pub(super) guard: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StandbyPart {
    /// Reads the services' exchange and calls the target.
    Whole,
    /// Reads the services' exchange and publishes to this number of shards.
    Splitter(usize),
    /// Reads the queue of the shard with this number and calls the target.
    Shard(usize),
}

/// Unacknowledged messages of a daemon; with different numbers returned messages would lose their order.
pub(super) const PREFETCH: u32 = 200;
/// RabbitMQ 4.3 waits a minute for the node of a dead consumer, unless the queue has this argument.
const ARGUMENTS: &str = "x-consumer-disconnected-timeout=20000";

impl Default for StandbySettings {
    fn default() -> Self {
        let part = StandbyPart::Whole;
        Self { journal: "memory://", heartbeat: 10, concurrency: 16, part, guard: None }
    }
}

impl StandbyPart {
    pub(super) fn queue(self) -> String {
        match self {
            Self::Whole => QUEUE.to_owned(),
            Self::Splitter(_) => SPLIT.to_owned(),
            Self::Shard(n) => format!("osnl-shard-{n}"),
        }
    }

    pub(super) fn delivers(self) -> bool {
        match self {
            Self::Whole | Self::Shard(_) => true,
            Self::Splitter(_) => false,
        }
    }
}

impl StandbySettings {
    pub(super) fn others(&self, chance: &mut fastrand::Rng) -> Self {
        let heartbeat = if chance.bool() { 9 + chance.u32(..3) } else { 10 };
        Self { heartbeat, concurrency: chance.u32(4..32), ..self.clone() }
    }

    /// Returns the configuration: an unreachable or hanging target is retried each second without end; 410 is a dead
    /// letter at once.
    pub(super) fn text(&self, home: &Path, transport_url: &str, url: &str) -> String {
        let place = match self.journal {
            "" => "allow_volatile = yes".to_owned(),
            journal => format!("connection = {journal}"),
        };
        let listener = self.listener();
        let action = self.action(transport_url, url);
        format!(
            "[DEFAULT]\nstate_dir = {}\nlog_level = info\n[journal]\n{place}\n\
             [listener:events]\ntransport_url = {transport_url}\n{listener}queue_type = quorum\nprefetch = {PREFETCH}\n\
             heartbeat_timeout_threshold = {}\n\
             [rule:deleted]\nevent_type = ^port\\.delete\\.end$\nactions = hook\n\
             [action:hook]\n{action}retry_interval = 1s\nmax_attempts = 1000\nconcurrency = {}\n",
            home.display(),
            self.heartbeat,
            self.concurrency,
        )
    }

    fn listener(&self) -> String {
        let exchange = match self.part {
            StandbyPart::Shard(n) => format!("exchange = osnl-shards\nrouting_key = shard.{n}\n"),
            StandbyPart::Whole | StandbyPart::Splitter(_) => "exchange = neutron\n".to_owned(),
        };
        format!("{exchange}declare = create\npool = {}\narguments = {ARGUMENTS}\n", self.part.queue())
    }

    fn action(&self, transport_url: &str, url: &str) -> String {
        if let StandbyPart::Splitter(shards) = self.part {
            return format!(
                "driver = publish\ntransport_url = {transport_url}\nshards = {shards}\nformat = raw\n"
            );
        }
        let seconds = GUARD_WINDOW.as_secs();
        let guard = self.guard.map(|most| format!("guard = {most} per {seconds}s\non_dead = hold_key\n"));
        format!(
            "driver = http\n\
             url = {url}?cuk={{{{ payload.port.device_id }}}}&host={{{{ payload.port.fixed_ips[0].ip_address }}}}\n\
             final = 410\ntimeout = 2s\n{}",
            guard.unwrap_or_default(),
        )
    }
}
