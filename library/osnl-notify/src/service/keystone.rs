//! Keystone: CADF events, and the basic form.
//!
//! Each message has its own form: with `notification_format = basic`, `authenticate` and role assignments are
//! still CADF. No payload has the name of its subject.

use serde_json::Value;

use super::field::view;
use super::{FreeValue, Read as _};
use osnl_model::Timestamp;

/// A payload of a keystone event.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload<'a> {
    /// The CADF form, with a `typeURI`.
    Cadf(Box<Cadf<'a>>),
    /// `{resource_info: id}` and little else; the acting user is missing.
    Basic(Basic<'a>),
    /// A payload in neither form.
    Other(FreeValue<'a>),
}

view! {
    /// A CADF event, of keystone or another service.
    pub struct Cadf<'a> {
        id: &'a str = "id",
        type_uri: &'a str = "typeURI",
        event_time: Timestamp = "eventTime",
        /// Such as `created.project` or `authenticate`.
        action: &'a str = "action",
        /// `success`, `failure`, `pending`. A failure has the priority INFO.
        outcome: &'a str = "outcome",
        /// The requesting user; absent if one deletion causes another.
        initiator: Initiator<'a> = "initiator",
        /// The object of the event. In `authenticate` and role assignments keystone makes up the id: see
        /// [`Cadf::subject`].
        target: CadfTarget<'a> = "target",
        /// The observer that reports the event.
        observer: CadfTarget<'a> = "observer",
        /// In keystone's events: the id of the subject.
        resource_info: &'a str = "resource_info",
        role: &'a str = "role",
        project: &'a str = "project",
        domain: &'a str = "domain",
        user: &'a str = "user",
        group: &'a str = "group",
        /// Whether a role assignment is inherited to projects.
        inherited_to_projects: bool = "inherited_to_projects",
    }

    /// The user that made the request.
    pub struct Initiator<'a> {
        /// An id, which is mostly the user's.
        id: &'a str = "id",
        user_id: &'a str = "user_id",
        /// The project; absent in `authenticate` events.
        project_id: &'a str = "project_id",
        request_id: &'a str = "request_id",
        name: &'a str = "name",
        username: &'a str = "username",
    }

    /// A target or observer, with its type.
    pub struct CadfTarget<'a> {
        id: &'a str = "id",
        /// The type, such as `data/security/project`.
        type_uri: &'a str = "typeURI",
        /// The name, which keystone leaves out.
        name: &'a str = "name",
    }

    /// The basic form of a payload.
    pub struct Basic<'a> {
        /// The id of the event's subject.
        resource_info: &'a str = "resource_info",
        /// The user that `group.updated` added or removed.
        actor_id: &'a str = "actor_id",
        /// In `group.updated`: the string `user`.
        actor_type: &'a str = "actor_type",
        /// In `group.updated`: `added` or `removed`.
        actor_operation: &'a str = "actor_operation",
        /// The request; absent if one deletion causes another.
        request_id: &'a str = "request_id",
    }
}

impl<'a> Cadf<'a> {
    /// Returns the id of the subject: the resource, of `authenticate` the user, of a role assignment the user
    /// or group.
    #[must_use]
    pub fn subject(&self) -> Option<&'a str> {
        if self.role.text().is_some() {
            return self.user.text().or_else(|| self.group.text());
        }
        if self.action.text() == Some("authenticate") {
            let initiator = self.initiator.get()?;
            return initiator.user_id.text().or_else(|| initiator.id.text());
        }
        self.resource_info.text().or_else(|| self.target.get()?.id.text())
    }

    /// Returns the user that made the request.
    #[must_use]
    pub fn actor(&self) -> Option<&'a str> {
        let initiator = self.initiator.get()?;
        initiator.user_id.text().or_else(|| initiator.id.text())
    }
}

pub(super) fn read(payload: &Value) -> Payload<'_> {
    if payload.get("typeURI").is_some()
        && let Some(cadf) = Cadf::read(payload)
    {
        return Payload::Cadf(Box::new(cadf));
    }
    match Basic::read(payload).filter(|basic| basic.resource_info.text().is_some()) {
        Some(basic) => Payload::Basic(basic),
        None => Payload::Other(FreeValue(payload)),
    }
}
