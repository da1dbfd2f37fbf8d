use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use osnl_testkit::{Authority, Certificate, Guard, ServerIdentity, python_program};
use osnl_transport::MemoryBroker;
use serde_json::{Value, json};

use super::{native, publish_ports, start};
use crate::harness::{instance, port_deleted, publish};

/// Prints its port, then each accepted mail as a line of JSON. The server refuses `nobody@`, and `later@` twice for
/// now.
const SERVER: &str = r#"
import asyncio, base64, email, email.policy, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult
options = json.loads(sys.argv[1])
tries = {}
class Handler:
    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        if address.startswith("later@"):
            tries[address] = tries.get(address, 0) + 1
            if tries[address] <= 2:
                return "451 4.7.1 greylisted, come again"
        if address.startswith("never@"):
            return "452 4.2.2 mailbox full"
        envelope.rcpt_tos.append(address)
        return "250 OK"
    async def handle_DATA(self, server, session, envelope):
        if b"REFUSE" in envelope.content:
            return "554 5.7.1 looks like spam"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {part.get_content_type(): part.get_content().replace("\r\n", "\n") for part in mail.walk() if not part.is_multipart()}
        print(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": server.transport.get_extra_info("ssl_object") is not None,
            "login": session.auth_data, "raw": base64.b64encode(envelope.content).decode(), "options": envelope.mail_options, "headers": {k.lower(): str(v) for k, v in mail.items()}, "parts": parts}), flush=True)
        return "250 taken"
def authenticate(server, session, envelope, mechanism, data):
    user, password = data.login.decode(), data.password.decode()
    if password != "S3CRET":
        both = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        alone = base64.b64encode(password.encode()).decode()
        return AuthResult(success=False, handled=False, message=f"535 what is AUTH PLAIN {both} with {alone} for {password}?") \
            if options.get("repeats") else AuthResult(success=False, handled=False)
    return AuthResult(success=True, auth_data=f"{user} by {mechanism}")
context = None
if options.get("certificate"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options["certificate"], options["key"])
def factory():
    starttls = context if options.get("tls") == "starttls" else None
    return SMTP(Handler(), hostname="mail.test", enable_SMTPUTF8=options.get("utf8", False), tls_context=starttls,
        require_starttls=starttls is not None, authenticator=authenticate, auth_required=options.get("auth", False),
        auth_require_tls=False, auth_exclude_mechanism=options.get("without", []))
async def main():
    implicit = context if options.get("tls") == "implicit" else None
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", options.get("port", 0), ssl=implicit)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"#;

pub(crate) struct Server {
    child: Child,
    _guard: Guard,
    lines: Lines<BufReader<ChildStdout>>,
    port: String,
}

impl Server {
    pub(crate) fn start(options: &Value) -> Self {
        let mut command = python_program("python");
        command.args(["-X", "utf8", "-W", "ignore", "-c", SERVER, &options.to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let guard = Guard::over(&[child.id()], None);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().expect("a port").unwrap();
        Self { child, _guard: guard, lines, port }
    }

    pub(super) fn with_tls(tls: &str, certificate: &Certificate, more: Value) -> Self {
        let mut options = json!({
            "tls": tls, "certificate": certificate.file(), "key": certificate.key_file(),
        });
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Self::start(&options)
    }

    pub(crate) fn rest(mut self) -> Vec<String> {
        let _ = self.child.kill();
        self.lines.by_ref().map(Result::unwrap).collect()
    }

    pub(crate) fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().expect("a mail").unwrap()).unwrap()
    }

    pub(super) fn action(&self, more: &str) -> String {
        format!(
            "driver = mail\nserver = localhost:{}\nfrom = Überwachung <osnl@example.com>\nretry_interval = 0s\n{more}",
            self.port
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const TEXTS: &str = "subject = Größe {{ payload.port.device_id }}\nbody = .\n    {{ event_type }} ü\n\
                     html = <b>{{ event_type }} {{ '<&' }}</b>";

#[test]
fn a_mail_arrives_by_each_kind_of_tls_and_login() {
    let authority = Authority::new();
    let certificate = authority.issue(&ServerIdentity::LOOPBACK);
    let ca = authority.file();
    for (tls, without, mechanism) in
        [("starttls", json!([]), "PLAIN"), ("implicit", json!(["PLAIN"]), "LOGIN")]
    {
        let mut server = Server::with_tls(tls, &certificate, json!({"auth": true, "without": without}));
        let folder = tempfile::tempdir().unwrap();
        let more = format!(
            "tls = {tls}\nca_file = {}\nusername = osnl\npassword = S3CRET\nto = a@example.com, B <b@example.com>\n{TEXTS}",
            ca.display()
        );
        let broker = MemoryBroker::new();
        let daemon = start(&native(folder.path(), &server.action(&more)), &broker);
        publish_ports(&broker, 1..2);
        let mail = server.next();
        assert_eq!(mail["login"], format!("osnl by {mechanism}"));
        assert_eq!((&mail["tls"], &mail["from"]), (&json!(true), &json!("osnl@example.com")));
        assert_eq!(mail["to"], json!(["a@example.com", "b@example.com"]));
        assert_eq!(mail["headers"]["subject"], format!("Größe {}", instance(1)));
        assert!(mail["headers"]["from"].as_str().unwrap().contains("Überwachung"), "{mail}");
        assert_eq!(mail["headers"]["auto-submitted"], "auto-generated");
        assert_eq!(mail["parts"]["text/plain"].as_str().unwrap().trim(), ".\nport.delete.end ü");
        assert_eq!(mail["parts"]["text/html"].as_str().unwrap().trim(), "<b>port.delete.end &lt;&amp;</b>");
        daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
        daemon.stop().unwrap();
    }
}

fn start_again(folder: &Path, server: &Server, more: &str) -> crate::harness::DaemonRig {
    in_clear(folder, server, more, 0)
}

fn in_clear(folder: &Path, server: &Server, more: &str, events: usize) -> crate::harness::DaemonRig {
    let broker = MemoryBroker::new();
    let daemon = start(&native(folder, &server.action(&format!("tls = none\n{more}"))), &broker);
    publish_ports(&broker, 1..1 + events);
    daemon
}

#[test]
fn what_is_refused_for_now_is_tried_again_and_what_is_refused_for_good_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&json!({}));
    let daemon = in_clear(folder.path(), &server, "to = nobody@example.com", 1);
    daemon.wait_until("it is given up", |c| c.dead.get() == 1);
    assert_eq!(daemon.counters.attempts.get(), 1);
    daemon.stop().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let daemon = in_clear(folder.path(), &server, "to = nobody@example.com, ops@example.com", 1);
    assert_eq!(server.next()["to"], json!(["ops@example.com"]));
    daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let daemon = in_clear(folder.path(), &server, "to = ops@example.com, later@example.com", 1);
    assert_eq!(server.next()["to"], json!(["ops@example.com", "later@example.com"]));
    daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
    assert_eq!((daemon.counters.attempts.get(), daemon.counters.dead.get()), (3, 0));
    daemon.stop().unwrap();
}

#[test]
fn what_comes_within_the_interval_is_one_mail() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&json!({}));
    let more = "to = ops@example.com\ndigest = 3s\ndigest_subject = {{ count }} of {{ action }}\n\
                body = {{ payload.port.device_id }}";
    let daemon = in_clear(folder.path(), &server, more, 5);
    let mail = server.next();
    assert_eq!(mail["headers"]["subject"], "5 of a");
    let text = mail["parts"]["text/plain"].as_str().unwrap();
    assert!((1..6).all(|n| text.contains(&instance(n))), "{text}");
    daemon.wait_until("all are delivered", |c| c.delivered.get() == 5);
    daemon.stop().unwrap();
}

/// A temporary refusal does not split a digest.
#[test]
fn a_digest_has_all_of_one_resource_and_stays_one() {
    for by_failure in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::start(&json!({}));
        let mail = server.action(
            "tls = none\nto = ops@example.com, later@example.com\ndigest = 5s\n\
             subject = one\ndigest_subject = {{ count }}\n\
             body = {{ payload.port.fixed_ips[0].ip_address }}.",
        );
        let sections = match by_failure {
            false => mail,
            true => format!(
                "driver = http\nurl = http://127.0.0.1:1/\nbody = {{{{ payload.no_such_thing }}}}\non_failure = ops\n[action:ops]\n{mail}"
            ),
        };
        let broker = MemoryBroker::new();
        let daemon = start(&native(folder.path(), &sections), &broker);
        for n in 1..=5 {
            publish(&broker, &port_deleted(&instance(1), &format!("10.0.0.{n}")));
        }
        let mail = server.next();
        assert_eq!(mail["headers"]["subject"], "5", "{by_failure}");
        let text = mail["parts"]["text/plain"].as_str().unwrap();
        let at = |n| text.find(&format!("10.0.0.{n}.")).unwrap_or_else(|| panic!("{n} in {text}"));
        assert!((1..5).all(|n| at(n) < at(n + 1)), "{text}");
        daemon.wait_until("all are delivered", |c| c.delivered.get() == 5);
        daemon.stop().unwrap();
    }
}

#[test]
fn a_digest_that_is_refused_for_good_is_taken_apart() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&json!({}));
    let more = "to = ops@example.com\ndigest = 1s\n\
                body = {{ 'REFUSE' if payload.port.fixed_ips[0].ip_address == '10.0.0.2' else event_type }}";
    let daemon = in_clear(folder.path(), &server, more, 3);
    for _ in 0..2 {
        assert!(server.next()["headers"]["subject"].as_str().unwrap().starts_with("port.delete.end"));
    }
    daemon.wait_until("one is given up", |c| c.delivered.get() == 2 && c.dead.get() == 1);
    daemon.stop().unwrap();
    assert_eq!(server.rest(), [""; 0]);
}

#[test]
fn a_recipient_that_is_refused_is_named_with_what_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&json!({}));
    let daemon = in_clear(folder.path(), &server, "to = a@example.com, nobody@example.com, b@example.com", 1);
    assert_eq!(server.next()["to"], json!(["a@example.com", "b@example.com"]));
    daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    let rows = osnl::journal::sqlite::SqliteReader::open(&folder.path().join("journal.db")).unwrap();
    let rows = rows.list(&Default::default(), &Default::default()).unwrap();
    let reason = rows[0].reason.clone().unwrap();
    assert!(reason.contains("mailed to a@example.com, b@example.com"), "{reason}");
    assert!(
        reason.contains("not to nobody@example.com: ") && reason.contains("550 5.1.1 no such user"),
        "{reason}"
    );
    assert_eq!(server.rest(), [""; 0]);
}

#[test]
fn a_recipient_who_is_refused_for_now_keeps_the_others_waiting_for_so_long_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&json!({}));
    let to = "to = a@example.com, never@example.com";
    let daemon = in_clear(folder.path(), &server, to, 1);
    daemon.wait_until("it was tried", |c| c.failures.get() >= 2);
    daemon.stop().unwrap();
    let daemon = start_again(folder.path(), &server, &format!("{to}\nwait_for_recipients = 0s"));
    assert_eq!(server.next()["to"], json!(["a@example.com"]));
    daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let alone = "to = never@example.com, nobody@example.com\nwait_for_recipients = 0s";
    let daemon = in_clear(folder.path(), &server, alone, 1);
    daemon.wait_until("it is tried again", |c| c.failures.get() >= 2);
    assert_eq!(daemon.counters.dead.get(), 0);
    daemon.stop().unwrap();
    assert_eq!(server.rest(), [""; 0]);
}

#[test]
fn addresses_beyond_ascii_want_a_server_that_knows_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&json!({"utf8": true}));
    let to = "to = Größe <größe@example.com>, b@example.com";
    let daemon = in_clear(folder.path(), &server, to, 1);
    let mail = server.next();
    assert_eq!(mail["to"], json!(["größe@example.com", "b@example.com"]));
    assert!(mail["options"].as_array().unwrap().contains(&json!("SMTPUTF8")), "{mail}");
    assert!(mail["headers"]["to"].as_str().unwrap().contains("größe@example.com"), "{mail}");
    daemon.stop().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&json!({}));
    let daemon = in_clear(folder.path(), &server, to, 1);
    daemon.wait_for_log("does not know SMTPUTF8, which größe@example.com needs");
    daemon.wait_until("it is given up", |c| c.dead.get() == 1);
    daemon.stop().unwrap();
    assert_eq!(server.rest(), [""; 0]);
}

/// Dots, lines of any length, and texts that imitate a header or the end of the mail.
#[test]
fn nothing_in_a_text_ends_a_mail_or_makes_it_unreadable() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&json!({}));
    let texts = "to = ops@example.com\nsubject = {{ payload.evil }}\nbody = {{ payload.text }}";
    let broker = MemoryBroker::new();
    let daemon = start(&native(folder.path(), &server.action(&format!("tls = none\n{texts}"))), &broker);
    let long = "x".repeat(100_000);
    for text in [
        ".\n..\n.\r\n.\r\nQUIT\r\n",
        &format!("{long}\n.{long}"),
        "\u{0}\u{1b}[1m\u{85}end",
        "Ünïcödé\n.\n",
        "",
    ] {
        let evil = "x\r\nBcc: evil@example.com\r\n\r\n.\r\nMAIL FROM:<evil@example.com>";
        publish(&broker, &json!({"evil": evil, "text": text}));
        let mail = server.next();
        let clean: String =
            text.replace("\r\n", "\n").chars().filter(|c| *c == '\n' || !c.is_control()).collect();
        assert_eq!(mail["parts"]["text/plain"].as_str().unwrap().trim_end(), clean.trim_end());
        assert_eq!((&mail["to"], &mail["from"]), (&json!(["ops@example.com"]), &json!("osnl@example.com")));
        assert!(mail["headers"]["bcc"].is_null(), "{mail}");
        assert_eq!(mail["headers"]["subject"].as_str().unwrap().matches("evil@").count(), 2);
        let raw = BASE64_STANDARD.decode(mail["raw"].as_str().unwrap()).unwrap();
        assert!(raw.split(|byte| *byte == b'\n').all(|line| line.len() <= 999), "{text:.40}");
    }
    daemon.wait_until("all are delivered", |c| c.delivered.get() == 5);
    daemon.stop().unwrap();
    assert_eq!(server.rest(), [""; 0]);
}

#[test]
fn a_refused_login_and_a_server_without_starttls_are_faults_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&json!({"auth": true}));
    let daemon =
        in_clear(folder.path(), &server, "to = ops@example.com\nusername = osnl\npassword = WR0NG", 1);
    daemon.wait_for_log("535");
    assert!(daemon.log().iter().all(|line| !line.contains("WR0NG") && !line.contains("V1Iw")));
    assert_eq!(daemon.counters.dead.get(), 0);
    daemon.stop().unwrap();
    // The log hides the password even if the server repeats it in another form.
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&json!({"auth": true, "repeats": true}));
    let daemon =
        in_clear(folder.path(), &server, "to = ops@example.com\nusername = osnl\npassword = WR0NGPASS", 1);
    daemon.wait_for_log("what is AUTH PLAIN *** with *** for ***?");
    let both = BASE64_STANDARD.encode("\0osnl\0WR0NGPASS");
    let alone = BASE64_STANDARD.encode("WR0NGPASS");
    assert!(
        daemon.log().iter().all(|line| !["WR0NGPASS", &both, &alone].iter().any(|form| line.contains(form)))
    );
    daemon.stop().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let daemon = start(&native(folder.path(), &server.action("to = ops@example.com")), &broker);
    publish_ports(&broker, 1..2);
    daemon.wait_for_log("does not offer STARTTLS");
    daemon.stop().unwrap();
}
