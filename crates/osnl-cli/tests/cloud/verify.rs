use std::fs;

use osnl_testkit::{Sink, wait_until};
use serde_json::{Value, json};

use crate::stand::{Osnl, SOON, Stand, stand, text};

const PASSWORD: &str = "verifier-password";

/// A user of its own with the role `admin`, which a test can take away.
struct Reader {
    role: String,
}

impl Reader {
    fn new(stand: &mut Stand) -> Self {
        let find = |stand: &mut Stand, kind: &str| {
            let found =
                stand.cloud.call("keystone", "GET", &format!("/v3/{kind}?name=admin"), Value::Null, 200);
            text(&found[kind][0]["id"])
        };
        let (project, role) = (find(stand, "projects"), find(stand, "roles"));
        let user = json!({"user": {"name": "verifier", "password": PASSWORD, "domain_id": "default"}});
        let user = stand.cloud.call("keystone", "POST", "/v3/users", user, 201);
        let role = format!("/v3/projects/{project}/users/{}/roles/{role}", text(&user["user"]["id"]));
        Self { role }
    }

    fn may_read(&self, stand: &mut Stand, may: bool) {
        stand.cloud.call("keystone", if may { "PUT" } else { "DELETE" }, &self.role, Value::Null, 204);
    }
}

/// Makes ports, and returns their ids in the order in which verify asks for them.
fn ports(stand: &mut Stand, count: usize) -> Vec<Value> {
    let (network, _) = stand.network("verified", "10.9.0.0/20", false);
    let project = stand.cloud.call("keystone", "GET", "/v3/projects?name=admin", Value::Null, 200);
    let quota = format!("/v2.0/quotas/{}", text(&project["projects"][0]["id"]));
    stand.cloud.call("neutron", "PUT", &quota, json!({"quota": {"port": -1}}), 200);
    let mut made = Vec::new();
    for _ in 0..count / 50 {
        let many = vec![json!({"network_id": network}); 50];
        let all = stand.cloud.call("neutron", "POST", "/v2.0/ports", json!({"ports": many}), 201);
        made.extend(all["ports"].as_array().unwrap().iter().map(|port| port["id"].clone()));
    }
    made.sort_by_key(text);
    made
}

#[test]
fn deletions_that_osnl_never_heard_of_are_found_and_no_other_is() {
    let mut stand = stand();
    let sink = Sink::start();
    let reader = Reader::new(&mut stand);
    reader.may_read(&mut stand, true);
    let ports = ports(&mut stand, 1100);
    // Every fifth of the first 1,000, and every other one of the last 100. No queue of osnl exists yet.
    let is_deleted = |n: usize| if n < 1000 { n % 5 == 4 } else { n.is_multiple_of(2) };
    let deleted = |range: std::ops::Range<usize>| {
        let mut ids: Vec<String> = range.filter(|n| is_deleted(*n)).map(|n| text(&ports[n])).collect();
        ids.sort();
        ids
    };
    for port in ports.iter().enumerate().filter(|(n, _)| is_deleted(*n)).map(|(_, port)| port) {
        stand.delete("port", port);
    }
    let rest = format!(
        "[rule:r]\nevent_type = ^port\\.delete\\.end$\nactions = cmdb\n[action:cmdb]\ndriver = http\n\
         method = DELETE\nurl = {}/{{{{ resource.id }}}}\n[enrich:port]\nkind = port\nauth_url = {}\n\
         username = verifier\npassword = {PASSWORD}\nproject_name = admin\n",
        sink.url("/hosts"),
        stand.cloud.auth_url()
    );
    let osnl = Osnl::new(&stand, "verify", &rest).run();
    let ids: String = ports.iter().map(|port| text(port) + "\n").collect();
    fs::write(osnl.path("ids"), ids).unwrap();
    let called = || {
        let mut ids: Vec<String> =
            sink.requests().iter().map(|made| made.target.trim_start_matches("/hosts/").to_owned()).collect();
        ids.sort();
        ids
    };
    let verify = |rate| {
        let verify =
            ["verify", "cmdb", "-c", "osnl.conf", "--kind", "port", "--ids", "ids", "--live", "--yes"];
        osnl.start(&[&verify[..], &["--allow-many", "--rate", rate]].concat())
    };
    // The second stretch of 1,000 takes four seconds; in them the reader loses its role.
    let mut run = verify("25");
    wait_until(10 * SOON, "a deletion of the first stretch", || !called().is_empty());
    reader.may_read(&mut stand, false);
    assert_eq!(run.wait(SOON).code(), Some(69), "{}", run.output());
    wait_until(SOON, "the first stretch", || called().len() == 200);
    assert_eq!(called(), deleted(0..1000));
    reader.may_read(&mut stand, true);
    let mut run = verify("200");
    assert_eq!(run.wait(10 * SOON).code(), Some(0), "{}", run.output());
    wait_until(SOON, "the rest", || called().len() >= 250);
    assert_eq!(called(), deleted(0..1100));
    println!("{}", run.output().lines().last().unwrap_or_default());
}
