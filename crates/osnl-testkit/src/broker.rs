//! RabbitMQ nodes of our own: private name, cookie, ports and folders; loopback only.
//!
//! - [`Broker`] is one node that belongs to one test, which may kill it: four to five seconds to start.
//! - [`RabbitCluster`] is several nodes with one quorum queue, each of which may be killed: a quarter of a minute to
//!   start.
//! - [`SharedBroker`] is the node that `cargo xtask test` started for all tests; each takes a fresh
//!   [`Vhost`] from it (some milliseconds), so that tests run side by side.

mod cluster;
mod node;
mod running;
mod tls;
mod vhost;

pub use cluster::RabbitCluster;
pub use running::Broker;
pub use vhost::{DeclaredBinding, DeclaredQueue, Exchange, Vhost};

use std::path::Path;
use std::sync::{Arc, OnceLock};

use node::BrokerNode;

/// The node that `cargo xtask test` runs for all tests. It is not to be stopped: see [`Broker`] for that.
#[derive(Debug)]
pub struct SharedBroker {
    node: Arc<BrokerNode>,
}

impl Broker {
    /// The node that all tests share.
    ///
    /// # Panics
    /// When the tests were not started by `cargo xtask test`.
    #[must_use]
    pub fn shared() -> &'static SharedBroker {
        static SHARED: OnceLock<SharedBroker> = OnceLock::new();
        SHARED.get_or_init(|| {
            let folder = std::env::var_os(crate::BROKER_VARIABLE)
                .unwrap_or_else(|| panic!("no test broker: run the tests with \"cargo xtask test\""));
            SharedBroker { node: Arc::new(BrokerNode::load(Path::new(&folder))) }
        })
    }
}

impl SharedBroker {
    /// A new, empty virtual host whose name begins with `name`; it is deleted when dropped.
    ///
    /// # Panics
    /// When the node does not answer.
    #[must_use]
    pub fn vhost(&self, name: &str) -> Vhost {
        Vhost::create(&self.node, name, None)
    }

    /// A virtual host whose queues have this type where a declaration names none.
    ///
    /// # Panics
    /// As [`vhost`](Self::vhost).
    #[must_use]
    #[track_caller]
    pub fn vhost_of_type(&self, name: &str, default: Option<&str>) -> Vhost {
        Vhost::create(&self.node, name, default)
    }

    /// The AMQP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.node.amqp
    }
}
