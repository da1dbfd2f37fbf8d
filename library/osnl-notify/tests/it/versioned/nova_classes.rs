//! The classes of nova 34 in the recordings of `captures/nova.json`, as nova's catalogue declares them.
mod instance_action;

pub(crate) use instance_action::InstanceActionPayload;

use std::net::IpAddr;

use osnl_notify::versioned::{DateTime, Dict, MacAddress, Uuid, VersionedObject};

pub(crate) struct InstanceCreateInstance {
    pub(crate) architecture: Option<String>,
    pub(crate) auto_disk_config: String,
    pub(crate) availability_zone: Option<String>,
    pub(crate) created_at: Option<DateTime>,
    pub(crate) deleted_at: Option<DateTime>,
    pub(crate) display_description: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) image_ref: Option<String>,
    pub(crate) kernel_id: Option<String>,
    pub(crate) key_name: Option<String>,
    pub(crate) launched_at: Option<DateTime>,
    pub(crate) locked: bool,
    pub(crate) metadata: Dict<String>,
    pub(crate) node: Option<String>,
    pub(crate) os_type: Option<String>,
    pub(crate) power_state: Option<String>,
    pub(crate) progress: Option<i64>,
    pub(crate) ramdisk_id: Option<String>,
    pub(crate) reservation_id: Option<String>,
    pub(crate) vm_state: Option<String>,
    pub(crate) task_state: Option<String>,
    pub(crate) project_id: Option<String>,
    pub(crate) terminated_at: Option<DateTime>,
    pub(crate) updated_at: Option<DateTime>,
    pub(crate) user_id: Option<String>,
    pub(crate) uuid: Uuid,
}

#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "nova", version = "1.13", schema_in_fingerprint, schema(instance: InstanceCreateInstance { architecture, auto_disk_config, availability_zone, created_at, deleted_at, display_description, display_name, host, host_name = hostname, image_uuid = image_ref, kernel_id, key_name, launched_at, locked, metadata, node, os_type, power_state, progress, ramdisk_id, reservation_id, state = vm_state, task_state, tenant_id = project_id, terminated_at, updated_at, user_id, uuid }))]
pub(crate) struct InstanceCreatePayload {
    pub(crate) keypairs: Vec<KeypairPayload>,
    pub(crate) tags: Vec<String>,
    pub(crate) trusted_image_certificates: Option<Vec<String>>,
    pub(crate) instance_name: Option<String>,
    pub(crate) fault: Option<ExceptionPayload>,
    pub(crate) request_id: Option<String>,
    pub(crate) uuid: Uuid,
    pub(crate) user_id: Option<String>,
    pub(crate) tenant_id: Option<String>,
    pub(crate) reservation_id: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) display_description: Option<String>,
    pub(crate) host_name: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) node: Option<String>,
    pub(crate) os_type: Option<String>,
    pub(crate) architecture: Option<String>,
    pub(crate) availability_zone: Option<String>,
    pub(crate) flavor: FlavorPayload,
    pub(crate) image_uuid: Option<String>,
    pub(crate) key_name: Option<String>,
    pub(crate) kernel_id: Option<String>,
    pub(crate) ramdisk_id: Option<String>,
    pub(crate) created_at: Option<DateTime>,
    pub(crate) launched_at: Option<DateTime>,
    pub(crate) terminated_at: Option<DateTime>,
    pub(crate) deleted_at: Option<DateTime>,
    pub(crate) updated_at: Option<DateTime>,
    #[versioned(
        kind = "InstanceState",
        values(
            "active",
            "building",
            "paused",
            "suspended",
            "stopped",
            "rescued",
            "resized",
            "soft-delete",
            "deleted",
            "error",
            "shelved",
            "shelved_offloaded"
        )
    )]
    pub(crate) state: Option<String>,
    #[versioned(
        kind = "InstancePowerState",
        values("pending", "running", "_unused", "paused", "shutdown", "_unused", "crashed", "suspended")
    )]
    pub(crate) power_state: Option<String>,
    #[versioned(
        kind = "InstanceTaskState",
        values(
            "scheduling",
            "block_device_mapping",
            "networking",
            "spawning",
            "image_snapshot",
            "image_snapshot_pending",
            "image_pending_upload",
            "image_uploading",
            "image_backup",
            "updating_password",
            "resize_prep",
            "resize_migrating",
            "resize_migrated",
            "resize_finish",
            "resize_reverting",
            "resize_confirming",
            "rebooting",
            "reboot_pending",
            "reboot_started",
            "rebooting_hard",
            "reboot_pending_hard",
            "reboot_started_hard",
            "pausing",
            "unpausing",
            "suspending",
            "resuming",
            "powering-off",
            "powering-on",
            "rescuing",
            "unrescuing",
            "rebuilding",
            "rebuild_block_device_mapping",
            "rebuild_spawning",
            "migrating",
            "deleting",
            "soft-deleting",
            "restoring",
            "shelving",
            "shelving_image_pending_upload",
            "shelving_image_uploading",
            "shelving_offloading",
            "unshelving"
        )
    )]
    pub(crate) task_state: Option<String>,
    pub(crate) progress: Option<i64>,
    pub(crate) ip_addresses: Vec<IpPayload>,
    pub(crate) block_devices: Option<Vec<BlockDevicePayload>>,
    pub(crate) metadata: Dict<String>,
    pub(crate) locked: bool,
    #[versioned(kind = "DiskConfig", values("MANUAL", "AUTO"))]
    pub(crate) auto_disk_config: String,
    pub(crate) action_initiator_user: Option<String>,
    pub(crate) action_initiator_project: Option<String>,
    pub(crate) locked_reason: Option<String>,
    pub(crate) shares: Option<Vec<SharePayload>>,
}

impl InstanceCreatePayload {
    pub(crate) fn repopulated(&self) -> Self {
        let instance = InstanceCreateInstance {
            architecture: self.architecture.clone(),
            auto_disk_config: self.auto_disk_config.clone(),
            availability_zone: self.availability_zone.clone(),
            created_at: self.created_at.clone(),
            deleted_at: self.deleted_at.clone(),
            display_description: self.display_description.clone(),
            display_name: self.display_name.clone(),
            host: self.host.clone(),
            hostname: self.host_name.clone(),
            image_ref: self.image_uuid.clone(),
            kernel_id: self.kernel_id.clone(),
            key_name: self.key_name.clone(),
            launched_at: self.launched_at.clone(),
            locked: self.locked,
            metadata: self.metadata.clone(),
            node: self.node.clone(),
            os_type: self.os_type.clone(),
            power_state: self.power_state.clone(),
            progress: self.progress,
            ramdisk_id: self.ramdisk_id.clone(),
            reservation_id: self.reservation_id.clone(),
            vm_state: self.state.clone(),
            task_state: self.task_state.clone(),
            project_id: self.tenant_id.clone(),
            terminated_at: self.terminated_at.clone(),
            updated_at: self.updated_at.clone(),
            user_id: self.user_id.clone(),
            uuid: self.uuid.clone(),
        };
        let extra = InstanceCreatePayloadExtra {
            keypairs: self.keypairs.clone(),
            tags: self.tags.clone(),
            trusted_image_certificates: self.trusted_image_certificates.clone(),
            instance_name: self.instance_name.clone(),
            fault: self.fault.clone(),
            request_id: self.request_id.clone(),
            flavor: self.flavor.clone(),
            ip_addresses: self.ip_addresses.clone(),
            block_devices: self.block_devices.clone(),
            action_initiator_user: self.action_initiator_user.clone(),
            action_initiator_project: self.action_initiator_project.clone(),
            locked_reason: self.locked_reason.clone(),
            shares: self.shares.clone(),
        };
        Self::populate(&instance, extra)
    }
}

pub(crate) struct FlavorFlavor {
    pub(crate) description: Option<String>,
    pub(crate) disabled: bool,
    pub(crate) ephemeral_gb: Option<i64>,
    pub(crate) extra_specs: Option<Dict<String>>,
    pub(crate) flavorid: Option<String>,
    pub(crate) is_public: bool,
    pub(crate) memory_mb: Option<i64>,
    pub(crate) name: String,
    pub(crate) projects: Option<Vec<String>>,
    pub(crate) root_gb: Option<i64>,
    pub(crate) rxtx_factor: Option<f64>,
    pub(crate) swap: i64,
    pub(crate) vcpu_weight: Option<i64>,
    pub(crate) vcpus: Option<i64>,
}

#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "nova", version = "1.4", schema_in_fingerprint, schema(flavor: FlavorFlavor { description, disabled, ephemeral_gb, extra_specs, flavorid, is_public, memory_mb, name, projects, root_gb, rxtx_factor, swap, vcpu_weight, vcpus }))]
pub(crate) struct FlavorPayload {
    pub(crate) flavorid: Option<String>,
    pub(crate) memory_mb: Option<i64>,
    pub(crate) vcpus: Option<i64>,
    pub(crate) root_gb: Option<i64>,
    pub(crate) ephemeral_gb: Option<i64>,
    pub(crate) name: String,
    pub(crate) swap: i64,
    pub(crate) rxtx_factor: Option<f64>,
    pub(crate) vcpu_weight: Option<i64>,
    pub(crate) disabled: bool,
    pub(crate) is_public: bool,
    pub(crate) extra_specs: Option<Dict<String>>,
    pub(crate) projects: Option<Vec<String>>,
    pub(crate) description: Option<String>,
}

impl FlavorPayload {
    pub(crate) fn repopulated(&self) -> Self {
        let flavor = FlavorFlavor {
            description: self.description.clone(),
            disabled: self.disabled,
            ephemeral_gb: self.ephemeral_gb,
            extra_specs: self.extra_specs.clone(),
            flavorid: self.flavorid.clone(),
            is_public: self.is_public,
            memory_mb: self.memory_mb,
            name: self.name.clone(),
            projects: self.projects.clone(),
            root_gb: self.root_gb,
            rxtx_factor: self.rxtx_factor,
            swap: self.swap,
            vcpu_weight: self.vcpu_weight,
            vcpus: self.vcpus,
        };
        Self::populate(&flavor)
    }
}

#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "nova", version = "1.0", schema_in_fingerprint)]
pub(crate) struct IpPayload {
    pub(crate) label: String,
    pub(crate) mac: MacAddress,
    pub(crate) meta: Dict<String>,
    pub(crate) port_uuid: Option<Uuid>,
    pub(crate) version: i64,
    pub(crate) address: IpAddr,
    pub(crate) device_name: Option<String>,
}

pub(crate) struct KeypairKeypair {
    pub(crate) fingerprint: Option<String>,
    pub(crate) name: String,
    pub(crate) public_key: Option<String>,
    pub(crate) r#type: String,
    pub(crate) user_id: Option<String>,
}

#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "nova", version = "1.0", schema_in_fingerprint, schema(keypair: KeypairKeypair { fingerprint, name, public_key, r#type, user_id }))]
pub(crate) struct KeypairPayload {
    pub(crate) user_id: Option<String>,
    pub(crate) name: String,
    pub(crate) fingerprint: Option<String>,
    pub(crate) public_key: Option<String>,
    pub(crate) r#type: String,
}

impl KeypairPayload {
    pub(crate) fn repopulated(&self) -> Self {
        let keypair = KeypairKeypair {
            fingerprint: self.fingerprint.clone(),
            name: self.name.clone(),
            public_key: self.public_key.clone(),
            r#type: self.r#type.clone(),
            user_id: self.user_id.clone(),
        };
        Self::populate(&keypair)
    }
}

#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "nova", version = "1.1", schema_in_fingerprint)]
pub(crate) struct ExceptionPayload {
    pub(crate) module_name: String,
    pub(crate) function_name: String,
    pub(crate) exception: String,
    pub(crate) exception_message: String,
    pub(crate) traceback: String,
}

pub(crate) struct BlockDeviceBdm {
    pub(crate) boot_index: Option<i64>,
    pub(crate) delete_on_termination: bool,
    pub(crate) device_name: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) volume_id: Uuid,
}

#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "nova", version = "1.0", schema_in_fingerprint, schema(bdm: BlockDeviceBdm { boot_index, delete_on_termination, device_name, tag, volume_id }))]
pub(crate) struct BlockDevicePayload {
    pub(crate) device_name: Option<String>,
    pub(crate) boot_index: Option<i64>,
    #[versioned(default = false)]
    pub(crate) delete_on_termination: bool,
    pub(crate) volume_id: Uuid,
    pub(crate) tag: Option<String>,
}

impl BlockDevicePayload {
    pub(crate) fn repopulated(&self) -> Self {
        let bdm = BlockDeviceBdm {
            boot_index: self.boot_index,
            delete_on_termination: self.delete_on_termination,
            device_name: self.device_name.clone(),
            tag: self.tag.clone(),
            volume_id: self.volume_id.clone(),
        };
        Self::populate(&bdm)
    }
}

pub(crate) struct ShareShare {
    pub(crate) share_id: Uuid,
    pub(crate) uuid: Uuid,
    pub(crate) status: String,
    pub(crate) tag: String,
}

#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "nova", version = "1.0", schema_in_fingerprint, schema(share: ShareShare { share_id, share_mapping_uuid = uuid, status, tag }))]
pub(crate) struct SharePayload {
    pub(crate) share_mapping_uuid: Uuid,
    pub(crate) share_id: Uuid,
    pub(crate) status: String,
    pub(crate) tag: String,
}

impl SharePayload {
    pub(crate) fn repopulated(&self) -> Self {
        let share = ShareShare {
            share_id: self.share_id.clone(),
            uuid: self.share_mapping_uuid.clone(),
            status: self.status.clone(),
            tag: self.tag.clone(),
        };
        Self::populate(&share)
    }
}
