//! The names in templates of actions: the event, of a bulk request the one resource; the rule and the action; and the
//! answers of the action's enrichments. The same for all drivers: one compiles its options with [`template`], renders
//! them for an attempt with [`of_event`], and for a preview with [`of_preview`].

use super::Event;
use crate::driver::{CallRequest, FENCE, NativeReader, OF_EVERY_DRIVER, SectionReader};

use osnl_core::fence::Fence;
use osnl_template::{Escape, Names, Template};

/// All names beyond those of the event that templates of this section may use: those of every driver, and what `enrich` asks
/// for.
pub(crate) fn of_section(reader: &SectionReader<'_>) -> Vec<String> {
    OF_EVERY_DRIVER.into_iter().map(str::to_owned).chain(reader.enrichments()).collect()
}

/// An option that is a template; `Some(None)` if nothing sets it, `None` has been said.
pub(crate) fn template(
    reader: &mut SectionReader<'_>,
    option: &str,
    escape: Escape,
) -> Option<Option<Template>> {
    let names = of_section(reader);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    reader.compiled(option, |text| Template::escaping(text, &names, escape)).ok()
}

/// The same, with what it is when nothing sets it.
pub(crate) fn template_or(
    reader: &mut SectionReader<'_>,
    option: &str,
    default: &str,
    escape: Escape,
) -> Option<Template> {
    match template(reader, option, escape)? {
        Some(template) => Some(template),
        // Compiles, as a test makes sure.
        None => Template::compile(default, &OF_EVERY_DRIVER).ok(),
    }
}

/// For an attempt.
pub(crate) fn of_event(event: &Event) -> Names {
    let names = event.names().with("rule", &*event.rule).with("action", &*event.action);
    with_fence(names.with("idempotency_key", event.idempotency_key()), event.fence)
}

/// Adds the fence: a number, or an empty text where there is none.
pub(crate) fn with_fence(names: Names, fence: Option<Fence>) -> Names {
    match fence {
        Some(fence) => names.with(FENCE, fence.number()),
        None => names.with(FENCE, ""),
    }
}

/// For a preview: what the event has of secrets is masked, and so is what is known of enrichments; of others it has
/// where their values will stand.
pub(crate) fn of_preview(wanted: &CallRequest<'_>, action: &str) -> Names {
    let names = wanted.names(wanted.notification.masked()).with("rule", wanted.rule).with("action", action);
    // The journal gives it to a claim.
    with_fence(names.with("idempotency_key", wanted.idempotency_key(action)), None)
}
