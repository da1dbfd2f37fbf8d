use osnl_model::Pattern;
use osnl_model::catalogue::CatalogueEvent;

/// Returns the field of `resource` that replaces another service's key in all services' events.
pub(super) fn in_all_services(path: &str) -> Option<&'static str> {
    let key = path.rsplit('.').next()?;
    let known: [(&'static str, &[&str]); 5] = [
        ("project", &["project_id", "tenant_id", "project", "tenant", "owner"]),
        ("id", &["id", "uuid", "instance_id", "instance_uuid", "port_id", "server_id", "resource_id"]),
        ("name", &["name", "display_name", "hostname"]),
        ("user", &["user_id", "user"]),
        ("state", &["state", "status"]),
    ];
    known.into_iter().find(|(_, keys)| keys.contains(&key)).map(|(field, _)| field)
}

pub(super) fn unanchored(pattern: &Pattern, known: &[&CatalogueEvent]) -> Option<String> {
    let written = pattern.as_str();
    if written.starts_with('^') || written.starts_with(".*") {
        return None;
    }
    let anywhere = Pattern::new(&format!(".*(?:{written})")).ok()?;
    known.iter().find(|event| anywhere.is_match(event.event_type))?;
    let written = if written.contains('|') { format!("({written})") } else { written.to_owned() };
    Some(format!("patterns match from the start of the name; to match anywhere, write .*{written}"))
}
