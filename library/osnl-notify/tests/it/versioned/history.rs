//! Ironic's classes in their older versions: the version of each field, the form for an older reader, and the
//! messages of an older ironic.

use osnl_notify::versioned::{
    ClassField, Json, NotConvertible, ObjectInfo, ObjectPayload, ObjectVersion, VersionedObject, WireObject,
    ironic, read, read_text, to_version,
};
use serde_json::Value;

use crate::versioned::recordings;

#[test]
fn every_field_came_with_the_version_that_its_service_says() {
    let histories = recordings::json("catalog/history.json");
    let mut later = 0;
    for info in ironic::CLASSES.iter().filter(|info| info.name.ends_with("Payload")) {
        let history = &histories[format!("ironic.{}", info.name)];
        assert_eq!(history["first"], "1.0", "{}", info.name);
        for ClassField { name, since, .. } in info.fields {
            let said = history["fields"].get(name).and_then(Value::as_str);
            assert_eq!(since.map(|since| since.to_string()).as_deref(), said, "{}.{name}", info.name);
            later += usize::from(said.is_some());
        }
        let fields = history["fields"].as_object().unwrap();
        assert!(fields.keys().all(|name| info.field(name).is_some()), "{}", info.name);
    }
    assert_eq!(later, 140);
}

fn names(form: &Json, info: &ObjectInfo) -> Vec<String> {
    let data = form.as_object().and_then(|form| form.get(info.keys[3])).and_then(Json::as_object).unwrap();
    data.iter().map(|(name, _)| name.to_owned()).collect()
}

/// A recorded payload in all versions of its class: each keeps the remaining fields in order, and is read
/// again as written.
fn check_every_version<T: VersionedObject + PartialEq>(payload: &str, what: &str) -> u32 {
    let WireObject::Known(current) = read_text::<T>(payload).unwrap() else { panic!("{what}") };
    let whole: Json = serde_json::from_str(payload).unwrap();
    for minor in 0..=T::INFO.version.minor {
        let version = ObjectVersion::new(1, minor);
        let older = to_version(&current.object, &[(T::INFO.name, version)]).unwrap();
        let is_in = |name: &String| T::INFO.field(name).unwrap().since.is_none_or(|since| since <= version);
        let expected: Vec<String> = names(&whole, T::INFO).into_iter().filter(is_in).collect();
        assert_eq!(names(&older, T::INFO), expected, "{what} {version}");

        // As an ironic of that time would have sent it.
        let WireObject::Known(again) = read::<T>(older) else { panic!("{what} {version}") };
        assert_eq!(again.version, version, "{what}");
        let rewritten: Json =
            serde_json::from_str(&serde_json::to_string(&ObjectPayload(&again.object)).unwrap()).unwrap();
        for name in &expected {
            let value = |form: &Json| {
                let data = form.as_object().and_then(|form| form.get(T::INFO.keys[3])).cloned();
                data.and_then(|data| data.as_object().and_then(|data| data.get(name).cloned()))
            };
            assert_eq!(value(&rewritten), value(&whole), "{what} {version} {name}");
        }
    }
    let next = T::INFO.version.next_minor();
    let refused = to_version(&current.object, &[(T::INFO.name, next)]).unwrap_err();
    assert!(matches!(refused, NotConvertible::Newer { asked, .. } if asked == next), "{what}");
    T::INFO.version.minor + 1
}

#[test]
fn every_recorded_payload_can_be_written_and_read_in_every_version_of_its_class() {
    let mut versions = 0;
    for recording in ["captures/ironic.json", "captures2/ironic.json"] {
        for message in recordings::messages(recording) {
            let Some(class) = &message.class else { continue };
            let what = format!("{recording} {}", message.case);
            macro_rules! check {
                ($($payload:ident)*) => {
                    match class.as_str() {
                        $(stringify!($payload) => check_every_version::<ironic::$payload>(&message.payload, &what),)*
                        _ => 0,
                    }
                };
            }
            versions += check!(AllocationCRUDPayload ChassisCRUDPayload DeployTemplateCRUDPayload
                InspectionRuleCRUDPayload NodeCRUDPayload NodeCorrectedPowerStatePayload NodePayload
                NodeSetPowerStatePayload NodeSetProvisionStatePayload PortCRUDPayload PortgroupCRUDPayload
                RunbookCRUDPayload VolumeConnectorCRUDPayload VolumeTargetCRUDPayload);
        }
    }
    assert!(versions > 1000, "{versions} versions");
}
