//! Views of designate, heat, magnum, manila, masakari and octavia: what is said of a thing, not all of it.

use std::net::IpAddr;

use serde_json::Value;

use super::field::view;
use super::keystone::Cadf;
use super::{Free, FreeValue, Read};
use osnl_model::Timestamp;

/// A payload of one of these.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload<'a> {
    /// `dns.*`: zones are sent twice, as `dns.zone.*` and as `dns.domain.*`, with equal payloads.
    Designate(Box<Dns<'a>>),
    /// `orchestration.stack.*`
    Heat(Stack<'a>),
    /// `magnum.cluster.*`, with the cluster that is attached to its target.
    Magnum(Box<Cadf<'a>>, Option<Cluster<'a>>),
    /// `share.*`
    Manila(Share<'a>),
    /// `segment.*`, `host.*`, `notification.*`: the class, and what is inside.
    Masakari(&'a str, Box<Failover<'a>>),
    /// `octavia.loadbalancer.*`
    Octavia(LoadBalancer<'a>),
    /// A payload of one of them without a description: types, failures.
    Other(FreeValue<'a>),
}

view! {
    /// A zone, recordset, transfer, TSIG key, blacklist or top level domain. `key` of a transfer and `secret` of a
    /// TSIG key are in clear on the wire, and not read here.
    pub struct Dns<'a> {
        /// Its id.
        id: &'a str = "id",
        /// Its name.
        name: &'a str = "name",
        /// The project it belongs to.
        tenant_id: &'a str = "tenant_id",
        /// Its zone.
        zone_id: &'a str = "zone_id",
        /// The zone's name.
        zone_name: &'a str = "zone_name",
        /// `A`, `PRIMARY`, …
        kind: &'a str = "type",
        /// `PENDING`, `ACTIVE`, …
        status: &'a str = "status",
        /// `CREATE`, `UPDATE`, `DELETE`, `NONE`.
        action: &'a str = "action",
        /// Seconds.
        ttl: i64 = "ttl",
        /// The serial number of a zone.
        serial: i64 = "serial",
        /// The address of a zone's owner.
        email: &'a str = "email",
        /// The records of a recordset.
        records: Vec<Record<'a>> = "records",
        /// When it was made.
        created_at: Timestamp = "created_at",
        /// When it was changed.
        updated_at: Timestamp = "updated_at",
    }

    /// One of `records`.
    pub struct Record<'a> {
        /// Its id.
        id: &'a str = "id",
        /// The address, the name, the text.
        data: &'a str = "data",
        /// `PENDING`, `ACTIVE`, …
        status: &'a str = "status",
    }

    /// A stack. The backup stack of an update has events of its own; its name ends in `*`.
    pub struct Stack<'a> {
        /// Its id.
        stack_identity: &'a str = "stack_identity",
        /// Its name.
        stack_name: &'a str = "stack_name",
        /// `CREATE_COMPLETE`, …
        state: &'a str = "state",
        /// Why.
        state_reason: &'a str = "state_reason",
        /// The project it belongs to.
        tenant_id: &'a str = "tenant_id",
        /// The user's **name**.
        user_id: &'a str = "user_id",
        /// The user.
        user_identity: &'a str = "user_identity",
        /// When it was made.
        created_at: Timestamp = "create_at",
        /// When it was changed.
        updated_at: Timestamp = "updated_at",
    }

    /// The cluster that magnum attaches.
    pub struct Cluster<'a> {
        /// `CREATE_IN_PROGRESS`, …
        status: &'a str = "status",
        /// Why.
        status_reason: &'a str = "status_reason",
        /// The project it belongs to.
        project_id: &'a str = "project_id",
        /// Its stack.
        stack_id: &'a str = "stack_id",
        /// Its template.
        cluster_template_id: &'a str = "cluster_template_id",
        /// When it was made.
        created_at: Timestamp = "created_at",
    }

    /// A share.
    pub struct Share<'a> {
        /// Its id.
        share_id: &'a str = "share_id",
        /// The project it belongs to.
        project_id: &'a str = "project_id",
        /// The user it belongs to.
        user_id: &'a str = "user_id",
        /// Its name.
        name: &'a str = "name",
        /// `host@backend#pool`
        host: &'a str = "host",
        /// `available`, … ; `shrink.end` still has `shrinking`.
        status: &'a str = "status",
        /// GiB.
        size: i64 = "size",
        /// `NFS`, …
        proto: &'a str = "proto",
        /// The name of its type.
        share_type: &'a str = "share_type",
        /// The id of its type.
        share_type_id: &'a str = "share_type_id",
    }

    /// A segment, a host or a notification of masakari's.
    pub struct Failover<'a> {
        /// Absent in `create.start` and `create.end`: known by name until then.
        uuid: &'a str = "uuid",
        /// The id of a notification.
        notification_uuid: &'a str = "notification_uuid",
        /// Its name.
        name: &'a str = "name",
        /// The kind of host or notification.
        kind: &'a str = "type",
        /// The payload of a notification.
        payload: Free<'a> = "payload",
        /// The status of a notification.
        status: &'a str = "status",
        /// The recovery method of a segment.
        recovery_method: &'a str = "recovery_method",
        /// Whether a host is on maintenance.
        on_maintenance: bool = "on_maintenance",
        /// Whether a host is reserved.
        reserved: bool = "reserved",
        /// The failure, in `.error`.
        fault: super::nova::Fault<'a> = "fault",
    }

    /// A load balancer. Only `.end` is sent, without a name of its publisher.
    pub struct LoadBalancer<'a> {
        /// Its id.
        loadbalancer_id: &'a str = "loadbalancer_id",
        /// Its name.
        name: &'a str = "name",
        /// The project it belongs to.
        project_id: &'a str = "project_id",
        /// Its address.
        vip_address: IpAddr = "vip_address",
        /// The port of that address.
        vip_port_id: &'a str = "vip_port_id",
        /// The subnet of that address.
        vip_subnet_id: &'a str = "vip_subnet_id",
        /// Whether it is switched on.
        admin_state_up: bool = "admin_state_up",
        /// Further addresses.
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
