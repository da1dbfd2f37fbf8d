//! All recordings, those of twelve services: each versioned object is read without its class, has the
//! members that its project's catalogue declares, and is written unchanged.

use std::collections::{BTreeMap, BTreeSet};

use osnl_notify::versioned::{
    DateTime, FieldType, FlexibleDict, Json, Level, MacAddress, MaybeSet, NotReadable, ObjectForm, Uuid,
    VersionPredicate, VersionedObject, Wire, WireObject, read_text, to_payload_text,
};
use serde_json::{Value, json};

use crate::versioned::nova_classes::{
    ExceptionPayload, FlavorPayload, InstanceActionPayload, InstanceCreatePayload, KeypairPayload,
};
use crate::versioned::recordings::{self, Message, as_python, messages};

const RECORDINGS: [&str; 17] = [
    "captures/glance.json",
    "captures/ironic.json",
    "captures/keystone-cadf.json",
    "captures/neutron.json",
    "captures/nova.json",
    "captures2/cinder.json",
    "captures2/designate.json",
    "captures2/glance.json",
    "captures2/heat.json",
    "captures2/ironic.json",
    "captures2/keystone-basic.json",
    "captures2/magnum.json",
    "captures2/manila.json",
    "captures2/masakari.json",
    "captures2/neutron.json",
    "captures2/nova.json",
    "captures2/octavia.json",
];

#[derive(Default)]
struct Findings {
    objects: BTreeMap<String, usize>,
    /// Class and field that was absent although the catalogue declares it.
    absent: BTreeSet<String>,
    /// Class and field with a value that its enumeration does not list.
    unlisted: BTreeSet<String>,
    unknown: BTreeSet<String>,
    nulls: usize,
    changes: BTreeSet<String>,
}

#[test]
fn every_message_is_read_and_written_as_it_was() {
    let (mut all, mut versioned) = (0, 0);
    for recording in RECORDINGS {
        for Message { case, payload, class, .. } in messages(recording) {
            let what = format!("{recording} {case}");
            let read: Json = serde_json::from_str(&payload).unwrap();
            // Key for key, in order, numbers to the digit.
            assert_eq!(as_python(&serde_json::to_string(&read).unwrap()), payload, "{what}");
            match (ObjectForm::from_json(&read), class) {
                (Ok(form), Some(class)) => {
                    assert_eq!(form.name, class, "{what}");
                    versioned += 1;
                }
                (Err(reason), None) => assert_eq!(reason, NotReadable::NotVersioned(read.kind()), "{what}"),
                (form, class) => panic!("{what}: {class:?} is {form:?}"),
            }
            all += 1;
        }
    }
    assert_eq!((all, versioned), (949, 446));
}

fn survey(project: &str, recordings: &[&str]) -> Findings {
    let catalogue = recordings::json(&format!("catalog/{project}.json"));
    let mut found = Findings::default();
    for Message { case, payload, class, .. } in recordings.iter().flat_map(|name| messages(name)) {
        if class.is_some() {
            let payload: Json = serde_json::from_str(&payload).unwrap();
            check_object(&catalogue, &payload, &case, &mut found);
        }
    }
    found
}

/// An object against its class: namespace, version, and each field by the kind that is declared for it.
fn check_object(catalogue: &Value, json: &Json, case: &str, found: &mut Findings) {
    let form = ObjectForm::from_json(json).unwrap();
    let what = format!("{case}: {}", form.name);
    *found.objects.entry(form.name.to_owned()).or_default() += 1;
    if form.changes.is_some() {
        found.changes.insert(form.name.to_owned());
    }
    let Some(class) = catalogue.get(form.name) else {
        found.unknown.insert(form.name.to_owned());
        return;
    };
    assert_eq!(class["namespace"], form.namespace, "{what}");
    assert_eq!(class["serial_namespace"], form.serial_namespace, "{what}");
    assert_eq!(class["version"], form.version.to_string(), "{what}");
    let order = class["wire_order"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    let order: Vec<&str> = order.collect();
    let written: Vec<&str> = form.data.iter().map(|(name, _)| name).collect();
    let expected: Vec<&str> = order.iter().copied().filter(|name| written.contains(name)).collect();
    assert_eq!(written, expected, "{what}");
    for name in order {
        let at = format!("{}.{name}", form.name);
        match form.data.get(name) {
            // Image properties: of ninety only those that are set.
            None if form.name == "ImageMetaPropsPayload" => {
                found.absent.insert("ImageMetaPropsPayload.*".to_owned());
            }
            None => {
                found.absent.insert(at);
            }
            Some(value) => check_field(catalogue, &class["fields"][name], value, (case, &at), found),
        }
    }
}

fn check_field(catalogue: &Value, field: &Value, value: &Json, at: (&str, &str), found: &mut Findings) {
    let (case, name) = at;
    if *value == Json::Null {
        assert_eq!(field["nullable"], true, "{case}: {name}");
        found.nulls += 1;
        return;
    }
    let of = &field["of"];
    match (field["type"].as_str().unwrap(), value) {
        ("Object", object) => check_object(catalogue, object, case, found),
        ("List" | "Set", Json::Array(items)) => {
            items.iter().for_each(|item| check_field(catalogue, of, item, at, found));
        }
        ("Dict", Json::Object(members)) => {
            members.iter().for_each(|(_, member)| check_field(catalogue, of, member, at, found));
        }
        (kind, value) => {
            if field["enum_field"] == true
                && !field["values"].as_array().unwrap().contains(&value.clone().into_value())
            {
                found.unlisted.insert(name.to_owned());
            }
            let read = match kind {
                "String" => same::<String>(value),
                "Integer" => same::<i64>(value),
                "Float" => same::<f64>(value),
                "Boolean" | "FlexibleBoolean" => same::<bool>(value),
                "UUID" => same::<Uuid>(value),
                "DateTime" => same::<DateTime>(value),
                "MACAddress" => same::<MacAddress>(value),
                "IPV4AndV6Address" => same::<std::net::IpAddr>(value),
                "VersionPredicate" => same::<VersionPredicate>(value),
                "FlexibleDict" => same::<FlexibleDict>(value),
                // Only enums are left; their values were checked before.
                _ if field["enum_field"] == true => same::<String>(value),
                other => panic!("{case}: {name} is of the kind {other}"),
            };
            read.unwrap_or_else(|error| panic!("{case}: {name} as {kind}: {error}"));
        }
    }
}

fn same<T: FieldType>(value: &Json) -> Result<(), String> {
    let read = T::read(value).map_err(|error| error.to_string())?;
    let (again, before) = (Wire(&read).to_string(), serde_json::to_string(value).unwrap());
    if again == before { Ok(()) } else { Err(format!("{before} became {again}")) }
}

#[test]
fn what_is_recorded_is_what_the_catalogues_declare() {
    let lines = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
    let check = |project: &str, recordings: &[&str], expected: (usize, usize), special: [&str; 4]| {
        let found = survey(project, recordings);
        let objects: usize = found.objects.values().sum();
        let sets = [&found.absent, &found.unlisted, &found.unknown, &found.changes].map(lines);
        assert_eq!(sets.each_ref().map(String::as_str), special, "{project}");
        assert_eq!((found.objects.len(), objects), expected, "{project}");
        assert!(found.nulls > 0, "{project}");
    };
    check("ironic", &["captures2/ironic.json"], (14, 134), ["", "", "", ""]);
    // By the fact sheet, a field that a schema declares may be absent.
    let absent = "DestinationPayload.host DestinationPayload.node ImageMetaPropsPayload.* RequestSpecPayload.image_meta";
    check("nova", &["captures2/nova.json"], (36, 923), [absent, "", "", ""]);
    let absent = "HostApiPayload.id HostApiPayload.uuid NotificationApiPayload.id \
                  NotificationApiPayload.notification_uuid SegmentApiPayload.id SegmentApiPayload.uuid";
    check("masakari", &["captures2/masakari.json"], (5, 27), [absent, "", "FailoverSegment", ""]);
}

#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.2", changes)]
struct Special {
    level: Level,
    levels: Option<WireObject<Inner>>,
    clean_step: Option<FlexibleDict>,
    told: MaybeSet<Option<String>>,
}

#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.0", changes)]
struct Inner {
    level: Level,
}

#[test]
fn special_cases_are_read_and_nothing_of_them_is_lost() {
    let check = |data: Value, expected: Result<&str, &str>| {
        let mut form = json!({"ironic_object.name": "Special", "ironic_object.namespace": "ironic",
            "ironic_object.version": "1.2", "ironic_object.data": data.clone(), "ironic_object.changes": ["told", "b"]});
        let read = read_text::<Special>(&form.to_string()).unwrap();
        match (read, expected) {
            (WireObject::Known(read), Ok(expected)) => {
                assert_eq!(read.changes(), ["b", "told"]);
                let written: Value = serde_json::from_str(&to_payload_text(&read.object).unwrap()).unwrap();
                assert_eq!(
                    written["ironic_object.data"],
                    serde_json::from_str::<Value>(expected).unwrap(),
                    "{data}"
                );
                assert_eq!(Json::Object(read.raw).into_value(), form, "{data}");
            }
            (WireObject::Unknown(unknown), Err(expected)) => {
                assert_eq!(unknown.reason.to_string(), expected, "{data}");
                let raw = unknown.raw;
                assert_eq!(
                    ObjectForm::from_json(&raw).map(|form| form.data.iter().count()).ok(),
                    data.as_object().map(|d| d.len())
                );
                assert_eq!(raw.into_value(), form.take(), "{data}");
            }
            (read, _) => panic!("{data}: {read:?}"),
        }
    };
    let inner = |level: &str, version: &str| {
        json!({"ironic_object.name": "Inner", "ironic_object.namespace": "ironic",
            "ironic_object.version": version, "ironic_object.data": {"level": level}})
    };
    check(json!({"level": "info"}), Ok(r#"{"level": "info", "levels": null, "clean_step": {}}"#));
    check(
        json!({"level": "info", "levels": null, "clean_step": null, "told": null}),
        Ok(r#"{"level": "info", "levels": null, "clean_step": {}, "told": null}"#),
    );
    check(
        json!({"level": "info", "clean_step": {}, "told": ""}),
        Ok(r#"{"level": "info", "levels": null, "clean_step": {}, "told": ""}"#),
    );
    check(json!({"level": "notice"}), Err("field level: this is not a valid NotificationLevel"));
    check(json!({"level": "INFO"}), Err("field level: this is not a valid NotificationLevel"));
    check(json!({"level": null}), Err("field level: a text is expected here, not null"));
    check(json!({}), Err("field level: the field is absent and has no default"));
    // A nested object that is read alone keeps a later value of an enum.
    for odd in [inner("notice", "1.1"), inner("info", "2.0"), json!({"no": "form"})] {
        let expected = json!({"level": "info", "levels": odd, "clean_step": {}}).to_string();
        check(json!({"level": "info", "levels": odd}), Ok(&expected));
    }
}

fn round_trip<T: VersionedObject>(payload: &str, what: &str) {
    match read_text::<T>(payload).unwrap() {
        WireObject::Known(read) => {
            assert_eq!(as_python(&to_payload_text(&read.object).unwrap()), payload, "{what}");
        }
        WireObject::Unknown(unknown) => panic!("{what}: {}", unknown.reason),
    }
}

#[test]
fn classes_of_nova_that_are_declared_here_are_written_as_nova_writes() {
    let mut count = 0;
    for Message { case, payload, class, .. } in messages("captures2/nova.json") {
        match class.as_deref() {
            Some("InstanceActionPayload") => round_trip::<InstanceActionPayload>(&payload, &case),
            Some("InstanceCreatePayload") => round_trip::<InstanceCreatePayload>(&payload, &case),
            Some("ExceptionPayload") => round_trip::<ExceptionPayload>(&payload, &case),
            Some("FlavorPayload") => round_trip::<FlavorPayload>(&payload, &case),
            Some("KeypairPayload") => round_trip::<KeypairPayload>(&payload, &case),
            Some(_) | None => continue,
        }
        count += 1;
    }
    assert_eq!(count, 128);
}
