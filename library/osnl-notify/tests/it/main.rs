//! Tests of the library against recordings of services and the real oslo libraries.

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

/// Longer than any step takes, shorter than a person waits.
const SOON: Duration = Duration::from_secs(60);
