//! The deletion event of a resource that is proved gone: as its service would have sent it, as far as it is known.

use osnl_model::{BodyDigest, Priority};
use serde_json::{Value, json};

use super::ids::ResourceId;
use crate::saved::RecordedEvent;

/// The publisher of these events.
const PUBLISHER: &str = "osnl.verify";

/// The form of a deletion event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionForm {
    Port,
    /// Of nova, unversioned.
    Instance,
    /// Of nova, versioned.
    VersionedInstance,
}

impl DeletionForm {
    #[must_use]
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Port => "port.delete.end",
            Self::Instance => "compute.instance.delete.end",
            Self::VersionedInstance => "instance.delete.end",
        }
    }

    /// Returns the id of the event's message: the same for each verification of a resource for an action.
    #[must_use]
    pub fn message_id(self, action: &str, id: ResourceId) -> String {
        let text = format!("{PUBLISHER} {action} {} {id}", self.event_type());
        ResourceId::from_digest(BodyDigest::new(text.as_bytes()).as_bytes()).to_string()
    }

    /// Returns the event. `known` is the payload of an earlier event about the resource.
    pub(super) fn event(self, action: &str, id: ResourceId, known: Option<&Value>) -> Option<RecordedEvent> {
        let (what, payload) = ((self.event_type(), Priority::Info), self.payload(&id.to_string(), known));
        RecordedEvent::own(PUBLISHER.to_owned(), what, self.message_id(action, id), &payload)
    }

    fn payload(self, id: &str, known: Option<&Value>) -> Value {
        let known = |of: &str, name: &str| {
            let object = known.and_then(|known| if of.is_empty() { Some(known) } else { known.get(of) });
            object.filter(|object| object[name] == id).and_then(Value::as_object).cloned().unwrap_or_default()
        };
        match self {
            Self::Port => {
                let mut port = known("port", "id");
                port.insert("id".to_owned(), id.into());
                json!({"port_id": id, "port": port, "reconciled": true})
            }
            Self::Instance => {
                let mut instance = known("", "instance_id");
                instance.extend([
                    ("instance_id".to_owned(), id.into()),
                    ("state".to_owned(), "deleted".into()),
                    ("reconciled".to_owned(), true.into()),
                ]);
                instance.into()
            }
            Self::VersionedInstance => {
                let mut data = known("nova_object.data", "uuid");
                data.extend([("uuid".to_owned(), id.into()), ("state".to_owned(), "deleted".into())]);
                json!({
                    "nova_object.name": "InstanceActionPayload",
                    "nova_object.namespace": "nova",
                    "nova_object.data": data,
                    "reconciled": true,
                })
            }
        }
    }
}
