//! The RabbitMQ transport against brokers that cannot be had here.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod refuses_transient_queues;
mod scripted;
