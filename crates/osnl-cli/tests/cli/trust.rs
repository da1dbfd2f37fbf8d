//! The brokers that osnl and the real oslo.messaging 18.3.1 accept: both try each row.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use osnl_testkit::{Authority, Broker, ServerIdentity, python_program};
use serde_json::Value;

/// One attempt for each URL on standard input, in the order of oslo.messaging's own retries.
const REAL: &str = r#"
import concurrent.futures, json, logging, sys
import oslo_messaging
from oslo_config import cfg
logging.disable(logging.CRITICAL)

def attempt(url):
    conf = cfg.ConfigOpts()
    conf([], project="osnl-test", default_config_files=[], default_config_dirs=[])
    try:
        transport = oslo_messaging.get_notification_transport(conf, url=url)
        target = oslo_messaging.Target(exchange="trust", topic="trust")
        transport._send_notification(target, {}, {}, version=2.0, retry=url.count("@") - 1)
    except Exception as error:
        return str(error) or type(error).__name__
    return ""

urls = json.load(sys.stdin)
with concurrent.futures.ThreadPoolExecutor(len(urls)) as pool:
    print(json.dumps(list(pool.map(attempt, urls))))
"#;

/// The query of both, osnl's own option, the hosts, the verdicts, and the reason for a difference.
/// Each verdict pair is for an authority that the system knows and one that it does not: `+`
/// accepts, `-` refuses.
type Row = (&'static str, &'static str, &'static str, [&'static str; 2], &'static str);

const SAME: &str = "";
const WORD: &str = "the word asks for it";
const VERSION: &str = "Python verifies nothing once ssl_version is set, unless a CA file is";
const LOOPBACK: &str = "kombu looks for the name 127.0.0.1 where one of several hosts is localhost";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // query, option, hosts, [the real one, osnl] of known and unknown authorities
    ("ssl=1", "", "right", ["+-", "+-"], SAME),
    ("ssl=1", "", "wrong", ["+-", "+-"], SAME),
    ("ssl=1", "", "right,right", ["+-", "+-"], SAME),
    ("ssl=1", "", "wrong,wrong", ["+-", "+-"], SAME),
    ("ssl=1&ssl_ca_file=CA", "", "right", ["++", "++"], SAME),
    ("ssl=1&ssl_ca_file=CA", "", "wrong", ["--", "--"], SAME),
    ("ssl=1&ssl_ca_file=CA", "", "right,right", ["++", "++"], SAME),
    ("ssl=1&ssl_ca_file=CA", "", "wrong,wrong", ["--", "--"], SAME),
    ("ssl=1&ssl_ca_file=CA", "", "down,wrong", ["--", "--"], SAME),
    ("ssl=1&ssl_ca_file=OTHER", "", "right", ["--", "--"], SAME),
    ("ssl=1&ssl_ca_file=OTHER", "", "wrong", ["--", "--"], SAME),
    ("ssl=1&ssl_ca_file=OTHER", "", "right,right", ["--", "--"], SAME),
    ("ssl=1&ssl_ca_file=OTHER", "", "wrong,wrong", ["--", "--"], SAME),
    ("ssl=1", "", "common", ["+-", "+-"], SAME),
    ("ssl=1&ssl_ca_file=OWN", "", "own", ["++", "++"], SAME),
    ("ssl=1&ssl_enforce_fips_mode=1", "", "right", ["+-", "+-"], SAME),
    ("ssl=1", "", "expired", ["--", "--"], SAME),
    ("ssl=1&ssl_ca_file=CA", "", "expired", ["--", "--"], SAME),
    ("ssl=1&ssl_ca_file=CA", "", "common", ["++", "++"], SAME),
    ("ssl=1&ssl_enforce_hostname_verification=0", "", "wrong", ["+-", "+-"], SAME),
    ("ssl=1&ssl_ca_file=CA&ssl_enforce_hostname_verification=0", "", "wrong", ["--", "--"], SAME),
    ("ssl=1&ssl_ca_file=CA&ssl_enforce_hostname_verification=0", "", "wrong,wrong", ["--", "--"], SAME),
    ("ssl=1&ssl_ca_file=CA&ssl_version=TLSv1_2", "", "right", ["++", "++"], SAME),
    ("ssl=1&ssl_ca_file=CA&ssl_version=TLSv1_2", "", "wrong", ["--", "--"], SAME),
    ("ssl=1&ssl_version=TLSv1_2", "", "right", ["++", "+-"], VERSION),
    ("ssl=1&ssl_version=SSLv23", "", "wrong", ["++", "+-"], VERSION),
    ("ssl=1&ssl_ca_file=CA", "", "local", ["++", "++"], SAME),
    ("ssl=1&ssl_ca_file=CA", "", "local,down", ["--", "++"], LOOPBACK),
    ("ssl=1", "oslo", "wrong", ["+-", "+-"], SAME),
    ("ssl=1", "verify", "right", ["+-", "+-"], SAME),
    ("ssl=1", "verify", "wrong", ["+-", "--"], WORD),
    ("ssl=1", "verify", "wrong,wrong", ["+-", "--"], WORD),
    ("ssl=1", "unverified", "wrong", ["+-", "++"], WORD),
    ("ssl=1", "unverified", "expired", ["--", "++"], WORD),
    ("ssl=1&ssl_ca_file=OTHER", "unverified", "wrong,wrong", ["--", "++"], WORD),
];

#[test]
fn osnl_lets_in_no_broker_that_oslo_messaging_refuses() {
    let (ours, other) = (Authority::new(), Authority::new());
    let broker = Broker::shared();
    let vhost = broker.vhost("trust");
    let port = |identity: ServerIdentity| broker.tls_port(&ours.issue(&identity), None);
    let own = other.issue(&ServerIdentity::SelfSigned);
    let hosts = BTreeMap::from([
        ("right", format!("127.0.0.1:{}", port(ServerIdentity::LOOPBACK))),
        ("wrong", format!("127.0.0.1:{}", port(ServerIdentity::For("DNS:rabbit.example.com")))),
        ("expired", format!("localhost:{}", port(ServerIdentity::Expired))),
        ("common", format!("localhost:{}", port(ServerIdentity::CommonName("localhost")))),
        ("local", format!("localhost:{}", port(ServerIdentity::For("DNS:localhost")))),
        ("own", format!("localhost:{}", broker.tls_port(&own, None))),
        ("down", "127.0.0.1:1".to_owned()),
    ]);
    let own = own.file().to_str().unwrap();
    let url = |(query, _, names, ..): &Row| {
        let query = query.replace("CA", ours.file().to_str().unwrap());
        let query = query.replace("OTHER", other.file().to_str().unwrap());
        let query = query.replace("OWN", own);
        let hosts: Vec<_> = names.split(',').map(|name| format!("guest:guest@{}", hosts[name])).collect();
        format!("rabbit://{}/{}?rabbit_retry_backoff=0&{query}", hosts.join(","), vhost.name())
    };
    let urls: Vec<String> = ROWS.iter().map(url).collect();
    let [known, unknown] = [ours.file(), other.file()].map(|store| {
        let [real, osnl] = std::thread::scope(|scope| {
            let real = scope.spawn(|| real(&urls, &store));
            let osnl = scope.spawn(|| osnl(&urls, &store));
            [real, osnl].map(|verdicts| verdicts.join().unwrap())
        });
        real.into_iter().zip(osnl).collect::<Vec<_>>()
    });
    let mut wrong = Vec::new();
    for ((row, known), unknown) in ROWS.iter().zip(&known).zip(&unknown) {
        let sign = |verdict: &str| if verdict.is_empty() { '+' } else { '-' };
        let real = String::from_iter([sign(&known.0), sign(&unknown.0)]);
        let osnl = String::from_iter([sign(&known.1), sign(&unknown.1)]);
        let (query, word, hosts, expected, reason) = row;
        if [&*real, &osnl] != *expected || (real == osnl) != (*reason == SAME) {
            wrong.push(format!("{query} tls={word} {hosts}: {real} {osnl}, {known:?} {unknown:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn real(urls: &[String], store: &Path) -> Vec<String> {
    let mut command = python_program("python");
    command.args(["-c", REAL]).env("SSL_CERT_FILE", store).env("SSL_CERT_DIR", "/nonexistent");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(serde_json::to_string(urls).unwrap().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn osnl(urls: &[String], store: &Path) -> Vec<String> {
    let home = crate::private_folder().unwrap();
    let mut text =
        "[journal]\nconnection = memory://\n[rule:r]\nactions = a\n[action:a]\ndriver = dump\n".to_owned();
    for (n, (url, (_, word, ..))) in urls.iter().zip(ROWS).enumerate() {
        let word = if word.is_empty() { String::new() } else { format!("tls = {word}\n") };
        text.push_str(&format!(
            "[listener:{n}]\ntransport_url = {url}\nexchange = trust\npool = p{n}\n{word}"
        ));
    }
    std::fs::write(home.path().join("osnl.conf"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
    command.env_clear().env("HOME", home.path()).env("SSL_CERT_FILE", store).current_dir(home.path());
    let arguments = ["check", "-c", "osnl.conf", "--connect", "--timeout", "60s", "--format", "json"];
    let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let verdict = |n: usize| {
        let section = format!("listener:{n}");
        let of_broker = |probe: &&Value| {
            probe["section"] == section.as_str() && probe["what"].as_str().unwrap().starts_with("broker ")
        };
        let probes: Vec<&Value> = all["probes"].as_array().unwrap().iter().filter(of_broker).collect();
        assert!(!probes.is_empty(), "{section} in {all}");
        match probes.iter().any(|probe| probe["found"].as_str().unwrap().starts_with("logged in as ")) {
            true => String::new(),
            false => probes[0]["found"].to_string(),
        }
    };
    (0..urls.len()).map(verdict).collect()
}
