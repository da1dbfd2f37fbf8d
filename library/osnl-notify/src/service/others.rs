//! Views of designate, heat, magnum, manila, masakari and octavia, limited to the useful members.

use std::net::IpAddr;

use serde_json::Value;

use super::field::view;
use super::keystone::Cadf;
use super::{Free, FreeValue, Read};
use osnl_model::Timestamp;

/// A payload of one of these services.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload<'a> {
    /// `dns.*`: zones are sent twice, as `dns.zone.*` and as `dns.domain.*`, with equal payloads.
    Designate(Box<Dns<'a>>),
    Heat(Stack<'a>),
    /// `magnum.cluster.*`, with the cluster that is attached to its target.
    Magnum(Box<Cadf<'a>>, Option<Cluster<'a>>),
    Manila(Share<'a>),
    /// `segment.*`, `host.*`, `notification.*`: class name and contents.
    Masakari(&'a str, Box<Failover<'a>>),
    Octavia(LoadBalancer<'a>),
    /// A payload of these services without a reader, such as types and failures.
    Other(FreeValue<'a>),
}

view! {
    /// A zone, recordset, transfer, TSIG key, blacklist or top level domain. `key` of a transfer and `secret`
    /// of a TSIG key are in clear on the wire, and not read here.
    pub struct Dns<'a> {
        id: &'a str = "id",
        name: &'a str = "name",
        tenant_id: &'a str = "tenant_id",
        zone_id: &'a str = "zone_id",
        zone_name: &'a str = "zone_name",
        /// The type, such as `A` or `PRIMARY`.
        kind: &'a str = "type",
        /// Such as `PENDING` or `ACTIVE`.
        status: &'a str = "status",
        /// `CREATE`, `UPDATE`, `DELETE`, or `NONE`.
        action: &'a str = "action",
        /// The time to live in seconds.
        ttl: i64 = "ttl",
        serial: i64 = "serial",
        /// The address of a zone's owner.
        email: &'a str = "email",
        records: Vec<Record<'a>> = "records",
        created_at: Timestamp = "created_at",
        updated_at: Timestamp = "updated_at",
    }

    /// An element of a recordset's `records`.
    pub struct Record<'a> {
        id: &'a str = "id",
        /// The address, name, or text of the record.
        data: &'a str = "data",
        /// Such as `PENDING` or `ACTIVE`.
        status: &'a str = "status",
    }

    /// A stack. The backup stack of an update has events of its own; its name ends in `*`.
    pub struct Stack<'a> {
        stack_identity: &'a str = "stack_identity",
        stack_name: &'a str = "stack_name",
        /// Such as `CREATE_COMPLETE` or `CREATE_FAILED`.
        state: &'a str = "state",
        state_reason: &'a str = "state_reason",
        tenant_id: &'a str = "tenant_id",
        /// The user's **name**, not the id.
        user_id: &'a str = "user_id",
        user_identity: &'a str = "user_identity",
        created_at: Timestamp = "create_at",
        updated_at: Timestamp = "updated_at",
    }

    /// The cluster that magnum attaches.
    pub struct Cluster<'a> {
        /// Such as `CREATE_IN_PROGRESS` or `CREATE_COMPLETE`.
        status: &'a str = "status",
        status_reason: &'a str = "status_reason",
        project_id: &'a str = "project_id",
        stack_id: &'a str = "stack_id",
        cluster_template_id: &'a str = "cluster_template_id",
        created_at: Timestamp = "created_at",
    }

    /// A share in `share.*` events.
    pub struct Share<'a> {
        share_id: &'a str = "share_id",
        project_id: &'a str = "project_id",
        user_id: &'a str = "user_id",
        name: &'a str = "name",
        /// The place of the share: `host@backend#pool`.
        host: &'a str = "host",
        /// Such as `available`; `shrink.end` still has `shrinking`.
        status: &'a str = "status",
        /// The share's size in GiB.
        size: i64 = "size",
        /// The protocol, such as `NFS`.
        proto: &'a str = "proto",
        share_type: &'a str = "share_type",
        share_type_id: &'a str = "share_type_id",
    }

    /// A segment, host, or notification of masakari.
    pub struct Failover<'a> {
        /// Absent in `create.start` and `create.end`, which have only the name.
        uuid: &'a str = "uuid",
        /// The id of a notification.
        notification_uuid: &'a str = "notification_uuid",
        name: &'a str = "name",
        kind: &'a str = "type",
        payload: Free<'a> = "payload",
        status: &'a str = "status",
        recovery_method: &'a str = "recovery_method",
        on_maintenance: bool = "on_maintenance",
        reserved: bool = "reserved",
        fault: super::nova::Fault<'a> = "fault",
    }

    /// A load balancer. Only `.end` is sent, without the publisher's name.
    pub struct LoadBalancer<'a> {
        loadbalancer_id: &'a str = "loadbalancer_id",
        name: &'a str = "name",
        project_id: &'a str = "project_id",
        vip_address: IpAddr = "vip_address",
        vip_port_id: &'a str = "vip_port_id",
        vip_subnet_id: &'a str = "vip_subnet_id",
        admin_state_up: bool = "admin_state_up",
        additional_vips: Vec<FreeValue<'a>> = "additional_vips",
    }
}

pub(super) fn masakari<'a>(class: &'a str, payload: &'a Value) -> Option<Payload<'a>> {
    Failover::read(payload).map(|read| Payload::Masakari(class, Box::new(read)))
}

pub(super) fn read<'a>(event_type: &str, payload: &'a Value) -> Option<Payload<'a>> {
    payload.as_object()?;
    let mut words = event_type.split('.');
    match (words.next()?, words.next().unwrap_or_default()) {
        ("dns", _) => Dns::read(payload).map(Box::new).map(Payload::Designate),
        ("orchestration", "stack") => Stack::read(payload).map(Payload::Heat),
        ("magnum", _) if payload.get("typeURI").is_some() => {
            let attached =
                payload.get("target").and_then(|target| target.get("attachments")?.get(0)?.get("content"));
            let cadf = Cadf::read(payload)?;
            Some(Payload::Magnum(Box::new(cadf), attached.and_then(Cluster::read)))
        }
        ("share", _) => Share::read(payload).map(Payload::Manila),
        ("share_type" | "share_type_extra_specs", _) | ("scheduler", "create_share") => {
            Some(Payload::Other(FreeValue(payload)))
        }
        ("octavia", "loadbalancer") => LoadBalancer::read(payload).map(Payload::Octavia),
        _ => None,
    }
}
