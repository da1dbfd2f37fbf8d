use std::time::Duration;

/// A certificate or credential that expires sooner needs the operator's attention.
pub const EXPIRES_SOON: Duration = Duration::from_secs(14 * 86_400);

/// The end of a certificate that osnl shows, for a warning before it expires.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    pub what: String,
    pub ends: i64,
}
