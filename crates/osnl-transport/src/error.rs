//! Errors between a transport and a broker, each with its answer to *try again?*.

use crate::rabbit::options::OptionError;

/// The drivers this build knows, as they are written in a transport URL.
pub const DRIVERS: &[&str] =
    if cfg!(feature = "kafka") { &["rabbit", "kombu", "kafka"] } else { &["rabbit", "kombu"] };

/// A failed attempt to listen or to send, or the end of a subscription.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The URL names a driver that this build does not have.
    #[error("unknown transport \"{driver}\"; {}", meant(.driver))]
    UnknownDriver {
        /// As written in the URL.
        driver: String,
    },
    /// An option of the URL's query, or of what is laid over it.
    #[error("transport_url: {0}")]
    Options(#[from] OptionError),
    /// A certificate or key that TLS needs cannot be used.
    #[error("{reason}")]
    TlsFiles {
        /// The option, its file and what is wrong.
        reason: String,
    },
    /// No host could be reached: refused, unresolved, unreachable, timed out.
    #[error("{host}: {reason}")]
    Connect {
        /// `host:port` of the last host tried.
        host: String,
        /// The operating system's words, or the resolver's.
        reason: String,
    },
    /// The host was reached, and there is no TLS with it.
    #[error("{host}: TLS: {reason}")]
    Tls {
        /// `host:port`.
        host: String,
        /// The refusing side, and the refusal.
        reason: String,
        /// The remedy, if one is known.
        remedy: Option<String>,
    },
    /// The host accepts connections, and what answers does not speak AMQP, or says nothing.
    #[error("{host}: {reason}")]
    NotAmqp {
        /// `host:port`.
        host: String,
        /// The bytes that came instead of AMQP.
        reason: String,
    },
    /// The broker offers nothing that osnl may log in with, or less than it needs.
    #[error("{host}: {reason}")]
    Handshake {
        /// `host:port`.
        host: String,
        /// The broker's offer, and what is missing in it.
        reason: String,
        /// The remedy.
        remedy: String,
    },
    /// The broker refused user name or password.
    #[error("{host}: login refused for user \"{user}\": {reason}")]
    LoginRefused {
        /// `host:port`.
        host: String,
        /// The user name that was refused.
        user: String,
        /// The broker's words.
        reason: String,
    },
    /// The broker does not let this user open this virtual host, or has none of that name.
    #[error("{host}: virtual host \"{virtual_host}\" refused: {reason}")]
    VirtualHostRefused {
        /// `host:port`.
        host: String,
        /// As asked for.
        virtual_host: String,
        /// The broker's words.
        reason: String,
    },
    /// The exchange is not there, and it is not ours to make ([`Declare::Passive`](crate::Declare::Passive)).
    #[error(
        "exchange \"{exchange}\" does not exist yet; its service creates it when it first publishes, and what is \
         published before we are bound to it stands only in the service's own queues"
    )]
    NoExchange {
        /// Its name.
        exchange: String,
    },
    /// The queue is not there, and it is not ours to make ([`Declare::Nothing`](crate::Declare::Nothing)).
    #[error("queue \"{queue}\" does not exist, and osnl declares nothing here: create it, or check its name")]
    NoQueue {
        /// Its name.
        queue: String,
    },
    /// A request that is impossible with any broker.
    #[error("{problem}")]
    ListenOptions {
        /// The option, and why.
        problem: String,
    },
    /// Exchange or queue could not be declared, bound or consumed.
    #[error("{what}: {reason}")]
    Refused {
        /// The operation and its object: `declare queue "k2hr3_osnl"`.
        what: String,
        /// The broker's words.
        reason: String,
        /// AMQP's reply code, if the broker answered with one.
        code: Option<u16>,
    },
    /// The connection or its channel ended after it was open.
    #[error("connection lost: {reason}")]
    Lost {
        /// The broker's or the operating system's words.
        reason: String,
    },
    /// The broker ended the consumer, as it does when the queue is deleted.
    #[error(
        "consumer of queue \"{queue}\" cancelled by the broker: the queue was deleted, or a message was held beyond its consumer time-out"
    )]
    Cancelled {
        /// The queue consumed.
        queue: String,
    },
    /// A message that had to reach a queue reached none; the broker has it no more.
    #[error("no queue is bound to exchange \"{exchange}\" with key \"{routing_key}\": the message came back")]
    Unroutable {
        /// Published to.
        exchange: String,
        /// Published with.
        routing_key: String,
    },
    /// The broker has refused to keep a message, as a full queue with `overflow = reject-publish` does.
    #[error("the broker does not take the message for exchange \"{exchange}\" with key \"{routing_key}\"")]
    NotTaken {
        /// Published to.
        exchange: String,
        /// Published with.
        routing_key: String,
    },
    /// No broker has confirmed the message in time; it may have arrived all the same.
    #[error("{location}: topic \"{topic}\": {reason}; {remedy}")]
    NotConfirmed {
        /// As [`Transport::location`](crate::Transport::location).
        location: String,
        /// Published to.
        topic: String,
        /// The wait, or the client library's words.
        reason: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// The broker takes no message of this size, ever.
    #[error("the message is too large for the broker: {reason}")]
    TooLarge {
        /// The broker's words.
        reason: String,
    },
    /// This transport only listens.
    #[error("{location}: this transport publishes nothing")]
    OnlyListens {
        /// As [`Transport::location`](crate::Transport::location).
        location: String,
    },
}

/// AMQP's answer about a queue that another connection has for itself.
const RESOURCE_LOCKED: u16 = 405;

impl TransportError {
    /// Whether another connection has the queue for itself for now.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Refused { code: Some(RESOURCE_LOCKED), .. })
    }

    /// Whether another attempt can succeed without anybody changing our configuration.
    ///
    /// A refused login can (the password is being rotated, the broker is importing its users), so it
    /// counts as recoverable; whether it ends the program at the start is the caller's choice, see
    /// [`TransportError::is_refused_access`].
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
            | Self::NotConfirmed { .. }
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

    /// Whether the broker was reached and refused the login, the virtual host or an operation.
    /// Attempts after this deserve a longer pause than after a refused connection.
    #[must_use]
    pub fn is_refused_access(&self) -> bool {
        match self {
            Self::LoginRefused { .. } | Self::VirtualHostRefused { .. } | Self::Refused { .. } => true,
            Self::UnknownDriver { .. }
            | Self::Options(_)
            | Self::ListenOptions { .. }
            | Self::TlsFiles { .. }
            | Self::Tls { .. }
            | Self::NotAmqp { .. }
            | Self::Handshake { .. }
            | Self::Connect { .. }
            // Nobody refused anything: it comes when its service starts, and then every second counts.
            | Self::NoExchange { .. }
            | Self::NoQueue { .. }
            | Self::Lost { .. }
            | Self::Cancelled { .. }
            | Self::Unroutable { .. }
            | Self::NotTaken { .. }
            | Self::NotConfirmed { .. }
            | Self::TooLarge { .. }
            | Self::OnlyListens { .. } => false,
        }
    }

    /// Whether nothing at all can be sent or read before this is mended: no host lets us in. Otherwise another
    /// message, or another exchange, may fare better.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Tls { .. }
            | Self::NotAmqp { .. }
            | Self::Handshake { .. }
            | Self::LoginRefused { .. }
            | Self::VirtualHostRefused { .. } => true,
            Self::UnknownDriver { .. }
            | Self::Options(_)
            | Self::ListenOptions { .. }
            | Self::TlsFiles { .. }
            | Self::NoExchange { .. }
            | Self::NoQueue { .. }
            | Self::Refused { .. }
            | Self::Lost { .. }
            | Self::Cancelled { .. }
            | Self::Unroutable { .. }
            | Self::NotTaken { .. }
            | Self::NotConfirmed { .. }
            | Self::TooLarge { .. }
            | Self::OnlyListens { .. } => false,
        }
    }

    /// Returns the error for a handshake that failed.
    pub(crate) fn no_tls(host: String, refusal: osnl_tls::Refusal) -> Self {
        Self::Tls { host, reason: refusal.reason, remedy: refusal.remedy }
    }

    /// Returns the error for an offer of the broker that does not suffice.
    pub(crate) fn no_handshake(host: String, none: crate::rabbit::login::NothingInCommon) -> Self {
        Self::Handshake { host, reason: none.reason, remedy: none.remedy }
    }

    /// Returns the remedy that it holds.
    #[must_use]
    pub fn own_remedy(&self) -> Option<&str> {
        match self {
            Self::Tls { remedy, .. } => remedy.as_deref(),
            Self::Handshake { remedy, .. } => Some(remedy),
            _ => None,
        }
    }

    /// Returns the error and the remedy that it holds, in one line: for callers that don't ask for [`remedy`](Self::remedy).
    #[must_use]
    pub fn with_own_remedy(&self) -> String {
        match self.own_remedy() {
            Some(remedy) => format!("{self}; {remedy}"),
            None => self.to_string(),
        }
    }

    /// Returns the error for a publisher that leaves the exchange to its service.
    pub(crate) fn no_exchange_to_publish_to(exchange: &str) -> Self {
        Self::Refused {
            what: format!("publish to exchange \"{exchange}\""),
            reason: "it does not exist, and osnl may not create it (declare = create)".to_owned(),
            code: None,
        }
    }

    /// Whether the attempt ended before the virtual host was open: nothing was declared or bound in it.
    #[must_use]
    pub fn is_refused_connection(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Tls { .. }
                | Self::NotAmqp { .. }
                | Self::LoginRefused { .. }
                | Self::VirtualHostRefused { .. }
        )
    }

    /// Whether all is well but for an exchange or a queue that another program makes: the listener looks for it
    /// until it is there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::NoExchange { .. } | Self::NoQueue { .. })
    }
}

/// oslo.messaging has no `amqp://` either; what people mean by it is `rabbit://`.
fn meant(driver: &str) -> String {
    match driver {
        "amqp" | "pyamqp" => "write rabbit://".to_owned(),
        "amqps" | "pyamqps" => "write rabbit://...?ssl=1".to_owned(),
        "kafka" => {
            "this build is without Kafka: install a package or the image, or build with the feature \"kafka\""
                .to_owned()
        }
        driver => {
            let near = osnl_model::nearest(driver, DRIVERS.iter().copied());
            let near = near.map_or_else(String::new, |near| format!("; did you mean {near}://?"));
            format!("known: {}{near}", DRIVERS.join(", "))
        }
    }
}
