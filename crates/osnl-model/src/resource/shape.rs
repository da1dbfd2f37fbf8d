//! The shape of an object: for each field a list of keys, of which the first existing key counts.

use std::borrow::Cow;

use serde_json::Value;

use super::Resource;
use super::fields::{date, first, first_id};

/// The keys that hold the parts of a resource in one kind of object.
#[derive(Clone, Copy, Debug)]
pub(super) struct ObjectShape {
    pub(super) kind: &'static str,
    pub(super) id: &'static [&'static str],
    pub(super) order: &'static [&'static str],
    pub(super) project: &'static [&'static str],
    pub(super) user: &'static [&'static str],
    pub(super) name: &'static [&'static str],
    pub(super) host: &'static [&'static str],
    pub(super) state: &'static [&'static str],
}

impl ObjectShape {
    pub(super) const fn new(kind: &'static str) -> Self {
        Self {
            kind,
            id: &["uuid", "id"],
            order: &[],
            project: &["project_id", "tenant_id"],
            user: &["user_id"],
            name: &["display_name", "name"],
            host: &["host"],
            state: &["state", "status"],
        }
    }

    pub(super) const fn id(self, id: &'static [&'static str]) -> Self {
        Self { id, ..self }
    }

    pub(super) const fn order(self, order: &'static [&'static str]) -> Self {
        Self { order, ..self }
    }

    pub(super) const fn project(self, project: &'static [&'static str]) -> Self {
        Self { project, ..self }
    }

    pub(super) const fn user(self, user: &'static [&'static str]) -> Self {
        Self { user, ..self }
    }

    pub(super) const fn name(self, name: &'static [&'static str]) -> Self {
        Self { name, ..self }
    }

    pub(super) const fn host(self, host: &'static [&'static str]) -> Self {
        Self { host, ..self }
    }

    pub(super) const fn state(self, state: &'static [&'static str]) -> Self {
        Self { state, ..self }
    }

    pub(super) fn read<'a>(&self, object: &'a Value) -> Resource<'a> {
        Resource {
            kind: Cow::Borrowed(self.kind),
            id: first_id(object, self.id),
            order: first(object, self.order),
            project: first(object, self.project),
            user: first(object, self.user),
            name: first(object, self.name),
            host: first(object, self.host),
            state: first(object, self.state),
            addresses: None,
            created_at: date(object, &["created_at", "create_at"]),
            updated_at: date(object, &["updated_at", "update_at"]),
            launched_at: date(object, &["launched_at"]),
            deleted_at: date(object, &["deleted_at", "terminated_at"]),
        }
    }
}
