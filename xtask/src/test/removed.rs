//! Tests that are about what a newer RabbitMQ has no more: `test --broker` leaves them out, counts and names them.

/// A test that a version of RabbitMQ leaves nothing to test.
pub(super) struct RemovedTest {
    /// Its whole path.
    pub(super) test: &'static str,
    /// The versions, as `--broker` names them.
    pub(super) versions: &'static [&'static str],
    /// The thing that it needs.
    pub(super) why: &'static str,
}

impl RemovedTest {
    /// Whether it cannot run on this version.
    pub(super) fn is_from(&self, version: &str) -> bool {
        self.versions.contains(&version)
    }
}

pub(super) const REMOVED: &[RemovedTest] = &[];
