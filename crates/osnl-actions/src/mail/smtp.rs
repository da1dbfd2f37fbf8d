//! Sends one mail to one server by RFC 5321, with STARTTLS (3207), AUTH (4954), 8BITMIME and
//! SMTPUTF8 (6531).
//!
//! Each mail has its own connection: mails are rare, and servers drop idle connections.
//! Capabilities from before STARTTLS are discarded. Without TLS no login is tried unless the
//! configuration has `tls = none`.
//!
//! lettre 0.11 accepts no TLS configuration of ours, whose errors name the remedy, and does not
//! report the step at which a server refused.

use std::fmt::{self, Write as _};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use osnl_action::{ActionError, ErrorClass};
use osnl_core::event::Event;
use osnl_model::Scrubber;
use osnl_net::tls::LatestEnd;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::letter::Letter;
use crate::wire::{ServerAddress, ServerStream, TlsConnection, broken};

const LONGEST_REPLY: usize = 16 * 1024;
/// The time for the rest of an answer whose code has come.
const REST_OF_LINE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(super) struct MailServer {
    pub(super) place: ServerAddress,
    pub(super) tls: MailTls,
    pub(super) login: Option<SmtpLogin>,
    pub(super) name: String,
    pub(super) certificate: LatestEnd,
}

#[derive(Clone)]
pub(super) enum MailTls {
    /// Requested once the server has listed its extensions; a server without STARTTLS is refused.
    Starttls(Arc<ClientConfig>),
    Implicit(Arc<ClientConfig>),
    None,
}

#[derive(Clone)]
pub(crate) struct SmtpLogin {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl fmt::Debug for SmtpLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpLogin").field("user", &self.user).field("password", &"***").finish()
    }
}

impl fmt::Display for MailServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "smtp://{}", self.place)
    }
}

#[derive(Debug, Default)]
struct Extensions(Vec<String>);

pub(super) async fn hear(said: &[u8]) -> Result<String, ActionError> {
    let server = MailServer {
        place: ServerAddress::parse("localhost", 25)
            .ok_or_else(|| ActionError::new(ErrorClass::Connect, "no place"))?,
        tls: MailTls::None,
        login: Some(SmtpLogin { user: "osnl".to_owned(), password: "S3CRET".to_owned() }),
        name: "localhost".to_owned(),
        certificate: LatestEnd::default(),
    };
    let stream = Box::new(tokio::io::join(said, tokio::io::sink()));
    let mut talk = Talk { server: &server, stream, read: Vec::new(), certificate_ends: None };
    talk.expect(Whose::Ours).await?;
    let can = talk.hello().await?;
    let (mut talk, _) = server.logged_in(talk, can).await?;
    talk.begin("DATA", Whose::Mails).await?;
    Ok(talk.data(b"text").await?.text(&server))
}

impl Extensions {
    fn has(&self, name: &str) -> bool {
        self.words(name).is_some()
    }

    fn words(&self, name: &str) -> Option<Vec<String>> {
        self.0.iter().find_map(|line| {
            let mut words = line.split([' ', '=']).map(str::to_ascii_uppercase);
            (words.next()? == name).then(|| words.collect())
        })
    }
}

struct Talk<'a> {
    server: &'a MailServer,
    stream: Box<dyn ServerStream + 'a>,
    read: Vec<u8>,
    certificate_ends: Option<i64>,
}

struct SmtpReply {
    code: u16,
    lines: Vec<String>,
}

impl SmtpReply {
    /// Returns the text of the reply without the password, which a server may repeat.
    fn text(&self, server: &MailServer) -> String {
        let text = self.lines.join(" ");
        server
            .secrets()
            .scrub(&text)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(500)
            .collect()
    }
}

impl SmtpLogin {
    fn plain(&self) -> String {
        BASE64_STANDARD.encode(format!("\0{}\0{}", self.user, self.password))
    }
}

impl MailServer {
    fn secrets(&self) -> Scrubber {
        let login = self.login.as_ref();
        login.map_or_else(Scrubber::default, |login| Scrubber::new([login.plain().as_str(), &login.password]))
    }

    /// Returns mechanisms for a message of bounded length. A text that is no mechanism's name (RFC
    /// 4422) is masked, and so is the password: a server may send it there.
    fn offered(&self, mechanisms: &[String]) -> String {
        let secrets = self.secrets();
        let is_name = |name: &str| {
            (1..=20).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"-_".contains(&b))
        };
        let shown = |name: &String| {
            if is_name(name) { secrets.scrub(name).into_owned() } else { "***".to_owned() }
        };
        match mechanisms {
            [] => "no login".to_owned(),
            _ => mechanisms.iter().take(10).map(shown).collect::<Vec<_>>().join(", "),
        }
    }

    fn log_refused(&self, recipient: &str, error: &ActionError, events: &[Event]) {
        let deliveries: Vec<&str> = events.iter().filter_map(|event| event.delivery.as_deref()).collect();
        tracing::warn!(
            target.name = %self,
            delivery.id = deliveries.join(","),
            recipient,
            error = error.reason,
            "the mail server refuses a recipient"
        );
    }

    /// The step that failed: [`ErrorClass::Busy`] for a temporary refusal, [`ErrorClass::Rejected`]
    /// for a permanent refusal of the mail, [`ErrorClass::Refused`] for a refusal of the client.
    pub(super) async fn send(
        &self,
        letter: &Letter,
        events: &[Event],
        wait_for_all: bool,
    ) -> Result<String, ActionError> {
        let (mut talk, can) = self.open().await?;
        let international = letter.from.is_international()
            || letter.to.iter().any(super::address::MailAddress::is_international);
        if international && !can.has("SMTPUTF8") {
            let all = std::iter::once(&letter.from).chain(&letter.to);
            let which = all.filter(|a| a.is_international()).map(|a| a.address.as_str());
            let which = which.collect::<Vec<_>>().join(", ");
            let reason = format!("{self}: does not know SMTPUTF8, which {which} needs");
            return Err(ActionError::new(ErrorClass::Content, reason));
        }
        let utf8 = if international { " SMTPUTF8" } else { "" };
        let eight = if can.has("8BITMIME") { " BODY=8BITMIME" } else { "" };
        // A refused sender is not the event's fault.
        talk.ask(&format!("MAIL FROM:<{}>{eight}{utf8}", letter.from.address), Whose::Ours).await?;
        let mut refused: Vec<(&str, ActionError)> = Vec::new();
        let mut taken = Vec::new();
        for to in &letter.to {
            match talk.ask(&format!("RCPT TO:<{}>", to.address), Whose::Mails).await {
                Ok(_) => taken.push(to.address.as_str()),
                Err(error) if error.class == ErrorClass::Rejected => {
                    self.log_refused(&to.address, &error, events);
                    refused.push((&to.address, error));
                }
                Err(error @ ActionError { class: ErrorClass::Busy(_), .. }) if !wait_for_all => {
                    self.log_refused(&to.address, &error, events);
                    refused.push((&to.address, error));
                }
                // No recipient has the mail yet, so a retry sends no duplicate.
                Err(error) => return Err(error),
            }
        }
        if taken.is_empty() {
            // A recipient that is refused temporarily is a reason for a retry.
            let last = refused.iter().rposition(|(_, error)| !error.class.is_final());
            let last = last.or(refused.len().checked_sub(1));
            if let Some(last) = last {
                return Err(refused.swap_remove(last).1);
            }
        }
        talk.begin("DATA", Whose::Mails).await?;
        let reply = talk.data(&letter.bytes).await?;
        // The server has accepted the mail; an error after that does not matter.
        let _ = talk.write(b"QUIT\r\n").await;
        let mut done =
            format!("mailed to {}: \"{}\" ({})", taken.join(", "), letter.shown_subject, reply.text(self));
        for (address, error) in refused {
            let _ = write!(done, "; not to {address}: {}", error.reason);
        }
        Ok(done)
    }

    pub(super) async fn probe(&self) -> Result<Option<i64>, ActionError> {
        let (mut talk, _) = self.open().await?;
        let _ = talk.write(b"QUIT\r\n").await;
        Ok(talk.certificate_ends)
    }

    async fn open(&self) -> Result<(Talk<'_>, Extensions), ActionError> {
        let (connection, trial) = self.place.connect().await?;
        let opened = self.opened(connection).await;
        // A server that refuses this client serves.
        let is_mute = |error: &ActionError| {
            matches!(error.class, ErrorClass::Connect | ErrorClass::Tls | ErrorClass::Reset)
        };
        if !opened.as_ref().is_err_and(is_mute) {
            trial.passed();
        }
        opened
    }

    async fn opened(&self, connection: TcpStream) -> Result<(Talk<'_>, Extensions), ActionError> {
        let (stream, certificate_ends): (Box<dyn ServerStream>, _) = match &self.tls {
            MailTls::Implicit(config) => {
                let TlsConnection { stream, certificate_ends } =
                    self.place.encrypt(connection, config).await?;
                self.certificate.note(certificate_ends);
                (stream, certificate_ends)
            }
            MailTls::None => (Box::new(connection), None),
            MailTls::Starttls(config) => return self.upgraded(connection, config).await,
        };
        let mut talk = Talk { server: self, stream, read: Vec::new(), certificate_ends };
        talk.expect(Whose::Ours).await?;
        let can = talk.hello().await?;
        self.logged_in(talk, can).await
    }

    async fn upgraded(
        &self,
        mut connection: TcpStream,
        config: &Arc<ClientConfig>,
    ) -> Result<(Talk<'_>, Extensions), ActionError> {
        let failed = |reason: &str| ActionError::new(ErrorClass::Tls, format!("{self}: {reason}"));
        {
            let stream = Box::new(&mut connection);
            let mut clear = Talk { server: self, stream, read: Vec::new(), certificate_ends: None };
            clear.expect(Whose::Ours).await?;
            if !clear.hello().await?.has("STARTTLS") {
                return Err(failed(
                    "does not offer STARTTLS; is this the right port? tls = implicit is for 465",
                ));
            }
            clear.ask("STARTTLS", Whose::Ours).await?;
            if !clear.read.is_empty() {
                return Err(failed("data in clear text followed the answer to STARTTLS"));
            }
        }
        let TlsConnection { stream, certificate_ends } = self.place.encrypt(connection, config).await?;
        self.certificate.note(certificate_ends);
        let mut talk = Talk { server: self, stream, read: Vec::new(), certificate_ends };
        let can = talk.hello().await?;
        self.logged_in(talk, can).await
    }

    async fn logged_in<'a>(
        &'a self,
        mut talk: Talk<'a>,
        can: Extensions,
    ) -> Result<(Talk<'a>, Extensions), ActionError> {
        let Some(login @ SmtpLogin { user, password }) = &self.login else { return Ok((talk, can)) };
        let mechanisms = can.words("AUTH").unwrap_or_default();
        let offers = |name: &str| mechanisms.iter().any(|own| own == name);
        if offers("PLAIN") {
            talk.secret(&format!("AUTH PLAIN {}", login.plain())).await?;
        } else if offers("LOGIN") {
            talk.begin("AUTH LOGIN", Whose::Ours).await?;
            talk.begin(&BASE64_STANDARD.encode(user), Whose::Ours).await?;
            talk.secret(&BASE64_STANDARD.encode(password)).await?;
        } else {
            let reason = format!("{self}: offers {}; known: PLAIN, LOGIN", self.offered(&mechanisms));
            return Err(ActionError::unusable("no login is possible", reason));
        }
        Ok((talk, can))
    }
}

#[derive(Clone, Copy)]
enum Whose {
    Ours,
    Mails,
}

impl Talk<'_> {
    async fn hello(&mut self) -> Result<Extensions, ActionError> {
        let reply = self.ask(&format!("EHLO {}", self.server.name), Whose::Ours).await?;
        Ok(Extensions(reply.lines.into_iter().skip(1).collect()))
    }

    async fn secret(&mut self, command: &str) -> Result<SmtpReply, ActionError> {
        self.ask(command, Whose::Ours).await
    }

    async fn ask(&mut self, command: &str, whose: Whose) -> Result<SmtpReply, ActionError> {
        self.write(format!("{command}\r\n").as_bytes()).await?;
        self.expect(whose).await
    }

    /// Sends a command after whose answer the rest of it follows.
    async fn begin(&mut self, command: &str, whose: Whose) -> Result<SmtpReply, ActionError> {
        self.write(format!("{command}\r\n").as_bytes()).await?;
        self.expect_one_of(300..=399, whose).await
    }

    async fn data(&mut self, bytes: &[u8]) -> Result<SmtpReply, ActionError> {
        let mut out = Vec::with_capacity(bytes.len() + 64);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b".") {
                out.push(b'.');
            }
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
        self.write(&out).await?;
        self.taken().await
    }

    /// Reads the answer to the mail. A code of success counts even if the rest of the answer never comes, so that a mail is not sent twice.
    async fn taken(&mut self) -> Result<SmtpReply, ActionError> {
        while self.read.len() < 3 && !self.read.contains(&b'\n') {
            self.more().await?;
        }
        let code = self.read.get(..3).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
        let Some(code @ 200..=299) = code else { return self.expect(Whose::Mails).await };
        let line = timeout(REST_OF_LINE, self.line()).await.ok().and_then(Result::ok).unwrap_or_default();
        Ok(SmtpReply { code, lines: vec![line.get(4..).unwrap_or_default().to_owned()] })
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), ActionError> {
        let written = match self.stream.write_all(bytes).await {
            Ok(()) => self.stream.flush().await,
            Err(error) => Err(error),
        };
        written.map_err(|error| broken(self.server, &error))
    }

    async fn expect(&mut self, whose: Whose) -> Result<SmtpReply, ActionError> {
        self.expect_one_of(200..=299, whose).await
    }

    /// Reads an answer with one of these codes. Another code of success is none: the server has not done what was asked.
    async fn expect_one_of(
        &mut self,
        codes: RangeInclusive<u16>,
        whose: Whose,
    ) -> Result<SmtpReply, ActionError> {
        let reply = self.reply().await?;
        let class = match (reply.code, whose) {
            (code, _) if codes.contains(&code) => return Ok(reply),
            (code @ ..400, _) => {
                let reason =
                    format!("{}: answers {code} out of turn: {}", self.server, reply.text(self.server));
                return Err(ActionError::unusable("no mail server", reason));
            }
            (code @ 400..=499, _) => ErrorClass::Busy(Some(code)),
            (code, Whose::Ours) => ErrorClass::Refused(Some(code)),
            (_, Whose::Mails) => ErrorClass::Rejected,
        };
        Err(ActionError::new(class, format!("{}: {} {}", self.server, reply.code, reply.text(self.server))))
    }

    async fn reply(&mut self) -> Result<SmtpReply, ActionError> {
        let mut lines = Vec::new();
        let mut length = 0;
        loop {
            let line = self.line().await?;
            length += line.len();
            let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
            let last = line.as_bytes().get(3) != Some(&b'-');
            let (Some(code @ 200..=599), true) = (code, length <= LONGEST_REPLY) else {
                let reason = format!("{}: its answer is not SMTP", self.server);
                return Err(ActionError::unusable("no mail server", reason));
            };
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if last {
                return Ok(SmtpReply { code, lines });
            }
        }
    }

    async fn line(&mut self) -> Result<String, ActionError> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.read.len() > LONGEST_REPLY {
                let reason = format!("{}: a reply without end", self.server);
                return Err(ActionError::unusable("no mail server", reason));
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), ActionError> {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece).await {
            Ok(0) => {
                let reason = format!("{}: closed the connection", self.server);
                Err(ActionError::new(ErrorClass::Reset, reason))
            }
            Ok(length) => {
                self.read.extend_from_slice(&piece[..length]);
                Ok(())
            }
            Err(error) => Err(broken(self.server, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_mail_that_was_taken_is_taken_whatever_follows_the_code() {
        let check = async |end: &str, expected: Result<&str, ErrorClass>| {
            let said = format!("220 a\r\n250-a\r\n250 AUTH PLAIN\r\n235 ok\r\n354 go\r\n{end}");
            let found = hear(said.as_bytes()).await.map_err(|error| error.class);
            assert_eq!(found, expected.map(str::to_owned), "{}", &end[..end.len().min(40)]);
        };
        check("250 2.0.0 queued\r\n", Ok("2.0.0 queued")).await;
        check("250-queued\r\nthis is not SMTP\r\n", Ok("queued")).await;
        check("250 que", Ok("")).await;
        check("250", Ok("")).await;
        check(&format!("250 {}", "x".repeat(2 * LONGEST_REPLY)), Ok("")).await;
        check("25", Err(ErrorClass::Reset)).await;
        check("450 later\r\n", Err(ErrorClass::Busy(Some(450)))).await;
        check("550 no\r\n", Err(ErrorClass::Rejected)).await;
        check("hello\r\n", Err(ErrorClass::Connect)).await;
        check("354 go on\r\n", Err(ErrorClass::Connect)).await;
    }
}
