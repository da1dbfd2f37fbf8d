//! `driver = mail` to a real SMTP server, Python's aiosmtpd, with TLS, a login and refusals.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

use osnl_testkit::{Authority, Certificate, Guard, Identity, python_program};
use osnl_transport::MemoryBroker;
use serde_json::{Value, json};

use super::{native, publish_ports, start};
use crate::harness::instance;

/// Says its port, then each mail it has taken as a line of JSON. Recipients: `nobody@` is refused, `later@` twice for now.
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
        envelope.rcpt_tos.append(address)
        return "250 OK"
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {part.get_content_type(): part.get_content().replace("\r\n", "\n") for part in mail.walk() if not part.is_multipart()}
        print(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": server.transport.get_extra_info("ssl_object") is not None,
            "login": session.auth_data, "headers": {k.lower(): str(v) for k, v in mail.items()}, "parts": parts}), flush=True)
        return "250 taken"
def authenticate(server, session, envelope, mechanism, data):
    user, password = data.login.decode(), data.password.decode()
    if password != "S3CRET":
        return AuthResult(success=False, handled=False)
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

    fn with_tls(tls: &str, certificate: &Certificate, more: Value) -> Self {
        let mut options = json!({
            "tls": tls, "certificate": certificate.file(), "key": certificate.key_file(),
        });
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Self::start(&options)
    }

    pub(crate) fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().expect("a mail").unwrap()).unwrap()
    }

    fn action(&self, more: &str) -> String {
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
    let certificate = authority.issue(&Identity::LOOPBACK);
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
        // A line that is a dot ends nothing.
        assert_eq!(mail["parts"]["text/plain"].as_str().unwrap().trim(), ".\nport.delete.end ü");
        assert_eq!(mail["parts"]["text/html"].as_str().unwrap().trim(), "<b>port.delete.end &lt;&amp;</b>");
        daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
        daemon.stop().unwrap();
    }
}

fn in_clear(folder: &Path, server: &Server, more: &str, events: usize) -> crate::harness::Running {
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
    // The other one gets it all the same.
    let folder = tempfile::tempdir().unwrap();
    let daemon = in_clear(folder.path(), &server, "to = nobody@example.com, ops@example.com", 1);
    assert_eq!(server.next()["to"], json!(["ops@example.com"]));
    daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    // Nobody has it before all may have it.
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
    let more = "to = ops@example.com\ndigest = 1s\ndigest_subject = {{ count }} of {{ action }}\n\
                body = {{ payload.port.device_id }}";
    let daemon = in_clear(folder.path(), &server, more, 5);
    let mail = server.next();
    assert_eq!(mail["headers"]["subject"], "5 of a");
    let text = mail["parts"]["text/plain"].as_str().unwrap();
    assert!((1..6).all(|n| text.contains(&instance(n))), "{text}");
    daemon.wait_until("all are delivered", |c| c.delivered.get() == 5);
    daemon.stop().unwrap();
}

/// Its password is in no line of the log.
#[test]
fn a_refused_login_and_a_server_without_starttls_are_nobody_s_event() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&json!({"auth": true}));
    let daemon =
        in_clear(folder.path(), &server, "to = ops@example.com\nusername = osnl\npassword = WR0NG", 1);
    daemon.wait_for_log("535");
    assert!(daemon.log().iter().all(|line| !line.contains("WR0NG") && !line.contains("V1Iw")));
    assert_eq!(daemon.counters.dead.get(), 0);
    daemon.stop().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let daemon = start(&native(folder.path(), &server.action("to = ops@example.com")), &broker);
    publish_ports(&broker, 1..2);
    daemon.wait_for_log("does not offer STARTTLS");
    daemon.stop().unwrap();
}
