//! The promises of every transport on Kafka, and Kafka's own. The broker is the mock cluster of the client library,
//! which speaks Kafka's protocol over TCP in this process; [`tansu`] is an independent one.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod group;
mod member;
mod publishing;
mod registered;
mod rig;
mod security;
mod tansu;
mod topics;

mod conformance {
    osnl_testkit::conformance!(super::rig::Mock);
}
