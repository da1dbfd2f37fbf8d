use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use osnl::action::ErrorClass;
use osnl::action::http::{HttpOptions, Verification};
use osnl_net::tls::CommonName;
use osnl_testkit::{Authority, Certificate, OldServer, Protocols, ServerIdentity, TlsSink};
use rustls::pki_types::{ServerName, UnixTime};

use crate::http::{Attempts, environment};

fn verifying(verification: Verification) -> HttpOptions {
    HttpOptions { verification, ..HttpOptions::default() }
}

fn trusting(file: impl Into<PathBuf>) -> HttpOptions {
    verifying(Verification::Ca(vec![file.into()]))
}

fn reached(url: &str, options: &HttpOptions) {
    let attempt = Attempts::at(url, options).unwrap().make();
    assert!(attempt.is_ok(), "{url}: {attempt:?}");
}

fn refused(url: &str, options: &HttpOptions) -> String {
    let error = Attempts::at(url, options).unwrap().make().unwrap_err();
    assert_eq!(error.class, ErrorClass::Tls, "{url}: {error}");
    error.reason
}

#[test]
fn a_target_with_a_certificate_of_an_own_ca_is_reached() {
    let authority = Authority::new();
    let certificate = authority.issue(&ServerIdentity::LOOPBACK);
    let check = |at: IpAddr, host: &str, protocols: Protocols, name: Option<&str>, version: &str| {
        let target = TlsSink::start_at(at, &certificate, protocols);
        let options = trusting(authority.file());
        let attempts = Attempts::at(&target.url(host, "/v1/role"), &options).unwrap();
        attempts.make().unwrap();
        attempts.make().unwrap();
        let handshakes = target.handshakes();
        let [handshake] = &handshakes[..] else { panic!("one connection is kept: {handshakes:?}") };
        // SNI is for names only, not for addresses.
        assert_eq!(handshake.name.as_deref(), name, "{host}");
        assert_eq!(handshake.version.as_deref(), Ok(version), "{host}");
        let requests = target.sink().requests();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0].header("host").unwrap(), format!("{host}:{}", target.port()));
        assert!(requests[0].target.starts_with("/v1/role?"), "{}", requests[0].target);
    };
    let v4 = Ipv4Addr::LOCALHOST.into();
    check(v4, "localhost", Protocols::Tls12And13, Some("localhost"), "TLSv1_3");
    check(v4, "localhost", Protocols::Tls12, Some("localhost"), "TLSv1_2");
    check(v4, "127.0.0.1", Protocols::Tls13, None, "TLSv1_3");
    check(Ipv6Addr::LOCALHOST.into(), "[::1]", Protocols::Tls12And13, None, "TLSv1_3");
}

#[test]
fn certificates_are_refused_with_the_reason() {
    let authority = Authority::named("own CA");
    let other = Authority::named("other CA");
    let check = |certificate: &Certificate, host: &str, options: &HttpOptions, expected: &str| {
        let target = TlsSink::start(certificate, Protocols::Tls12And13);
        assert_eq!(refused(&target.url(host, "/v1/role"), options), expected);
        assert_eq!(target.sink().requests().len(), 0, "{expected}: nothing is sent");
        reached(&target.url(host, "/v1/role"), &verifying(Verification::None));
        assert_eq!(target.sink().requests().len(), 1, "{expected}");
    };
    let ours = trusting(authority.file());
    let trust =
        "put the CA's certificate into SSL_CERT_FILE, the system's store, or set allow_self_signed_cert";
    let own_issuer = format!("certificate is self-signed or of an unknown issuer; {trust}");
    let missing = |issuer: &str| {
        format!(
            "certificate is issued by {issuer:?}, which is not trusted here, and whose certificate the server does not \
             send; if that is an intermediate CA, let the server send its certificate too (the full chain); else {trust}"
        )
    };
    let issue = |identity: ServerIdentity| authority.issue(&identity);

    let expired = "certificate expired on 2024-02-01T00:00:00Z; renew it on the server";
    check(&issue(ServerIdentity::Expired), "localhost", &ours, expired);
    let early = "certificate is not valid before 2124-01-01T00:00:00Z; check the clock of this machine";
    check(&issue(ServerIdentity::NotYet), "localhost", &ours, early);
    let names = issue(ServerIdentity::For("DNS:k2hr3.example.com,DNS:*.k2hr3.example,IP:10.0.0.1"));
    let named = "certificate is for k2hr3.example.com, *.k2hr3.example, 10.0.0.1, not";
    let mend = "connect by a name of the certificate, or issue it for";
    for host in ["localhost", "127.0.0.1"] {
        check(&names, host, &ours, &format!("{named} {host}; {mend} {host}"));
    }
    let nameless = "certificate is for no name at all, not";
    let belong = "names belong into its subjectAltName";
    let common = issue(ServerIdentity::CommonName("k2hr3.example"));
    check(&common, "localhost", &ours, &format!("{nameless} localhost; {belong}"));
    let common = issue(ServerIdentity::CommonName("127.0.0.1"));
    check(&common, "127.0.0.1", &ours, &format!("{nameless} 127.0.0.1; {belong}"));
    check(&other.issue(&ServerIdentity::CommonName("localhost")), "localhost", &ours, &missing("other CA"));
    check(&other.issue(&ServerIdentity::LOOPBACK), "localhost", &ours, &missing("other CA"));
    check(&issue(ServerIdentity::LOOPBACK), "localhost", &HttpOptions::default(), &missing("own CA"));
    let old = "certificate is of X.509 version 1, and TLS needs version 3; issue it with extensions, such as \
        subjectAltName: openssl x509 -req with -extfile";
    check(&issue(ServerIdentity::Version1), "localhost", &ours, old);
    let own = issue(ServerIdentity::SelfSigned);
    check(&own, "localhost", &ours, &own_issuer);
    check(&own, "localhost", &HttpOptions::default(), &own_issuer);
    let past = issue(ServerIdentity::SelfSignedExpired);
    check(&past, "localhost", &trusting(past.file()), expired);
    let renewed = [Authority::named("renewed"), Authority::named("renewed")];
    let reason = "certificate is not signed by the CA of that name that is trusted here; if the CA was renewed, put \
        its new certificate into SSL_CERT_FILE or the system's store";
    check(&renewed[0].issue(&ServerIdentity::LOOPBACK), "localhost", &trusting(renewed[1].file()), reason);
}

#[test]
fn certificates_that_openssl_takes_are_taken() {
    let authority = Authority::new();
    for identity in [ServerIdentity::SelfSigned, ServerIdentity::SelfSignedCommonName("localhost")] {
        let own = authority.issue(&identity);
        let target = TlsSink::start(&own, Protocols::Tls12And13);
        reached(&target.url("localhost", "/"), &trusting(own.file()));
        let twin = authority.issue(&identity);
        let reason = refused(&target.url("localhost", "/"), &trusting(twin.file()));
        assert!(reason.starts_with("certificate is self-signed or of an unknown issuer"), "{reason}");
    }
    let named = authority.issue(&ServerIdentity::CommonName("LocalHost"));
    let target = TlsSink::start(&named, Protocols::Tls12And13);
    reached(&target.url("localhost", "/"), &trusting(authority.file()));
}

#[test]
fn a_name_in_the_cn_is_held_to_the_constraints_of_its_issuer() {
    let authority = Authority::new();
    let check = |constraints: &str, expected: bool| {
        let certificate = authority.issue_constrained(constraints, "localhost");
        let target = TlsSink::start(&certificate, Protocols::Tls12And13);
        let (url, ours) = (target.url("localhost", "/"), trusting(authority.file()));
        if expected {
            reached(&url, &ours);
        } else {
            let reason = refused(&url, &ours);
            assert!(reason.starts_with("certificate is for no name at all, not localhost"), "{reason}");
        }
    };
    check("permitted;DNS:good.example", false);
    check("excluded;DNS:localhost", false);
    check("permitted;DNS:localhost", true);
    check("permitted;IP:10.0.0.0/255.0.0.0", true);
}

/// A name in the CN counts under a configured CA file, not under the system's store.
#[test]
fn a_name_in_the_cn_counts_only_under_a_configured_ca() {
    let authority = Authority::new();
    let certificate = authority.issue(&ServerIdentity::CommonName("localhost"));
    let chain = osnl_net::tls::certificates_from(&[certificate.file().to_owned()]).unwrap();
    let check = |common_name: CommonName, expected: bool| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let authorities = osnl_net::tls::certificates_from(&[authority.file()]).unwrap();
        let verifier = osnl_net::tls::checked(authorities, common_name, &provider).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let verdict = verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], UnixTime::now());
        assert_eq!(verdict.is_ok(), expected, "{common_name:?}: {verdict:?}");
    };
    check(CommonName::Counts, true);
    check(CommonName::Ignored, false);
}

#[test]
fn ssl_cert_file_and_ssl_cert_dir_name_the_ca() {
    let (authority, other) = (Authority::new(), Authority::new());
    let target = TlsSink::start(&authority.issue(&ServerIdentity::LOOPBACK), Protocols::Tls12And13);
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(authority.file(), folder.path().join("ours.pem")).unwrap();
    std::fs::write(folder.path().join("README"), "no certificate").unwrap();
    let empty = tempfile::tempdir().unwrap();
    let text = |path: PathBuf| path.to_str().unwrap().to_owned();
    let (file, other) = (text(authority.file()), text(other.file()));
    let (folder, empty) = (text(folder.path().into()), text(empty.path().into()));
    let both = format!("{empty}:{folder}");
    for variables in [
        &[("SSL_CERT_FILE", file.as_str())][..],
        &[("SSL_CERT_DIR", &folder)],
        &[("SSL_CERT_DIR", &both)],
        &[("SSL_CERT_DIR", &folder), ("SSL_CERT_FILE", &other)],
        &[("SSL_CERT_DIR", &empty), ("SSL_CERT_FILE", &file)],
    ] {
        reached(&target.url("localhost", "/"), &environment(variables));
    }
    refused(&target.url("localhost", "/"), &environment(&[("SSL_CERT_FILE", &other)]));
}

#[test]
fn ca_certificates_that_are_none_are_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("text"), "no certificate").unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(path("broken"), broken).unwrap();
    std::fs::create_dir(path("empty")).unwrap();
    let check = |name: &str, expected: &str| {
        let error = Attempts::at("https://localhost/", &trusting(path(name))).unwrap_err().to_string();
        let start = format!("CA certificates in {}: {expected}; ", path(name).display());
        assert!(error.starts_with(&start), "{error}\nnot {start}");
        assert!(error.contains("SSL_CERT_FILE") && error.contains("ca-certificates"), "{error}");
        assert!(Attempts::at("http://localhost/", &trusting(path(name))).is_ok(), "{name}");
    };
    check("missing", "No such file or directory (os error 2)");
    check("text", "the file holds no certificate in PEM form");
    check("broken", "there is none");
    check("empty", "there is none");
}

#[test]
fn old_protocols_are_refused_with_the_reason() {
    let old = "the server offers no TLS 1.2 or newer";
    let check = |port: u16, expected: &str| {
        let reason = refused(&format!("https://127.0.0.1:{port}/"), &verifying(Verification::None));
        assert_eq!(reason, expected);
    };
    let authority = Authority::new();
    check(OldServer::start(&authority.issue(&ServerIdentity::LOOPBACK)).port(), old);
    // The answer of a server that is too old for today's negotiation, and chooses TLS 1.1.
    let mut hello = vec![0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0xc0, 0x13, 0]);
    check(answering(&hello), old);
    check(answering(&[0x15, 3, 1, 0, 2, 2, 70]), old);
}

#[test]
fn what_speaks_no_tls_is_refused_with_the_reason() {
    let check = |answer: &[u8], expected: &str| {
        let url = format!("https://127.0.0.1:{}/", answering(answer));
        assert_eq!(refused(&url, &verifying(Verification::None)), expected);
    };
    let plain =
        "what the server sends is not TLS; is this the port of plain HTTP (http:// instead of https://)?";
    check(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", plain);
    let ended =
        "the server ended the connection in the middle of the TLS handshake; does it speak TLS on this port?";
    check(b"", ended);
    check(
        &[0x15, 3, 3, 0, 2, 2, 40],
        "the server finds no cipher suite or kind of key that both sides can use; let the server offer TLS 1.3, or of TLS \
         1.2 ECDHE with AES-GCM or ChaCha20-Poly1305 (ECDHE-RSA-AES256-GCM-SHA384), or show it a client certificate if \
         it asks for one",
    );
    check(&[0x15, 3, 3, 0, 2, 2, 80], "the server refuses the TLS handshake: InternalError");
}

fn answering(bytes: &[u8]) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let bytes = bytes.to_vec();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            // The server reads the whole hello, because closing with unread bytes would reset the connection.
            let _ = stream.read(&mut [0; 16 * 1024]);
            let _ = stream.write_all(&bytes);
        }
    });
    port
}
