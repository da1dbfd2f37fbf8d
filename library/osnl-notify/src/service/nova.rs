//! Nova: instances in the legacy form (`compute.instance.*`) and the versioned one (`instance.*`).
//!
//! These payloads have some pitfalls:
//!
//! - Legacy addresses are absent in most events, including `delete.end`; `[]` means that there are none.
//! - Versioned addresses are `[]` in `create.start` and `delete.end` without a meaning; see
//!   [`Instance::addresses`]. Floating addresses are never included.
//! - An `.end` may follow an `.error` of the same operation (`compute.instance.reboot`), and then is no
//!   success.
//! - Some events have one name in both forms (`aggregate.create.start`), and some two: [`versioned_name`].

use std::net::IpAddr;

use serde_json::Value;

use super::field::view;
use super::{Field, Free, FreeValue, Read as _};
use osnl_model::Timestamp;

pub use osnl_model::nova::{legacy_name, versioned_name};

/// A payload of a nova event.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload<'a> {
    Legacy(Box<LegacyInstance<'a>>),
    /// An object of a class whose name begins with `Instance`, or nova's own of another major version.
    Versioned(Box<Instance<'a>>),
    /// A method that raised, in the legacy form: the event type is the method's name.
    Raised(RaisedError<'a>),
    /// An exception as an object: `compute.exception`.
    Exception(Fault<'a>),
    /// Any other object of a class: class name and contents.
    Object(&'a str, FreeValue<'a>),
}

view! {
    /// An instance in `compute.instance.*` events.
    pub struct LegacyInstance<'a> {
        instance_id: &'a str = "instance_id",
        tenant_id: &'a str = "tenant_id",
        user_id: &'a str = "user_id",
        display_name: &'a str = "display_name",
        /// The instance's name, made fit for DNS.
        hostname: &'a str = "hostname",
        /// The compute host; null until one claims the instance, and in `create.error`.
        host: &'a str = "host",
        node: &'a str = "node",
        availability_zone: &'a str = "availability_zone",
        /// The instance's `vm_state` in the database.
        state: &'a str = "state",
        /// `task_state`; `""` if no task is running.
        state_description: &'a str = "state_description",
        /// The progress in per cent; `""` if unknown, which reads as null.
        progress: i64 = "progress",
        instance_type: &'a str = "instance_type",
        /// The flavor's id in the API.
        instance_flavor_id: &'a str = "instance_flavor_id",
        memory_mb: i64 = "memory_mb",
        vcpus: i64 = "vcpus",
        /// The size in GiB, root and ephemeral disks together.
        disk_gb: i64 = "disk_gb",
        root_gb: i64 = "root_gb",
        ephemeral_gb: i64 = "ephemeral_gb",
        /// A URL, or an id alone.
        image_ref_url: &'a str = "image_ref_url",
        /// Properties of the image, all as strings.
        image_meta: Free<'a> = "image_meta",
        /// Absent if the event does not include them; empty if there are none.
        fixed_ips: Vec<FixedIp<'a>> = "fixed_ips",
        metadata: Free<'a> = "metadata",
        created_at: Timestamp = "created_at",
        /// When the instance first ran.
        launched_at: Timestamp = "launched_at",
        deleted_at: Timestamp = "deleted_at",
        /// When the instance was stopped for good.
        terminated_at: Timestamp = "terminated_at",
        /// In `update`: the state before the change.
        old_state: &'a str = "old_state",
        /// In `update`: the task before the change.
        old_task_state: &'a str = "old_task_state",
        /// In `update`: the task after the change.
        new_task_state: &'a str = "new_task_state",
        /// In `update` events, after a renaming.
        old_display_name: &'a str = "old_display_name",
        /// Only in `exists` and `update`.
        audit_period_beginning: Timestamp = "audit_period_beginning",
        /// Only in `exists` and `update`.
        audit_period_ending: Timestamp = "audit_period_ending",
        /// Only in `volume.attach` and `volume.detach`.
        volume_id: &'a str = "volume_id",
        /// `Success` in `create.end`; the error message in `.error`.
        message: &'a str = "message",
        /// In `.error`: 500 unless the exception has a code of its own.
        code: i64 = "code",
        /// In `.error`: the text of a Python dictionary with `kwargs` or, in other events, of the exception.
        exception: Free<'a> = "exception",
    }

    /// An element of an instance's `fixed_ips`.
    pub struct FixedIp<'a> {
        address: IpAddr = "address",
        /// The IP version, 4 or 6.
        version: i64 = "version",
        label: &'a str = "label",
        vif_mac: &'a str = "vif_mac",
        /// Floating addresses mapped to the fixed one, from nova's cache.
        floating_ips: Vec<FloatingIp<'a>> = "floating_ips",
    }

    /// An element of an address's `floating_ips`.
    pub struct FloatingIp<'a> {
        address: IpAddr = "address",
        /// The IP version, 4 or 6.
        version: i64 = "version",
    }

    /// An instance in the classes `Instance*Payload`.
    pub struct Instance<'a> {
        uuid: &'a str = "uuid",
        tenant_id: &'a str = "tenant_id",
        user_id: &'a str = "user_id",
        /// The user that requested the action.
        action_initiator_user: &'a str = "action_initiator_user",
        /// The id of the project that requested the action.
        action_initiator_project: &'a str = "action_initiator_project",
        /// The id of the request, `req-…`.
        request_id: &'a str = "request_id",
        display_name: &'a str = "display_name",
        /// The instance's name, made fit for DNS.
        host_name: &'a str = "host_name",
        display_description: &'a str = "display_description",
        host: &'a str = "host",
        node: &'a str = "node",
        availability_zone: &'a str = "availability_zone",
        /// Such as `active` or `deleted`.
        state: &'a str = "state",
        /// Such as `running`; `pending` after the deletion.
        power_state: &'a str = "power_state",
        task_state: &'a str = "task_state",
        flavor: Flavor<'a> = "flavor",
        /// The image's id; no payload has the image's properties.
        image_uuid: &'a str = "image_uuid",
        /// Fixed addresses. An empty list has no meaning: see [`Instance::addresses`].
        ip_addresses: Vec<Ip<'a>> = "ip_addresses",
        metadata: Free<'a> = "metadata",
        key_name: &'a str = "key_name",
        /// Whether only administrators may change the instance.
        locked: bool = "locked",
        /// The failure; null except in `.error`.
        fault: Fault<'a> = "fault",
        /// Present only in `create` events.
        tags: Vec<&'a str> = "tags",
        created_at: Timestamp = "created_at",
        /// When the instance first ran.
        launched_at: Timestamp = "launched_at",
        updated_at: Timestamp = "updated_at",
        deleted_at: Timestamp = "deleted_at",
        /// When the instance was stopped for good.
        terminated_at: Timestamp = "terminated_at",
        /// In `update`: the states before and after.
        state_update: StateUpdate<'a> = "state_update",
        /// Only in `update` and `exists`.
        audit_period: AuditPeriod<'a> = "audit_period",
        /// In `update` events, after a renaming.
        old_display_name: &'a str = "old_display_name",
    }

    /// The class `FlavorPayload` of nova.
    pub struct Flavor<'a> {
        /// The flavor's id in the API.
        flavorid: &'a str = "flavorid",
        name: &'a str = "name",
        memory_mb: i64 = "memory_mb",
        vcpus: i64 = "vcpus",
        root_gb: i64 = "root_gb",
        ephemeral_gb: i64 = "ephemeral_gb",
        swap: i64 = "swap",
        /// Names and values of drivers.
        extra_specs: Free<'a> = "extra_specs",
    }

    /// The class `IpPayload` of nova.
    pub struct Ip<'a> {
        address: IpAddr = "address",
        /// The IP version, 4 or 6.
        version: i64 = "version",
        label: &'a str = "label",
        mac: &'a str = "mac",
        /// The port; its v4 and v6 addresses are two elements.
        port_uuid: &'a str = "port_uuid",
        device_name: &'a str = "device_name",
    }

    /// The class `ExceptionPayload` of nova.
    pub struct Fault<'a> {
        exception: &'a str = "exception",
        exception_message: &'a str = "exception_message",
        module_name: &'a str = "module_name",
        function_name: &'a str = "function_name",
    }

    /// The class `InstanceStateUpdatePayload` of nova.
    pub struct StateUpdate<'a> {
        old_state: &'a str = "old_state",
        state: &'a str = "state",
        old_task_state: &'a str = "old_task_state",
        new_task_state: &'a str = "new_task_state",
    }

    /// The class `AuditPeriodPayload` of nova.
    pub struct AuditPeriod<'a> {
        audit_period_beginning: Timestamp = "audit_period_beginning",
        audit_period_ending: Timestamp = "audit_period_ending",
    }

    /// A method that raised: `{exception: "…", args: {…}}`.
    pub struct RaisedError<'a> {
        /// The text of a Python dictionary, `kwargs`, `message`, `class`; of exceptions that are not nova's
        /// own, `TypeError("…")`.
        exception: Free<'a> = "exception",
        /// The arguments of the method, including whole rows and contexts.
        args: Free<'a> = "args",
    }
}

impl RaisedError<'_> {
    /// Returns the class of the exception: from the dictionary of nova's own exceptions, or from
    /// `TypeError("…")`.
    #[must_use]
    pub fn class(&self) -> Option<String> {
        let exception = self.exception.get()?;
        match exception.get("class") {
            Some(class) => class.as_str().map(str::to_owned),
            None => exception.as_text()?.split_once('(').map(|(class, _)| class.to_owned()),
        }
    }
}

impl LegacyInstance<'_> {
    /// Returns fixed and floating addresses; `None` if the event does not include them.
    #[must_use]
    pub fn addresses(&self) -> Option<(Vec<IpAddr>, Vec<IpAddr>)> {
        let fixed = self.fixed_ips.get()?;
        let floating = fixed.iter().filter_map(|ip| ip.floating_ips.get()).flatten();
        Some((
            fixed.iter().filter_map(|ip| ip.address.into_value()).collect(),
            floating.filter_map(|ip| ip.address.into_value()).collect(),
        ))
    }
}

impl Instance<'_> {
    /// Returns the fixed addresses; `None` if the event does not include them or has an empty list.
    #[must_use]
    pub fn addresses(&self) -> Option<Vec<IpAddr>> {
        let list = self.ip_addresses.get().filter(|list| !list.is_empty())?;
        Some(list.iter().filter_map(|ip| ip.address.into_value()).collect())
    }
}

pub(super) fn versioned<'a>(class: &'a str, payload: &'a Value) -> Payload<'a> {
    let instance = || Instance::read(payload).filter(|instance| instance.uuid != Field::Absent);
    match class {
        "ExceptionPayload" => Fault::read(payload).map(Payload::Exception),
        _ if class.starts_with("Instance") => instance().map(Box::new).map(Payload::Versioned),
        _ => None,
    }
    .unwrap_or(Payload::Object(class, FreeValue(super::data(payload))))
}

pub(super) fn legacy<'a>(event_type: &'a str, payload: &'a Value) -> Option<Payload<'a>> {
    if event_type.starts_with("compute.instance.")
        || payload.get("instance_id").is_some_and(Value::is_string) && payload.get("tenant_id").is_some()
    {
        return LegacyInstance::read(payload).map(Box::new).map(Payload::Legacy);
    }
    let object = payload.as_object()?;
    if object.len() == 2 && object.contains_key("exception") && object.contains_key("args") {
        return RaisedError::read(payload).map(Payload::Raised);
    }
    const PLAIN: [&str; 9] = [
        "compute.",
        "compute_task.",
        "scheduler.select_destinations",
        "scheduler.run_instance",
        "aggregate.",
        "servergroup.",
        "keypair.",
        "volume.usage",
        "flavor.",
    ];
    PLAIN.iter().any(|begin| event_type.starts_with(begin)).then_some(Payload::Object("", FreeValue(payload)))
}
