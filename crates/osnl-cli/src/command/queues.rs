//! `osnl queues`: the doctor of exchanges and queues. A table for each broker, then findings, worst first. The brokers are
//! those of a configuration, or the one of a URL.
//!
//! | ends with | when |
//! | --- | --- |
//! | 0 | there is no finding above a note |
//! | 1 | there is one |
//! | 69 | no broker answers |
//! | 78 | the configuration cannot be used |

mod report;
mod topics;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use futures_util::future::join_all;
use osnl::control::{ControlRequest, ForgottenQueues, LeftQueue, Status};
use osnl::native::Native;
use osnl::probe::OwnDaemon;
use osnl::queues::{DaemonCounts, Finding, FindingSeverity, Survey, SurveyLimits, Wanted, sort};
use osnl_brokers::{Driver, addresses, unknown_driver};
use osnl_model::{Secret, no_such};
use osnl_transport::TransportError;

use self::report::{Amqp1Listener, QueuesReport};
use super::asking::{NoAnswer, Respondent, clean, print_json};
use super::confirm::agreed_to;
use super::status::watch;
use super::{check, sources, url};
use crate::app;
use crate::exit::Exit;
use crate::flags::{CheckArgs, FormatArgs, OutputFormat, PlaceArgs, duration, secret};
use crate::output;

/// The flags of `osnl queues`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Exits with 0 if nothing is to be mended, or --apply has made its changes; 1 if something is; 69 if no broker answers; 78 if the configuration is \
                  wrong.\n\n\
                  Examples:\n  osnl queues -c /etc/osnl/osnl.conf\n  osnl queues rabbit://openstack:secret@mq1:5672/ -e nova\n  osnl queues --format json | jq '.findings[].command'\n  \
                  osnl queues --watch"
)]
#[command(after_long_help = "\
    queues logs in to each broker of the configuration, or to that of the URL, and declares passively: it \
    takes no message and changes nothing without `--apply`. With management_url it also knows types, \
    bindings, policies, and consumers. Behind -> it prints the command that mends a finding. `--apply` \
    touches only bindings and empty queues that osnl itself has made; commands for queues of services and \
    for policies are for their owners.")]
pub(crate) struct QueuesArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<QueuesVerb>,
    /// rabbit://..., or file:///PATH of a file with the URL, in place of a configuration
    #[arg(value_name = "URL", value_parser = secret,
          conflicts_with_all = ["config_file", "config_dir", "k2hr3_osnl", "oss_watcher", "listener", "apply"])]
    pub(crate) url: Option<Secret>,
    /// Exchanges at URL, comma-separated [default: of known services]
    #[arg(short = 'e', long, value_name = "NAME", value_delimiter = ',', requires = "url")]
    pub(crate) exchange: Vec<String>,
    /// Topics at URL, comma-separated [default: of known services]
    #[arg(short = 't', long, value_name = "NAME", value_delimiter = ',', requires = "url")]
    pub(crate) topic: Vec<String>,
    /// Priorities at URL, comma-separated [default: all]
    #[arg(short = 'p', long, value_name = "NAME", value_delimiter = ',', requires = "url")]
    pub(crate) priority: Vec<String>,
    #[command(flatten)]
    pub(crate) of: CheckArgs,
    /// Look for this listener only [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) listener: Option<String>,
    /// Time between two looks at each queue, in which growth shows
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration)]
    pub(crate) pause: Duration,
    /// Show a screen that refreshes itself until q or Ctrl-C
    #[arg(long, conflicts_with_all = ["format", "apply"])]
    pub(crate) watch: bool,
    /// Mend osnl's own bindings and its own empty queues, after a question
    #[arg(long, conflicts_with = "format")]
    pub(crate) apply: bool,
    /// Do not ask before --apply
    #[arg(long, requires = "apply")]
    pub(crate) yes: bool,
    /// Longest wait for a broker, such as 5s
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// text for people, json for scripts
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) format: OutputFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueuesVerb {
    /// Remove a queue without a listener from the status
    Forget(ForgetArgs),
}

/// The flags of `osnl queues forget`.
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing changes at the broker. Exits with 0, 1 if there is no such queue, 69 if no daemon answers.\n\n\
                        Examples:\n  osnl queues forget osnl-old --vhost /"
)]
pub(crate) struct ForgetArgs {
    /// Name of the queue, as osnl status shows it
    #[arg(value_name = "QUEUE")]
    pub(crate) queue: String,
    /// Only that of this virtual host
    #[arg(long, value_name = "VHOST")]
    pub(crate) vhost: Option<String>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

fn forget(args: &ForgetArgs) -> Result<Exit, NoAnswer> {
    let request = ControlRequest::ForgetQueue {
        queue: args.queue.clone(),
        vhost: args.vhost.clone(),
        by: super::deliveries::who::asks(),
    };
    let respondent = Respondent::for_daemon(&args.place)?;
    let told: ForgottenQueues = respondent.ask(&request)?;
    let line = |left: &LeftQueue| {
        let LeftQueue { queue, vhost, broker, .. } = left;
        format!("forgotten: queue {} of virtual host {} at {}\n", clean(queue), clean(vhost), clean(broker))
    };
    let printed = match (args.format.format, told.forgotten.is_empty()) {
        (OutputFormat::Json, _) => print_json(&told),
        (OutputFormat::Text, true) => {
            let status: Status = respondent.ask(&ControlRequest::Status { look: false })?;
            let place = |queue: &str, vhost: &str| match &args.vhost {
                Some(_) => format!("{queue} of virtual host {vhost}"),
                None => queue.to_owned(),
            };
            let known: Vec<String> =
                status.left_queues.iter().map(|left| place(&left.queue, &left.vhost)).collect();
            let asked = place(&args.queue, args.vhost.as_deref().unwrap_or_default());
            let why = no_such("left queue", &asked, known.iter().map(String::as_str));
            output::print(&format!("nothing is forgotten: {}\n", clean(&why)))
        }
        (OutputFormat::Text, false) => output::print(&told.forgotten.iter().map(line).collect::<String>()),
    };
    Ok(if printed == Exit::Done && told.forgotten.is_empty() { Exit::Failed } else { printed })
}

pub(crate) fn run(args: &QueuesArgs) -> Exit {
    if let Some(QueuesVerb::Forget(args)) = &args.verb {
        return forget(args).unwrap_or_else(|error| error.complain());
    }
    if let Some(url) = &args.url {
        return match wanted_from_url(args, url.expose()) {
            Ok(wanted) => look_at(args, wanted),
            Err(error) => {
                sources::complain(&format!("{error:#}"));
                Exit::Config
            }
        };
    }
    let native = match sources::load(&args.of).and_then(check::meaning) {
        Ok((native, _)) => Arc::new(native),
        Err(refused) => {
            sources::complain(&refused.to_string());
            return Exit::Config;
        }
    };
    if let Some(name) =
        args.listener.as_ref().filter(|name| !native.listeners.iter().any(|one| *one.name == ***name))
    {
        let names = native.listeners.iter().map(|one| &*one.name);
        sources::complain(&no_such("listener", name, names));
        return Exit::Failed;
    }
    let limits = args.limits();
    let (of, listener) = (args.of.clone(), args.listener.clone());
    let look = {
        let native = native.clone();
        move || survey(&native, &check::own_daemon(&native, &of), listener.as_deref(), limits)
    };
    let report = match shown(args, look) {
        Ok(report) => report,
        Err(ended) => return ended,
    };
    if args.apply {
        return apply(&native, &report, args.yes).unwrap_or_else(|error| error.complain());
    }
    report.exit()
}

impl QueuesArgs {
    fn limits(&self) -> SurveyLimits {
        SurveyLimits { deadline: self.timeout, pause: self.pause }
    }
}

/// Prints the report of one look, or watches until q or Ctrl-C.
///
/// # Errors
/// The end of the command where no report follows.
fn shown(
    args: &QueuesArgs,
    look: impl Fn() -> io::Result<QueuesReport> + Send + 'static,
) -> Result<QueuesReport, Exit> {
    if args.watch {
        let shown = move || match look() {
            Ok(report) => report.text(),
            Err(error) => format!("! {error}\n"),
        };
        return Err(watch::run(shown, Duration::from_secs(2), report::tint));
    }
    let report = look().map_err(|error| {
        sources::complain(&format!("the brokers cannot be asked: {error}"));
        Exit::Failed
    })?;
    let printed = match args.format {
        OutputFormat::Text => output::print_tinted(&report.text(), report::tint),
        OutputFormat::Json => output::print_bytes(report.json().as_bytes()),
    };
    if printed == Exit::Done { Ok(report) } else { Err(printed) }
}

fn wanted_from_url(args: &QueuesArgs, url: &str) -> anyhow::Result<Wanted> {
    let url = url::read(url)?;
    match Driver::named(url.driver()) {
        Some(Driver::Rabbit) => {}
        Some(_) => bail!("osnl queues looks at {}:// by a configuration: -c FILE", url.driver()),
        None => return Err(TransportError::UnknownDriver { refusal: unknown_driver(url.driver()) }.into()),
    }
    Ok(Wanted::from_url(&url, &args.exchange, &args.topic, &args.priority)?)
}

fn look_at(args: &QueuesArgs, wanted: Wanted) -> Exit {
    let limits = args.limits();
    let look = move || {
        app::block_on(async {
            let survey = wanted.survey(DaemonCounts::default(), limits).await;
            let findings = survey.findings();
            QueuesReport {
                surveys: vec![survey],
                topics: Vec::new(),
                amqp1: Vec::new(),
                left: Vec::new(),
                findings,
            }
        })
    };
    shown(args, look).map_or_else(|ended| ended, |report| report.exit())
}

fn survey(
    native: &Native,
    daemon: &OwnDaemon,
    listener: Option<&str>,
    limits: SurveyLimits,
) -> io::Result<QueuesReport> {
    app::block_on(async {
        let chosen =
            || native.listeners.iter().filter(|conf| listener.is_none_or(|name| *conf.name == *name));
        let surveys = chosen().filter_map(|conf| {
            let wanted = conf.wanted()?;
            let counts = daemon.counts(native, conf);
            Some(async move { wanted.survey(counts, limits).await })
        });
        let shards = native.wanted_shards().into_iter().filter(|_| listener.is_none());
        let shards = shards.map(|wanted| async move { wanted.survey(DaemonCounts::default(), limits).await });
        let on = |driver: Driver| chosen().filter(move |conf| Driver::for_url(&conf.transport_url) == driver);
        let topics = on(Driver::Kafka).map(topics::inspect);
        let amqp1 = on(Driver::Amqp1).map(|conf| {
            let broker = addresses(&conf.transport_url).collect::<Vec<_>>().join(", ");
            Amqp1Listener { name: conf.name.clone(), broker }
        });
        let amqp1: Vec<Amqp1Listener> = amqp1.collect();
        let (mut surveys, shards, topics, left) = tokio::join!(
            join_all(surveys),
            join_all(shards),
            join_all(topics),
            native.left_queues(limits.deadline)
        );
        surveys.extend(shards);
        let mut findings: Vec<Finding> = surveys.iter().flat_map(Survey::findings).collect();
        findings.extend(left.iter().filter_map(Finding::for_left_queue));
        sort(&mut findings);
        QueuesReport { surveys, topics, amqp1, left, findings }
    })
}

fn apply(native: &Native, report: &QueuesReport, is_agreed: bool) -> Result<Exit, NoAnswer> {
    let mut changes = native.queue_changes(&report.surveys, &report.left);
    let kept: Vec<String> = changes.iter().flat_map(|change| change.kept.clone()).collect();
    let shown =
        |lines: &[String]| lines.iter().map(|line| format!("  {}\n", clean(line))).collect::<String>();
    if !kept.is_empty() {
        output::print(&format!("\nleft alone, because it may carry messages:\n{}", shown(&kept)));
    }
    changes.retain(|change| !change.lines().is_empty());
    if changes.is_empty() {
        output::print("\nnothing to apply: the rest is for the owner of the broker or of the services\n");
        return Ok(report.exit());
    }
    let lines: Vec<String> = changes.iter().flat_map(osnl::queues::QueueChanges::lines).collect();
    output::print(&format!("\nto apply:\n{}", shown(&lines)));
    let question = match lines.len() {
        1 => "apply this change?".to_owned(),
        many => format!("apply these {many} changes?"),
    };
    let ask = || agreed_to(&question, "nothing was applied: add --yes");
    if !is_agreed && !ask().map_err(|(exit, why)| NoAnswer::new(exit, why))? {
        return Ok(Exit::Failed);
    }
    let (mut refused, mut is_all) = (Vec::new(), true);
    for change in &changes {
        let made = app::block_on(native.change_queues(change));
        match made.map_err(|error| NoAnswer::new(Exit::Failed, error.to_string()))? {
            Ok(kept) => {
                is_all &= kept.is_empty();
                for queue in kept {
                    let queue = clean(&queue);
                    output::print(&format!("kept: queue {queue} has a message or a consumer by now\n"));
                }
            }
            Err(error) => refused.push(format!("[listener:{}] {error}", change.listener)),
        }
    }
    if !refused.is_empty() {
        return Err(NoAnswer::new(Exit::Unavailable, refused.join("; ")));
    }
    output::print(if is_all { "applied\n" } else { "applied, but for the queues that are kept\n" });
    Ok(if is_all { Exit::Done } else { Exit::Failed })
}

impl QueuesReport {
    fn exit(&self) -> Exit {
        let reached = |survey: &Survey| survey.is_reached;
        let has_none_to_ask = self.surveys.is_empty() && self.topics.is_empty() && !self.amqp1.is_empty();
        let answers = has_none_to_ask
            || self.surveys.iter().any(reached)
            || self.topics.iter().any(|topic| topic.seen.is_ok());
        let is_wrong = self.findings.iter().any(|finding| finding.severity > FindingSeverity::Note)
            || self.topics.iter().any(topics::TopicsInspection::is_wrong);
        match (answers, is_wrong) {
            (false, _) => Exit::Unavailable,
            (true, true) => Exit::Failed,
            (true, false) => Exit::Done,
        }
    }
}
