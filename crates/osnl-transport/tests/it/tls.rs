use std::path::Path;
use std::time::Duration;

use osnl_model::{Priority, Target, TransportUrl};
use osnl_testkit::{Authority, Broker, Certificate, ServerIdentity};
use osnl_transport::{Declare, ListenOptions, QueueKind, TransportError};

use crate::session::transport;

pub(crate) fn to() -> [(Target, Priority); 1] {
    [(Target::new("neutron", "notifications"), Priority::Info)]
}

pub(crate) fn listen_options() -> ListenOptions {
    ListenOptions::new(Some("osnl"), 10, Declare::Create, QueueKind::OSLO)
}

pub(crate) async fn attempt(url: &str) -> Result<String, TransportError> {
    let transport = transport(&TransportUrl::parse(url).unwrap())?;
    let consumer = transport.listen(&to(), &listen_options()).await?;
    let host = consumer.subscription().host.clone();
    consumer.close().await;
    Ok(host)
}

fn refusal(attempt: Result<String, TransportError>) -> String {
    match attempt {
        Err(error @ TransportError::Tls { .. }) => {
            let line = error.with_own_remedy();
            let (host, reason) = line.split_once(": TLS: ").unwrap();
            assert!(host.starts_with("localhost:") || host.starts_with("127.0.0.1:"), "{host}");
            reason.to_owned()
        }
        other => panic!("no refusal of TLS: {other:?}"),
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn the_certificate_of_a_host_is_the_one_that_it_shows_itself() {
    let (authority, broker) = (Authority::new(), Broker::shared());
    let vhost = broker.vhost("tls-hosts");
    let identities = [ServerIdentity::LOOPBACK, ServerIdentity::Expired];
    let [valid, expired] = identities.map(|one| broker.tls_port(&authority.issue(&one), None));
    let url = format!(
        "rabbit://guest:guest@localhost:{valid},guest:guest@localhost:{expired}/{}?tls=unverified",
        vhost.name()
    );
    let transport = transport(&TransportUrl::parse(&url).unwrap()).unwrap();
    for (port, expected) in [
        (expired, Some(1_706_745_600)),
        (valid, Some(4_733_510_400)),
        (expired, Some(1_706_745_600)),
        (1, None),
    ] {
        let ends = transport.certificate_of(&format!("localhost:{port}"), Duration::from_secs(10)).await;
        assert_eq!(ends, expected, "{port}");
    }
}

#[tokio::test]
async fn a_broker_is_reached_by_tls_and_verified_as_the_options_say() {
    let (ours, other) = (Authority::named("osnl CA"), Authority::new());
    let broker = Broker::shared();
    let vhost = broker.vhost("tls");
    let port = |identity: ServerIdentity| broker.tls_port(&ours.issue(&identity), None);
    let both = port(ServerIdentity::LOOPBACK);
    let named = port(ServerIdentity::For("DNS:rabbit.example.com"));
    let expired = port(ServerIdentity::Expired);
    let (ca, wrong) = (ours.file(), other.file());
    let (ca, wrong) = (text(&ca), text(&wrong));
    let url = |host: &str, port: u16, query: &str| {
        format!("rabbit://guest:guest@{host}:{port}/{}?{query}", vhost.name())
    };

    for (host, port, query) in [
        ("localhost", both, format!("ssl=1&ssl_ca_file={ca}")),
        ("127.0.0.1", both, format!("ssl=True&ssl_ca_file={ca}&ssl_version=TLSv1_2")),
        ("localhost", both, format!("ssl=on&ssl_ca_file={ca}&ssl_version=TLSv1_3")),
        ("localhost", both, format!("ssl=1&ssl_ca_file={ca}&ssl_version=TLSv1")),
        ("localhost", both, "tls=unverified".to_owned()),
        ("localhost", named, "ssl=1&tls=unverified".to_owned()),
        ("localhost", expired, format!("tls=unverified&ssl_ca_file={wrong}")),
    ] {
        let reached = attempt(&url(host, port, &query)).await;
        assert_eq!(reached.unwrap(), format!("{host}:{port}"), "{query}");
    }

    let check = async |port: u16, query: String, expected: &str| {
        assert_eq!(refusal(attempt(&url("localhost", port, &query)).await), expected, "{query}");
    };
    let unknown = "certificate is issued by \"osnl CA\", which is not trusted here, and whose certificate the server does \
        not send; if that is an intermediate CA, let the server send its certificate too (the full chain); else name the \
        CA's certificate in ssl_ca_file";
    check(both, format!("ssl=1&ssl_ca_file={wrong}"), unknown).await;
    let name = "certificate is for rabbit.example.com, not localhost; connect by a name of the certificate, or issue it \
        for localhost";
    check(named, format!("ssl=1&ssl_ca_file={ca}"), name).await;
    check(named, format!("ssl=1&ssl_ca_file={ca}&ssl_enforce_hostname_verification=0"), name).await;
    let date = "certificate expired on 2024-02-01T00:00:00Z; renew it on the server";
    check(expired, format!("ssl=1&ssl_ca_file={ca}"), date).await;
    if osnl_net::tls::system_certificates().is_ok_and(|certificates| !certificates.is_empty()) {
        for query in ["ssl=1", "tls=verify"] {
            check(both, query.to_owned(), unknown).await;
        }
    }

    let two = format!(
        "rabbit://guest:guest@localhost:{named},guest:guest@127.0.0.1:{named}/{}?ssl=1&ssl_ca_file={ca}",
        vhost.name()
    );
    assert!(refusal(attempt(&two).await).starts_with("certificate is for rabbit.example.com, not "));
}

#[tokio::test]
async fn client_certificates_are_shown_where_the_broker_wants_them() {
    let ours = Authority::new();
    let broker = Broker::shared();
    let vhost = broker.vhost("tls-client");
    let port = broker.tls_port(&ours.issue(&ServerIdentity::LOOPBACK), Some(&ours));
    let (mine, stranger) = (ours.issue(&ServerIdentity::CommonName("client")), Authority::new());
    let stranger = stranger.issue(&ServerIdentity::CommonName("client"));
    let url = |more: &str, versions: &str| {
        let ca = ours.file();
        let query = format!("ssl=1&ssl_ca_file={}&ssl_version={versions}{more}", ca.display());
        format!("rabbit://guest:guest@localhost:{port}/{}?{query}", vhost.name())
    };
    let shown = |certificate: &Certificate| {
        let (file, key) = (certificate.file(), certificate.key_file());
        format!("&ssl_cert_file={}&ssl_key_file={}", file.display(), key.display())
    };
    for version in ["TLSv1_2", "TLSv1_3"] {
        attempt(&url(&shown(&mine), version)).await.unwrap();
        // With TLS 1.3 the broker judges after the handshake, and a reset of the connection may lose its alert.
        let ended = "the broker ended the connection right after the handshake; does it ask for a client certificate, \
            or for another one (ssl_cert_file, ssl_key_file)?";
        let check = async |more: &str, expected: &str| {
            let reason = refusal(attempt(&url(more, version)).await);
            assert!(reason == expected || version == "TLSv1_3" && reason == ended, "{version}: {reason}");
        };
        let none = match version {
            "TLSv1_2" => {
                "the server finds no cipher suite or kind of key that both sides can use; let the server offer TLS 1.3, or \
                 of TLS 1.2 ECDHE with AES-GCM or ChaCha20-Poly1305 (ECDHE-RSA-AES256-GCM-SHA384), or show it a client \
                 certificate if it asks for one"
            }
            _ => "the server asks for a client certificate; set ssl_cert_file and ssl_key_file",
        };
        check("", none).await;
        check(&shown(&stranger), "the server refuses the TLS handshake: UnknownCA").await;
    }
    let folder = tempfile::tempdir().unwrap();
    let one = folder.path().join("both.pem");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    std::fs::write(&one, read(mine.file()) + &read(mine.key_file())).unwrap();
    attempt(&url(&format!("&ssl_cert_file={}", one.display()), "")).await.unwrap();
}

#[tokio::test]
async fn a_port_of_the_other_kind_is_named() {
    let broker = Broker::shared();
    let port = broker.tls_port(&Authority::new().issue(&ServerIdentity::LOOPBACK), None);
    let reason = refusal(attempt(&format!("rabbit://guest:guest@127.0.0.1:{}/?ssl=1", broker.port())).await);
    assert_eq!(
        reason,
        "what the server sends is not TLS; is this the broker's port without TLS (usually 5672; TLS is on 5671)?"
    );
    // The reset may arrive before, during or after the first write.
    for _ in 0..30 {
        let error =
            attempt(&format!("rabbit://guest:guest@127.0.0.1:{port}/")).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("127.0.0.1:{port}: the broker ")), "{error}");
        assert!(error.contains("set ssl = true"), "{error}");
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_an_error_before_anything_is_connected() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let authority = Authority::new();
    let (certificate, other) =
        (authority.issue(&ServerIdentity::LOOPBACK), authority.issue(&ServerIdentity::LOOPBACK));
    std::fs::write(path("text"), "SECRET TEXT").unwrap();
    let (good, key) = (text(certificate.file()), text(other.key_file()));
    let check = |query: &str, expected: &str| {
        let url = TransportUrl::parse(&format!("rabbit://u:hunter2@h/?ssl=1&{query}")).unwrap();
        let error = match transport(&url) {
            Err(error) => error,
            Ok(_) => panic!("accepted: {query}"),
        };
        assert!(!error.is_recoverable());
        let error = format!("{error} {error:?}");
        assert!(error.contains(expected), "{error}\nnot {expected}");
        assert!(!error.contains("SECRET") && !error.contains("hunter2"), "{error}");
    };
    let missing = path("missing");
    check(&format!("ssl_ca_file={missing}"), &format!("ssl_ca_file {missing}: No such file or directory"));
    check(&format!("ssl_ca_file={}", path("text")), "the file holds no certificate in PEM form");
    for heading in ["TRUSTED CERTIFICATE", "X509 CERTIFICATE"] {
        let good = std::fs::read_to_string(good).unwrap();
        std::fs::write(path("other"), good.clone() + &good.replace(" CERTIFICATE", &format!(" {heading}")))
            .unwrap();
        let expected = format!(
            "ssl_ca_file {0}: the heading {heading} is not read, only CERTIFICATE; to convert the file: openssl storeutl \
             -certs -out NEW.pem {0}",
            path("other")
        );
        check(&format!("ssl_ca_file={}", path("other")), &expected);
    }
    check(&format!("ssl_cert_file={missing}"), "ssl_cert_file or ssl_key_file ");
    check(&format!("ssl_cert_file={good}"), "no private key in PEM form that needs no passphrase");
    check(&format!("ssl_cert_file={good}&ssl_key_file={}", path("text")), "no private key in PEM form");
    check(
        &format!("ssl_cert_file={good}&ssl_key_file={key}"),
        "ssl_cert_file and ssl_key_file: certificate and key do not fit",
    );
    let short = authority.issue(&ServerIdentity::ShortKey);
    check(
        &format!("ssl_cert_file={}&ssl_key_file={}", text(short.file()), text(short.key_file())),
        "the private key is of a kind or a length that TLS cannot use here; issue the certificate for an RSA key of 2048",
    );
    check(&format!("ssl_key_file={key}"), "a key needs its certificate");
}
