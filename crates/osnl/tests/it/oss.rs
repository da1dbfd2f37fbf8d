//! The action `oss_rest` with somebody who may be asked for what no event has told.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use osnl::action::http::HttpOptions;
use osnl::action::oss_rest::{OssRest, OssRestOptions};
use osnl::action::{Action, ActionError, Done, ErrorClass, Event};
use osnl::oss::{Body, Instance, Lists, NodeForm, Servers};
use osnl::received::{Origin, Received};
use osnl_http::Url;
use osnl_testkit::{Reply, Sink, fixture};
use osnl_transport::{BoxFuture, Properties};
use serde_json::Value;
use tokio::runtime::Runtime;

/// Answers each question with what it is told to, and notes who was asked for.
#[derive(Debug)]
struct Asked {
    answer: Result<Option<Instance>, ActionError>,
    ids: Mutex<Vec<String>>,
}

impl Servers for Asked {
    fn of_port<'a>(&'a self, port: &'a str) -> BoxFuture<'a, Result<Option<String>, ActionError>> {
        self.ids.lock().unwrap().push(port.to_owned());
        Box::pin(async { Ok(None) })
    }

    fn instance<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Instance>, ActionError>> {
        self.ids.lock().unwrap().push(id.to_owned());
        Box::pin(std::future::ready(self.answer.clone()))
    }
}

fn associated() -> Event {
    let file = fixture::json("emission/captures/neutron.json");
    let body = file["cases"]["floatingip_update_associate"][1]["body_text"].as_str().unwrap().to_owned();
    let origin = Origin {
        listener: "l".into(),
        queue: "q".into(),
        exchange: String::new(),
        routing_key: String::new(),
        redelivered: false,
        received: SystemTime::UNIX_EPOCH,
    };
    let received =
        Received { body: body.into(), properties: Properties::default(), origin, noted: Default::default() };
    let notification = Arc::new(received.decode().unwrap());
    Event {
        received: Arc::new(received),
        notification,
        rule: "r".into(),
        action: "a".into(),
        resource: None,
        enriched: None,
    }
}

fn attempt(
    sink: &Sink,
    answer: Result<Option<Instance>, ActionError>,
) -> (Result<Done, ActionError>, Vec<String>) {
    let url = |path: &str| Url::parse(&sink.url(path)).unwrap();
    let options = OssRestOptions {
        creation: url("/came"),
        deletion: url("/went"),
        login: None,
        lists: Lists::default(),
        form: NodeForm::default(),
        body: Body::Json,
        idempotency: None,
    };
    let servers = Arc::new(Asked { answer, ids: Mutex::default() });
    let action = OssRest::new(options, &HttpOptions::default()).unwrap().with_servers(servers.clone());
    let runtime: Runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(action.run(&[associated()])).remove(0);
    let ids = servers.ids.lock().unwrap().clone();
    (result, ids)
}

#[test]
fn what_no_event_has_told_is_asked_for() {
    let sink = Sink::start();
    let posted = |n: usize| -> Value { serde_json::from_slice(&sink.requests()[n].body).unwrap() };
    const VM: &str = "33333333-aaaa-4bbb-8ccc-000000000001";
    let found = Instance {
        display_name: Some("web 1".to_owned()),
        memory_mb: Some(2048),
        root_gb: Some(20),
        ..Instance::default()
    };
    let (result, ids) = attempt(&sink, Ok(Some(found)));
    let expected = format!("POST {} IP=172.24.4.174 instance={VM}: 204", sink.url("/came"));
    assert_eq!((result.unwrap(), ids), (Done::Delivered(expected), vec![VM.to_owned()]));
    assert_eq!((&posted(0)["FQDN"], &posted(0)["Ram"]), (&"web 1".into(), &2048.into()));
    // The server is gone: it is told all the same.
    attempt(&sink, Ok(None)).0.unwrap();
    assert_eq!((&posted(1)["FQDN"], &posted(1)["IP"]), (&Value::Null, &"172.24.4.174".into()));
    // Keystone is away: another attempt may find more, and nothing is posted before.
    let away = ActionError::new(ErrorClass::Connect, "keystone");
    assert_eq!(attempt(&sink, Err(away.clone())).0, Err(away));
    assert_eq!(sink.requests().len(), 2);
}

#[test]
fn an_answer_is_what_it_is_and_its_words_are_kept() {
    let sink = Sink::start();
    sink.reply_with(Reply::StatusWith { status: 422, headers: Vec::new(), body: b"no such node".to_vec() });
    let error = attempt(&sink, Ok(None)).0.unwrap_err();
    assert_eq!(error.to_string(), "status 422: Unprocessable Entity, reply: no such node");
}
