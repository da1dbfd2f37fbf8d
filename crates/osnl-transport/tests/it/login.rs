use osnl_model::TransportUrl;
use osnl_testkit::{Authority, Broker, ServerIdentity};
use osnl_transport::TransportError;

use crate::session::transport;
use crate::tls::attempt;

#[tokio::test]
async fn passwords_go_by_either_mechanism_and_are_never_repeated() {
    let vhost = Broker::shared().vhost("login");
    for method in ["", "?rabbit_login_method=PLAIN", "?rabbit_login_method=amqplain"] {
        attempt(&format!("{}{method}", vhost.url())).await.unwrap();
        let wrong = vhost.url().replace(":guest@", ":hunter2@");
        let error = attempt(&format!("{wrong}{method}")).await.unwrap_err();
        assert!(matches!(error, TransportError::LoginRefused { .. }), "{method}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        let folded = TransportUrl::parse(&format!("{wrong}{method}")).unwrap().with_folded_dollars(true);
        assert!(!error.to_string().contains("$$"), "{error}");
        let error =
            transport(&folded).unwrap().listen(&crate::tls::to(), &crate::tls::listen_options()).await.err();
        let error = error.expect("a refusal");
        assert!(error.to_string().ends_with("if the password has two, write $$$$"), "{error}");
        assert!(
            error.to_string().contains("login refused for user \"guest\": 403 ACCESS_REFUSED"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_client_certificate_is_a_login() {
    let ours = Authority::new();
    let broker = Broker::start();
    let port = broker.tls_port(&ours.issue(&ServerIdentity::LOOPBACK), Some(&ours));
    let ca = ours.file();
    let url = |name: &'static str| {
        let certificate = ours.issue(&ServerIdentity::CommonName(name));
        let (file, key) = (certificate.file().display(), certificate.key_file().display());
        let query = format!("ssl=1&ssl_ca_file={}&ssl_cert_file={file}&ssl_key_file={key}", ca.display());
        format!("rabbit://localhost:{port}/?{query}&rabbit_login_method=EXTERNAL")
    };
    let error = attempt(&url("osnl-client")).await.unwrap_err().to_string();
    let (_, offered) = error.split_once("offers the login mechanism ").unwrap_or_default();
    let (offered, _) = offered.split_once(", and not EXTERNAL").unwrap_or_default();
    // RabbitMQ 4.3 also offers ANONYMOUS.
    let offered: Vec<&str> = offered.split(", ").collect();
    assert!(["AMQPLAIN", "PLAIN"].iter().all(|name| offered.contains(name)), "{error}");
    broker.offer_external("osnl-client");
    attempt(&url("osnl-client")).await.unwrap();
    let error = attempt(&url("somebody")).await.unwrap_err();
    assert!(matches!(error, TransportError::LoginRefused { .. }), "{error:?}");
}
