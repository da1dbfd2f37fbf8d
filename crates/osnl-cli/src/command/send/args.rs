use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use osnl_model::{Priority, Secret};
use osnl_transport::Declare;

use crate::flags::{OutputFormat, SourceArgs, max_body, rate, secret};

/// The flags of `osnl send`.
#[derive(Debug, Args)]
#[command(override_usage = "osnl send [OPTIONS] FILE | --event-type NAME | --sample EVENT")]
#[command(group = ArgGroup::new("what").args(["file", "event_type", "sample"]).required(true).multiple(true))]
#[command(
    after_help = "Exits with 0 if all messages are confirmed (--mandatory: and routed), else 1; 69 without a broker.\n\n\
                  Examples:\n  \
                  osnl send --transport-url rabbit:// --exchange test --sample port.create.end\n  \
                  osnl send -c /etc/osnl/osnl.conf --listener neutron recorded.jsonl"
)]
#[command(after_long_help = "\
    Priorities are audit, debug, info, warn, error, critical and sample. `--declare` creates exchange, queue \
    TOPIC.PRIORITY, and binding if they are missing, as services do. `--event-type`, `--publisher-id`, \
    `--payload`, `--context`, and `--priority` replace the values of FILE. With `--format json` each message \
    is an object on a line of its own, and the last line is {\"summary\": ...}.")]
pub(crate) struct SendArgs {
    /// JSON notifications: plain, in oslo's envelope, or saved by osnl tap; - is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Publish a sample of this event; osnl events lists them
    #[arg(long, value_name = "EVENT", conflicts_with = "file")]
    pub(crate) sample: Option<String>,
    /// Publish the sample of a deletion without asking first
    #[arg(long, requires = "sample")]
    pub(crate) yes: bool,
    /// Event type, in place of that of FILE
    #[arg(long, value_name = "NAME", help_heading = "Notification")]
    pub(crate) event_type: Option<String>,
    /// Publisher as service.host [default: as in FILE, or osnl.HOST]
    #[arg(long, value_name = "ID", help_heading = "Notification")]
    pub(crate) publisher_id: Option<String>,
    /// Payload, any JSON [default: as in FILE, or {}]
    #[arg(long, value_name = "JSON", value_parser = json, help_heading = "Notification")]
    pub(crate) payload: Option<JsonArg>,
    /// JSON object; auth_token is sent as null [default: as in FILE, or {}]
    #[arg(long, value_name = "JSON", value_parser = json, help_heading = "Notification")]
    pub(crate) context: Option<JsonArg>,
    /// Priority, such as error [default: as in FILE, or info]
    #[arg(long, value_name = "NAME", value_parser = priority, help_heading = "Notification")]
    pub(crate) priority: Option<Priority>,
    /// Publish the ids and times of FILE, not new ones
    #[arg(long, requires = "file", help_heading = "Notification")]
    pub(crate) keep_ids: bool,
    /// Largest body to read from FILE [default: the listener's, or 4MiB]
    #[arg(long, value_name = "SIZE", value_parser = max_body, help_heading = "Notification")]
    pub(crate) max_body: Option<usize>,
    /// Publish everything N times
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) count: u32,
    /// Notifications per second [default: as fast as the broker confirms]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// text, or json: one object per line, then {"summary": ...}
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, hide_possible_values = true, value_name = "FORMAT")]
    pub(crate) format: OutputFormat,
    /// Broker: rabbit://..., or file:///PATH of a file that contains the URL
    #[arg(long, value_name = "URL", value_parser = secret, conflicts_with_all = ["config_file", "config_dir", "listener"], help_heading = "Broker")]
    pub(crate) transport_url: Option<Secret>,
    /// Use its broker, exchange, and topics [default: the only listener]
    #[arg(long, value_name = "NAME", help_heading = "Broker")]
    pub(crate) listener: Option<String>,
    /// Exchange [default: FILE's, the listener's, or openstack]
    #[arg(long, value_name = "NAME", help_heading = "Broker")]
    pub(crate) exchange: Option<String>,
    /// Topic; repeatable [default: FILE's, the listener's, or notifications]
    #[arg(long, value_name = "NAME", help_heading = "Broker")]
    pub(crate) topic: Vec<String>,
    /// oslo driver: messaging or messagingv2 [default: FILE's, or messagingv2]
    #[arg(long, value_enum, value_name = "NAME", hide_possible_values = true, help_heading = "Broker")]
    pub(crate) driver: Option<SendDriver>,
    /// Create a missing exchange, queue, and binding, as a service does
    #[arg(long, help_heading = "Broker")]
    pub(crate) declare: bool,
    /// Fail, and not only warn, if a message reaches no queue
    #[arg(long, help_heading = "Broker")]
    pub(crate) mandatory: bool,
    #[command(flatten, next_help_heading = "Broker")]
    pub(crate) sources: SourceArgs,
}

impl SendArgs {
    pub(super) const fn declares(&self) -> Declare {
        if self.declare { Declare::Create } else { Declare::Passive }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct JsonArg(pub(crate) String);

/// The framing, by oslo.messaging's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SendDriver {
    Messaging,
    #[value(name = "messagingv2")]
    MessagingV2,
}

fn json(text: &str) -> Result<JsonArg, String> {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(JsonArg(text.to_owned())),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

fn priority(text: &str) -> Result<Priority, String> {
    match Priority::parse(text) {
        Priority::Other(_) => Err("one of audit, debug, info, warn, error, critical, sample".to_owned()),
        known => Ok(known),
    }
}
