use std::path::Path;

use super::super::QUEUE;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::oracle) struct StandbySettings {
    pub(super) journal: &'static str,
    /// The interval of heartbeats in seconds; the broker closes a silent connection after 2.6 to 2.9 intervals.
    pub(super) heartbeat: u32,
    pub(super) concurrency: u32,
}

/// Unacknowledged messages of a daemon; with different numbers returned messages would lose their order.
pub(super) const PREFETCH: u32 = 200;
/// RabbitMQ 4.3 waits a minute for the node of a dead consumer, unless the queue has this argument.
const ARGUMENTS: &str = "x-consumer-disconnected-timeout=20000";

impl Default for StandbySettings {
    fn default() -> Self {
        Self { journal: "memory://", heartbeat: 10, concurrency: 16 }
    }
}

impl StandbySettings {
    pub(super) fn others(chance: &mut fastrand::Rng) -> Self {
        let heartbeat = if chance.bool() { 9 + chance.u32(..3) } else { 10 };
        Self { heartbeat, concurrency: chance.u32(4..32), ..Self::default() }
    }

    /// Returns the configuration: an unreachable or hanging target is retried each second without end; 410 is a dead
    /// letter at once.
    pub(in crate::oracle) fn text(&self, home: &Path, transport_url: &str, url: &str) -> String {
        let Self { journal, heartbeat, concurrency } = self;
        let place = match *journal {
            "" => "allow_volatile = yes".to_owned(),
            journal => format!("connection = {journal}"),
        };
        format!(
            "[DEFAULT]\nstate_dir = {}\nlog_level = info\n[journal]\n{place}\n\
             [listener:neutron]\ntransport_url = {transport_url}\nexchange = neutron\ndeclare = create\npool = {QUEUE}\n\
             queue_type = quorum\nprefetch = {PREFETCH}\narguments = {ARGUMENTS}\n\
             heartbeat_timeout_threshold = {heartbeat}\n\
             [rule:deleted]\nevent_type = ^port\\.delete\\.end$\nactions = hook\n\
             [action:hook]\ndriver = http\n\
             url = {url}?cuk={{{{ payload.port.device_id }}}}&host={{{{ payload.port.fixed_ips[0].ip_address }}}}\n\
             final = 410\ntimeout = 2s\nretry_interval = 1s\nmax_attempts = 1000\nconcurrency = {concurrency}\n",
            home.display(),
        )
    }
}
