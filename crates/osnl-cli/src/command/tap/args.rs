use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use osnl_model::{Pattern, Secret};

use super::condition::TapCondition;
use crate::flags::{OutputFormat, SourceArgs, max_body, pattern, secret};

/// The flags of `osnl tap`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 0 if at least one event came, 1 if none came, 69 if the broker refuses access.\n\n\
    Examples:\n  osnl tap rabbit://openstack:secret@mq1:5672/ -e nova --priority info --body"
)]
#[command(after_long_help = "\
    tap reads from a queue of its own and takes no message from another consumer. The queue is deleted when \
    tap ends. Without a URL it reads what the listeners of the configuration read; if there is no \
    configuration, it tries guest at localhost. With a URL it binds its queue to the exchanges of all known \
    services, with the topics notifications, versioned_notifications, and ironic_versioned_notifications. If \
    there is no connection within `--timeout`, it ends; a connection that is lost later is made again \
    without a limit.\n\
    On a terminal it shows a live view: Enter opens an event (with `-c` also the rules that match it), / \
    filters, s saves, and ? shows all keys. Passwords in payloads are masked, except with `--raw` and \
    `--save`. `osnl explain`, `replay`, and `send` take a saved file; it has the mode 0600.")]
pub(crate) struct TapArgs {
    /// rabbit://..., or file:///PATH of a file with the URL [default: from the configuration]
    #[arg(value_name = "URL", value_parser = secret, conflicts_with_all = ["transport_url", "listener"])]
    pub(crate) url: Option<Secret>,
    /// The same as URL
    #[arg(long, value_name = "URL", value_parser = secret, conflicts_with = "listener")]
    pub(crate) transport_url: Option<Secret>,
    /// Read what this listener reads [default with a configuration: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) listener: Option<String>,
    #[command(flatten)]
    pub(crate) sources: SourceArgs,

    /// Exchanges, separated by commas [default: those of the known services]
    #[arg(short = 'e', long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) exchange: Vec<String>,
    /// Topics, separated by commas [default: those of the known services]
    #[arg(short = 't', long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) topic: Vec<String>,
    /// Priorities, separated by commas [default: all, custom ones too]
    #[arg(short = 'p', long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) priority: Vec<String>,
    /// Bind this routing key instead of topics, such as '#'; may be repeated
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Vec<String>,

    /// Only event types that match (as re.match); if repeated, any of them
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) event_type: Vec<Pattern>,
    /// Only publishers that match; if repeated, any of them
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) publisher: Vec<Pattern>,
    /// Only this project, by id or name
    #[arg(long, value_name = "PROJECT")]
    pub(crate) project: Vec<String>,
    /// Only this resource, by id or name
    #[arg(long, value_name = "RESOURCE")]
    pub(crate) resource: Vec<String>,
    /// Only if a field matches: payload.port.name=^web-; if repeated, all
    #[arg(long, value_name = "NAME=PATTERN", value_parser = TapCondition::parse)]
    pub(crate) filter: Vec<TapCondition>,
    /// Only if this expression is true: 'resource.kind == "port"'
    #[arg(long, value_name = "EXPRESSION", value_parser = TapCondition::when)]
    pub(crate) when: Vec<TapCondition>,

    /// text: one line per event; json: one object per line
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) format: OutputFormat,
    /// Largest body to read [default: the listener's, or 4MiB]
    #[arg(long, value_name = "SIZE", value_parser = max_body)]
    pub(crate) max_body: Option<usize>,
    /// Print lines, not the live view; implied by -n, --body, --raw, json
    #[arg(long)]
    pub(crate) lines: bool,
    /// Also print context and payload, with secrets masked
    #[arg(long, conflicts_with = "raw")]
    pub(crate) body: bool,
    /// Also print bodies as received, with passwords and tokens
    #[arg(long)]
    pub(crate) raw: bool,
    /// Also append events to a file as received, with secrets; mode 0600
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// End after N events
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this duration, such as 30s or 5m
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) duration: Option<Duration>,

    /// Longest wait for a connection [default: 30s; on a terminal: none]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// Show only how many events of each type arrive per second
    #[arg(long, conflicts_with_all = ["body", "raw"])]
    pub(crate) rates: bool,
    /// Queue at most N messages; older ones are dropped
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) queue_limit: u32,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = osnl_config::duration::parse(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "write a number with a unit: 500ms, 30s, 5m, 24h, 7d".to_owned())
}
