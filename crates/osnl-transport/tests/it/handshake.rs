use osnl_model::{Priority, Target, TransportUrl};
use osnl_testkit::amqp::protocol::{AMQPClass, connection as conn};
use osnl_testkit::amqp::{HandshakeOffer, ScriptedServer};
use osnl_transport::{Declare, ListenOptions, QueueKind, TransportError};

use crate::session::transport;

fn server(offer: HandshakeOffer) -> ScriptedServer {
    ScriptedServer::offering(offer, |_, _, _| false, |_| {})
}

async fn listen(server: &ScriptedServer, query: &str) -> Result<(), TransportError> {
    let url = TransportUrl::parse(&format!("{}{query}", server.url())).unwrap();
    let to = [(Target::new("neutron", "notifications"), Priority::Info)];
    let options = ListenOptions::new(Some("p"), 10, Declare::Create, QueueKind::OSLO);
    transport(&url)?.listen(&to, &options).await.map(drop)
}

fn login(server: &ScriptedServer) -> Option<(String, Vec<u8>)> {
    server.agreed().into_iter().find_map(|method| match method {
        AMQPClass::Connection(conn::AMQPMethod::StartOk(ok)) => {
            Some((ok.mechanism.to_string(), ok.response.as_bytes().to_vec()))
        }
        _ => None,
    })
}

#[tokio::test]
async fn the_login_goes_by_a_mechanism_that_the_broker_offers_or_not_at_all() {
    let plain = b"\0u\0p".to_vec();
    let amqplain = b"\x05LOGINS\0\0\0\x01u\x08PASSWORDS\0\0\0\x01p".to_vec();
    for (mechanisms, query, expected) in [
        ("PLAIN AMQPLAIN", "", Ok(("AMQPLAIN", &amqplain))),
        ("PLAIN", "", Ok(("PLAIN", &plain))),
        ("AMQPLAIN", "", Ok(("AMQPLAIN", &amqplain))),
        ("PLAIN AMQPLAIN", "?rabbit_login_method=PLAIN", Ok(("PLAIN", &plain))),
        ("PLAIN", "?rabbit_login_method=AMQPLAIN", Err("rabbit_login_method = PLAIN")),
        ("AMQPLAIN", "?rabbit_login_method=PLAIN", Err("rabbit_login_method = AMQPLAIN")),
        ("EXTERNAL", "", Err("rabbit_login_method = EXTERNAL")),
        ("SCRAM-SHA-256", "", Err("let the broker offer PLAIN")),
    ] {
        let server = server(HandshakeOffer { mechanisms, ..HandshakeOffer::default() });
        let listened = listen(&server, query).await;
        match (expected, listened) {
            (Ok((mechanism, response)), Ok(())) => {
                assert_eq!(
                    login(&server),
                    Some((mechanism.to_owned(), response.clone())),
                    "{mechanisms} {query}"
                );
            }
            (Err(remedy), Err(error)) => {
                let found = error.remedy("/", |_| String::new()).map(String::from).unwrap_or_default();
                assert!(found.contains(remedy), "{mechanisms} {query}: {error}; {found}");
                assert!(error.to_string().contains(mechanisms), "{error}");
                assert_eq!(login(&server), None, "no password goes out: {mechanisms} {query}");
            }
            (expected, listened) => panic!("{mechanisms} {query}: {listened:?}, not {expected:?}"),
        }
    }
    let other = server(HandshakeOffer { locales: "de_DE", ..HandshakeOffer::default() });
    let error = listen(&other, "").await.unwrap_err();
    assert!(error.to_string().contains("the locale de_DE, and not en_US"), "{error}");
}

#[tokio::test]
async fn what_is_agreed_on_is_at_most_what_the_broker_offers() {
    const LARGEST: u32 = 131_072;
    for (offer, heartbeat, expected) in [
        ((2047, LARGEST, 60), 60, Ok((2047, 60))),
        ((2047, LARGEST, 3), 60, Ok((2047, 3))),
        ((2047, LARGEST, 60), 10, Ok((2047, 10))),
        ((2047, LARGEST, 0), 10, Ok((2047, 10))),
        ((2047, LARGEST, 60), 0, Ok((2047, 0))),
        ((0, LARGEST, 60), 60, Ok((u16::MAX, 60))),
        ((3, 8192, 60), 60, Ok((3, 60))),
        ((2047, 4096, 60), 60, Ok((2047, 60))),
        ((1, LARGEST, 60), 60, Err("channel_max in rabbitmq.conf")),
        ((2, LARGEST, 60), 60, Err("channel_max in rabbitmq.conf")),
        ((2047, 1024, 60), 60, Err("frame_max in rabbitmq.conf")),
    ] {
        let server = server(HandshakeOffer { tune: offer, ..HandshakeOffer::default() });
        let listened = listen(&server, &format!("?heartbeat_timeout_threshold={heartbeat}")).await;
        match (expected, listened) {
            (Ok((channels, beats)), Ok(())) => {
                let tuned = server.agreed().into_iter().find_map(|method| match method {
                    AMQPClass::Connection(conn::AMQPMethod::TuneOk(ok)) => Some(ok),
                    _ => None,
                });
                let tuned = tuned.unwrap();
                assert_eq!((tuned.channel_max, tuned.heartbeat), (channels, beats), "{offer:?} {heartbeat}");
                assert!(tuned.frame_max <= offer.1 && tuned.frame_max >= 4096, "{offer:?}: {tuned:?}");
            }
            (Err(remedy), Err(error)) => {
                let found = error.remedy("/", |_| String::new()).map(String::from).unwrap_or_default();
                assert!(found.contains(remedy), "{offer:?}: {error}; {found}");
            }
            (expected, listened) => panic!("{offer:?} {heartbeat}: {listened:?}, not {expected:?}"),
        }
    }
}
