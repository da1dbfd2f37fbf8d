use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::{RunningEndpoint, ask_on};

#[tokio::test]
async fn two_hundred_slow_clients_cost_a_bounded_number_of_connections_and_delay_nobody() {
    let running = RunningEndpoint::start("listen = 127.0.0.1:0").await;
    let mut slow = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        let begin = ["", "GET /met", "GET /metrics HTTP/1.1\r\nHost: localhost\r\n"][n % 3];
        stream.write_all(begin.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    for _ in 0..20 {
        let begun = Instant::now();
        let (status, _) = running.get("/metrics").await;
        assert_eq!(status, 200);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    let mut ended = 0;
    for stream in &mut slow {
        let mut answer = Vec::new();
        let read = timeout(Duration::from_millis(20), stream.read_to_end(&mut answer)).await;
        ended += usize::from(read.is_ok());
    }
    assert!(ended >= 200 - 64, "{ended} of 200 have ended");
    for stream in &mut slow {
        let mut answer = Vec::new();
        let read = timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "a client that says nothing is kept");
    }
    running.end().await;
}

#[tokio::test]
async fn two_hundred_pipelining_clients_that_come_back_do_not_delay_a_probe() {
    let running = RunningEndpoint::start("listen = 127.0.0.1:0").await;
    let address = running.address;
    let mut clients = JoinSet::new();
    for _ in 0..200 {
        clients.spawn(async move {
            let requests = "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50);
            loop {
                let Ok(mut stream) = TcpStream::connect(address).await else { continue };
                let _ = stream.write_all(requests.as_bytes()).await;
                let mut answers = Vec::new();
                let _ = stream.read_to_end(&mut answers).await;
            }
        });
    }
    for _ in 0..5 {
        for path in ["/livez", "/readyz"] {
            let other = TcpSocket::new_v4().unwrap();
            other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            let asked = async {
                let stream = other.connect(address).await.unwrap();
                ask_on(stream, "localhost", "GET", path, "", "").await.0
            };
            let status = timeout(Duration::from_secs(10), asked).await;
            assert!(matches!(status, Ok(200 | 503)), "{path}: {status:?}");
        }
    }
    clients.shutdown().await;
    running.end().await;
}

#[tokio::test]
async fn a_head_without_end_and_too_many_headers_are_refused() {
    let running = RunningEndpoint::start("listen = 127.0.0.1:0").await;
    let long = format!("X-Long: {}\r\n", "x".repeat(64 * 1024));
    let many: String = (0..100).map(|n| format!("X-{n}: 1\r\n")).collect();
    for head in [long, many] {
        let (status, _) = running.ask("GET", "/livez", &head, "").await;
        assert_eq!(status, 431, "{}", head.len());
    }
    assert_eq!(running.get("/livez").await.0, 200);
    running.end().await;
}
