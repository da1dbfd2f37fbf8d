use std::io::{BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};

use osnl_testkit::{Authority, ServerIdentity};
use osnl_transport::MemoryBroker;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{native, publish_ports, start};
use crate::harness::{SOON, instance};

const MESSAGE: &str = "format = rfc5424\nmessage = {{ event_type }} {{ payload.port.device_id }}";

fn expect(messages: &Receiver<String>, n: usize) {
    let message = messages.recv_timeout(SOON).expect("a message");
    assert!(message.starts_with("<30>1 "), "{message}");
    assert!(message.ends_with(&format!("] port.delete.end {}", instance(n))), "{message}");
    assert!(message.contains(" port.delete.end [osnl@32473 event_type=\"port.delete.end\" "), "{message}");
}

#[test]
fn datagrams_reach_a_socket_in_the_file_system_and_one_of_udp() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let unix = UnixDatagram::bind(&path).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let servers = [path.display().to_string(), format!("udp://{}", udp.local_addr().unwrap())];
    let (sender, messages) = channel();
    let (from_unix, from_udp) = (sender.clone(), sender);
    unix.set_read_timeout(Some(SOON)).unwrap();
    udp.set_read_timeout(Some(SOON)).unwrap();
    let threads = [
        std::thread::spawn(move || datagrams(&from_unix, |buffer| unix.recv(buffer))),
        std::thread::spawn(move || datagrams(&from_udp, |buffer| udp.recv(buffer))),
    ];
    for (n, server) in servers.iter().enumerate() {
        let own = tempfile::tempdir().unwrap();
        let broker = MemoryBroker::new();
        let daemon =
            start(&native(own.path(), &format!("driver = syslog\nserver = {server}\n{MESSAGE}")), &broker);
        publish_ports(&broker, n * 2..n * 2 + 2);
        expect(&messages, n * 2);
        expect(&messages, n * 2 + 1);
        daemon.stop().unwrap();
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

/// The default is the form of syslog(3), because systemd's journal reads no other form there.
#[test]
fn a_socket_gets_the_old_form_unless_it_is_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let broker = MemoryBroker::new();
    let action = format!("driver = syslog\nserver = {}\nmessage = {{{{ event_type }}}} ends", path.display());
    let daemon = start(&native(folder.path(), &action), &broker);
    publish_ports(&broker, 0..1);
    let mut buffer = [0; 9000];
    let length = socket.recv(&mut buffer).unwrap();
    let message = std::str::from_utf8(&buffer[..length]).unwrap();
    daemon.stop().unwrap();
    // Example: <30>Nov 20 06:36:22 osnl[4711]: text
    let (time, rest) = message.strip_prefix("<30>").unwrap().split_at(15);
    let zone = jiff::tz::TimeZone::system();
    let now = jiff::Timestamp::now().to_zoned(zone);
    assert!(time.starts_with(&now.strftime("%b %e ").to_string()), "{message}");
    assert_eq!(rest, format!(" osnl[{}]: port.delete.end ends", std::process::id()));
}

fn datagrams(to: &Sender<String>, mut receive: impl FnMut(&mut [u8]) -> std::io::Result<usize>) {
    let mut buffer = [0; 65_536];
    for _ in 0..2 {
        let length = receive(&mut buffer).unwrap();
        to.send(String::from_utf8(buffer[..length].to_vec()).unwrap()).unwrap();
    }
}

fn frames(stream: impl Read, to: &Sender<String>, most: usize) {
    let mut stream = BufReader::new(stream);
    for _ in 0..most {
        let mut length = 0;
        loop {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap() == 0 {
                return;
            }
            match byte[0] {
                b' ' => break,
                digit => length = length * 10 + usize::from(digit - b'0'),
            }
        }
        let mut message = vec![0; length];
        stream.read_exact(&mut message).unwrap();
        to.send(String::from_utf8(message).unwrap()).unwrap();
    }
}

#[test]
fn a_stream_that_the_collector_closed_is_noticed_before_the_next_message() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    let (sender, messages) = channel();
    let closed = Arc::new(Barrier::new(2));
    let told = closed.clone();
    let collector = std::thread::spawn(move || {
        frames(listener.accept().unwrap().0, &sender, 3);
        told.wait();
        frames(listener.accept().unwrap().0, &sender, 1);
    });
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let daemon = start(
        &native(folder.path(), &format!("driver = syslog\nserver = tcp://{server}\n{MESSAGE}")),
        &broker,
    );
    publish_ports(&broker, 0..3);
    for n in 0..3 {
        expect(&messages, n);
    }
    closed.wait();
    publish_ports(&broker, 3..4);
    expect(&messages, 3);
    daemon.stop().unwrap();
    collector.join().unwrap();
}

#[test]
fn a_collector_with_tls_must_have_a_certificate_of_the_ca() {
    let (ours, foreign) = (Authority::new(), Authority::named("somebody else's"));
    let certificate = ours.issue(&ServerIdentity::LOOPBACK);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let osnl_net::tls::ClientIdentity { chain, key } =
        osnl_net::tls::identity(certificate.file(), Some(certificate.key_file())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let (sender, messages) = channel();
    let collector = std::thread::spawn(move || {
        loop {
            let stream = listener.accept().unwrap().0;
            let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            // A client that does not trust the server disconnects.
            if tls.conn.complete_io(&mut tls.sock).is_ok() && !tls.conn.is_handshaking() {
                return frames(tls, &sender, 1);
            }
        }
    });
    let conf = |folder: &std::path::Path, ca: &Authority| {
        let ca = ca.file();
        native(
            folder,
            &format!(
                "driver = syslog\nserver = tls://localhost:{port}\nca_file = {}\n{MESSAGE}",
                ca.display()
            ),
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let daemon = start(&conf(folder.path(), &foreign), &broker);
    publish_ports(&broker, 0..1);
    daemon.wait_for_log("TLS failed");
    daemon.stop().unwrap();
    let daemon = start(&conf(folder.path(), &ours), &MemoryBroker::new());
    expect(&messages, 0);
    daemon.stop().unwrap();
    collector.join().unwrap();
}
