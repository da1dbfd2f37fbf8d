use osnl_testkit::{Sink, wait_until};
use serde_json::{Value, json};

use crate::stand::{Osnl, SOON, bodies, stand, text};

#[test]
fn a_tag_is_written_back_to_neutron_by_the_catalogue() {
    let mut stand = stand();
    let login = stand.cloud.login_options();
    let rest = format!(
        "[rule:r]\nevent_type = ^network\\.create\\.end$\nactions = tag\n[action:tag]\ndriver = http\nmethod = PUT\n\
         url = catalog:network/v2.0/networks/{{{{ resource.id }}}}/tags/seen-by-osnl\nauth = keystone\n{login}"
    );
    let osnl = Osnl::new(&stand, "tag", &rest).run();
    let network = stand.create("network", json!({"name": "tagged"}));
    let path = format!("/v2.0/networks/{}", text(&network["id"]));
    let mut tags = Value::Null;
    wait_until(SOON, "neutron shows the tag", || {
        tags = stand.cloud.call("neutron", "GET", &path, Value::Null, 200)["network"]["tags"].clone();
        tags == json!(["seen-by-osnl"])
    });
    drop(osnl);
}

#[test]
fn a_node_is_read_when_ironic_tells_of_it() {
    let mut stand = stand();
    let sink = Sink::start();
    let login = stand.cloud.login_options();
    let rest = format!(
        "topics = ironic_versioned_notifications\n[rule:r]\nevent_type = ^baremetal\\.node\\.(create|update)\\.end$\n\
         actions = cmdb\n[action:cmdb]\ndriver = http\nurl = {}\nenrich = node\n\
         body = {{\"kind\": {{{{ resource.kind|tojson }}}}, \"name\": {{{{ node.name|tojson }}}}, \
         \"driver\": {{{{ node.driver|tojson }}}}}}\n[enrich:node]\nkind = node\n{login}",
        sink.url("/cmdb")
    );
    let osnl = Osnl::new(&stand, "node", &rest);
    let conf = std::fs::read_to_string(osnl.path("osnl.conf")).unwrap();
    std::fs::write(osnl.path("osnl.conf"), conf.replace("exchange = neutron", "exchange = ironic")).unwrap();
    // Ironic's first notification creates its exchange, and osnl binds its queue a second later.
    let node = |name: &str| json!({"driver": "fake-hardware", "name": name});
    stand.cloud.call("ironic", "POST", "/v1/nodes", node("first"), 201);
    let osnl = osnl.run();
    stand.cloud.call("ironic", "POST", "/v1/nodes", node("rack1-07"), 201);
    wait_until(SOON, "its request", || sink.requests().len() == 1);
    assert_eq!(bodies(&sink)[0], json!({"kind": "node", "name": "rack1-07", "driver": "fake-hardware"}));
    drop(osnl);
}
