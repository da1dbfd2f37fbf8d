use std::collections::BTreeSet;

use super::{CatalogueEvent, PayloadForm};
use crate::nearest;
use crate::path::index;

/// The fields of Neutron's API extensions (neutron-lib 5.0.1) that no recorded message has. A cloud sends those of the
/// extensions that it loads.
const OF_EXTENSIONS: [(&str, &str); 5] = [
    ("floatingip", "distributed qos_network_policy_id"),
    ("network", "is_default project_default pvlan segments"),
    (
        "port",
        "data_plane_status device_profile dns_domain hardware_offload_type hints numa_affinity_policy \
         propagate_uplink_status pvlan_community pvlan_type trunk_details trusted",
    ),
    (
        "router",
        "conntrack_helpers enable_default_route_bfd enable_default_route_ecmp enable_ndp_proxy enable_snat evpn_vni \
         external_gateways service_type_id",
    ),
    ("subnet", "dns_publish_fixed_ip leak_routes"),
];

/// A path of a template that no payload of an event has, for a warning with a suggestion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LackingPath {
    pub inside: String,
    pub keys: Vec<&'static str>,
    /// The suggested path: the same field at its place (`port.name` for `name`), or a similar name.
    pub near: Option<String>,
}

/// Returns the missing part of a path in the payloads of these events; `None` if an event has or
/// may have the path.
///
/// ```
/// use osnl_model::catalogue;
///
/// let events = catalogue::find("instance.delete.end");
/// let lacking = catalogue::lacking(&events, "flavor.memory_mb").expect("no payload begins so");
/// let meant = "nova_object.data.flavor.nova_object.data.memory_mb";
/// assert_eq!((lacking.inside.as_str(), lacking.near.as_deref()), ("", Some(meant)));
/// assert_eq!(catalogue::lacking(&events, meant), None);
/// ```
#[must_use]
pub fn lacking(events: &[&CatalogueEvent], path: &str) -> Option<LackingPath> {
    let events: Vec<&CatalogueEvent> =
        events.iter().copied().filter(|event| event.form != PayloadForm::Text).collect();
    // The catalogue writes "*" for each item of a list; a path selects one by its number.
    let any_has = |path: &str| {
        let is_listed = path.split('.').any(|key| key == "*");
        !is_listed && events.iter().any(|event| event.has_field(path))
    };
    if events.is_empty() || any_has(path) || events.iter().any(|event| event.is_of_extension(path)) {
        return None;
    }
    let known: BTreeSet<Vec<&'static str>> =
        events.iter().flat_map(|event| event.fields()).map(|field| field.path).collect();
    let there = |part: &&str| any_has(part);
    let inside = path.rmatch_indices('.').map(|(dot, _)| &path[..dot]).find(there).unwrap_or_default();
    let keys: BTreeSet<&'static str> = known.iter().filter_map(|known| below(known, inside)).collect();
    let keys: Vec<&'static str> = keys.into_iter().collect();
    let near = same_field(&known, path).or_else(|| {
        let rest = path.strip_prefix(inside)?.trim_start_matches('.');
        let (key, rest) = rest.split_once('.').unwrap_or((rest, ""));
        let key = nearest(key, keys.iter().copied())?;
        let near =
            [inside, key, rest].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
        any_has(&near).then_some(near)
    });
    let near = near.or_else(|| same_name(&known, path)).or_else(|| other_word(&keys, inside, path));
    Some(LackingPath { inside: inside.to_owned(), keys, near })
}

pub(super) fn is_of_extension(event: &CatalogueEvent, path: &str) -> bool {
    let mut keys = path.split('.');
    let resource = keys.next().unwrap_or_default();
    // A bulk request has a list of resources.
    let name = resource.strip_suffix('s').unwrap_or(resource);
    let Some(field) = keys.find(|key| index(key).is_none()) else { return false };
    let is_it = |(of, fields): &(&str, &str)| *of == name && fields.split(' ').any(|known| known == field);
    event.service == "neutron" && event.has_field(resource) && OF_EXTENSIONS.iter().any(is_it)
}

fn below(known: &[&'static str], inside: &str) -> Option<&'static str> {
    let inside = starred(inside);
    known.iter().enumerate().find(|(at, _)| known[..*at].join(".") == inside).map(|(_, key)| *key)
}

fn same_field(known: &BTreeSet<Vec<&'static str>>, path: &str) -> Option<String> {
    let written = format!(".{}", bare(path.split('.')));
    let is_it = |known: &&Vec<&'static str>| {
        let unwrapped = known.iter().copied().filter(|key| !key.ends_with("_object.data"));
        format!(".{}", bare(unwrapped)).ends_with(&written)
    };
    shortest(known.iter().filter(is_it))
}

fn same_name(known: &BTreeSet<Vec<&'static str>>, path: &str) -> Option<String> {
    let name = path.rsplit('.').next()?;
    shortest(known.iter().filter(|known| known.last() == Some(&name)))
}

const WORDS: [&[&str]; 5] = [
    &["tenant_id", "project_id", "project", "tenant", "owner"],
    &["instance_id", "instance_uuid", "server_id", "uuid", "id", "resource_id"],
    &["display_name", "name", "instance_name"],
    &["state", "status", "vm_state"],
    &["host", "hostname", "node", "compute"],
];

fn other_word(keys: &[&'static str], inside: &str, path: &str) -> Option<String> {
    let rest = path.strip_prefix(inside)?.trim_start_matches('.');
    let words = WORDS.iter().find(|words| words.contains(&rest))?;
    let found = words.iter().find(|word| keys.contains(word))?;
    Some([inside, found].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("."))
}

fn shortest<'a>(found: impl Iterator<Item = &'a Vec<&'static str>>) -> Option<String> {
    let path = found.min_by_key(|path| path.len())?;
    Some(path.iter().map(|key| if *key == "*" { "0" } else { key }).collect::<Vec<_>>().join("."))
}

fn bare<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let is_key = |key: &&str| *key != "*" && index(key).is_none() && !key.ends_with("_object");
    let keys: Vec<&str> = keys.filter(is_key).collect();
    keys.join(".")
}

pub(super) fn starred(path: &str) -> String {
    let star = |key: &'_ str| if index(key).is_some() { "*".to_owned() } else { key.to_owned() };
    path.split('.').map(star).collect::<Vec<_>>().join(".")
}
