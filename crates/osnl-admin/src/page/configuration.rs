use askama::Template;
use hyper::StatusCode;
use osnl::control::{ConfigurationReport, JournalStatus, LastReload, RequestRefusal, grouped, moment};
use osnl::native::{DocEntry, DocSection};

use super::{Frame, PageCaller, PageContext, after, html, text};
use crate::answer::AdminAnswer;

const LISTED: usize = 100;
const MOST: usize = 50;
/// The origin that the daemon gives an option without a value in a file, the environment, or a flag.
const DEFAULT: &str = "default";

#[derive(Template)]
#[template(path = "configuration.html")]
struct ConfigurationPage {
    frame: Frame,
    loaded: String,
    reload: Option<ReloadView>,
    warnings: Vec<String>,
    sections: Vec<DocSection>,
    journal: JournalStatus,
    next: Option<String>,
}

struct ReloadView {
    tone: &'static str,
    summary: String,
    lists: Vec<(&'static str, Vec<String>)>,
}

pub(super) async fn page(
    place: PageContext<'_>,
    caller: &PageCaller,
    query: &str,
) -> Result<AdminAnswer, RequestRefusal> {
    let ConfigurationReport { loaded, document, warnings, last_reload } =
        place.handler.configuration().await?;
    let (shown, next) = after(&document.sections, query, LISTED, |section| &section.heading);
    let status = place.handler.status().await?;
    let page = ConfigurationPage {
        frame: Frame::new(place, caller, "Settings", "/configuration"),
        loaded: moment(loaded),
        reload: last_reload.map(ReloadView::new),
        warnings: sentences(&warnings),
        sections: shown.to_vec(),
        journal: status.journal,
        next,
    };
    Ok(html(StatusCode::OK, &page))
}

impl ConfigurationPage {
    fn sizes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let JournalStatus { bytes, max_bytes, free_bytes, .. } = self.journal;
        let sizes = [("Size", bytes), ("Limit", max_bytes), ("Free on the disk", free_bytes)];
        sizes.into_iter().filter_map(|(name, bytes)| Some((name, bytes?)))
    }
}

impl ReloadView {
    fn new(LastReload { at, by, result }: LastReload) -> Self {
        let (tone, outcome) = match (result.reloaded, result.changes.is_empty()) {
            (true, true) => ("good", "the configuration was unchanged"),
            (true, false) => ("good", "the configuration is in force"),
            (false, _) => ("bad", "refused, nothing was changed"),
        };
        let by = if by.is_empty() { String::new() } else { format!(", by {}", text::line(&by)) };
        let changes: Vec<String> = result.changes.iter().map(ToString::to_string).collect();
        let lists = [("Errors", &result.errors), ("Changes", &changes), ("Warnings", &result.warnings)];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        Self {
            tone,
            summary: format!("{}{by}: {outcome}.", moment(at)),
            lists: lists.map(|(heading, list)| (heading, sentences(list))).collect(),
        }
    }
}

/// Returns the options of a section with a value from a file, the environment, or a flag; or the other options.
fn values(section: &DocSection, are_set: bool) -> Vec<&DocEntry> {
    section.entries.iter().filter(|entry| (entry.from != DEFAULT) == are_set).collect()
}

fn value(entry: &DocEntry) -> String {
    match entry.text.strip_prefix("file://") {
        Some(file) => format!("file {} (not shown)", text::line(file)),
        None => text::value(&entry.text),
    }
}

pub(super) fn sentences(all: &[String]) -> Vec<String> {
    let mut shown: Vec<String> = all.iter().take(MOST).map(|one| text::sentence(one)).collect();
    if all.len() > MOST {
        shown.push(format!("and {} more", all.len() - MOST));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_comes_first_and_a_secret_is_its_file() {
        let entry = |option: &str, text: &str, from: &str| DocEntry {
            option: option.to_owned(),
            text: text.to_owned(),
            from: from.to_owned(),
        };
        let entries = vec![entry("listen", "", "default"), entry("token", "file:///etc/t", "a.conf:2")];
        let section = DocSection { heading: "admin".to_owned(), entries };
        let shown = |are_set| values(&section, are_set).into_iter().map(value).collect::<Vec<_>>();
        assert_eq!(shown(true), ["file /etc/t (not shown)"]);
        assert_eq!(shown(false), [""]);
    }
}
