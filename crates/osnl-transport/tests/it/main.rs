#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod conformance;
mod dead_letters;
mod declared;
mod fuzz;
mod handshake;
mod headers;
mod heartbeat;
mod in_hand;
mod login;
mod lost_node;
mod newer_brokers;
mod proxied;
mod registered;
mod returned;
mod sending;
mod session;
mod small_frames;
mod tap;
mod tls;
mod topology;
mod versions;
