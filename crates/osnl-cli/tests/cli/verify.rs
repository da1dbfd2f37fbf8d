use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use osnl_testkit::openstack::{Openstack, PASSWORD, USER};
use osnl_testkit::{Broker, Notice, OsloPublisher, Pty, PublisherOptions, Reply, Sink, wait_until};
use serde_json::{Value, json};

use crate::explain::{json_lines, run};
use crate::harness::{Osnl, PROMPTLY, Place, SOON, instance};

const OSNL: &str = env!("CARGO_BIN_EXE_osnl");

struct Stand {
    place: Place,
    openstack: Openstack,
    k2hr3: Sink,
}

impl Stand {
    /// Makes a cloud with the instances `there`, and a K2HR3 whose role has those of `held`.
    fn new(
        transport_url: &str,
        there: std::ops::RangeInclusive<usize>,
        held: std::ops::RangeInclusive<usize>,
    ) -> Self {
        let (place, openstack, k2hr3) = (Place::new(), Openstack::start(), Sink::start());
        openstack.roles(&["admin"]);
        for n in there {
            let server = json!({"server": {"id": instance(n), "tenant_id": "of another project"}});
            openstack.put(&format!("/compute/v2.1/servers/{}", instance(n)), server);
        }
        let ips: Vec<String> =
            held.clone().map(|n| format!("10.0.0.{n} * {} openstack-auto-v1", instance(n))).collect();
        let role =
            json!({"result": true, "role": {"hosts": {"hostnames": ["by-name"], "ips": ips}}}).to_string();
        k2hr3.reply_when(move |asked| {
            let is_role = asked.method == "GET" && asked.target == "/v1/role/web?expand=false";
            let (status, body) = match asked.header("x-auth-token").unwrap_or_default() {
                "U=scoped" => (200, role.clone()),
                other => (401, format!("token({}) is not existed", other.trim_start_matches("U="))),
            };
            is_role.then(|| Reply::StatusWith { status, headers: Vec::new(), body: body.into() })
        });
        place.write("token", "U=scoped\n");
        place.write("ids", held.map(|n| format!("{}\n", instance(n))).collect::<String>());
        let conf = format!(
            "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = yes\n\
             [listener:nova]\ntransport_url = {transport_url}\nexchange = nova\ndeclare = create\npool = osnl\n\
             [rule:deleted]\nevent_type = ^compute\\.instance\\.delete\\.end$\nactions = roles, audit\n\
             [rule:created]\nevent_type = ^compute\\.instance\\.create\\.end$\nactions = audit\n\
             [action:roles]\ndriver = k2hr3\napi_url = {}\nguard = 3 per 10m\n\
             [action:audit]\ndriver = dump\npath = {}\n\
             [enrich:server]\nkind = server\nauth_url = {}\nusername = {USER}\npassword = {PASSWORD}\nproject_name = oss\n",
            place.path("state").display(),
            k2hr3.url("/v1/role"),
            place.path("audit.jsonl").display(),
            openstack.auth_url(),
        );
        place.write("a.conf", conf);
        Self { place, openstack, k2hr3 }
    }

    fn verify(&self, more: &[&str]) -> (Option<i32>, String, String) {
        run(&self.place, &[&["verify", "roles", "-c", "a.conf", "--rate", "1000"][..], more].concat())
    }

    fn daemon(&self) -> Osnl {
        self.place.run(Path::new(OSNL), &["run", "-c", "a.conf"]).listening()
    }

    fn deletions(&self) -> Vec<String> {
        let made = self.k2hr3.requests();
        let mut made: Vec<_> =
            made.iter().filter(|asked| asked.method == "DELETE").map(|asked| asked.target.clone()).collect();
        made.sort();
        made
    }

    fn has_gaps(&self, gaps: &[Value]) {
        std::fs::create_dir(self.place.path("state")).unwrap();
        let book = json!({"format": 1, "next": gaps.len(), "heard": {}, "gaps": gaps});
        self.place.write("state/gaps.json", book.to_string());
    }

    fn gaps(&self) -> Vec<Value> {
        let (_, left, _) = run(&self.place, &["gaps", "-c", "a.conf", "--format", "json"]);
        serde_json::from_str::<Value>(&left).unwrap()["gaps"].as_array().unwrap().clone()
    }

    fn asked(&self) -> usize {
        self.openstack.count("/compute/v2.1/servers/")
    }
}

fn gap(id: u64, listener: &str, until: u64) -> Value {
    json!({"id": id, "listener": listener, "exchanges": ["nova"], "topics": [], "from": 1, "until": until,
           "cause": "queue-recreated", "is_certain": true, "detail": null, "verified": []})
}

fn summary(stdout: &str) -> Value {
    json_lines(stdout).pop().unwrap()["summary"].clone()
}

#[test]
fn instances_that_a_role_still_holds_are_removed_once_and_within_the_guard() {
    let vhost = Broker::shared().vhost("verified");
    let stand = Stand::new(&vhost.url(), 1..=16, 1..=20);
    let from = ["--from", "k2hr3", "--role", "web", "--token-file", "token"];
    let (code, stdout, stderr) = stand.verify(&from);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("not of an instance, and are not verified: 1"), "{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[0], format!("server {} is gone", instance(17)));
    assert!(
        lines[1].starts_with("  action roles for ") && lines[1].contains(" would be called: DELETE http"),
        "{stdout}"
    );
    assert_eq!(
        *lines.last().unwrap(),
        "20 servers asked about: 16 there, 4 gone, 0 unknown; would append 4 deletions; nothing was changed; --live appends them"
    );
    let live = [&from[..], &["--live", "--yes"]].concat();
    let (code, _, stderr) = stand.verify(&live);
    assert!(code == Some(69) && stderr.contains("no daemon has this journal"), "{stderr}");

    stand.has_gaps(&[gap(1, "nova", 2), gap(2, "nova", 99_999_999_999), gap(3, "other", 2)]);
    let osnl = stand.daemon();
    let (_, dry, _) = stand.verify(&[&from[..], &["--format", "json"]].concat());
    assert_eq!(summary(&dry)["gaps_closed"], 0);
    let (code, stdout, stderr) = stand.verify(&live);
    assert!(
        code == Some(0) && stdout.ends_with("4 gone, 0 unknown; 4 deletions appended; 1 gap closed\n"),
        "{stdout}{stderr}"
    );
    let left: Vec<_> = stand.gaps().iter().map(|gap| gap["id"].clone()).collect();
    assert_eq!(left, [2, 3], "of another listener, and after the verification");
    // The guard holds the fourth.
    wait_until(SOON, "three deletions", || stand.deletions().len() == 3);
    let (_, listed, _) =
        run(&stand.place, &["deliveries", "list", "-c", "a.conf", "--action", "roles", "--format", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let states = listed["deliveries"].as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap());
    assert_eq!(states.filter(|state| *state == "waiting for release").count(), 1, "{listed:#}");
    for deletion in stand.deletions() {
        assert!((17..=20).any(|n| deletion.ends_with(&format!("cuk={}", instance(n)))), "{deletion}");
    }
    let (code, stdout, _) = stand.verify(&[&live[..], &["--format", "json"]].concat());
    let summed = summary(&stdout);
    assert_eq!(
        (code, &summed["appended"], &summed["appended_before"]),
        (Some(0), &json!(0), &json!(4)),
        "{stdout}"
    );
    assert!(summed["complete"] == true && summed["covers_until"].is_string(), "{stdout}");
    osnl.stop();
    assert_eq!((stand.deletions().len(), stand.place.read("audit.jsonl")), (3, String::new()));
}

#[test]
fn a_gap_that_may_have_lost_both_kinds_is_closed_when_both_are_verified() {
    let vhost = Broker::shared().vhost("verified-kinds");
    let stand = Stand::new(&vhost.url(), 1..=20, 1..=20);
    for n in 1..=20 {
        let port = json!({"port": {"id": instance(n), "tenant_id": "of another project"}});
        stand.openstack.put(&format!("/network/v2.0/ports/{}", instance(n)), port);
    }
    let conf =
        stand.place.read("a.conf").replace("driver = k2hr3\napi_url", "driver = http\nmethod = DELETE\nurl");
    stand.place.write("a.conf", conf.replacen("^compute\\.instance", "^(port|compute\\.instance)", 1));
    stand.has_gaps(&[gap(1, "nova", 2)]);
    let osnl = stand.daemon();
    for (kind, next) in [("port", Some("osnl verify roles --ids FILE --live")), ("server", None)] {
        let (code, stdout, stderr) = stand.verify(&["--ids", "ids", "--kind", kind, "--live", "--yes"]);
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert_eq!(stdout.ends_with("; 1 gap closed\n"), next.is_none(), "{stdout}");
        assert_eq!(stand.gaps().first().map(|gap| gap["command"].clone()), next.map(|next| json!(next)));
    }
    osnl.stop();
}

/// A resource that the target was given later is not among the ids, and its deletion may be lost in a later gap.
#[test]
fn a_gap_after_the_ids_were_exported_or_read_stays() {
    let vhost = Broker::shared().vhost("verified-late");
    let stand = Stand::new(&vhost.url(), 1..=20, 1..=20);
    stand.has_gaps(&[gap(1, "nova", 1000), gap(2, "nova", 1001)]);
    let exported = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let file = File::options().append(true).open(stand.place.path("ids")).unwrap();
    file.set_modified(exported).unwrap();
    let osnl = stand.daemon();
    let (code, stdout, stderr) = stand.verify(&["--ids", "ids", "--live", "--yes", "--format", "json"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let summed = summary(&stdout);
    assert_eq!(
        (&summed["gaps_closed"], &summed["covers_until"]),
        (&json!(1), &json!("1970-01-01T00:16:40Z"))
    );
    assert_eq!(stand.gaps().iter().map(|gap| gap["id"].clone()).collect::<Vec<_>>(), [2]);
    // The operator thinks about the question.
    let args =
        "verify roles -c a.conf --rate 1000 --format json --live --from k2hr3 --role web --token-file token";
    let args: Vec<&str> = args.split(' ').collect();
    let mut terminal = Pty::start(Path::new(OSNL), &args, &stand.place.path(""), (300, 24));
    wait_until(SOON, "the question", || terminal.text().contains("is gone? [y/N]"));
    let asked = SystemTime::now();
    wait_until(SOON, "the operator", || asked.elapsed().unwrap() > Duration::from_secs(1));
    terminal.type_in("y\r");
    assert_eq!(terminal.wait(PROMPTLY).code(), Some(0), "{}", terminal.text());
    let text = terminal.text();
    let covers = text.split_once(r#""covers_until":""#).and_then(|(_, rest)| rest.split_once('"')).unwrap().0;
    assert!(SystemTime::from(covers.parse::<Timestamp>().unwrap()) <= asked, "{covers}, asked at {asked:?}");
    assert!(stand.gaps().is_empty());
    osnl.stop();
}

#[test]
fn a_resource_of_which_something_is_known_lately_is_left_alone() {
    let vhost = Broker::shared().vhost("verified-young");
    let stand = Stand::new(&vhost.url(), 2..=20, 1..=20);
    let osnl = stand.daemon();
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&[Notice {
        exchange: "nova".to_owned(),
        event_type: "compute.instance.create.end".to_owned(),
        payload: json!({"instance_id": instance(1), "state": "active"}),
        ..Notice::default()
    }]);
    wait_until(SOON, "the create", || stand.place.read("audit.jsonl").contains(&instance(1)));
    let live = ["--ids", "ids", "--live", "--yes"];
    let (code, stdout, stderr) = stand.verify(&live);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(
        stdout.contains(&format!("server {} is gone; left out: an event about it is younger", instance(1))),
        "{stdout}"
    );
    assert!(stdout.ends_with("1 left out; 0 deletions appended\n"), "{stdout}");
    let (code, stdout, _) = stand.verify(&[&live[..], &["--settled", "1ms"]].concat());
    assert!(code == Some(0) && stdout.ends_with("; 1 deletion appended\n"), "{stdout}");
    wait_until(SOON, "a deletion", || stand.deletions().len() == 1);
    // The target holds it still, or a restore has brought it back.
    wait_until(SOON, "the deletion is in vain", || {
        let (code, stdout, _) = stand.verify(&[&live[..], &["--settled", "1ms"]].concat());
        code == Some(1) && stdout.contains("and the target holds it: osnl replay --id ")
    });
    assert_eq!(stand.deletions().len(), 1);
    osnl.stop();
}

#[test]
fn nothing_is_asked_or_appended_without_good_reason() {
    let stand = Stand::new("rabbit://127.0.0.1:9/", 1..=16, 1..=20);
    let check = |more: &[&str], status: i32, expected: &str| {
        let (code, stdout, stderr) = stand.verify(more);
        assert_eq!(code, Some(status), "{more:?}: {stdout}{stderr}");
        assert!(stderr.contains(expected), "{more:?}: {stderr}");
    };
    stand.place.write("hostile", format!("{}\n# 2\n../../v3/users\n", instance(1)));
    check(&["--ids", "hostile"], 1, "hostile:3: \"../../v3/users\" is not an id; write one UUID a line");
    check(&["--ids", "ids", "--live"], 2, "add --yes");
    check(&["--ids", "none"], 1, "none: ");
    check(&["--ids", "ids", "--enrich", "other"], 1, "other");
    check(&["--from", "k2hr3"], 2, "name the role with --role and --token-file");
    stand.place.write("wrong", "U=wrong\n");
    for expected in ["role web of K2HR3 at ", "reply: token(***) is not existed"] {
        check(&["--from", "k2hr3", "--role", "web", "--token-file", "wrong"], 69, expected);
    }
    assert_eq!(stand.asked(), 0);
    stand.openstack.roles(&["reader"]);
    check(&["--ids", "ids"], 69, "does not have the role admin");
    assert_eq!(stand.asked(), 0);
    stand.openstack.roles(&["admin"]);
    let one = stand.place.read("a.conf");
    let other = "[enrich:other]\nkind = port\nauth_url = http://127.0.0.1:9/v3\nusername = u\npassword = p\nproject_name = p\n";
    let two = one.replace("guard = 3 per 10m\n", "guard = 3 per 10m\nenrich = server, other\n") + other;
    stand.place.write("a.conf", two);
    check(&["--ids", "ids"], 78, "several clouds or regions: name one with --enrich");
    assert_eq!(stand.asked(), 0);
    stand.place.write("a.conf", one.replace("[rule:deleted]\n", "[rule:deleted]\nmode = shadow\n"));
    let (code, stdout, stderr) = stand.verify(&["--ids", "ids"]);
    let left_out = "is gone; left out: compute.instance.delete.end: its rule has mode = shadow";
    assert!(code == Some(1) && stdout.contains(left_out), "{stdout}{stderr}");
    stand.place.write("a.conf", one);
    let (two, before) = (stand.openstack.sink().url("/two/v2.1"), stand.asked());
    stand.openstack.list("compute", "public", "RegionTwo", &two);
    check(&["--ids", "ids"], 69, "has compute in RegionOne, RegionTwo");
    check(&["--ids", "ids", "--region", "Mars"], 69, "no public URL of compute in region Mars");
    assert_eq!(stand.asked(), before);
    check(&["--ids", "ids", "--region", "RegionOne"], 0, "");
    // A URL of clouds.yaml may be that of another region, in which all ids look deleted.
    stand.place.write("clouds.yaml", "clouds: {c: {compute_endpoint_override: 'http://127.0.0.1:9/v2.1'}}\n");
    let own = stand.place.read("a.conf");
    let cloud =
        format!("kind = server\ncloud = c\nclouds_file = {}\n", stand.place.path("clouds.yaml").display());
    stand.place.write("a.conf", own.replace("kind = server\n", &cloud));
    check(&["--ids", "ids", "--region", "RegionOne"], 78, "write region_name = RegionOne into the section");
    stand.place.write("a.conf", own);
    stand.openstack.unlist();
    stand.openstack.remove(&format!("/compute/v2.1/servers/{}", instance(1)));
    check(&["--ids", "ids"], 0, "warning: more than 20 % of the ids so far are gone");
    stand.openstack.fail(&format!("/compute/v2.1/servers/{}", instance(2)), Reply::Status(500));
    let (code, stdout, _) = stand.verify(&["--ids", "ids", "--allow-many", "--format", "json"]);
    let lines = json_lines(&stdout);
    assert!(code == Some(1) && lines.iter().any(|line| line["answer"] == "unknown"), "{stdout}");
    assert_eq!(
        ["there", "gone", "unknown", "complete", "covers_until"].map(|name| summary(&stdout)[name].clone()),
        [json!(14), json!(5), json!(1), json!(false), Value::Null]
    );
}

#[test]
fn many_deletions_are_a_question_and_no_answer_is_a_no() {
    let vhost = Broker::shared().vhost("verified-many");
    let stand = Stand::new(&vhost.url(), 1..=10, 1..=20);
    let osnl = stand.daemon();
    let live = ["--ids", "ids", "--live", "--yes"];
    let (code, stdout, stderr) = stand.verify(&live);
    assert!(
        code == Some(1) && stderr.contains("add --allow-many and run the command again"),
        "{stdout}{stderr}"
    );
    let args = ["verify", "roles", "-c", "a.conf", "--rate", "1000", "--ids", "ids", "--live"];
    let mut terminal = Pty::start(Path::new(OSNL), &args, &stand.place.path(""), (300, 24));
    wait_until(SOON, "the question", || terminal.text().contains("is gone? [y/N]"));
    terminal.type_in("y\r");
    wait_until(SOON, "the second question", || terminal.text().contains("Go on? [y/N]"));
    terminal.type_in("n\r");
    assert_eq!(terminal.wait(PROMPTLY).code(), Some(1), "{}", terminal.text());
    assert!(stand.deletions().is_empty());
    let (code, stdout, _) = stand.verify(&[&live[..], &["--allow-many"]].concat());
    assert!(code == Some(0) && stdout.ends_with("; 10 deletions appended\n"), "{stdout}");
    osnl.stop();
}

#[test]
fn ctrl_c_after_a_question_says_where_to_go_on() {
    let vhost = Broker::shared().vhost("verified-interrupted");
    let stand = Stand::new(&vhost.url(), 1..=1, 2..=1000);
    let osnl = stand.daemon();
    let args = ["verify", "roles", "-c", "a.conf", "--rate", "100", "--ids", "ids", "--live"];
    let mut terminal = Pty::start(Path::new(OSNL), &args, &stand.place.path(""), (300, 24));
    wait_until(SOON, "the question", || terminal.text().contains("is gone? [y/N]"));
    terminal.type_in("y\r");
    wait_until(SOON, "the second question", || terminal.text().contains("Go on? [y/N]"));
    let asked = stand.asked();
    terminal.type_in("y\r");
    wait_until(SOON, "further ids", || stand.asked() > asked + 20);
    terminal.type_in("\x03");
    assert_eq!(terminal.wait(PROMPTLY).code(), Some(130), "{}", terminal.text());
    let text = terminal.text();
    assert!(text.contains(" ids were asked about; run the command again"), "{text}");
    osnl.stop();
}

#[test]
fn an_interrupted_run_says_where_to_go_on() {
    let stand = Stand::new("rabbit://127.0.0.1:9/", 1..=2400, 1..=2400);
    let args = ["verify", "roles", "-c", "a.conf", "--rate", "500", "--ids", "ids"];
    let mut osnl: Osnl = stand.place.run(Path::new(OSNL), &args);
    wait_until(SOON, "a stretch and a part of the next", || stand.asked() > 1020);
    osnl.signal("INT");
    assert_eq!(osnl.wait(PROMPTLY).code(), Some(130));
    let stderr = osnl.stderr();
    let expected = format!("were asked about; go on with --after {}", instance(1000));
    assert!(stderr.contains(" of 2,400 ids ") && stderr.contains(&expected), "{stderr}");
    let before = stand.asked();
    let (code, stdout, _) = stand.verify(&["--ids", "ids", "--after", &instance(1000), "--format", "json"]);
    assert_eq!((code, stand.asked() - before), (Some(0), 1400), "{stdout}");
    assert_eq!(summary(&stdout)["covers_until"], Value::Null, "{stdout}");
}
