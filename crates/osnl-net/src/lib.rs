//! Clients of brokers' TLS and of HTTP targets; no client here repeats a request.

pub mod dial;
#[cfg(feature = "http")]
pub mod http;
pub mod tls;
