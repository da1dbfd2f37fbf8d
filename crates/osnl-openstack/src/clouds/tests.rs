//! Files as people write them, in folders of their own.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::catalog::Interface;
use crate::conf::{Identity, Scope};

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

fn folder(files: &[(&str, &str)]) -> (TempDir, Variables) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let variables = Variables {
        home: Some(folder.path().join("home")),
        working: Some(folder.path().join("here")),
        site: Some(folder.path().join("etc")),
        ..Variables::default()
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
    assert_eq!(mine.verification, Some(osnl_http::Verification::None));
    let Identity::Password { password, .. } = &mine.identity else { panic!("{mine:?}") };
    assert_eq!(password.reveal(), "p4ss");
    assert!(!format!("{clouds:?} {mine:?}").contains("p4ss"));

    let app = clouds.cloud("app", &[]).unwrap();
    assert_eq!((app.region.as_deref(), &app.scope), (Some("R1"), &Scope::Unscoped));
    assert_eq!(app.endpoints, [("compute".to_owned(), "http://nova:8774/v2.1".to_owned())]);
    let ca = folder.path().join("home/ca.pem");
    assert_eq!(app.verification, Some(osnl_http::Verification::Ca(vec![ca])));
    let other = clouds.cloud("app", &[("region_name", "R2".to_owned())]).unwrap();
    assert_eq!(other.region.as_deref(), Some("R2"));

    let old = clouds.cloud("old", &[]).unwrap();
    assert_eq!((old.auth_url.to_string().as_str(), old.region.as_deref()), ("http://v/v3", Some("R9")));

    variables.config_file = Some(folder.path().join("named.yaml"));
    assert!(Clouds::find(&variables).unwrap().cloud("named", &[]).is_ok());
}

#[test]
fn what_is_wrong_is_said_with_the_file_and_without_values() {
    let (_folder, none) = folder(&[]);
    let error = Clouds::find(&none).unwrap_err().to_string();
    assert!(error.contains("there is no clouds.yaml in") && error.contains("/here"), "{error}");

    let (_folder, variables) = folder(&[("here/clouds.yaml", CLOUDS)]);
    let clouds = Clouds::find(&variables).unwrap();
    let error = clouds.cloud("mina", &[]).unwrap_err().to_string();
    assert!(error.ends_with("there is no cloud mina; it has app, mine, old"), "{error}");
    let error = clouds.cloud("mine", &[]).unwrap_err().to_string();
    assert!(error.ends_with("cloud mine: password: is missing; write it"), "{error}");

    let (_folder, variables) = folder(&[("here/clouds.yaml", "clouds:\n  a:\n   password: 's3cr\n")]);
    let error = Clouds::find(&variables).unwrap_err().to_string();
    assert!(error.contains("is no YAML: line") && !error.contains("s3cr"), "{error}");
    let (_folder, variables) = folder(&[("here/clouds.yaml", "clouds: [a]")]);
    let error = Clouds::find(&variables).unwrap_err().to_string();
    assert!(error.ends_with("`clouds` is no map"), "{error}");
}
