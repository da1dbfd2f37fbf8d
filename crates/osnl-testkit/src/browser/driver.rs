use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// The time-out of a request, above chromedriver's own limits for a page and a script.
const PATIENCE: Duration = Duration::from_secs(400);

#[derive(Debug)]
pub(super) struct ChromedriverSession {
    port: u16,
    session: String,
}

impl ChromedriverSession {
    pub(super) fn begin(port: u16, wanted: &Value) -> Result<Self, String> {
        let begun = exchange(port, "POST", "/session", wanted)?;
        let session = begun["sessionId"].as_str().ok_or("there is no session")?;
        Ok(Self { port, session: session.to_owned() })
    }

    pub(super) fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        exchange(self.port, method, &format!("/session/{}{path}", self.session), body)
    }
}

fn exchange(port: u16, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let mut answer = send(port, method, path, body).map_err(|error| format!("chromedriver: {error}"))?;
    let value = answer["value"].take();
    match value["error"].as_str() {
        Some(error) => {
            let message = value["message"].as_str().unwrap_or_default();
            Err(format!("{error}: {message}"))
        }
        None => Ok(value),
    }
}

fn send(port: u16, method: &str, path: &str, body: &Value) -> io::Result<Value> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 && line != "\r\n" {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if body.is_empty() {
        return Ok(json!({}));
    }
    Ok(serde_json::from_slice(&body)?)
}
