//! Examines a broker without using it: the login, and existing exchanges and queues with their properties.
//!
//! Nothing is consumed, made, bound or changed. To learn a queue's arguments, osnl declares it with a type that no
//! broker has. For an existing queue the broker names the first argument that differs (durable, auto-delete,
//! arguments, the type last). For a missing queue the type is refused before anything is made (`rabbit_amqqueue.erl`,
//! `check_declare_arguments`).

use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::{ExchangeDeclareOptions, ExchangeUnbindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ExchangeKind};
use osnl_model::TransportHost;
use tokio::time::timeout;

use super::arguments::table;
use super::connect::ConnectionFacts;
use super::failure::{ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED, is_missing, reason, reply_code};
use super::greeting::Greeting;
use super::held::CLOSE_TIMEOUT;
use super::refusal::Difference;
use super::returns;
use super::side::SideChannel;
use super::tap::probe;
use super::{RabbitTransport, connect};
use crate::hosts::address;
use crate::topology::{Argument, BrokerVersion, QueueKind, STREAM, Shards, TYPE};
use crate::{ExchangeFound, TransportError};

/// No broker has this type, so no queue is made.
pub(super) const NO_TYPE: &str = "osnl-only-asks";
const SOURCE: &str = "amq.topic";

/// The findings of `osnl check --connect` about a broker.
#[derive(Debug, Default)]
pub struct BrokerInspection {
    pub hosts: Vec<HostInspection>,
    pub exchanges: Vec<(String, ExchangeInspection)>,
    pub queues: Vec<(String, QueueInspection)>,
}

/// The finding about one host of the URL.
#[derive(Debug)]
pub struct HostInspection {
    pub host: String,
    pub reached: Result<HostFacts, TransportError>,
}

/// A host that has accepted the login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    pub tls: bool,
    pub certificate_ends: Option<i64>,
    pub user: String,
    pub greeting: Greeting,
}

/// The finding about an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExchangeInspection {
    There(ExchangeFound),
    Missing,
    Refused(String),
}

/// The finding about a queue.
#[derive(Debug)]
pub enum QueueInspection {
    There { waiting: u32, consumers: u32, made: QueueMade, drops: Option<String> },
    Missing,
    Refused(TransportError),
}

/// An existing queue, compared with the one that osnl would make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueMade {
    Unknown,
    Alike,
    /// Equal but for the time until the next consumer takes over after the loss of a node.
    ChangesHandsLate(String),
    Differs(QueueDifference),
    /// A stream, which is refused.
    Stream,
}

/// The first property of an existing queue that differs, as the broker names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueDifference {
    /// `durable`, `auto_delete`, or an argument such as `x-max-length`.
    pub property: String,
    pub configured: String,
    pub found: String,
}

impl QueueDifference {
    fn new(property: &str, configured: &str, found: &str) -> Self {
        Self { property: property.to_owned(), configured: configured.to_owned(), found: found.to_owned() }
    }
}

impl fmt::Display for QueueDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { property, configured, found } = self;
        Difference::Named { argument: property, asked: configured, found }.fmt(f)
    }
}

/// Whether the user may publish to an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MayWrite {
    Yes,
    No(String),
}

impl RabbitTransport {
    /// Checks whether osnl may publish to an existing exchange, without publishing. The check removes a binding that
    /// does not exist. For that the broker requires permission to write the exchange, and then to read the other side
    /// (`rabbit_channel.erl`, `binding_action`). The second may be missing, so only a refusal that names the exchange
    /// counts.
    pub async fn may_write(&self, exchange: &str, limit: Duration) -> Result<MayWrite, TransportError> {
        let mut last = TransportError::Connect { host: String::new(), reason: "no host".to_owned() };
        for host in self.connector.url.hosts() {
            match self.reach(host, limit).await.1 {
                Err(error) => last = error,
                Ok((connection, _)) => {
                    let verdict = unbind(&mut SideChannel::new(&connection), exchange).await;
                    close(&connection).await;
                    return Ok(verdict);
                }
            }
        }
        Err(last)
    }

    pub async fn inspect(
        &self,
        exchanges: &[String],
        queues: &[String],
        kind: Option<&QueueKind>,
        limit: Duration,
    ) -> BrokerInspection {
        let found = join_all(self.connector.url.hosts().iter().map(|host| self.reach(host, limit))).await;
        let mut inspection = BrokerInspection::default();
        let mut others = Vec::new();
        let mut side: Option<SideChannel<Connection>> = None;
        let mut version = None;
        for (host, reached) in found {
            let reached = reached.map(|(connection, reached)| {
                match side {
                    None => {
                        version = reached.greeting.rabbitmq();
                        side = Some(SideChannel::new(connection));
                    }
                    Some(_) => others.push(connection),
                }
                reached
            });
            inspection.hosts.push(HostInspection { host, reached });
        }
        if let Some(mut side) = side {
            for name in exchanges {
                let found = exchange(&mut side, name).await;
                inspection.exchanges.push((name.clone(), found.unwrap_or_else(ExchangeInspection::Refused)));
            }
            for name in queues {
                let found = queue(&mut side, name, kind, version).await;
                inspection.queues.push((name.clone(), found.unwrap_or_else(QueueInspection::Refused)));
            }
            others.push(side.into_connection());
        }
        join_all(others.iter().map(close)).await;
        inspection
    }

    pub(super) async fn certificate_end(&self, host: &str, limit: Duration) -> Option<i64> {
        self.connector.options.tls()?;
        let host = self.connector.url.hosts().iter().find(|one| address(one) == host)?;
        let (connection, seen) = self.reach(host, limit).await.1.ok()?;
        close(&connection).await;
        seen.certificate_ends
    }

    /// Returns the number of shards by which an exchange's messages have been published; `None` if no message has, or the
    /// broker does not say.
    pub async fn count_of_shards(&self, shards: &Shards, limit: Duration) -> Option<u32> {
        let inspection = self.inspect(&[], &[shards.count_queue()], Some(&shards.count_kind()), limit).await;
        let (_, found) = inspection.queues.into_iter().next()?;
        let QueueInspection::There { made, .. } = found else { return None };
        match made {
            QueueMade::Differs(QueueDifference { property, found, .. }) if property == Shards::COUNT => {
                found.parse().ok()
            }
            QueueMade::Alike | QueueMade::ChangesHandsLate(_) => Some(shards.count.get()),
            QueueMade::Differs(_) | QueueMade::Unknown | QueueMade::Stream => None,
        }
    }

    pub(super) async fn reach(
        &self,
        host: &TransportHost,
        limit: Duration,
    ) -> (String, Result<(Connection, HostFacts), TransportError>) {
        let reached = connect::connect(&self.connector.url, host, &self.connector.options, limit).await;
        let user = connect::login_name(host, &self.connector.options).to_owned();
        let tls = self.connector.options.tls().is_some();
        let reached = reached.map(|(connection, seen)| {
            let ConnectionFacts { certificate_ends, greeting, .. } = seen;
            let seen = HostFacts { tls, certificate_ends, user, greeting };
            (connection, seen)
        });
        (address(host), reached)
    }
}

async fn exchange(side: &mut SideChannel<Connection>, name: &str) -> Result<ExchangeInspection, String> {
    let channel = side.channel().await.map_err(|failure| reason(&failure.error))?;
    let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
    let inspected =
        channel.exchange_declare(name.into(), ExchangeKind::Topic, passive, FieldTable::default());
    match inspected.await {
        Ok(()) => {
            let found = probe::describe(side, name).await.map_err(|error| error.to_string())?;
            Ok(ExchangeInspection::There(found))
        }
        Err(error) => {
            let failure = side.closed_by("look at an exchange", error);
            match reply_code(&failure.error) {
                Some(NOT_FOUND) => Ok(ExchangeInspection::Missing),
                Some(_) | None => Err(reason(&failure.error)),
            }
        }
    }
}

async fn unbind(side: &mut SideChannel<&Connection>, exchange: &str) -> MayWrite {
    let Ok(channel) = side.channel().await else { return MayWrite::Yes };
    let (none, table) = (ExchangeUnbindOptions::default(), FieldTable::default());
    let source = if exchange == SOURCE { "amq.fanout" } else { SOURCE };
    let unbound = channel.exchange_unbind(exchange.into(), source.into(), NO_TYPE.into(), none, table);
    let Err(error) = unbound.await else { return MayWrite::Yes };
    let failure = side.closed_by("ask whether an exchange may be written", error);
    let words = reason(&failure.error);
    match reply_code(&failure.error) {
        Some(ACCESS_REFUSED) if words.contains(&format!("exchange '{exchange}'")) => MayWrite::No(words),
        Some(_) | None => MayWrite::Yes,
    }
}

async fn queue(
    side: &mut SideChannel<Connection>,
    name: &str,
    kind: Option<&QueueKind>,
    version: Option<BrokerVersion>,
) -> Result<QueueInspection, TransportError> {
    let channel = side.channel().await?;
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    match channel.queue_declare(name.into(), passive, FieldTable::default()).await {
        Ok(found) => {
            let (waiting, consumers) = (found.message_count(), found.consumer_count());
            let (mut made, mut drops) = (QueueMade::Unknown, None);
            if let Some(kind) = kind.map(|kind| kind.for_broker(version)) {
                made = compare(side, name, &kind).await?;
                if made == QueueMade::Alike
                    && version.is_some_and(BrokerVersion::keeps_cut_off_connections)
                    && let Some(difference) = returns::late_take_over(side, name, &kind).await
                {
                    made = QueueMade::ChangesHandsLate(difference);
                }
                let is_there = returns::as_found(side, name, &kind).await.kind;
                drops = returns::drops(side, name, &is_there, version, false).await;
            }
            Ok(QueueInspection::There { waiting, consumers, made, drops })
        }
        Err(error) => {
            let failure = side.closed_by(&format!("look at queue \"{name}\""), error);
            if is_missing(&failure.error) { Ok(QueueInspection::Missing) } else { Err(failure.into()) }
        }
    }
}

async fn compare(
    side: &mut SideChannel<Connection>,
    name: &str,
    kind: &QueueKind,
) -> Result<QueueMade, TransportError> {
    let mut arguments = kind.declared_arguments();
    arguments.insert(TYPE.to_owned(), Argument::Text(NO_TYPE.to_owned()));
    let options =
        QueueDeclareOptions { durable: kind.durable, auto_delete: kind.auto_delete, ..Default::default() };
    let channel = side.channel().await?;
    let Err(error) = channel.queue_declare(name.into(), options, table(&arguments)).await else {
        return Ok(QueueMade::Unknown);
    };
    let failure = side.closed_by("compare a queue", error);
    match reply_code(&failure.error) {
        Some(PRECONDITION_FAILED) => Ok(made(&reason(&failure.error), kind)),
        Some(ACCESS_REFUSED) => Ok(QueueMade::Unknown),
        Some(_) | None => Err(failure.into()),
    }
}

fn made(refusal: &str, kind: &QueueKind) -> QueueMade {
    match Difference::read(refusal) {
        Difference::Named { argument: TYPE, found, .. } => {
            let found = if found == "none" { "classic" } else { found };
            let ours = kind.queue_type.as_str();
            if found == ours {
                return QueueMade::Alike;
            }
            if found == STREAM {
                return QueueMade::Stream;
            }
            QueueMade::Differs(QueueDifference::new(TYPE, ours, found))
        }
        Difference::Named { argument, asked, found } => {
            QueueMade::Differs(QueueDifference::new(argument, asked, found))
        }
        Difference::Other(_) => QueueMade::Unknown,
    }
}

pub(super) async fn close(connection: &Connection) {
    // Dropping the connection closes it if the broker does not answer.
    let _ = timeout(CLOSE_TIMEOUT.min(Duration::from_secs(1)), connection.close(200, "looked".into())).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_nobody_has_is_no_difference() {
        let check = |argument: &str, values: &str, expected: QueueMade| {
            let refusal = format!(
                "406 PRECONDITION_FAILED - inequivalent arg '{argument}' for queue 'q' in vhost '/': {values}"
            );
            assert_eq!(made(&refusal, &QueueKind::DURABLE), expected, "{refusal}");
        };
        let asked = format!("received the value '{NO_TYPE}' of type 'longstr' but current is");
        check(TYPE, &format!("{asked} none"), QueueMade::Alike);
        check(TYPE, &format!("{asked} the value 'classic' of type 'longstr'"), QueueMade::Alike);
        check(
            TYPE,
            &format!("{asked} the value 'quorum' of type 'longstr'"),
            QueueMade::Differs(QueueDifference::new(TYPE, "classic", "quorum")),
        );
        check(TYPE, &format!("{asked} the value 'stream' of type 'longstr'"), QueueMade::Stream);
        check(
            "durable",
            "received 'true' but current is 'false'",
            QueueMade::Differs(QueueDifference::new("durable", "true", "false")),
        );
        assert_eq!(made("406 PRECONDITION_FAILED - else", &QueueKind::DURABLE), QueueMade::Unknown);
    }
}
