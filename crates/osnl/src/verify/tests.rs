use std::collections::{BTreeMap, BTreeSet};

use osnl_net::http::HttpOptions;
use osnl_openstack::{CloudConf, Fields};
use osnl_testkit::Reply;
use osnl_testkit::openstack::{Openstack, PASSWORD, USER};
use serde_json::{Value, json};

use super::*;

const TIMEOUT: Duration = Duration::from_millis(300);
const ANOTHER: &str = "00000000000000000000000000000001";

fn id(n: u128) -> ResourceId {
    format!("{:032x}", (0xabc << 100) + n).parse().unwrap()
}

fn ids(numbers: std::ops::Range<u128>) -> Vec<ResourceId> {
    numbers.map(id).collect()
}

fn path(kind: VerifiedKind, id: ResourceId) -> String {
    match kind {
        VerifiedKind::Server => format!("/compute/v2.1/servers/{id}"),
        VerifiedKind::Port => format!("/network/v2.0/ports/{id}"),
    }
}

fn put(openstack: &Openstack, kind: VerifiedKind, id: ResourceId, project: &str) {
    let object = json!({"id": id.to_string(), "status": "ACTIVE", "tenant_id": project});
    openstack.put(&path(kind, id), json!({ kind.to_string(): object }));
}

fn verifier(openstack: &Openstack, kind: VerifiedKind, more: &[(&str, &str)]) -> Verifier {
    let (mut fields, url) = (Fields::default(), openstack.auth_url());
    let usual =
        [("auth_url", url.as_str()), ("username", USER), ("password", PASSWORD), ("project_name", "oss")];
    for (name, value) in usual.iter().chain(more) {
        fields.set(name, *value);
    }
    let cloud =
        Cloud::new(CloudConf::from_fields(&fields).unwrap(), &HttpOptions::default(), TIMEOUT).unwrap();
    Verifier::new(cloud, kind, None)
}

fn admin() -> Openstack {
    let openstack = Openstack::start();
    openstack.roles(&["admin"]);
    openstack
}

fn replied(status: u16, body: &str) -> Reply {
    Reply::StatusWith { status, headers: Vec::new(), body: body.into() }
}

#[tokio::test]
async fn gone_is_only_what_its_service_says_to_be_missing() {
    let openstack = admin();
    let check = async |kind: VerifiedKind, reply: Option<Reply>, expected: &str| {
        openstack.heal();
        openstack.remove(&path(kind, id(1)));
        if let Some(reply) = reply {
            openstack.fail(&path(kind, id(1)), reply);
        }
        let stretch =
            verifier(&openstack, kind, &[]).allowing_many(true).stretch(&[id(1)], |_| {}).await.unwrap();
        match expected {
            "there" => assert!(stretch.gone.is_empty() && stretch.unknown.is_empty(), "{stretch:?}"),
            "gone" => assert_eq!((stretch.gone, stretch.unknown.len()), (vec![id(1)], 0)),
            words => {
                let (_, why) = &stretch.unknown[0];
                assert!(stretch.gone.is_empty() && why.contains(words), "{why}");
            }
        }
    };
    let (server, port) = (VerifiedKind::Server, VerifiedKind::Port);
    let server_of =
        |status: &str, id: &str| replied(200, &json!({"server": {"id": id, "status": status}}).to_string());
    let hidden = r#"{"type": "HTTPNotFound", "message": "The resource could not be found.", "detail": ""}"#;
    let other = r#"{"NeutronError": {"type": "NetworkNotFound", "message": "", "detail": ""}}"#;
    // Something else of a server that exists is missing in nova.
    let unnamed = r#"{"itemNotFound": {"code": 404, "message": "The resource could not be found."}}"#;
    check(server, Some(replied(404, unnamed)), "not the answer of the compute API").await;
    check(server, None, "gone").await;
    check(port, None, "gone").await;
    check(server, Some(server_of("SOFT_DELETED", &id(1).to_string())), "there").await;
    check(server, Some(server_of("DELETED", &id(1).to_string())), "there").await;
    check(server, Some(server_of("ACTIVE", ANOTHER)), "about another object").await;
    check(port, Some(replied(404, hidden)), "a policy of the service hides it").await;
    check(port, Some(replied(404, other)), "not the answer of the network API").await;
    check(server, Some(replied(404, "<h1>404 Not Found</h1>nginx")), "not the answer of the compute API")
        .await;
    // A cell of nova that is down.
    check(server, Some(Reply::Status(500)), "status 500").await;
    check(server, Some(Reply::Status(403)), "forbidden").await;
    check(server, Some(Reply::Status(410)), "status 410").await;
    check(server, Some(replied(200, "{}")), "has no server in it").await;
    check(port, Some(Reply::Hang), "no answer in 0.3 s").await;
}

#[tokio::test]
async fn without_a_proof_of_the_login_nothing_is_asked() {
    let openstack = Openstack::start();
    let check = async |more: &[(&str, &str)], expected: &str| {
        let mut verifier = verifier(&openstack, VerifiedKind::Server, more);
        let error = verifier.stretch(&ids(0..3), |_| panic!("a question")).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(&[], "does not have the role admin").await;
    openstack.roles(&["admin"]);
    openstack.list("compute", "public", "RegionTwo", &openstack.sink().url("/compute/v2.1"));
    for region in [None, Some(("region_name", "RegionOne")), Some(("region_name", "RegionTwo"))] {
        check(region.as_slice(), "name it with --region").await;
    }
    check(&[("region_name", "Mars")], "no public URL of compute in region Mars").await;
    openstack.unlist();
    openstack.fail("/compute/v2.1/servers?all_tenants=1", Reply::Status(403));
    check(&[], "status 403").await;
    assert_eq!(openstack.count("/compute/v2.1/servers/"), 0);
}

#[tokio::test]
async fn a_role_that_is_taken_away_in_the_middle_makes_all_answers_worthless() {
    let openstack = admin();
    for n in 0..40 {
        put(&openstack, VerifiedKind::Server, id(n), ANOTHER);
    }
    let mut verifier = verifier(&openstack, VerifiedKind::Server, &[]).allowing_many(true);
    let mut gone = 0;
    let all = ids(0..40);
    let error = verifier.stretch(&all, |tally| {
        gone = tally.gone;
        if tally.asked == 10 {
            openstack.roles(&["member"]);
        }
    });
    let error = error.await.unwrap_err();
    assert!(matches!(error, Unproved::NotAdmin { .. }), "{error}");
    assert!(gone > 10, "nova hides them: {gone}");
    assert_eq!(verifier.tally(), VerifyTally::default());
}

#[tokio::test]
async fn a_run_halts_before_it_deletes_much_or_asks_in_vain() {
    let openstack = admin();
    let check =
        async |there: std::ops::Range<u128>, of: u128, allows: bool, halt: Option<Halt>, asked: u64| {
            let kind = VerifiedKind::Server;
            (0..1000).for_each(|n| openstack.remove(&path(kind, id(n))));
            there.for_each(|n| put(&openstack, kind, id(n), ANOTHER));
            let mut verifier = verifier(&openstack, kind, &[]).allowing_many(allows);
            let mut seen = 0;
            let stretch = verifier.stretch(&ids(0..of), |tally| seen = tally.asked).await.unwrap();
            assert_eq!((stretch.halt, seen, stretch.is_whole), (halt, asked, u128::from(seen) == of));
        };
    check(0..80, 100, false, None, 100).await;
    check(0..79, 100, false, Some(Halt::ManyGone), 100).await;
    check(0..79, 100, true, None, 100).await;
    check(0..0, 49, false, Some(Halt::ManyGone), 49).await;
    check(0..0, 100, false, Some(Halt::FirstGone), 50).await;
    check(0..0, 100, true, None, 100).await;
    check(49..1000, 400, false, None, 400).await;
    openstack.fail("/compute/v2.1/servers/", Reply::Status(500));
    check(0..1000, 400, false, Some(Halt::NoAnswers), 20).await;
    // Many are gone, and the rest was not asked about.
    openstack.heal();
    for n in 10..30 {
        openstack.fail(&path(VerifiedKind::Server, id(n)), Reply::Status(500));
    }
    check(30..1000, 400, false, Some(Halt::ManyGone), 30).await;
    check(30..1000, 400, true, Some(Halt::NoAnswers), 30).await;
}

/// Each fault hits some of the resources that are there, and some that are gone.
#[tokio::test]
async fn all_that_can_be_proved_is_found_and_nothing_else_in_20_clouds_with_faults() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let kind = if seed % 2 == 0 { VerifiedKind::Server } else { VerifiedKind::Port };
        let openstack = admin();
        let mut expected: BTreeMap<&str, BTreeSet<ResourceId>> = BTreeMap::new();
        if random.bool() {
            openstack.list("compute", "public", "RegionTwo", &openstack.sink().url("/nowhere"));
            openstack.list("network", "public", "RegionTwo", &openstack.sink().url("/nowhere"));
        }
        let hidden = r#"{"type": "HTTPNotFound", "message": "", "detail": ""}"#;
        for n in 0..300 {
            let (id, is_there) = (id(n), random.u8(..100) < 85);
            if is_there {
                let project = if random.bool() { ANOTHER } else { Openstack::id("project") };
                put(&openstack, kind, id, project);
            }
            let fault = match random.u8(..100) {
                0..4 => Some(Reply::Status(500)),
                4 => Some(Reply::Hang),
                5 => Some(Reply::ResetInBody),
                6 => Some(replied(404, "<h1>404 Not Found</h1>nginx")),
                7 if kind == VerifiedKind::Port => Some(replied(404, hidden)),
                _ => None,
            };
            let answer = match (&fault, is_there) {
                (Some(_), _) => "unknown",
                (None, true) => "there",
                (None, false) => "gone",
            };
            expected.entry(answer).or_default().insert(id);
            fault.into_iter().for_each(|reply| openstack.fail(&path(kind, id), reply));
        }
        let expires = random.u64(10..290);
        let mut verifier = verifier(&openstack, kind, &[("region_name", "RegionOne")])
            .allowing_many(true)
            .naming_region(true);
        let asked = |tally: VerifyTally| {
            if tally.asked == expires {
                openstack.revoke();
            }
        };
        let stretch = verifier.stretch(&ids(0..300), asked).await.unwrap();
        let unknown: BTreeSet<_> = stretch.unknown.iter().map(|(id, _)| *id).collect();
        let gone: BTreeSet<_> = stretch.gone.iter().copied().collect();
        assert_eq!(
            (Some(&gone), unknown),
            (expected.get("gone"), expected["unknown"].clone()),
            "seed {seed}"
        );
        assert_eq!(verifier.tally().there, expected["there"].len() as u64, "seed {seed}");
    }
}

#[tokio::test]
async fn questions_keep_the_rate() {
    let openstack = admin();
    let mut verifier = Verifier { per_second: Some(100.0), ..verifier(&openstack, VerifiedKind::Port, &[]) };
    let began = tokio::time::Instant::now();
    verifier.stretch(&ids(0..30), |_| {}).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(280), "{:?}", began.elapsed());
}

#[test]
fn the_event_of_a_deletion_has_what_is_known_of_its_resource() {
    let text = id(7).to_string();
    let check = |form: DeletionForm, known: Value, pointer: &str, expected: Value| {
        let event = form.event("roles", id(7), Some(&known)).unwrap();
        let plain = Budget::MOST.plain_body(&event.body, &event.properties.content_info()).unwrap();
        let read = Budget::MOST.decode(&plain).unwrap();
        assert_eq!(read.event_type.as_deref(), Some(form.event_type()));
        assert_eq!(
            (read.payload.pointer(pointer), &read.payload["reconciled"]),
            (Some(&expected), &json!(true))
        );
        (read.message_id, read.payload)
    };
    let port = json!({"port": {"id": text, "device_id": "d", "fixed_ips": []}});
    let (_, payload) = check(DeletionForm::Port, port, "/port/device_id", json!("d"));
    assert_eq!(payload["port_id"], text);
    let other = json!({"port": {"id": ANOTHER, "device_id": "d"}});
    let (_, payload) = check(DeletionForm::Port, other, "/port/id", json!(text));
    assert!(payload["port"].get("device_id").is_none(), "{payload}");
    let legacy = json!({"instance_id": text, "state": "active", "tenant_id": "p"});
    let (first, payload) = check(DeletionForm::Instance, legacy.clone(), "/tenant_id", json!("p"));
    assert_eq!(payload["state"], "deleted");
    let versioned = json!({"nova_object.data": {"uuid": text, "host_name": "web"}});
    check(DeletionForm::VersionedInstance, versioned, "/nova_object.data/host_name", json!("web"));
    let (again, _) = check(DeletionForm::Instance, legacy, "/instance_id", json!(text));
    assert_eq!(first, again);
    assert_ne!(first, Some(DeletionForm::Instance.message_id("other", id(7))));
}
