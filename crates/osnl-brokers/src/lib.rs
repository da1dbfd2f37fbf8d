//! The drivers of transport URLs, and the abilities of each driver's brokers.
//!
//! A transport is a row of `DRIVERS`, a variant of [`Driver`], an arm in `transport_with`, and a `BrokerRig` in
//! `tests/it/conformance.rs`, which runs the promises of a consumer as tests.

use osnl_config::shown;
use osnl_config::typed::ValueRefusal;
use osnl_model::{TransportUrl, nearest};

/// The drivers that a transport URL can name in this build.
const DRIVERS: &[&str] = match (cfg!(feature = "amqp1"), cfg!(feature = "kafka")) {
    (true, true) => &["rabbit", "kombu", "kafka", "amqp", "amqps"],
    (true, false) => &["rabbit", "kombu", "amqp", "amqps"],
    (false, true) => &["rabbit", "kombu", "kafka"],
    (false, false) => &["rabbit", "kombu"],
};

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
        _ => ValueRefusal {
            suggestion: nearest(name, DRIVERS.iter().copied()).map(|near| format!("{near}://")),
            ..refused(&format!("known: {}", DRIVERS.join(", ")))
        },
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
    /// Returns the driver of a URL. An unknown name is refused with the URL, until then its options are read as those of
    /// RabbitMQ.
    #[must_use]
    pub fn of(url: &TransportUrl) -> Self {
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
}
