//! A pattern of recorded events of the same service, or a class, describes each. Words in braces are alternatives;
//! `~` is the event's own first word.

/// Service, events, and their description: a class, or `begin*end` of recorded events.
pub(super) const MORE: [(&str, &str, &str); 33] = [
    ("ironic", "baremetal.node.{create,update,delete}.{start,end,error}", "NodeCRUDPayload"),
    (
        "ironic",
        "baremetal.node.{maintenance_set,console_set,console_restore}.{start,end,error}",
        "NodePayload",
    ),
    ("ironic", "baremetal.node.power_set.{start,end,error}", "NodeSetPowerStatePayload"),
    ("ironic", "baremetal.node.power_state_corrected.success", "NodeCorrectedPowerStatePayload"),
    ("ironic", "baremetal.node.provision_set.{start,end,success,error}", "NodeSetProvisionStatePayload"),
    ("ironic", "baremetal.port.{create,update,delete}.{start,end,error}", "PortCRUDPayload"),
    ("ironic", "baremetal.portgroup.{create,update,delete}.{start,end,error}", "PortgroupCRUDPayload"),
    ("ironic", "baremetal.chassis.{create,update,delete}.{start,end,error}", "ChassisCRUDPayload"),
    (
        "ironic",
        "baremetal.volumeconnector.{create,update,delete}.{start,end,error}",
        "VolumeConnectorCRUDPayload",
    ),
    ("ironic", "baremetal.volumetarget.{create,update,delete}.{start,end,error}", "VolumeTargetCRUDPayload"),
    ("ironic", "baremetal.allocation.{create,update,delete}.{start,end,error}", "AllocationCRUDPayload"),
    (
        "ironic",
        "baremetal.deploytemplate.{create,update,delete}.{start,end,error}",
        "DeployTemplateCRUDPayload",
    ),
    ("ironic", "baremetal.runbook.{create,update,delete}.{start,end,error}", "RunbookCRUDPayload"),
    (
        "ironic",
        "baremetal.inspectionrule.{create,update,delete}.{start,end,error}",
        "InspectionRuleCRUDPayload",
    ),
    ("masakari", "segment.{create,update,delete}.{start,end,error}", "SegmentApiPayload"),
    ("masakari", "host.{create,update,delete}.{start,end,error}", "HostApiPayload"),
    ("masakari", "notification.{create,process}.{start,end,error}", "NotificationApiPayload"),
    (
        "nova",
        "compute.instance.{create,delete,soft_delete,restore,power_on,power_off,pause,unpause,suspend,resume,reboot,\
         rebuild,rescue,unrescue,resize,shelve,shelve_offload,unshelve,shutdown,snapshot,trigger_crash_dump,\
         finish_resize,create_ip,delete_ip,evacuate}.{start,end}",
        "compute.instance.*end",
    ),
    (
        "nova",
        "compute.instance.{create,delete,resize,reboot,rebuild,finish_resize,unshelve}.error",
        "compute.instance.*error",
    ),
    ("nova", "compute.instance.evacuate", "compute.instance.*exists"),
    (
        "keystone",
        "identity.{user,project,group,role,domain,region,endpoint,service,policy,credential}.{created,updated,deleted}",
        "identity.*ed",
    ),
    ("keystone", "identity.{user,project,domain}.disabled", "identity.*updated"),
    ("keystone", "identity.OS-TRUST:trust.{created,deleted}", "identity.*ed"),
    (
        "keystone",
        "identity.OS-OAUTH1:{consumer,access_token,request_token}.{created,updated,deleted}",
        "identity.*ed",
    ),
    ("glance", "image.{activate,deactivate,reactivate}", "image.*update"),
    ("glance", "task.{run,success}", "task.*processing"),
    ("cinder", "snapshot.{create,delete,update,revert,reset_status}.{start,end}", "snapshot.*end"),
    ("cinder", "group.{create,delete,update}.{start,end}", "group.*end"),
    ("cinder", "group_snapshot.{create,delete,reset}.{start,end}", "group_snapshot.*end"),
    ("cinder", "qos_specs.{update,delete,disassociate,disassociate_all}", "qos_specs.*"),
    (
        "heat",
        "orchestration.stack.{create,update,delete,suspend,resume,check}.{start,end,error}",
        "orchestration.stack.*",
    ),
    ("manila", "share.{create,delete,extend,shrink}.{start,end}", "share.*end"),
    (
        "neutron",
        "{network,subnet,subnetpool,router,security_group,policy,trunk,address_group,rbac_policy,port,floatingip}.exists",
        "~.*end",
    ),
];

pub(super) const SINCE: [(&str, &str, &str); 5] = [
    ("neutron", "port/project_id", "neutron 9.0.0 (Newton)"),
    ("neutron", "floatingip/project_id", "neutron 9.0.0 (Newton)"),
    ("neutron", "network/project_id", "neutron 9.0.0 (Newton)"),
    ("neutron", "floatingip/port_details", "neutron 13.0.0 (Rocky), where its extension is loaded"),
    ("neutron", "port.delete.end port", "neutron 9.0.0 (Newton); by the second API path 12.0.0 (Queens)"),
];

pub(super) fn expand(pattern: &str) -> Vec<String> {
    let Some((before, (inside, after))) =
        pattern.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return vec![pattern.to_owned()];
    };
    let after = expand(after);
    inside
        .split(',')
        .flat_map(|word| after.iter().map(move |after| format!("{before}{}{after}", word.trim())))
        .collect()
}
