use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use osnl_model::TransportUrl;
use osnl_testkit::{Authority, Broker, ServerIdentity, wait_until};
use osnl_transport::{Batch, TransportError};

use crate::session::{SOON, transport};
use crate::tls::{listen_options, to};

/// A stopped cable passes nothing and closes nothing, as a pulled one.
struct Cable {
    port: u16,
    pulled: Arc<AtomicBool>,
}

impl Cable {
    fn to(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let pulled = Arc::new(AtomicBool::new(false));
        let flag = pulled.clone();
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let far = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).unwrap();
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let flag = flag.clone();
                    std::thread::spawn(move || carry(from, to, &flag));
                }
            }
        });
        Self { port, pulled }
    }

    fn pull(&self) {
        self.pulled.store(true, Ordering::SeqCst);
    }
}

/// Forwards bytes. After the pull it swallows bytes, so that neither side notices by its buffers.
fn carry(mut from: TcpStream, mut to: TcpStream, pulled: &AtomicBool) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        if !pulled.load(Ordering::SeqCst) && to.write_all(&bytes[..length]).is_err() {
            return;
        }
    }
}

async fn noticed(port: u16, host: &str, vhost: &str, query: &str) -> (Duration, TransportError) {
    let cable = Cable::to(port);
    let url = format!("rabbit://guest:guest@{host}:{}/{vhost}?{query}", cable.port);
    let transport = transport(&TransportUrl::parse(&url).unwrap()).unwrap();
    let mut consumer = transport.listen(&to(), &listen_options()).await.unwrap();
    cable.pull();
    let pulled = Instant::now();
    let mut batch = Batch::with_limit(1);
    let error = consumer.poll(&mut batch).await.unwrap_err();
    (pulled.elapsed(), error)
}

#[tokio::test]
async fn a_broker_that_falls_silent_is_given_up_within_two_heartbeats() {
    let broker = Broker::shared();
    let vhost = broker.vhost("silent");
    let authority = Authority::new();
    let tls = broker.tls_port(&authority.issue(&ServerIdentity::LOOPBACK), None);
    let under_tls = format!("heartbeat_timeout_threshold=2&ssl=1&ssl_ca_file={}", authority.file().display());
    let (plain, under_tls) = tokio::join!(
        noticed(broker.port(), "127.0.0.1", vhost.name(), "heartbeat_timeout_threshold=2"),
        noticed(tls, "localhost", vhost.name(), &under_tls),
    );
    for (after, error) in [plain, under_tls] {
        // The error has the limit, and a busy machine looks at the clock later than that.
        assert!(after <= Duration::from_secs(30), "{after:?}");
        assert!(error.is_recoverable());
        assert_eq!(error.to_string(), "connection lost: nothing has come from the broker for 3.0 s");
    }
}

#[tokio::test]
async fn the_heartbeat_is_negotiated_and_can_be_off() {
    let broker = Broker::shared();
    for (query, expected) in [
        ("", 10_u64),
        ("?heartbeat_timeout_threshold=60", 60),
        ("?heartbeat_timeout_threshold=7", 7),
        ("?heartbeat_timeout_threshold=600", 60),
        ("?heartbeat_timeout_threshold=0", 0),
    ] {
        let vhost = broker.vhost("heartbeat");
        let url = format!("{}{query}", vhost.url());
        let transport = transport(&TransportUrl::parse(&url).unwrap()).unwrap();
        let consumer = transport.listen(&to(), &listen_options()).await.unwrap();
        // The broker answers the login before it counts the connection.
        wait_until(SOON, &format!("a heartbeat of {expected} s"), || vhost.heartbeats() == [expected]);
        consumer.close().await;
    }
}
