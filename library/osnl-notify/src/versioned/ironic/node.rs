//! Nodes of ironic, and the payloads about them.

use std::fmt;

use osnl_derive::VersionedObject;

use super::mask;
use crate::versioned::{DateTime, FlexibleDict, Uuid};

/// A node of ironic: the source of the payloads.
#[derive(Clone, Default, PartialEq)]
pub struct Node {
    /// The instance on the node; its secrets are masked before sending.
    pub instance_info: Option<FlexibleDict>,
    /// The access to the node's controller; its secrets are masked before sending.
    pub driver_info: Option<FlexibleDict>,
    /// Internal data of the driver; its secrets are masked before sending.
    pub driver_internal_info: Option<FlexibleDict>,
    /// The running cleaning step; `{}` if there is none.
    pub clean_step: Option<FlexibleDict>,
    pub conductor_group: Option<String>,
    pub console_enabled: Option<bool>,
    pub created_at: Option<DateTime>,
    /// The running deploy step; `{}` if there is none.
    pub deploy_step: Option<FlexibleDict>,
    pub description: Option<String>,
    pub disable_power_off: Option<bool>,
    pub driver: Option<String>,
    pub extra: Option<FlexibleDict>,
    /// The boot mode, `bios` or `uefi`.
    pub boot_mode: Option<String>,
    pub secure_boot: Option<bool>,
    pub inspection_finished_at: Option<DateTime>,
    pub inspection_started_at: Option<DateTime>,
    pub instance_uuid: Option<Uuid>,
    pub last_error: Option<String>,
    pub maintenance: Option<bool>,
    pub maintenance_reason: Option<String>,
    /// The fault that ironic found itself.
    pub fault: Option<String>,
    pub bios_interface: Option<String>,
    pub boot_interface: Option<String>,
    pub console_interface: Option<String>,
    pub deploy_interface: Option<String>,
    pub inspect_interface: Option<String>,
    pub management_interface: Option<String>,
    pub network_interface: Option<String>,
    pub power_interface: Option<String>,
    pub raid_interface: Option<String>,
    pub rescue_interface: Option<String>,
    pub storage_interface: Option<String>,
    pub vendor_interface: Option<String>,
    pub name: Option<String>,
    pub owner: Option<String>,
    /// The project that may use the node.
    pub lessee: Option<String>,
    /// Such as `power on` or `power off`.
    pub power_state: Option<String>,
    pub properties: Option<FlexibleDict>,
    pub protected: Option<bool>,
    pub protected_reason: Option<String>,
    /// Such as `available` or `active`.
    pub provision_state: Option<String>,
    pub provision_updated_at: Option<DateTime>,
    pub resource_class: Option<String>,
    pub retired: Option<bool>,
    pub retired_reason: Option<String>,
    pub target_power_state: Option<String>,
    pub target_provision_state: Option<String>,
    pub updated_at: Option<DateTime>,
    pub uuid: Uuid,
}

/// Shows the node as the payload of its creation does, with secrets masked.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extra = NodeCRUDPayloadExtra { chassis_uuid: None, traits: None };
        NodeCRUDPayload::populate(self, extra).fmt(f)
    }
}

/// A payload of a node: fields of its own, then the common fields. (A struct cannot inherit, and the order of
/// the fields is that of the wire.) `since` has the payload's version for each common field.
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
            /// The running cleaning step; `{}` if there is none.
            pub clean_step: Option<FlexibleDict>,
            #[versioned(since = $conductor_group)]
            pub conductor_group: Option<String>,
            pub console_enabled: Option<bool>,
            pub created_at: Option<DateTime>,
            /// The running deploy step; `{}` if there is none.
            #[versioned(since = $deploy_step)]
            pub deploy_step: Option<FlexibleDict>,
            #[versioned(since = $description)]
            pub description: Option<String>,
            #[versioned(since = $disable_power_off)]
            pub disable_power_off: Option<bool>,
            pub driver: Option<String>,
            pub extra: Option<FlexibleDict>,
            /// The boot mode, `bios` or `uefi`.
            #[versioned(since = $boot_mode)]
            pub boot_mode: Option<String>,
            #[versioned(since = $boot_mode)]
            pub secure_boot: Option<bool>,
            pub inspection_finished_at: Option<DateTime>,
            pub inspection_started_at: Option<DateTime>,
            pub instance_uuid: Option<Uuid>,
            pub last_error: Option<String>,
            pub maintenance: Option<bool>,
            pub maintenance_reason: Option<String>,
            /// The fault that ironic found itself.
            #[versioned(since = $fault)]
            pub fault: Option<String>,
            #[versioned(since = $bios)]
            pub bios_interface: Option<String>,
            #[versioned(since = $dynamic)]
            pub boot_interface: Option<String>,
            #[versioned(since = $dynamic)]
            pub console_interface: Option<String>,
            #[versioned(since = $dynamic)]
            pub deploy_interface: Option<String>,
            #[versioned(since = $dynamic)]
            pub inspect_interface: Option<String>,
            #[versioned(since = $dynamic)]
            pub management_interface: Option<String>,
            pub network_interface: Option<String>,
            #[versioned(since = $dynamic)]
            pub power_interface: Option<String>,
            #[versioned(since = $dynamic)]
            pub raid_interface: Option<String>,
            #[versioned(since = $rescue)]
            pub rescue_interface: Option<String>,
            #[versioned(since = $storage)]
            pub storage_interface: Option<String>,
            #[versioned(since = $dynamic)]
            pub vendor_interface: Option<String>,
            pub name: Option<String>,
            #[versioned(since = $owner)]
            pub owner: Option<String>,
            /// The project that may use the node.
            #[versioned(since = $lessee)]
            pub lessee: Option<String>,
            /// Such as `power on` or `power off`.
            pub power_state: Option<String>,
            pub properties: Option<FlexibleDict>,
            #[versioned(since = $protected)]
            pub protected: Option<bool>,
            #[versioned(since = $protected)]
            pub protected_reason: Option<String>,
            /// Such as `available` or `active`.
            pub provision_state: Option<String>,
            pub provision_updated_at: Option<DateTime>,
            pub resource_class: Option<String>,
            #[versioned(since = $retired)]
            pub retired: Option<bool>,
            #[versioned(since = $retired)]
            pub retired_reason: Option<String>,
            pub target_power_state: Option<String>,
            pub target_provision_state: Option<String>,
            /// The node's traits; `[]` if there are none.
            #[versioned(extra, since = $traits)]
            pub traits: Option<Vec<String>>,
            pub updated_at: Option<DateTime>,
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
        #[versioned(extra)]
        to_power: Option<String>,
    }
}

node_payload! {
    /// A node whose power state differs from ironic's record.
    NodeCorrectedPowerStatePayload, "1.17" since {
        dynamic: "1.3", storage: "1.4", rescue: "1.5", traits: "1.6", fault: "1.7", bios: "1.8",
        deploy_step: "1.9", conductor_group: "1.10", protected: "1.11", owner: "1.12", description: "1.13",
        retired: "1.14", lessee: "1.15", boot_mode: "1.16", disable_power_off: "1.17"
    } {
        /// The power state that ironic had recorded.
        #[versioned(extra)]
        from_power: Option<String>,
    }
}

node_payload! {
    /// A node that changes its provision state.
    NodeSetProvisionStatePayload, "1.18" since {
        dynamic: "1.3", storage: "1.4", rescue: "1.5", traits: "1.6", fault: "1.7", bios: "1.8",
        deploy_step: "1.9", conductor_group: "1.10", protected: "1.11", owner: "1.12", description: "1.13",
        retired: "1.14", lessee: "1.15", boot_mode: "1.17", disable_power_off: "1.18"
    } {
        instance_info: Option<FlexibleDict>,
        #[versioned(since = "1.16")]
        driver_internal_info: Option<FlexibleDict>,
        /// The event that caused the change.
        #[versioned(extra)]
        event: Option<String>,
        /// The provision state before the change.
        #[versioned(extra)]
        previous_provision_state: Option<String>,
        /// The target provision state before the change.
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
        #[versioned(extra)]
        chassis_uuid: Option<Uuid>,
        instance_info: Option<FlexibleDict>,
        driver_info: Option<FlexibleDict>,
    }, mask = mask::node_crud
}
