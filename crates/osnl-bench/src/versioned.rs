//! What it costs to build and to write the payload of ironic's `baremetal.node.power_set`.
//!
//! A node, filled as one of ironic's is, in four ways: as a typed payload that is populated and written; as one that is
//! written only; as a tree of `serde_json`, cloned and written; as one that is written only. Rounds alternate.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result};
use osnl_model::versioned::ironic::{Node, NodeSetPowerStatePayload, NodeSetPowerStatePayloadExtra};
use osnl_model::versioned::{DateTime, FlexibleDict, to_payload_text};

const ROUNDS: usize = 11;

/// Writes the payload once.
type Way<'a> = dyn Fn() -> Result<String, serde_json::Error> + 'a;

/// Prints the payload, then a line for each way: nanoseconds of each round.
pub(crate) fn run(count: u64) -> Result<()> {
    let node = node()?;
    let text = to_payload_text(&payload(&node))?;
    println!("{text}");
    let typed = payload(&node);
    let tree: serde_json::Value = serde_json::from_str(&text)?;
    let ways: [(&str, &Way<'_>); 4] = [
        ("typed", &|| to_payload_text(&payload(black_box(&node)))),
        ("tree", &|| serde_json::to_string(&black_box(&tree).clone())),
        ("typed-written", &|| to_payload_text(black_box(&typed))),
        ("tree-written", &|| serde_json::to_string(black_box(&tree))),
    ];
    let mut found = ways.each_ref().map(|(name, _)| (*name).to_owned());
    for _ in 0..ROUNDS {
        for ((_, way), line) in ways.iter().zip(&mut found) {
            let begun = Instant::now();
            for _ in 0..count {
                black_box(way()?);
            }
            line.push_str(&format!(" {}", begun.elapsed().as_nanos() / u128::from(count)));
        }
    }
    found.iter().for_each(|line| println!("{line}"));
    Ok(())
}

fn payload(node: &Node) -> NodeSetPowerStatePayload {
    let extra = NodeSetPowerStatePayloadExtra {
        to_power: Some("power on".to_owned()),
        traits: Some(vec!["CUSTOM_GOLD".to_owned(), "HW_CPU_X86_VMX".to_owned()]),
    };
    NodeSetPowerStatePayload::populate(node, extra)
}

fn node() -> Result<Node> {
    let some = |text: &str| Some(text.to_owned());
    let at = |text: &str| DateTime::parse(text).context("a date");
    Ok(Node {
        uuid: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123".into(),
        name: some("rack3-node17"),
        instance_uuid: Some("d6ea00c1-1f94-4e95-90b3-3462d7031678".into()),
        created_at: Some(at("2026-01-26T20:41:03Z")?),
        updated_at: Some(at("2026-11-20T06:36:22Z")?),
        provision_updated_at: Some(at("2026-11-20T06:30:01Z")?),
        inspection_finished_at: Some(at("2026-11-19T22:10:00Z")?),
        driver: some("redfish"),
        conductor_group: some("hall-2"),
        description: some("third rack, seventeenth from below"),
        console_enabled: Some(false),
        disable_power_off: Some(false),
        maintenance: Some(false),
        protected: Some(false),
        retired: Some(false),
        secure_boot: Some(true),
        boot_mode: some("uefi"),
        bios_interface: some("redfish"),
        boot_interface: some("redfish-virtual-media"),
        console_interface: some("no-console"),
        deploy_interface: some("direct"),
        inspect_interface: some("redfish"),
        management_interface: some("redfish"),
        network_interface: some("neutron"),
        power_interface: some("redfish"),
        raid_interface: some("redfish"),
        rescue_interface: some("no-rescue"),
        storage_interface: some("noop"),
        vendor_interface: some("redfish"),
        owner: some("7d3e0c5a90f34d0c8f4f0a3a5f1b2c3d"),
        power_state: some("power off"),
        target_power_state: some("power on"),
        provision_state: some("active"),
        resource_class: some("baremetal.large"),
        properties: Some(FlexibleDict::parse(
            r#"{"memory_mb": 262144, "cpu_arch": "x86_64", "local_gb": 960, "cpus": 64,
                "capabilities": "boot_mode:uefi,secure_boot:true"}"#,
        )?),
        extra: Some(FlexibleDict::parse(r#"{"asset": "A-100417", "row": 3}"#)?),
        ..Node::default()
    })
}
