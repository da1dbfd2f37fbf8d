use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use osnl_model::{Framing, Priority};
use osnl_notify::versioned::ironic::{
    EventType, InspectionRule, InspectionRuleCRUDNotification, InspectionRuleCRUDPayload, Node,
    NodeCRUDNotification, NodeCRUDPayload, NodeCRUDPayloadExtra, NotificationPublisher, NotificationStatus,
    action,
};
use osnl_notify::versioned::{
    Context, Dict, FlexibleDict, Level, MaybeSet, Outlet, Recorder, SensitiveText, Severity, Threshold,
    Topics, VersionedEnum as _, VersionedNotification, VersionedObject, WireObject, nova, to_payload_text,
};
use serde_json::Value;

use crate::versioned::recordings::{case, json};

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.0", timestamps)]
struct ExampleNotifPayload {
    a_useful_field: String,
    an_extra_field: Option<String>,
}

#[derive(Clone, VersionedNotification)]
#[versioned(namespace = "ironic", version = "1.0", timestamps)]
struct ExampleNotification {
    payload: ExampleNotifPayload,
    level: Level,
    event_type: EventType,
    publisher: NotificationPublisher,
}

fn example(level: Level) -> ExampleNotification {
    let extra = Some(level.as_str().to_owned());
    ExampleNotification::new(
        ExampleNotifPayload { a_useful_field: "important".to_owned(), an_extra_field: extra },
        EventType::new("example_obj", "do_something", NotificationStatus::Start),
        NotificationPublisher::new("ironic-conductor", "hostname01"),
        level,
    )
}

fn outlet(threshold: Threshold) -> (Recorder, Outlet) {
    let recorder = Recorder::new();
    (recorder.clone(), Outlet::new(recorder, threshold))
}

#[test]
fn the_threshold_is_ironics_matrix() {
    let matrix = &json("semantics/ironic.json")["threshold_matrix_conf_then_level"];
    let mut cells = 0;
    for (option, row) in matrix.as_object().unwrap() {
        let option = if option == "None" { None } else { Some(option.as_str()) };
        let (sent, outlet) = outlet(Threshold::from_option(option).unwrap());
        for (level, expected) in row.as_object().unwrap() {
            let level = Level::parse(level).unwrap();
            example(level).emit(&outlet, &Context::default());
            assert_eq!(Value::Bool(!sent.take().is_empty()), *expected, "{option:?} {level:?}");
            assert_eq!(Value::Bool(outlet.passes(level)), *expected, "{option:?} {level:?}");
            cells += 1;
        }
    }
    assert_eq!(cells, 30);
}

#[test]
fn each_level_goes_out_as_ironic_sends_it() {
    let (sent, outlet) = outlet(Threshold::AtLeast(Level::Debug));
    for (recorded, level) in case("captures/ironic.json", "each_level").iter().zip([
        Level::Debug,
        Level::Info,
        Level::Warning,
        Level::Error,
        Level::Critical,
    ]) {
        example(level).emit(&outlet, &Context::default());
        let emission = sent.take().remove(0);
        assert_eq!(emission.event_type.as_ref(), Some(&recorded.event_type));
        assert_eq!(emission.publisher_id.as_ref(), Some(&recorded.publisher_id));
        let priority = emission.priority.unwrap();
        assert_eq!(priority.to_string().to_uppercase(), recorded.priority);
        assert_eq!(Topics::ironic().routing_keys(&priority), [recorded.routing_key.as_str()]);
        assert_eq!(Topics::ironic().targets()[0].exchange.as_ref(), Some(&recorded.exchange));
        assert_eq!(crate::versioned::recordings::as_python(emission.payload.get()), recorded.payload);
    }
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "facility", version = "1.0")]
struct MeasuredPayload {
    watts: Vec<f64>,
    more: FlexibleDict,
}

#[derive(Clone, VersionedNotification)]
#[versioned(namespace = "facility", version = "1.0")]
struct MeasuredNotification {
    payload: MeasuredPayload,
    level: Level,
    event_type: String,
    publisher: String,
}

#[test]
fn floats_leave_as_python_writes_them() {
    let (sent, outlet) = outlet(Threshold::Always);
    let payload = MeasuredPayload {
        watts: vec![1e-5, 1e16, 1.5, 1e22, -0.0],
        more: FlexibleDict::parse(r#"{"least": 1e-5, "most": 1e16}"#).unwrap(),
    };
    MeasuredNotification::new(payload, "a.b".to_owned(), "s.h".to_owned(), Level::Info)
        .emit(&outlet, &Context::default());
    let body = sent.take().remove(0).body(Framing::Bare).unwrap();
    let expected = r#"{"watts": [1e-05, 1e+16, 1.5, 1e+22, -0.0], "more": {"least": 1e-05, "most": 1e+16}}"#;
    assert!(body.contains(expected), "{body}");
}

#[test]
fn each_priority_of_nova_goes_out_when_the_format_is_versioned() {
    for recorded in case("captures/nova.json", "each_priority") {
        let priority = nova::NotificationPriority::parse(&recorded.priority.to_lowercase()).unwrap();
        assert_eq!(Severity::priority(priority), Priority::parse(&recorded.priority));
        assert_eq!(Topics::nova().routing_keys(&priority.priority()), [recorded.routing_key.as_str()]);
        for (format, passes) in [("unversioned", false), ("versioned", true), ("both", true)] {
            let format = nova::NotificationFormat::parse(format).unwrap();
            assert_eq!(Threshold::from(format).passes(priority), passes, "{format}");
        }
    }
}

#[test]
fn values_are_those_of_the_services() {
    let errors = &json("semantics/ironic.json")["errors"];
    assert!(NotificationStatus::parse("finished").is_err() && errors["bad_status"]["type"].is_string());
    assert!(Level::parse("INFO").is_err() && Level::parse("notice").is_err());
    let enums = &json("semantics/nova.json")["enums"];
    let check = |ours: &[&str], theirs: &Value| assert_eq!(Value::from(ours), *theirs);
    check(nova::NotificationPriority::VALUES.as_slice(), &enums["priority"]);
    check(nova::NotificationPhase::VALUES.as_slice(), &enums["phase"]);
    check(nova::NotificationSource::VALUES.as_slice(), &enums["source"]);
    assert_eq!(Value::from(nova::NotificationAction::VALUES.as_slice().len()), enums["action_count"]);
}

#[test]
fn secrets_are_masked_in_what_is_sent_and_shown_and_nowhere_else() {
    let node = Node {
        uuid: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123".into(),
        driver_info: Some(FlexibleDict::parse(r#"{"ipmi_password": "S3CRET"}"#).unwrap()),
        instance_info: Some(
            FlexibleDict::parse(r#"{"image_url": "http://S3CRET", "display_name": "vm"}"#).unwrap(),
        ),
        ..Node::default()
    };
    let extra = NodeCRUDPayloadExtra { chassis_uuid: None, traits: Some(vec![]) };
    let notification = NodeCRUDNotification::new(
        NodeCRUDPayload::populate(&node, extra),
        EventType::new("node", action::CREATE, NotificationStatus::End),
        NotificationPublisher::new("ironic-api", "hostname02"),
        Level::Info,
    );
    let (sent, outlet) = outlet(Threshold::AtLeast(Level::Info));
    notification.emit(&outlet, &Context::default());
    let emission = sent.take().remove(0);
    let recorded = &case("captures/ironic.json", "node_create_end")[0];
    let (ours, theirs): (Value, Value) = (
        serde_json::from_str(emission.payload.get()).unwrap(),
        serde_json::from_str(&recorded.payload).unwrap(),
    );
    for key in ["driver_info", "instance_info"] {
        assert_eq!(ours["ironic_object.data"][key], theirs["ironic_object.data"][key], "{key}");
    }
    for shown in [
        format!("{notification:?}"),
        format!("{node:?}"),
        emission.payload.to_string(),
        format!("{outlet:?}"),
    ] {
        assert!(!shown.contains("S3CRET"), "{shown}");
    }
    let kept = notification.payload.driver_info.unwrap();
    assert_eq!(kept.0.get("ipmi_password").and_then(osnl_notify::versioned::Json::as_text), Some("S3CRET"));
}

#[test]
fn a_sensitive_rule_is_hidden_whole() {
    let rule = |sensitive| InspectionRule {
        sensitive: Some(sensitive),
        actions: vec![FlexibleDict::parse(r#"{"op": "set", "args": {"value": "S3CRET"}}"#).unwrap()],
        ..InspectionRule::default()
    };
    let (sent, outlet) = outlet(Threshold::Always);
    let payload_of = |rule: &InspectionRule| {
        InspectionRuleCRUDNotification::new(
            InspectionRuleCRUDPayload::populate(rule),
            EventType::new("inspectionrule", action::CREATE, NotificationStatus::End),
            NotificationPublisher::new("ironic-api", "h"),
            Level::Info,
        )
        .emit(&outlet, &Context::default());
        sent.take().remove(0).payload.get().to_owned()
    };
    assert!(payload_of(&rule(false)).contains("S3CRET"));
    assert!(!payload_of(&rule(true)).contains("S3CRET"));
    assert!(!format!("{:?}", rule(true)).contains("S3CRET"));
    // The default of `priority` replaces a missing source.
    assert!(payload_of(&rule(false)).contains(r#""priority": 0"#));
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "facility", version = "1.0")]
struct LoginPayload {
    login: SensitiveText,
    nullable: Option<SensitiveText>,
    maybe: MaybeSet<SensitiveText>,
    list: Vec<SensitiveText>,
    dict: Dict<SensitiveText>,
    map: BTreeMap<String, SensitiveText>,
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "facility", version = "1.0")]
struct LoginsPayload {
    nested: LoginPayload,
    list: Vec<LoginPayload>,
    wire: WireObject<LoginPayload>,
}

#[test]
fn a_sensitive_text_leaves_in_full_and_is_hidden_where_it_is_shown() {
    let secret = || SensitiveText::from("S3CRET");
    let login = LoginPayload {
        login: secret(),
        nullable: Some(secret()),
        maybe: MaybeSet::Set(secret()),
        list: vec![secret()],
        dict: Dict::from_iter([("k", secret())]),
        map: BTreeMap::from([("k".to_owned(), secret())]),
    };
    assert_eq!(
        format!("{login:?}"),
        concat!(
            r#"LoginPayload 1.0 {"dict":{"k":"***"},"list":["***"],"login":"***","map":{"k":"***"},"#,
            r#""maybe":"***","nullable":"***"}"#
        )
    );
    let mut logins = LoginsPayload { nested: login.clone(), list: vec![login.clone()], wire: login.into() };
    let shown = format!("{logins:?}");
    assert!(!shown.contains("S3CRET"), "{shown}");
    // Emission masks, too.
    logins.mask();
    assert_eq!(to_payload_text(&logins).unwrap().matches("S3CRET").count(), 18);
}

#[test]
fn a_context_shows_no_secrets() {
    let context: Context = [("auth_token", "S3CRET"), ("user", "u-1")].into_iter().collect();
    let shown = format!("{context:?}");
    assert!(!shown.contains("S3CRET") && shown.contains("u-1"), "{shown}");
}

static MASKED: AtomicUsize = AtomicUsize::new(0);

fn count(_: &mut CountingEmitter) {
    MASKED.fetch_add(1, Ordering::Relaxed);
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.0", mask = count)]
struct CountingEmitter {
    a: i64,
}

#[derive(Clone, VersionedNotification)]
#[versioned(namespace = "x", version = "1.0")]
struct CountedNotification {
    payload: CountingEmitter,
    level: Level,
    event_type: String,
    publisher: String,
}

#[test]
fn below_the_threshold_nothing_is_done() {
    let (sent, outlet) = outlet(Threshold::AtLeast(Level::Warning));
    let mut notification =
        CountedNotification::new(CountingEmitter { a: 1 }, "a.b".to_owned(), "s.h".to_owned(), Level::Info);
    notification.emit(&outlet, &Context::default());
    notification.emit(&Outlet::closed(), &Context::default());
    assert_eq!((MASKED.load(Ordering::Relaxed), sent.take().len()), (0, 0));
    notification.level = Level::Error;
    notification.emit(&outlet, &Context::default());
    assert_eq!((MASKED.load(Ordering::Relaxed), sent.take().len()), (1, 1));
}
