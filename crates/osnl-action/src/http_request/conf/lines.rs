use osnl_config::template::Template;
use osnl_net::http::header::HeaderName;

use super::super::target::UrlTarget;
use super::super::verb::HttpVerb;
use crate::driver::SectionReader;

/// Refuses options by which one event would decide a request that may carry several.
pub(super) fn check(
    reader: &mut SectionReader<'_>,
    method: &HttpVerb,
    target: &UrlTarget,
    query: &[(String, Template)],
    headers: &[(HeaderName, Template)],
) -> Option<()> {
    let is_fixed = |template: &Template| template.paths().all(|path| path.starts_with("secret."));
    let set = ["idempotency_header", "signing_secret", "cloudevents"];
    let mut wrong: Vec<String> =
        set.into_iter().filter(|option| reader.is_set(option)).map(str::to_owned).collect();
    let is_off = reader.text("cloudevents").is_some_and(|mode| mode == "off");
    wrong.retain(|option| option != "cloudevents" || !is_off);
    if !target.is_fixed() {
        wrong.push("url".to_owned());
    }
    if matches!(method, HttpVerb::Template(template) if !is_fixed(template)) {
        wrong.push("method".to_owned());
    }
    let of = |prefix: &str, key: &str, template: &Template| {
        (!is_fixed(template)).then(|| format!("{prefix}.{key}"))
    };
    wrong.extend(query.iter().filter_map(|(key, template)| of("query", key, template)));
    wrong.extend(headers.iter().filter_map(|(key, template)| of("header", key.as_str(), template)));
    for option in &wrong {
        let written = reader.keys("").into_iter().find(|key| key.eq_ignore_ascii_case(option));
        let problem = "depends on one event, and a request with format = ndjson may carry several";
        let allowed = "use values of the event in body alone, such as {{ idempotency_key }}";
        reader.refuse::<()>(written.as_deref().unwrap_or(option), problem, allowed);
    }
    wrong.is_empty().then_some(())
}
