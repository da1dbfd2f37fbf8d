use osnl_notify::Notification;
use osnl_notify::service;
use osnl_notify::versioned::ironic::{
    InspectionRuleCRUDPayload, NodeCRUDPayload, NodeSetPowerStatePayload, PortCRUDPayload,
};
use osnl_notify::versioned::{Json, ObjectForm, VersionedObject, WireObject, read_text, to_payload_text};

pub(crate) fn versioned(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(raw) = serde_json::from_str::<Json>(&text) else { return };
    let form = ObjectForm::from_json(&raw);
    let shown = format!("{form:?} {raw:?}");
    assert!(form.is_err() || ObjectForm::is_one(&raw), "{shown}");
    read_as::<InspectionRuleCRUDPayload>(&text, &raw);
    read_as::<NodeCRUDPayload>(&text, &raw);
    read_as::<NodeSetPowerStatePayload>(&text, &raw);
    read_as::<PortCRUDPayload>(&text, &raw);
}

pub(crate) fn services(data: &[u8]) {
    let Ok(read) = Notification::decode(data) else { return };
    let _ = format!("{:?}", service::read(&read));
}

fn read_as<T: VersionedObject + std::fmt::Debug>(text: &str, raw: &Json) {
    match read_text::<T>(text).expect("it is JSON") {
        WireObject::Known(read) => {
            assert_eq!(&Json::Object(read.raw.clone()), raw);
            let _ = (read.unknown_fields().count(), read.changes().len(), format!("{:?}", read.object));
            let written = to_payload_text(&read.object).expect("it was read");
            let again = read_text::<T>(&written).expect("it was written");
            let again = again.known().map(|object| to_payload_text(object).expect("it was read"));
            assert_eq!(again, Some(written));
        }
        WireObject::Unknown(unknown) => {
            let said = unknown.reason.to_string();
            assert!(!said.is_empty());
            assert_eq!(&unknown.raw, raw);
        }
    }
}
