//! Real peers for osnl's tests: brokers, Python programs, and targets. A stand-in exists only where the real part
//! can't run.
//!
//! | part | purpose |
//! | --- | --- |
//! | [`Broker`], [`RabbitCluster`], [`SharedBroker`], [`Vhost`] | private RabbitMQ nodes, and virtual hosts on a shared node |
//! | [`OsloPublisher`], [`OsloListener`], [`Upstream`] | the real oslo.messaging as a peer, the real k2hr3-osnl as the reference |
//! | [`Sink`] | an HTTP target or proxy that records each byte and fails on request |
//! | [`TlsSink`], [`OldServer`], [`Authority`] | the same behind TLS, a server of TLS 1.1, certificates good and bad |
//! | [`Openstack`](openstack::Openstack) | Keystone, nova, neutron, glance, and ironic, for requests about one object |
//! | [`RealCloud`] | Keystone, Neutron and Ironic from PyPI, for `cargo xtask test --cloud` |
//! | [`FaultyProxy`], [`FullBacklog`] | a network between client and server that stalls, cuts, delays, and refuses; a server that never answers |
//! | [`RestartableProgram`] | a child process that a test kills, stops, and starts again |
//! | [`Browser`] | headless Chromium: pages, keys, themes, its console, accessibility by axe-core |
//! | [`Pty`] | a program on a terminal: its screen, keys, and the state of the terminal afterwards |
//! | `amqp` (feature `amqp`) | an AMQP server that answers as scripted: what newer brokers do |
//! | [`Amqp1Peer`] | the last oslo.messaging with AMQP 1.0 as publisher, and the broker of its tests, for `cargo xtask test --amqp1` |
//! | `conformance` (feature `conformance`) | a test for each promise of a transport, and RabbitMQ as their broker |
//! | `MockKafka` (feature `kafka`) | a cluster of Kafka in the process |
//! | `Tansu` (feature `kafka`) | an independent broker that speaks Kafka's protocol, for `cargo xtask test --kafka` |
//! | `ListenOnly` (feature `conformance`) | a test's own transport, for listening only |
//! | [`oracle`] | publishes with confirms, kills everything, counts at the target |
//! | `simulation` (feature `simulation`) | the spine with models of broker and target, in one thread: a seed is a story |
//! | [`hostile`] | hostile notification bodies: deep, wide, quadratic, compressed bombs |
//! | [`fixture`] | the recorded notifications and requests in `fixtures/` |
//! | [`PrintedMessage`] | the messages and files of k2hr3_osnl's manual |
//! | [`wait_until`], `until` (feature `conformance`) | waits for a condition, with a deadline whose message names it |
//!
//! Tests that need the broker or the Python peer run under `cargo xtask test`, which sets [`BROKER_VARIABLE`] and
//! [`PYTHON_VARIABLE`], and [`AXE_VARIABLE`] for accessibility. Such tests fail without the variables.
#![expect(
    clippy::unwrap_used,
    reason = "dev-only: a lock is poisoned only by a panic that has failed the test already"
)]

#[cfg(feature = "amqp")]
pub mod amqp;
mod amqp1;
mod backlog;
mod broker;
mod browser;
mod cloud;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod fixture;
mod hex;
pub mod hostile;
#[cfg(test)]
mod hostile_tests;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "conformance")]
mod listening;
mod manual;
pub mod openstack;
pub mod oracle;
mod peer;
mod pipe;
mod ports;
mod process;
mod program;
mod proxy;
mod pty;
#[cfg(feature = "simulation")]
pub mod simulation;
mod sink;
mod tls;
mod wait;

pub use amqp1::Amqp1Peer;
pub use backlog::FullBacklog;
pub use broker::{Broker, DeclaredBinding, DeclaredQueue, Exchange, RabbitCluster, SharedBroker, Vhost};
pub use browser::{AXE_REQUIREMENTS, AXE_VARIABLE, Browser, BrowserKey, OTHER_NAME, Theme};
pub use cloud::{CLOUD_REQUIREMENTS, CLOUD_VARIABLE, RealCloud};
#[cfg(feature = "kafka")]
pub use kafka::{
    KafkaClient, KafkaCluster, KafkaFront, KafkaLogin, MockKafka, StoredMessage, Tansu, TansuStorage,
};
#[cfg(feature = "conformance")]
pub use listening::ListenOnly;
pub use manual::PrintedMessage;
pub use peer::{
    BrokerObjects, Notice, OsloListener, OsloPublisher, PublisherOptions, RawMessage, TakenMessage, Upstream,
    python, python_program,
};
pub use ports::{closed_port, free_port};
pub use process::{Guard, executable, signal};
pub use program::RestartableProgram;
pub use proxy::{FaultyProxy, NetworkFault};
pub use pty::Pty;
pub use sink::{Reply, Sink, SinkRequest};
pub use tls::{Authority, Certificate, Handshake, OldServer, Protocols, ServerIdentity, TlsSink};
#[cfg(feature = "conformance")]
pub use wait::until;
pub use wait::wait_until;

/// The folder of RabbitMQ's own scripts in Debian's package; the scripts in `/usr/sbin` change the user first.
pub const SCRIPTS: &str = "/usr/lib/rabbitmq/bin";

pub const REQUIREMENTS: &str = include_str!("../python/requirements.txt");

pub const AMQP1_REQUIREMENTS: &str = include_str!("../python/amqp1-requirements.txt");

pub const KAFKA_REQUIREMENTS: &str = include_str!("../python/kafka-requirements.txt");

/// The first lines of the Python program describe its arguments.
pub const KAFKA_PEER: &str = include_str!("../python/kafka.py");

pub const BROKER_VARIABLE: &str = "OSNL_TEST_BROKER";

/// Environment variable: the root directory with the RabbitMQ to run, as `cargo xtask test --broker 4` sets it. Unset
/// means the system's RabbitMQ.
pub const BROKER_ROOT_VARIABLE: &str = "OSNL_TEST_BROKER_ROOT";

pub const PYTHON_VARIABLE: &str = "OSNL_TEST_PYTHON";

pub const TANSU_VARIABLE: &str = "OSNL_TEST_TANSU";
