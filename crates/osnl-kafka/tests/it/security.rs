use std::path::Path;

use osnl_kafka::{KafkaOptions, KafkaTransport};
use osnl_model::TransportUrl;
use osnl_testkit::{Authority, KafkaCluster as _, KafkaFront, KafkaLogin, ServerIdentity};
use osnl_transport::{Declare, Transport as _, TransportError};

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

async fn refused(transport: &KafkaTransport) -> (TransportError, String) {
    let options = options(GROUP, 10, Declare::Create);
    let error = within(transport.listen(&neutron(), &options)).await.err().unwrap();
    assert!(error.is_recoverable() && error.is_unreachable(), "{error:?}");
    let remedy = transport.remedy(&error, &neutron(), &options).map(String::from).unwrap_or_default();
    (error, remedy)
}

async fn works(mock: &Mock, transport: &KafkaTransport, group: &str) {
    let mut member = Member::join(transport, group, 10).await;
    mock.publish(TOPIC, "first");
    let [(target, priority)] = neutron();
    let message = osnl_transport::OutgoingMessage::json("second".to_owned());
    within(transport.send(&target, &priority, message)).await.unwrap();
    let taken = member.take(2).await;
    assert_eq!(texts(&taken), ["first", "second"]);
    member.finish(taken).await;
    member.leave().await;
    let (_, committed, _, end) = mock.committed(group, TOPIC).remove(0);
    assert_eq!(committed, Some(end));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_and_go_over_tls() {
    let (mock, authority) = (mock(), Authority::new());
    let front = KafkaFront::tls(&mock, &authority.issue(&ServerIdentity::LOOPBACK));
    works(&mock, &transport("", &front.address(), &tls(&authority.file(), "")), GROUP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_client_is_shown_and_its_absence_is_told() {
    let (mock, authority) = (mock(), Authority::new());
    let front = KafkaFront::tls_asking(&mock, &authority.issue(&ServerIdentity::LOOPBACK), &authority);
    let (error, remedy) = refused(&transport("", &front.address(), &tls(&authority.file(), ""))).await;
    assert!(matches!(&error, TransportError::Tls { .. }), "{error:?}");
    assert!(remedy.contains("ssl_client_cert_file"), "{error}: {remedy}");
    let own = authority.issue(&ServerIdentity::LOOPBACK);
    let files = format!(
        "&ssl_client_cert_file={}&ssl_client_key_file={}",
        own.file().display(),
        own.key_file().display()
    );
    works(&mock, &transport("", &front.address(), &tls(&authority.file(), &files)), GROUP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_certificate_is_told_with_its_reason_and_its_remedy() {
    let (mock, authority, other) = (mock(), Authority::new(), Authority::new());
    for (identity, trusted, reason, remedy) in [
        (ServerIdentity::LOOPBACK, &other, "not trusted", "name the CA's certificate in ssl_cafile"),
        (ServerIdentity::For("DNS:mq9.example"), &authority, "mq9.example", ""),
        (ServerIdentity::Expired, &authority, "expired", ""),
    ] {
        let front = KafkaFront::tls(&mock, &authority.issue(&identity));
        let address = front.address().replace(
            "127.0.0.1",
            if identity == ServerIdentity::Expired { "localhost" } else { "127.0.0.1" },
        );
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
    let (error, remedy) = refused(&transport("", mock.address(), &tls(&authority.file(), ""))).await;
    assert!(remedy.contains("security_protocol to PLAINTEXT"), "{error}: {remedy}");
    let front = KafkaFront::tls(&mock, &authority.issue(&ServerIdentity::LOOPBACK));
    for (login, protocol, with) in
        [("", "PLAINTEXT", "SSL, or SASL_SSL with a login,"), ("u:p@", "SASL_PLAINTEXT", "SASL_SSL,")]
    {
        let query = format!("security_protocol={protocol}");
        let (error, remedy) = refused(&transport(login, &front.address(), &query)).await;
        assert!(matches!(&error, TransportError::Tls { host, .. } if *host == front.address()), "{error:?}");
        assert!(error.to_string().contains("the broker speaks TLS on this port"), "{error}");
        assert!(remedy.starts_with(&format!("set security_protocol to {with}")), "{remedy}");
    }
}

fn login(mechanism: &'static str) -> KafkaLogin {
    KafkaLogin { mechanism, user: "osnl", password: "hunter2" }
}

const MECHANISMS: [(&str, bool); 4] =
    [("PLAIN", true), ("SCRAM-SHA-256", false), ("SCRAM-SHA-512", false), ("SCRAM-SHA-512", true)];

#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_the_right_password_works_with_and_without_tls() {
    let (mock, authority) = (mock(), Authority::new());
    let certificate = authority.issue(&ServerIdentity::LOOPBACK);
    for (mechanism, is_encrypted) in MECHANISMS {
        let front = KafkaFront::login(&mock, is_encrypted.then_some(&certificate), login(mechanism));
        let ca = format!("SASL_SSL&ssl_cafile={}", authority.file().display());
        let protocol = if is_encrypted { &ca } else { "SASL_PLAINTEXT" };
        let query = format!("security_protocol={protocol}&sasl_mechanism={mechanism}");
        let group = format!("{mechanism}-{is_encrypted}");
        works(&mock, &transport("osnl:hunter2@", &front.address(), &query), &group).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_mechanism_that_is_not_there_are_told_without_the_password() {
    let mock = mock();
    for (there, asked, reason) in [
        ("PLAIN", "PLAIN", "Invalid username or password"),
        ("SCRAM-SHA-256", "SCRAM-SHA-256", "invalid credentials with SASL mechanism SCRAM-SHA-256"),
        ("SCRAM-SHA-512", "SCRAM-SHA-512", "invalid credentials with SASL mechanism SCRAM-SHA-512"),
        ("PLAIN", "SCRAM-SHA-512", "SCRAM-SHA-512"),
        ("SCRAM-SHA-256", "PLAIN", "broker's supported mechanisms: SCRAM-SHA-256"),
        ("SCRAM-SHA-256", "SCRAM-SHA-512", "broker's supported mechanisms: SCRAM-SHA-256"),
    ] {
        let front = KafkaFront::login(&mock, None, login(there));
        let query = format!("security_protocol=SASL_PLAINTEXT&sasl_mechanism={asked}");
        let (error, remedy) = refused(&transport("osnl:hunter3@", &front.address(), &query)).await;
        assert!(matches!(&error, TransportError::LoginRefused { user, .. } if user == "osnl"), "{error:?}");
        assert!(error.to_string().contains(reason) && !format!("{error:?}").contains("hunter"), "{error:?}");
        assert!(remedy.contains("sasl_mechanism"), "{remedy}");
    }
}
