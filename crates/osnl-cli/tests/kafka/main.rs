//! The program on Kafka: `cargo xtask test --kafka`. The cluster is librdkafka's mock cluster, and
//! for some tests tansu.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod kafka {
    mod canary;
    mod lag;
    mod oslo;
    mod probes;
    mod publish;
    mod recreated;
    mod section;
    mod tansu;
    mod tap;
}
mod running;
