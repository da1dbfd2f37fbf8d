const PAIRS: [(&str, &str); 20] = [
    ("compute.instance.resize.confirm", "instance.resize_confirm"),
    ("compute.instance.resize.revert", "instance.resize_revert"),
    ("compute.instance.resize.prep", "instance.resize_prep"),
    ("compute.instance.finish_resize", "instance.resize_finish"),
    ("compute.instance.rebuild.scheduled", "instance.rebuild_scheduled"),
    ("compute.instance.live_migration.pre", "instance.live_migration_pre"),
    ("compute.instance.live_migration._post", "instance.live_migration_post"),
    ("compute.instance.live_migration.post.dest", "instance.live_migration_post_dest"),
    ("compute.instance.live_migration._rollback", "instance.live_migration_rollback"),
    ("compute.instance.live_migration.rollback.dest", "instance.live_migration_rollback_dest"),
    ("compute.instance.live.migration.abort", "instance.live_migration_abort"),
    ("compute.instance.live.migration.force.complete", "instance.live_migration_force_complete"),
    ("aggregate.addhost", "aggregate.add_host"),
    ("aggregate.removehost", "aggregate.remove_host"),
    ("aggregate.updatemetadata", "aggregate.update_metadata"),
    ("aggregate.updateprop", "aggregate.update_prop"),
    ("servergroup.create", "server_group.create"),
    ("servergroup.delete", "server_group.delete"),
    ("servergroup.addmember", "server_group.add_member"),
    ("compute.metrics.update", "metrics.update"),
];

/// Actions with one message in the legacy form, after the fact, and two messages in the versioned
/// form.
const WHOLE: [(&str, &str); 6] = [
    ("compute.instance.volume.attach", "instance.volume_attach.end"),
    ("compute.instance.volume.detach", "instance.volume_detach.end"),
    ("compute.libvirt.error", "libvirt.connect.error"),
    ("compute_task.build_instances", "compute_task.build_instances.error"),
    ("compute_task.migrate_server", "compute_task.migrate_server.error"),
    ("compute_task.rebuild_server", "compute_task.rebuild_server.error"),
];

const LEGACY_ONLY: [&str; 2] = ["create_ip", "delete_ip"];
const VERSIONED_ONLY: [&str; 7] =
    ["lock", "unlock", "interface_attach", "interface_detach", "volume_swap", "share_attach", "share_detach"];
const SAME: [&str; 5] =
    ["aggregate.create.", "aggregate.delete.", "keypair.", "scheduler.select_destinations.", "volume.usage"];

/// Returns the versioned name of a legacy event type:
///
/// ```
/// use osnl_model::nova::versioned_name;
///
/// assert_eq!(versioned_name("compute.instance.finish_resize.end").as_deref(), Some("instance.resize_finish.end"));
/// assert_eq!(versioned_name("compute.instance.create_ip.end"), None);
/// ```
#[must_use]
pub fn versioned_name(legacy: &str) -> Option<String> {
    if let Some((_, versioned)) = WHOLE.iter().find(|(name, _)| *name == legacy) {
        return Some((*versioned).to_owned());
    }
    if SAME.iter().any(|name| legacy.starts_with(name)) {
        return Some(legacy.to_owned());
    }
    if let Some(name) = PAIRS.iter().find_map(|(old, new)| renamed(legacy, old, new)) {
        return Some(name);
    }
    let action = legacy.strip_prefix("compute.instance.")?;
    let known = !LEGACY_ONLY.contains(&action.split('.').next()?);
    known.then(|| format!("instance.{action}"))
}

#[must_use]
pub fn legacy_name(versioned: &str) -> Option<String> {
    if let Some((legacy, _)) = WHOLE.iter().find(|(_, name)| *name == versioned) {
        return Some((*legacy).to_owned());
    }
    if SAME.iter().any(|name| versioned.starts_with(name)) {
        return Some(versioned.to_owned());
    }
    if let Some(name) = PAIRS.iter().find_map(|(old, new)| renamed(versioned, new, old)) {
        return Some(name);
    }
    let action = versioned.strip_prefix("instance.")?;
    let first = action.split('.').next()?;
    let known = !VERSIONED_ONLY.contains(&first) && !first.starts_with("volume_");
    known.then(|| format!("compute.instance.{action}"))
}

/// Returns the name of an event in nova's other form, which is the same name for some.
#[must_use]
pub fn other_name(name: &str) -> Option<String> {
    versioned_name(name).or_else(|| legacy_name(name))
}

fn renamed(name: &str, from: &str, to: &str) -> Option<String> {
    let phase = name.strip_prefix(from)?;
    let is_phase = ["", ".start", ".end", ".error"].contains(&phase);
    is_phase.then(|| format!("{to}{phase}"))
}
