use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use osnl_config::Rate;
use osnl_config::template::Template;
use osnl_core::event::Event;
use osnl_core::metrics::Counters;
use osnl_core::received::ReceivedMessage;
use osnl_journal::Journal;
use osnl_journal::memory::{MemoryJournal, MemoryLimits};
use osnl_model::Notification;
use serde_json::{Value, json};
use tokio::time::{Instant, advance, sleep};

use super::subject::subject;
use super::*;
use crate::Prepare as _;

type Answer = Result<Option<Value>, ErrorClass>;

#[derive(Default)]
struct Source {
    answers: Mutex<HashMap<String, Answer>>,
    asked: AtomicUsize,
    slow: Option<Duration>,
    place: &'static str,
}

impl Source {
    fn new(answers: &[(&str, Value)]) -> Arc<Self> {
        let answers = answers.iter().map(|(id, value)| ((*id).to_owned(), Ok(Some(value.clone()))));
        Arc::new(Self { answers: Mutex::new(answers.collect()), ..Self::default() })
    }

    fn set(&self, id: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(id.to_owned(), answer);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Lookup for Source {
    fn fetch<'a>(&'a self, _kind: Kind, id: &'a str) -> BoxFuture<'a, Result<LookupAnswer, EnrichError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            sleep(self.slow.unwrap_or(Duration::from_secs(1))).await;
            match self.answers.lock().unwrap().get(id).cloned() {
                Some(Ok(Some(value))) => Ok(LookupAnswer::There(Arc::new(value))),
                Some(Ok(None)) | None => Ok(LookupAnswer::Gone),
                Some(Err(class)) => {
                    let reason = "http://nova: no".to_owned();
                    Err(EnrichError { class, reason, retry_after: None, remedy: None })
                }
            }
        })
    }

    fn target(&self) -> String {
        "http://nova".to_owned()
    }

    fn place(&self) -> String {
        self.place.to_owned()
    }
}

fn limits() -> Limits {
    Limits { cache_ttl: Duration::from_secs(60), negative_ttl: Duration::from_secs(10), ..Limits::default() }
}

#[test]
fn a_login_that_is_refused_waits_for_an_operator() {
    for (class, expected) in [
        (ErrorClass::Tls, true),
        (ErrorClass::Busy(Some(401)), true),
        (ErrorClass::Busy(Some(503)), false),
        (ErrorClass::Connect, false),
    ] {
        let error = EnrichError { class, reason: "no".to_owned(), retry_after: None, remedy: None };
        let error = error.to_action_error("net", "http://nova");
        assert_eq!((error.class, error.needs_operator), (ErrorClass::Dependency, expected), "{class:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_are_one_request_and_later_ones_none() {
    let source = Source::new(&[("a", json!({"name": "x"}))]);
    let enricher = Enricher::new(source.clone(), limits());
    let answers = join_all((0..100).map(|_| enricher.fetch(Kind::Server, "a"))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(LookupAnswer::There(_)))));
    assert_eq!(source.asked(), 1);
    enricher.fetch(Kind::Port, "a").await.unwrap();
    for (seconds, expected) in [(50, 2), (20, 3), (20, 3)] {
        advance(Duration::from_secs(seconds)).await;
        enricher.fetch(Kind::Server, "a").await.unwrap();
        assert_eq!(source.asked(), expected, "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn that_one_is_gone_is_forgotten_sooner_and_a_failure_at_once() {
    let source = Source::new(&[]);
    let enricher = Enricher::new(source.clone(), limits());
    for (seconds, expected) in [(0, 1), (8, 1), (8, 2)] {
        advance(Duration::from_secs(seconds)).await;
        assert_eq!(enricher.fetch(Kind::Server, "a").await, Ok(LookupAnswer::Gone));
        assert_eq!(source.asked(), expected, "{seconds}");
    }
    source.set("b", Err(ErrorClass::Busy(Some(500))));
    assert!(enricher.fetch(Kind::Server, "b").await.is_err());
    source.set("b", Ok(Some(json!({}))));
    assert!(matches!(enricher.fetch(Kind::Server, "b").await, Ok(LookupAnswer::There(_))));
}

#[tokio::test(start_paused = true)]
async fn no_more_is_remembered_than_there_is_place_for() {
    let source = Source::new(&[]);
    let enricher = Enricher::new(source.clone(), Limits { cache_size: 2, ..limits() });
    let ask = async |id: &str| enricher.fetch(Kind::Server, id).await.unwrap();
    for id in ["a", "b", "c"] {
        ask(id).await;
    }
    ask("b").await;
    ask("c").await;
    assert_eq!(source.asked(), 3);
    ask("a").await;
    assert_eq!(source.asked(), 4);
    let none = Enricher::new(source.clone(), Limits { cache_size: 0, ..limits() });
    none.fetch(Kind::Server, "a").await.unwrap();
    none.fetch(Kind::Server, "a").await.unwrap();
    assert_eq!(source.asked(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded_in_bytes_and_leaves_when_it_is_old() {
    let source = Source::new(&[]);
    let enricher = Enricher::new(source.clone(), limits());
    for n in 0..6 {
        let id = n.to_string();
        source.set(&id, Ok(Some(json!("x".repeat(cache::MOST_BYTES / 4)))));
        enricher.fetch(Kind::Server, &id).await.unwrap();
    }
    let (answers, bytes) = enricher.size();
    assert!(answers == 3 && bytes <= cache::MOST_BYTES, "{answers} {bytes}");
    source.set("huge", Ok(Some(json!("x".repeat(cache::MOST_BYTES)))));
    enricher.fetch(Kind::Server, "huge").await.unwrap();
    assert_eq!(enricher.size(), (answers, bytes), "one that is too large displaces none");
    advance(Duration::from_secs(100)).await;
    enricher.fetch(Kind::Server, "gone").await.unwrap();
    assert_eq!(enricher.size(), (1, 8));
    advance(Duration::from_secs(100)).await;
    enricher.fetch(Kind::Server, "gone").await.unwrap();
    assert_eq!(enricher.size(), (1, 8));
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_its_time_and_requests_have_their_rate() {
    let source = Arc::new(Source { slow: Some(Duration::from_secs(60)), ..Source::default() });
    let enricher = Enricher::new(source.clone(), limits());
    let error = enricher.fetch(Kind::Server, "a").await.unwrap_err();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Timeout, "http://nova: no answer in 10 s"));
    // Until the next try, every question gets the same error without a request.
    let began = Instant::now();
    let error = enricher.fetch(Kind::Port, "b").await.unwrap_err();
    assert_eq!((error.retry_after, began.elapsed()), (Some(Duration::from_secs(1)), Duration::ZERO));
    assert_eq!(source.asked(), 1);
    // A caller that gives up must not leave its request behind.
    sleep(Duration::from_secs(1)).await;
    let (error, other) = tokio::join!(enricher.fetch(Kind::Server, "a"), enricher.fetch(Kind::Port, "b"));
    assert_eq!(error.unwrap_err().retry_after, None, "one asks");
    assert!(other.unwrap_err().retry_after.is_some(), "the others go on waiting");
    assert_eq!(source.asked(), 2);

    let source = Source::new(&[]);
    let rate = Some(Rate { keys: 2, within: Duration::from_secs(4) });
    let enricher = Enricher::new(source.clone(), Limits { rate, ..limits() });
    let began = Instant::now();
    let ids: Vec<String> = (0..6).map(|n| n.to_string()).collect();
    let answers = join_all(ids.iter().map(|id| enricher.fetch(Kind::Server, id))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(began.elapsed().as_secs(), 9);
}

fn event(event_type: &str, payload: Value) -> Event {
    let notification =
        Notification { event_type: Some(event_type.to_owned()), payload, ..Notification::default() };
    Event::new(ReceivedMessage::sample("", false), notification, "r", "a")
}

fn step(name: &str, kind: Kind, id: Option<&str>, source: &Arc<Source>) -> EnrichmentStep {
    EnrichmentStep {
        name: name.into(),
        kind,
        id: id.map(|id| Template::compile(id, &["server", "port", "flavor"]).unwrap()),
        enricher: Enricher::new(source.clone(), limits()),
        default: json!({"name": "unknown"}),
        on_error: OnError::Retry,
    }
}

fn journal() -> Arc<dyn Journal> {
    Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(4), Arc::new(Counters::default())))
}

#[tokio::test(start_paused = true)]
async fn an_enrichment_may_look_at_those_before_it() {
    let source = Source::new(&[
        ("p", json!({"id": "p", "device_id": "s"})),
        ("s", json!({"id": "s", "name": "web 1", "flavor": {"id": "f"}, "image": ""})),
        ("f", json!({"id": "f", "ram": 512})),
    ]);
    let steps = vec![
        step("port", Kind::Port, None, &source),
        step("server", Kind::Server, None, &source),
        step("flavor", Kind::Flavor, Some("{{ server.flavor.id }}"), &source),
        step("image", Kind::Image, None, &source),
    ];
    let enrichments = Enrichments::new(steps, journal());
    let event = event("floatingip.update.end", json!({"floatingip": {"id": "x", "port_id": "p"}}));
    let found = enrichments.prepare(&event).await.unwrap().unwrap();
    assert_eq!(
        (&found.enriched["server"]["name"], &found.enriched["flavor"]["ram"]),
        (&json!("web 1"), &json!(512))
    );
    // A server that boots from a volume names no image.
    assert_eq!(found.enriched["image"], json!({"name": "unknown"}));
    let template = Template::compile("{{ server.name }} {{ flavor.ram }}", &["server", "flavor"]).unwrap();
    let event = Event { enriched: Some(found.enriched.clone()), ..event };
    assert_eq!(template.render(&event.names()).unwrap(), "web 1 512");
    // A stored value is not asked for again, even if the object has changed.
    source.set("s", Ok(Some(json!({"name": "other"}))));
    assert!(enrichments.prepare(&event).await.unwrap().is_none());
    assert_eq!(source.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_event_s_own_object_comes_before_one_that_another_enrichment_names() {
    let volumes = json!([{"id": "root"}, {"id": "v"}]);
    let source = Source::new(&[
        ("s", json!({"id": "s", "os-extended-volumes:volumes_attached": volumes})),
        ("root", json!({"id": "root", "name": "root disk"})),
        ("v", json!({"id": "v", "name": "data"})),
    ]);
    let steps =
        vec![step("server", Kind::Server, None, &source), step("volume", Kind::Volume, None, &source)];
    let enrichments = Enrichments::new(steps, journal());
    for (event_type, payload, expected) in [
        ("volume.attach.end", json!({"volume_id": "v", "instance_uuid": "s"}), "data"),
        ("compute.instance.update", json!({"instance_id": "s"}), "root disk"),
    ] {
        let found = enrichments.prepare(&event(event_type, payload)).await.unwrap().unwrap();
        assert_eq!(found.enriched["volume"]["name"], expected, "{event_type}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_the_event_s_then_the_journal_s_then_the_default() {
    let source = Source::new(&[("s", json!({"id": "s", "name": "web 1", "metadata": {"Owner": "ops"}}))]);
    let journal = journal();
    let enrichments = Enrichments::new(vec![step("server", Kind::Server, None, &source)], journal.clone());
    let resolve = async |event: &Event| {
        let found = enrichments.prepare(event).await.unwrap().unwrap();
        journal.enriched(osnl_journal::DeliveryId(1), &found.enriched, found.learnt).await;
        found.enriched["server"].clone()
    };
    let port = |device: &str| event("port.delete.end", json!({"port": {"id": "p", "device_id": device}}));
    assert_eq!(resolve(&port("s")).await["name"], "web 1");
    source.set("s", Ok(None));
    advance(Duration::from_secs(100)).await;
    assert_eq!(resolve(&port("s")).await["metadata"]["Owner"], "ops");
    let payload = json!({"instance_id": "s", "display_name": "web 2", "state": "deleted", "tenant_id": "t"});
    let gone = resolve(&event("compute.instance.delete.end", payload)).await;
    assert_eq!((&gone["name"], &gone["status"]), (&json!("web 2"), &json!("DELETED")));
    assert_eq!(gone["metadata"]["Owner"], "ops");
    assert_eq!(resolve(&port("other")).await, json!({"name": "unknown"}));
    assert_eq!(resolve(&port("")).await, json!({"name": "unknown"}));
}

#[tokio::test(start_paused = true)]
async fn a_description_that_is_too_long_is_given_to_no_delivery() {
    let long = "x".repeat(300_000);
    let source = Source::new(&[("s", json!({"id": "s", "name": long}))]);
    let enrichments = Enrichments::new(vec![step("server", Kind::Server, None, &source)], journal());
    let port = event("port.delete.end", json!({"port": {"id": "p", "device_id": "s"}}));
    let own = event("compute.instance.delete.end", json!({"instance_id": "o", "display_name": long}));
    for (event, asked) in [(&port, 1), (&port, 1), (&own, 2), (&own, 2)] {
        let error = enrichments.prepare(event).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Content, "{error}");
        assert_eq!(source.asked(), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn the_object_of_an_event_is_never_older_than_the_event() {
    let source = Source::new(&[("p", json!({"id": "p", "name": "vm-1", "device_id": "s"}))]);
    let enrichments = Enrichments::new(vec![step("port", Kind::Port, None, &source)], journal());
    let name_at = async |event_type: &str, payload: Value, received: SystemTime| {
        let mut event = event(event_type, payload);
        let mut of = ReceivedMessage::sample("", false);
        of.origin.received = received;
        event.received = Arc::new(of);
        enrichments.prepare(&event).await.unwrap().unwrap().enriched["port"]["name"].clone()
    };
    let port = || json!({"port": {"id": "p"}});
    let past = SystemTime::now() - Duration::from_secs(60);
    assert_eq!(name_at("port.create.end", port(), past).await, "vm-1");
    source.set("p", Ok(Some(json!({"id": "p", "name": "vm-1b"}))));
    assert_eq!(name_at("port.update.end", port(), past).await, "vm-1");
    let floating = json!({"floatingip": {"id": "f", "port_id": "p"}});
    assert_eq!(name_at("floatingip.update.end", floating, SystemTime::now()).await, "vm-1");
    assert_eq!(source.asked(), 1);
    assert_eq!(name_at("port.update.end", port(), SystemTime::now()).await, "vm-1b");
    assert_eq!(source.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_of_one_cloud_is_not_used_for_another() {
    let right = Source::new(&[("s", json!({"id": "s", "name": "web 1"}))]);
    let wrong = Arc::new(Source { place: "http://other", ..Source::default() });
    let journal = journal();
    let event = event("port.delete.end", json!({"port": {"id": "p", "device_id": "s"}}));
    for (source, expected) in [(&right, "web 1"), (&wrong, "unknown"), (&right, "web 1")] {
        let enrichments = Enrichments::new(vec![step("server", Kind::Server, None, source)], journal.clone());
        let found = enrichments.prepare(&event).await.unwrap().unwrap();
        journal.enriched(osnl_journal::DeliveryId(1), &found.enriched, found.learnt).await;
        assert_eq!(found.enriched["server"]["name"], expected);
        right.set("s", Ok(None));
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_asked_is_named_unless_nobody_waits_for_it() {
    let source = Source::new(&[]);
    source.set("s", Err(ErrorClass::Busy(Some(503))));
    let mut waiting = step("server", Kind::Server, None, &source);
    let event = event("port.create.end", json!({"port": {"id": "p", "device_id": "s"}}));
    let error = Enrichments::new(vec![waiting.clone()], journal()).prepare(&event).await.unwrap_err();
    assert_eq!(error.to_string(), "a dependency is down: [enrich:server] http://nova: no");
    assert_eq!(error.class, ErrorClass::Dependency);
    assert_eq!(error.dependency.as_deref(), Some("[enrich:server] http://nova"));
    waiting.on_error = OnError::Default;
    let found = Enrichments::new(vec![waiting], journal()).prepare(&event).await.unwrap().unwrap();
    assert_eq!(found.enriched["server"]["name"], "unknown");
}

#[test]
fn the_subject_is_read_out_of_what_the_services_send() {
    let check = |kind: Kind, event_type: &str, payload: Value, expected: Option<&str>| {
        let event = event(event_type, payload);
        assert_eq!(subject(kind, &event.notification).as_deref(), expected, "{kind} of {event_type}");
    };
    let port = json!({"port": {"id": "p", "device_id": "s", "project_id": "t"}});
    check(Kind::Port, "port.create.end", port.clone(), Some("p"));
    check(Kind::Server, "port.create.end", port.clone(), Some("s"));
    check(Kind::Project, "port.create.end", port.clone(), Some("t"));
    check(Kind::Flavor, "port.create.end", port, None);
    let floating = json!({"floatingip": {"id": "f", "port_id": null, "port_details": {"device_id": "s"}}});
    check(Kind::Server, "floatingip.update.end", floating.clone(), Some("s"));
    check(Kind::FloatingIp, "floatingip.update.end", floating.clone(), Some("f"));
    check(Kind::Port, "floatingip.update.end", floating, None);
    let subnet = json!({"subnet": {"id": "n", "network_id": "w"}});
    check(Kind::Network, "subnet.create.end", subnet.clone(), Some("w"));
    check(Kind::Subnet, "subnet.create.end", subnet, Some("n"));
    check(Kind::Network, "network.delete.start", json!({"network_id": "w"}), Some("w"));
    let plugged =
        json!({"router_interface": {"id": "r", "network_id": "w", "subnet_id": "n", "port_id": "p"}});
    check(Kind::Router, "router.interface.create", plugged.clone(), Some("r"));
    check(Kind::Subnet, "router.interface.create", plugged, Some("n"));
    check(
        Kind::Volume,
        "compute.instance.volume.attach",
        json!({"instance_id": "s", "volume_id": "v"}),
        Some("v"),
    );
    check(Kind::Domain, "identity.domain.created", json!({"resource_info": "d"}), Some("d"));
    let instance = json!({
        "instance_id": "s", "tenant_id": "t", "user_id": "u", "instance_flavor_id": "1",
        "image_meta": {"base_image_ref": "i"}
    });
    check(Kind::Server, "compute.instance.create.end", instance.clone(), Some("s"));
    check(Kind::Flavor, "compute.instance.create.end", instance.clone(), Some("1"));
    check(Kind::Image, "compute.instance.create.end", instance.clone(), Some("i"));
    check(Kind::User, "compute.instance.create.end", instance, Some("u"));
}
