//! Reads from a substitute with recorded answers: results, failures, and the number of requests.

use std::time::Duration;

use futures_util::future::join_all;
use osnl_net::http::{FailureClass, HttpOptions};
use osnl_openstack::{
    ApiError, Cloud, CloudConf, Fields, Flavor, FloatingIp, Image, Kind, Node, Port, Project, Server,
    Unproved, User,
};
use osnl_testkit::openstack::{CREDENTIAL, CREDENTIAL_SECRET, Openstack, PASSWORD, TOKEN, USER};
use osnl_testkit::{Authority, Protocols, Reply, ServerIdentity, Sink, TlsSink};

fn cloud(openstack: &Openstack, more: &[(&str, &str)]) -> Cloud {
    let mut fields = Fields::default();
    let url = openstack.auth_url();
    let usual =
        [("auth_url", url.as_str()), ("username", USER), ("password", PASSWORD), ("project_name", "oss")];
    for (name, value) in usual.iter().chain(more) {
        fields.set(name, *value);
    }
    let conf = CloudConf::from_fields(&fields).expect("good options");
    Cloud::new(conf, &HttpOptions::default(), Duration::from_secs(5)).expect("no certificates are needed")
}

const LOGINS: &str = "/v3/auth/tokens";

#[tokio::test]
async fn every_kind_is_read_with_one_login() {
    let openstack = Openstack::start();
    let cloud = cloud(&openstack, &[]);
    let server: Server = cloud.read(Openstack::id("server")).await.unwrap();
    assert_eq!((server.name.as_str(), server.created.as_str()), ("web 1", "2024-05-06T07:08:09Z"));
    assert_eq!(server.metadata["Owner"], "ops");
    let flavor: Flavor = cloud.read(&server.flavor_id.unwrap()).await.unwrap();
    assert_eq!((flavor.ram, flavor.disk, flavor.ephemeral, flavor.vcpus), (512, 20, 5, 1));
    let image: Image = cloud.read(&server.image_id.unwrap()).await.unwrap();
    assert_eq!(image.os.as_deref(), Some("Ubuntu"));
    let floating: FloatingIp = cloud.read(Openstack::id("floatingip")).await.unwrap();
    let port: Port = cloud.read(&floating.port_id.unwrap()).await.unwrap();
    assert_eq!(
        (port.device_id.as_str(), port.fixed_ips[0].ip_address.as_str()),
        (Openstack::id("server"), "10.0.0.5")
    );
    let project: Project = cloud.read(Openstack::id("project")).await.unwrap();
    let user: User = cloud.read(Openstack::id("user")).await.unwrap();
    assert_eq!((project.name.as_str(), user.name.as_str()), ("oss", "osswatch"));
    let node: Node = cloud.read(Openstack::id("node")).await.unwrap();
    assert_eq!(node.name.as_deref(), Some("rack1-07"));
    assert_eq!(openstack.count(LOGINS), 1);
    let asked = openstack.sink().requests();
    let ironic = asked.iter().find(|request| request.target.starts_with("/baremetal")).unwrap();
    assert_eq!(ironic.header("x-openstack-ironic-api-version"), Some("1.50"));
}

#[tokio::test]
async fn each_kind_is_read_and_listed_where_its_service_has_it() {
    let openstack = Openstack::start();
    let cloud = cloud(&openstack, &[]);
    for kind in Kind::ALL {
        let object = cloud.get(kind, Openstack::id(kind.name())).await.unwrap_or_else(|e| panic!("{e}"));
        let id = object.get("id").or_else(|| object.get("uuid")).and_then(|id| id.as_str());
        assert_eq!(id, Some(Openstack::id(kind.name())), "{kind}");
        cloud.list_one(kind).await.unwrap_or_else(|e| panic!("{e}"));
        assert!(cloud.get(kind, "00000000-0000").await.unwrap_err().is_gone(), "{kind}");
    }
}

#[tokio::test]
async fn a_404_is_gone_only_as_the_answer_of_the_api() {
    let openstack = Openstack::start();
    let wrong = openstack.sink().url("/networking");
    let cloud = cloud(&openstack, &[("network_endpoint_override", &wrong)]);
    let check = |error: ApiError| {
        assert!(!error.is_gone() && error.is_misplaced(), "{error}");
        let text = error.to_string();
        let expected =
            "not the answer of the network API about a missing object: 404 Not Found 404 Not Found nginx";
        assert!(text.contains("/networking/v2.0/ports") && text.contains(expected), "{text}");
    };
    check(cloud.get(Kind::Port, Openstack::id("port")).await.unwrap_err());
    check(cloud.list_one(Kind::Port).await.unwrap_err());
    openstack.fail("/compute", Reply::StatusWith { status: 404, headers: Vec::new(), body: Vec::new() });
    let empty = cloud.get(Kind::Server, Openstack::id("server")).await.unwrap_err();
    assert!(matches!(empty, ApiError::NotTheApi { service: "compute", .. }), "{empty}");
}

#[tokio::test]
async fn an_object_that_neutron_hides_is_not_gone() {
    let openstack = Openstack::start();
    let cloud = cloud(&openstack, &[]);
    let body = r#"{"type": "HTTPNotFound", "message": "The resource could not be found.", "detail": ""}"#;
    openstack.fail("/network", Reply::StatusWith { status: 404, headers: Vec::new(), body: body.into() });
    for kind in [Kind::Port, Kind::FloatingIp, Kind::Network, Kind::Subnet, Kind::Router] {
        let error = cloud.get(kind, Openstack::id(kind.name())).await.unwrap_err();
        assert!(matches!(error, ApiError::Hidden(_)) && !error.is_misplaced(), "{error}");
        assert!(
            error.to_string().ends_with(": a policy of the service hides it from this user (404)"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_404_is_proved_by_a_login_that_sees_all_projects_of_the_only_region() {
    let openstack = Openstack::start();
    let kinds = [Kind::Server, Kind::Port];
    let own = cloud(&openstack, &[]);
    for kind in kinds {
        let error = own.sees_all(kind).await.unwrap_err();
        assert!(error.to_string().ends_with("so that objects of other projects look deleted; it has reader"));
    }
    openstack.roles(&["admin", "reader"]);
    for kind in kinds {
        own.sees_all(kind).await.unwrap();
    }
    assert_eq!(openstack.count("/compute/v2.1/servers?all_tenants=1&limit=1"), 1);
    assert!(openstack.sink().requests().iter().all(|asked| {
        asked.header("openstack-api-version").is_none()
            && asked.header("x-openstack-nova-api-version").is_none()
    }));
    // The roles are those of now, also while a token is valid.
    openstack.roles(&["member"]);
    assert!(matches!(own.sees_all(Kind::Port).await, Err(Unproved::NotAdmin { .. })));
    openstack.roles(&["admin"]);
    // A policy that gives another role the right to see all.
    openstack.fail("/compute/v2.1/servers?all_tenants", Reply::Status(403));
    openstack.fail("/network/v2.0/quotas", Reply::Status(403));
    for kind in kinds {
        assert!(matches!(own.sees_all(kind).await, Err(Unproved::Api(ApiError::Status { status: 403, .. }))));
    }
    openstack.heal();
    openstack.list("compute", "internal", "RegionTwo", &openstack.sink().url("/compute/v2.1"));
    // The region that is asked proves nothing about the others, nor does a URL of the options.
    let at = openstack.sink().url("/compute/v2.1");
    for more in [None, Some(("region_name", "RegionOne")), Some(("compute_endpoint_override", &*at))] {
        let cloud = cloud(&openstack, more.as_slice());
        cloud.sees_all(Kind::Server).await.unwrap();
        let error = cloud.has_one_region(Kind::Server).await.unwrap_err().to_string();
        assert!(error.starts_with("the catalogue has compute in RegionOne, RegionTwo, and"), "{error}");
        cloud.has_one_region(Kind::Port).await.unwrap();
    }
}

#[tokio::test]
async fn an_override_counts_under_each_name_of_its_service() {
    let openstack = Openstack::start();
    for option in ["volume", "volumev3", "block_storage", "block_store"] {
        let own = openstack.sink().url(&format!("/own/{option}"));
        let cloud = cloud(&openstack, &[(&format!("{option}_endpoint_override"), &own)]);
        assert_eq!(cloud.endpoint(Kind::Volume.service()).await.unwrap(), own, "{option}");
    }
    let cloud =
        cloud(&openstack, &[("volume_endpoint", "http://a/"), ("block_storage_endpoint", "http://b/")]);
    assert_eq!(cloud.endpoint("block-storage").await.unwrap(), "http://b/");
    assert_eq!(openstack.count(LOGINS), 0);
}

#[tokio::test]
async fn a_service_that_is_not_where_the_catalogue_says_has_it_read_anew() {
    let openstack = Openstack::start();
    let (wrong, right) = (openstack.sink().url("/wrong"), openstack.sink().url("/volume/v3"));
    let stopped = Sink::start();
    stopped.stop();
    let dead = stopped.url("");
    for url in [wrong, dead] {
        openstack.without("volumev3");
        openstack.list("block-storage", "public", "RegionOne", &url);
        let cloud = cloud(&openstack, &[]);
        let (ask, logins) = (|| cloud.get(Kind::Volume, Openstack::id("volume")), openstack.count(LOGINS));
        assert!(ask().await.unwrap_err().is_misplaced());
        openstack.unlist();
        openstack.list("block-storage", "public", "RegionOne", &right);
        // A failure does not always cause a login.
        assert!(ask().await.unwrap_err().is_misplaced());
        assert_eq!(openstack.count(LOGINS), logins + 1);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(11)).await;
        tokio::time::resume();
        assert!(ask().await.unwrap_err().is_misplaced());
        assert_eq!(ask().await.unwrap()["name"], "data");
        assert_eq!(openstack.count(LOGINS), logins + 2);
        openstack.unlist();
    }
}

#[tokio::test]
async fn a_server_that_boots_from_a_volume_has_no_image() {
    let openstack = Openstack::start();
    let path = format!("/compute/v2.1/servers/{}", Openstack::id("server"));
    let mut body = openstack.get(&path);
    body["server"]["image"] = "".into();
    openstack.put(&path, body);
    let server: Server = cloud(&openstack, &[]).read(Openstack::id("server")).await.unwrap();
    assert_eq!(server.image_id, None);
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let openstack = Openstack::start();
    let cloud = cloud(&openstack, &[]);
    let ask = || cloud.get(Kind::Port, Openstack::id("port"));
    ask().await.unwrap();
    openstack.revoke();
    ask().await.unwrap();
    assert_eq!((openstack.count(LOGINS), openstack.count("/network")), (2, 3));
    openstack.fail("/network", Reply::Status(401));
    let error = ask().await.unwrap_err();
    assert_eq!(error.class(), Some(FailureClass::Status(401)));
    assert_eq!((openstack.count(LOGINS), openstack.count("/network")), (3, 5));
}

#[tokio::test]
async fn a_thousand_that_ask_at_once_log_in_once() {
    let openstack = Openstack::start();
    openstack.fail(LOGINS, Reply::After(Duration::from_millis(300), Box::new(Reply::Status(200))));
    let cloud = cloud(&openstack, &[]);
    let answers = join_all((0..100).map(|_| cloud.token())).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(openstack.count(LOGINS), 1);
}

#[tokio::test]
async fn a_burst_shares_the_token_that_replaces_a_refused_one() {
    let openstack = Openstack::start();
    let cloud = cloud(&openstack, &[]);
    cloud.get(Kind::Port, Openstack::id("port")).await.unwrap();
    openstack.revoke();
    let asking = (0..40).map(|_| cloud.get(Kind::Port, Openstack::id("port")));
    assert!(join_all(asking).await.iter().all(Result::is_ok));
    assert_eq!(openstack.count(LOGINS), 2);
}

fn over_tls(keystone: &TlsSink, authority: &Authority) -> Cloud {
    let (url, ca) = (keystone.url("localhost", "/v3"), authority.file().display().to_string());
    let mut fields = Fields::default();
    for (name, value) in
        [("auth_url", url.as_str()), ("username", USER), ("password", PASSWORD), ("cacert", &ca)]
    {
        fields.set(name, value);
    }
    let conf = CloudConf::from_fields(&fields).expect("good options");
    Cloud::new(conf, &HttpOptions::default(), Duration::from_secs(5)).expect("a certificate in PEM")
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_named_as_such() {
    let authority = Authority::new();
    let keystone = TlsSink::start(&authority.issue(&ServerIdentity::Expired), Protocols::Tls13);
    let error = over_tls(&keystone, &authority).login().await.unwrap_err();
    assert_eq!(error.class(), Some(FailureClass::Tls));
    assert!(error.to_string().contains("expired"), "{error}");
}

/// The certificate is not the user's.
#[tokio::test]
async fn the_end_of_a_certificate_names_its_host_and_cloud() {
    let authority = Authority::new();
    let keystone = TlsSink::start(&authority.issue(&ServerIdentity::LOOPBACK), Protocols::Tls13);
    let cloud = over_tls(&keystone, &authority);
    cloud.login().await.unwrap_err();
    let ends: Vec<String> = cloud.expiries().into_iter().map(|expiry| expiry.what).collect();
    let url = keystone.url("localhost", "/v3");
    let host = url.trim_start_matches("https://").trim_end_matches("/v3");
    assert_eq!(ends, [format!("the certificate of {host} in the cloud at {url}")]);
}

#[tokio::test]
async fn what_went_wrong_is_told_apart() {
    let openstack = Openstack::start();
    let cloud = cloud(&openstack, &[]);
    let gone = cloud.get(Kind::Server, "no-such").await.unwrap_err();
    assert!(gone.is_gone());
    assert!(gone.to_string().starts_with("server no-such of http://127.0.0.1:"), "{gone}");
    let (long, asked) = ("a".repeat(256), openstack.sink().requests().len());
    for id in ["", ".", "..", "a/b", "a\0", &long] {
        assert!(cloud.get(Kind::Server, id).await.unwrap_err().is_gone(), "{id:?}");
    }
    assert_eq!(openstack.sink().requests().len(), asked, "no service is asked for these");
    let ask = || cloud.get(Kind::Server, Openstack::id("server"));
    let check = async |reply: Reply, expected: FailureClass, words: &str| {
        openstack.heal();
        openstack.fail("/compute", reply);
        let error = ask().await.unwrap_err();
        assert_eq!(error.class(), Some(expected), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.is_gone());
    };
    let body = r#"{"forbidden": {"code": 403, "message": "Policy doesn't allow it."}}"#;
    let forbidden = Reply::StatusWith { status: 403, headers: Vec::new(), body: body.into() };
    check(forbidden, FailureClass::Status(403), "Policy doesn't allow it.").await;
    check(Reply::Status(500), FailureClass::Status(500), "Internal Server Error").await;
    check(Reply::ResetInBody, FailureClass::Reset, "broke off").await;
    let later = vec![("Retry-After".to_owned(), "7".to_owned())];
    openstack.heal();
    openstack.fail("/compute", Reply::StatusWith { status: 429, headers: later, body: Vec::new() });
    assert_eq!(ask().await.unwrap_err().retry_after(), Some(Duration::from_secs(7)));
    openstack.heal();
    openstack.fail("/compute", Reply::StatusWith { status: 200, headers: Vec::new(), body: b"{}".to_vec() });
    let error = ask().await.unwrap_err().to_string();
    assert!(error.ends_with("the answer has no server in it"), "{error}");
    openstack.sink().stop();
    // The end of a kept connection is a reset.
    assert!(ask().await.is_err());
    assert_eq!(ask().await.unwrap_err().class(), Some(FailureClass::Connect));
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up_in_time() {
    let openstack = Openstack::start();
    let conf = CloudConf::legacy(&openstack.auth_url(), USER, PASSWORD, "oss").unwrap();
    let cloud = Cloud::new(conf, &HttpOptions::default(), Duration::from_millis(200)).unwrap();
    openstack.fail("/image", Reply::Hang);
    let error = cloud.get(Kind::Image, Openstack::id("image")).await.unwrap_err();
    assert!(matches!(error, ApiError::TimedOut { .. }), "{error}");
    assert!(error.to_string().ends_with(": no answer in 0.2 s"), "{error}");
}

#[tokio::test]
async fn a_refused_login_says_what_keystone_said_and_no_secret() {
    let openstack = Openstack::start();
    let check = async |more: &[(&str, &str)], expected: &str| {
        let cloud = cloud(&openstack, more);
        let error = cloud.login().await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected), "{text}");
        assert_eq!(error.class(), Some(FailureClass::Status(401)), "{text}");
        assert!(cloud.remedy(&error).is_some_and(|remedy| remedy.starts_with("correct the login")));
        for secret in ["wr0ng", PASSWORD, CREDENTIAL_SECRET, TOKEN] {
            assert!(!format!("{text} {error:?}").contains(secret), "{text}");
        }
    };
    let refused =
        "refused (401): The request you have made requires authentication.; user, password, project";
    check(&[("password", "wr0ng")], refused).await;
    check(&[("project_name", "nope")], "login as user osswatch for project nope of domain id default").await;
    check(&[("application_credential_id", CREDENTIAL), ("application_credential_secret", "wr0ng")], refused)
        .await;
    check(&[("auth_type", "token"), ("token", "wr0ng")], "login as a token for project oss").await;
}

#[tokio::test]
async fn no_answer_of_a_cloud_gives_its_password_or_a_token_away() {
    let openstack = Openstack::start();
    let repeated = |secret: &str| {
        let before = "x".repeat(290);
        let json = format!(r#"{{"error": {{"message": "{before}{secret}"}}}}"#);
        [format!(r#"the request was: {{"password":"{secret}"}}"#), format!("{before}{secret}"), json]
    };
    let check = |error: ApiError| {
        let said = format!("{error} {error:?}");
        assert!(
            said.contains("***") && !said.contains(&PASSWORD[..4]) && !said.contains(&TOKEN[..4]),
            "{said}"
        );
    };
    for status in [200, 400, 401, 404, 429, 500, 503] {
        for body in repeated(PASSWORD).into_iter().filter(|_| status != 200) {
            openstack.fail(LOGINS, Reply::StatusWith { status, headers: Vec::new(), body: body.into() });
            check(cloud(&openstack, &[]).login().await.unwrap_err());
            openstack.heal();
        }
        for at in 0..3 {
            let cloud = cloud(&openstack, &[]);
            let (_, token) = cloud.token().await.unwrap();
            let token = token.to_str().unwrap();
            let body = match status {
                200 => format!(r#"{{"server": {{"metadata": {token:?}}}}}"#),
                _ => repeated(token)[at].clone(),
            };
            openstack.fail("/compute", Reply::StatusWith { status, headers: Vec::new(), body: body.into() });
            check(cloud.read::<Server>(Openstack::id("server")).await.unwrap_err());
            openstack.heal();
        }
    }
}

#[tokio::test]
async fn a_token_in_clear_is_one_that_leaves_this_machine_without_tls() {
    let openstack = Openstack::start();
    let cloud = cloud(&openstack, &[("network_endpoint_override", "http://neutron.example/")]);
    for (service, url, expected) in [
        ("compute", "http://nova.example:8774/v2.1", Some("as the service catalogue names an http:// URL")),
        ("network", "http://neutron.example/", Some("as an endpoint override names an http:// URL")),
        ("compute", "https://nova.example:8774/v2.1", None),
        ("compute", "http://127.0.0.1:8774/", None),
        ("compute", "http://[::1]:8774/", None),
        ("compute", "http://localhost/", None),
    ] {
        let problem = cloud.in_clear(service, url);
        assert_eq!(problem.is_some(), expected.is_some(), "{url}: {problem:?}");
        assert!(problem.unwrap_or_default().contains(expected.unwrap_or_default()), "{url}");
    }
}

#[tokio::test]
async fn each_way_to_log_in_works_and_says_what_it_gives() {
    let openstack = Openstack::start();
    let check = async |more: &[(&str, &str)], project: Option<&str>| {
        let login = cloud(&openstack, more).login().await.unwrap();
        assert_eq!((login.user.as_str(), login.project.as_deref()), (USER, project));
        login
    };
    let login = check(&[], Some("oss")).await;
    assert_eq!(login.services, ["identity", "compute", "network", "image", "volumev3", "baremetal"]);
    assert_eq!((login.roles, login.lifetime), (vec!["reader".to_owned()], Some(Duration::from_secs(3600))));
    let credential =
        [("application_credential_id", CREDENTIAL), ("application_credential_secret", CREDENTIAL_SECRET)];
    check(&credential, Some("oss")).await;
    let mut fields = Fields::default();
    let url = openstack.auth_url();
    for (name, value) in [("auth_url", url.as_str()), ("username", USER), ("password", PASSWORD)] {
        fields.set(name, value);
    }
    let conf = CloudConf::from_fields(&fields).unwrap();
    let unscoped = Cloud::new(conf, &HttpOptions::default(), Duration::from_secs(5)).unwrap();
    assert!(unscoped.login().await.is_ok());
    assert!(unscoped.get(Kind::User, Openstack::id("user")).await.is_ok());
    let error = unscoped.get(Kind::Server, "x").await.unwrap_err().to_string();
    assert!(error.contains("the login has no scope; name a project"), "{error}");
}

#[tokio::test]
async fn no_debug_form_shows_a_token() {
    let openstack = Openstack::start();
    let cloud = cloud(&openstack, &[]);
    let token = cloud.token().await.unwrap();
    let printed = format!("{cloud:?} {token:?}");
    assert!(!printed.contains(TOKEN) && !printed.contains(PASSWORD), "{printed}");
}
