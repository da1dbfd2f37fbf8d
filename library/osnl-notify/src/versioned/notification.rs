use osnl_model::{Emission, to_python_json};
use serde_json::value::RawValue;

use super::{FieldType as _, ObjectPayload, Outlet, Severity, VersionedObject};
use crate::Context;

/// The event type of a notification.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event type of a notification",
    note = "take osnl_notify::versioned::ironic::EventType, osnl_notify::versioned::nova::EventType or String, or \
            implement EventTypeText for your own"
)]
pub trait EventTypeText {
    /// Returns the body's `event_type` as text.
    fn event_type(&self) -> String;
}

/// The publisher of a notification.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a publisher of a notification",
    note = "take osnl_notify::versioned::ironic::NotificationPublisher (service.host), \
            osnl_notify::versioned::nova::NotificationPublisher (source:host) or String, or implement PublisherText for your own"
)]
pub trait PublisherText {
    /// Returns the body's `publisher_id` as text.
    fn publisher_id(&self) -> String;
}

impl EventTypeText for String {
    fn event_type(&self) -> String {
        self.clone()
    }
}

impl PublisherText for String {
    fn publisher_id(&self) -> String {
        self.clone()
    }
}

/// A notification; `#[derive(VersionedNotification)]` implements the trait.
///
/// Only the payload is an object on the wire. Event type, publisher and level become `event_type`,
/// `publisher_id` and the priority.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a versioned notification",
    note = "notifications are structs with #[derive(VersionedNotification)] and the fields payload, level (or nova's \
            priority), event_type and publisher"
)]
pub trait VersionedNotification: VersionedObject {
    /// The class of the payload.
    type Payload: VersionedObject;
    /// The type of the level.
    type Level: Severity;

    /// Returns the payload of the notification.
    fn payload(&self) -> &Self::Payload;

    /// Returns the severity of the notification.
    fn level(&self) -> Self::Level;

    /// Returns the body's `event_type` as text.
    fn event_type(&self) -> String;

    /// Returns the body's `publisher_id` as text.
    fn publisher_id(&self) -> String;

    /// Emits the notification; each call emits another copy.
    ///
    /// Below the threshold this is one comparison, without copying, masking, or writing. Failures are the
    /// [`Emitter`](super::Emitter)'s to report.
    fn emit(&self, outlet: &Outlet, context: &Context) {
        let Some(emitter) = outlet.open_for(self.level()) else { return };
        let written = if Self::Payload::MASKS {
            let mut payload = self.payload().clone();
            payload.mask();
            to_python_json(&ObjectPayload(&payload))
        } else {
            to_python_json(&ObjectPayload(self.payload()))
        };
        match written.and_then(RawValue::from_string) {
            Ok(payload) => emitter.emit(Emission {
                message_id: None,
                publisher_id: Some(self.publisher_id()),
                event_type: Some(self.event_type()),
                priority: Some(self.level().priority()),
                payload,
                timestamp: None,
                unique_id: None,
                context: context.redacted(),
                extra: Vec::new(),
            }),
            Err(error) => emitter.not_written(&self.event_type(), &error),
        }
    }

    /// Returns the payload with its secrets unmasked.
    fn unmasked(&self) -> ObjectPayload<'_, Self::Payload> {
        ObjectPayload(self.payload())
    }
}
