use askama::Template;
use osnl::control::{
    ConfigurationReport, ControlRequest, JournalStatus, LastReload, ReloadResult, grouped, timestamp,
};
use osnl::native::{DocEntry, DocSection};

use super::change::{ChangeLists, ChangePage, ConfirmForm, allowed};
use super::{Frame, PageAnswer, PageVisit, after, ask, shown, text};

const LISTED: usize = 100;
const MOST: usize = 50;
/// The origin that the daemon gives an option without a value in a file, the environment, or a flag.
const DEFAULT: &str = "default";
const EFFECT: &str = "Running attempts finish, and no delivery is lost. The reload is still refused if a log file \
                      cannot be opened, a part cannot be made, or a listener leaves a queue with messages.";

#[derive(Template)]
#[template(path = "configuration.html")]
struct ConfigurationPage {
    frame: Frame,
    loaded: String,
    reload: Option<(&'static str, String, ChangeLists)>,
    warnings: Vec<String>,
    sections: Vec<DocSection>,
    journal: JournalStatus,
    next: Option<String>,
}

pub(super) async fn page(visit: PageVisit<'_>) -> PageAnswer {
    let ConfigurationReport { loaded, document, warnings, last_reload } =
        visit.handler.configuration().await?;
    let (listed, next) = after(&document.sections, visit.query, LISTED, |section| &section.heading);
    let reload = last_reload.map(|LastReload { at, by, result }| {
        let (tone, words) = outcome(&result, false);
        let by = if by.is_empty() { String::new() } else { format!(", by {}", text::line(&by)) };
        (tone, format!("{}{by}: {words}", timestamp(at)), lists(&result))
    });
    shown(&ConfigurationPage {
        frame: Frame::new(visit, "Settings", "/configuration"),
        loaded: timestamp(loaded),
        reload,
        warnings: sentences(&warnings),
        sections: listed.to_vec(),
        journal: visit.handler.status().await?.journal,
        next,
    })
}

pub(super) async fn reload(visit: PageVisit<'_>) -> PageAnswer {
    allowed(visit)?;
    let is_preview = visit.form.is_none();
    let result: ReloadResult = match is_preview {
        true => visit.handler.preview_reload().await?,
        false => ask(visit, &ControlRequest::Reload { by: visit.by.to_owned() }).await?,
    };
    let (tone, words) = outcome(&result, is_preview);
    let frame = Frame::new(visit, "Reload", "/configuration");
    let mut page = ChangePage::new(frame, false, words, "/configuration".to_owned());
    page.result.0 = tone;
    page.lists = lists(&result);
    if is_preview && result.reloaded {
        page.says.push(EFFECT.to_owned());
        page.confirm = Some(ConfirmForm {
            has_reason: false,
            path: "/configuration/reload",
            fields: Vec::new(),
            button: "Reload".to_owned(),
            is_danger: false,
        });
    }
    shown(&page)
}

fn outcome(result: &ReloadResult, is_preview: bool) -> (&'static str, &'static str) {
    match (result.reloaded, result.changes.is_empty(), is_preview) {
        (true, true, false) => ("good", "The configuration was unchanged."),
        (true, false, false) => ("good", "The new configuration is in force."),
        (false, _, false) => ("bad", "Refused: nothing was changed."),
        (true, true, true) => ("", "The files are valid and unchanged: a reload changes nothing."),
        (true, false, true) => ("", "The files are valid. A reload makes these changes."),
        (false, _, true) => ("bad", "A reload would be refused, and change nothing."),
    }
}

fn lists(result: &ReloadResult) -> ChangeLists {
    let changes: Vec<String> = result.changes.iter().map(ToString::to_string).collect();
    let lists = [("Errors", &result.errors), ("Changes", &changes), ("Warnings", &result.warnings)];
    let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
    lists.map(|(heading, list)| (heading, sentences(list))).collect()
}

impl ConfigurationPage {
    fn sizes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let JournalStatus { bytes, max_bytes, free_bytes, .. } = self.journal;
        let sizes = [("Size", bytes), ("Limit", max_bytes), ("Free on the disk", free_bytes)];
        sizes.into_iter().filter_map(|(name, bytes)| Some((name, bytes?)))
    }
}

fn values(section: &DocSection, are_set: bool) -> Vec<&DocEntry> {
    section.entries.iter().filter(|entry| (entry.from != DEFAULT) == are_set).collect()
}

fn value(entry: &DocEntry) -> String {
    match entry.text.strip_prefix("file://") {
        Some(file) => format!("file {} (not shown)", text::line(file)),
        None => text::value(&entry.text),
    }
}

fn sentences(all: &[String]) -> Vec<String> {
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
