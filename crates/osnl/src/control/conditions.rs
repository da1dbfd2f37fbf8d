//! The conditions of a filter as the log shows them.

/// The most values of a list that the log shows.
const SHOWN: usize = 20;

/// Returns one condition of a filter as the log shows it; `None` without a value.
pub(super) fn condition(name: &str, value: Option<&str>) -> Option<String> {
    value.map(|value| format!("{name} = {value}"))
}

/// Returns a condition with several values as the log shows it.
pub(super) fn listed(name: &str, values: &[String]) -> Option<String> {
    let more = if values.len() > SHOWN { ", …" } else { "" };
    let shown = values[..values.len().min(SHOWN)].join(", ");
    (!values.is_empty()).then(|| format!("{name} = {shown}{more}"))
}

/// Returns the conditions of a filter as the log shows them.
pub(super) fn joined(parts: impl IntoIterator<Item = Option<String>>) -> String {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "all".to_owned() } else { parts.join("; ") }
}
