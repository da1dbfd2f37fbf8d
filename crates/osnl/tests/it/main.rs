//! The library against real parts: a real HTTP target, and a real RabbitMQ with the real oslo.messaging.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod bodies;
mod defects;
mod deliveries;
mod enrich;
mod examples;
mod exec;
mod fallback;
mod faults;
mod guarantees;
mod harness;
mod http;
mod http_action;
mod journal;
mod library;
mod log;
mod malformed;
mod memory;
mod native;
mod newer_brokers;
mod notification_listener;
mod notifier;
mod oss;
mod oss_asked;
mod outputs;
mod own_node;
mod power_set;
mod proxy;
mod python;
mod python_re;
mod rabbit;
mod stream;
mod tls;
mod topology;
mod vectors;
mod versioned;
