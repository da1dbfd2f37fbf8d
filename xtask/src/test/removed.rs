//! Tests that are about what a newer RabbitMQ has no more: `test --broker` leaves them out, counts and names them.

/// A test by its whole path, and what it needs.
pub(super) const REMOVED: &[(&str, &str)] = &[];
