//! ironic's notifications, ready for use by a service in Rust: `baremetal.<object>.<action>.<status>`.
//!
//! Every notification of ironic 39: of nodes ([`NodeCRUDNotification`], [`NodeMaintenanceNotification`],
//! [`NodeSetPowerStateNotification`], [`NodeCorrectedPowerStateNotification`],
//! [`NodeSetProvisionStateNotification`], [`NodeConsoleNotification`]), and of ports, port groups, chassis,
//! allocations, volume connectors and targets, deploy templates, runbooks and inspection rules. Payloads are
//! populated from [`Node`], [`Port`] and so on, which a service fills with its data; secrets are masked
//! before emission.
//!
//! ironic corrects the power state of a node with one notification:
//!
//! ```
//! use osnl_notify::versioned::ironic::{
//!     EventType, Node, NodeCorrectedPowerStateNotification, NodeCorrectedPowerStatePayload,
//!     NodeCorrectedPowerStatePayloadExtra, NotificationPublisher, NotificationStatus, action,
//! };
//! use osnl_notify::versioned::{Context, Level, Outlet, Recorder, Threshold, VersionedNotification};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sent = Recorder::new(); // a real service takes a Notifier, which talks to the broker
//! let outlet = Outlet::new(sent.clone(), Threshold::from_option(Some("info"))?);
//! let node = Node {
//!     uuid: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123".into(),
//!     power_state: Some("power off".to_owned()),
//!     ..Node::default()
//! };
//!
//! let extra = NodeCorrectedPowerStatePayloadExtra { from_power: Some("power on".to_owned()), traits: Some(vec![]) };
//! NodeCorrectedPowerStateNotification::new(
//!     NodeCorrectedPowerStatePayload::populate(&node, extra),
//!     EventType::new("node", action::POWER_STATE_CORRECTED, NotificationStatus::Success),
//!     NotificationPublisher::new("ironic-conductor", "hostname01"),
//!     Level::Info,
//! )
//! .emit(&outlet, &Context::default());
//!
//! let event_type = sent.take()[0].event_type.clone();
//! assert_eq!(event_type.as_deref(), Some("baremetal.node.power_state_corrected.success"));
//! # Ok(())
//! # }
//! ```
//!
//! Setting a power state takes a while, and may fail: [`Operation`] emits `start`, then `end` or `error`.

#![expect(missing_docs, reason = "a field without a line has the name and meaning of ironic's key")]

mod allocation;
mod chassis;
mod inspection;
mod mask;
mod node;
mod operation;
mod port;
mod template;
mod volume;

pub use allocation::{Allocation, AllocationCRUDPayload, AllocationCRUDPayloadExtra};
pub use chassis::{Chassis, ChassisCRUDPayload};
pub use inspection::{InspectionRule, InspectionRuleCRUDPayload};
pub use node::{
    Node, NodeCRUDPayload, NodeCRUDPayloadExtra, NodeCorrectedPowerStatePayload,
    NodeCorrectedPowerStatePayloadExtra, NodePayload, NodePayloadExtra, NodeSetPowerStatePayload,
    NodeSetPowerStatePayloadExtra, NodeSetProvisionStatePayload, NodeSetProvisionStatePayloadExtra,
};
pub use operation::Operation;
pub use port::{
    Port, PortCRUDPayload, PortCRUDPayloadExtra, Portgroup, PortgroupCRUDPayload, PortgroupCRUDPayloadExtra,
};
pub use template::{DeployTemplate, DeployTemplateCRUDPayload, Runbook, RunbookCRUDPayload};
pub use volume::{
    VolumeConnector, VolumeConnectorCRUDPayload, VolumeConnectorCRUDPayloadExtra, VolumeTarget,
    VolumeTargetCRUDPayload, VolumeTargetCRUDPayloadExtra,
};

use osnl_derive::{VersionedEnum, VersionedNotification, VersionedObject};

use super::{EventTypeText, Level, ObjectInfo, PublisherText, VersionedEnum as _, VersionedObject as _};
use crate::versioned;

/// The actions on an object, by ironic's names. Any other string is allowed too.
pub mod action {
    pub const CREATE: &str = "create";
    pub const UPDATE: &str = "update";
    pub const DELETE: &str = "delete";
    pub const MAINTENANCE_SET: &str = "maintenance_set";
    pub const POWER_SET: &str = "power_set";
    pub const POWER_STATE_CORRECTED: &str = "power_state_corrected";
    pub const PROVISION_SET: &str = "provision_set";
    pub const CONSOLE_SET: &str = "console_set";
    pub const CONSOLE_RESTORE: &str = "console_restore";
}

/// The status of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VersionedEnum)]
pub enum NotificationStatus {
    /// The start of an action that takes a while.
    Start,
    /// The end of an action that takes a while.
    End,
    /// The failure of an action.
    Error,
    /// An immediate action is done.
    Success,
}

/// The event type in the form `baremetal.<object>.<action>.<status>`.
#[derive(Clone, PartialEq, Eq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.1", timestamps)]
pub struct EventType {
    /// The class in lower case, such as `node` or `port`. Any string; dots are not escaped.
    pub object: String,
    /// Such as `power_set`. Any string; dots are not escaped.
    pub action: String,
    pub status: NotificationStatus,
}

impl EventType {
    /// Makes an event type of its parts.
    pub fn new(object: impl Into<String>, action: impl Into<String>, status: NotificationStatus) -> Self {
        Self { object: object.into(), action: action.into(), status }
    }
}

impl EventTypeText for EventType {
    fn event_type(&self) -> String {
        format!("baremetal.{}.{}.{}", self.object, self.action, self.status.as_str())
    }
}

/// The publisher in the form `<service>.<host>`.
#[derive(Clone, PartialEq, Eq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.0", timestamps)]
pub struct NotificationPublisher {
    /// `ironic-conductor` or `ironic-api`, for example.
    pub service: String,
    /// The option `host` of ironic.
    pub host: String,
}

impl NotificationPublisher {
    /// Makes a publisher of its parts.
    pub fn new(service: impl Into<String>, host: impl Into<String>) -> Self {
        Self { service: service.into(), host: host.into() }
    }
}

impl PublisherText for NotificationPublisher {
    fn publisher_id(&self) -> String {
        format!("{}.{}", self.service, self.host)
    }
}

/// A notification of ironic's form, which [`Operation`] can make.
pub trait IronicNotification: versioned::VersionedNotification<Level = Level> {
    /// The object in the event type, such as `node`.
    const OBJECT: &'static str;

    /// Makes the notification of its four parts.
    fn from_parts(
        payload: Self::Payload,
        event: EventType,
        publisher: NotificationPublisher,
        level: Level,
    ) -> Self;
}

macro_rules! notifications {
    ($($(#[$doc:meta])* $name:ident($payload:ident) of $object:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, PartialEq, VersionedNotification)]
            #[versioned(namespace = "ironic", version = "1.0", timestamps)]
            pub struct $name {
                pub payload: $payload,
                pub level: Level,
                pub event_type: EventType,
                pub publisher: NotificationPublisher,
            }

            impl IronicNotification for $name {
                const OBJECT: &'static str = $object;

                fn from_parts(payload: $payload, event: EventType, publisher: NotificationPublisher, level: Level) -> Self {
                    Self::new(payload, event, publisher, level)
                }
            }
        )*

        /// Every class of ironic's notifications: notifications, payloads, event type and publisher.
        pub const CLASSES: &[&ObjectInfo] = &[
            EventType::INFO,
            NotificationPublisher::INFO,
            NodePayload::INFO,
            $($name::INFO,)*
            AllocationCRUDPayload::INFO,
            ChassisCRUDPayload::INFO,
            DeployTemplateCRUDPayload::INFO,
            InspectionRuleCRUDPayload::INFO,
            NodeCRUDPayload::INFO,
            NodeCorrectedPowerStatePayload::INFO,
            NodeSetPowerStatePayload::INFO,
            NodeSetProvisionStatePayload::INFO,
            PortCRUDPayload::INFO,
            PortgroupCRUDPayload::INFO,
            RunbookCRUDPayload::INFO,
            VolumeConnectorCRUDPayload::INFO,
            VolumeTargetCRUDPayload::INFO,
        ];
    };
}

notifications! {
    /// An allocation is created, changed or deleted.
    AllocationCRUDNotification(AllocationCRUDPayload) of "allocation";
    /// A chassis is created, changed or deleted.
    ChassisCRUDNotification(ChassisCRUDPayload) of "chassis";
    /// A deploy template is created, changed or deleted.
    DeployTemplateCRUDNotification(DeployTemplateCRUDPayload) of "deploytemplate";
    /// An inspection rule is created, changed or deleted.
    InspectionRuleCRUDNotification(InspectionRuleCRUDPayload) of "inspectionrule";
    /// A node is created, changed or deleted.
    NodeCRUDNotification(NodeCRUDPayload) of "node";
    /// A node's console is switched on or off, or restored.
    NodeConsoleNotification(NodePayload) of "node";
    /// A node's power state differs from ironic's record.
    NodeCorrectedPowerStateNotification(NodeCorrectedPowerStatePayload) of "node";
    /// A node's maintenance begins or ends.
    NodeMaintenanceNotification(NodePayload) of "node";
    /// A node's power state is set.
    NodeSetPowerStateNotification(NodeSetPowerStatePayload) of "node";
    /// A node changes its provision state.
    NodeSetProvisionStateNotification(NodeSetProvisionStatePayload) of "node";
    /// A port is created, changed or deleted.
    PortCRUDNotification(PortCRUDPayload) of "port";
    /// A port group is created, changed or deleted.
    PortgroupCRUDNotification(PortgroupCRUDPayload) of "portgroup";
    /// A runbook is created, changed or deleted.
    RunbookCRUDNotification(RunbookCRUDPayload) of "runbook";
    /// A volume connector is created, changed or deleted.
    VolumeConnectorCRUDNotification(VolumeConnectorCRUDPayload) of "volumeconnector";
    /// A volume target is created, changed or deleted.
    VolumeTargetCRUDNotification(VolumeTargetCRUDPayload) of "volumetarget";
}
