//! Daemons on one journal in PostgreSQL, real processes on the real broker and server: `cargo xtask
//! test --postgresql`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod away;
mod canary;
mod changes;
mod checked;
mod differing;
mod digest;
mod expected;
mod fences;
mod forgotten;
mod limits;
mod mail;
mod quarantine;
mod readiness;
mod replay;
mod stage;
mod takeover;
