use std::time::Duration;

use osnl::action::ErrorClass;
use osnl::action::http::HttpOptions;
use osnl::native::{LoadedConf, ProbeVerdict, Sources, load_texts};
use osnl_model::Notification;
use osnl_testkit::openstack::{CREDENTIAL, CREDENTIAL_SECRET, Openstack, PASSWORD, TOKEN, USER};
use osnl_testkit::{Authority, Protocols, Reply, ServerIdentity, Sink, TlsSink};
use osnl_transport::MemoryBroker;
use serde_json::json;

use super::deliveries::{publish, start};
use super::{Hook, SOON};
use crate::log::Log;

const LOGINS: &str = "/v3/auth/tokens";
const REGION: &str = "RegionOne";

fn login(openstack: &Openstack) -> String {
    format!(
        "auth = keystone\nauth_url = {}\nusername = {USER}\npassword = {PASSWORD}\nproject_name = oss",
        openstack.auth_url()
    )
}

#[test]
fn a_service_is_called_where_the_catalogue_says_and_with_the_token() {
    let openstack = Openstack::start();
    let authority = Authority::new();
    let dns = TlsSink::start(&authority.issue(&ServerIdentity::LOOPBACK), Protocols::Tls12And13);
    let other = Sink::start();
    openstack.list("dns", "public", REGION, &other.url("/public"));
    openstack.list("dns", "internal", REGION, &other.url("/internal"));
    openstack.list("dns", "internal", "RegionTwo", &dns.url("localhost", "/dns/v2"));
    let url = "url = catalog:dns/v2/zones/{{ payload.zone }}/recordsets\nquery.limit = 1";
    let lines = format!("{url}\n{}\nca_file = {}", login(&openstack), authority.file().display());
    let hook = Hook::new(&format!("{lines}\nregion_name = RegionTwo\ninterface = internal"));
    for zone in ["z-1", "a/..b"] {
        hook.call(&json!({"zone": zone}), SOON).unwrap();
    }
    let requests = dns.sink().requests();
    let targets: Vec<&str> = requests.iter().map(|request| request.target.as_str()).collect();
    let expected = ["/dns/v2/zones/z-1/recordsets?limit=1", "/dns/v2/zones/a%2F..b/recordsets?limit=1"];
    assert_eq!(targets, expected);
    assert!(requests.iter().all(|request| openstack.believes(request.header("x-auth-token").unwrap())));
    assert!(requests.iter().all(|request| request.connection == 1), "connections are kept");
    assert_eq!(openstack.count(LOGINS), 1, "the catalogue is kept with the token");
    for (more, path) in [("", "/public/v2/zones"), ("\ninterface = internal", "/internal/v2/zones")] {
        Hook::new(&format!("{lines}{more}")).call(&json!({"zone": "z"}), SOON).unwrap();
        let requests = other.requests();
        assert!(requests.last().unwrap().target.starts_with(path), "{more}: {requests:?}");
    }
}

#[test]
fn a_token_that_goes_to_a_service_in_clear_is_named_by_the_check_and_once_in_the_log() {
    let (openstack, dns, log) = (Openstack::start(), Sink::start(), Log::default());
    // The address of this machine that counts as another one.
    openstack.list("dns", "public", REGION, &format!("http://0.0.0.0:{}/dns", dns.port()));
    let lines = format!("url = catalog:dns/v2/zones\n{}", login(&openstack));
    let hook = Hook::new(&lines);
    tracing::subscriber::with_default(log.subscriber(), || {
        hook.make().unwrap();
        hook.make().unwrap();
    });
    let problem = "the token goes to dns in clear, as the service catalogue names an http:// URL";
    let said = log.lines();
    let warnings: Vec<_> = said.iter().filter(|line| line.contains(problem)).collect();
    assert!(warnings.len() == 1 && warnings[0].starts_with("WARN"), "{said:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let probes = loaded(&lines);
    let probes = runtime.block_on(probes.conf.probe(&HttpOptions::default(), Duration::from_secs(10)));
    let probe = probes.iter().find(|probe| probe.section == "action:hook").unwrap();
    assert_eq!(probe.verdict, ProbeVerdict::Warning);
    assert!(probe.found.contains(problem), "{probe}");
    assert!(
        probe
            .to_string()
            .ends_with("give the service an https:// URL in Keystone's catalogue, or another interface")
    );
}

#[test]
fn a_cloud_or_a_service_that_repeats_the_login_gives_no_reason_with_it() {
    let (openstack, dns) = (Openstack::start(), Sink::start());
    openstack.list("dns", "public", REGION, &dns.url("/dns"));
    let hook = Hook::new(&format!("url = catalog:dns/v2/zones\n{}", login(&openstack)));
    let echo = format!("the request was: {{\"password\":\"{PASSWORD}\"}}");
    openstack.fail(LOGINS, Reply::StatusWith { status: 503, headers: Vec::new(), body: echo.into() });
    let reason = hook.refused().reason;
    assert!(reason.contains("***") && !reason.contains(PASSWORD), "{reason}");
    openstack.heal();
    hook.make().unwrap();
    let token = dns.requests()[0].header("x-auth-token").unwrap().to_owned();
    for status in [404, 500] {
        let body = format!("{}{token}", "x".repeat(116)).into();
        dns.script(vec![Reply::StatusWith { status, headers: Vec::new(), body }]);
        let reason = hook.refused().reason;
        assert!(reason.contains("x***") && !reason.contains(&TOKEN[..4]), "{reason}");
    }
}

#[test]
fn a_token_that_is_no_longer_believed_is_renewed_with_its_catalogue() {
    let openstack = Openstack::start();
    let (before, after) = (Sink::start(), Sink::start());
    openstack.list("dns", "public", REGION, &before.url(""));
    let hook = Hook::new(&format!("url = catalog:dns/v2/zones\n{}", login(&openstack)));
    hook.make().unwrap();
    openstack.revoke();
    openstack.unlist();
    openstack.list("dns", "public", REGION, &after.url(""));
    before.script(vec![Reply::Status(401)]);
    hook.make().unwrap();
    assert_eq!((before.requests().len(), after.requests().len()), (2, 1));
    assert!(openstack.believes(after.requests()[0].header("x-auth-token").unwrap()));
    assert_eq!(openstack.count(LOGINS), 2);
    after.stop();
    openstack.unlist();
    openstack.list("dns", "public", REGION, &before.url(""));
    let error = hook.refused();
    assert_eq!(error.class, ErrorClass::Connect);
    assert!(error.reason.starts_with(&format!("dns at {}: ", after.url(""))), "{error}");
    hook.make().unwrap();
    assert_eq!((before.requests().len(), openstack.count(LOGINS)), (3, 3));
    // A second 401 is the target's own answer.
    before.reply_with(Reply::Status(401));
    assert_eq!(hook.refused().class, ErrorClass::Status(401));
    assert_eq!((before.requests().len(), openstack.count(LOGINS)), (5, 4));
}

#[test]
fn a_404_of_another_server_holds_the_target_until_the_catalogue_is_right() {
    let openstack = Openstack::start();
    let (wrong, right) = (Sink::start(), Sink::start());
    let lines = format!("url = catalog:dns/v2/zones\n{}", login(&openstack));
    let of_neutron = lines.replace("catalog:dns/v2/zones", "catalog:network/v2.0/tags");
    let not_found = |body: &str| Reply::StatusWith { status: 404, headers: Vec::new(), body: body.into() };
    openstack.list("dns", "public", REGION, &wrong.url("/wrong"));
    wrong.reply_with(not_found("<h1>404 Not Found</h1>nginx"));
    let hook = Hook::new(&lines);
    let error = hook.refused();
    assert_eq!(error.class, ErrorClass::Connect, "{error}");
    let expected = format!("dns at {}: status 404, which is not this API's answer", wrong.url("/wrong"));
    assert!(error.reason.starts_with(&expected), "{error}");
    openstack.unlist();
    openstack.list("dns", "public", REGION, &right.url(""));
    hook.make().unwrap();
    assert_eq!((wrong.requests().len(), right.requests().len(), openstack.count(LOGINS)), (1, 1, 2));
    right.reply_with(not_found("nothing here"));
    assert_eq!(Hook::new(&format!("{lines}\nfinal = 404")).refused().class, ErrorClass::Rejected);
    right.reply_with(not_found(r#"{"code": 404, "type": "zone_not_found"}"#));
    assert_eq!(hook.refused().class, ErrorClass::Status(404));
    // With 404 as a success, only the API's own answer succeeds.
    let gone = format!("{lines}\nsuccess = 2xx, 404");
    Hook::new(&gone).make().unwrap();
    right.reply_with(not_found("<h1>404 Not Found</h1>nginx"));
    assert_eq!(Hook::new(&gone).refused().class, ErrorClass::Connect);
    // A value with a slash may be the reason, so that the 404 concerns one event.
    let of_event = Hook::new(&lines.replace("/zones", "/zones/{{ payload.zone }}"));
    for (zone, expected) in [("a/b", ErrorClass::Refused(Some(404))), ("a", ErrorClass::Connect)] {
        assert_eq!(of_event.call(&json!({"zone": zone}), SOON).unwrap_err().class, expected, "{zone}");
    }
    openstack.unlist();
    for (body, expected) in [
        (
            r#"{"NeutronError": {"type": "NetworkNotFound", "message": "x", "detail": ""}}"#,
            ErrorClass::Status(404),
        ),
        (r#"{"code": 404, "title": "Not Found", "description": null}"#, ErrorClass::Connect),
    ] {
        openstack.fail("/network/v2.0/tags", not_found(body));
        assert_eq!(Hook::new(&of_neutron).refused().class, expected, "{body}");
    }
}

#[test]
fn what_the_catalogue_lacks_holds_the_target_and_names_what_it_has() {
    let openstack = Openstack::start();
    let sink = Sink::start();
    let check = |more: &str, expected: &str| {
        let hook = Hook::new(&format!("url = catalog:dns/v2/zones\n{}\n{more}", login(&openstack)));
        let error = hook.refused();
        assert_eq!(error.class, ErrorClass::Connect, "{error}");
        assert!(error.reason.contains(expected), "{error}");
        hook
    };
    let has = "no service of type dns; it has identity, compute, network, image, volumev3, baremetal";
    let hook = check("", has);
    openstack.list("dns", "public", REGION, &sink.url(""));
    hook.make().unwrap();
    check("region_name = Mars", "no public URL of dns in region Mars; it has public in RegionOne");
    check("interface = admin", "no admin URL of dns; it has public in RegionOne");
    openstack.unlist();
    openstack.list("dns", "public", REGION, "dns.example:9001");
    check(
        "",
        "the service catalogue has dns.example:9001 for dns, which cannot be called: the scheme must be http",
    );
    openstack.fail("/v3", Reply::Status(503));
    let error = Hook::new(&format!("url = catalog:dns/v2\n{}", login(&openstack))).refused();
    assert_eq!(error.class, ErrorClass::Busy(Some(503)), "{error}");
    assert_eq!(sink.requests().len(), 1);
}

/// An event cannot name the service, and a forbidden path is refused before any request.
#[test]
fn an_event_chooses_neither_service_nor_host() {
    let openstack = Openstack::start();
    let sink = Sink::start();
    openstack.list("dns", "public", REGION, &sink.url("/dns"));
    let hook =
        Hook::new(&format!("url = catalog:dns/v2/zones/{{{{ payload.zone }}}}\n{}", login(&openstack)));
    for zone in ["..", ".", "", "@evil.example/", "//evil.example", "\\..\\"] {
        let error = hook.call(&json!({"zone": zone}), SOON).unwrap_err();
        assert_eq!(error.class, ErrorClass::Content, "{zone:?}: {error}");
    }
    assert_eq!(openstack.count(LOGINS), 0);
    for zone in ["@evil.example", "a/evil.example", "\r\nHost: evil", "?x", "#", "a\\..b", "%2e%2e"] {
        hook.call(&json!({"zone": zone}), SOON).unwrap();
    }
    for request in sink.requests() {
        let segment = request.target.strip_prefix("/dns/v2/zones/").unwrap();
        assert!(!segment.contains(['/', '?', '#', '\\', '@']), "{segment}");
        assert_eq!(request.header("host"), Some(format!("127.0.0.1:{}", sink.port()).as_str()));
    }
}

#[test]
fn a_cloud_of_clouds_yaml_is_one_login_for_all() {
    let openstack = Openstack::start();
    let sink = Sink::start();
    openstack.list("dns", "public", "RegionTwo", &sink.url("/two"));
    openstack.list("dns", "public", REGION, &sink.url("/one"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clouds.yaml");
    let auth = format!(
        "auth_type: v3applicationcredential\n    auth:\n      auth_url: {}\n      application_credential_id: {CREDENTIAL}\n      \
         application_credential_secret: {CREDENTIAL_SECRET}\n",
        openstack.auth_url()
    );
    let moved = sink.url("/moved");
    let clouds = format!(
        "clouds:\n  mine:\n    region_name: RegionTwo\n    {auth}  own:\n    dns_endpoint_override: {moved}\n    {auth}"
    );
    std::fs::write(&file, clouds).unwrap();
    let lines = |cloud: &str, more: &str| {
        format!("url = catalog:dns/v2/zones\ncloud = {cloud}\nclouds_file = {}\n{more}", file.display())
    };
    for (cloud, more, path) in [
        ("mine", "", "/two/v2/zones"),
        ("mine", "region_name = RegionOne", "/one/v2/zones"),
        ("own", "", "/moved/v2/zones"),
    ] {
        Hook::new(&format!("auth = keystone\n{}", lines(cloud, more))).make().unwrap();
        assert_eq!(sink.requests().last().unwrap().target, path, "{cloud} {more}");
    }

    let before = openstack.count(LOGINS);
    let broker = MemoryBroker::new();
    let journal = tempfile::tempdir().unwrap();
    let more = format!(
        "auth = keystone\nmax_attempts = 1\nenrich = server\n{mine}\n\
         [rule:s]\nevent_type = ^instance\\.delete\nactions = second\n\
         [action:second]\ndriver = http\nauth = keystone\n{mine}\n\
         [enrich:server]\nkind = server\nid = {id}\ncloud = mine\nclouds_file = {file}\n",
        mine = lines("mine", ""),
        id = Openstack::id("server"),
        file = file.display(),
    );
    openstack.list("compute", "public", "RegionTwo", &openstack.auth_url().replace("/v3", "/compute/v2.1"));
    let daemon = start(journal.path(), &broker, &more);
    publish(&broker, "vm-1");
    daemon.wait_until("both are delivered", |c| c.delivered.get() == 2);
    daemon.stop().unwrap();
    assert_eq!(openstack.count(LOGINS) - before, 1);
}

#[test]
fn a_delivery_waits_for_the_service_to_be_in_the_catalogue() {
    let openstack = Openstack::start();
    let sink = Sink::start();
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let lines = format!("url = catalog:dns/v2/zones\nmax_attempts = 1\n{}", login(&openstack));
    let daemon = start(folder.path(), &broker, &lines);
    publish(&broker, "vm-1");
    daemon.wait_for_log("the service catalogue has no service of type dns; it has identity, compute");
    openstack.list("dns", "public", REGION, &sink.url(""));
    daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    assert_eq!(sink.requests().len(), 1);
}

fn loaded(action: &str) -> LoadedConf {
    let text = format!(
        "[listener:n]\ntransport_url = rabbit://127.0.0.1:1/\nexchange = neutron\npriorities = info\n\
         pool = osnl\n[rule:r]\nactions = hook\nevent_type = ^x\n[action:hook]\ndriver = http\n{action}\n"
    );
    load_texts(&[("a.conf".to_owned(), text)], &Sources::default())
        .unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn check_shows_the_service_and_connect_where_it_is() {
    let openstack = Openstack::start();
    let sink = Sink::start();
    openstack.list("dns", "public", REGION, &sink.url("/dns"));
    let lines = format!("url = catalog:dns/v2/{{{{ payload.id }}}}\n{}", login(&openstack));
    let explained = loaded(&format!("{lines}\nregion_name = {REGION}")).conf.explain();
    for expected in [
        "POST catalog:dns/v2/{{ payload.id }}".to_owned(),
        "the public URL of dns in region RegionOne in Keystone's catalogue".to_owned(),
        format!(
            "X-Auth-Token: ***, of user {USER} for project oss of domain id default at {}",
            openstack.auth_url()
        ),
    ] {
        assert!(explained.contains(&expected), "{expected}: {explained}");
    }
    let wanted = osnl::native::CallRequest {
        notification: &Notification { payload: json!({"id": "a/b"}), ..Notification::default() },
        rule: "r",
        resource: None,
        asks: &[],
    };
    let preview = format!("{:?}", loaded(&lines).conf.actions[0].preview(&wanted));
    assert!(
        preview.contains("\"catalog:dns/v2/a%2Fb\"") && !preview.contains("catalog.invalid"),
        "{preview}"
    );

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let probes = |lines: &str| {
        let loaded = loaded(lines);
        let all = runtime.block_on(loaded.conf.probe(&HttpOptions::default(), Duration::from_secs(10)));
        let own = all.into_iter().filter(|probe| probe.section == "action:hook");
        own.map(|probe| (probe.verdict, probe.to_string())).collect::<Vec<_>>()
    };
    let found = probes(&lines);
    let expected = format!("project oss with roles reader; dns is at {}", sink.url("/dns"));
    assert!(found[0].0 == ProbeVerdict::Fine && found[0].1.ends_with(&expected), "{found:?}");
    let expected =
        format!("target 127.0.0.1:{}: accepts connections, no TLS; no request was sent", sink.port());
    assert!(found[1].0 == ProbeVerdict::Fine && found[1].1.ends_with(&expected), "{found:?}");
    let found = probes(&format!("{lines}\nregion_name = Mars"));
    assert_eq!((found.len(), found[0].0), (1, ProbeVerdict::Failed));
    assert!(found[0].1.ends_with("region_name and interface choose among what there is"), "{found:?}");
    openstack.list("dns", "public", "RegionTwo", &sink.url("/two"));
    let found = probes(&lines);
    let expected = format!(
        "dns is at {}; region RegionOne was taken, the first in the catalogue; it also has RegionTwo; set region_name to \
         the region of the notifications",
        sink.url("/dns")
    );
    assert!(found[0].0 == ProbeVerdict::Warning && found[0].1.ends_with(&expected), "{found:?}");
    let found = probes(&format!("{lines}\nregion_name = RegionTwo"));
    assert!(found[0].0 == ProbeVerdict::Fine && found[0].1.ends_with(&sink.url("/two")), "{found:?}");
    assert_eq!(sink.requests().len(), 0);
    let found = probes(&format!("url = {}\n{}\npassword = wr0ng", sink.url("/"), login(&openstack)));
    assert_eq!((found[0].0, found[1].0), (ProbeVerdict::Failed, ProbeVerdict::Fine), "{found:?}");
}
