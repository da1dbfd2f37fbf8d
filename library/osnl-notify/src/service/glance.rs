//! Readers of glance's `image.*`, `task.*`, and `metadef_*`.
//!
//! `image.upload` at ERROR is a sentence that contains the id ([`Payload::UploadFailed`]). A failed task has
//! the priority INFO. No image names the acting user.

use serde_json::Value;

use super::field::view;
use super::{Free, FreeValue, Read};
use osnl_model::Timestamp;

/// A payload of a glance event.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload<'a> {
    /// `image.create`, `update`, `prepare`, `upload`, `activate`, `delete`.
    Image(Box<Image<'a>>),
    /// The payload is an error message, which contains the id.
    UploadFailed {
        text: &'a str,
        /// The image, if the sentence has an id.
        image_id: Option<&'a str>,
    },
    Member(ImageMember<'a>),
    Sent(ImageSend<'a>),
    Task(Task<'a>),
    Metadef(Metadef<'a>),
    /// A payload without a reader.
    Other(FreeValue<'a>),
}

view! {
    /// An image in `image.*` events.
    pub struct Image<'a> {
        id: &'a str = "id",
        name: &'a str = "name",
        owner: &'a str = "owner",
        /// Such as `queued`, `active`, or `deleted`.
        status: &'a str = "status",
        /// `private`, `public`, `shared`, or `community`.
        visibility: &'a str = "visibility",
        is_public: bool = "is_public",
        /// The size of the image file in bytes.
        size: i64 = "size",
        /// The size in bytes, unpacked.
        virtual_size: i64 = "virtual_size",
        checksum: &'a str = "checksum",
        /// Such as `qcow2` or `raw`.
        disk_format: &'a str = "disk_format",
        container_format: &'a str = "container_format",
        min_disk: i64 = "min_disk",
        min_ram: i64 = "min_ram",
        protected: bool = "protected",
        /// The properties, which the REST API has at the top level, such as `os_distro`.
        properties: Free<'a> = "properties",
        tags: Vec<&'a str> = "tags",
        deleted: bool = "deleted",
        created_at: Timestamp = "created_at",
        updated_at: Timestamp = "updated_at",
        deleted_at: Timestamp = "deleted_at",
    }

    /// A project's membership of an image.
    pub struct ImageMember<'a> {
        image_id: &'a str = "image_id",
        /// The project that may use the image.
        member_id: &'a str = "member_id",
        /// `pending`, `accepted`, or `rejected` by the project.
        status: &'a str = "status",
        deleted: bool = "deleted",
        created_at: Timestamp = "created_at",
    }

    /// A download of an image's data.
    pub struct ImageSend<'a> {
        image_id: &'a str = "image_id",
        owner_id: &'a str = "owner_id",
        bytes_sent: i64 = "bytes_sent",
        /// The user that received the data.
        receiver_user_id: &'a str = "receiver_user_id",
        receiver_tenant_id: &'a str = "receiver_tenant_id",
    }

    /// A task in `task.*` events.
    pub struct Task<'a> {
        id: &'a str = "id",
        /// The type, such as `api_image_import`.
        kind: &'a str = "type",
        /// `pending`, `processing`, `success`, or `failure`.
        status: &'a str = "status",
        owner: &'a str = "owner",
        /// The message of a failure.
        message: &'a str = "message",
        created_at: Timestamp = "created_at",
        /// When glance deletes the task.
        expires_at: Timestamp = "expires_at",
    }

    /// A metadata definition in `metadef_*` events.
    pub struct Metadef<'a> {
        namespace: &'a str = "namespace",
        /// The namespace's name before a change.
        namespace_old: &'a str = "namespace_old",
        name: &'a str = "name",
        /// The definition's name before a change.
        name_old: &'a str = "name_old",
        owner: &'a str = "owner",
    }
}

pub(super) fn read<'a>(event_type: &str, payload: &'a Value) -> Payload<'a> {
    if let Some(text) = payload.as_str() {
        return Payload::UploadFailed { text, image_id: id_in(text) };
    }
    let read = if event_type.starts_with("image.member.") {
        ImageMember::read(payload).map(Payload::Member)
    } else if event_type == "image.send" {
        ImageSend::read(payload).map(Payload::Sent)
    } else if event_type.starts_with("image.") {
        Image::read(payload).map(Box::new).map(Payload::Image)
    } else if event_type.starts_with("task.") {
        Task::read(payload).map(Payload::Task)
    } else {
        Metadef::read(payload).map(Payload::Metadef)
    };
    read.unwrap_or(Payload::Other(FreeValue(payload)))
}

fn id_in(text: &str) -> Option<&str> {
    text.split(|c: char| !c.is_ascii_hexdigit() && c != '-').find(|word| {
        word.len() == 36 && word.char_indices().all(|(at, c)| matches!(at, 8 | 13 | 18 | 23) == (c == '-'))
    })
}
