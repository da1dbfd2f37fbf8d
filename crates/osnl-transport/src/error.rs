//! Errors between a transport and a broker, and whether another attempt can succeed.

use osnl_config::typed::ValueRefusal;
use osnl_model::did_you_mean;

use crate::options::OptionError;

/// A failure between a transport and a broker: it says whether another attempt can help, and what to correct.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    #[error("{refusal}{}", did_you_mean(.refusal.suggestion.as_deref()))]
    UnknownDriver { refusal: ValueRefusal },
    #[error("transport_url: {0}")]
    Options(#[from] OptionError),
    #[error("{reason}")]
    TlsFiles { reason: String },
    #[error("{host}: {reason}")]
    Connect { host: String, reason: String },
    #[error("{host}: TLS: {reason}")]
    Tls { host: String, reason: String, remedy: Option<String> },
    /// The host accepts connections, but its first bytes are not AMQP, or none arrive.
    #[error("{host}: {reason}")]
    NotAmqp { host: String, reason: String },
    #[error("{host}: {reason}")]
    Handshake { host: String, reason: String, remedy: String },
    #[error("{host}: login refused for user \"{user}\": {reason}")]
    LoginRefused { host: String, user: String, reason: String },
    #[error("{host}: virtual host \"{virtual_host}\" refused: {reason}")]
    VirtualHostRefused { host: String, virtual_host: String, reason: String },
    #[error(
        "exchange \"{exchange}\" does not exist yet; its service creates it when it first publishes, and what is \
         published before we are bound to it stands only in the service's own queues"
    )]
    NoExchange { exchange: String },
    #[error("queue \"{queue}\" does not exist, and osnl declares nothing here: create it, or check its name")]
    NoQueue { queue: String },
    #[error("{problem}")]
    ListenOptions { problem: String },
    #[error("{what}: {reason}")]
    Refused { what: String, reason: String, code: Option<u16> },
    #[error("connection lost: {reason}")]
    Lost { reason: String },
    /// The broker cancelled the consumer, as it does when the queue is deleted.
    #[error(
        "consumer of queue \"{queue}\" cancelled by the broker: the queue was deleted, or a message was held beyond its consumer time-out"
    )]
    Cancelled { queue: String },
    /// No queue took a mandatory message, so the broker has dropped it.
    #[error("no queue is bound to exchange \"{exchange}\" with key \"{routing_key}\": the message came back")]
    Unroutable { exchange: String, routing_key: String },
    /// The broker refused to keep the message, as a full queue with `overflow = reject-publish` does.
    #[error("the broker does not take the message for exchange \"{exchange}\" with key \"{routing_key}\"")]
    NotTaken { exchange: String, routing_key: String },
    /// The broker takes no messages, by an alarm of memory or disk. It may have the message all the same.
    #[error("{host}: the broker blocks publishers: {reason}")]
    Blocked { host: String, reason: String },
    /// No confirm arrived in time. The broker may have the message all the same.
    #[error("{location}: topic \"{topic}\": {reason}; {remedy}")]
    NotConfirmed { location: String, topic: String, reason: String, remedy: &'static str },
    /// The queues of an exchange's shards are of another number, and not known to be empty.
    #[error(
        "exchange \"{exchange}\" has {former} shards until now, and shards = {count} is configured, so nothing is published: {why}"
    )]
    OtherShards { exchange: String, former: u32, count: u32, why: String },
    #[error("the message is too large for the broker: {reason}")]
    TooLarge { reason: String },
    #[error("{location}: this transport publishes nothing")]
    OnlyListens { location: String },
}

/// The remedy of an alarm of memory or disk.
pub const ALARM_REMEDY: &str =
    "rabbitmq-diagnostics alarms  # then free memory or disk at the node that it names";

/// The remedy of a queue that differs from its configuration. The broker may delete the queue with its last consumer, so its
/// listener stays until the queue is empty, and binds it again every 5 s until then. On a busy cloud, a queue that stays
/// bound is never empty while osnl is stopped. A service's queue has no pool, and a drop-in has no reload.
pub const AS_CONFIGURED: &str = "to have it created as configured: write a second listener with another pool, also into \
                                 rules that name this one, and reload; then remove this one, and reload, which is \
                                 refused until its queue is empty; then delete the queue: it fills with what the other \
                                 reads too; where that is impossible, let osnl read it empty, stop its consumers, delete \
                                 it while it is empty, and start osnl: what is published meanwhile is lost";

/// The code of AMQP for a missing exchange, queue, or topic.
pub const NOT_FOUND: u16 = 404;
pub(crate) const RESOURCE_LOCKED: u16 = 405;

impl TransportError {
    /// Returns whether another reader has a dead letter queue.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Refused { code: Some(RESOURCE_LOCKED), .. })
    }

    /// Returns whether another attempt can succeed without a change of the configuration.
    ///
    /// A refused login can succeed later, for example while a password is rotated, so it counts as recoverable. Whether
    /// it ends the program at the start is the caller's choice, see [`TransportError::is_refused_access`].
    #[must_use]
    pub fn is_recoverable(&self) -> bool {
        match self {
            Self::UnknownDriver { .. }
            | Self::Options(_)
            | Self::ListenOptions { .. }
            | Self::TlsFiles { .. }
            | Self::Unroutable { .. }
            | Self::TooLarge { .. }
            | Self::OnlyListens { .. } => false,
            Self::NotTaken { .. }
            | Self::Blocked { .. }
            | Self::NotConfirmed { .. }
            | Self::OtherShards { .. }
            | Self::Tls { .. }
            | Self::NotAmqp { .. }
            | Self::Handshake { .. }
            | Self::Connect { .. }
            | Self::LoginRefused { .. }
            | Self::VirtualHostRefused { .. }
            | Self::NoExchange { .. }
            | Self::NoQueue { .. }
            | Self::Refused { .. }
            | Self::Lost { .. }
            | Self::Cancelled { .. } => true,
        }
    }

    /// Returns whether the broker refused the login, the virtual host or an operation. A longer pause is appropriate
    /// then.
    #[must_use]
    pub fn is_refused_access(&self) -> bool {
        // A missing exchange is no refusal: it appears when its service starts, and then every second counts.
        matches!(self, Self::LoginRefused { .. } | Self::VirtualHostRefused { .. } | Self::Refused { .. })
    }

    /// Returns whether an operator has to correct something before another attempt can succeed: a login, a permission, a
    /// certificate, or a queue. Other errors may end when a host or a service is back.
    #[must_use]
    pub fn needs_operator(&self) -> bool {
        // AMQP's codes of a refused access, of other arguments, and of a limit or a name that is not allowed.
        const REFUSALS: [u16; 3] = [403, 406, 530];
        match self {
            Self::Refused { code, .. } => code.is_some_and(|code| REFUSALS.contains(&code)),
            // A virtual host that is down may be started again.
            Self::VirtualHostRefused { reason, .. } => !reason.contains("is down"),
            Self::UnknownDriver { .. }
            | Self::Options(_)
            | Self::ListenOptions { .. }
            | Self::TlsFiles { .. }
            | Self::Unroutable { .. }
            | Self::OtherShards { .. }
            | Self::TooLarge { .. }
            | Self::OnlyListens { .. }
            | Self::Tls { .. }
            | Self::Handshake { .. }
            | Self::LoginRefused { .. }
            | Self::NoQueue { .. } => true,
            Self::NotTaken { .. }
            | Self::Blocked { .. }
            | Self::NotConfirmed { .. }
            | Self::NotAmqp { .. }
            | Self::Connect { .. }
            | Self::NoExchange { .. }
            | Self::Lost { .. }
            | Self::Cancelled { .. } => false,
        }
    }

    /// Returns whether nothing can be sent or read before a correction, because no host accepts the login.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Tls { .. }
                | Self::NotAmqp { .. }
                | Self::Handshake { .. }
                | Self::LoginRefused { .. }
                | Self::VirtualHostRefused { .. }
        )
    }

    pub(crate) fn no_tls(host: String, refusal: osnl_net::tls::Refusal) -> Self {
        Self::Tls { host, reason: refusal.reason, remedy: refusal.remedy }
    }

    #[must_use]
    pub fn own_remedy(&self) -> Option<&str> {
        match self {
            Self::Tls { remedy, .. } => remedy.as_deref(),
            Self::Handshake { remedy, .. } => Some(remedy),
            Self::Blocked { .. } => Some(ALARM_REMEDY),
            Self::OtherShards { .. } => Some(
                "write the former number again until osnl queues shows no message, and stop the daemons of all shards; see docs/scale-out.md",
            ),
            _ => None,
        }
    }

    #[must_use]
    pub fn with_own_remedy(&self) -> String {
        match self.own_remedy() {
            Some(remedy) => format!("{self}; {remedy}"),
            None => self.to_string(),
        }
    }

    pub(crate) fn no_exchange_to_publish_to(exchange: &str) -> Self {
        Self::Refused {
            what: format!("publish to exchange \"{exchange}\""),
            reason: "it does not exist, and osnl may not create it (declare = create)".to_owned(),
            code: Some(NOT_FOUND),
        }
    }

    /// Returns whether a message's exchange or topic is missing, so that its declaration would help.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: Some(NOT_FOUND), .. })
    }

    /// Returns whether the attempt ended before the virtual host was open, so that nothing was declared or bound.
    #[must_use]
    pub fn is_refused_connection(&self) -> bool {
        self.is_unreachable() && !matches!(self, Self::Handshake { .. })
    }

    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::NoExchange { .. } | Self::NoQueue { .. })
    }
}
