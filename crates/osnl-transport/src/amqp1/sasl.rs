//! The login. The client library ties EXTERNAL to its own TLS, so osnl exchanges the few frames of a login, and the
//! library begins after these frames.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::walker::{described, number, values};

const HEADER: &[u8] = b"AMQP\x03\x01\x00\x00";
/// The longest frame before a connection is open.
const LONGEST: u32 = 512;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum LoginFailure {
    Refused(String),
    Broken(String),
}

impl From<std::io::Error> for LoginFailure {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

pub(super) async fn login<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    mechanism: &str,
    (user, password): (&str, &str),
    host: &str,
) -> Result<(), LoginFailure> {
    stream.write_all(HEADER).await?;
    let mut header = [0; HEADER.len()];
    stream.read_exact(&mut header).await?;
    if header != HEADER {
        return Err(LoginFailure::Refused("the broker takes no login".to_owned()));
    }
    let offered = frame(stream, 0x40).await?;
    let offered = names(offered.first().map(Vec::as_slice).unwrap_or_default());
    if !offered.iter().any(|offered| offered == mechanism) {
        let offered = offered.join(", ");
        return Err(LoginFailure::Refused(format!("the broker offers {offered}, and not {mechanism}")));
    }
    let response = if mechanism == "PLAIN" { format!("\0{user}\0{password}") } else { String::new() };
    stream.write_all(&init(mechanism, &response, host)).await?;
    let outcome = frame(stream, 0x44).await?;
    match outcome.first().and_then(|code| number(code)) {
        Some(0) => Ok(()),
        Some(1) => Err(LoginFailure::Refused(format!("the broker does not accept the login ({mechanism})"))),
        code => Err(LoginFailure::Broken(format!("the login failed at the broker (code {code:?})"))),
    }
}

/// Reads a frame, and returns the fields of its performative.
async fn frame<S: AsyncRead + Unpin>(stream: &mut S, wanted: u64) -> Result<Vec<Vec<u8>>, LoginFailure> {
    let size = stream.read_u32().await?;
    if !(8..=LONGEST).contains(&size) {
        return Err(LoginFailure::Broken(format!("a frame of {size} bytes during the login")));
    }
    let mut frame = vec![0; size as usize - 4];
    stream.read_exact(&mut frame).await?;
    match described(&frame[4..]) {
        Some((code, list)) if number(code) == Some(wanted) => {
            Ok(values(list).into_iter().map(<[u8]>::to_vec).collect())
        }
        Some(_) | None => Err(LoginFailure::Broken("the broker asks for more than a login has".to_owned())),
    }
}

fn init(mechanism: &str, response: &str, host: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    for (code, bytes) in [(0xb3, mechanism), (0xb0, response), (0xb1, host)] {
        fields.push(code);
        fields.extend((bytes.len() as u32).to_be_bytes());
        fields.extend(bytes.as_bytes());
    }
    let list = (fields.len() as u32 + 4).to_be_bytes();
    let frame = (fields.len() as u32 + 20).to_be_bytes();
    let performative = [0x00, 0x53, 0x41, 0xd0];
    [&frame[..], &[2, 1, 0, 0], &performative, &list, &[0, 0, 0, 3], &fields].concat()
}

/// Returns the names in one symbol or in an array of symbols. A name has letters, digits, hyphens, and underscores, and
/// the bytes of lengths before the names are control characters.
fn names(value: &[u8]) -> Vec<String> {
    let is_in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let names = value.split(|byte| !is_in_name(byte)).filter(|name| name.len() > 1);
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERED: &[u8] =
        b"\0\0\0\x22\x02\x01\0\0\0\x53\x40\xc0\x15\x01\xe0\x12\x02\xa3\x05PLAIN\x09ANONYMOUS";

    async fn check(mechanism: &str, server: &[&[u8]], sent: &[u8], expected: Result<(), LoginFailure>) {
        let server = server.concat();
        let mut stream = tokio::io::join(&server[..], Vec::new());
        assert_eq!(login(&mut stream, mechanism, ("u", "p"), "h").await, expected);
        let written = stream.into_inner().1;
        assert!(written.ends_with(sent), "{}", written.escape_ascii());
    }

    #[tokio::test]
    async fn a_login_says_why_it_is_refused() {
        let outcome =
            |code: u8| [b"\0\0\0\x10\x02\x01\0\0\0\x53\x44\xc0\x03\x01\x50".as_slice(), &[code]].concat();
        let refused = |reason: &str| Err(LoginFailure::Refused(reason.to_owned()));
        let plain = b"\xb3\0\0\0\x05PLAIN\xb0\0\0\0\x04\0u\0p\xb1\0\0\0\x01h";
        check("PLAIN", &[HEADER, OFFERED, &outcome(0)], plain, Ok(())).await;
        let denied = refused("the broker does not accept the login (PLAIN)");
        check("PLAIN", &[HEADER, OFFERED, &outcome(1)], plain, denied).await;
        let not_offered = refused("the broker offers PLAIN, ANONYMOUS, and not EXTERNAL");
        check("EXTERNAL", &[HEADER, OFFERED], HEADER, not_offered).await;
        check("PLAIN", &[b"AMQP\0\x01\0\0"], HEADER, refused("the broker takes no login")).await;
        let broken = LoginFailure::Broken("a frame of 1024 bytes during the login".to_owned());
        check("PLAIN", &[HEADER, b"\0\0\x04\0"], HEADER, Err(broken)).await;
    }
}
