//! The library against real parts: a real HTTP target, and a real RabbitMQ with the real oslo.messaging.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod bodies;
mod defects;
mod faults;
mod harness;
mod http;
mod library;
mod log;
mod memory;
mod native;
mod newer_brokers;
mod own_node;
mod proxy;
mod rabbit;
mod tls;
mod vectors;
