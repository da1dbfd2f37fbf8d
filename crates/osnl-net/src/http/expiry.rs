use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::tls::{certificates_from, ends_at};

/// A certificate or credential that expires sooner needs the operator's attention.
pub const EXPIRES_SOON: Duration = Duration::from_secs(14 * 86_400);

/// The end of a certificate or credential, for a warning before it expires.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    pub what: String,
    pub ends: i64,
}

impl Expiry {
    /// Returns the end of the certificates of a file with which osnl proves its identity; `None` if none is readable.
    #[must_use]
    pub fn for_client_file(file: &Path) -> Option<Self> {
        Self::for_client(file, &certificates_from(&[file.to_owned()]).ok()?)
    }

    pub(crate) fn for_client(file: &Path, chain: &[CertificateDer<'_>]) -> Option<Self> {
        let ends = chain.iter().filter_map(ends_at).min()?;
        Some(Self { what: format!("the client certificate {}", file.display()), ends })
    }
}
