//! The program on AMQP 1.0: `cargo xtask test --amqp1`. Broker and publisher are from oslo.messaging.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod amqp1;
#[path = "../kafka/running.rs"]
#[expect(dead_code, reason = "the tests on Kafka need more of it")]
mod running;
