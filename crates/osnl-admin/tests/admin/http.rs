use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use osnl_testkit::{Authority, ServerIdentity};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::client::{RunningEndpoint, ask_on, conf, try_ask_on};

const TOKEN: &str = "0123456789abcdef-secret";
const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn on_loopback_health_and_metrics_are_open_and_deliveries_are_not() {
    let running = RunningEndpoint::start("listen = 127.0.0.1:0").await;
    let (status, answer) = running.get("/livez").await;
    assert_eq!(status, 200);
    assert!(answer.ends_with("\r\n\r\nok\n") && answer.contains("cache-control: no-store"), "{answer}");
    let (status, answer) = running.get("/readyz").await;
    assert!(status == 503 && answer.contains(r#""ready":false"#) && answer.contains("listeners"), "{answer}");
    let (status, answer) = running.get("/metrics").await;
    assert!(status == 200 && answer.contains("text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("\nosnl_build_info{version="), "{answer}");
    let (_, answer) = running.ask("GET", "/metrics", "Accept: application/openmetrics-text\r\n", "").await;
    assert!(answer.contains("application/openmetrics-text") && answer.ends_with("# EOF\n"), "{answer}");
    for (method, path, expected, words) in [
        ("GET", "/api/v1/status", 403, "need a token"),
        ("POST", "/api/v1/reload", 403, "need a token"),
        ("GET", "/api/v1/nothing", 404, "openapi.json"),
        ("GET", "/", 403, "need a token"),
        ("GET", "/favicon.ico", 404, "/metrics"),
        ("GET", "/api/v2/status", 404, "not-found"),
        ("POST", "/metrics", 405, "allow: GET, HEAD"),
        ("DELETE", "/api/v1/deliveries", 405, "allow: GET, HEAD"),
        ("OPTIONS", "/api/v1/reload", 405, "allow: POST"),
        ("HEAD", "/api/v1/status", 403, ""),
    ] {
        let (status, answer) = running.ask(method, path, JSON, "").await;
        assert!(status == expected && answer.contains(words), "{method} {path}: {answer}");
    }
    running.end().await;
}

#[tokio::test]
async fn a_page_whose_name_leads_here_is_refused() {
    let running = RunningEndpoint::start("listen = 127.0.0.1:0\nhost_names = osnl.example.com").await;
    for (head, expected) in [
        ("Host: evil.example.com:9464\r\n", 421),
        ("Host: osnl.example.com\r\n", 200),
        ("Host: localhost:9464\r\n", 200),
        ("Host: localhost\r\nHost: evil.example.com\r\n", 421),
    ] {
        let (status, answer) = running.ask("GET", "/livez", head, "").await;
        assert_eq!(status, expected, "{head}: {answer}");
    }
    running.end().await;
}

#[tokio::test]
async fn answers_to_wrong_tokens_wait_and_a_right_one_does_not() {
    let running = Arc::new(RunningEndpoint::start(&format!("listen = 127.0.0.1:0\ntoken = {TOKEN}")).await);
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let form = "Content-Type: application/x-www-form-urlencoded\r\n".to_owned();
    // Each answer to a wrong token takes half a second, one after the other.
    let longest = Duration::from_secs(6);
    let begun = Instant::now();
    let mut wrong = JoinSet::new();
    let guesses = [
        ("GET", "/metrics", bearer("wrong"), "", 401),
        ("GET", "/readyz", bearer("wrong"), "", 503),
        ("GET", "/", bearer("wrong"), "", 303),
        ("POST", "/login", form, "token=wrong", 403),
    ];
    for (method, path, head, body, expected) in std::iter::repeat_n(guesses, 3).flatten() {
        let running = running.clone();
        wrong.spawn(async move { (running.ask(method, path, &head, body).await.0, expected) });
    }
    for _ in 0..20 {
        assert_eq!(running.ask("GET", "/api/v1/status", &bearer(TOKEN), "").await.0, 200);
    }
    assert!(begun.elapsed() < longest, "{:?}", begun.elapsed());
    while let Some(answered) = wrong.join_next().await {
        let (status, expected) = answered.unwrap();
        assert_eq!(status, expected);
    }
    assert!(begun.elapsed() >= longest, "{:?}", begun.elapsed());
    Arc::into_inner(running).unwrap().end().await;
}

#[tokio::test]
async fn a_token_opens_what_it_guards_and_appears_nowhere() {
    let running = RunningEndpoint::start(&format!("listen = 127.0.0.1:0\ntoken = {TOKEN}")).await;
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n{JSON}");
    for (path, head, expected) in [
        ("/livez", String::new(), 200),
        ("/metrics", String::new(), 401),
        ("/metrics", bearer("0123456789abcdef-secreT"), 401),
        ("/metrics", bearer(""), 401),
        ("/metrics", format!("Authorization: Basic {TOKEN}\r\n"), 401),
        ("/metrics", format!("{0}Authorization: Bearer {TOKEN}\r\n", bearer(TOKEN)), 401),
        ("/metrics", bearer(TOKEN), 200),
        ("/metrics", format!("authorization: bearer {TOKEN}\r\n"), 200),
        ("/api/v1/status", bearer(TOKEN), 200),
        ("/api/v1/status", String::new(), 401),
        ("/api/v1/openapi.json", bearer(TOKEN), 200),
    ] {
        let (status, answer) = running.ask("GET", path, &head, "").await;
        assert_eq!(status, expected, "{path} {head}: {answer}");
        assert!(!answer.contains(TOKEN), "{answer}");
    }
    // Readiness is public; the reasons need the token.
    let (_, answer) = running.get("/readyz").await;
    assert!(answer.ends_with("{\"ready\":false}\n"), "{answer}");
    let (_, answer) = running.ask("GET", "/readyz", &bearer(TOKEN), "").await;
    assert!(answer.contains("incidents"), "{answer}");
    let (status, answer) = running.ask("POST", "/api/v1/reload", &bearer(TOKEN), "").await;
    assert!(status == 403 && answer.contains("allow_changes"), "{answer}");
    running.end().await;
}

#[tokio::test]
async fn changes_need_json_and_are_refused_in_words() {
    let running =
        RunningEndpoint::start(&format!("listen = 127.0.0.1:0\ntoken = {TOKEN}\nallow_changes = yes")).await;
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let json = format!("{bearer}{JSON}");
    for (head, path, body, expected, words) in [
        (&bearer, "/api/v1/reload", "{}", 415, "application/json"),
        (&json, "/api/v1/deliveries/retry", "{}", 400, "filter is missing"),
        (
            &json,
            "/api/v1/deliveries/retry",
            r#"{"filter": {"state": []}}"#,
            400,
            "filter.state is not a member",
        ),
        (&json, "/api/v1/deliveries/retry", r#"{"filter": {}}"#, 501, "memory"),
        (&json, "/api/v1/deliveries/retry", r#"{"filter": {"action": "a"}}"#, 404, "there is no action a"),
        (&json, "/api/v1/actions/nobody/pause", "", 404, "nobody"),
        (&json, "/api/v1/actions/nobody/probe", "", 404, "nobody"),
    ] {
        let (status, answer) = running.ask("POST", path, head, body).await;
        assert!(status == expected && answer.contains(words), "{path} {body}: {answer}");
    }
    let (status, answer) = running.ask("GET", "/api/v1/deliveries", &json, r#"{"filter": {}}"#).await;
    assert!(status == 400 && answer.contains("its options are in the query"), "{answer}");
    running.end().await;
}

#[tokio::test]
async fn a_unix_socket_belongs_to_its_user_and_knows_its_callers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let conf = conf(&format!("listen = unix:{}", path.display()));
    let running = RunningEndpoint::try_start(&conf).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let stream = UnixStream::connect(&path).await.unwrap();
    let (status, answer) = ask_on(stream, "anything", "GET", "/api/v1/status", "", "").await;
    assert!(status == 200 && answer.contains(r#""running":true"#), "{answer}");
    let error = RunningEndpoint::try_start(&conf).await.err().unwrap().to_string();
    assert!(error.contains("name another address"), "{error}");
    running.end().await;
    assert!(!path.exists());
    std::fs::write(&path, "mine").unwrap();
    let error = RunningEndpoint::try_start(&conf).await.err().unwrap().to_string();
    assert!(error.contains("exists and is not a socket"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

/// Connects as a user who is neither root nor the daemon's.
fn connect_as_stranger(path: &Path) -> UnixStream {
    let path = path.to_owned();
    let connecting = std::thread::spawn(move || {
        let stranger = Uid::from_raw(65534);
        // The user of this thread alone.
        set_thread_res_uid(stranger, stranger, stranger).expect("only root can become another user");
        std::os::unix::net::UnixStream::connect(path).unwrap()
    });
    let stream = connecting.join().unwrap();
    stream.set_nonblocking(true).unwrap();
    UnixStream::from_std(stream).unwrap()
}

/// A mode that a person or another program has opened is no right.
#[tokio::test]
async fn a_stranger_reads_nothing_though_the_mode_of_the_admin_socket_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
    let path = folder.path().join("admin.sock");
    let token = &*format!("token = {TOKEN}\n");
    let given = &*format!("Authorization: Bearer {TOKEN}\r\n");
    for (more, head, expected) in [("", "", 403), ("", given, 403), (token, "", 401), (token, given, 200)] {
        let lines = format!("listen = unix:{}\n{more}", path.display());
        let running = RunningEndpoint::try_start(&conf(&lines)).await.unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        for asked in ["/api/v1/status", "/metrics"] {
            let stream = connect_as_stranger(&path);
            let (status, answer) = ask_on(stream, "anything", "GET", asked, head, "").await;
            assert_eq!(status, expected, "{more}{asked}: {answer}");
            assert_eq!(answer.contains("set token in [admin]"), expected == 403, "{answer}");
        }
        for asked in ["/livez", "/readyz"] {
            let stream = connect_as_stranger(&path);
            let (status, answer) = ask_on(stream, "anything", "GET", asked, head, "").await;
            assert!([200, 503].contains(&status), "{more}{asked}: {answer}");
            assert!(expected == 200 || !answer.contains("listeners"), "{more}{asked}: {answer}");
        }
        running.end().await;
    }
}

#[tokio::test]
async fn clients_show_a_certificate_and_a_renewed_one_of_ours_needs_no_restart() {
    let (ours, theirs) = (Authority::new(), Authority::named("clients"));
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    let renew = || {
        let issued = ours.issue(&ServerIdentity::LOOPBACK);
        std::fs::copy(issued.file(), &certificate).unwrap();
        std::fs::copy(issued.key_file(), &key).unwrap();
    };
    renew();
    let lines = format!(
        "listen = 127.0.0.1:0\ntls_certificate = {}\ntls_key = {}\nclient_ca_file = {}",
        certificate.display(),
        key.display(),
        theirs.file().display()
    );
    let running = RunningEndpoint::start(&lines).await;
    let client = theirs.issue(&ServerIdentity::LOOPBACK);
    let other = ours.issue(&ServerIdentity::LOOPBACK);
    let ask = async |identity: Option<&osnl_testkit::Certificate>| {
        let connector = TlsConnector::from(Arc::new(client_config(&ours, identity)));
        let tcp = TcpStream::connect(running.address).await.unwrap();
        let stream = connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.ok()?;
        let serial = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        // With TLS 1.3 a client learns of a refusal when it reads.
        let asked = try_ask_on(stream, "localhost", "GET", "/api/v1/status", "", "").await;
        asked.map(|(status, _)| (status, serial))
    };
    let (status, first) = ask(Some(&client)).await.unwrap();
    assert_eq!(status, 200);
    assert!(ask(None).await.is_none());
    assert!(ask(Some(&other)).await.is_none());
    renew();
    let (status, second) = ask(Some(&client)).await.unwrap();
    assert!(status == 200 && first != second);
    running.end().await;
}

fn client_config(ours: &Authority, identity: Option<&osnl_testkit::Certificate>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ours.file()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = vec![CertificateDer::from_pem_file(identity.file()).unwrap()];
            let key = PrivateKeyDer::from_pem_file(identity.key_file()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}
