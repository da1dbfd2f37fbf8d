use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use openssl_probe::ProbeResult;
use osnl_config::read_regular;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};

/// The most bytes of a file, a hundred times those of all public CAs.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// The reason for each fault of the form, since the library's own message may repeat a line of the key.
const NOT_PEM: &str = "a PEM block of the file is damaged, or has no end";

/// A file of certificates or keys that cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {reason}", .path.display())]
pub struct FileError {
    pub path: PathBuf,
    pub reason: String,
}

/// The certificates and the key by which osnl logs in to a server.
#[derive(Debug)]
pub struct ClientIdentity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

pub fn system_certificates() -> Result<Vec<CertificateDer<'static>>, String> {
    let CertificateResult { certs, errors, .. } = load_native_certs();
    match errors.first() {
        Some(error) if certs.is_empty() => Err(error.to_string()),
        Some(_) | None => Ok(certs),
    }
}

/// Returns names, identities, sizes, and times of the files that [`system_certificates`] reads. To read the certificates
/// themselves takes a hundred times as long.
#[must_use]
pub fn system_files() -> String {
    let (file, folders) = (std::env::var_os("SSL_CERT_FILE"), std::env::var_os("SSL_CERT_DIR"));
    let mut paths: Vec<PathBuf> = file.into_iter().map(PathBuf::from).collect();
    paths.extend(folders.iter().flat_map(std::env::split_paths));
    paths.retain(|path| !path.as_os_str().is_empty());
    if paths.is_empty() {
        let ProbeResult { cert_file, cert_dir } = openssl_probe::probe();
        paths.extend(cert_file.into_iter().chain(cert_dir));
    }
    state_of(&paths)
}

/// Describes files and the files of folders. The target of a link counts, which a folder of links does not show.
fn state_of(paths: &[PathBuf]) -> String {
    let inside =
        |path: &PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all: Vec<PathBuf> = paths.iter().flat_map(inside).chain(paths.iter().cloned()).collect();
    all.sort();
    let state = |path: &PathBuf| match std::fs::metadata(path) {
        Ok(found) => {
            let (file, modified) = ((found.dev(), found.ino()), found.modified().ok());
            format!("{} {file:?} {} {modified:?}\n", path.display(), found.len())
        }
        Err(_) => format!("{} is missing\n", path.display()),
    };
    all.iter().map(state).collect()
}

/// Returns the content of a file, or names, sizes, and times of a folder's files, to see a change.
#[must_use]
pub fn content_or_state(path: &Path) -> Vec<u8> {
    if path.is_dir() { state_of(&[path.to_owned()]).into_bytes() } else { read(path).unwrap_or_default() }
}

/// Returns the certificates of PEM files and of folders of such files. A file must contain one; a
/// folder may be empty, and contain other files.
pub fn certificates_from(paths: &[PathBuf]) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(from_path(path)?);
    }
    Ok(all)
}

fn from_path(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let refuse = |reason: String| FileError { path: path.to_owned(), reason };
    if path.is_dir() {
        return Ok(load_certs_from_paths(None, Some(path)).certs);
    }
    let text = read(path)?;
    // The library's own loader sorts them, and the first of a chain must be the one that the key fits.
    let certs = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let certs = certs.map_err(|_| refuse(NOT_PEM.to_owned()))?;
    match foreign_heading(&text) {
        Some(heading) => Err(refuse(format!(
            "the heading {heading} is not read, only CERTIFICATE; to convert the file: openssl storeutl -certs \
             -out NEW.pem {}",
            path.display()
        ))),
        None if certs.is_empty() => Err(refuse("the file holds no certificate in PEM form".to_owned())),
        None => Ok(certs),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    read_regular(path, MOST_BYTES)
        .map_err(|error| FileError { path: path.to_owned(), reason: error.to_string() })
}

/// Finds a heading of certificates that OpenSSL reads and rustls skips silently. Certificates under
/// the first heading also have OpenSSL's trust settings, which may distrust the certificate.
fn foreign_heading(text: &[u8]) -> Option<&'static str> {
    let begins = |heading: &&str| {
        let line = format!("-----BEGIN {heading}-----");
        text.split(|byte| *byte == b'\n').any(|each| each.trim_ascii() == line.as_bytes())
    };
    ["TRUSTED CERTIFICATE", "X509 CERTIFICATE"].into_iter().find(begins)
}

/// Reads a client's certificate and key; without a key file, the certificate's file contains the
/// key.
pub fn identity(certificate: &Path, key: Option<&Path>) -> Result<ClientIdentity, FileError> {
    let chain = from_path(certificate)?;
    let path = key.unwrap_or(certificate);
    let key = PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| {
        let reason = match error {
            PemError::NoItemsFound => {
                "the file holds no private key in PEM form that needs no passphrase".to_owned()
            }
            _ => NOT_PEM.to_owned(),
        };
        FileError { path: path.to_owned(), reason }
    })?;
    Ok(ClientIdentity { chain, key })
}

#[cfg(test)]
mod tests {
    use osnl_testkit::{Authority, ServerIdentity};

    use super::*;

    #[test]
    fn a_chain_has_the_order_of_its_file() {
        let authority = Authority::named("the root");
        let certificate = authority.issue(&ServerIdentity::LOOPBACK);
        let files = [certificate.file().to_owned(), authority.file()];
        let [leaf, root] = files.each_ref().map(|file| std::fs::read_to_string(file).unwrap());
        let chain = certificates_from(&files).unwrap();
        let reversed = chain.iter().rev().cloned().collect();
        for (text, expected) in [(format!("{leaf}{root}"), chain), (format!("{root}{leaf}"), reversed)] {
            std::fs::write(certificate.file(), text).unwrap();
            assert_eq!(identity(certificate.file(), Some(certificate.key_file())).unwrap().chain, expected);
        }
    }

    #[test]
    fn the_state_of_a_store_differs_after_a_change_of_one_file_of_a_folder() {
        let authority = Authority::named("the root");
        let file = authority.file();
        let folder = [file.parent().unwrap().to_owned()];
        let before = state_of(&folder);
        assert_eq!(state_of(&folder), before);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.clone() + &text).unwrap();
        let longer = state_of(&folder);
        // A package has the times of its own files.
        let (copy, modified) = (file.with_extension("new"), file.metadata().unwrap().modified().unwrap());
        std::fs::copy(&file, &copy).unwrap();
        std::fs::File::options().write(true).open(&copy).unwrap().set_modified(modified).unwrap();
        let of_file = || state_of(std::slice::from_ref(&file));
        let former = of_file();
        std::fs::rename(&copy, &file).unwrap();
        assert_ne!(of_file(), former);
        std::fs::remove_file(&file).unwrap();
        let [gone, none] = [&folder, &[file]].map(|paths| state_of(paths));
        assert!(before != longer && longer != gone && none.contains("is missing"), "{before}{longer}{gone}");
    }

    #[test]
    fn a_key_in_one_line_is_in_no_error() {
        let authority = Authority::named("the root");
        let certificate = authority.issue(&ServerIdentity::LOOPBACK);
        let file = certificate.file();
        let [text, key] = [file, certificate.key_file()].map(|file| std::fs::read_to_string(file).unwrap());
        std::fs::write(file, text + &key.replace('\n', "")).unwrap();
        assert_eq!(identity(file, None).unwrap_err().reason, NOT_PEM);
    }
}
