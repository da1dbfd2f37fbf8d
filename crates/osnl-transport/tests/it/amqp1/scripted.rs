use std::io::{Read as _, Result, Write as _};
use std::net::{TcpListener, TcpStream};

use osnl_transport::{Declare, TransportError};

use super::{Reader, options};

const TOO_DEEP: &str = "the peer sent values nested deeper than 16";

fn list(fields: &[&[u8]]) -> Vec<u8> {
    let bytes = fields.concat();
    let size = u32::try_from(bytes.len() + 4).unwrap().to_be_bytes();
    [&[0xd0][..], &size, &u32::try_from(fields.len()).unwrap().to_be_bytes(), &bytes].concat()
}

fn frame(kind: u8, code: u8, fields: &[&[u8]], payload: &[u8]) -> Vec<u8> {
    let body = [&[0x00, 0x53, code][..], &list(fields), payload].concat();
    [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], &[2, kind, 0, 0], &body].concat()
}

/// Returns the transfers of one message in pieces of the length.
fn transfers(id: u8, message: &[u8], length: usize) -> Vec<u8> {
    let pieces: Vec<&[u8]> = message.chunks(length).collect();
    let transfer = |(n, piece): (usize, &&[u8])| {
        let has_more: &[u8] = if n + 1 < pieces.len() { &[0x41] } else { &[0x42] };
        frame(0, 0x14, &[&[0x43], &[0x52, id], &[0xa0, 1, id], &[0x43], &[0x42], has_more], piece)
    };
    pieces.iter().enumerate().flat_map(transfer).collect()
}

/// Returns a message whose annotations have a value with so many levels of lists.
fn message(levels: usize, body: &str) -> Vec<u8> {
    let nested = (0..levels).fold(vec![0x40], |inner, _| list(&[&inner]));
    let mut annotations = list(&[&[0xa3, 1, b'x'], &nested]);
    annotations[0] = 0xd1;
    let body = [&[0x00, 0x53, 0x77, 0xa1, u8::try_from(body.len()).unwrap()], body.as_bytes()].concat();
    [&[0x00, 0x53, 0x72][..], &annotations, &body].concat()
}

fn peer(serve: impl FnOnce(&mut TcpStream) -> Result<()> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // The peer's own errors are expected, because the reader ends the connection.
    std::thread::spawn(move || listener.accept().and_then(|(mut stream, _)| serve(&mut stream)));
    format!("amqp://127.0.0.1:{port}/")
}

/// Lets a reader attach one link, and then sends the bytes.
fn serve(stream: &mut TcpStream, sent: &[u8]) -> Result<()> {
    let mut unsent = Some(sent);
    loop {
        let mut head = [0; 8];
        stream.read_exact(&mut head)?;
        if head.starts_with(b"AMQP") {
            stream.write_all(&head)?;
            if head[4] == 3 {
                stream.write_all(&frame(1, 0x40, &[b"\xa3\x09ANONYMOUS"], &[]))?;
            }
            continue;
        }
        let size = u32::from_be_bytes(*head.first_chunk().unwrap()) as usize;
        let mut body = vec![0; size - 8];
        stream.read_exact(&mut body)?;
        let answer = match body.get(2) {
            Some(0x41) => frame(1, 0x44, &[&[0x50, 0]], &[]),
            Some(0x10) => frame(0, 0x10, &[b"\xa1\x04peer"], &[]),
            Some(0x11) => frame(0, 0x11, &[&[0x60, 0, 0], &[0x43], &[0x52, 100], &[0x52, 100]], &[]),
            Some(0x12) => {
                let at = if body[3] == 0xc0 { 6 } else { 12 };
                let name = &body[at..at + 2 + usize::from(body[at + 1])];
                let (source, target) =
                    ([&[0x00, 0x53, 0x28][..], &list(&[b"\xa1\x01a"])].concat(), [0, 0x53, 0x29, 0x45]);
                let null: &[u8] = &[0x40];
                let fields = [name, &[0x43], &[0x42], null, null, &source, &target, null, null, &[0x43]];
                frame(0, 0x12, &fields, &[])
            }
            Some(0x13) => unsent.take().unwrap_or_default().to_vec(),
            Some(0x18) => return Ok(()),
            _ => Vec::new(),
        };
        stream.write_all(&answer)?;
    }
}

/// Returns the bodies that a reader takes, and the error that ends the reader.
async fn read(sent: Vec<u8>) -> (Vec<String>, TransportError) {
    let url = peer(move |stream| serve(stream, &sent));
    let mut reader = Reader::open(&url, &options(None, Declare::Passive)).await.unwrap();
    let mut bodies = Vec::new();
    loop {
        match reader.poll().await {
            Ok(taken) => bodies.extend(taken.iter().map(|m| String::from_utf8_lossy(&m.body).into_owned())),
            Err(error) => return (bodies, error),
        }
    }
}

#[tokio::test]
async fn deep_values_end_the_connection_before_they_are_decoded() {
    let deep = message(1000, "deep");
    for length in [usize::MAX, 1000, 7] {
        let sent = [transfers(0, &message(3, "first"), length.min(20)), transfers(1, &deep, length)].concat();
        let (bodies, error) = read(sent).await;
        assert_eq!(bodies, ["first"], "in pieces of {length}: {error}");
        assert!(error.to_string().contains(TOO_DEEP) && error.is_recoverable(), "{error}");
    }
    let (_, error) = read(frame(0, 0x16, &[&[0x43], &[0x41], &deep], &[])).await;
    assert!(error.to_string().contains(TOO_DEEP), "{error}");
}

/// After each of these frames, the client library could join other bytes than the guard has walked.
#[tokio::test]
async fn frames_that_could_hide_a_value_are_refused() {
    let whole = message(1, "m");
    let half = &whole[..whole.len() / 2];
    let transfer = |fields: &[&[u8]]| frame(0, 0x14, fields, half);
    let [handle, id, tag, no, yes, null]: [&[u8]; 6] =
        [&[0x43], &[0x52, 1], &[0xa0, 1, 1], &[0x42], &[0x41], &[0x40]];
    let resumed = "resumed a delivery";
    let attached = frame(0, 0x12, &[b"\xa1\x01n", handle, no], &[]);
    let cases = [
        (transfer(&[handle, id, tag, null, no, no]), "ends within a value"),
        (transfer(&[handle, null, tag, null, no, no]), "without a delivery"),
        (transfer(&[handle, id, tag, null, no, yes, null, null, yes]), resumed),
        (transfer(&[handle, id, tag, null, no, yes, null, &[0x00, 0x53, 0x23, 0x45]]), resumed),
        (transfer(&[&[handle, id, tag, null, no, yes][..], &[null; 6]].concat()), resumed),
        (transfer(&[handle, id, tag, null, no, yes, null, null, no, &[0x56, 2]]), "value for a boolean"),
        ([transfer(&[handle, id, tag, null, no, yes]), attached].concat(), "a link within a delivery"),
        (frame(0, 0x13, &[], b"\x40"), "a payload outside of a transfer"),
        (frame(0, 0x20, &[], &[]), "without a known performative"),
        (vec![0, 1, 17, 112, 2, 0, 0, 0], "a frame of 70000 bytes; at most 65536 are allowed"),
    ];
    for (sent, expected) in cases {
        let (bodies, error) = read(sent).await;
        assert!(bodies.is_empty() && error.to_string().contains(expected), "{expected}: {error}");
    }
}

#[tokio::test]
async fn another_protocol_is_named() {
    for (sent, expected) in [
        (&b"AMQP\0\0\x09\x01"[..], "the peer speaks another AMQP than 1.0"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak AMQP; it begins with \"HTTP/1.1\""),
    ] {
        let url = peer(move |stream| {
            stream.write_all(sent)?;
            stream.read_to_end(&mut Vec::new()).map(drop)
        });
        let error = Reader::open(&url, &options(None, Declare::Passive)).await.err().unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
