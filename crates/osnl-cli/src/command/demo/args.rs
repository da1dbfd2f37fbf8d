use clap::Args;
use osnl_model::Secret;

use crate::flags::{OutputFormat, rate, secret};

/// The flags of `osnl demo`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 0 if nothing was lost, else 1; 130 after Ctrl-C.\n\n\
                        Examples:\n  osnl demo --count 100\n  \
                        osnl demo --format json | tail -n 1\n  \
                        osnl demo --transport-url rabbit://guest:guest@127.0.0.1:5672/")]
#[command(after_long_help = "\
    Without `--rate`, the demo publishes all events within five seconds if its output is a terminal; if not, \
    it publishes each event when the previous one has ended. With `--format json` the last line is \
    {\"summary\": ...}. The same seed gives the same events and failures.")]
pub(crate) struct DemoArgs {
    /// Number of events
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: u32,
    /// Events per second [default: all within 5 s; without a terminal, each after the previous one]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Let every Nth request fail once; 0: let none fail
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(crate) fail: u32,
    /// Seed of random numbers: the same seed gives the same events and failures
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub(crate) seed: u64,
    /// text: lines; json: one object per line
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT")]
    pub(crate) format: OutputFormat,
    /// Use a real broker; queues created there are deleted at the end
    #[arg(long, value_name = "URL", value_parser = secret)]
    pub(crate) transport_url: Option<Secret>,
}
