//! Keystone: CADF events, and the basic form.
//!
//! Judge each message by itself: with `notification_format = basic`, `authenticate` and role assignments are CADF
//! all the same. No payload has the name of what it is about.

use serde_json::Value;

use super::field::view;
use super::{FreeValue, Read as _};
use osnl_model::Timestamp;

/// A payload of keystone's.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload<'a> {
    /// With a `typeURI`.
    Cadf(Box<Cadf<'a>>),
    /// `{resource_info: id}` and little else; the user that acted is missing.
    Basic(Basic<'a>),
    /// Neither.
    Other(FreeValue<'a>),
}

view! {
    /// A CADF event, of keystone's or anybody's.
    pub struct Cadf<'a> {
        /// The event's own id.
        id: &'a str = "id",
        /// The kind of thing that an event is.
        type_uri: &'a str = "typeURI",
        /// When.
        event_time: Timestamp = "eventTime",
        /// `created.project`, `authenticate`, …
        action: &'a str = "action",
        /// `success`, `failure`, `pending`. A failure has the priority INFO.
        outcome: &'a str = "outcome",
        /// The user that asked; absent where one deletion causes another.
        initiator: Initiator<'a> = "initiator",
        /// The object of the event. In `authenticate` and role assignments the id is made up: see [`Cadf::subject`].
        target: CadfTarget<'a> = "target",
        /// The observer that reports it.
        observer: CadfTarget<'a> = "observer",
        /// Keystone: the id of what it is about.
        resource_info: &'a str = "resource_info",
        /// The role of a role assignment.
        role: &'a str = "role",
        /// The project of a role assignment.
        project: &'a str = "project",
        /// The domain of a role assignment.
        domain: &'a str = "domain",
        /// The user of a role assignment.
        user: &'a str = "user",
        /// The group of a role assignment.
        group: &'a str = "group",
        /// Whether a role assignment is inherited to projects.
        inherited_to_projects: bool = "inherited_to_projects",
    }

    /// The user that asked.
    pub struct Initiator<'a> {
        /// An id: mostly the user's.
        id: &'a str = "id",
        /// The user.
        user_id: &'a str = "user_id",
        /// The project; absent in `authenticate`.
        project_id: &'a str = "project_id",
        /// The request.
        request_id: &'a str = "request_id",
        /// The user's name.
        name: &'a str = "name",
        /// The user's name.
        username: &'a str = "username",
    }

    /// A thing with a type.
    pub struct CadfTarget<'a> {
        /// Its id.
        id: &'a str = "id",
        /// Its type, such as `data/security/project`.
        type_uri: &'a str = "typeURI",
        /// Its name; keystone leaves it out.
        name: &'a str = "name",
    }

    /// The basic form.
    pub struct Basic<'a> {
        /// The id of what it is about.
        resource_info: &'a str = "resource_info",
        /// The user that `group.updated` added or removed.
        actor_id: &'a str = "actor_id",
        /// In `group.updated`: `user`.
        actor_type: &'a str = "actor_type",
        /// In `group.updated`: `added`, `removed`.
        actor_operation: &'a str = "actor_operation",
        /// The request; absent where one deletion causes another.
        request_id: &'a str = "request_id",
    }
}

impl<'a> Cadf<'a> {
    /// The id of what it is about: the resource, of `authenticate` the user, of a role assignment the user or
    /// group.
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

    /// The user that asked.
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
