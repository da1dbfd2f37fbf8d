//! The names in templates of actions: the event (of a bulk request the one resource), the rule, the
//! action, and the answers of enrichments. All drivers use [`template`] to compile, [`for_event`]
//! for an attempt and [`for_preview`] for a preview.

use osnl_action::Event;
use osnl_action::driver::{CallRequest, NativeReader, OF_EVERY_DRIVER, OptionDef, SectionReader};
use osnl_config::template::{Escape, Names, Template};

pub(crate) fn for_section(reader: &SectionReader<'_>) -> Vec<String> {
    OF_EVERY_DRIVER.into_iter().map(str::to_owned).chain(reader.enrichments()).collect()
}

pub(crate) fn template(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Template> {
    match optional(reader, option)? {
        Some(template) => Some(template),
        None => Template::compile(option.default.unwrap_or_default(), &OF_EVERY_DRIVER).ok(),
    }
}

pub(crate) fn optional(
    reader: &mut SectionReader<'_>,
    option: &'static OptionDef,
) -> Option<Option<Template>> {
    escaping(reader, option.name, Escape::None)
}

pub(crate) fn escaping(
    reader: &mut SectionReader<'_>,
    option: &str,
    escape: Escape,
) -> Option<Option<Template>> {
    let names = for_section(reader);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    reader.compiled(option, |text| Template::escaping(text, &names, escape)).ok()
}

pub(crate) fn for_event(event: &Event) -> Names {
    let names = event.names().with("rule", &*event.rule).with("action", &*event.action);
    names.with("idempotency_key", event.idempotency_key())
}

/// Returns the names for a preview: secrets of the event and of known enrichments are masked,
/// unknown answers have placeholders.
pub(crate) fn for_preview(wanted: &CallRequest<'_>, action: &str) -> Names {
    let names = wanted.names(wanted.notification.masked()).with("rule", wanted.rule).with("action", action);
    names.with("idempotency_key", wanted.idempotency_key(action))
}
