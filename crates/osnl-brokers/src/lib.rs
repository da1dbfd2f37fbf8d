//! The brokers that a transport URL can name: a driver for each scheme, and the crate that has the driver.
//!
//! `osnl-transport` has RabbitMQ and names no other broker. The features `kafka` and `amqp1` add the crates of theirs.
//! A broker is a variant of [`Driver`] with its schemes and abilities, and an arm of [`transport_with`]. Its crate runs
//! the promises of a consumer as tests, by a `BrokerRig` of `osnl-testkit`.

use std::collections::BTreeSet;

use osnl_config::shown;
use osnl_config::typed::ValueRefusal;
use osnl_model::{SentLogin, TransportUrl, nearest};
use osnl_transport::{
    DriverSection as _, RabbitOptions, RabbitSection, RabbitTransport, Transport, TransportError,
    plain_address,
};

#[cfg(feature = "amqp1")]
pub use osnl_amqp1 as amqp1;
#[cfg(feature = "kafka")]
pub use osnl_kafka as kafka;

/// The schemes that a transport URL can have in this build, by driver.
const SCHEMES: &[&[&str]] = &[
    RabbitSection::SCHEMES,
    #[cfg(feature = "kafka")]
    kafka::KafkaSection::SCHEMES,
    #[cfg(feature = "amqp1")]
    amqp1::Amqp1Section::SCHEMES,
];

/// Refuses a name that is no driver of this build. oslo.messaging has no `amqp://` either since 15.0.0; people mean
/// `rabbit://`.
#[must_use]
pub fn unknown_driver(name: &str) -> ValueRefusal {
    let refused = |allowed: &str| ValueRefusal::new(format!("unknown transport {}", shown(name)), allowed);
    match name {
        "amqp" | "pyamqp" => refused("write rabbit://"),
        "amqps" | "pyamqps" => refused("write rabbit://...?ssl=1, which is what oslo.messaging calls it"),
        "kafka" => refused(
            "this build is without Kafka: install a package or the image, or build with the feature \"kafka\"",
        ),
        _ => {
            let known = SCHEMES.concat();
            let suggestion = nearest(name, known.iter().copied()).map(|near| format!("{near}://"));
            ValueRefusal { suggestion, ..refused(&format!("known: {}", known.join(", "))) }
        }
    }
}

/// The driver of a transport URL, and what its brokers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    Rabbit,
    Kafka,
    Amqp1,
}

impl Driver {
    /// Returns the driver of a URL. An unknown name is refused with the URL, and until then has the abilities of
    /// RabbitMQ.
    #[must_use]
    pub fn for_url(url: &TransportUrl) -> Self {
        Self::named(url.driver()).unwrap_or(Self::Rabbit)
    }

    /// A build without AMQP 1.0 does not know its names, since people who write them mean RabbitMQ.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "rabbit" | "kombu" => Some(Self::Rabbit),
            "kafka" => Some(Self::Kafka),
            "amqp" | "amqps" if cfg!(feature = "amqp1") => Some(Self::Amqp1),
            _ => None,
        }
    }

    /// Whether listeners read queues that osnl can declare, bind, and inspect.
    #[must_use]
    pub fn has_queues(self) -> bool {
        self == Self::Rabbit
    }

    /// Whether several readers can have a copy of each message.
    #[must_use]
    pub fn has_pools(self) -> bool {
        self != Self::Amqp1
    }

    #[must_use]
    pub fn publishes(self) -> bool {
        self != Self::Amqp1
    }

    /// Returns what a listener has to do without, for the operator who chose the driver.
    #[must_use]
    pub fn limits(self) -> &'static [&'static str] {
        match self {
            #[cfg(feature = "amqp1")]
            Self::Amqp1 => &amqp1::LIMITS,
            _ => &[],
        }
    }
}

/// Returns the transport for a URL, with the options of its query. Nothing is connected yet.
///
/// An unverified broker is logged as a warning here, since no check of a configuration reports it.
pub fn transport(url: &TransportUrl) -> Result<Box<dyn Transport>, TransportError> {
    match Driver::named(url.driver()) {
        Some(Driver::Rabbit) => Ok(Box::new(RabbitTransport::from_url(url)?)),
        _ => transport_with(url, RabbitOptions::default()),
    }
}

/// Returns the transport for a URL, on RabbitMQ with these options in place of the query's.
pub fn transport_with(
    url: &TransportUrl,
    options: RabbitOptions,
) -> Result<Box<dyn Transport>, TransportError> {
    match Driver::named(url.driver()) {
        #[cfg(feature = "amqp1")]
        Some(Driver::Amqp1) => {
            Ok(Box::new(amqp1::Amqp1Transport::new(url, amqp1::Amqp1Options::from_query(url)?)?))
        }
        #[cfg(feature = "kafka")]
        Some(Driver::Kafka) => {
            Ok(Box::new(kafka::KafkaTransport::new(url, kafka::KafkaOptions::from_query(url)?)?))
        }
        Some(Driver::Rabbit) => Ok(Box::new(RabbitTransport::new(url.clone(), options)?)),
        _ => Err(TransportError::UnknownDriver { refusal: unknown_driver(url.driver()) }),
    }
}

/// Returns the hosts of a URL as `host:port`, with the driver's port for a host without one. A name that is written in
/// several ways is one host: in lower case, without the dot at its end.
pub fn addresses(url: &TransportUrl) -> impl Iterator<Item = String> {
    let address = match Driver::for_url(url) {
        #[cfg(feature = "kafka")]
        Driver::Kafka => kafka::address,
        _ => osnl_transport::parts::address,
    };
    url.hosts().iter().map(move |host| {
        let mut host = host.clone();
        host.hostname = host.hostname.trim_end_matches('.').to_ascii_lowercase();
        address(&host)
    })
}

/// Returns the hosts of a URL to compare it with another of its driver.
#[must_use]
pub fn brokers(url: &TransportUrl) -> BTreeSet<String> {
    addresses(url).map(|address| plain_address(&address)).collect()
}

/// Returns the logins that go to the brokers of a URL in clear, on RabbitMQ with this remedy.
#[must_use]
pub fn broker_logins(url: &TransportUrl, options: &RabbitOptions, remedy: &'static str) -> Vec<SentLogin> {
    match Driver::for_url(url) {
        #[cfg(feature = "amqp1")]
        Driver::Amqp1 => {
            amqp1::Amqp1Options::from_query(url).map(|options| options.logins(url)).unwrap_or_default()
        }
        #[cfg(feature = "kafka")]
        Driver::Kafka => {
            kafka::KafkaOptions::from_query(url).map(|options| options.logins(url)).unwrap_or_default()
        }
        _ => options.logins(url, remedy),
    }
}
