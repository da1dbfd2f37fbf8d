//! The binary as its users run it.

mod demo;
mod tls;
