//! The promises of every transport on Kafka, and its own: offsets, rebalances, topics that come and go. The broker is the mock
//! cluster of the client library, which speaks Kafka's protocol over TCP in this process; in [`tansu`] an independent one.

mod group;
mod member;
mod prefilter;
mod publishing;
mod rig;
mod security;
mod tansu;
mod topics;

mod conformance {
    osnl_testkit::conformance!(super::rig::Mock);
}
