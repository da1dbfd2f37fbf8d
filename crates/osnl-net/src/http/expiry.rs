use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::CertificateDer;

use crate::tls::{certificates_from, ends_at};

/// The most files of client certificates whose ends are kept.
const MOST_FILES: usize = 64;

/// The expiry of each file of client certificates, with the time of the file's change.
static IN_FILES: LazyLock<Mutex<HashMap<PathBuf, (SystemTime, Expiry)>>> = LazyLock::new(Mutex::default);

/// The end of a certificate or credential, for a warning before it expires.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    pub kind: ExpiryKind,
    pub what: String,
    pub ends: i64,
}

/// The kind of a certificate or credential, which decides how an operator renews it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExpiryKind {
    /// The certificate that a server shows.
    #[default]
    Server,
    /// The certificate with which osnl proves its identity.
    Client,
    /// A password in Keystone.
    Password,
}

impl Expiry {
    /// Returns the end of the certificates of a file with which osnl proves its identity; `None` if none is readable.
    /// The file is read again when it changes.
    #[must_use]
    pub fn for_client_file(file: &Path) -> Option<Self> {
        let changed = std::fs::metadata(file).and_then(|meta| meta.modified()).ok()?;
        let mut known = IN_FILES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, expiry)) = known.get(file).filter(|(at, _)| *at == changed) {
            return Some(expiry.clone());
        }
        let expiry = Self::for_client(file, &certificates_from(&[file.to_owned()]).ok()?)?;
        if known.len() >= MOST_FILES {
            known.clear();
        }
        known.insert(file.to_owned(), (changed, expiry.clone()));
        Some(expiry)
    }

    pub(crate) fn for_client(file: &Path, chain: &[CertificateDer<'_>]) -> Option<Self> {
        let ends = chain.iter().filter_map(ends_at).min()?;
        Some(Self {
            kind: ExpiryKind::Client,
            what: format!("the client certificate {}", file.display()),
            ends,
        })
    }
}

/// The most hosts of [`LatestEnds`], of any number that events or a catalogue may name.
const MOST_HOSTS: usize = 64;
/// The time without a connection after which a host is forgotten: a catalogue may name another one by now.
const FORGOTTEN: Duration = Duration::from_secs(7 * 86_400);

/// The expiry of the certificate that each host showed last, in the order of the latest connections. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LatestEnds(Arc<Mutex<Vec<(String, i64, Instant)>>>);

impl LatestEnds {
    pub(crate) fn note(&self, authority: &str, ends: Option<i64>) {
        let Some(ends) = ends else { return };
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|(host, _, at)| host != authority && at.elapsed() < FORGOTTEN);
        if shown.len() >= MOST_HOSTS {
            shown.remove(0);
        }
        shown.push((authority.to_owned(), ends, Instant::now()));
    }

    /// Returns the expiry at the host of the latest connection.
    pub(crate) fn latest(&self) -> Option<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last().map(|(_, ends, _)| *ends)
    }

    pub(crate) fn all(&self) -> Vec<(String, i64)> {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shown.iter().filter(|(_, _, at)| at.elapsed() < FORGOTTEN);
        known.map(|(host, ends, _)| (host.clone(), *ends)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use osnl_testkit::{Authority, ServerIdentity};

    use super::*;
    use crate::tls::identity;

    #[test]
    fn a_client_certificate_is_read_again_when_its_file_changes() {
        let authority = Authority::named("the root");
        let certificate = authority.issue(&ServerIdentity::LOOPBACK);
        let file = certificate.file();
        let before = Expiry::for_client_file(file).unwrap();
        let changed = fs::metadata(file).unwrap().modified().unwrap();
        fs::write(file, fs::read(authority.issue(&ServerIdentity::Expired).file()).unwrap()).unwrap();
        let set_changed = |at| File::options().write(true).open(file).unwrap().set_modified(at).unwrap();
        set_changed(changed);
        assert_eq!(Expiry::for_client_file(file).as_ref(), Some(&before), "the file is not read");
        set_changed(changed + Duration::from_secs(1));
        assert!(Expiry::for_client_file(file).unwrap().ends < before.ends);
    }

    #[test]
    fn only_a_regular_file_is_opened_for_a_certificate_or_its_key() {
        let authority = Authority::named("the root");
        let certificate = authority.issue(&ServerIdentity::LOOPBACK);
        let device = Path::new("/dev/null");
        let refused = [
            certificates_from(&[device.to_owned()]).unwrap_err(),
            identity(certificate.file(), Some(device)).unwrap_err(),
        ];
        assert_eq!(refused.map(|error| error.to_string()), ["/dev/null: is not a regular file"; 2]);
        assert_eq!(Expiry::for_client_file(device), None);
    }

    #[test]
    fn each_host_has_the_end_that_it_showed_last() {
        let ends = LatestEnds::default();
        for (host, end) in [("a", Some(1)), ("b", Some(2)), ("a", Some(3)), ("c", None)] {
            ends.note(host, end);
        }
        assert_eq!(ends.all(), [("b".to_owned(), 2), ("a".to_owned(), 3)]);
        assert_eq!(ends.latest(), Some(3));
        (0..100).for_each(|n| ends.note(&n.to_string(), Some(n)));
        assert_eq!((ends.all().len(), ends.latest()), (MOST_HOSTS, Some(99)));
    }
}
