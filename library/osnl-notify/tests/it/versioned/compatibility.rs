use osnl_notify::versioned::{
    Json, MaybeSet, NotReadable, ObjectVersion, VersionedObject, WireObject, read, read_text, to_version,
};
use serde_json::json;

use crate::versioned::recordings;

#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.3", changes)]
struct ProbeV {
    a: String,
    #[versioned(since = "1.3")]
    b: Option<i64>,
}

fn form(namespace: &str, name: &str, version: &str, data: serde_json::Value) -> Json {
    json!({"ironic_object.name": name, "ironic_object.namespace": namespace, "ironic_object.version": version,
        "ironic_object.data": data})
    .into()
}

/// Every version of the measured table. The contract differs from oslo.versionedobjects' decoder in two
/// points: a newer minor version is read, and an unreadable object is kept.
#[test]
fn same_major_is_read_and_the_rest_is_kept() {
    let measured = &recordings::json("semantics/ironic.json")["decode_with_class_version_1_3"];
    let check = |version: &str, reads: bool, as_oslo: bool| {
        let found = read::<ProbeV>(form("ironic", "ProbeV", version, json!({"a": "x"})));
        assert_eq!(found.known().is_some(), reads, "{version}: {found:?}");
        assert_eq!(measured[version]["ok"] == json!(reads), as_oslo, "{version}");
    };
    check("1.0", true, true);
    check("1.2", true, true);
    check("1.3", true, true);
    check("1", true, true);
    check("2.0", false, true);
    check("0.9", false, true);
    check("x", false, true);
    check("1.4", true, false);
    check("1.10", true, false);
    check("1.3.1", true, false);
}

#[test]
fn what_is_not_read_says_why_and_keeps_everything() {
    let check = |raw: Json, reason: &str, head: (Option<&str>, Option<&str>, Option<&str>)| {
        let WireObject::Unknown(unknown) = read::<ProbeV>(raw.clone()) else { panic!("read: {raw:?}") };
        assert_eq!(unknown.reason.to_string(), reason);
        assert_eq!(unknown.raw, raw);
        let found = (unknown.namespace.as_deref(), unknown.name.as_deref(), unknown.version.as_deref());
        assert_eq!(found, head, "{reason}");
    };
    let a = json!({"a": "x"});
    check(
        form("ironic", "ProbeV", "2.0", a.clone()),
        "version 2.0 of ProbeV cannot be read by a program that knows 1.3",
        (Some("ironic"), Some("ProbeV"), Some("2.0")),
    );
    check(
        form("ironic", "Nope", "1.0", a.clone()),
        "the class is ironic.Nope, not ironic.ProbeV",
        (Some("ironic"), Some("Nope"), Some("1.0")),
    );
    check(
        form("nova", "ProbeV", "1.0", a.clone()),
        "the class is nova.ProbeV, not ironic.ProbeV",
        (Some("nova"), Some("ProbeV"), Some("1.0")),
    );
    check(
        json!({"nova_object.name": "ProbeV", "nova_object.namespace": "ironic", "nova_object.version": "1.0",
            "nova_object.data": a})
        .into(),
        "the class is ironic.ProbeV, not ironic.ProbeV",
        (Some("ironic"), Some("ProbeV"), Some("1.0")),
    );
    check(
        form("ironic", "ProbeV", "x", a),
        "\"x\" is not a version of an object: it is a major and a minor number, such as 1.17",
        (Some("ironic"), Some("ProbeV"), Some("x")),
    );
    check(
        json!({"ironic_object.name": "ProbeV", "ironic_object.namespace": "ironic", "ironic_object.version": "1.0"})
            .into(),
        "the form of a versioned object has ironic_object.data with an object",
        (Some("ironic"), Some("ProbeV"), Some("1.0")),
    );
    check(
        json!({"ironic_object.name": "ProbeV", "ironic_object.version": 1}).into(),
        "the form of a versioned object has ironic_object.namespace with a text",
        (None, Some("ProbeV"), None),
    );
    check(
        form("ironic", "ProbeV", "1.3", json!({"a": null})),
        "field a: a text is expected here, not null",
        (Some("ironic"), Some("ProbeV"), Some("1.3")),
    );
    check(
        form("ironic", "ProbeV", "1.3", json!({})),
        "field a: the field is absent and has no default",
        (Some("ironic"), Some("ProbeV"), Some("1.3")),
    );
    check(
        json!({"port_id": 1}).into(),
        "this is an object, not the form of a versioned object",
        (None, None, None),
    );
    check(json!("x").into(), "this is a text, not the form of a versioned object", (None, None, None));
}

#[test]
fn fields_of_a_newer_version_are_kept_beside_the_object() {
    let raw = form("ironic", "ProbeV", "1.4", json!({"a": "x", "b": 1, "c": [1], "d": null}));
    let WireObject::Known(read) = read::<ProbeV>(raw.clone()) else { panic!("not read") };
    assert_eq!(read.version, ObjectVersion::new(1, 4));
    assert_eq!(read.unknown_fields().map(|(name, _)| name).collect::<Vec<_>>(), ["c", "d"]);
    assert_eq!(Json::Object(read.raw), raw);
}

#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.2", changes)]
struct Parent {
    strict: MaybeSet<ProbeV>,
    own: WireObject<ProbeV>,
    list: Vec<ProbeV>,
    #[versioned(since = "1.1")]
    late: MaybeSet<String>,
}

#[test]
fn a_nested_object_is_judged_by_its_own_version() {
    let child = |version: &str| form("ironic", "ProbeV", version, json!({"a": "x"})).into_value();
    let raw =
        form("ironic", "Parent", "1.2", json!({"own": child("2.0"), "list": [child("1.9")], "late": "l"}));
    let WireObject::Known(read) = read::<Parent>(raw) else { panic!("not read") };
    assert!(matches!(&read.object.own, WireObject::Unknown(unknown)
        if matches!(unknown.reason, NotReadable::OtherMajor { .. })));
    assert_eq!(read.object.list.len(), 1);
    let raw = form("ironic", "Parent", "1.2", json!({"strict": child("2.0")}));
    let WireObject::Unknown(unknown) = osnl_notify::versioned::read::<Parent>(raw) else { panic!("read") };
    assert_eq!(
        unknown.reason.to_string(),
        "field strict: version 2.0 of ProbeV cannot be read by a program that knows 1.3"
    );
    let raw =
        form("ironic", "Parent", "1.2", json!({"own": child("1.0"), "list": [child("1.0"), 7], "late": "l"}));
    let WireObject::Unknown(unknown) = osnl_notify::versioned::read::<Parent>(raw) else { panic!("read") };
    assert_eq!(
        unknown.reason.to_string(),
        "field list[1]: this is a number, not the form of a versioned object"
    );
}

#[test]
fn an_older_version_is_written_without_what_is_new() {
    let child = || ProbeV { a: "x".to_owned(), b: Some(1) };
    let parent = Parent {
        strict: MaybeSet::Set(child()),
        own: child().into(),
        list: vec![child()],
        late: MaybeSet::Set("l".to_owned()),
    };
    let check = |manifest: &[(&str, ObjectVersion)], parent_version: &str, child_version: &str, new: bool| {
        let form = to_version(&parent, manifest).unwrap().into_value();
        assert_eq!(form["ironic_object.version"], parent_version);
        let data = &form["ironic_object.data"];
        assert_eq!(data.get("late").is_some(), parent_version != "1.0");
        for child in [&data["strict"], &data["own"], &data["list"][0]] {
            assert_eq!(child["ironic_object.version"], child_version);
            assert_eq!(child["ironic_object.data"].get("b").is_some(), new);
            let changes = if new { json!(["a", "b"]) } else { json!(["a"]) };
            assert_eq!(child["ironic_object.changes"], changes);
        }
    };
    let v = ObjectVersion::new;
    check(&[], "1.2", "1.3", true);
    check(&[("ProbeV", v(1, 2))], "1.2", "1.2", false);
    check(&[("Parent", v(1, 0)), ("ProbeV", v(1, 3))], "1.0", "1.3", true);
    let error = |manifest: &[(&str, ObjectVersion)]| to_version(&parent, manifest).unwrap_err().to_string();
    assert_eq!(error(&[("ProbeV", v(1, 4))]), "ProbeV is known up to 1.3: 1.4 cannot be written");
    assert_eq!(
        error(&[("Parent", v(2, 0))]),
        "Parent 1.2 cannot be written as 2.0: another major version is another class"
    );
}

#[test]
fn python_additions_to_json_are_read() {
    let text = r#"{"ironic_object.name": "ProbeV", "ironic_object.namespace": "ironic", "ironic_object.version": "1.3",
        "ironic_object.data": {"a": "\ud800", "b": NaN}}"#;
    let read = read_text::<ProbeV>(text).unwrap();
    assert_eq!(read.known().map(|object| (object.a.as_str(), object.b)), Some(("\u{fffd}", None)));
}
