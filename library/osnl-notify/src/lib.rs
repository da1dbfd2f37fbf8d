//! OpenStack notifications for services in Rust, as oslo.messaging and oslo.versionedobjects write and read them.
//!
//! | to | use |
//! | --- | --- |
//! | emit a notification with any payload | [`notifier`]: oslo.messaging's Notifier, with its drivers, bytes, and routing |
//! | declare payloads with a class and a version, emit and read them | [`versioned`] and its derives |
//! | read the payload of nova, neutron, ironic, … as a struct | [`service`] |
//!
//! A [`Notifier`] sends over a [`Transport`]: RabbitMQ by [`transport`], or a [`MemoryBroker`] inside the process for
//! tests. [`osnl_model`] decodes bodies, lists resources, masks secrets, and has the catalogue of events.

pub mod notifier;
pub mod service;
pub mod versioned;

mod context;
mod recorder;

// The derives write `::osnl_notify` in this crate too.
extern crate self as osnl_notify;

pub use context::{Context, RequestContext};
pub use notifier::{Driver, Notifier};
pub use osnl_brokers::transport;
pub use osnl_model::{Emission, Notification, Priority, Target, TransportUrl};
pub use osnl_transport::{MemoryBroker, Transport, TransportError};
pub use recorder::Recorder;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
