//! Tests answers of the API, recorded from RabbitMQ 3.10.8 or written as 4.x sends them.

use osnl_model::TransportUrl;
use osnl_testkit::{Reply, Sink};
use osnl_transport::{QueueKind, QueueType};
use serde_json::{Value, json};

use super::client::ApiQuestion;
use super::risk::{drop_limits, risks};
use super::{BrokerFacts, UnknownFact, reading};
use crate::native::ManagementConf;

fn conf(url: &str) -> ManagementConf {
    let login = TransportUrl::parse("rabbit://osnl:from-transport-url@mq1/").unwrap().hosts()[0].clone();
    ManagementConf { url: TransportUrl::parse(url).unwrap(), login, ca_file: None }
}

fn body(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Reply::StatusWith { status, headers: Vec::new(), body: body.into() }
}

fn ask(conf: &ManagementConf) -> Result<BrokerFacts, UnknownFact> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let queues = ["a/b c".to_owned()];
    let subject = ApiQuestion { vhost: "/", queues: &queues, cluster: Some("rabbit@mq1"), thorough: None };
    runtime.block_on(conf.ask(&subject))
}

fn api(path: &'static str, reply: Reply) -> Sink {
    let sink = Sink::start();
    sink.reply_when(move |request| {
        if request.target.starts_with(path) {
            return Some(reply.clone());
        }
        Some(body(
            200,
            match request.target.as_str() {
                "/api/overview" => {
                    json!({"rabbitmq_version": "3.10.8", "cluster_name": "rabbit@mq1"}).to_string()
                }
                "/api/vhosts" => json!([{"name": "/", "default_queue_type": "quorum"}]).to_string(),
                "/api/queues/%2F/a%2Fb%20c" => queue(&json!({})).to_string(),
                _ => return Some(body(404, "")),
            },
        ))
    });
    sink
}

fn queue(other: &Value) -> Value {
    let mut found = json!({
        "name": "a/b c", "type": "classic", "durable": true, "arguments": {}, "policy": null,
        "operator_policy": null, "effective_policy_definition": {}, "consumer_details": [],
    });
    for (name, value) in other.as_object().unwrap() {
        found[name] = value.clone();
    }
    found
}

#[test]
fn the_answers_are_read_and_the_login_is_that_of_the_url_or_of_the_broker() {
    let sink = api("/none", Reply::Hang);
    let url = |login: &str| format!("http://{login}127.0.0.1:{}/", sink.port());
    for (login, sent) in [("", "b3NubDpmcm9tLXRyYW5zcG9ydC11cmw="), ("u:p%40@", "dTpwQA==")] {
        sink.forget();
        let facts = ask(&conf(&url(login))).unwrap();
        assert_eq!(facts.version.as_deref(), Some("3.10.8"));
        assert_eq!(facts.default_queue_type.as_deref(), Some("quorum"));
        assert_eq!((facts.queues.len(), facts.unknown()), (1, None));
        for request in sink.requests() {
            assert_eq!(request.header("authorization"), Some(format!("Basic {sent}").as_str()));
        }
    }
    let first = osnl_testkit::closed_port();
    let several = format!("http://u:p@127.0.0.1:{first},u:p@127.0.0.1:{}/", sink.port());
    assert!(ask(&conf(&several)).is_ok());
    let shown = format!("{:?}", conf(&url("u:hunter2@")));
    assert!(!shown.contains("hunter2") && !shown.contains("from-transport-url"), "{shown}");
}

#[test]
fn a_missing_answer_is_unknown_with_its_reason_and_its_remedy() {
    let check = |path: &'static str, reply: Reply, reason: &str, remedy: &str| {
        let sink = api(path, reply);
        let found = ask(&conf(&format!("http://u:hunter2@127.0.0.1:{}/", sink.port())));
        let unknown = match &found {
            Ok(facts) => facts.unknown().unwrap_or_else(|| panic!("{path}: {facts:?}")),
            Err(unknown) => unknown,
        };
        assert!(unknown.reason.contains(reason), "{path}: {unknown:?}");
        assert!(unknown.remedy.contains(remedy), "{path}: {unknown:?}");
        assert!(!format!("{unknown:?}").contains("hunter2"));
    };
    let (overview, queue_path) = ("/api/overview", "/api/queues");
    let tag = r#"{"error":"not_authorised","reason":"Not management user"}"#;
    check(overview, body(401, tag), "401, the user has no tag", "rabbitmqctl set_user_tags u monitoring");
    let login = r#"{"error":"not_authorized","reason":"Login failed"}"#;
    check(overview, body(401, login), "401, the login is refused", "rabbitmqctl authenticate_user u");
    // A wrong sign makes the password a part of the user.
    let refusing = api(overview, body(401, login));
    let unknown = ask(&conf(&format!("http://u;hunter2@127.0.0.1:{}/", refusing.port()))).unwrap_err();
    assert!(unknown.remedy.contains("authenticate_user '***'"), "{unknown:?}");
    let vhost = r#"{"error":"not_authorised","reason":"User not authorised to access virtual host"}"#;
    check(
        queue_path,
        body(401, vhost),
        "may not see the virtual host",
        "set_permissions -p / u '^$' '^$' '^$'",
    );
    check(queue_path, body(403, ""), "403", "set_user_tags u monitoring");
    check(overview, body(404, ""), "404, this is not the management API", "rabbitmq-plugins enable");
    check(overview, body(503, "down"), "status 503", "log of the broker");
    check(
        overview,
        body(500, "Basic dTpodW50ZXIy, hunter%32"),
        "status 500, reply: Basic ***, ***",
        "log of",
    );
    let headers = vec![("Location".to_owned(), "https://mq:15671/?p=hunter2".to_owned())];
    let moved = Reply::StatusWith { status: 301, headers, body: Vec::new() };
    let why = "status 301: Moved Permanently; it leads to https://mq:15671/?...";
    check(overview, moved, why, "write that place into management_url");
    check(overview, body(200, "{"), "not valid JSON", "look at host, port, and path");
    check(overview, body(200, "[".repeat(100_000)), "not valid JSON", "look at host");
    check(overview, body(200, "[]"), "not a JSON object", "look at host");
    check(overview, body(200, "{}"), "no version", "look at host");
    let other = r#"{"rabbitmq_version": "4.0.5", "cluster_name": "rabbit@other"}"#;
    check(overview, body(200, other), "is not for this broker: it is of cluster rabbit@other", "cluster");
    check(overview, Reply::Endless, "longer than 1 MiB", "management_url");
    check(overview, body(200, "x".repeat(3 << 20)), "longer than 1 MiB", "management_url");
    check(overview, Reply::Garbage, "", "rabbitmq-plugins enable");
    check(overview, Reply::Reset, "", "rabbitmq-plugins enable");
    check(
        queue_path,
        body(404, ""),
        "404, the user may not see the virtual host",
        "set_permissions -p / u '^$' '^$' '^$'",
    );
    let missing = Sink::start();
    missing.reply_when(|request| match request.target.split_once('?') {
        Some(("/api/queues/%2F", _)) => Some(body(200, r#"{"items":[]}"#)),
        _ if request.target.starts_with("/api/queues") => Some(body(404, "")),
        _ => Some(body(200, r#"{"rabbitmq_version":"3.10.8","cluster_name":"rabbit@mq1"}"#)),
    });
    let facts = ask(&conf(&format!("http://u:p@127.0.0.1:{}/", missing.port()))).unwrap();
    assert_eq!((facts.queues.len(), facts.unknown()), (0, None), "the queue does not exist");
    check(queue_path, body(200, r#"{"name":"b"}"#), "about another queue", "look at host");
    check(queue_path, body(200, r#"{"name":"a/b c"}"#), "no statistics", "ask again");
    let nothing = osnl_testkit::closed_port();
    let refused = ask(&conf(&format!("http://u:p@127.0.0.1:{nothing}/"))).unwrap_err();
    assert!(refused.remedy.contains("rabbitmq-plugins enable rabbitmq_management"), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let sink = api("/api/overview", Reply::Hang);
    let conf = conf(&format!("http://u:p@127.0.0.1:{}/", sink.port()));
    let subject = ApiQuestion { vhost: "/", queues: &[], cluster: None, thorough: None };
    let unknown = conf.ask(&subject).await.unwrap_err();
    assert!(unknown.reason.ends_with("no answer within 10 s"), "{unknown:?}");
}

fn judged(version: &str, found: &Value, wanted: &QueueKind, declares: bool) -> Vec<(String, String)> {
    let queue = reading::queue("a/b c", queue(found).to_string().as_bytes()).unwrap();
    let facts = BrokerFacts { version: Some(version.to_owned()), ..BrokerFacts::default() };
    let found = risks(("a/b c", &queue), "/", wanted, declares, facts.major()).into_iter();
    found.map(|risk| (format!("{}: {}", risk.seen, risk.consequence), risk.remedy.to_string())).collect()
}

#[test]
fn no_text_in_an_answer_is_read_as_json_again() {
    let overview = |text: &Value| reading::overview(text.to_string().as_bytes()).is_ok();
    let answer = json!({"rabbitmq_version": "4.0.0"});
    assert!(overview(&answer));
    assert!(!overview(&json!({"$serde_json::private::RawValue": answer.to_string()})));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn each_setting_that_loses_messages_is_a_risk_unless_the_configuration_asks_for_it() {
    let quorum = QueueKind { queue_type: QueueType::Quorum, ..QueueKind::DURABLE };
    let limited = QueueKind { delivery_limit: Some(50), ..quorum.clone() };
    let check = |version: &str, found: Value, wanted: &QueueKind, expected: &[(&str, &str)]| {
        let risks = judged(version, &found, wanted, true);
        assert_eq!(risks.len(), expected.len(), "{found}: {risks:#?}");
        for ((message, remedy), (words, command)) in risks.iter().zip(expected) {
            assert!(message.contains(words), "{message}\n{words}");
            assert!(remedy.contains(command), "{remedy}\n{command}");
            let deletes = ["delete_queue", "purge", "set_permissions", "clear_"];
            assert!(!deletes.iter().any(|verb| remedy.contains(verb)), "{remedy}");
        }
    };
    let policy = |definition: Value| json!({"policy": "p", "effective_policy_definition": definition});
    let operator =
        |definition: Value| json!({"operator_policy": "o", "effective_policy_definition": definition});
    let kind = &QueueKind::DURABLE;
    check("3.10.8", json!({}), kind, &[]);
    check("3.10.8", json!({"effective_policy_definition": []}), kind, &[]);
    check("3.10.8", policy(json!({"ha-mode": "all", "queue-mode": "lazy"})), kind, &[]);
    check(
        "3.10.8",
        policy(json!({"message-ttl": 60000, "ha-mode": "all"})),
        kind,
        &[(
            "policy \"p\" sets message-ttl = 60000: a message that waits for 60 s is dropped",
            "rabbitmqctl set_policy -p / --apply-to queues --priority 999 'osnl-a/b c' '^a\\/b\\ c$' '{\"ha-mode\":\"all\"}'",
        )],
    );
    check(
        "3.10.8",
        operator(json!({"max-length": 5, "overflow": "reject-publish"})),
        kind,
        &[(
            "operator policy \"o\" sets max-length = 5: beyond 5 messages the broker refuses new",
            "set_operator_policy",
        )],
    );
    check(
        "3.10.8",
        json!({"policy": "p", "operator_policy": "o",
            "effective_policy_definition": {"expires": 1500, "dead-letter-exchange": "d", "max-length-bytes": 7}}),
        kind,
        &[
            (
                "deletes the queue with its messages after 1500 ms without a consumer",
                "list_operator_policies -p /",
            ),
            (
                "beyond 7 bytes the oldest message goes to exchange \"d\"",
                "'{\"dead-letter-exchange\":\"d\"}'",
            ),
        ],
    );
    let own = json!({"arguments": {"x-max-length": 9}});
    check("3.10.8", own.clone(), kind, &[("its declaration sets max-length = 9", "created as configured")]);
    let mut asked = QueueKind::DURABLE;
    asked.arguments.insert("x-max-length".to_owned(), osnl_transport::Argument::Integer(9));
    check("3.10.8", own, &asked, &[]);
    // No delivery limit before 4.0, 20 since, or as newer brokers report.
    let of_type = |kind: &str, more: Value| {
        let mut found = more;
        found["type"] = json!(kind);
        found
    };
    check("3.10.8", of_type("quorum", json!({})), &quorum, &[]);
    let default =
        "the broker's default sets delivery-limit = 20: a message that returns more than 20 times is dropped";
    let unlimited = "'{\"delivery-limit\":-1}'";
    check("4.0.5", of_type("quorum", json!({})), &quorum, &[(default, unlimited)]);
    check("4.0.5", of_type("quorum", json!({})), kind, &[(default, unlimited)]);
    check("4.0.5", of_type("quorum", json!({"delivery_limit": 20})), &quorum, &[(default, unlimited)]);
    for none in [
        json!({"delivery_limit": "unlimited"}),
        json!({"delivery_limit": -1}),
        json!({"arguments": {"x-delivery-limit": -1}}),
    ] {
        check("4.1.0", of_type("quorum", none), &quorum, &[]);
    }
    check("4.0.5", of_type("quorum", json!({"arguments": {"x-delivery-limit": 50}})), &limited, &[]);
    let lower = json!({"arguments": {"x-delivery-limit": 50}, "operator_policy": "o",
        "effective_policy_definition": {"delivery-limit": 3}});
    let of_policy = "operator policy \"o\" sets delivery-limit = 3";
    check("4.0.5", of_type("quorum", lower), &limited, &[(of_policy, "set_operator_policy")]);
    check("4.0.5", of_type("classic", json!({})), kind, &[]);
    // Without statistics, only the declaration is judged.
    check("4.0.5", of_type("quorum", json!({"effective_policy_definition": null})), &quorum, &[]);
    // A queue that osnl does not declare was compared with nothing.
    let found = judged("3.10.8", &json!({"durable": false}), kind, false);
    assert!(found[0].0.contains("it is transient: a restart of the broker deletes it"), "{found:?}");
    let hostile = policy(json!({"message-ttl": "\u{1b}[31m", "max-length": u64::MAX, "expires": {"a": []}}));
    let found = judged("x", &hostile, kind, true);
    assert!(!format!("{found:?}").contains('\u{1b}'), "{found:?}");
}

#[test]
fn the_limits_of_waiting_messages_are_those_in_force() {
    let limits = |found: Value| {
        let facts = reading::queue("a/b c", queue(&found).to_string().as_bytes()).unwrap();
        drop_limits(("q", &facts), &QueueKind::DURABLE)
    };
    assert_eq!(limits(json!({"effective_policy_definition": {"expires": 9, "delivery-limit": 9}})), None);
    let both = json!({"policy": "p", "effective_policy_definition": {"message-ttl": 60000, "max-length": 7},
                      "arguments": {"x-max-length": 5}});
    let found = limits(both).unwrap();
    assert_eq!((found.ttl, found.max_length), (Some(std::time::Duration::from_secs(60)), Some(5)));
    let words = "queue q: policy \"p\" sets message-ttl = 60000; its declaration sets max-length = 5";
    assert_eq!(found.words, words);
}
