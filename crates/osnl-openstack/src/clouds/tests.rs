use std::fs;

use tempfile::TempDir;

use super::*;
use crate::catalog::Interface;
use crate::conf::{CloudLogin, Scope};

const CLOUDS: &str = "
common: &common
  region_name: RegionOne
  auth: &auth
    auth_url: http://keystone:5000/v3
    user_domain_name: Default
clouds:
  mine:
    <<: *common
    auth:
      auth_url: http://keystone:5000
      username: watcher
      project_name: 'oss'
    interface: internal
    verify: false
  app:
    auth_type: v3applicationcredential
    auth:
      auth_url: https://keystone:5000/v3
      application_credential_id: abc
      application_credential_secret: \"s3cr\"
    regions: [R1, R2]
    cacert: ~/ca.pem
    compute_endpoint_override: http://nova:8774/v2.1
  old:
    profile: vendor
    auth: {username: u, tenant_name: t}
";

fn folder(files: &[(&str, &str)]) -> (TempDir, CloudVariables) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let variables = CloudVariables {
        home: Some(folder.path().join("home")),
        working: Some(folder.path().join("here")),
        site: Some(folder.path().join("etc")),
        ..CloudVariables::default()
    };
    (folder, variables)
}

#[test]
fn the_first_file_counts_and_secrets_are_laid_over_it() {
    let secure = "clouds: {mine: {auth: {password: p4ss}}, old: {auth: {password: old}}}";
    let public = "public-clouds: {vendor: {auth: {auth_url: 'http://v/v2.0'}, region_name: R9}}";
    let (folder, mut variables) = folder(&[
        ("home/.config/openstack/clouds.yaml", CLOUDS),
        ("etc/clouds.yaml", "clouds: {other: {}}"),
        ("etc/secure.yaml", secure),
        ("etc/clouds-public.yaml", public),
        ("named.yaml", "clouds: {named: {auth: {auth_url: 'http://n/v3', token: t}}}"),
    ]);
    let clouds = Clouds::find(&variables).unwrap();
    assert!(clouds.file().ends_with("home/.config/openstack/clouds.yaml"));
    let mine = clouds.cloud("mine", &[]).unwrap();
    assert_eq!(mine.auth_url.to_string(), "http://keystone:5000/v3");
    assert_eq!((mine.interface, mine.region.as_deref()), (Interface::Internal, Some("RegionOne")));
    assert_eq!(mine.verification, Some(osnl_net::http::Verification::None));
    let CloudLogin::Password { password, .. } = &mine.identity else { panic!("{mine:?}") };
    assert_eq!(password.reveal(), "p4ss");
    assert!(!format!("{clouds:?} {mine:?}").contains("p4ss"));

    let app = clouds.cloud("app", &[]).unwrap();
    assert_eq!((app.region.as_deref(), &app.scope), (Some("R1"), &Scope::Unscoped));
    assert_eq!(app.endpoints, [("compute".to_owned(), "http://nova:8774/v2.1".to_owned())]);
    let ca = folder.path().join("home/ca.pem");
    assert_eq!(app.verification, Some(osnl_net::http::Verification::Ca(vec![ca])));
    let other = clouds.cloud("app", &[("region_name", "R2".to_owned())]).unwrap();
    assert_eq!(other.endpoints, app.endpoints);
    assert_eq!(other.region.as_deref(), Some("R2"));

    let old = clouds.cloud("old", &[]).unwrap();
    assert_eq!((old.auth_url.to_string().as_str(), old.region.as_deref()), ("http://v/v3", Some("R9")));

    variables.config_file = Some(folder.path().join("named.yaml"));
    assert!(Clouds::find(&variables).unwrap().cloud("named", &[]).is_ok());
}

#[test]
fn a_certificate_that_is_a_pipe_does_not_hold_a_comparison() {
    let text = "clouds: {c: {auth: {auth_url: 'http://k/v3'}, cacert: ~/ca.pem}}";
    let (folder, variables) = folder(&[("etc/clouds.yaml", text), ("home/key.pem", "")]);
    let content = || Clouds::find(&variables).unwrap().content("c");
    let before = content();
    let pipe = folder.path().join("home/ca.pem");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(content(), before);
    fs::remove_file(&pipe).unwrap();
    fs::write(&pipe, "PEM").unwrap();
    assert_ne!(content(), before);
}

#[test]
fn every_usual_form_means_what_openstacksdk_means() {
    let text = "
clouds:
  system: {auth: {auth_url: 'http://k/v3', username: u, password: p, system_scope: all}, interface: adminURL}
  named:
    auth_type: v3applicationcredential
    auth: {auth_url: 'http://k/v3', application_credential_name: n, username: u, user_domain_id: d, application_credential_secret: s}
  insecure: {auth: {auth_url: 'https://k/v3', token: t, project_id: p}, insecure: true, cacert: /x}
  numbers: {auth: {auth_url: 'http://k/v3', username: 1234, password: 5678, project_name: 42}, region_name: ''}
  regions:
    auth: {auth_url: 'http://k/v3', username: u, password: p}
    regions:
      - name: R1
        values: {interface: internal}
      - name: R2
        values: {auth: {auth_url: 'http://k2/v3'}}
      - R3
  totp: {auth_type: v3totp, auth: {auth_url: 'http://k/v3', username: u, passcode: '1'}}
  vendor: {profile: ovh, auth: {username: u, password: p}}
";
    let (_folder, variables) = folder(&[("etc/clouds.yaml", text)]);
    let clouds = Clouds::find(&variables).unwrap();
    let cloud = |name: &str| clouds.cloud(name, &[]).unwrap();
    assert_eq!((cloud("system").scope, cloud("system").interface), (Scope::System, Interface::Admin));
    assert_eq!(cloud("named").shown(), "application credential n of user u");
    assert_eq!(cloud("insecure").verification, Some(osnl_net::http::Verification::None));
    assert_eq!(cloud("numbers").shown(), "user 1234 for project 42 of domain id default");
    assert_eq!(cloud("numbers").region, None);
    let region = |more: &[(&str, String)]| {
        let cloud = clouds.cloud("regions", more).unwrap();
        (cloud.region.unwrap(), cloud.interface, cloud.auth_url.to_string())
    };
    let of = |name: &str| region(&[("region_name", name.to_owned())]);
    assert_eq!(region(&[]), ("R1".to_owned(), Interface::Internal, "http://k/v3".to_owned()));
    assert_eq!(of("R2"), ("R2".to_owned(), Interface::Public, "http://k2/v3".to_owned()));
    assert_eq!(of("R3"), ("R3".to_owned(), Interface::Public, "http://k/v3".to_owned()));
    let refused = |name: &str, more: &[(&str, String)], expected: &str| {
        let error = clouds.cloud(name, more).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    };
    let mars = [("region_name", "Mars".to_owned())];
    refused(
        "regions",
        &mars,
        "cloud regions: region_name: Mars is not one of its regions; allowed: R1, R2, R3",
    );
    refused(
        "totp",
        &[],
        "cloud totp: auth_type: v3totp is not a known type; allowed: password, v3password, v2password, \
         v3applicationcredential, token, v3token",
    );
    refused(
        "vendor",
        &[],
        "profile: ovh is not in clouds-public.yaml, or has no auth_url there; write auth_url beside it",
    );
}
