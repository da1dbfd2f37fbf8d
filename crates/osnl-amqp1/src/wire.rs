//! Frames on a stream, and the login by PLAIN, EXTERNAL, or ANONYMOUS.

use std::time::Duration;

use osnl_model::Scrubber;
use osnl_transport::{Properties, TransportError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::codec::{BINARY, STRING, SYMBOL, TRUE, Value, frame, list, text, uint};

/// The longest frame that the broker may send.
pub(super) const LONGEST_FRAME: u32 = 65_536;
/// The time for the last frames to a peer that has ended.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);
const ANOTHER_VERSION: &str =
    "the peer speaks another AMQP than 1.0; for RabbitMQ write rabbit://, which is AMQP 0-9-1";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum WireFailure {
    /// The peer answered, and refused.
    Refused(String),
    Broken(String),
    Ended(PeerEnd),
}

impl WireFailure {
    /// Removes the login's password, which the peer knows and may repeat.
    pub(super) fn hiding(self, secrets: &Scrubber) -> Self {
        match self {
            Self::Refused(reason) => Self::Refused(secrets.scrub(&reason).into_owned()),
            Self::Broken(reason) => Self::Broken(secrets.scrub(&reason).into_owned()),
            Self::Ended(end) => Self::Ended(end.hiding(secrets)),
        }
    }
}

/// The end of a link, of the session, or of the connection by the peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PeerEnd {
    /// The peer's number of the link.
    pub(super) handle: Option<u64>,
    condition: String,
    pub(super) reason: String,
}

impl PeerEnd {
    pub(super) fn read(performative: Value<'_>) -> Self {
        let (ended, at) = match performative.descriptor {
            Some(0x16) => ("the peer detached the link", 2),
            Some(0x17) => ("the peer ended the session", 0),
            Some(0x18) => ("the peer closed the connection", 0),
            _ => ("the peer sent a frame that osnl does not expect", usize::MAX),
        };
        let error = performative.field(at);
        let (condition, words) = (error.field(0).text(), error.field(1).text());
        // RabbitMQ 4 breaks its texts into lines, which a log line cannot have.
        let words = words.map(|words| words.split_whitespace().collect::<Vec<_>>().join(" "));
        let reason = [Some(ended.to_owned()), condition.clone(), words];
        Self {
            handle: performative.field(0).number().filter(|_| at == 2),
            condition: condition.unwrap_or_default(),
            reason: reason.into_iter().flatten().collect::<Vec<_>>().join(": "),
        }
    }

    pub(super) fn hiding(self, secrets: &Scrubber) -> Self {
        Self { reason: secrets.scrub(&self.reason).into_owned(), ..self }
    }

    /// Whether the peer refuses this user.
    pub(super) fn refuses_login(&self) -> bool {
        matches!(&*self.condition, "amqp:unauthorized-access" | "amqp:not-allowed")
    }

    fn is_refusal(&self) -> bool {
        self.refuses_login() || matches!(&*self.condition, "amqp:not-implemented" | "amqp:invalid-field")
    }

    /// Returns the error of a reader of the address.
    pub(super) fn for_address(self, address: &str) -> TransportError {
        let (what, queue, reason) =
            (format!("read address \"{address}\""), address.to_owned(), self.reason.clone());
        match &*self.condition {
            "amqp:not-found" => TransportError::NoQueue { queue },
            "amqp:resource-deleted" => TransportError::Cancelled { queue },
            _ if self.is_refusal() => TransportError::Refused { what, reason, code: None },
            _ => TransportError::Lost { reason: format!("{what}: {reason}") },
        }
    }
}

impl From<PeerEnd> for TransportError {
    fn from(end: PeerEnd) -> Self {
        Self::Lost { reason: end.reason }
    }
}

impl From<WireFailure> for TransportError {
    fn from(failure: WireFailure) -> Self {
        match failure {
            WireFailure::Refused(reason) | WireFailure::Broken(reason) => Self::Lost { reason },
            WireFailure::Ended(end) => end.into(),
        }
    }
}

impl From<std::io::Error> for WireFailure {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "the peer ended the connection".to_owned(),
            _ => error.to_string(),
        })
    }
}

pub(super) async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Exchanges the headers of AMQP (0) or of a login (3).
pub(super) async fn header<S>(stream: &mut S, protocol: u8) -> Result<(), WireFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (wanted, mut found) = ([b'A', b'M', b'Q', b'P', protocol, 1, 0, 0], [0; 8]);
    send(stream, &wanted).await?;
    stream.read_exact(&mut found).await?;
    match found {
        _ if found == wanted => Ok(()),
        [b'A', b'M', b'Q', b'P', 0, 1, 0, 0] => {
            Err(WireFailure::Refused("the broker takes no login".to_owned()))
        }
        [b'A', b'M', b'Q', b'P', ..] => Err(WireFailure::Broken(ANOTHER_VERSION.to_owned())),
        _ => {
            let begins = found.escape_ascii();
            Err(WireFailure::Broken(format!("what answers does not speak AMQP; it begins with \"{begins}\"")))
        }
    }
}

/// Reads the body of one frame. A connection has one session, so the channel has no meaning.
pub(super) async fn read_frame<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, WireFailure> {
    let size = stream.read_u32().await?;
    if !(8..=LONGEST_FRAME).contains(&size) {
        let reason = format!("the peer sent a frame of {size} bytes; 8 to {LONGEST_FRAME} are allowed");
        return Err(WireFailure::Broken(reason));
    }
    let mut frame = vec![0; size as usize - 4];
    stream.read_exact(&mut frame).await?;
    // The first byte is the length of the header, in words of four bytes.
    let header = usize::from(frame[0].max(2)) * 4 - 4;
    if header > frame.len() {
        return Err(WireFailure::Broken("the peer sent a frame without an end".to_owned()));
    }
    Ok(frame.split_off(header))
}

/// Reads the performative, which only heartbeats and flows may precede.
pub(super) async fn expect<S: AsyncRead + Unpin, T>(
    stream: &mut S,
    wanted: u64,
    read: impl FnOnce(Value<'_>) -> T,
) -> Result<T, WireFailure> {
    loop {
        let frame = read_frame(stream).await?;
        let value = Value::take(&mut &frame[..]).unwrap_or_default();
        match value.descriptor {
            Some(0x13) => {}
            None if frame.is_empty() => {}
            Some(found) if found == wanted => return Ok(read(value)),
            _ => return Err(WireFailure::Ended(PeerEnd::read(value))),
        }
    }
}

/// Answers the peer's end, of the link with our number or of more, by the end of the connection.
pub(super) async fn leave<S: AsyncWrite + Unpin>(stream: &mut S, handle: Option<u32>) {
    let mut frames = handle.map(|handle| frame(0, &list(0x16, &[&uint(handle), TRUE]))).unwrap_or_default();
    frames.extend(frame(0, &list(0x18, &[])));
    let _ = timeout(FAREWELL, send(stream, &frames)).await;
}

pub(super) async fn login<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    mechanism: &str,
    (user, password): (&str, &str),
    host: &str,
) -> Result<(), WireFailure> {
    let refused = |reason| Err(WireFailure::Refused(reason));
    header(stream, 3).await?;
    let offered = expect(stream, 0x40, |mechanisms| mechanisms.field(0).names()).await?;
    if !offered.iter().any(|offered| offered == mechanism) {
        let offered = Properties::text(offered.join(", ").as_bytes());
        return refused(format!("the broker does not offer {mechanism}; its mechanisms: {offered}"));
    }
    let response = if mechanism == "PLAIN" { format!("\0{user}\0{password}") } else { String::new() };
    let init = [text(SYMBOL, mechanism), text(BINARY, response), text(STRING, host)];
    send(stream, &frame(1, &list(0x41, &[&init[0], &init[1], &init[2]]))).await?;
    match expect(stream, 0x44, |outcome| outcome.field(0).number()).await? {
        Some(0) => Ok(()),
        Some(1) => refused(format!("the broker does not accept the login ({mechanism})")),
        code => Err(WireFailure::Broken(format!("the login failed at the broker (code {code:?})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"AMQP\x03\x01\0\0";
    const OFFERED: &[u8] =
        b"\0\0\0\x22\x02\x01\0\0\0\x53\x40\xc0\x15\x01\xe0\x12\x02\xa3\x05PLAIN\x09ANONYMOUS";
    const OUTCOME: &[u8] = b"\0\0\0\x10\x02\x01\0\0\0\x53\x44\xc0\x03\x01\x50";

    /// The words are a part of the failure; without words the login succeeds.
    async fn check(mechanism: &str, server: &[&[u8]], sent: &[u8], words: &str) {
        let server = server.concat();
        let mut stream = tokio::io::join(&server[..], Vec::new());
        let found = format!("{:?}", login(&mut stream, mechanism, ("u", "p"), "h").await);
        assert!(found.contains(if words.is_empty() { "Ok(())" } else { words }), "{words}: {found}");
        let written = stream.into_inner().1;
        assert!(written.ends_with(sent), "{}", written.escape_ascii());
    }

    #[tokio::test]
    async fn a_login_says_why_it_fails() {
        let plain = b"\xb3\0\0\0\x05PLAIN\xb0\0\0\0\x04\0u\0p\xb1\0\0\0\x01h";
        check("PLAIN", &[HEADER, OFFERED, OUTCOME, b"\0"], plain, "").await;
        check("PLAIN", &[HEADER, OFFERED, OUTCOME, b"\x01"], plain, "Refused(\"the broker does not accept")
            .await;
        check(
            "EXTERNAL",
            &[HEADER, OFFERED],
            HEADER,
            "the broker does not offer EXTERNAL; its mechanisms: PLAIN, ANONYMOUS",
        )
        .await;
        for (server, words) in [
            (&b"AMQP\0\x01\0\0"[..], "Refused(\"the broker takes no login"),
            (b"AMQP\0\0\x09\x01", "Broken(\"the peer speaks another AMQP than 1.0"),
            (b"HTTP/1.1 400", "does not speak AMQP; it begins with \\\"HTTP/1.1\\\""),
            (b"AMQP\x03\x01\0\0", "the peer ended the connection"),
            (b"AMQP\x03\x01\0\0\0\x01\x11\x70", "a frame of 70000 bytes; 8 to 65536 are allowed"),
            (b"AMQP\x03\x01\0\0\0\0\0\x07", "a frame of 7 bytes"),
            (b"AMQP\x03\x01\0\0\0\0\0\x08\x03\0\0\0", "a frame without an end"),
            (b"AMQP\x03\x01\0\0\0\0\0\x0c\x02\0\0\0\0\x53\x14\x45", "a frame that osnl does not expect"),
        ] {
            check("PLAIN", &[server], HEADER, words).await;
        }
    }
}
