use super::data::{Class, catalogue, class};
use super::{CatalogueEvent, PayloadForm};
use crate::path::index;

/// The depth of nested objects in the list; no class contains itself at a greater depth.
const DEEPEST: usize = 6;

/// A field of an event's payload, with the releases that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueField {
    pub path: Vec<&'static str>,
    pub kind: &'static str,
    pub sometimes_absent: bool,
    /// The release of the service that added the field (`neutron 9.0.0 (Newton)`), or of a
    /// versioned payload the class and its version (`FlavorPayload 1.1`).
    pub since: Option<String>,
    /// Whether the field is newer than its class. A service older than [`since`](Self::since) sends
    /// payloads without it.
    pub later: bool,
}

impl CatalogueField {
    #[must_use]
    pub fn short(&self) -> String {
        let keys: Vec<&str> =
            self.path.iter().copied().filter(|key| !key.ends_with("_object.data")).collect();
        keys.join(".")
    }
}

pub(super) fn list(event: &CatalogueEvent) -> Vec<CatalogueField> {
    let mut found = Vec::new();
    if let PayloadForm::Versioned(name) = event.form
        && let Some(class) = class(event.service, name)
    {
        add_class(event.service, name, class, &[], &mut found);
        return found;
    }
    let shape = event.shape.and_then(|at| catalogue().shapes.get(at));
    for (path, kind) in shape.into_iter().flatten() {
        let since = catalogue().services.get(event.service).and_then(|service| {
            let of_event = format!("{} {path}", event.event_type);
            service.since.get(of_event.as_str()).or_else(|| service.since.get(path))
        });
        found.push(CatalogueField {
            path: path.split('/').collect(),
            kind: kind.trim_end_matches('?'),
            sometimes_absent: kind.ends_with('?'),
            since: since.map(|release| (*release).to_owned()),
            later: since.is_some(),
        });
    }
    found
}

fn add_class(
    service: &str,
    name: &str,
    described: &'static Class,
    above: &[&'static str],
    found: &mut Vec<CatalogueField>,
) {
    let mut path = above.to_vec();
    path.push(wrapper(service));
    for (field, kind) in &described.fields {
        path.push(field);
        found.push(CatalogueField {
            path: path.clone(),
            kind,
            sometimes_absent: false,
            since: Some(format!("{name} {}", described.since.get(field).unwrap_or(&described.first))),
            later: described.since.contains_key(field),
        });
        let (inner, in_list) = held(kind);
        if let Some(nested) = class(service, inner).filter(|_| path.len() < 2 * DEEPEST) {
            path.extend(in_list.then_some("*"));
            add_class(service, inner, nested, &path, found);
            if in_list {
                path.pop();
            }
        }
        path.pop();
    }
}

fn wrapper(service: &str) -> &'static str {
    match service {
        "nova" => "nova_object.data",
        "ironic" => "ironic_object.data",
        _ => "masakari_object.data",
    }
}

fn held(kind: &'static str) -> (&'static str, bool) {
    let kind = kind.strip_suffix(" or null").unwrap_or(kind);
    kind.strip_prefix("list of ").map_or((kind, false), |inner| (inner, true))
}

pub(super) fn has(event: &CatalogueEvent, path: &str) -> bool {
    match event.form {
        PayloadForm::Text => false,
        PayloadForm::Versioned(name) => match class(event.service, name) {
            Some(class) => class_has(event.service, class, path),
            None => true,
        },
        PayloadForm::Plain | PayloadForm::Cadf => match event.shape.and_then(|at| catalogue().shapes.get(at))
        {
            Some(shape) => {
                let shape: Vec<(&str, &str)> = shape.iter().map(|(path, kind)| (*path, *kind)).collect();
                shape_has(&shape, "", path)
            }
            None => true,
        },
    }
}

fn class_has(service: &str, described: &'static Class, path: &str) -> bool {
    let Some(rest) = path.strip_prefix(service).and_then(|rest| rest.strip_prefix("_object.")) else {
        return false;
    };
    let Some(rest) = after(rest, "data") else {
        return ["name", "namespace", "version", "changes"].iter().any(|key| after(rest, key) == Some(""));
    };
    if rest.is_empty() {
        return true;
    }
    described.fields.iter().any(|(field, kind)| match after(rest, field) {
        None => false,
        Some("") => true,
        Some(rest) => {
            let (inner, in_list) = held(kind);
            let rest = if in_list { item(rest) } else { Some(rest) };
            match (rest, class(service, inner)) {
                (None, _) => false,
                (Some(""), _) => true,
                (Some(rest), Some(nested)) => class_has(service, nested, rest),
                (Some(_), None) => inner.starts_with("map") || inner.starts_with(char::is_uppercase),
            }
        }
    })
}

fn shape_has(shape: &[(&str, &str)], at: &str, rest: &str) -> bool {
    if rest.is_empty() {
        return true;
    }
    let mut described = false;
    for (path, kind) in shape {
        let Some(key) = path.strip_prefix(at).map(|key| key.strip_prefix('/').unwrap_or(key)) else {
            continue;
        };
        let is_child = !key.is_empty()
            && !key.contains('/')
            && path.len() == at.len() + key.len() + usize::from(!at.is_empty());
        if !is_child {
            continue;
        }
        described = true;
        let rest = if key == "*" { item(rest) } else { after(rest, key) };
        if rest.is_some_and(|rest| rest.is_empty() || !is_scalar(kind) && shape_has(shape, path, rest)) {
            return true;
        }
    }
    !described
}

fn is_scalar(kind: &str) -> bool {
    kind.trim_end_matches('?').split(" or ").all(|kind| ["text", "number", "boolean"].contains(&kind))
}

fn after<'a>(path: &'a str, key: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(key)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
}

fn item(path: &str) -> Option<&str> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    (first == "*" || index(first).is_some()).then_some(rest)
}
