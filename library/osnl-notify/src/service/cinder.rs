//! Cinder: `volume.*`, `snapshot.*`, `backup.*`, groups.
//!
//! - Metadata is a list of rows; a snapshot's is the text of a Python dictionary. [`Free`] reads both.
//! - `user_id` and `tenant_id` are the owner's, after a transfer the new owner's; the acting user is in the
//!   context.
//! - `launched_at` of a volume that was never scheduled is the time of the message.
//! - There are no `.error` events: a failed create is `scheduler.create_volume` ([`FailedTask`]).
//! - One volume's events have several publishers: with a backend, with a pool, with neither.

use serde_json::Value;

use super::field::view;
use super::{Free, FreeValue, Read};
use osnl_model::Timestamp;

/// A payload of a cinder event.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload<'a> {
    Volume(Box<Volume<'a>>),
    Snapshot(Snapshot<'a>),
    Backup(Box<Backup<'a>>),
    Group(Group<'a>),
    /// `scheduler.create_volume`: no host can hold the volume.
    Failed(FailedTask<'a>),
    /// Volume types and quality of service, without a reader.
    Other(FreeValue<'a>),
}

view! {
    /// A volume in `volume.*` events.
    pub struct Volume<'a> {
        volume_id: &'a str = "volume_id",
        tenant_id: &'a str = "tenant_id",
        user_id: &'a str = "user_id",
        display_name: &'a str = "display_name",
        /// `host@backend#pool`; null before the volume is scheduled.
        host: &'a str = "host",
        availability_zone: &'a str = "availability_zone",
        /// Such as `available` or `in-use`.
        status: &'a str = "status",
        /// The volume's size in GiB.
        size: i64 = "size",
        volume_type: &'a str = "volume_type",
        /// The snapshot that the volume was created from.
        snapshot_id: &'a str = "snapshot_id",
        metadata: Free<'a> = "metadata",
        /// The metadata of the image that the volume was created from.
        glance_metadata: Free<'a> = "glance_metadata",
        /// The volume's attachments. `attach.start` may not have the new one yet; `detach.end` has lost the
        /// old one.
        volume_attachment: Vec<Attachment<'a>> = "volume_attachment",
        created_at: Timestamp = "created_at",
        /// When the volume became available.
        launched_at: Timestamp = "launched_at",
    }

    /// An element of a volume's `volume_attachment`.
    pub struct Attachment<'a> {
        id: &'a str = "id",
        instance_uuid: &'a str = "instance_uuid",
        /// The host, if the volume is attached to no server.
        attached_host: &'a str = "attached_host",
        /// A device such as `/dev/vdb`.
        mountpoint: &'a str = "mountpoint",
        /// Such as `attached` or `reserved`.
        attach_status: &'a str = "attach_status",
        /// `rw` or `ro`; the string `null` while the volume is reserved.
        attach_mode: &'a str = "attach_mode",
        /// A string of JSON, which may contain passwords.
        connection_info: Free<'a> = "connection_info",
        /// A string of JSON with initiator and address.
        connector: Free<'a> = "connector",
    }

    /// A snapshot in `snapshot.*` events.
    pub struct Snapshot<'a> {
        snapshot_id: &'a str = "snapshot_id",
        volume_id: &'a str = "volume_id",
        /// The volume's size in GiB.
        volume_size: i64 = "volume_size",
        tenant_id: &'a str = "tenant_id",
        user_id: &'a str = "user_id",
        display_name: &'a str = "display_name",
        /// Such as `available` or `deleting`.
        status: &'a str = "status",
        /// The text of a Python dictionary; `""` if there is none.
        metadata: Free<'a> = "metadata",
        created_at: Timestamp = "created_at",
    }

    /// A backup in `backup.*` events.
    pub struct Backup<'a> {
        backup_id: &'a str = "backup_id",
        /// The source volume of the backup, also in a restore.
        volume_id: &'a str = "volume_id",
        tenant_id: &'a str = "tenant_id",
        user_id: &'a str = "user_id",
        display_name: &'a str = "display_name",
        host: &'a str = "host",
        /// Such as `available` or `error`.
        status: &'a str = "status",
        /// The backup's size in GiB.
        size: i64 = "size",
        /// The service that stores the backup.
        service: &'a str = "service",
        fail_reason: &'a str = "fail_reason",
        /// The parent of an incremental backup.
        parent_id: &'a str = "parent_id",
        created_at: Timestamp = "created_at",
    }

    /// A group, or a snapshot of one.
    pub struct Group<'a> {
        group_id: &'a str = "group_id",
        /// The group snapshot that a snapshot belongs to.
        group_snapshot_id: &'a str = "group_snapshot_id",
        tenant_id: &'a str = "tenant_id",
        user_id: &'a str = "user_id",
        name: &'a str = "name",
        status: &'a str = "status",
        created_at: Timestamp = "created_at",
    }

    /// A volume that no host can hold.
    pub struct FailedTask<'a> {
        volume_id: &'a str = "volume_id",
        state: &'a str = "state",
        method: &'a str = "method",
        reason: Free<'a> = "reason",
    }
}

impl Volume<'_> {
    /// Splits `host` into host, backend, and pool.
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
