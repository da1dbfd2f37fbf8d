//! Cinder: `volume.*`, `snapshot.*`, `backup.*`, groups.
//!
//! - Metadata is a list of rows, of a snapshot the text of a Python dictionary: [`Free`] reads both.
//! - `user_id` and `tenant_id` are the owner's, after a transfer the new one's; the acting user is in the context.
//! - `launched_at` of a volume that was never scheduled is the time of the message.
//! - There are no `.error` events: a failed create is `scheduler.create_volume` ([`FailedTask`]).
//! - One volume's events have several publishers: with a backend, with a pool, with neither.

use serde_json::Value;

use super::field::view;
use super::{Free, FreeValue, Read};
use osnl_model::Timestamp;

/// A payload of cinder's.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload<'a> {
    /// `volume.*`
    Volume(Box<Volume<'a>>),
    /// `snapshot.*`
    Snapshot(Snapshot<'a>),
    /// `backup.*`
    Backup(Box<Backup<'a>>),
    /// `group.*`, `group_snapshot.*`
    Group(Group<'a>),
    /// `scheduler.create_volume`: no place was found.
    Failed(FailedTask<'a>),
    /// Types, quality of service: as it came.
    Other(FreeValue<'a>),
}

view! {
    /// A volume.
    pub struct Volume<'a> {
        /// Its id.
        volume_id: &'a str = "volume_id",
        /// The project it belongs to.
        tenant_id: &'a str = "tenant_id",
        /// The user it belongs to.
        user_id: &'a str = "user_id",
        /// Its name.
        display_name: &'a str = "display_name",
        /// `host@backend#pool`; null before it is scheduled.
        host: &'a str = "host",
        /// Its zone.
        availability_zone: &'a str = "availability_zone",
        /// `available`, `in-use`, …
        status: &'a str = "status",
        /// GiB.
        size: i64 = "size",
        /// The id of its type.
        volume_type: &'a str = "volume_type",
        /// The snapshot that it was made from.
        snapshot_id: &'a str = "snapshot_id",
        /// Names and values of the user's.
        metadata: Free<'a> = "metadata",
        /// The metadata of the image it was made from, if it was.
        glance_metadata: Free<'a> = "glance_metadata",
        /// To what it is attached. `attach.start` may have none yet, `detach.end` none any more.
        volume_attachment: Vec<Attachment<'a>> = "volume_attachment",
        /// When it was made.
        created_at: Timestamp = "created_at",
        /// When it was ready.
        launched_at: Timestamp = "launched_at",
    }

    /// One of `volume_attachment`.
    pub struct Attachment<'a> {
        /// Its id.
        id: &'a str = "id",
        /// The server.
        instance_uuid: &'a str = "instance_uuid",
        /// The host, if it is attached to none.
        attached_host: &'a str = "attached_host",
        /// `/dev/vdb`
        mountpoint: &'a str = "mountpoint",
        /// `attached`, `reserved`, …
        attach_status: &'a str = "attach_status",
        /// `rw`, `ro`; the text `null` while it is reserved.
        attach_mode: &'a str = "attach_mode",
        /// JSON as a text, passwords among it.
        connection_info: Free<'a> = "connection_info",
        /// JSON as a text: initiator, address.
        connector: Free<'a> = "connector",
    }

    /// A snapshot.
    pub struct Snapshot<'a> {
        /// Its id.
        snapshot_id: &'a str = "snapshot_id",
        /// Its volume.
        volume_id: &'a str = "volume_id",
        /// GiB.
        volume_size: i64 = "volume_size",
        /// The project it belongs to.
        tenant_id: &'a str = "tenant_id",
        /// The user it belongs to.
        user_id: &'a str = "user_id",
        /// Its name.
        display_name: &'a str = "display_name",
        /// `available`, `deleting`, …
        status: &'a str = "status",
        /// The text of a Python dictionary; `""` if there is none.
        metadata: Free<'a> = "metadata",
        /// When it was made.
        created_at: Timestamp = "created_at",
    }

    /// A backup.
    pub struct Backup<'a> {
        /// Its id.
        backup_id: &'a str = "backup_id",
        /// Its volume; of a restore, the one that was saved.
        volume_id: &'a str = "volume_id",
        /// The project it belongs to.
        tenant_id: &'a str = "tenant_id",
        /// The user it belongs to.
        user_id: &'a str = "user_id",
        /// Its name.
        display_name: &'a str = "display_name",
        /// The host of the backup service.
        host: &'a str = "host",
        /// `available`, `error`, …
        status: &'a str = "status",
        /// GiB.
        size: i64 = "size",
        /// The service that keeps the backup.
        service: &'a str = "service",
        /// The reason of the failure.
        fail_reason: &'a str = "fail_reason",
        /// The backup that it adds to.
        parent_id: &'a str = "parent_id",
        /// When it was made.
        created_at: Timestamp = "created_at",
    }

    /// A group, or a snapshot of one.
    pub struct Group<'a> {
        /// The group.
        group_id: &'a str = "group_id",
        /// The group snapshot that a snapshot belongs to.
        group_snapshot_id: &'a str = "group_snapshot_id",
        /// The project it belongs to.
        tenant_id: &'a str = "tenant_id",
        /// The user it belongs to.
        user_id: &'a str = "user_id",
        /// Its name.
        name: &'a str = "name",
        /// `available`, …
        status: &'a str = "status",
        /// When it was made.
        created_at: Timestamp = "created_at",
    }

    /// A volume that found no place.
    pub struct FailedTask<'a> {
        /// The volume.
        volume_id: &'a str = "volume_id",
        /// Its state now.
        state: &'a str = "state",
        /// The method that failed.
        method: &'a str = "method",
        /// Why, as a text.
        reason: Free<'a> = "reason",
    }
}

impl Volume<'_> {
    /// Host, backend and pool.
    #[must_use]
    pub fn place(&self) -> Option<(&str, Option<&str>, Option<&str>)> {
        let host = self.host.text()?;
        let (rest, pool) = host.split_once('#').map_or((host, None), |(rest, pool)| (rest, Some(pool)));
        let (host, backend) =
            rest.split_once('@').map_or((rest, None), |(host, backend)| (host, Some(backend)));
        Some((host, backend, pool))
    }
}

pub(super) fn read<'a>(event_type: &str, payload: &'a Value) -> Option<Payload<'a>> {
    payload.as_object()?;
    let first = event_type.split('.').next().unwrap_or_default();
    match first {
        "volume" => Volume::read(payload).map(Box::new).map(Payload::Volume),
        "snapshot" => Snapshot::read(payload).map(Payload::Snapshot),
        "backup" => Backup::read(payload).map(Box::new).map(Payload::Backup),
        "group" | "group_snapshot" => Group::read(payload).map(Payload::Group),
        "scheduler" if event_type == "scheduler.create_volume" => {
            FailedTask::read(payload).map(Payload::Failed)
        }
        "volume_type" | "volume_type_extra_specs" | "qos_specs" | "group_type" => {
            Some(Payload::Other(FreeValue(payload)))
        }
        _ => None,
    }
}
