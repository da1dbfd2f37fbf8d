use osnl_notify::versioned::{
    ClassField, DateTime, Dict, EnumValues, FieldKind, FieldType as _, JsonObject, ObjectInfo, VersionedEnum,
    VersionedObject, check_fingerprints, fingerprint, fingerprint_text, ironic, nova,
};
use serde_json::Value;

use crate::versioned::catalogue::{Class, check_declaration, class, classes};
use crate::versioned::nova_classes as nova_payloads;
use crate::versioned::recordings::json;

fn class_fingerprint(class: &Class) -> String {
    let info = ObjectInfo {
        namespace: "",
        serial_namespace: "",
        keys: [""; 5],
        name: "",
        version: class.version.parse().unwrap(),
        version_text: Box::leak(class.version.clone().into_boxed_str()),
        fields: Box::leak(class.fields.clone().into_boxed_slice()),
        schema_in_fingerprint: class.namespace == "nova" && class.is_payload,
        changes: false,
    };
    fingerprint(&info)
}

#[test]
fn every_class_of_the_catalogues_has_its_fingerprint() {
    let mut count = 0;
    for project in ["ironic", "nova", "masakari"] {
        for class in classes(project) {
            assert_eq!(class_fingerprint(&class), class.fingerprint, "{project} {}", class.name);
            count += 1;
        }
    }
    assert_eq!(count, 109);
}

#[test]
fn the_digested_texts_are_those_of_the_vectors() {
    let vectors = json("fingerprint-vectors.json");
    for (name, vector) in vectors.as_object().unwrap() {
        let (project, name) = name.split_once('.').unwrap();
        let with_schema = project == "nova" && name.ends_with("Payload");
        let fields = if project == "watcher" { watcher_event_type() } else { class(project, name).fields };
        assert_eq!(fingerprint_text(&fields, with_schema), vector["md5_input"], "{project} {name}");
    }
    assert_eq!(vectors.as_object().map(serde_json::Map::len), Some(8));
}

fn watcher_event_type() -> Vec<ClassField> {
    let field =
        |name, kind, nullable| ClassField { name, kind, nullable, default: None, since: None, source: None };
    let actions =
        &["create", "update", "exception", "delete", "strategy", "planner", "execution", "cancel"] as &[_];
    vec![
        field("object", String::KIND, false),
        field("action", FieldKind::enumeration("NotificationAction", EnumValues::Tuple(actions)), false),
        field(
            "phase",
            FieldKind::enumeration("NotificationPhase", EnumValues::Tuple(&["start", "end", "error"])),
            true,
        ),
    ]
}

/// The fingerprint is that of oslo.versionedobjects' `ObjectVersionChecker`.
#[test]
fn a_default_of_every_kind_is_that_of_python() {
    #[derive(Clone, VersionedObject)]
    #[versioned(namespace = "facility", version = "1.0")]
    struct P {
        #[versioned(default = -1)]
        offset: i64,
        #[versioned(default = 0.5)]
        ratio: f64,
        #[versioned(default = -1.0)]
        low: f64,
        #[versioned(default = {})]
        tags: Dict<String>,
    }
    assert_eq!(fingerprint(P::INFO), "1.0-8042d7f7b72d772807c1bc7d72a8c06d");
    let read = P::read_data(&JsonObject::new()).unwrap();
    assert_eq!((read.offset, read.ratio, read.low, read.tags), (-1, 0.5, -1.0, Dict::default()));
}

#[test]
fn the_ironic_set_is_ironics() {
    let catalogue = classes("ironic");
    for class in &catalogue {
        let info = ironic::CLASSES.iter().find(|info| info.name == class.name);
        let info = info.unwrap_or_else(|| panic!("{} is missing", class.name));
        check_declaration(info, class);
        assert_eq!(fingerprint(info), class.fingerprint, "{}", class.name);
    }
    assert_eq!(ironic::CLASSES.len(), catalogue.len());
    let table: Vec<(&str, &str)> =
        catalogue.iter().map(|class| (class.name.as_str(), class.fingerprint.as_str())).collect();
    assert_eq!(check_fingerprints(ironic::CLASSES, &table), Ok(()));
}

#[test]
fn classes_of_nova_are_novas() {
    for info in [
        nova::EventType::INFO,
        nova::NotificationPublisher::INFO,
        nova_payloads::InstanceCreatePayload::INFO,
        nova_payloads::InstanceActionPayload::INFO,
        nova_payloads::FlavorPayload::INFO,
        nova_payloads::IpPayload::INFO,
        nova_payloads::KeypairPayload::INFO,
        nova_payloads::ExceptionPayload::INFO,
        nova_payloads::BlockDevicePayload::INFO,
        nova_payloads::SharePayload::INFO,
    ] {
        let class = class("nova", info.name);
        check_declaration(info, &class);
        assert_eq!(fingerprint(info), class.fingerprint, "{}", info.name);
    }
}

/// Measured on a class with the one field `a`.
#[test]
fn changes_move_it_as_measured() {
    macro_rules! class {
        ($class:literal, $version:literal, { $(#[$meta:meta])* $type:ty } $(, $second:ident: $second_type:ty)?) => {{
            #[derive(Clone, VersionedObject)]
            #[versioned(namespace = "ironic", version = $version, name = $class, timestamps)]
            struct Class {
                $(#[$meta])*
                a: $type,
                $($second: $second_type,)?
            }
            fingerprint(Class::INFO)
        }};
    }
    let measured = &json("semantics/ironic.json")["fingerprint_of_one_field_a_under_each_change"];
    let check = |found: String, change: &str| {
        assert_eq!(Some(found.as_str()), measured[change].as_str(), "{change}");
    };
    check(class!("X", "1.0", { String }), "base");
    check(class!("X", "1.1", { String }), "bump only");
    check(class!("X", "1.0", { Option<String> }), "nullable");
    check(class!("X", "1.0", { i64 }), "type");
    check(
        class!("X", "1.0", {
            #[versioned(default = "x")]
            String
        }),
        "default",
    );
    check(class!("X", "1.0", { String }, b: String), "field added");
    check(class!("X", "1.0", { Two }), "enum 2");
    check(class!("X", "1.0", { Three }), "enum 3");
    assert_eq!(class!("X", "1.0", { X }), class!("X", "1.0", { Y }), "the class of a child is not seen");
    check(class!("X", "1.0", { X }), "child X");
    check(class!("X", "1.0", { Vec<Y> }), "list of Y");
}

#[derive(Clone, VersionedEnum)]
#[versioned(name = "Enum", list)]
enum Two {
    P,
    Q,
}

#[derive(Clone, VersionedEnum)]
#[versioned(name = "Enum", list)]
enum Three {
    P,
    Q,
    R,
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.0", timestamps)]
struct X {
    name: String,
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.0", timestamps)]
struct Y {
    at: DateTime,
}

#[test]
fn field_texts_are_pythons() {
    let texts = json("semantics/ironic.json")["field_repr"].clone();
    let field =
        |kind, default| ClassField { name: "x", kind, nullable: false, default, since: None, source: None };
    let list = FieldKind::enumeration("Enum", EnumValues::List(&["p", "q"]));
    let level = osnl_notify::versioned::Level::KIND;
    let ours: Vec<String> = [
        field(String::KIND, Some("x")),
        field(String::KIND, None),
        field(FieldKind::named("Object"), None),
        field(list, None),
        field(level, None),
    ]
    .iter()
    .map(|field| {
        let text = fingerprint_text(std::slice::from_ref(field), false);
        text.trim_start_matches("([('x', ").trim_end_matches(")], [])").to_owned()
    })
    .collect();
    assert_eq!(Value::from(ours.join(" | ")), texts);
}

#[test]
fn a_table_that_no_longer_fits_says_what_to_paste() {
    let now = fingerprint(X::INFO);
    let md5 = now.strip_prefix("1.0-").unwrap();
    let check = |table: &[(&str, &str)], expected: &[String]| {
        let mismatches = check_fingerprints(&[X::INFO], table).unwrap_err();
        let texts: Vec<String> = mismatches.iter().map(ToString::to_string).collect();
        assert_eq!(texts, expected);
    };
    assert_eq!(check_fingerprints(&[X::INFO], &[("X", &now)]), Ok(()));
    check(
        &[("X", "1.0-00000000000000000000000000000000")],
        &[format!(
            "the fields of X changed and its version is still 1.0: raise it to 1.1 if fields were only added, else to \
             2.0, and put into the table\n    (\"X\", \"1.1-{md5}\"),"
        )],
    );
    check(
        &[("X", "0.9-00000000000000000000000000000000"), ("Z", "1.0-0")],
        &[
            format!(
                "the table has X as 0.9-00000000000000000000000000000000; put into it\n    (\"X\", \"{now}\"),"
            ),
            "the table has Z, but the class was not given to the check: remove the line, or give the class"
                .to_owned(),
        ],
    );
    check(&[], &[format!("X is not in the table; put into it\n    (\"X\", \"{now}\"),")]);
}
