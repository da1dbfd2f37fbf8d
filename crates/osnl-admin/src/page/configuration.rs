use askama::Template;
use hyper::StatusCode;
use osnl::control::{ConfigurationReport, LastReload, RequestRefusal, moment};
use osnl::native::DocSection;

use super::{Frame, PageCaller, PageContext, after, html, text};
use crate::answer::AdminAnswer;

const LISTED: usize = 100;
const MOST: usize = 50;

#[derive(Template)]
#[template(path = "configuration.html")]
struct ConfigurationPage {
    frame: Frame,
    loaded: String,
    reload: Option<ReloadView>,
    warnings: Vec<String>,
    sections: Vec<SectionView>,
    next: Option<String>,
}

struct ReloadView {
    tone: &'static str,
    summary: String,
    lists: Vec<(&'static str, Vec<String>)>,
}

struct SectionView {
    heading: String,
    rows: Vec<ValueRow>,
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
    let page = ConfigurationPage {
        frame: Frame::new(place, caller, "Configuration", "/configuration"),
        loaded: moment(loaded),
        reload: last_reload.map(ReloadView::new),
        warnings: sentences(&warnings),
        sections: shown.iter().map(SectionView::new).collect(),
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
        let row = |entry: &osnl::native::DocEntry| ValueRow {
            option: text::cell(&entry.option),
            value: text::value(&entry.text),
            from: text::line(&entry.from),
        };
        Self { heading: text::line(&section.heading), rows: section.entries.iter().map(row).collect() }
    }
}

pub(super) fn sentences(all: &[String]) -> Vec<String> {
    let mut shown: Vec<String> = all.iter().take(MOST).map(|one| text::sentence(one)).collect();
    if all.len() > MOST {
        shown.push(format!("and {} more", all.len() - MOST));
    }
    shown
}
