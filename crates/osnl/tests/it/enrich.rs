mod faults;
mod retries;

use std::time::Duration;

use osnl::action::http::HttpOptions;
use osnl::journal::query::{Filter, ListPage, RowState};
use osnl::journal::sqlite::SqliteReader;
use osnl::native::{Native, ProbeVerdict, load_texts};
use osnl_model::{Priority, Target};
use osnl_testkit::openstack::{CREDENTIAL_SECRET, Openstack, PASSWORD, TOKEN, USER};
use osnl_testkit::{Reply, Sink};
use osnl_transport::MemoryBroker;
use serde_json::{Value, json};

use crate::harness::{DaemonRig, SOON, framed, sources};

const LOGINS: &str = "/v3/auth/tokens";
const SERVERS: &str = "/compute/v2.1/servers/";

struct Stage {
    openstack: Openstack,
    target: Sink,
    broker: MemoryBroker,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let target = Sink::start();
        target.reply_with(Reply::Status(204));
        let (openstack, broker) = (Openstack::start(), MemoryBroker::new());
        Self { openstack, target, broker, folder: tempfile::tempdir().unwrap() }
    }

    fn conf(&self, action: &str, more: &str) -> Native {
        let login = format!(
            "auth_url = {}\nusername = {USER}\npassword = {PASSWORD}\nproject_name = oss",
            self.openstack.auth_url()
        );
        let text = format!(
            "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = true\n\
             [listener:l]\ntransport_url = rabbit://mq/\nexchange = neutron\ndeclare = create\npriorities = info\n\
             pool = osnl\n[rule:r]\nevent_type = ^port\\.|^compute\\.\nactions = hook\n\
             [action:hook]\ndriver = http\nurl = {}\nretry_interval = 0s\nmax_attempts = 2\n{action}\n\
             [enrich:server]\nkind = server\n{login}\n{}",
            self.folder.path().display(),
            self.target.url("/hook"),
            more.replace("LOGIN", &login),
        );
        load(&text)
    }

    fn start(&self, conf: &Native) -> DaemonRig {
        DaemonRig::bound(conf, &self.broker, &["neutron"])
    }

    fn publish(&self, event_type: &str, payload: &Value) -> usize {
        let body = framed("network.host1", event_type, payload);
        self.broker.publish(&Target::new("neutron", "notifications"), &Priority::Info, body)
    }

    fn port(&self, n: usize, server: &str) {
        let port = json!({"port": {"id": format!("port-{n}"), "device_id": server}});
        assert_eq!(self.publish("port.create.end", &port), 1);
    }

    fn bodies(&self) -> Vec<String> {
        let requests = self.target.requests();
        requests.iter().map(|request| String::from_utf8(request.body.clone()).unwrap()).collect()
    }

    fn reasons(&self, state: RowState) -> Vec<String> {
        let filter = Filter { states: vec![state], ..Filter::default() };
        let rows = SqliteReader::open(&self.folder.path().join("journal.db")).unwrap();
        let rows = rows.list(&filter, &ListPage::default()).unwrap();
        rows.into_iter().map(|row| row.reason.unwrap_or_default()).collect()
    }

    fn server_path(&self) -> String {
        format!("{SERVERS}{}", Openstack::id("server"))
    }

    fn rename(&self, name: &str) {
        let mut body = self.openstack.get(&self.server_path());
        body["server"]["name"] = name.into();
        self.openstack.put(&self.server_path(), body);
    }
}

fn load(text: &str) -> Native {
    let loaded = load_texts(&[("test.conf".to_owned(), text.to_owned())], &sources());
    loaded.unwrap_or_else(|errors| panic!("{errors}")).conf
}

const BODY: &str = "enrich = server\nbody = {\"host\": \"{{ server.name }}\"}";

#[test]
fn every_attempt_sends_what_was_found_before_the_first() {
    let stage = Stage::new();
    stage.target.reply_with(Reply::Status(503));
    let conf = stage.conf(BODY, "cache_ttl = 0\n");
    let daemon = stage.start(&conf);
    stage.port(1, Openstack::id("server"));
    let deadline = SOON;
    let seen = stage.target.wait_for(2, deadline).len();
    daemon.abort().unwrap();
    stage.rename("another");
    let daemon = stage.start(&conf);
    stage.target.wait_for(seen + 1, deadline);
    stage.target.reply_with(Reply::Status(204));
    daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    assert!(stage.bodies().iter().all(|body| body == r#"{"host": "web 1"}"#), "{:?}", stage.bodies());
    assert_eq!(stage.openstack.count(SERVERS), 1);
}

/// An outage of the API holds deliveries, and the log names the API.
#[test]
fn an_api_that_is_down_costs_no_attempt() {
    let stage = Stage::new();
    let conf = stage.conf(&format!("{BODY}\nconcurrency = 1"), "timeout = 2s\n");
    let daemon = stage.start(&conf);
    stage.openstack.fail("/compute", Reply::Status(500));
    for n in 0..3 {
        stage.port(n, Openstack::id("server"));
    }
    daemon.wait_until("more attempts than the action has", |c| c.failures.get() > 6);
    daemon.wait_for_log("[enrich:server] http://127.0.0.1");
    assert_eq!((daemon.counters.dead.get(), stage.target.requests().len()), (0, 0));
    stage.openstack.revoke();
    stage.openstack.heal();
    daemon.wait_until("all are delivered", |c| c.delivered.get() == 3);
    let log = daemon.log().join("\n");
    daemon.stop().unwrap();
    assert_eq!(stage.bodies(), [r#"{"host": "web 1"}"#; 3]);
    for secret in [PASSWORD, TOKEN] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn what_is_forbidden_uses_attempts_and_says_what_nova_said() {
    let stage = Stage::new();
    let daemon = stage.start(&stage.conf(BODY, ""));
    let body = r#"{"forbidden": {"code": 403, "message": "Policy doesn't allow it."}}"#;
    let forbidden = Reply::StatusWith { status: 403, headers: Vec::new(), body: body.into() };
    stage.openstack.fail("/compute", forbidden);
    stage.port(1, Openstack::id("server"));
    daemon.wait_until("it is given up", |c| c.dead.get() == 1);
    daemon.stop().unwrap();
    let reasons = stage.reasons(RowState::Dead);
    assert!(reasons[0].starts_with("status 403: [enrich:server] server "), "{reasons:?}");
    assert!(reasons[0].ends_with("forbidden (403): Policy doesn't allow it."), "{reasons:?}");
}

/// A deleted server has its last known state, also after a restart; an unknown server gets the default.
#[test]
fn what_is_gone_is_as_the_journal_has_it() {
    let stage = Stage::new();
    let more = "cache_ttl = 0\nnegative_ttl = 0\ndefault = {\"name\": \"nobody\"}\n";
    let conf = stage.conf(BODY, more);
    let daemon = stage.start(&conf);
    stage.port(1, Openstack::id("server"));
    daemon.wait_until("the first is delivered", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    stage.openstack.remove(&stage.server_path());
    let daemon = stage.start(&conf);
    stage.port(2, Openstack::id("server"));
    daemon.wait_until("the second is delivered", |c| c.delivered.get() == 1);
    stage.port(3, "00000000-0000-4000-8000-000000000000");
    daemon.wait_until("the third is delivered", |c| c.delivered.get() == 2);
    let payload =
        json!({"instance_id": Openstack::id("server"), "display_name": "web 2", "state": "deleted"});
    stage.publish("compute.instance.delete.end", &payload);
    daemon.wait_until("the fourth is delivered", |c| c.delivered.get() == 3);
    daemon.stop().unwrap();
    let host = |name: &str| format!("{{\"host\": \"{name}\"}}");
    assert_eq!(stage.bodies(), [host("web 1"), host("web 1"), host("nobody"), host("web 2")]);
}

#[test]
fn an_action_has_a_condition_that_knows_what_was_found() {
    let stage = Stage::new();
    let action = "enrich = server, flavor\nwhen = server.metadata.Owner == 'ops' and flavor.ram < 1000\n\
                  body = {\"ram\": {{ flavor.ram|tojson }}}";
    let daemon = stage.start(&stage.conf(action, "cache_ttl = 0\n[enrich:flavor]\nkind = flavor\nLOGIN\n"));
    stage.port(1, Openstack::id("server"));
    daemon.wait_until("the first is delivered", |c| c.delivered.get() == 1);
    let mut body = stage.openstack.get(&stage.server_path());
    body["server"]["metadata"]["Owner"] = "dev".into();
    stage.openstack.put(&stage.server_path(), body.clone());
    stage.port(2, Openstack::id("server"));
    daemon.wait_until("the second asks for nothing", |c| c.no_action_needed.get() == 1);
    body["server"]["metadata"] = json!({});
    stage.openstack.put(&stage.server_path(), body);
    stage.port(3, Openstack::id("server"));
    daemon.wait_until("nor does the third", |c| c.no_action_needed.get() == 2);
    daemon.stop().unwrap();
    assert_eq!(stage.bodies(), [r#"{"ram": 512}"#]);
    let mut said = stage.reasons(RowState::NothingToDo);
    said.sort();
    let when = "when is false: server.metadata.Owner == 'ops', server.metadata.Owner is \"dev\"";
    assert_eq!(said, [when, "when is false: the event has no server.metadata.Owner"]);
    assert_eq!(stage.openstack.count(LOGINS), 1);
}

#[test]
fn the_login_is_tried_before_anything_runs() {
    let stage = Stage::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let probes = |conf: &Native| {
        let probes = runtime.block_on(conf.probe(&HttpOptions::default(), Duration::from_secs(10)));
        let probes = probes.into_iter().filter(|probe| probe.section == "enrich:server");
        probes.map(|probe| (probe.verdict, probe.to_string())).collect::<Vec<_>>()
    };
    let probe = |conf: &Native| probes(conf).pop().unwrap();
    let conf = stage.conf(BODY, "");
    let found = probes(&conf);
    assert_eq!(
        found.iter().map(|(verdict, _)| *verdict).collect::<Vec<_>>(),
        [ProbeVerdict::Fine, ProbeVerdict::Warning]
    );
    assert!(found[0].1.ends_with("logged in as osswatch for project oss with roles reader"), "{found:?}");
    let servers = &found[1].1;
    assert!(servers.contains("[enrich:server] servers of compute: http://127.0.0.1:"), "{servers}");
    assert!(
        servers.contains("/compute/v2.1 answers, and lets us read those of project oss; those of other"),
        "{servers}"
    );
    stage.openstack.list("compute", "public", "RegionTwo", "http://127.0.0.1:1/");
    let (verdict, text) = probe(&conf);
    let expected = "; region RegionOne was taken, the first in the catalogue; it also has RegionTwo; set region_name to the \
                    region of the notifications; those of other projects count as gone";
    assert!(verdict == ProbeVerdict::Warning && text.contains(expected), "{text}");
    stage.openstack.unlist();
    // The probe reads no server, because it asks for an id that belongs to none.
    assert_eq!((stage.openstack.count(SERVERS), stage.openstack.count(&stage.server_path())), (2, 0));
    let more = "[enrich:flavor]\nkind = flavor\nLOGIN\n[rule:o]\nactions = oss\n[action:oss]\ndriver = oss_rest\n\
                url_creation = http://127.0.0.1:9/\nask = server\n";
    assert_eq!(probes(&stage.conf(BODY, more)).len(), 5);

    let body = r#"{"forbidden": {"code": 403, "message": "Policy doesn't allow it."}}"#;
    stage
        .openstack
        .fail("/compute", Reply::StatusWith { status: 403, headers: Vec::new(), body: body.into() });
    let (verdict, text) = probe(&conf);
    assert_eq!(verdict, ProbeVerdict::Failed);
    assert!(text.ends_with("Policy doesn't allow it.; give the user a role that may read it: reader for its own project, admin for all"), "{text}");
    stage.openstack.heal();
    stage.openstack.fail("/compute", Reply::Status(503));
    assert!(probe(&conf).1.contains("status 503: Service Unavailable; its own log says why"));
    stage.openstack.heal();
    let page = "<h1>404 Not Found</h1>nginx/1.22.1";
    stage
        .openstack
        .fail("/compute", Reply::StatusWith { status: 404, headers: Vec::new(), body: page.into() });
    let (verdict, text) = probe(&conf);
    assert_eq!(verdict, ProbeVerdict::Failed, "{text}");
    assert!(
        text.contains("not the answer of the compute API about a missing object: 404 Not Found nginx"),
        "{text}"
    );
    stage.openstack.heal();

    let (verdict, text) = probe(&stage.conf(BODY, "region_name = Mars\n"));
    assert_eq!(verdict, ProbeVerdict::Failed);
    assert!(text.contains("no public URL of compute in region Mars; it has public in RegionOne"), "{text}");
    let wrong = "password = wr0ng\n";
    let text = probe(&stage.conf(BODY, wrong)).1;
    assert!(text.contains("refused (401): The request you have made requires authentication."), "{text}");
    assert!(!text.contains("wr0ng"), "{text}");
    stage.openstack.sink().stop();
    let text = probe(&conf).1;
    assert!(text.contains("check that it is running and that auth_url is right"), "{text}");
}

#[test]
fn a_cloud_comes_out_of_clouds_yaml_and_its_secret_out_of_the_file_beside_it() {
    let stage = Stage::new();
    let (folder, url) = (stage.folder.path(), stage.openstack.auth_url());
    let file = folder.join("clouds.yaml");
    let yaml = format!(
        "clouds:\n  mine:\n    auth_type: v3applicationcredential\n    auth:\n      auth_url: {url}\n      \
         application_credential_id: a906a37caf67443a9cd229f5661b6f71\n"
    );
    std::fs::write(&file, yaml).unwrap();
    let secure =
        format!("clouds: {{mine: {{auth: {{application_credential_secret: {CREDENTIAL_SECRET}}}}}}}");
    std::fs::write(folder.join("secure.yaml"), secure).unwrap();
    let more = format!(
        "[enrich:other]\nkind = port\nid = {{{{ payload.port.id }}}}\ncloud = mine\nclouds_file = {}\n",
        file.display()
    );
    let conf = stage.conf("enrich = other\nbody = {\"device\": \"{{ other.device_id }}\"}", &more);
    assert!(!format!("{conf:?}").contains(CREDENTIAL_SECRET));
    let shown = conf.explain();
    assert!(
        shown.contains("as         application credential id a906a37caf67443a9cd229f5661b6f71"),
        "{shown}"
    );
    let daemon = stage.start(&conf);
    let port = json!({"port": {"id": Openstack::id("port")}});
    stage.publish("port.update.end", &port);
    daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    assert_eq!(stage.bodies(), [format!("{{\"device\": \"{}\"}}", Openstack::id("server"))]);
}

/// With `auth = keystone` all requests share a token until the target rejects it, and the log contains none.
#[test]
fn an_action_calls_with_a_token_of_keystone() {
    let stage = Stage::new();
    let login = format!("auth_url = {}\nproject_name = oss", stage.openstack.auth_url());
    let action = format!("auth = keystone\nusername = {USER}\npassword = {PASSWORD}\n{login}\nbody = {{}}");
    let conf = stage.conf(&action, "");
    let shown = conf.explain();
    assert!(shown.contains("login      X-Auth-Token: ***"), "{shown}");
    let daemon = stage.start(&conf);
    stage.port(1, "a");
    daemon.wait_until("the first is delivered", |c| c.delivered.get() == 1);
    let echo = format!("no: {TOKEN}1");
    let refused = Reply::StatusWith { status: 401, headers: Vec::new(), body: echo.clone().into_bytes() };
    stage.target.script(vec![refused]);
    stage.port(2, "a");
    daemon.wait_until("the second is delivered", |c| c.delivered.get() == 2);
    let echo = echo.replace("-1", "-2");
    let refused = Reply::StatusWith { status: 400, headers: Vec::new(), body: echo.into_bytes() };
    stage.target.script(vec![refused.clone(), refused]);
    stage.port(3, "a");
    daemon.wait_until("the third is given up", |c| c.dead.get() == 1);
    let log = daemon.log().join("\n");
    daemon.stop().unwrap();
    let requests = stage.target.requests();
    let tokens: Vec<&str> = requests.iter().filter_map(|r| r.header("x-auth-token")).collect();
    let token = |n: usize| format!("{TOKEN}{n}");
    assert_eq!(tokens, [token(1), token(1), token(2), token(2), token(2)]);
    let reason = &stage.reasons(RowState::Dead)[0];
    assert!(!log.contains(TOKEN) && !reason.contains(TOKEN) && reason.contains("no: ***"), "{reason}\n{log}");
}
