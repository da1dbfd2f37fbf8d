//! Servers that only imitate PostgreSQL: they ask for the password, or announce endless messages.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::{JoinHandle, spawn};

use super::*;

fn false_server(answer: &'static [u8]) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut said = vec![0; 8];
        client.read_exact(&mut said).unwrap();
        client.write_all(b"N").unwrap();
        let mut start = [0; 4];
        client.read_exact(&mut start).unwrap();
        let mut rest = vec![0; u32::from_be_bytes(start) as usize - 4];
        client.read_exact(&mut rest).unwrap();
        client.write_all(answer).unwrap();
        // The server sends as much as the client reads: a client that gathers a message would read on.
        let part = [b'x'; 64 << 10];
        let mut sent = 0_usize;
        while sent < 256 << 20 && client.write_all(&part).is_ok() {
            sent += part.len();
        }
        assert!(sent < 16 << 20, "the client took {sent} bytes");
        let _ = client.read_to_end(&mut said);
        said
    });
    (port, served)
}

#[test]
fn a_false_server_gets_no_password_and_fills_no_memory() {
    for (answer, refusal) in [
        (&b"R\0\0\0\x08\0\0\0\x03"[..], "asks for the password in clear"),
        (b"R\0\0\0\x0c\0\0\0\x05salt", "asks for an MD5 of the password"),
        (b"E\x7f\xff\xff\xff", "announced a message of 2147483647 bytes before the login"),
        (b"R\0\0\0\x08\0\0\0\0S\x7f\xff\xff\xff", "announced a message of 2147483647 bytes"),
    ] {
        let (port, served) = false_server(answer);
        // The name does not look like a loopback address, so the client treats the host as another machine.
        let url =
            ConnectionUrl::parse(&format!("postgresql://osnl:hunter2@0.0.0.0:{port}/osnl?sslmode=prefer"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = url.unwrap();
        let tls = tls::PostgresTls::of(&url).unwrap();
        let connecting = session::Session::connect(&url, tls, Duration::from_secs(5));
        let error = session::words(&runtime.block_on(connecting).map(drop).unwrap_err());
        assert!(error.contains(refusal), "{error}");
        drop(runtime);
        let said = served.join().unwrap();
        assert!(!said.windows(7).any(|part| part == b"hunter2") && !said.contains(&b'p'), "{said:?}");
    }
}
