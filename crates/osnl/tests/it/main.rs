//! The library against real parts: a real HTTP target, and a real RabbitMQ with the real oslo.messaging.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod bodies;
mod defects;
mod harness;
mod http;
mod library;
mod memory;
mod native;
mod proxy;
mod rabbit;
mod tls;
mod vectors;
mod versioned;
