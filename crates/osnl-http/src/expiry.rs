//! The ends of certificates and credentials.

use std::time::Duration;

/// A certificate or credential that ends sooner needs the operator's attention.
pub const EXPIRES_SOON: Duration = Duration::from_secs(14 * 86_400);

/// The end of a certificate or credential.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    /// Its name: `the certificate of hooks.example.com`, `the password of user osnl`.
    pub what: String,
    /// The last second, since 1970, in which it counts.
    pub ends: i64,
}
