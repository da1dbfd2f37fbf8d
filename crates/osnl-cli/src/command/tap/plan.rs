//! From what was typed to what is meant.

use std::io::IsTerminal as _;

use anyhow::{Context as _, bail};
use osnl::native;
use osnl_model::{Priority, Secret, TransportUrl};
use osnl_transport::{RabbitOptions, TapBinding, TapOptions};

use super::args::TapArgs;
use super::event::Wanted;
use super::rates::Rates;
use super::save::Save;
use super::url;
use super::writer::{Body, Writer};
use crate::command::sources;

/// The exchanges of the services that are known to notify, as they are called unless somebody renames them.
/// `openstack` is oslo.messaging's own default: cinder, manila and the audit middleware publish there.
pub(super) const EXCHANGES: [&str; 12] = [
    "nova",
    "neutron",
    "glance",
    "cinder",
    "keystone",
    "ironic",
    "openstack",
    "heat",
    "designate",
    "octavia",
    "magnum",
    "masakari",
];

/// Of oslo.messaging, of nova (and masakari), of ironic.
pub(super) const TOPICS: [&str; 3] =
    ["notifications", "versioned_notifications", "ironic_versioned_notifications"];

/// What to do.
pub(super) struct Plan {
    pub(super) url: TransportUrl,
    pub(super) rabbit: RabbitOptions,
    pub(super) options: TapOptions,
    /// Nobody named the exchanges: those of [`EXCHANGES`].
    pub(super) chosen: bool,
    pub(super) writer: Writer,
}

/// How much is on its way to us at most. A thousand are as fast as it gets.
const PREFETCH: u32 = 1000;
/// Bodies of 64 kB and more are rare.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// What is older interests nobody who looks on.
const TTL: std::time::Duration = std::time::Duration::from_secs(60);

impl Plan {
    /// # Errors
    /// A URL, a configuration, a priority or a file that cannot be used.
    pub(super) fn of(args: &TapArgs) -> anyhow::Result<Self> {
        let (url, listener) = match listener(args)? {
            Some(listener) => (listener.transport_url.clone(), Some(listener)),
            None => {
                let text = args.url.as_ref().or(args.transport_url.as_ref());
                (url::read(text.map_or("rabbit://", Secret::expose))?, None)
            }
        };
        let or = |typed: &[String], of_listener: Option<Vec<String>>, usual: &[&str]| -> Vec<String> {
            if !typed.is_empty() {
                return typed.to_vec();
            }
            // A listener that only reads a queue names none.
            of_listener
                .filter(|names| !names.is_empty())
                .unwrap_or_else(|| usual.iter().map(|&name| name.to_owned()).collect())
        };
        let listener = listener.as_ref();
        let rabbit = match listener {
            Some(listener) => listener.rabbit.clone(),
            None => RabbitOptions::from_query(&url)?,
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
        let mut bindings = Vec::new();
        for exchange in &exchanges {
            if exchange.is_empty() {
                bail!(
                    "--exchange: the default exchange has no name to bind to; name a topic exchange, such as nova"
                );
            }
            let keys = topics.iter().flat_map(|topic| {
                priorities.iter().map(move |priority| format!("{topic}.{}", key_of(priority)))
            });
            for routing_key in keys.chain(args.key.iter().cloned()) {
                let binding = TapBinding { exchange: exchange.clone(), routing_key };
                if !bindings.contains(&binding) {
                    bindings.push(binding);
                }
            }
        }
        let colour = std::io::stdout().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|value| value != "dumb");
        Ok(Self {
            url,
            rabbit,
            options: TapOptions {
                bindings,
                // No more on the way than may wait.
                prefetch: u16::try_from(args.queue_limit.min(PREFETCH)).unwrap_or(u16::MAX),
                max_messages: args.queue_limit,
                max_bytes: MOST_BYTES,
                ttl: TTL,
            },
            chosen: args.exchange.is_empty() && listener.is_none(),
            writer: Writer {
                wanted: Wanted {
                    event_type: args.event_type.clone(),
                    publisher: args.publisher.clone(),
                    project: args.project.clone(),
                    resource: args.resource.clone(),
                },
                format: args.format,
                body: match (args.body, args.raw) {
                    (_, true) => Body::Raw,
                    (true, false) => Body::Masked,
                    (false, false) => Body::Hidden,
                },
                colour,
                rates: args.rates.then(|| Rates::new(args.format)),
                save: args.save.as_deref().map(Save::open).transpose()?,
                count: args.count,
            },
        })
    }
}

/// Ironic's word in its configuration is `warning`; on the wire it is `warn`.
fn key_of(priority: &str) -> String {
    match priority.to_ascii_lowercase().as_str() {
        "warning" => Priority::Warn.to_string(),
        other => other.to_owned(),
    }
}

/// The listener that was named, or the only one of a file that was named.
fn listener(args: &TapArgs) -> anyhow::Result<Option<native::ListenerConf>> {
    let files = !args.sources.config_file.is_empty() || !args.sources.config_dir.is_empty();
    if args.listener.is_none() && !files {
        return Ok(None);
    }
    let loaded = native::load(&sources::of(&args.sources)).map_err(anyhow::Error::from)?;
    let listeners = loaded.conf.listeners;
    let names: Vec<String> = listeners.iter().map(|listener| listener.name.to_string()).collect();
    let names = names.join(", ");
    let found = match &args.listener {
        Some(name) => listeners.into_iter().find(|listener| *listener.name == **name),
        None if listeners.len() == 1 => listeners.into_iter().next(),
        None => bail!("the configuration has several listeners; say which with --listener: {names}"),
    };
    let name = args.listener.as_deref().unwrap_or_default();
    found
        .map(Some)
        .with_context(|| format!("no listener \"{name}\" in the configuration; there are: {names}"))
}
