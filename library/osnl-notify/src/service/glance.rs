//! Glance: `image.*`, `task.*`, `metadef_*`.
//!
//! `image.upload` at ERROR is a sentence with the id in it ([`Payload::UploadFailed`]). A task that failed has the
//! priority INFO. No image names the user that acted.

use serde_json::Value;

use super::field::view;
use super::{Free, FreeValue, Read};
use osnl_model::Timestamp;

/// A payload of glance's.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload<'a> {
    /// `image.create`, `update`, `prepare`, `upload`, `activate`, `delete`.
    Image(Box<Image<'a>>),
    /// The payload is a text: what went wrong. Its id is read out of the sentence.
    UploadFailed {
        /// The sentence.
        text: &'a str,
        /// The image, if the sentence has an id.
        image_id: Option<&'a str>,
    },
    /// `image.member.*`
    Member(ImageMember<'a>),
    /// `image.send`
    Sent(ImageSend<'a>),
    /// `task.*`
    Task(Task<'a>),
    /// `metadef_*`
    Metadef(Metadef<'a>),
    /// Anything else.
    Other(FreeValue<'a>),
}

view! {
    /// An image.
    pub struct Image<'a> {
        /// Its id.
        id: &'a str = "id",
        /// Its name.
        name: &'a str = "name",
        /// The project it belongs to.
        owner: &'a str = "owner",
        /// `queued`, `active`, `deleted`, …
        status: &'a str = "status",
        /// `private`, `public`, `shared`, `community`.
        visibility: &'a str = "visibility",
        /// Whether it is public.
        is_public: bool = "is_public",
        /// Bytes.
        size: i64 = "size",
        /// Bytes, unpacked.
        virtual_size: i64 = "virtual_size",
        /// MD5 of its data.
        checksum: &'a str = "checksum",
        /// `qcow2`, `raw`, …
        disk_format: &'a str = "disk_format",
        /// `bare`, …
        container_format: &'a str = "container_format",
        /// GiB.
        min_disk: i64 = "min_disk",
        /// MiB.
        min_ram: i64 = "min_ram",
        /// Whether it must not be deleted.
        protected: bool = "protected",
        /// The properties, which stand at the top level over REST: `os_distro`, …
        properties: Free<'a> = "properties",
        /// Its tags.
        tags: Vec<&'a str> = "tags",
        /// Whether it is gone.
        deleted: bool = "deleted",
        /// When it was made.
        created_at: Timestamp = "created_at",
        /// When it was changed.
        updated_at: Timestamp = "updated_at",
        /// When it was deleted.
        deleted_at: Timestamp = "deleted_at",
    }

    /// `image.member.*`
    pub struct ImageMember<'a> {
        /// The image.
        image_id: &'a str = "image_id",
        /// The project that may use it.
        member_id: &'a str = "member_id",
        /// `pending`, `accepted`, `rejected`.
        status: &'a str = "status",
        /// Whether it is over.
        deleted: bool = "deleted",
        /// When it began.
        created_at: Timestamp = "created_at",
    }

    /// `image.send`
    pub struct ImageSend<'a> {
        /// The image.
        image_id: &'a str = "image_id",
        /// The project it belongs to.
        owner_id: &'a str = "owner_id",
        /// Bytes.
        bytes_sent: i64 = "bytes_sent",
        /// The user that got it.
        receiver_user_id: &'a str = "receiver_user_id",
        /// For which project.
        receiver_tenant_id: &'a str = "receiver_tenant_id",
    }

    /// `task.*`
    pub struct Task<'a> {
        /// Its id.
        id: &'a str = "id",
        /// `api_image_import`, …
        kind: &'a str = "type",
        /// `pending`, `processing`, `success`, `failure`.
        status: &'a str = "status",
        /// The project it belongs to.
        owner: &'a str = "owner",
        /// The message about the failure.
        message: &'a str = "message",
        /// When it was made.
        created_at: Timestamp = "created_at",
        /// When it is forgotten.
        expires_at: Timestamp = "expires_at",
    }

    /// `metadef_*`
    pub struct Metadef<'a> {
        /// Its namespace.
        namespace: &'a str = "namespace",
        /// The namespace's name before.
        namespace_old: &'a str = "namespace_old",
        /// The object's, property's, tag's or type's name.
        name: &'a str = "name",
        /// Its name before.
        name_old: &'a str = "name_old",
        /// The project it belongs to.
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

/// The first word that is a UUID.
fn id_in(text: &str) -> Option<&str> {
    text.split(|c: char| !c.is_ascii_hexdigit() && c != '-').find(|word| {
        word.len() == 36 && word.char_indices().all(|(at, c)| matches!(at, 8 | 13 | 18 | 23) == (c == '-'))
    })
}
