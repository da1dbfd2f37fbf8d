//! Nodes.

use std::fmt;

use osnl_derive::VersionedObject;

use super::mask;
use crate::versioned::{DateTime, FlexibleDict, Uuid};

/// A node of ironic: the source of the payloads.
#[derive(Clone, Default, PartialEq)]
pub struct Node {
    /// The instance that is deployed on it; secrets in it are masked before they are sent.
    pub instance_info: Option<FlexibleDict>,
    /// The access to its controller; secrets in it are masked before they are sent.
    pub driver_info: Option<FlexibleDict>,
    /// Data that its driver keeps for itself; secrets in it are masked before they are sent.
    pub driver_internal_info: Option<FlexibleDict>,
    /// The cleaning step that runs, `{}` when none does.
    pub clean_step: Option<FlexibleDict>,
    /// The group of conductors that manage it.
    pub conductor_group: Option<String>,
    /// Whether its console is on.
    pub console_enabled: Option<bool>,
    /// When it was created.
    pub created_at: Option<DateTime>,
    /// The deploy step that runs, `{}` when none does.
    pub deploy_step: Option<FlexibleDict>,
    /// Its description by an operator.
    pub description: Option<String>,
    /// Whether it must not be switched off.
    pub disable_power_off: Option<bool>,
    /// The driver.
    pub driver: Option<String>,
    /// Free data of its owner.
    pub extra: Option<FlexibleDict>,
    /// `bios` or `uefi`.
    pub boot_mode: Option<String>,
    /// Whether secure boot is on.
    pub secure_boot: Option<bool>,
    /// When its last inspection ended.
    pub inspection_finished_at: Option<DateTime>,
    /// When its last inspection began.
    pub inspection_started_at: Option<DateTime>,
    /// The instance on it.
    pub instance_uuid: Option<Uuid>,
    /// The last failure.
    pub last_error: Option<String>,
    /// Whether it is in maintenance.
    pub maintenance: Option<bool>,
    /// Why it is in maintenance.
    pub maintenance_reason: Option<String>,
    /// The fault ironic found.
    pub fault: Option<String>,
    /// The bios interface.
    pub bios_interface: Option<String>,
    /// The boot interface.
    pub boot_interface: Option<String>,
    /// The console interface.
    pub console_interface: Option<String>,
    /// The deploy interface.
    pub deploy_interface: Option<String>,
    /// The inspect interface.
    pub inspect_interface: Option<String>,
    /// The management interface.
    pub management_interface: Option<String>,
    /// The network interface.
    pub network_interface: Option<String>,
    /// The power interface.
    pub power_interface: Option<String>,
    /// The raid interface.
    pub raid_interface: Option<String>,
    /// The rescue interface.
    pub rescue_interface: Option<String>,
    /// The storage interface.
    pub storage_interface: Option<String>,
    /// The vendor interface.
    pub vendor_interface: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// The project that owns it.
    pub owner: Option<String>,
    /// The project it is lent to.
    pub lessee: Option<String>,
    /// `power on`, `power off`, ...
    pub power_state: Option<String>,
    /// Its hardware.
    pub properties: Option<FlexibleDict>,
    /// Whether it must not be undeployed.
    pub protected: Option<bool>,
    /// Why it is protected.
    pub protected_reason: Option<String>,
    /// `available`, `active`, ...
    pub provision_state: Option<String>,
    /// When its provision state last changed.
    pub provision_updated_at: Option<DateTime>,
    /// The class it is of.
    pub resource_class: Option<String>,
    /// Whether it is retired.
    pub retired: Option<bool>,
    /// Why it is retired.
    pub retired_reason: Option<String>,
    /// The power state it is brought to.
    pub target_power_state: Option<String>,
    /// The provision state it is brought to.
    pub target_provision_state: Option<String>,
    /// When it was last changed.
    pub updated_at: Option<DateTime>,
    /// The UUID.
    pub uuid: Uuid,
}

/// As the notification of its creation has it: secrets are masked.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extra = NodeCRUDPayloadExtra { chassis_uuid: None, traits: None };
        NodeCRUDPayload::populate(self, extra).fmt(f)
    }
}

/// A payload of a node: fields of its own, then those that all have. (A struct cannot inherit, and the order of the
/// fields is that of the wire.) `since` says with which of its own versions the fields that all have came.
macro_rules! node_payload {
    (
        $(#[$doc:meta])*
        $name:ident, $version:literal since {
            dynamic: $dynamic:literal, storage: $storage:literal, rescue: $rescue:literal,
            traits: $traits:literal, fault: $fault:literal, bios: $bios:literal,
            deploy_step: $deploy_step:literal, conductor_group: $conductor_group:literal,
            protected: $protected:literal, owner: $owner:literal, description: $description:literal,
            retired: $retired:literal, lessee: $lessee:literal, boot_mode: $boot_mode:literal,
            disable_power_off: $disable_power_off:literal
        } { $($(#[$meta:meta])* $field:ident: $type:ty,)* } $($mask:tt)*
    ) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, VersionedObject)]
        #[versioned(namespace = "ironic", version = $version, timestamps, schema(node: Node { .. }) $($mask)*)]
        pub struct $name {
            $($(#[$meta])* pub $field: $type,)*
            /// The cleaning step that runs, `{}` when none does.
            pub clean_step: Option<FlexibleDict>,
            /// The group of conductors that manage it.
            #[versioned(since = $conductor_group)]
            pub conductor_group: Option<String>,
            /// Whether its console is on.
            pub console_enabled: Option<bool>,
            /// When it was created.
            pub created_at: Option<DateTime>,
            /// The deploy step that runs, `{}` when none does.
            #[versioned(since = $deploy_step)]
            pub deploy_step: Option<FlexibleDict>,
            /// Its description by an operator.
            #[versioned(since = $description)]
            pub description: Option<String>,
            /// Whether it must not be switched off.
            #[versioned(since = $disable_power_off)]
            pub disable_power_off: Option<bool>,
            /// The driver.
            pub driver: Option<String>,
            /// Free data of its owner.
            pub extra: Option<FlexibleDict>,
            /// `bios` or `uefi`.
            #[versioned(since = $boot_mode)]
            pub boot_mode: Option<String>,
            /// Whether secure boot is on.
            #[versioned(since = $boot_mode)]
            pub secure_boot: Option<bool>,
            /// When its last inspection ended.
            pub inspection_finished_at: Option<DateTime>,
            /// When its last inspection began.
            pub inspection_started_at: Option<DateTime>,
            /// The instance on it.
            pub instance_uuid: Option<Uuid>,
            /// The last failure.
            pub last_error: Option<String>,
            /// Whether it is in maintenance.
            pub maintenance: Option<bool>,
            /// Why it is in maintenance.
            pub maintenance_reason: Option<String>,
            /// The fault ironic found.
            #[versioned(since = $fault)]
            pub fault: Option<String>,
            /// The bios interface.
            #[versioned(since = $bios)]
            pub bios_interface: Option<String>,
            /// The boot interface.
            #[versioned(since = $dynamic)]
            pub boot_interface: Option<String>,
            /// The console interface.
            #[versioned(since = $dynamic)]
            pub console_interface: Option<String>,
            /// The deploy interface.
            #[versioned(since = $dynamic)]
            pub deploy_interface: Option<String>,
            /// The inspect interface.
            #[versioned(since = $dynamic)]
            pub inspect_interface: Option<String>,
            /// The management interface.
            #[versioned(since = $dynamic)]
            pub management_interface: Option<String>,
            /// The network interface.
            pub network_interface: Option<String>,
            /// The power interface.
            #[versioned(since = $dynamic)]
            pub power_interface: Option<String>,
            /// The raid interface.
            #[versioned(since = $dynamic)]
            pub raid_interface: Option<String>,
            /// The rescue interface.
            #[versioned(since = $rescue)]
            pub rescue_interface: Option<String>,
            /// The storage interface.
            #[versioned(since = $storage)]
            pub storage_interface: Option<String>,
            /// The vendor interface.
            #[versioned(since = $dynamic)]
            pub vendor_interface: Option<String>,
            /// The name.
            pub name: Option<String>,
            /// The project that owns it.
            #[versioned(since = $owner)]
            pub owner: Option<String>,
            /// The project it is lent to.
            #[versioned(since = $lessee)]
            pub lessee: Option<String>,
            /// `power on`, `power off`, ...
            pub power_state: Option<String>,
            /// Its hardware.
            pub properties: Option<FlexibleDict>,
            /// Whether it must not be undeployed.
            #[versioned(since = $protected)]
            pub protected: Option<bool>,
            /// Why it is protected.
            #[versioned(since = $protected)]
            pub protected_reason: Option<String>,
            /// `available`, `active`, ...
            pub provision_state: Option<String>,
            /// When its provision state last changed.
            pub provision_updated_at: Option<DateTime>,
            /// The class it is of.
            pub resource_class: Option<String>,
            /// Whether it is retired.
            #[versioned(since = $retired)]
            pub retired: Option<bool>,
            /// Why it is retired.
            #[versioned(since = $retired)]
            pub retired_reason: Option<String>,
            /// The power state it is brought to.
            pub target_power_state: Option<String>,
            /// The provision state it is brought to.
            pub target_provision_state: Option<String>,
            /// Its traits; `[]` when it has none.
            #[versioned(extra, since = $traits)]
            pub traits: Option<Vec<String>>,
            /// When it was last changed.
            pub updated_at: Option<DateTime>,
            /// The UUID.
            pub uuid: Uuid,
        }
    };
}

node_payload! {
    /// A node, in notifications about its maintenance and its console.
    NodePayload, "1.17" since {
        dynamic: "1.3", storage: "1.4", rescue: "1.5", traits: "1.6", fault: "1.7", bios: "1.8",
        deploy_step: "1.9", conductor_group: "1.10", protected: "1.11", owner: "1.12", description: "1.13",
        retired: "1.14", lessee: "1.15", boot_mode: "1.16", disable_power_off: "1.17"
    } {}
}

node_payload! {
    /// A node whose power state is being set.
    NodeSetPowerStatePayload, "1.17" since {
        dynamic: "1.3", storage: "1.4", rescue: "1.5", traits: "1.6", fault: "1.7", bios: "1.8",
        deploy_step: "1.9", conductor_group: "1.10", protected: "1.11", owner: "1.12", description: "1.13",
        retired: "1.14", lessee: "1.15", boot_mode: "1.16", disable_power_off: "1.17"
    } {
        /// The power state asked for.
        #[versioned(extra)]
        to_power: Option<String>,
    }
}

node_payload! {
    /// A node that was in another power state than ironic thought.
    NodeCorrectedPowerStatePayload, "1.17" since {
        dynamic: "1.3", storage: "1.4", rescue: "1.5", traits: "1.6", fault: "1.7", bios: "1.8",
        deploy_step: "1.9", conductor_group: "1.10", protected: "1.11", owner: "1.12", description: "1.13",
        retired: "1.14", lessee: "1.15", boot_mode: "1.16", disable_power_off: "1.17"
    } {
        /// The power state that ironic believed in.
        #[versioned(extra)]
        from_power: Option<String>,
    }
}

node_payload! {
    /// A node that goes from one provision state to another.
    NodeSetProvisionStatePayload, "1.18" since {
        dynamic: "1.3", storage: "1.4", rescue: "1.5", traits: "1.6", fault: "1.7", bios: "1.8",
        deploy_step: "1.9", conductor_group: "1.10", protected: "1.11", owner: "1.12", description: "1.13",
        retired: "1.14", lessee: "1.15", boot_mode: "1.17", disable_power_off: "1.18"
    } {
        /// The instance that is deployed on it.
        instance_info: Option<FlexibleDict>,
        /// Data that its driver keeps for itself.
        #[versioned(since = "1.16")]
        driver_internal_info: Option<FlexibleDict>,
        /// The event that moved it.
        #[versioned(extra)]
        event: Option<String>,
        /// The provision state it was in.
        #[versioned(extra)]
        previous_provision_state: Option<String>,
        /// The provision state it was brought to before.
        #[versioned(extra)]
        previous_target_provision_state: Option<String>,
    }, mask = mask::node_set_provision_state
}

node_payload! {
    /// A node that is created, changed or deleted.
    NodeCRUDPayload, "1.15" since {
        dynamic: "1.1", storage: "1.2", rescue: "1.3", traits: "1.4", fault: "1.5", bios: "1.6",
        deploy_step: "1.7", conductor_group: "1.8", protected: "1.9", owner: "1.10", description: "1.11",
        retired: "1.12", lessee: "1.13", boot_mode: "1.14", disable_power_off: "1.15"
    } {
        /// The chassis it stands in.
        #[versioned(extra)]
        chassis_uuid: Option<Uuid>,
        /// The instance that is deployed on it.
        instance_info: Option<FlexibleDict>,
        /// The access to its controller.
        driver_info: Option<FlexibleDict>,
    }, mask = mask::node_crud
}
