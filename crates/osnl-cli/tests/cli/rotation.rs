//! A secret that changes at the server and in its file: osnl uses the new secret after the refusal,
//! without a reload.

use std::fs;

use osnl_testkit::openstack::{Openstack, PASSWORD, USER};
use osnl_testkit::{Reply, wait_until};

use crate::reloading::{ACTION, LISTENER, RULE, Rig, SOON};

fn write(rig: &Rig, name: &str, secret: &str) {
    // Renamed into place as rotation tools do, so that no reader gets a partial secret.
    let (new, file) = (rig.home.path().join("new"), rig.home.path().join(name));
    fs::write(&new, secret).unwrap();
    fs::rename(new, file).unwrap();
}

#[test]
fn a_broker_whose_password_changes_is_logged_in_to_with_the_new_one() {
    let mut rig = Rig::start("rotation-broker");
    let user = rig.vhost.name().to_owned();
    rig.vhost.set_password(&user, "before");
    write(&rig, "url", &rig.vhost.url_for(&user, "before"));
    rig.write(&[&LISTENER.replace("URL", "file://HOME/url"), RULE, ACTION]);
    rig.reload(0);
    rig.listening("neutron");

    rig.vhost.set_password(&user, "behind");
    rig.vhost.close_all_connections("the password has changed");
    wait_until(SOON, "the login is refused", || {
        rig.listener("neutron").to_string().contains("login refused for user")
    });
    write(&rig, "url", "S3CRET");
    wait_until(SOON, "the content is refused", || rig.status().to_string().contains("bad transport URL"));
    write(&rig, "url", &rig.vhost.url_for(&user, "behind"));
    rig.listening("neutron");
    rig.publish([(1, 1)]);
    rig.sink.wait_for(1, SOON);
    wait_until(SOON, "no reload is refused any more", || {
        !rig.status().to_string().contains("bad transport URL")
    });
    let log = rig.log();
    assert!(!log.contains("S3CRET") && !log.contains("behind@") && !log.contains("before@"), "{log}");
}

#[test]
fn a_target_whose_token_changes_gets_the_new_one_and_no_dead_letter() {
    let mut rig = Rig::start("rotation-target");
    rig.sink.reply_when(|request| {
        let is_new = request.header("authorization") == Some("Bearer behind");
        Some(Reply::Status(if is_new { 204 } else { 401 }))
    });
    write(&rig, "token", "before");
    let action = "[action:roles]\ndriver = http\nurl = SINK\nauth = bearer\ntoken = file://HOME/token\n\
                  retry_interval = 1s\n";
    rig.write(&[LISTENER, RULE, action]);
    rig.reload(0);
    rig.publish([(1, 1), (2, 2)]);
    rig.sink.wait_for(1, SOON);
    write(&rig, "token", "behind");
    wait_until(SOON, "all is delivered", || rig.target("roles")["done"] == 2);
    assert_eq!(rig.target("roles")["dead"], 0);
}

fn clouds(rig: &Rig, openstack: &Openstack, password: &str) {
    let login = format!("username: {USER}, password: {password}, project_name: oss");
    let auth = format!("{{auth_url: '{}', {login}}}", openstack.auth_url());
    write(rig, "clouds.yaml", &format!("clouds: {{mine: {{auth: {auth}}}}}\n"));
}

#[test]
fn a_cloud_whose_password_changes_in_clouds_yaml_is_logged_in_to_with_the_new_one() {
    let mut rig = Rig::start("rotation-cloud");
    let openstack = Openstack::start();
    openstack.list("dns", "public", "RegionOne", &rig.sink.url("/dns"));
    clouds(&rig, &openstack, "before");
    let action = "[action:roles]\ndriver = http\nurl = catalog:dns/v2/zones\nauth = keystone\ncloud = mine\n\
                  clouds_file = HOME/clouds.yaml\nretry_interval = 1s\n";
    rig.write(&[LISTENER, RULE, action]);
    rig.reload(0);
    rig.publish([(1, 1)]);
    wait_until(SOON, "the login is refused", || {
        rig.target("roles")["last_failure"].to_string().contains("login as user")
    });
    clouds(&rig, &openstack, PASSWORD);
    wait_until(SOON, "it is delivered", || rig.target("roles")["pending"] == 0);
    assert_eq!(rig.sink.requests()[0].target, "/dns/v2/zones");
    let log = rig.log();
    assert!(log.contains("a secret in a file has changed") && !log.contains(PASSWORD), "{log}");
}

#[test]
fn an_enrichment_with_a_default_asks_with_the_new_password_too() {
    let mut rig = Rig::start("rotation-default");
    let openstack = Openstack::start();
    clouds(&rig, &openstack, "before");
    let action = "[action:roles]\ndriver = http\nurl = SINK\nenrich = server\n\
                  body = {\"host\": \"{{ server.name }}\"}\n";
    let enrich = "[enrich:server]\nkind = server\ncloud = mine\nclouds_file = HOME/clouds.yaml\n\
                  on_error = default\ndefault = {\"name\": \"unknown\"}\nid = ";
    let id = Openstack::id("server");
    rig.write(&[LISTENER, RULE, action, enrich, id, "\n"]);
    rig.reload(0);
    rig.publish([(1, 1)]);
    let without = br#"{"host": "unknown"}"#;
    assert_eq!(rig.sink.wait_for(1, SOON)[0].body, without);
    clouds(&rig, &openstack, PASSWORD);
    let mut sent = 1;
    wait_until(SOON, "the values are there", || {
        sent += 1;
        rig.publish([(sent, sent)]);
        rig.sink.wait_for(sent, SOON)[sent - 1].body != without
    });
}
