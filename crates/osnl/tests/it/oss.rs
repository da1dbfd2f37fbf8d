use std::sync::Arc;

use osnl::action::http::HttpOptions;
use osnl::action::{Action, ActionError, Completion, Event};
use osnl::received::ReceivedMessage;
use osnl_legacy::oss::rest::{OssRest, OssRestOptions};
use osnl_legacy::oss::{BodyForm, Lists, NodeForm, WatchedActions, Watcher};
use osnl_net::http::Url;
use osnl_net::http::header::HeaderName;
use osnl_testkit::{Reply, Sink, fixture};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::harness::event_of;

const VM: &str = "33333333-aaaa-4bbb-8ccc-000000000001";

fn associated() -> String {
    let file = fixture::json("emission/captures/neutron.json");
    file["cases"]["floatingip_update_associate"][1]["body_text"].as_str().unwrap().to_owned()
}

fn event(body: String) -> Event {
    event_of(body, "a")
}

fn attempt(sink: &Sink, event: &Event) -> Result<Completion, ActionError> {
    let url = |path: &str| Url::parse(&sink.url(path)).unwrap();
    let options = OssRestOptions {
        creation: url("/came?token=S3CRET-1"),
        deletion: url("/went?key=S3CRET-2"),
        login: None,
        lists: Lists::default(),
        form: NodeForm::default(),
        body: BodyForm::Json,
        idempotency: Some(HeaderName::from_static("idempotency-key")),
    };
    let action = OssRest::new(options, &HttpOptions::default()).unwrap();
    assert_eq!(action.target(), sink.url("/came?token=***"));
    let runtime: Runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(action.run(std::slice::from_ref(event))).remove(0)
}

#[test]
fn a_node_detail_is_posted_and_an_answer_is_what_it_is() {
    let sink = Sink::start();
    let expected = format!("POST {} IP=172.24.4.174 instance={VM}: 204", sink.url("/came?token=***"));
    assert_eq!(attempt(&sink, &event(associated())).unwrap(), Completion::Delivered(expected));
    let posted: Value = serde_json::from_slice(&sink.requests()[0].body).unwrap();
    assert_eq!((&posted["FQDN"], &posted["IP"]), (&Value::Null, &"172.24.4.174".into()));
    sink.reply_with(Reply::StatusWith {
        status: 422,
        headers: Vec::new(),
        body: b"no /came of S3CRET-1, S3CRET-2".to_vec(),
    });
    let error = attempt(&sink, &event(associated())).unwrap_err();
    assert_eq!(error.to_string(), "status 422: Unprocessable Entity, reply: no /came of ***, ***");
    // The target may have done it: a further attempt would be a second effect.
    let elsewhere = vec![("Location".to_owned(), "/nodes/7".to_owned())];
    sink.reply_with(Reply::StatusWith { status: 303, headers: elsewhere, body: Vec::new() });
    let error = attempt(&sink, &event(associated())).unwrap_err();
    assert!(error.class.is_final(), "{error}");
    assert!(error.to_string().ends_with("status 303, See Other; it leads to /nodes/7"), "{error}");
}

#[test]
fn what_was_answered_is_not_sent_again() {
    let mut watched = WatchedActions::default();
    watched.add("a".into(), Lists::default());
    let watcher = Watcher::new(watched, Vec::new());
    let first = event(associated());
    let _seen = watcher.noted(&first.received);
    let moved = associated().replace(VM, "other").replace("_unique_id\\\": \\\"", "_unique_id\\\": \\\"2");
    let mut moved = event(moved);
    let mut received = ReceivedMessage::clone(&moved.received);
    received.noted = watcher.noted(&moved.received);
    moved.received = Arc::new(received);

    let sink = Sink::start();
    sink.script(vec![Reply::Status(204), Reply::Status(503)]);
    attempt(&sink, &moved).unwrap_err();
    attempt(&sink, &moved).unwrap();
    let requests = sink.requests();
    let id = moved.notification.id().unwrap().to_owned();
    let sent: Vec<(&str, &str)> = requests
        .iter()
        .map(|request| {
            (&*request.target, request.header("idempotency-key").unwrap().strip_prefix(&*id).unwrap())
        })
        .collect();
    assert_eq!(
        sent,
        [
            ("/went?key=S3CRET-2", "/r/a"),
            ("/came?token=S3CRET-1", "/r/a/2"),
            ("/came?token=S3CRET-1", "/r/a/2"),
        ]
    );
    assert_eq!(requests[1].body, requests[2].body);
}
