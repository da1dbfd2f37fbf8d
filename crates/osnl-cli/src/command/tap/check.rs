//! `osnl tap --check`: the troubleshooting of a subscriber, without rabbitmqctl.
//!
//! The check connects, declares a queue, and binds the queue to each exchange, whose type it
//! compares. Then messages are awaited for `--for` (10 s unless set) or up to `--count`. Without
//! messages the check prints likely causes.
//! Each problem has the command that fixes it ([`mend`]). Ends with 0 if a message arrived, 1 if
//! none did, 69 if the broker refused access, 130 by Ctrl-C, which shows the findings so far.

pub(super) mod mend;
mod topics;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use osnl_transport::{ExchangeFound, Greeting, Tap, TapOptions, TopicsSeen, Transport, TransportError};
use serde_json::{Value, json};

use self::mend::LikelyCause;
use super::event::EventFilter;
use crate::clean;
use crate::exit::Exit;
use crate::flags::OutputFormat;
use crate::output;

pub(super) const USUAL: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct CheckResult {
    host: String,
    virtual_host: String,
    user: String,
    broker: Greeting,
    counts_dropped: bool,
    /// Whether the exchanges are osnl's defaults, so that a missing one is no problem by itself.
    chosen: bool,
    exchanges: Vec<(String, QueueState)>,
    keys: Vec<String>,
    topics: Option<TopicsSeen>,
    seconds: u64,
    seen: BTreeMap<(String, String, String), u64>,
    dropped: u64,
    is_interrupted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum QueueState {
    Bound(ExchangeFound),
    Missing,
    Refused(String),
}

/// Returns `None` if `stop` completes before the tap is open.
pub(super) async fn look(
    transport: &dyn Transport,
    (options, chosen, groups): (&TapOptions, bool, Vec<String>),
    wanted: &EventFilter,
    (time, count): (Duration, Option<u64>),
    stop: impl Future<Output = ()>,
) -> Result<Option<CheckResult>, TransportError> {
    let mut stop = std::pin::pin!(stop);
    let opening = async {
        let mut tap = transport.tap(options).await?;
        let checked = CheckResult { chosen, ..CheckResult::of(&mut *tap, options, groups).await? };
        Ok::<_, TransportError>((tap, checked))
    };
    let (mut tap, mut checked) = tokio::select! {
        opened = opening => opened?,
        () = &mut stop => return Ok(None),
    };
    let began = Instant::now();
    let watching = async {
        let mut messages = Vec::new();
        let mut total = 0;
        loop {
            tap.poll(&mut messages, 256).await?;
            tap.acknowledge().await?;
            for message in messages.drain(..) {
                let Some(read) = wanted.read(&message) else { continue };
                let form = match read {
                    Ok(event) => event.about.form.label(),
                    Err(why) => format!("unreadable: {}", why.reason),
                };
                *checked.seen.entry((message.exchange, message.routing_key, form)).or_default() += 1;
                total += 1;
                if count == Some(total) {
                    return Ok::<(), TransportError>(());
                }
            }
        }
    };
    tokio::select! {
        ended = watching => ended?,
        () = tokio::time::sleep(time) => {}
        () = &mut stop => checked.is_interrupted = true,
    }
    checked.seconds = if checked.is_interrupted { began.elapsed().as_secs() } else { time.as_secs() };
    checked.dropped = tap.dropped().await.ok().flatten().unwrap_or(0);
    tap.close().await;
    Ok(Some(checked))
}

impl CheckResult {
    async fn of(
        tap: &mut dyn Tap,
        options: &TapOptions,
        groups: Vec<String>,
    ) -> Result<Self, TransportError> {
        let found = tap.tapped().clone();
        let topics = tap.topics(groups).await?;
        let mut exchanges = Vec::new();
        for name in found.bound {
            let what = tap.describe(&name).await?;
            exchanges.push((name, QueueState::Bound(what)));
        }
        exchanges.extend(found.missing.into_iter().map(|name| (name, QueueState::Missing)));
        exchanges.extend(found.refused.into_iter().map(|(name, reason)| (name, QueueState::Refused(reason))));
        let mut keys: Vec<String> = Vec::new();
        for binding in &options.bindings {
            if !keys.contains(&binding.routing_key) {
                keys.push(binding.routing_key.clone());
            }
        }
        Ok(Self {
            host: found.host,
            virtual_host: found.virtual_host,
            user: found.user,
            broker: found.greeting,
            counts_dropped: found.counts_dropped,
            exchanges,
            keys,
            topics,
            ..Self::default()
        })
    }

    pub(super) fn report(&self, format: OutputFormat) -> Exit {
        let text = match format {
            OutputFormat::Text => self.text(),
            OutputFormat::Json => clean::json(format!("{}\n", self.json())),
        };
        match output::print(&text) {
            Exit::Done => {}
            failed => return failed,
        }
        match (self.is_interrupted, self.seen.is_empty()) {
            (true, _) => Exit::Interrupted,
            (false, true) => Exit::Failed,
            (false, false) => Exit::Done,
        }
    }

    fn text(&self) -> String {
        let mut lines = match &self.topics {
            None => self.of_exchanges(),
            Some(seen) => self.of_topics(seen),
        };
        lines.extend(self.of_messages());
        lines.iter().map(|(what, text)| format!("{what:<10} {}\n", clean::text(text))).collect()
    }

    fn of_topics(&self, seen: &TopicsSeen) -> Vec<(&'static str, String)> {
        let login = if self.user.is_empty() { "no login".to_owned() } else { format!("user {}", self.user) };
        let mut lines = vec![("connected", format!("{}, {login}", self.host))];
        lines.push(("reading", "in no consumer group, from the end; no offset is committed".to_owned()));
        let missing: Vec<&str> = self
            .exchanges
            .iter()
            .filter(|(_, state)| *state == QueueState::Missing)
            .map(|(name, _)| name.as_str())
            .collect();
        lines.extend(topics::lines(seen, &missing));
        lines
    }

    fn of_exchanges(&self) -> Vec<(&'static str, String)> {
        let keys = self.keys.join(", ");
        let host = format!("{}, virtual host \"{}\", user {}", self.host, self.virtual_host, self.user);
        let broker = self.broker.words().unwrap_or_else(|| "it does not state its product".to_owned());
        let mut lines = vec![("connected", host), ("broker", broker)];
        let bounded =
            "tap's own, exclusive, limited in length (--queue-limit); messages dropped at the limit are";
        match self.counts_dropped {
            true => lines.push(("queue", format!("{bounded} counted"))),
            false => {
                lines.push(("queue", format!("{bounded} not counted: no write permission for amq.default")));
                lines.push(("", mended(&self.permissions())));
            }
        }
        let missing: Vec<&str> = self.missing_of_chosen().collect();
        for (name, state) in &self.exchanges {
            if missing.contains(&name.as_str()) {
                continue;
            }
            lines.push((
                "exchange",
                match state {
                    QueueState::Bound(what) => format!("{name}: {}; bound with {keys}", described(what)),
                    QueueState::Missing => format!(
                        "{name}: does not exist in this virtual host; its service creates it when it first publishes"
                    ),
                    QueueState::Refused(reason) => format!("{name}: {reason}; read permission is needed"),
                },
            ));
            lines.extend(self.mend(name, state).map(|command| ("", mended(&command))));
        }
        if !missing.is_empty() {
            let names = missing.join(", ");
            lines.push((
                "exchanges",
                format!(
                    "do not exist in this virtual host: {names}; a service creates its own when it first publishes"
                ),
            ));
            lines.push((
                "",
                mended("osnl tap --check --exchange NAME  # what is to be done about one of them"),
            ));
        }
        lines
    }

    fn of_messages(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        let total: u64 = self.seen.values().sum();
        if total == 0 {
            lines.push((
                "messages",
                format!("none in {} s; possible causes, the most likely first:", self.seconds),
            ));
            for (n, cause) in self.likely().iter().enumerate() {
                lines.push(("", format!("{}. {}", n + 1, cause.what)));
                lines.push(("", format!("   {}", mended(&cause.command))));
            }
        } else {
            let dropped = match self.topics {
                None => format!(", {} dropped by the queue's limit", self.dropped),
                Some(_) => String::new(),
            };
            lines.push(("messages", format!("{total} seen{dropped}")));
            for ((exchange, key, form), count) in &self.seen {
                lines.push(("", format!("{count} {exchange} {key} {form}")));
            }
        }
        lines
    }

    fn json(&self) -> Value {
        let exchanges = self.exchanges.iter().map(|(name, state)| {
            let mut object = match state {
                QueueState::Bound(what) => {
                    json!({"name": name, "state": "bound", "type": what.kind, "durable": what.durable})
                }
                QueueState::Missing => json!({"name": name, "state": "missing"}),
                QueueState::Refused(reason) => json!({"name": name, "state": "refused", "reason": reason}),
            };
            if let Some(command) = self.mend(name, state) {
                object["mend"] = json!(command);
            }
            object
        });
        let seen = self.seen.iter().map(|((exchange, key, form), count)| {
            json!({"exchange": exchange, "routing_key": key, "format": form, "count": count})
        });
        let likely = self.likely();
        let likely = likely.iter().filter(|_| self.seen.is_empty());
        let causes = likely.map(|cause| json!({"cause": cause.what, "mend": cause.command}));
        let mut found = json!({
            "host": self.host,
            "virtual_host": self.virtual_host,
            "user": self.user,
            "broker": {
                "product": self.broker.product,
                "version": self.broker.version,
                "cluster": self.broker.cluster,
            },
            "counts_dropped": self.counts_dropped,
            "exchanges": exchanges.collect::<Vec<_>>(),
            "routing_keys": self.keys,
            "messages": self.seen.values().sum::<u64>(),
            "dropped": self.dropped,
            "seen": seen.collect::<Vec<_>>(),
            "likely_causes": causes.collect::<Vec<_>>(),
        });
        if let Some(seen) = &self.topics {
            found["kafka"] = topics::json(seen);
        }
        found
    }

    fn mend(&self, name: &str, state: &QueueState) -> Option<String> {
        match state {
            QueueState::Bound(what) => {
                let other = what.kind.as_deref().is_some_and(|kind| kind != "topic");
                other.then(|| mend::other_type(name, &self.virtual_host))
            }
            QueueState::Missing => Some(mend::missing(name, &self.virtual_host)),
            QueueState::Refused(_) => Some(self.permissions()),
        }
    }

    fn permissions(&self) -> String {
        mend::permissions(&self.user, &self.virtual_host, &self.names())
    }

    fn likely(&self) -> Vec<LikelyCause> {
        match &self.topics {
            None => mend::likely(&self.names(), &self.virtual_host),
            Some(_) => topics::likely(&self.host),
        }
    }

    /// Returns missing default exchanges, which are reported together because hardly any cloud has
    /// all services.
    fn missing_of_chosen(&self) -> impl Iterator<Item = &str> {
        let missing = self.exchanges.iter().filter(|(_, state)| self.chosen && *state == QueueState::Missing);
        missing.map(|(name, _)| name.as_str())
    }

    fn names(&self) -> Vec<&str> {
        self.exchanges.iter().map(|(name, _)| name.as_str()).collect()
    }
}

fn mended(command: &str) -> String {
    format!("-> {command}")
}

fn described(what: &ExchangeFound) -> String {
    let durable = match what.durable {
        Some(true) => "durable",
        Some(false) => "transient",
        None => "durability unknown (no configure permission)",
    };
    match what.kind.as_deref() {
        Some("topic") => format!("topic, {durable}"),
        Some(other) => format!("{other}, not topic: oslo.messaging would refuse it; {durable}"),
        None => durable.to_owned(),
    }
}
