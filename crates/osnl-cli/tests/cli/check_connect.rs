//! `osnl check --connect` on a real RabbitMQ and real TLS targets: its lines and exit statuses, and
//! that it changes nothing.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use osnl_testkit::{
    Authority, Broker, BrokerObjects, FullBacklog, OsloPublisher, Protocols, RawMessage, ServerIdentity,
    Sink, TlsSink, Vhost,
};
use osnl_transport::BrokerVersion;
use serde_json::{Value, json};
use tempfile::TempDir;

fn osnl(home: &TempDir, conf: &str, args: &[&str]) -> Output {
    fs::write(home.path().join("osnl.conf"), conf).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
    command.env_clear().env("HOME", home.path()).current_dir(home.path()).stdin(Stdio::null());
    command.args(["check", "-c", "osnl.conf"]).args(args).output().unwrap()
}

fn probes(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let verdicts = ["ok ", "warning ", "note ", "untested ", "failed "];
    let lines =
        text.lines().filter(|line| verdicts.iter().any(|v| line.starts_with(v)) && line.contains('['));
    lines.map(str::to_owned).collect()
}

fn conf(url: &str, listener: &str, rest: &str) -> String {
    let pool = if listener.contains("pool") || listener.contains("queue =") { "" } else { "pool = osnl\n" };
    format!(
        "[journal]\nconnection = memory://\n[listener:l]\ntransport_url = {url}\n{listener}\n\
         {pool}[rule:r]\nactions = a\n{rest}\n"
    )
}

const DUMP: &str = "[action:a]\ndriver = dump";

#[test]
#[expect(clippy::too_many_lines, reason = "one broker, looked at in one go")]
fn everything_is_looked_at_and_left_as_it_was() {
    let broker = Broker::shared();
    let vhost = broker.vhost("check-connect");
    let home = crate::private_folder().unwrap();
    let mut peer = OsloPublisher::start(&vhost.url(), osnl_testkit::PublisherOptions::default());
    prepare(&mut peer);
    let all = || (vhost.list_exchanges(), vhost.list_queues(), vhost.list_bindings());
    let before = all();

    let other = |line: &str| {
        [
            "] broker ",
            "] permissions ",
            "] management API",
            ": it exists, and no queue <topic>.<priority> does",
        ]
        .iter()
        .any(|word| line.contains(word))
    };
    let check = |listener: &str, expected: &[&str]| {
        let output = osnl(&home, &conf(&vhost.url(), listener, DUMP), &["--connect"]);
        let found = probes(&output);
        let of_listener: Vec<&str> = found.iter().map(String::as_str).collect();
        let of_listener: Vec<&str> =
            of_listener.into_iter().filter(|l| l.contains("[listener:l] ") && !other(l)).collect();
        assert_eq!(of_listener, expected, "{listener}");
        output.status.code()
    };
    let neutron = "ok       [listener:l] exchange neutron: exists: topic, durable";
    let late = "osnl uses it as it is; to have it created as configured: write a second listener with another pool, also \
                into rules that name this one, and reload; then remove this one, and reload, which is refused until its \
                queue is empty; then delete the queue: it fills with what the other reads too; where that is impossible, \
                let osnl read it empty, stop its consumers, delete it while it is empty, and start osnl: what is published \
                meanwhile is lost";
    assert_eq!(
        check(
            "exchange = neutron\npool = alike",
            &[
                neutron,
                "ok       [listener:l] queue alike: exists, 1 message waits, no consumer reads it; the queue has the configured properties"
            ],
        ),
        Some(0)
    );
    let differs = |name: &str, what: &str| {
        format!(
            "warning  [listener:l] queue {name}: exists, 0 messages wait, no consumer reads it; {what}; {late}"
        )
    };
    // RabbitMQ 4 gives each quorum queue a delivery limit.
    let limited = "it has the broker's delivery limit, 20 unless a policy sets another; beyond it, a message is dropped: no \
                   dead-letter exchange is among its arguments (a policy may name one); each lost connection, rejection, or \
                   consumer time-out counts; ";
    let limited = if vhost.greeting()[1].starts_with("3.") { "" } else { limited };
    for (name, what) in [
        ("many", "x-single-active-consumer: configured true, found none"),
        ("long", "x-max-length: configured none, found 9"),
        ("kind", &format!("{limited}x-queue-type: configured classic, found quorum")),
    ] {
        let status = check(&format!("exchange = neutron\npool = {name}"), &[neutron, &differs(name, what)]);
        assert_eq!(status, Some(0));
    }
    let status = check(
        "exchange = nova\npool = short",
        &[
            "ok       [listener:l] exchange nova: exists: topic, transient (RabbitMQ before 4.3 may delete it at a restart)",
            &differs("short", "durable: configured true, found false"),
        ],
    );
    assert_eq!(status, Some(0));
    let status = check(
        "exchange = amq.fanout, cinder\npool = none",
        &[
            "failed   [listener:l] exchange amq.fanout: exists and is fanout, not topic; name the exchange that \
             the service publishes to: its control_exchange",
            "warning  [listener:l] exchange cinder: it does not exist, and no queue <topic>.<priority> either: no service has \
             published a notification in this virtual host; other causes: control_exchange of the service, its virtual host \
             (transport_url): nothing reaches the listener from this exchange; set [oslo_messaging_notifications] driver = \
             messagingv2 in /etc/cinder/cinder.conf, then restart the services of cinder",
            "ok       [listener:l] queue none: does not exist, and will be created",
        ],
    );
    assert_eq!(status, Some(69));
    assert_eq!(
        check("exchange = neutron\npool = none\ndurable = false", &[neutron, transient_queue(&vhost)]),
        Some(0)
    );
    let status = check(
        "queue = none",
        &[
            "failed   [listener:l] queue none: does not exist; with queue = NAME osnl creates nothing; create it, or check its name",
        ],
    );
    assert_eq!(status, Some(69));
    check(
        "queue = alike",
        &["ok       [listener:l] queue alike: exists, 1 message waits, no consumer reads it"],
    );

    a_target_gets_no_request(&home, &vhost.url());

    osnl_testkit::wait_until(Duration::from_secs(60), "the connections to end", || vhost.connections() <= 1);
    assert_eq!(all(), before, "nothing is made, bound, consumed or settled");
    let waiting = peer.take("alike").expect("the message waits");
    assert!(!waiting.redelivered, "nobody has been handed the message");
}

fn transient_queue(vhost: &Vhost) -> &'static str {
    if BrokerVersion::read(&vhost.greeting()[1]).unwrap().denies_transient_queues() {
        "warning  [listener:l] queue none: does not exist, and will be created: durable, if this RabbitMQ refuses \
         transient queues, as 4.3 does by default; services that declare transient queues cannot publish there: write \
         amqp_durable_queues = true or rabbit_quorum_queue = true, in them and here"
    } else {
        "ok       [listener:l] queue none: does not exist, and will be created"
    }
}

#[test]
fn what_the_user_may_do_is_proven_and_what_is_missing_has_its_command() {
    let broker = Broker::shared();
    let vhost = broker.vhost("check-permissions");
    let user = format!("{}-narrow", vhost.name());
    vhost.set_password(&user, "S3CRET");
    let home = crate::private_folder().unwrap();
    let mut peer = OsloPublisher::start(&vhost.url(), osnl_testkit::PublisherOptions::default());
    prepare(&mut peer);
    let before = (vhost.list_queues(), vhost.list_bindings());
    let text = conf(&vhost.url_for(&user, "S3CRET"), "exchange = neutron\npool = mine", DUMP);
    let said = |permissions: [&str; 3], args: &[&str]| {
        vhost.set_permissions(&user, permissions);
        let output = osnl(&home, &text, &[&["--connect"], args].concat());
        let found = probes(&output);
        let line = found.iter().find(|line| line.contains("] permissions for queue mine: "));
        (line.unwrap_or_else(|| panic!("{found:?}")).clone(), output.status.code())
    };
    let all = ["^mine$", "^mine$", "^(mine|neutron)$"];
    let (line, status) = said(all, &[]);
    let may = format!("{user} may create it, bind it to neutron and read it");
    assert_eq!(
        line,
        format!("ok       [listener:l] permissions for queue mine: {may} (nothing was created)")
    );
    assert_eq!(status, Some(0));
    let command = format!(
        "; rabbitmqctl set_permissions -p {} {user} '^(mine)$' '^(mine)$' '^(neutron|mine)$'  # overwrites",
        vhost.name()
    );
    for (permissions, refused) in [
        (["^$", "^mine$", ".*"], "queue 'mine'"),
        (["^mine$", "^$", ".*"], "queue 'mine'"),
        (["^mine$", "^mine$", "^mine$"], "exchange 'neutron'"),
        (["^mine$", "^mine$", "^neutron$"], "queue 'mine'"),
    ] {
        for args in [&[][..], &["--declare"]] {
            let (line, status) = said(permissions, args);
            assert!(line.starts_with("failed ") && line.contains(refused), "{permissions:?} {line}");
            assert!(line.contains(&command), "{line}");
            assert_eq!(status, Some(69), "{line}");
        }
    }
    assert_eq!((vhost.list_queues(), vhost.list_bindings()), before, "nothing is made");
    let (line, status) = said(all, &["--declare"]);
    assert!(line.ends_with(" (osnl created it, bound it, and deleted it again)"), "{line}");
    assert_eq!((vhost.list_queues(), vhost.list_bindings()), before, "what was made has gone");
    assert_eq!(status, Some(0));
    // A queue with a message is neither deleted nor read.
    let text = conf(&vhost.url(), "exchange = neutron\npool = alike", DUMP);
    for args in [&["--connect"][..], &["--connect", "--declare"]] {
        let output = osnl(&home, &text, args);
        let found = probes(&output);
        let line = found.iter().find(|line| line.contains("permissions for queue alike")).unwrap();
        let found = "; reading was not tested, because a test would take messages; if reading is permitted, osnl status shows";
        assert!(line.starts_with("untested ") && line.contains(" may ") && line.contains(found), "{line}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(", 2 untested.") && !text.contains("passed"), "{text}");
    }
    assert_eq!((vhost.list_queues(), vhost.list_bindings()), before);
    osnl_testkit::wait_until(Duration::from_secs(60), "the connections to end", || vhost.connections() <= 1);
}

#[test]
fn quorum_queues_that_are_made_as_a_proof_have_gone_after_it() {
    let vhost = Broker::shared().vhost("check-quorum");
    let home = crate::private_folder().unwrap();
    // With `memory://`, a pool on a quorum queue has a dead letter queue.
    let text = conf(&vhost.url(), "exchange = amq.topic\npool = mine\nqueue_type = quorum", DUMP);
    let found = probes(&osnl(&home, &text, &["--connect", "--declare"]));
    for queue in ["mine", "mine.dead"] {
        let part = format!("] permissions for queue {queue}: ");
        let line = found.iter().find(|line| line.contains(&part)).unwrap_or_else(|| panic!("{found:?}"));
        assert!(line.ends_with(" (osnl created it, bound it, and deleted it again)"), "{line}");
    }
    assert_eq!(vhost.list_queues(), []);
}

fn prepare(peer: &mut OsloPublisher) {
    let queue = |name: &str, durable: bool, arguments: Value| BrokerObjects {
        queue: name.to_owned(),
        durable,
        arguments,
        exchange: if durable { "neutron" } else { "nova" }.to_owned(),
        ..BrokerObjects::default()
    };
    peer.prepare(&queue("alike", true, json!({"x-single-active-consumer": true})));
    peer.prepare(&queue("many", true, json!({})));
    peer.prepare(&queue("long", true, json!({"x-single-active-consumer": true, "x-max-length": 9})));
    peer.prepare(&queue("kind", true, json!({"x-queue-type": "quorum", "x-single-active-consumer": true})));
    peer.prepare(&queue("short", false, json!({})));
    peer.raw(&RawMessage {
        exchange: String::new(),
        routing_key: "alike".to_owned(),
        body: b"x".to_vec(),
        ..RawMessage::default()
    });
}

fn a_target_gets_no_request(home: &TempDir, url: &str) {
    let sink = Sink::start();
    let target = format!("[action:a]\ndriver = k2hr3\napi_url = {}", sink.url("/v1/role"));
    let output = osnl(home, &conf(url, "exchange = neutron\npool = alike", &target), &["--connect"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(probes(&output).last().unwrap().ends_with("accepts connections, no TLS; no request was sent"));
    assert_eq!(sink.requests().len(), 0);
}

#[test]
fn who_reads_a_queue_and_who_has_the_journal_is_said() {
    let broker = Broker::shared();
    let vhost = broker.vhost("check-readers");
    let home = crate::private_folder().unwrap();
    let text = conf(&vhost.url(), "exchange = neutron\ndeclare = create", DUMP)
        .replace("memory://", "sqlite:///$state_dir/journal.db\nallow_volatile = true")
        + &format!("[DEFAULT]\nstate_dir = {}\n", home.path().display());
    fs::write(home.path().join("osnl.conf"), &text).unwrap();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_osnl"));
    daemon.args(["run", "-c", "osnl.conf"]).current_dir(home.path());
    let mut daemon = daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let consumed = || vhost.list_queues().iter().any(|queue| queue.consumers == 1);
    osnl_testkit::wait_until(Duration::from_secs(60), "osnl to consume", consumed);
    let output = osnl(&home, &text, &["--connect"]);
    let other = home.path().join("other");
    let foreign = osnl(
        &home,
        &text.replace(&format!("{}\n", home.path().display()), &format!("{}\n", other.display())),
        &["--connect"],
    );
    let pid = daemon.id();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let found = probes(&output);
    let ours = "the daemon of this configuration";
    assert!(found[0].contains(&format!("in use by process {pid}: {ours}")), "{found:?}");
    let expected = format!("0 messages wait, 1 consumer reads it: {ours}, process {pid}");
    assert!(found[3].contains(&expected) && found[3].starts_with("ok "), "{found:?}");
    assert!(found[3].ends_with("the queue has the configured properties"), "{found:?}");
    assert!(!found.iter().any(|line| line.starts_with("warning ")), "{found:?}");
    assert_eq!(output.status.code(), Some(0));
    let found = probes(&foreign);
    assert!(
        found[3].contains("1 consumer reads it, but no osnl runs with this state directory"),
        "{found:?}"
    );
    let expected = "1 consumer is not of this configuration's daemon: right if that is osnl on another host";
    assert!(found[4].contains(expected) && found[4].starts_with("warning "), "{found:?}");
}

#[test]
fn each_host_and_target_says_what_is_wrong_with_it_in_bounded_time() {
    let broker = Broker::shared();
    let vhost = broker.vhost("check-refused");
    let home = crate::private_folder().unwrap();
    let authority = Authority::new();
    let secure = broker.tls_port(&authority.issue(&ServerIdentity::LOOPBACK), None);
    let silent = FullBacklog::start();
    let expired = TlsSink::start(&authority.issue(&ServerIdentity::Expired), Protocols::Tls12And13);
    let good = TlsSink::start(&authority.issue(&ServerIdentity::LOOPBACK), Protocols::Tls12And13);
    let ca = authority.file();
    let ca = ca.display();
    let plain = vhost.url().replace("rabbit://guest:guest@127.0.0.1:", "");
    let (port, name) = plain.split_once('/').unwrap();
    let url = format!(
        "rabbit://guest:guest@127.0.0.1:{port},guest:hunter2@127.0.0.1:{port},guest:guest@127.0.0.1:1,\
         guest:guest@127.0.0.1:{}/{name}",
        silent.port()
    );
    let rest = format!(
        "[rule:s]\nactions = b, c\n[action:a]\ndriver = k2hr3\napi_url = {}\nca_file = {ca}\n\
         [action:b]\ndriver = k2hr3\napi_url = {}\nca_file = {ca}\n[action:c]\ndriver = dump\npath = none/x\n\
         [listener:tls]\ntransport_url = rabbit://guest:guest@127.0.0.1:{secure}/{name}\nexchange = neutron\n\
         tls = verify\nssl_ca_file = {ca}\npool = osnl\n[listener:vhost]\n\
         transport_url = rabbit://guest:guest@127.0.0.1:{port}/nowhere\nexchange = neutron\npool = osnl",
        expired.url("localhost", "/v1/role"),
        good.url("localhost", "/v1/role"),
    );
    let began = Instant::now();
    let text = conf(&url, "exchange = neutron", &rest);
    let output = osnl(&home, &text, &["--connect", "--timeout", "10s"]);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(output.status.code(), Some(69));
    let found = probes(&output).join("\n");
    assert!(!found.contains("hunter2"), "{found}");
    let one = |part: &str, expected: &str| {
        let line =
            found.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part} in\n{found}"));
        assert!(line.contains(expected), "{line}");
    };
    let [product, version, cluster] = vhost.greeting();
    let broker_line =
        |n: usize| found.lines().filter(|line| line.contains("[listener:l] broker")).nth(n).unwrap();
    assert_eq!(
        broker_line(0),
        format!(
            "ok       [listener:l] broker 127.0.0.1:{port}: logged in as guest, virtual host {name}, no TLS, \
             {product} {version}, cluster {cluster}"
        )
    );
    assert!(broker_line(1).contains("login refused for user \"guest\""), "{found}");
    assert!(broker_line(1).contains("; to test user and password of transport_url: rabbitmqctl "), "{found}");
    assert!(broker_line(2).contains("Connection refused"), "{found}");
    assert!(broker_line(3).contains("no answer within 6 s"), "{found}");
    let tls = format!(
        "virtual host {name}, TLS, {product} {version}, cluster {cluster}, certificate until 2120-01-01"
    );
    one("[listener:tls] broker", &tls);
    one("[listener:vhost] broker", "virtual host \"nowhere\" refused");
    one("[action:a] target", "failed ");
    one("[action:a] target", "expired");
    one("[action:b] target", "accepts connections, TLS; no request was sent, certificate until 2120-01-01");
    one("[action:c] file none/x", "cannot be written: No such file or directory");
    assert_eq!(good.sink().requests().len(), 0);

    let output = osnl(&home, &text, &["--connect", "--timeout", "10s", "--format", "json"]);
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&all["usable"], output.status.code()), (&json!(true), Some(69)));
    let probe = |section: &str| {
        let all = all["probes"].as_array().unwrap();
        all.iter().find(|probe| probe["section"] == section).unwrap().clone()
    };
    assert_eq!(
        probe("action:c"),
        json!({
            "section": "action:c", "what": "file none/x", "verdict": "failed",
            "found": "cannot be written: No such file or directory (os error 2)",
            "advice": "name another one, or give this user write access", "passive": false,
        })
    );
}

#[test]
fn a_client_certificate_out_of_its_time_is_said_although_the_target_asks_for_none() {
    let home = crate::private_folder().unwrap();
    let authority = Authority::new();
    let target = TlsSink::start(&authority.issue(&ServerIdentity::LOOPBACK), Protocols::Tls12And13);
    let check = |shown: &ServerIdentity, flags: &[&str]| {
        let shown = authority.issue(shown);
        let (file, key) = (shown.file().display(), shown.key_file().display());
        let rest = format!(
            "[action:a]\ndriver = http\nurl = {}\nca_file = {}\nclient_certificate = {file}\nclient_key = {key}",
            target.url("localhost", "/"),
            authority.file().display(),
        );
        let listener = "exchange = neutron";
        let output = osnl(&home, &conf("rabbit://u:p@127.0.0.1:1/", listener, &rest), flags);
        let named = format!("client certificate {file}");
        let line = probes(&output).into_iter().find(|line| line.contains(&named)).unwrap_or_default();
        (line.replace(&file.to_string(), "FILE"), output)
    };
    let (line, _) = check(&ServerIdentity::LOOPBACK, &["--connect"]);
    assert_eq!(line, "ok       [action:a] client certificate FILE: valid until 2120-01-01");
    let (line, _) = check(&ServerIdentity::Expired, &["--connect"]);
    assert_eq!(
        line,
        "failed   [action:a] client certificate FILE: expired on 2024-02-01; renew it: servers that ask for a client \
         certificate refuse this one"
    );
    let (line, _) = check(&ServerIdentity::NotYet, &["--connect"]);
    assert_eq!(
        line,
        "failed   [action:a] client certificate FILE: is not valid before 2124-01-01; check the clock of this machine, or \
         name the certificate that is in use"
    );
    let (_, output) = check(&ServerIdentity::Version1, &[]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{text}");
    let expected = "the certificate is of X.509 version 1, and TLS needs version 3; issue it with extensions, such as \
                    subjectAltName: openssl x509 -req with -extfile";
    assert!(
        text.contains("[action:a] client_certificate: client certificate in ") && text.contains(expected),
        "{text}"
    );
}

#[test]
fn places_that_a_start_refuses_are_named_and_nothing_is_made() {
    let home = crate::private_folder().unwrap();
    fs::write(home.path().join("plain"), "").unwrap();
    let places = |state: &str, journal: &str| {
        let home = home.path().display();
        let rest = conf("rabbit://u:p@127.0.0.1:1/", "exchange = neutron", DUMP);
        let journal = format!("connection = sqlite:///{home}/{journal}\nallow_volatile = true\n");
        format!(
            "[DEFAULT]\nstate_dir = {home}/{state}\n{}",
            rest.replace("connection = memory://\n", &journal)
        )
    };
    let home_words = home.path().display().to_string();
    // Without its folder a daemon runs, and without its journal none does.
    let output = osnl(&home, &places("plain/state", "journal/journal.db"), &[]);
    let text = String::from_utf8(output.stdout).unwrap().replace(&home_words, "HOME");
    let warning = "[DEFAULT] state_dir HOME/plain/state: cannot be written: Not a directory; name another folder with state_dir, \
                   or give this user write access";
    assert!(output.status.code() == Some(0) && text.contains(warning), "{text}");
    let output = osnl(&home, &places("state", "plain/x/journal.db"), &[]);
    let text = String::from_utf8(output.stderr).unwrap().replace(&home_words, "HOME");
    let refusal = "[journal] connection: HOME/plain/x/journal.db: cannot be opened: Not a directory; a folder of this path is a \
                   file: name another one";
    assert!(output.status.code() == Some(78) && text.contains(refusal), "{text}");
    let output = osnl(&home, &places("state", "journal/journal.db"), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("state_dir ") && !text.contains("[journal]"), "{text}");
    let output = osnl(&home, &places("state", "journal/journal.db"), &["--connect"]);
    let text = String::from_utf8(output.stdout).unwrap().replace(&home_words, "HOME");
    let expected = "ok       [journal] file HOME/journal/journal.db: does not exist yet, and can be created";
    assert!(text.contains(expected) && !text.contains("state_dir HOME"), "{text}");
    let mut found: Vec<_> =
        fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    found.sort();
    assert_eq!(found, ["osnl.conf", "plain"]);
}

#[test]
fn the_certificate_of_the_admin_endpoint_is_judged_by_its_dates() {
    let home = crate::private_folder().unwrap();
    let authority = Authority::new();
    let check = |shown: &ServerIdentity| {
        let shown = authority.issue(shown);
        let file = shown.file().display().to_string();
        let rest = format!(
            "{DUMP}\n[admin]\nlisten = 127.0.0.1:0\ntls_certificate = {file}\ntls_key = {}",
            shown.key_file().display()
        );
        let output =
            osnl(&home, &conf("rabbit://u:p@127.0.0.1:1/", "exchange = neutron", &rest), &["--connect"]);
        let line = probes(&output).into_iter().find(|line| line.contains("[admin] ")).unwrap_or_default();
        line.replace(&file, "FILE")
    };
    assert_eq!(check(&ServerIdentity::LOOPBACK), "ok       [admin] certificate FILE: valid until 2120-01-01");
    assert_eq!(
        check(&ServerIdentity::Expired),
        "failed   [admin] certificate FILE: expired on 2024-02-01; renew it: clients refuse this one"
    );
}

#[test]
fn check_answers_scripts_in_json() {
    let home = crate::private_folder().unwrap();
    let right = conf("rabbit://u:hunter2@127.0.0.1/", "exchange = neutron\npool = a # b", DUMP);
    let output = osnl(&home, &right, &["--format", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&all["usable"], &all["errors"], &all["probes"]), (&json!(true), &json!([]), &Value::Null));
    assert_eq!(all["explanation"][0], "journal in memory");
    assert_eq!(
        all["warnings"][0],
        json!({
            "text": "osnl.conf:6: [listener:l] pool: the # and what follows belong to the value; a comment needs a line of its own",
            "file": "osnl.conf", "line": 6, "column": null, "section": "listener:l", "option": "pool",
            "problem": "the # and what follows belong to the value",
            "allowed": "a comment needs a line of its own", "suggestion": null,
        })
    );
    let wrong = right.replace("exchange", "exchang");
    for more in [&["--format", "json"][..], &["--format", "json", "--connect"]] {
        let output = osnl(&home, &wrong, more);
        assert_eq!((output.status.code(), output.stderr.len()), (Some(78), 0));
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(all["usable"], false);
        assert_eq!(all["errors"].as_array().unwrap().len(), 2, "{all}");
        assert_eq!(all["errors"][1]["suggestion"], "exchange", "{all}");
    }
}

#[test]
fn the_reference_is_printed_in_each_form() {
    let print = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_osnl")).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(print(&["config", "reference"]).contains("\n[listener:NAME]\n"));
    assert!(print(&["config", "reference", "--format", "markdown"]).contains("\n## `[listener:NAME]`\n"));
    assert!(print(&["man", "osnl.conf"]).starts_with(".TH osnl.conf 5 "));
    let all: Value = serde_json::from_str(&print(&["config", "reference", "--format", "json"])).unwrap();
    let sections = all["sections"].as_array().unwrap();
    let url = sections.iter().flat_map(|section| section["options"].as_array().unwrap());
    let url = url.into_iter().find(|option| option["name"] == "transport_url").unwrap();
    assert_eq!(url["secret"], true);
}

/// The user of the service must be able to read the old files too.
#[test]
fn the_files_of_the_old_programs_are_judged_for_another_user() {
    use std::os::unix::fs::PermissionsExt as _;

    let home = crate::private_folder().unwrap();
    let file = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let k2hr3 = "[oslo_messaging_notifications]\ntransport_url = rabbit://guest:guest@127.0.0.1:9/\n[k2hr3]\n\
                 api_url = http://127.0.0.1:9/v1/role\n";
    let oss = "[DEFAULT]\nenabled_plugins = rest_plugin.RESTNotify\n[rabbit]\nhost = 127.0.0.1\nport = 9\n[rest]\n\
               host = http://127.0.0.1\nport = 9\n";
    for (flag, path) in [("--k2hr3-osnl", file("k.conf", k2hr3)), ("--oss-watcher", file("o.conf", oss))] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
        command.env_clear().env("HOME", home.path()).current_dir(home.path()).stdin(Stdio::null());
        command.arg("check").arg(flag).arg(&path);
        let output = command.args(["--connect", "--as-user", "65000", "--timeout", "2s"]).output().unwrap();
        let found = probes(&output);
        let line = found.iter().find(|line| line.contains(&format!("65000 reads {}", path.display())));
        let line = line.unwrap_or_else(|| panic!("{flag}: {found:?} {output:?}"));
        assert!(line.starts_with("failed ") && line.contains("65000 may not "), "{line}");
    }
}
