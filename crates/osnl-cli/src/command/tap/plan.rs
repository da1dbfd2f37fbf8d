//! Turns the arguments of `osnl tap` into brokers, exchanges, and filters, with the configuration as the default.

use std::cell::Cell;
use std::io::IsTerminal as _;

use anyhow::bail;
use osnl::native::{self, ListenerConf, Native};
use osnl::queues::{EXCHANGES, TOPICS};
use osnl_model::{Budget, Secret, TransportUrl, no_such};
use osnl_transport::{BodyBounds, TapBinding, TapOptions, Transport};

use super::args::TapArgs;
use super::condition::priority;
use super::event::EventFilter;
use super::rates::Rates;
use super::save::Save;
use super::view::{Rules, TapView};
use super::voice::{TapVoice, say};
use super::writer::{BodyPart, EventWriter};
use crate::command::{sources, url};
use crate::exit::Exit;
use crate::flags::OutputFormat;
use crate::terminal;

/// A refusal of a flag's value, with the exit status.
#[derive(Debug)]
pub(super) struct FlagRefusal(pub(super) Exit, String);

impl std::fmt::Display for FlagRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.1)
    }
}

impl std::error::Error for FlagRefusal {}

pub(super) struct TapPlan {
    pub(super) url: TransportUrl,
    pub(super) transport: Box<dyn Transport>,
    pub(super) options: TapOptions,
    pub(super) chosen: bool,
    pub(super) voice: TapVoice,
    pub(super) output: TapOutput,
}

pub(super) enum TapOutput {
    Lines(EventWriter),
    Screen(TapView),
}

/// The most unacknowledged messages. A larger number is not faster.
const PREFETCH: u32 = 1000;
/// The queue's limit in bytes: bodies of 64 kB and more are rare.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// The age at which the broker drops a message, which is then too old for a live view.
const TTL: std::time::Duration = std::time::Duration::from_secs(60);

impl TapPlan {
    pub(super) fn from_args(args: &TapArgs) -> anyhow::Result<Self> {
        let text = args.url.as_ref().or(args.transport_url.as_ref());
        let conf = configuration(args)?;
        let listeners = match (&conf, text) {
            (Some(conf), None) => listeners(args, conf)?,
            (Some(_), Some(_)) | (None, _) => Vec::new(),
        };
        let url = match listeners.first() {
            Some(listener) => listener.transport_url.clone(),
            None => url::read(text.map_or("rabbit://", Secret::expose))?,
        };
        if conf.is_none() && text.is_none() {
            say(&format!(
                "no configuration was found ({} does not exist); guest at localhost is a guess: name a broker \
                 (osnl tap rabbit://USER:PASSWORD@HOST:5672/), or a configuration (-c FILE)",
                sources::DEFAULT_PATH
            ));
        }
        let transport = match listeners.first() {
            Some(listener) => listener.transport()?,
            None => osnl_brokers::transport(&url)?,
        };
        let mut bindings = Vec::new();
        let each = listeners.iter().map(Some).chain(listeners.is_empty().then_some(None));
        for listener in each {
            bind(args, listener, &mut bindings)?;
        }
        let chosen = args.exchange.is_empty() && listeners.is_empty();
        let rules = conf.map(|conf| Rules { conf: Box::new(conf), listener: args.listener.clone() });
        let largest = listeners.iter().map(|listener| listener.budget).max_by_key(|budget| budget.body);
        let budget = args.max_body.map(Budget::for_body).or(largest).unwrap_or_default();
        let output = output(args, rules, budget)?;
        Ok(Self {
            url,
            transport,
            options: TapOptions {
                bindings,
                prefetch: u16::try_from(args.queue_limit.min(PREFETCH)).unwrap_or(u16::MAX),
                max_messages: args.queue_limit,
                max_bytes: MOST_BYTES.max(budget.body as u64),
                ttl: TTL,
                bodies: BodyBounds::for_max_body(budget.body),
            },
            chosen,
            voice: TapVoice::new(matches!(output, TapOutput::Screen(_))),
            output,
        })
    }
}

fn bind(
    args: &TapArgs,
    listener: Option<&ListenerConf>,
    bindings: &mut Vec<TapBinding>,
) -> anyhow::Result<()> {
    let or = |typed: &[String], of_listener: Option<Vec<String>>, usual: &[&str]| -> Vec<String> {
        if !typed.is_empty() {
            return typed.to_vec();
        }
        // A listener with only `queue` has no exchanges.
        of_listener
            .filter(|names| !names.is_empty())
            .unwrap_or_else(|| usual.iter().map(|&name| name.to_owned()).collect())
    };
    let exchanges = or(&args.exchange, listener.map(|l| l.exchanges.clone()), &EXCHANGES);
    let usual: &[&str] = if args.key.is_empty() { &TOPICS } else { &[] };
    let topics = match args.key.is_empty() {
        true => or(&args.topic, listener.map(|l| l.topics.clone()), usual),
        false => args.topic.clone(),
    };
    let of_listener = listener
        .map(|l| l.priorities.iter().map(|priority| priority.as_str().to_owned()).collect::<Vec<_>>());
    let priorities = or(&args.priority, of_listener, &["*"]);
    for exchange in &exchanges {
        if exchange.is_empty() {
            bail!(
                "--exchange: the default exchange has no name to bind to; name a topic exchange, such as nova"
            );
        }
        let keys = topics
            .iter()
            .flat_map(|topic| priorities.iter().map(move |priority| format!("{topic}.{}", key_of(priority))));
        for routing_key in keys.chain(args.key.iter().cloned()) {
            let binding = TapBinding { exchange: exchange.clone(), routing_key };
            if !bindings.contains(&binding) {
                bindings.push(binding);
            }
        }
    }
    Ok(())
}

fn output(args: &TapArgs, rules: Option<Rules>, budget: Budget) -> anyhow::Result<TapOutput> {
    let wanted = EventFilter {
        event_type: args.event_type.clone(),
        publisher: args.publisher.clone(),
        project: args.project.clone(),
        resource: args.resource.clone(),
        conditions: args.filter.iter().chain(&args.when).cloned().collect(),
        budget,
        undecided: Cell::default(),
    };
    let conf = rules.as_ref().map(|rules| &*rules.conf);
    let save = args.save.as_deref().map(|path| Save::open(path, conf)).transpose()?;
    let colour = terminal::coloured();
    if on_screen(args) {
        return Ok(TapOutput::Screen(TapView { wanted, colour, rates: args.rates, save, rules }));
    }
    Ok(TapOutput::Lines(EventWriter {
        wanted,
        format: args.format,
        body: match (args.body, args.raw) {
            (_, true) => BodyPart::Raw,
            (true, false) => BodyPart::Masked,
            (false, false) => BodyPart::Hidden,
        },
        colour,
        rates: args.rates.then(|| Rates::new(args.format)),
        save,
        count: args.count,
    }))
}

fn on_screen(args: &TapArgs) -> bool {
    let lines = args.lines || args.body || args.raw || args.count.is_some();
    let text = args.format == OutputFormat::Text;
    !lines && text && std::io::stdin().is_terminal() && terminal::is_drawable()
}

fn key_of(text: &str) -> String {
    priority(text).to_string()
}

fn configuration(args: &TapArgs) -> anyhow::Result<Option<Native>> {
    let files = !args.sources.config_file.is_empty() || !args.sources.config_dir.is_empty();
    let is_usual = args.url.is_none() && args.transport_url.is_none() && sources::has_default();
    if args.listener.is_none() && !files && !is_usual {
        return Ok(None);
    }
    let loaded = native::load(&sources::from_args(&args.sources)).map_err(anyhow::Error::from)?;
    Ok(Some(loaded.conf))
}

/// Returns the named listener, or all. All must use one broker, since a tap has one connection.
fn listeners(args: &TapArgs, conf: &Native) -> anyhow::Result<Vec<ListenerConf>> {
    let names: Vec<&str> = conf.listeners.iter().map(|listener| &*listener.name).collect();
    let names = names.join(", ");
    let Some(name) = &args.listener else {
        let place = |listener: &ListenerConf| {
            let url = &listener.transport_url;
            let hosts: Vec<_> = osnl_brokers::addresses(url).collect();
            (url.driver().to_owned(), hosts, url.virtual_host().to_owned())
        };
        let mut places = conf.listeners.iter().map(place);
        let first = places.next();
        if places.any(|place| Some(place) != first) {
            let why = format!(
                "the listeners are on several brokers, and tap reads one; choose one with --listener: {names}"
            );
            return Err(FlagRefusal(Exit::Usage, why).into());
        }
        return Ok(conf.listeners.clone());
    };
    let found = conf.listeners.iter().find(|listener| *listener.name == **name);
    found
        .cloned()
        .map(|listener| vec![listener])
        .ok_or_else(|| FlagRefusal(Exit::Failed, no_such("listener", name, names.split(", "))).into())
}
