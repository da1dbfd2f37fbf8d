//! The binary as its users run it.

mod daemon;
mod demo;
mod logging;
mod systemd;
