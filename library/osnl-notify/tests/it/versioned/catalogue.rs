//! The recorded catalogues as declarations, to be compared with those of the derives.

use osnl_notify::versioned::{ClassField, EnumValues, FieldKind, ObjectInfo, ObjectVersion, SourceField};
use serde_json::Value;

use crate::versioned::recordings::json;

pub(crate) struct Class {
    pub(crate) name: String,
    pub(crate) is_payload: bool,
    pub(crate) namespace: String,
    pub(crate) version: String,
    pub(crate) fingerprint: String,
    pub(crate) fields: Vec<ClassField>,
}

/// All classes of `ironic`, `nova` or `masakari`. The names are leaked: declarations are static.
pub(crate) fn classes(project: &str) -> Vec<Class> {
    let catalogue = json(&format!("catalog/{project}.json"));
    catalogue.as_object().unwrap().iter().map(|(name, class)| read_class(name, class)).collect()
}

pub(crate) fn class(project: &str, name: &str) -> Class {
    classes(project).into_iter().find(|class| class.name == name).unwrap_or_else(|| panic!("no class {name}"))
}

pub(crate) fn check_declaration(info: &ObjectInfo, class: &Class) {
    let shallow = |field: &ClassField| {
        let ClassField { name, kind, nullable, default, since: _, source } = *field;
        (name, shape(&kind), nullable, default, source)
    };
    assert_eq!(info.name, class.name);
    assert_eq!(info.namespace, class.namespace, "{}", class.name);
    assert_eq!(info.serial_namespace, format!("{}_object", class.namespace), "{}", class.name);
    assert_eq!(info.version_text, class.version, "{}", class.name);
    let declared: Vec<_> = info.fields.iter().map(shallow).collect();
    let expected: Vec<_> = class.fields.iter().map(shallow).collect();
    assert_eq!(declared, expected, "{}", class.name);
}

fn shape(kind: &FieldKind) -> String {
    let of = kind.of.map(|of| format!("<{}>", shape(of))).unwrap_or_default();
    let object = kind.object.map(|object| format!(" {}", object.name)).unwrap_or_default();
    format!("{}{of}{object} {:?}", kind.name, kind.values)
}

fn read_class(name: &str, class: &Value) -> Class {
    let field = |name: &Value| {
        let name = name.as_str().unwrap();
        let declared = &class["fields"][name];
        let source = class.get("schema").and_then(|schema| schema.get(name));
        ClassField {
            name: leak(name),
            kind: kind(declared),
            nullable: declared["nullable"].as_bool().unwrap(),
            default: declared.get("default").map(python_str),
            since: None,
            source: source.map(|source| SourceField {
                object: leak(source[0].as_str().unwrap()),
                field: leak(source[1].as_str().unwrap()),
            }),
        }
    };
    Class {
        name: name.to_owned(),
        is_payload: class["kind"] == "payload",
        namespace: class["namespace"].as_str().unwrap().to_owned(),
        version: class["version"].as_str().unwrap().to_owned(),
        fingerprint: class["fingerprint"].as_str().unwrap().to_owned(),
        fields: class["wire_order"].as_array().unwrap().iter().map(field).collect(),
    }
}

fn kind(declared: &Value) -> FieldKind {
    let name = leak(declared["type"].as_str().unwrap());
    let of = declared.get("of").map(|of| &*Box::leak(Box::new(kind(of))));
    let object = declared.get("object").map(|class| {
        let name = leak(class.as_str().unwrap());
        let version = ObjectVersion::new(1, 0);
        &*Box::leak(Box::new(ObjectInfo {
            namespace: "",
            serial_namespace: "",
            keys: [""; 5],
            name,
            version,
            version_text: "1.0",
            fields: &[],
            schema_in_fingerprint: false,
            changes: false,
        }))
    });
    let values = declared.get("values").and_then(Value::as_array).map(|values| {
        assert_eq!(declared["values_container"], "tuple");
        let values: Vec<&'static str> = values.iter().map(|value| leak(value.as_str().unwrap())).collect();
        EnumValues::Tuple(Box::leak(values.into_boxed_slice()))
    });
    FieldKind { name, values, of, object }
}

fn python_str(default: &Value) -> &'static str {
    match default {
        Value::Null => "None",
        Value::Bool(true) => "True",
        Value::Bool(false) => "False",
        Value::String(text) => leak(text),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => leak(&default.to_string()),
    }
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}
