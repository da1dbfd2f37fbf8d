//! The library against recordings of services, against the real oslo.messaging and oslo.versionedobjects, and against what
//! is made up at random.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod fuzz;
mod log;
mod notifier;
mod oslo;
mod peer;
mod power_set;
mod services;
mod versioned;

use std::time::Duration;

/// Longer than anything here takes, shorter than anybody waits.
const SOON: Duration = Duration::from_secs(20);
