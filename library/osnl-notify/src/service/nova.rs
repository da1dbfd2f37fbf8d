//! Nova: instances in the legacy form (`compute.instance.*`) and the versioned one (`instance.*`).
//!
//! What is easily read wrong:
//!
//! - Legacy addresses are absent in most events, `delete.end` among them; `[]` means that there are none.
//! - Versioned addresses are `[]` in `create.start` and `delete.end`, where it says nothing; see
//!   [`Instance::addresses`]. Floating ones are never there.
//! - An `.end` may follow an `.error` of the same operation (`compute.instance.reboot`): it is no success.
//! - Some events have one name in both forms (`aggregate.create.start`), and some two: [`versioned_name`].

use std::net::IpAddr;

use serde_json::Value;

use super::field::view;
use super::{Field, Free, FreeValue, Read as _};
use osnl_model::Timestamp;

pub use osnl_model::nova::{legacy_name, versioned_name};

/// A payload of nova's.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload<'a> {
    /// `compute.instance.*`
    Legacy(Box<LegacyInstance<'a>>),
    /// An object of a class whose name begins with `Instance`, or nova's own of another major version.
    Versioned(Box<Instance<'a>>),
    /// A method that raised, in the legacy form: the event type is the method's name.
    Raised(RaisedError<'a>),
    /// An exception as an object: `compute.exception`.
    Exception(Fault<'a>),
    /// Any other object of a class: its name, and what is inside.
    Object(&'a str, FreeValue<'a>),
}

view! {
    /// `compute.instance.*`
    pub struct LegacyInstance<'a> {
        /// The instance.
        instance_id: &'a str = "instance_id",
        /// The project it belongs to.
        tenant_id: &'a str = "tenant_id",
        /// The user it belongs to.
        user_id: &'a str = "user_id",
        /// Its name.
        display_name: &'a str = "display_name",
        /// Its name, made fit for DNS.
        hostname: &'a str = "hostname",
        /// Its compute host; null until one claims it, and in `create.error`.
        host: &'a str = "host",
        /// Its hypervisor.
        node: &'a str = "node",
        /// Its zone.
        availability_zone: &'a str = "availability_zone",
        /// `vm_state`.
        state: &'a str = "state",
        /// `task_state`; `""` if nothing is being done.
        state_description: &'a str = "state_description",
        /// In per cent; `""` if not known, which reads as null.
        progress: i64 = "progress",
        /// The flavor's name.
        instance_type: &'a str = "instance_type",
        /// The flavor's id in the API.
        instance_flavor_id: &'a str = "instance_flavor_id",
        /// MiB.
        memory_mb: i64 = "memory_mb",
        /// Virtual processors.
        vcpus: i64 = "vcpus",
        /// GiB, root and ephemeral together.
        disk_gb: i64 = "disk_gb",
        /// GiB.
        root_gb: i64 = "root_gb",
        /// GiB.
        ephemeral_gb: i64 = "ephemeral_gb",
        /// A URL, or an id alone.
        image_ref_url: &'a str = "image_ref_url",
        /// Properties of the image, all of them texts.
        image_meta: Free<'a> = "image_meta",
        /// Absent: the event does not say. Empty: there are none.
        fixed_ips: Vec<FixedIp<'a>> = "fixed_ips",
        /// The user's own names and values.
        metadata: Free<'a> = "metadata",
        /// When it was made.
        created_at: Timestamp = "created_at",
        /// When it first ran.
        launched_at: Timestamp = "launched_at",
        /// When it was deleted.
        deleted_at: Timestamp = "deleted_at",
        /// When it was stopped for good.
        terminated_at: Timestamp = "terminated_at",
        /// In `update`: the state before.
        old_state: &'a str = "old_state",
        /// In `update`: the task before.
        old_task_state: &'a str = "old_task_state",
        /// In `update`: the task now.
        new_task_state: &'a str = "new_task_state",
        /// In `update`, when it was renamed.
        old_display_name: &'a str = "old_display_name",
        /// In `exists` and `update`.
        audit_period_beginning: Timestamp = "audit_period_beginning",
        /// In `exists` and `update`.
        audit_period_ending: Timestamp = "audit_period_ending",
        /// In `volume.attach` and `volume.detach`.
        volume_id: &'a str = "volume_id",
        /// `Success` in `create.end`; what went wrong in `.error`.
        message: &'a str = "message",
        /// In `.error`: 500 unless the exception has a code of its own.
        code: i64 = "code",
        /// In `.error`: the text of a Python dictionary with `kwargs` or, in other events, of the exception.
        exception: Free<'a> = "exception",
    }

    /// One of `fixed_ips`.
    pub struct FixedIp<'a> {
        /// The address.
        address: IpAddr = "address",
        /// 4 or 6.
        version: i64 = "version",
        /// The network's name.
        label: &'a str = "label",
        /// The port's MAC address.
        vif_mac: &'a str = "vif_mac",
        /// Floating addresses mapped to it, as nova had them cached.
        floating_ips: Vec<FloatingIp<'a>> = "floating_ips",
    }

    /// One of `floating_ips`.
    pub struct FloatingIp<'a> {
        /// The address.
        address: IpAddr = "address",
        /// 4 or 6.
        version: i64 = "version",
    }

    /// The classes `Instance*Payload`.
    pub struct Instance<'a> {
        /// The instance.
        uuid: &'a str = "uuid",
        /// The project it belongs to.
        tenant_id: &'a str = "tenant_id",
        /// The user it belongs to.
        user_id: &'a str = "user_id",
        /// The user that asked for it.
        action_initiator_user: &'a str = "action_initiator_user",
        /// The id of the project on whose behalf it was made.
        action_initiator_project: &'a str = "action_initiator_project",
        /// The id of the request, `req-…`.
        request_id: &'a str = "request_id",
        /// Its name.
        display_name: &'a str = "display_name",
        /// Its name, made fit for DNS.
        host_name: &'a str = "host_name",
        /// Its description.
        display_description: &'a str = "display_description",
        /// Its compute host.
        host: &'a str = "host",
        /// Its hypervisor.
        node: &'a str = "node",
        /// Its zone.
        availability_zone: &'a str = "availability_zone",
        /// `active`, `deleted`, …
        state: &'a str = "state",
        /// `running`, … ; `pending` after the deletion.
        power_state: &'a str = "power_state",
        /// The task under way.
        task_state: &'a str = "task_state",
        /// Its flavor.
        flavor: Flavor<'a> = "flavor",
        /// Its image; its properties are in no payload.
        image_uuid: &'a str = "image_uuid",
        /// Fixed addresses. Empty says nothing: see [`Instance::addresses`].
        ip_addresses: Vec<Ip<'a>> = "ip_addresses",
        /// The user's own names and values.
        metadata: Free<'a> = "metadata",
        /// The name of its key pair.
        key_name: &'a str = "key_name",
        /// Whether only administrators may change it.
        locked: bool = "locked",
        /// The failure; null except in `.error`.
        fault: Fault<'a> = "fault",
        /// In `create`: its tags.
        tags: Vec<&'a str> = "tags",
        /// When it was made.
        created_at: Timestamp = "created_at",
        /// When it first ran.
        launched_at: Timestamp = "launched_at",
        /// When it was changed.
        updated_at: Timestamp = "updated_at",
        /// When it was deleted.
        deleted_at: Timestamp = "deleted_at",
        /// When it was stopped for good.
        terminated_at: Timestamp = "terminated_at",
        /// In `update`: the states before and after.
        state_update: StateUpdate<'a> = "state_update",
        /// In `update` and `exists`.
        audit_period: AuditPeriod<'a> = "audit_period",
        /// In `update`, when it was renamed.
        old_display_name: &'a str = "old_display_name",
    }

    /// `FlavorPayload`
    pub struct Flavor<'a> {
        /// Its id in the API.
        flavorid: &'a str = "flavorid",
        /// Its name.
        name: &'a str = "name",
        /// MiB.
        memory_mb: i64 = "memory_mb",
        /// Virtual processors.
        vcpus: i64 = "vcpus",
        /// GiB.
        root_gb: i64 = "root_gb",
        /// GiB.
        ephemeral_gb: i64 = "ephemeral_gb",
        /// MiB.
        swap: i64 = "swap",
        /// Names and values of drivers.
        extra_specs: Free<'a> = "extra_specs",
    }

    /// `IpPayload`
    pub struct Ip<'a> {
        /// The address.
        address: IpAddr = "address",
        /// 4 or 6.
        version: i64 = "version",
        /// The network's name.
        label: &'a str = "label",
        /// The port's MAC address.
        mac: &'a str = "mac",
        /// The port; one port's v4 and v6 addresses are two of these.
        port_uuid: &'a str = "port_uuid",
        /// `tap…`
        device_name: &'a str = "device_name",
    }

    /// `ExceptionPayload`
    pub struct Fault<'a> {
        /// The class of the exception.
        exception: &'a str = "exception",
        /// Its message.
        exception_message: &'a str = "exception_message",
        /// The module that raised it.
        module_name: &'a str = "module_name",
        /// The function that raised it.
        function_name: &'a str = "function_name",
    }

    /// `InstanceStateUpdatePayload`
    pub struct StateUpdate<'a> {
        /// The state before.
        old_state: &'a str = "old_state",
        /// The state now.
        state: &'a str = "state",
        /// The task before.
        old_task_state: &'a str = "old_task_state",
        /// The task now.
        new_task_state: &'a str = "new_task_state",
    }

    /// `AuditPeriodPayload`
    pub struct AuditPeriod<'a> {
        /// The beginning of the period.
        audit_period_beginning: Timestamp = "audit_period_beginning",
        /// The end of the period.
        audit_period_ending: Timestamp = "audit_period_ending",
    }

    /// A method that raised: `{exception: "…", args: {…}}`.
    pub struct RaisedError<'a> {
        /// The text of a Python dictionary, `kwargs`, `message`, `class`; of exceptions that are not nova's
        /// own, `TypeError("…")`.
        exception: Free<'a> = "exception",
        /// The arguments of the method: whole rows, contexts among them.
        args: Free<'a> = "args",
    }
}

impl RaisedError<'_> {
    /// The class of the exception: nova's own say it in the dictionary, others are `TypeError("…")`.
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
    /// Fixed and floating addresses; `None` where the event does not say.
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
    /// Fixed addresses; `None` where the event does not say, which an empty list does not either.
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
