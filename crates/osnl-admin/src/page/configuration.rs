use askama::Template;
use hyper::StatusCode;
use osnl::control::{ConfigurationReport, JournalStatus, LastReload, RequestRefusal, grouped, moment};
use osnl::native::{DocEntry, DocSection};

use super::text::Markup;
use super::{Frame, PageCaller, PageContext, after, html, text};
use crate::answer::AdminAnswer;

const LISTED: usize = 100;
const MOST: usize = 50;
/// The origin of a value that nobody has set.
const DEFAULT: &str = "default";

#[derive(Template)]
#[template(path = "configuration.html")]
struct ConfigurationPage {
    frame: Frame,
    loaded: Markup,
    reload: Option<ReloadView>,
    warnings: Vec<String>,
    sections: Vec<SectionView>,
    journal: Vec<(&'static str, String)>,
    next: Option<String>,
}

struct ReloadView {
    tone: &'static str,
    summary: String,
    lists: Vec<(&'static str, Vec<String>)>,
}

struct SectionView {
    heading: String,
    set: Vec<ValueRow>,
    defaults: Vec<ValueRow>,
}

struct ValueRow {
    option: String,
    value: String,
    from: String,
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
        loaded: text::time(&moment(loaded)),
        reload: last_reload.map(ReloadView::new),
        warnings: sentences(&warnings),
        sections: shown.iter().map(SectionView::new).collect(),
        journal: journal(&status.journal),
        next,
    };
    Ok(html(StatusCode::OK, &page))
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

impl SectionView {
    fn new(section: &DocSection) -> Self {
        let row = |entry: &DocEntry| ValueRow {
            option: text::cell(&entry.option),
            value: match entry.text.strip_prefix("file://") {
                Some(file) => format!("file {} (not shown)", text::line(file)),
                None => text::value(&entry.text),
            },
            from: text::line(&entry.from),
        };
        let (defaults, set): (Vec<_>, Vec<_>) =
            section.entries.iter().map(row).partition(|row| row.from == DEFAULT);
        Self { heading: text::line(&section.heading), set, defaults }
    }
}

fn journal(journal: &JournalStatus) -> Vec<(&'static str, String)> {
    let place =
        journal.path.as_deref().map_or("in memory: nothing outlives the process".to_owned(), text::line);
    let mut facts = vec![("Place", place)];
    let mut add = |name: &'static str, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    add("State", journal.state.clone());
    add("Size", journal.bytes.map(text::size));
    add("Limit", journal.max_bytes.map(text::size));
    add("Free on the disk", journal.free_bytes.map(text::size));
    add("Events", journal.events.map(grouped));
    add("Deliveries", Some(grouped(journal.deliveries)));
    facts
}

pub(super) fn sentences(all: &[String]) -> Vec<String> {
    let mut shown: Vec<String> = all.iter().take(MOST).map(|one| text::sentence(one)).collect();
    if all.len() > MOST {
        shown.push(format!("and {} more", all.len() - MOST));
    }
    shown
}
