#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use osnl_testkit::{Authority, Protocols, ServerIdentity, TlsSink, signal, wait_until};
use tempfile::TempDir;

use crate::harness::SOON;
use crate::journalled::Rig;

fn configuration(api_url: &str, more: &str) -> (TempDir, PathBuf) {
    let folder = crate::private_folder().unwrap();
    let path = folder.path().join("k2hr3_osnl.conf");
    let text = format!(
        "[oslo_messaging_notifications]\ntransport_url = rabbit://u:p@127.0.0.1:1/\n\
         [k2hr3]\napi_url = {api_url}\n{more}"
    );
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn command(configuration: &PathBuf, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
    command.arg("k2hr3-osnl").arg("-c").arg(configuration).stdin(Stdio::null()).stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_lowercase();
        if text.ends_with("_proxy") || text.starts_with("ssl_cert_") {
            command.env_remove(&name);
        }
    }
    command.envs(environment.iter().copied());
    command
}

fn log_at_start(command: &mut Command) -> String {
    let mut child = command.spawn().unwrap();
    let mut log = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    while !log.contains("127.0.0.1:1: Connection refused") && stderr.read_line(&mut log).unwrap() > 0 {}
    signal(child.id(), "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0), "{log}");
    log
}

#[test]
fn allow_self_signed_cert_is_warned_of_at_each_start() {
    let allowed = "allow_self_signed_cert = True\n";
    let check = |api_url: &str, more: &str, warned: bool| {
        let (_folder, path) = configuration(api_url, more);
        let log = log_at_start(&mut command(&path, &[]));
        let expected = "allow_self_signed_cert: the certificate of the target and its name are not verified, and a \
            forged target would be trusted; put the CA's";
        let line = log.lines().find(|line| line.contains(expected));
        assert_eq!(line.is_some_and(|line| line.contains(" WARNING ")), warned, "{api_url} {more}\n{log}");
    };
    for _ in 0..2 {
        check("https://localhost:8443/v1/role", allowed, true);
    }
    check("https://localhost:8443/v1/role", "", false);
    check("http://localhost:8443/v1/role", allowed, false);
}

#[test]
fn a_proxy_is_told_at_the_start_without_its_login() {
    let (_folder, path) = configuration("http://k2hr3.example/v1/role", "");
    let variable = ("http_proxy", "http://user:secret@proxy.example:3128");
    let log = log_at_start(&mut command(&path, &[variable]));
    assert!(log.contains("http.target=k2hr3.example http.proxy=proxy.example:3128"), "{log}");
    assert!(!log.contains("secret"), "{log}");
}

/// The remedy of a refused certificate names the system's store.
#[test]
fn a_ca_that_the_system_trusts_later_is_used_while_its_target_fails() {
    let [first, second] = ["first", "second"].map(Authority::named);
    let target = TlsSink::start(&second.issue(&ServerIdentity::LOOPBACK), Protocols::Tls12And13);
    let mut rig = Rig::new("tls-store");
    let (path, store) = (rig.path("a.conf"), rig.path("store.pem"));
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace(&rig.sink.url("/v1/role"), &target.url("localhost", "/v1/role"));
    std::fs::write(&path, text).unwrap();
    std::fs::copy(first.file(), &store).unwrap();
    rig.start_under(&[], &[("SSL_CERT_FILE", store.clone())]);
    rig.consuming();
    rig.publish(1, 1);
    wait_until(SOON, "the certificate is refused", || !target.handshakes().is_empty());
    assert!(target.sink().requests().is_empty());
    std::fs::copy(second.file(), &store).unwrap();
    wait_until(SOON, "the certificate is trusted", || !target.sink().requests().is_empty());
}
