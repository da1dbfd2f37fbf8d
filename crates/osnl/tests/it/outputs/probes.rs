use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use osnl::action::http::HttpOptions;
use osnl::native::ProbeVerdict;
use osnl_testkit::{
    Authority, Broker, FullBacklog, Protocols, Reply, ServerIdentity, Sink, TlsSink, closed_port,
};
use serde_json::json;

use super::mail::Server;
use super::native;
use crate::exec::python;

/// Longer than the start of a Python on a machine with other work, because no check waits for this limit to pass.
const LIMIT: Duration = Duration::from_secs(60);

fn probed(folder: &Path, action: &str, limit: Duration) -> Vec<(ProbeVerdict, String)> {
    let conf = native(folder, action);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let probes = runtime.block_on(conf.probe(&HttpOptions::default(), limit));
    let own = probes.into_iter().filter(|probe| probe.section == "action:a");
    own.map(|probe| (probe.verdict, probe.to_string().split_once("] ").unwrap().1.to_owned())).collect()
}

fn check(action: &str, verdict: ProbeVerdict, texts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let found = probed(folder.path(), action, LIMIT);
    let [(found, line)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(*found, verdict, "{line}");
    assert!(texts.iter().all(|text| line.contains(text)), "{line}\n{texts:?}");
    assert!(!line.contains("S3CRET") && !line.contains("WR0NG"), "{line}");
}

#[test]
fn a_mail_server_is_talked_to_up_to_the_login_and_gets_no_mail() {
    let authority = Authority::new();
    let certificate = authority.issue(&ServerIdentity::LOOPBACK);
    let ca = format!("ca_file = {}", authority.file().display());
    let fine = (ProbeVerdict::Fine, "mail server localhost:");
    let clear = Server::start(&json!({}));
    let to = "to = ops@example.com\n";
    check(&clear.action(&format!("{to}tls = none")), fine.0, &[fine.1, "answers, no TLS; no mail was sent"]);
    check(
        &clear.action(to),
        ProbeVerdict::Failed,
        &["does not offer STARTTLS; is this the right port? tls = implicit is for 465"],
    );
    check(&clear.action(&format!("{to}tls = implicit\n{ca}")), ProbeVerdict::Failed, &["TLS failed"]);
    for tls in ["starttls", "implicit"] {
        let server = Server::with_tls(tls, &certificate, json!({"auth": true}));
        let login = |password| format!("{to}tls = {tls}\n{ca}\nusername = osnl\npassword = {password}");
        let until = "lets osnl in, TLS; no mail was sent, certificate until 2120-01-01";
        check(&server.action(&login("S3CRET")), fine.0, &[fine.1, until]);
        check(&server.action(&login("WR0NG")), ProbeVerdict::Failed, &["535"]);
        assert_eq!(server.rest(), [""; 0]);
        let expired = Server::with_tls(tls, &authority.issue(&ServerIdentity::Expired), json!({}));
        check(&expired.action(&format!("{to}tls = {tls}\n{ca}")), ProbeVerdict::Failed, &["expired"]);
    }
    let address = "from = a@example.com\nto = b@example.com\ntls = none";
    let mail = |port: u16| format!("driver = mail\nserver = 127.0.0.1:{port}\n{address}");
    check(&mail(closed_port()), ProbeVerdict::Failed, &["Connection refused"]);
    let silent = FullBacklog::start();
    let folder = tempfile::tempdir().unwrap();
    let late = probed(folder.path(), &mail(silent.port()), Duration::from_millis(300));
    assert!(late[0].1.contains("no answer within 0.3 s; is a firewall in the way"), "{late:?}");
    assert_eq!(clear.rest(), [""; 0]);
}

#[test]
fn a_log_is_connected_to_and_told_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let unix = UnixDatagram::bind(&path).unwrap();
    unix.set_nonblocking(true).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_nonblocking(true).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = Authority::new();
    let good = TlsSink::start(&authority.issue(&ServerIdentity::LOOPBACK), Protocols::Tls12And13);
    let expired = TlsSink::start(&authority.issue(&ServerIdentity::Expired), Protocols::Tls12And13);
    let log = |server: String| format!("driver = syslog\nserver = {server}\n");
    let tls = |port: u16| {
        log(format!("tls://localhost:{port}")) + &format!("ca_file = {}", authority.file().display())
    };
    check(&log(path.display().to_string()), ProbeVerdict::Fine, &["accepts connections; nothing was sent"]);
    check(&log(format!("udp://{}", udp.local_addr().unwrap())), ProbeVerdict::Fine, &["is not known"]);
    check(
        &log(format!("tcp://{}", tcp.local_addr().unwrap())),
        ProbeVerdict::Fine,
        &["accepts connections, no TLS"],
    );
    let until = "accepts connections, TLS; nothing was sent, certificate until 2120-01-01";
    check(&tls(good.port()), ProbeVerdict::Fine, &[until]);
    check(&tls(expired.port()), ProbeVerdict::Failed, &["expired"]);
    check(
        &log(format!("tcp://127.0.0.1:{}", closed_port())),
        ProbeVerdict::Failed,
        &["Connection refused", "check that it is running"],
    );
    check(&log("/nowhere/log".to_owned()), ProbeVerdict::Failed, &["No such file"]);
    assert!(unix.recv(&mut [0; 9]).is_err() && udp.recv(&mut [0; 9]).is_err());
}

#[test]
fn an_http_target_gets_a_connection_and_no_request() {
    let authority = Authority::new();
    let good = TlsSink::start(&authority.issue(&ServerIdentity::LOOPBACK), Protocols::Tls12And13);
    let expired = TlsSink::start(&authority.issue(&ServerIdentity::Expired), Protocols::Tls12And13);
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "U=S3CRET\n").unwrap();
    let ca = format!("ca_file = {}\n", authority.file().display());
    let drivers: [&dyn Fn(&str) -> String; 4] = [
        &|url| format!("driver = http\nurl = {url}\n{ca}"),
        &|url| format!("driver = k2hr3\napi_url = {url}/v1/role\n{ca}"),
        &|url| format!("driver = oss_rest\nurl_creation = {url}/new\nurl_deletion = {url}/gone\n{ca}"),
        &|url| {
            format!(
                "driver = k2hr3_register\napi_url = {url}/v1/role\nrole = t:role\ntoken_file = {}\n{ca}",
                token.display()
            )
        },
    ];
    for driver in drivers {
        let first = |url: &str| {
            let found = probed(folder.path(), &driver(url), LIMIT);
            assert!(!found.iter().any(|(_, line)| line.contains("S3CRET")));
            found.into_iter().next().unwrap_or_else(|| panic!("nothing of {}", driver(url)))
        };
        let (verdict, line) = first(&good.url("localhost", ""));
        assert_eq!(verdict, ProbeVerdict::Fine, "{line}");
        assert!(line.ends_with("TLS; no request was sent, certificate until 2120-01-01"), "{line}");
        let (verdict, line) = first(&expired.url("localhost", ""));
        assert_eq!(verdict, ProbeVerdict::Failed, "{line}");
        assert!(line.contains("expired"), "{line}");
        let (verdict, line) = first(&format!("https://localhost:{}", closed_port()));
        assert!(verdict == ProbeVerdict::Failed && line.contains("Connection refused"), "{line}");
    }
    assert_eq!(good.sink().requests().len(), 0);
}

#[test]
fn both_places_of_a_rest_target_are_connected_to_unless_they_are_one() {
    let authority = Authority::new();
    let sink = TlsSink::start(&authority.issue(&ServerIdentity::LOOPBACK), Protocols::Tls12And13);
    let folder = tempfile::tempdir().unwrap();
    let check = |deletion: &str, expected: &[&str]| {
        let action = format!(
            "driver = oss_rest\nurl_creation = {}\nurl_deletion = {deletion}\nca_file = {}\n",
            sink.url("localhost", "/new"),
            authority.file().display()
        );
        let found = probed(folder.path(), &action, LIMIT);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((verdict, line), expected) in found.iter().zip(expected) {
            assert_eq!(*verdict, ProbeVerdict::Fine, "{line}");
            assert!(line.contains(expected), "{line}");
        }
    };
    let (tls, clear) = ("accepts connections, TLS", "accepts connections, no TLS");
    check(&sink.url("LOCALHOST", "/gone"), &[tls]);
    check(&format!("http://localhost:{}/gone", sink.port()), &[tls, clear]);
}

#[test]
fn an_exchange_is_looked_at_and_whether_we_may_publish_to_it() {
    let vhost = Broker::shared().vhost("probe-publish");
    let user = format!("{}-narrow", vhost.name());
    vhost.set_password(&user, "S3CRET");
    let target = osnl_testkit::BrokerObjects {
        queue: "reader".to_owned(),
        exchange: "out".to_owned(),
        ..osnl_testkit::BrokerObjects::default()
    };
    let mut peer =
        osnl_testkit::OsloPublisher::start(&vhost.url(), osnl_testkit::PublisherOptions::default());
    peer.prepare(&target);
    let all = || (vhost.list_exchanges(), vhost.list_queues(), vhost.list_bindings());
    let before = all();
    let folder = tempfile::tempdir().unwrap();
    let url = vhost.url_for(&user, "S3CRET");
    let lines = |exchange: &str| {
        let action = format!("driver = publish\ntransport_url = {url}\nexchange = {exchange}\n");
        let found = probed(folder.path(), &action, LIMIT);
        assert!(!found.iter().any(|(_, line)| line.contains("S3CRET")), "{found:?}");
        found
    };
    // Publishing needs write permission, but no read permission.
    for (read, write, verdict, text) in [
        (
            ".*",
            ".*",
            ProbeVerdict::Fine,
            "exchange out: exists; this user may publish to it; nothing was published",
        ),
        ("^$", ".*", ProbeVerdict::Fine, "this user may publish to it; nothing was published"),
        (".*", "^$", ProbeVerdict::Failed, "access to exchange 'out'"),
    ] {
        vhost.set_permissions(&user, ["^$", write, read]);
        let found = lines("out");
        assert_eq!(found[0].0, ProbeVerdict::Fine, "{found:?}");
        assert_eq!(found[1].0, verdict, "{found:?}");
        assert!(found[1].1.contains(text), "{found:?}");
    }
    let missing = lines("nowhere");
    assert!(missing[1].1.contains("does not exist"), "{missing:?}");
    let refused = vhost.url_for(&user, "WR0NG");
    let action = format!("driver = publish\ntransport_url = {refused}\nexchange = out\n");
    check(&action, ProbeVerdict::Failed, &["login refused"]);
    osnl_testkit::wait_until(LIMIT, "the connections to end", || vhost.connections() <= 1);
    assert_eq!(all(), before);
    assert_eq!(vhost.queue_depth("reader"), Some((0, 0)));
}

#[test]
fn a_file_and_its_folder_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("there"), "").unwrap();
    let file = |path: &Path| format!("driver = file\npath = {}\n", path.display());
    for driver in ["file", "dump"] {
        let file = |path: &Path| file(path).replace("driver = file", &format!("driver = {driver}"));
        check(&file(&at.join("there")), ProbeVerdict::Fine, &["can be written"]);
        check(&file(&at.join("new")), ProbeVerdict::Fine, &["does not exist yet, and can be created"]);
        check(&file(&at.join("no/new")), ProbeVerdict::Failed, &["No such file", "name another one"]);
        check(&file(at), ProbeVerdict::Failed, &["is a folder"]);
    }
    let pipe = at.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    check(&file(&pipe), ProbeVerdict::Failed, &["is not a regular file", "name a file"]);
    let dump = file(&pipe).replace("driver = file", "driver = dump");
    check(&dump, ProbeVerdict::Unproven, &["is a pipe", "start its reader"]);
    assert!(!at.join("new").exists());
}

#[test]
fn a_program_is_looked_for_and_a_plug_in_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("not_executable"), "").unwrap();
    let exec = |command: &str| format!("driver = exec\ncommand = {command}\n");
    check(&exec("/bin/sh"), ProbeVerdict::Fine, &["program /bin/sh: /bin/sh can be run; it was not"]);
    check(&exec("sh"), ProbeVerdict::Fine, &["can be run; it was not"]);
    check(
        &exec("osnl-no-such-program"),
        ProbeVerdict::Failed,
        &["cannot be started: No such file", "name another one"],
    );
    check(
        &exec("/bin/echo --password S3CRET"),
        ProbeVerdict::Failed,
        &["program /bin/echo --password ***: /bin/echo --password *** cannot be started"],
    );
    check(
        &exec(&at.join("not_executable").display().to_string()),
        ProbeVerdict::Failed,
        &["Permission denied"],
    );
    let called = at.join("called");
    let plugin = |module: &str, text: &str| {
        fs::write(at.join(format!("{module}.py")), text).unwrap();
        format!(
            "driver = python\npython = {}\nplugin_path = {}\nplugin = {module}.P\n",
            python(),
            at.display()
        )
    };
    let good = format!("class P:\n    def notify(self, d, c): open({called:?}, 'w')\n");
    check(&plugin("good", &good), ProbeVerdict::Fine, &["plug-in good.P: can be loaded; it was not called"]);
    check(
        &plugin("old", "print 'x'\n"),
        ProbeVerdict::Failed,
        &["old.py, line 1 is Python 2 (the print statement)"],
    );
    check(
        &plugin("raises", "class P:\n  def __init__(self): 1/0\n  def notify(self, d, c): pass\n"),
        ProbeVerdict::Failed,
        &["ZeroDivisionError"],
    );
    check(&plugin("exits", "import os\nos._exit(3)\n"), ProbeVerdict::Failed, &["exit status: 3"]);
    let found = probed(at, &plugin("hangs", "import time\ntime.sleep(1000)\n"), Duration::from_secs(1));
    assert_eq!(found[0].0, ProbeVerdict::Failed);
    assert!(
        found[0].1.contains("was not loaded within 1 s; what does it do while it is imported?"),
        "{found:?}"
    );
    assert!(!called.exists());
}

#[test]
fn a_target_is_asked_where_asking_has_no_effect() {
    let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let check = |action: &str, requests: usize, verdict: ProbeVerdict, words: &str| {
        let before = sink.requests().len();
        let found = probed(folder.path(), &action.replace("URL", &sink.url("/hook")), LIMIT);
        assert_eq!(found[0].0, verdict, "{found:?}");
        assert!(found[0].1.contains(words), "{found:?}");
        assert_eq!(sink.requests().len() - before, requests, "{action}");
    };
    let get = "driver = http\nurl = URL?x=1\nmethod = GET\nheader.X-Key = k\nauth = basic\nusername = u\npassword = S3CRET\n";
    check(get, 1, ProbeVerdict::Fine, "no TLS; GET http://127.0.0.1:");
    let sent = &sink.requests()[0];
    assert_eq!((sent.method.as_str(), sent.target.as_str()), ("GET", "/hook?x=1"));
    assert_eq!(sent.header("x-key"), Some("k"));
    assert!(sent.header("authorization").is_some());
    sink.reply_with(Reply::Status(401));
    check(get, 1, ProbeVerdict::Failed, "status 401: Unauthorized; check the action's credentials");
    check(&format!("{get}success = 200-299, 401\n"), 1, ProbeVerdict::Fine, "/hook?x=1 answers 401");
    for with_effect in [
        "driver = http\nurl = URL\n",
        "driver = http\nurl = URL/{{ resource.id }}\nmethod = GET\n",
        "driver = http\nurl = URL\nmethod = GET\nbody = {{ payload|tojson }}\n",
        "driver = http\nurl = URL\nmethod = GET\nquery.id = {{ resource.id }}\n",
        "driver = http\nurl = URL\nmethod = DELETE\n",
    ] {
        check(with_effect, 0, ProbeVerdict::Fine, "no request was sent");
    }
}
