use std::fmt::Write as _;

use osnl_model::catalogue::{self, CatalogueEvent};

use super::form;

const HEAD: &str = "\
# Events that services send

<!-- made by `cargo xtask docs` from the catalogue; `cargo xtask catalogue` makes that from recordings -->

Find the events that a service sends. They were recorded from the releases named here, or, where the last column says so,
taken from the service's own lists or documentation. Another release, or one with more extensions, sends more.
`osnl events EVENT` shows the fields of an event's payload and a sample.
";

pub(super) fn page(events: &[&CatalogueEvent]) -> String {
    let mut out = HEAD.to_owned();
    for (service, version) in catalogue::services() {
        let of: Vec<&&CatalogueEvent> = events.iter().filter(|event| event.service == service).collect();
        let Some(first) = of.first() else { continue };
        let mut topics: Vec<&str> = of.iter().flat_map(|event| event.topics.iter().copied()).collect();
        topics.sort_unstable();
        topics.dedup();
        let topics: Vec<String> = topics.iter().map(|topic| format!("`{topic}`")).collect();
        let _ = writeln!(
            out,
            "\n## {service}\n\nRecorded from {version}; exchange `{}`, topics {}.\n\n\
             | event | priority | payload | publisher | |\n| --- | --- | --- | --- | --- |",
            first.exchange(),
            topics.join(", ")
        );
        for event in of {
            let publishers: Vec<String> = event.publishers.iter().map(|name| format!("`{name}`")).collect();
            let _ = writeln!(
                out,
                "| `{}` | {} | {} | {} | {} |",
                event.event_type,
                event.priorities.join(", "),
                form(event),
                publishers.join(", "),
                if event.recorded { "" } else { "from lists" }
            );
        }
    }
    out
}
