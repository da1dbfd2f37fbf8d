//! Private RabbitMQ nodes: own name, cookie, ports and folders; loopback only.
//!
//! - [`Broker`] is one node of one test, which may kill it; a start takes four to five seconds.
//! - [`RabbitCluster`] is several nodes with one quorum queue, which a test may kill; a start takes a quarter of a
//!   minute.
//! - [`SharedBroker`] is the node that `cargo xtask test` started for all tests; each takes a fresh [`Vhost`] from it
//!   (some milliseconds), so that tests run side by side.

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

#[derive(Debug)]
pub struct SharedBroker {
    node: Arc<BrokerNode>,
}

impl Broker {
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
    #[must_use]
    pub fn vhost(&self, name: &str) -> Vhost {
        Vhost::create(&self.node, name, None)
    }

    #[must_use]
    #[track_caller]
    pub fn vhost_of_type(&self, name: &str, default: Option<&str>) -> Vhost {
        Vhost::create(&self.node, name, default)
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.node.amqp
    }
}
