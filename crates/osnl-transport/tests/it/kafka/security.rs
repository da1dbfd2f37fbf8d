//! TLS and logins, by a front before the mock cluster: what is refused, and why.

use std::path::Path;

use osnl_model::TransportUrl;
use osnl_testkit::{Authority, Identity, KafkaFront};
use osnl_transport::{Declare, KafkaOptions, KafkaTransport, Transport as _, TransportError};

use super::member::{Member, neutron, options, texts, within};
use super::rig::{Mock, TOPIC};

const GROUP: &str = "osnl";

fn mock() -> Mock {
    let mock = Mock::new();
    mock.create_topic(TOPIC, 1);
    mock
}

fn transport(login: &str, address: &str, query: &str) -> KafkaTransport {
    let url = TransportUrl::parse(&format!("kafka://{login}{address}/?{query}")).unwrap();
    KafkaTransport::new(&url, KafkaOptions::from_query(&url).unwrap()).unwrap()
}

fn tls(ca: &Path, more: &str) -> String {
    format!("security_protocol=SSL&ssl_cafile={}{more}", ca.display())
}

/// The error of an attempt to listen, and its remedy.
async fn refused(transport: &KafkaTransport) -> (TransportError, String) {
    let options = options(GROUP, 10, Declare::Create);
    let error = within(transport.listen(&neutron(), &options)).await.err().unwrap();
    assert!(error.is_recoverable() && error.is_unreachable(), "{error:?}");
    let remedy = transport.remedy(&error, &neutron(), &options).unwrap_or_default();
    (error, remedy)
}

/// Asserts that messages are published and read by way of the front.
async fn works(mock: &Mock, transport: &KafkaTransport) {
    let mut member = Member::join(transport, GROUP, 10).await;
    mock.publish(TOPIC, "first");
    let [(target, priority)] = neutron();
    let message = osnl_transport::OutgoingMessage::json("second".to_owned());
    within(transport.send(&target, &priority, message)).await.unwrap();
    let taken = member.take(2).await;
    assert_eq!(texts(&taken), ["first", "second"]);
    member.finish(taken).await;
    member.leave().await;
    assert_eq!(mock.committed(GROUP, TOPIC)[0].1, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_and_go_over_tls() {
    let (mock, authority) = (mock(), Authority::new());
    let front = KafkaFront::tls(&mock, &authority.issue(&Identity::LOOPBACK));
    works(&mock, &transport("", &front.address(), &tls(&authority.file(), ""))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_client_is_shown_and_its_absence_is_told() {
    let (mock, authority) = (mock(), Authority::new());
    let front = KafkaFront::tls_asking(&mock, &authority.issue(&Identity::LOOPBACK), &authority);
    let (error, remedy) = refused(&transport("", &front.address(), &tls(&authority.file(), ""))).await;
    assert!(matches!(&error, TransportError::Tls { .. }), "{error:?}");
    assert!(remedy.contains("ssl_client_cert_file"), "{error}: {remedy}");
    let own = authority.issue(&Identity::LOOPBACK);
    let files = format!(
        "&ssl_client_cert_file={}&ssl_client_key_file={}",
        own.file().display(),
        own.key_file().display()
    );
    works(&mock, &transport("", &front.address(), &tls(&authority.file(), &files))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_certificate_is_told_with_its_reason_and_its_remedy() {
    let (mock, authority, other) = (mock(), Authority::new(), Authority::new());
    for (identity, trusted, reason, remedy) in [
        (Identity::LOOPBACK, &other, "unknown", "put the CA's certificate into ssl_cafile"),
        (Identity::For("DNS:mq9.example"), &authority, "mq9.example", ""),
        (Identity::Expired, &authority, "expired", ""),
    ] {
        let front = KafkaFront::tls(&mock, &authority.issue(&identity));
        let address = front
            .address()
            .replace("127.0.0.1", if identity == Identity::Expired { "localhost" } else { "127.0.0.1" });
        let (error, found) = refused(&transport("", &address, &tls(&trusted.file(), ""))).await;
        assert!(matches!(&error, TransportError::Tls { .. }), "{identity:?}: {error:?}");
        assert!(
            error.to_string().contains(reason) && found.contains(remedy),
            "{identity:?}: {error}: {found}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_with_or_without_tls_that_should_be_the_other_is_told() {
    let (mock, authority) = (mock(), Authority::new());
    let (error, remedy) = refused(&transport("", &mock.address(), &tls(&authority.file(), ""))).await;
    assert!(remedy.contains("security_protocol to PLAINTEXT"), "{error}: {remedy}");
    let front = KafkaFront::tls(&mock, &authority.issue(&Identity::LOOPBACK));
    let (error, _) = refused(&transport("", &front.address(), "security_protocol=PLAINTEXT")).await;
    assert!(error.to_string().contains("security_protocol"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_the_right_password_works_with_and_without_tls() {
    let (mock, authority) = (mock(), Authority::new());
    let front = KafkaFront::login(&mock, Some(&authority.issue(&Identity::LOOPBACK)), "osnl", "hunter2");
    let query = format!("security_protocol=SASL_SSL&ssl_cafile={}", authority.file().display());
    works(&mock, &transport("osnl:hunter2@", &front.address(), &query)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_mechanism_that_is_not_there_are_told_without_the_password() {
    let mock = mock();
    let front = KafkaFront::login(&mock, None, "osnl", "hunter2");
    for (mechanism, reason) in [("PLAIN", "Invalid username or password"), ("SCRAM-SHA-512", "SCRAM-SHA-512")]
    {
        let query = format!("security_protocol=SASL_PLAINTEXT&sasl_mechanism={mechanism}");
        let (error, remedy) = refused(&transport("osnl:hunter3@", &front.address(), &query)).await;
        assert!(matches!(&error, TransportError::LoginRefused { user, .. } if user == "osnl"), "{error:?}");
        assert!(error.to_string().contains(reason) && !format!("{error:?}").contains("hunter"), "{error:?}");
        assert!(remedy.contains("sasl_mechanism"), "{remedy}");
    }
}
