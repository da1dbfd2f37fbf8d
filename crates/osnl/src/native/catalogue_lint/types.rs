//! Finds conditions that can never hold by the types of fields, and a request's project used where the resource's may
//! be meant.

use osnl_model::catalogue::CatalogueEvent;
use osnl_model::{is_secret_path, resource_at};

use super::compared::{ConstantKind, NameComparison};
use super::fields::ValueTypes;
use crate::native::equalities;
use crate::rule::Rule;

const LONGEST_CONSTANT: usize = 80;
pub(super) const TEXT: ValueTypes = ValueTypes { event: "", text: true, number: false, boolean: false };

pub(super) fn is_text(name: &str) -> bool {
    const TEXTS: [&str; 9] = [
        "event_type",
        "publisher_id",
        "priority",
        "message_id",
        "context.project_id",
        "context.user_id",
        "context.tenant",
        "context.project",
        "context.user",
    ];
    let of_resource = ["kind", "id", "project", "user", "name", "host", "state"];
    TEXTS.contains(&name) || name.strip_prefix("resource.").is_some_and(|field| of_resource.contains(&field))
}

pub(super) fn other_type(compared: &NameComparison, values: &ValueTypes) -> Option<(String, String)> {
    let NameComparison { name, sign, written, kind } = compared;
    let is_scalar = values.text || values.number || values.boolean;
    if kind.is_among(values) || !is_scalar {
        return None;
    }
    let there = match (values.text, values.number) {
        (true, _) => ConstantKind::Text,
        (false, true) => ConstantKind::Number,
        (false, false) => ConstantKind::Boolean,
    };
    let is_secret = is_secret_path(name) || written.len() > LONGEST_CONSTANT;
    let constant = if is_secret { "what it is compared with" } else { written };
    let (there, is) = (there.word(), kind.word());
    let problem =
        format!("never holds: {name} is {there} in the events of this rule, and {constant} is {is}");
    let mend = match (kind, is_secret || *sign == "in") {
        (ConstantKind::Text, true) => "write it without quotes".to_owned(),
        (ConstantKind::Number | ConstantKind::Boolean, true) => "write it in quotes".to_owned(),
        (ConstantKind::Text, false) => format!("write {name} {sign} {}", written.trim_matches(['"', '\''])),
        (ConstantKind::Number | ConstantKind::Boolean, false) => format!("write {name} {sign} \"{written}\""),
    };
    Some((problem, mend))
}

pub(super) fn project_of_request(
    rule: &Rule,
    matched: &[&CatalogueEvent],
) -> Option<(String, String, &'static str)> {
    const PROJECT: [&str; 3] = ["context.project_id", "context.tenant", "context.project"];
    let when = rule.when.as_ref();
    if when.is_some_and(|when| when.paths().any(|path| path == "resource.project")) {
        return None;
    }
    let compared =
        || when.into_iter().flat_map(|when| equalities::find(when.source())).map(|found| found.name);
    let in_when = compared().find(|name| PROJECT.contains(&name.as_str())).map(|name| ("when", name));
    let patterns = rule.filter.context.keys().map(|key| format!("context.{key}"));
    let mut patterns = patterns.filter(|key| PROJECT.contains(&key.as_str()));
    let (option, name) = match in_when {
        Some((option, name)) => (option.to_owned(), name),
        None => patterns.next().map(|key| (key.clone(), key))?,
    };
    let has_project = |event: &&&CatalogueEvent| {
        event.sample().is_some() && resource_at(&event.example(), 0).is_some_and(|one| one.project.is_some())
    };
    matched.iter().find(has_project)?;
    let problem = format!(
        "{name} is the project of the request, which differs where an administrator or a service acts for another project"
    );
    let mend = "the project that owns the resource is resource.project, in when";
    Some((option, problem, mend))
}
