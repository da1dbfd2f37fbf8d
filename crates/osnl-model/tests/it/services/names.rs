use osnl_model::nova;

use crate::services::recorded::recorded_in;

#[test]
fn novas_names_lead_from_one_form_to_the_other() {
    let all = recorded_in("nova");
    let names: Vec<&str> = all.iter().map(|r| r.n.event_type.as_deref().unwrap()).collect();
    let mut pairs = 0;
    for name in &names {
        if let Some(other) = nova::versioned_name(name) {
            assert_eq!(nova::legacy_name(&other).as_deref(), Some(*name), "{other}");
            assert_eq!(nova::other_name(name).as_ref(), Some(&other));
            assert_eq!(nova::other_name(&other).as_deref(), Some(*name));
            // Each event that nova sends in both forms was recorded in both.
            pairs += usize::from(names.contains(&other.as_str()));
        }
    }
    assert!(pairs > 120, "{pairs}");
    let check = |legacy: &str, versioned: Option<&str>| {
        assert_eq!(nova::versioned_name(legacy).as_deref(), versioned, "{legacy}");
        if let Some(versioned) = versioned {
            assert_eq!(nova::legacy_name(versioned).as_deref(), Some(legacy));
        }
    };
    check("compute.instance.create.end", Some("instance.create.end"));
    check("compute.instance.exists", Some("instance.exists"));
    check("compute.instance.finish_resize.start", Some("instance.resize_finish.start"));
    check("compute.instance.resize.prep.end", Some("instance.resize_prep.end"));
    check("compute.instance.resize.end", Some("instance.resize.end"));
    check("compute.instance.live_migration._post.start", Some("instance.live_migration_post.start"));
    check("compute.instance.live_migration.post.dest.end", Some("instance.live_migration_post_dest.end"));
    check("compute.instance.live.migration.abort.end", Some("instance.live_migration_abort.end"));
    check("compute.instance.volume.attach", Some("instance.volume_attach.end"));
    check("compute.instance.rebuild.scheduled", Some("instance.rebuild_scheduled"));
    check("aggregate.addhost.start", Some("aggregate.add_host.start"));
    check("aggregate.create.start", Some("aggregate.create.start"));
    check("servergroup.addmember", Some("server_group.add_member"));
    check("compute.instance.create_ip.end", None);
    check("port.create.end", None);
    for none in
        ["instance.lock", "instance.volume_swap.end", "instance.volume_attach.start", "flavor.create", "x"]
    {
        assert_eq!(nova::legacy_name(none), None, "{none}");
    }
}
