//! Clients of brokers' TLS, of HTTP targets, and of the OpenStack APIs; no client here repeats a request.

pub mod dial;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http")]
pub mod openstack;
pub mod tls;
