//! The binary as its users run it.

mod config;
mod demo;
