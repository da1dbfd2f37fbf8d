use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use osnl_testkit::{Browser, Theme};
use serde_json::{Value, json};

use crate::stage::Stage;

const WIDTHS: [u32; 2] = [320, 1280];
/// A tablet, or half a screen.
const MIDDLE: [u32; 2] = [800, 1024];
const WIDEST: u32 = 2560;
const EXPECTED: [&str; 16] = [
    "/",
    "/actions/NAME",
    "/actions/change?action&change",
    "/configuration",
    "/configuration/reload",
    "/deliveries",
    "/deliveries/N",
    "/deliveries/change?change&id",
    "/explain?delivery",
    "/explain?unmatched",
    "/live",
    "/plots",
    "/quarantine",
    "/quarantine/N",
    "/rules",
    "/unmatched",
];
/// The limit of a page's text, because long names are cut.
const MOST_TEXT: u64 = 220_000;

const INSPECT: &str = "
    const root = document.documentElement, all = selector => [...document.querySelectorAll(selector)];
    all('header .host').forEach(host => host.textContent = 'control-01.region-west.cloud.example.org');
    const closed = root.scrollWidth - root.clientWidth;
    all('details').forEach(details => details.open = true);
    const isBeyond = element => element.getBoundingClientRect().right > root.clientWidth + 1
        && !element.closest('.wide, pre, .skip');
    return {
        title: document.title, language: root.lang, heading: document.querySelector('h1')?.innerText,
        headings: all('h1').length, mains: all('main').length, navigations: all('nav[aria-label]').length,
        text: document.body.innerText.length, hacked: String(window.hacked),
        tooWide: Math.max(closed, root.scrollWidth - root.clientWidth),
        beyond: all('body *').filter(isBeyond).map(element => element.outerHTML.slice(0, 80)),
        menus: all('nav.pages ul').filter(list => list.scrollWidth > list.clientWidth).length,
        cards: all(root.clientWidth > 900 ? 'table.deliveries' : 'table.cards').filter(table => table.parentElement.scrollWidth > table.parentElement.clientWidth).length,
        tiny: all('main *').filter(element => element.checkVisibility() && parseFloat(getComputedStyle(element).fontSize) < 12).length,
        unnamed: all('td, th').filter(cell => cell.tagName == 'TH' && !cell.textContent.trim()).length,
    }";

#[test]
fn each_page_is_well_at_each_width_in_each_theme_with_and_without_scripts() {
    let stage = Stage::start("browser-reading");
    stage.log_in("/");
    let pages = walk(&stage);
    for kind in EXPECTED {
        assert!(pages.contains_key(kind), "no link leads to {kind}: {pages:#?}");
    }
    let dead = stage.dead("dns");
    let more = [
        ("/deliveries/N of a dead one".to_owned(), format!("/deliveries/{}", dead[0])),
        ("/deliveries/change?change".to_owned(), "/deliveries/change?change=discard&state=dead".to_owned()),
        ("/actions/change".to_owned(), "/actions/change?action=roles&change=probe".to_owned()),
        ("/deliveries?state=dead".to_owned(), "/deliveries?state=dead".to_owned()),
        ("/deliveries?nothing".to_owned(), "/deliveries?about=nothing-has-this-name".to_owned()),
    ];
    let mut seen = Vec::new();
    for (kind, path) in pages.into_iter().chain(more) {
        seen.extend(inspect(&stage, &kind, &path));
    }
    stage.browser.forget_cookies();
    seen.extend(inspect(&stage, "/login", "/login"));
    assert!(seen.is_empty(), "{} faults:\n{}", seen.len(), seen.join("\n"));
}

fn inspect(stage: &Stage, kind: &str, path: &str) -> Vec<String> {
    let browser = &stage.browser;
    let mut faults = Vec::new();
    for are_on in [true, false] {
        browser.set_scripts(are_on);
        browser.set_width(WIDTHS[1]);
        let _ = (browser.faults(), browser.requests());
        stage.open(path);
        for theme in [Theme::Light, Theme::Dark] {
            browser.set_theme(theme);
            let more = [MIDDLE[0], MIDDLE[1], WIDEST].into_iter();
            let more = more.filter(|_| theme == Theme::Light && are_on);
            let widths = WIDTHS.into_iter().chain(more);
            for width in widths {
                browser.set_width(width);
                let place = format!("{kind} at {width} px, {theme:?}, scripts {are_on}");
                let found = browser.run(INSPECT, &json!([]));
                // Judging takes most of the time, so each width and each theme is judged only once.
                let is_judged =
                    are_on && (width == WIDTHS[0]) == (theme == Theme::Light) && WIDTHS.contains(&width);
                let violations = if is_judged { browser.violations() } else { Vec::new() };
                faults.extend(
                    judge(kind, &found)
                        .into_iter()
                        .chain(violations)
                        .map(|fault| format!("{place}: {fault}")),
                );
                write(browser, kind, width, theme, are_on);
            }
        }
        let from_elsewhere = browser.requests().into_iter().filter(|url| !url.starts_with(&stage.base));
        let from_elsewhere = from_elsewhere.map(|url| format!("{kind}: it asks for {url}"));
        faults.extend(from_elsewhere);
        faults.extend(browser.faults().into_iter().map(|fault| format!("{kind}: on the console: {fault}")));
    }
    browser.set_scripts(true);
    faults
}

fn judge(kind: &str, found: &Value) -> Vec<String> {
    let number = |name: &str| found[name].as_u64().unwrap_or_default();
    let is_filled = |name: &str| found[name].as_str().is_some_and(|text| !text.trim().is_empty());
    let wanted = [
        ("a title", is_filled("title")),
        ("a language", found["language"] == "en"),
        ("one heading of the first level", number("headings") == 1 && is_filled("heading")),
        ("one main part", number("mains") == 1),
        ("a navigation", kind == "/login" || number("navigations") > 0),
        ("no script of a name", found["hacked"] == "undefined"),
        ("a text of bounded length", (1..MOST_TEXT).contains(&number("text"))),
        ("nothing wider than the window", number("tooWide") == 0),
        ("nothing beyond the right edge", found["beyond"] == json!([])),
        ("no menu that scrolls", number("menus") == 0),
        ("no card, or row of a delivery, wider than the window", number("cards") == 0),
        ("text of 12 px at least", number("tiny") == 0),
        ("a name in each head of a table", number("unnamed") == 0),
    ];
    wanted.into_iter().filter(|(_, is_so)| !is_so).map(|(what, _)| format!("not {what}: {found}")).collect()
}

fn walk(stage: &Stage) -> BTreeMap<String, String> {
    let mut found = BTreeMap::from([("/".to_owned(), "/".to_owned())]);
    let mut open = vec!["/".to_owned()];
    while let Some(path) = open.pop() {
        stage.open(&path);
        let links = stage.browser.run("return [...document.links].map(link => link.href)", &json!([]));
        for link in links.as_array().unwrap() {
            let link = link.as_str().unwrap();
            let path = link.strip_prefix(&stage.base).unwrap_or_else(|| panic!("{path} links to {link}"));
            let path = path.split('#').next().unwrap_or_default();
            if let Entry::Vacant(place) = found.entry(kind(path)) {
                place.insert(path.to_owned());
                open.push(path.to_owned());
            }
        }
    }
    found
}

fn kind(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let part = |part: &str| match part.starts_with(|c: char| c.is_ascii_digit()) {
        true => "N".to_owned(),
        false => part.to_owned(),
    };
    let path = match path.strip_prefix("/actions/") {
        Some(name) if name != "change" => "/actions/NAME".to_owned(),
        _ => path.split('/').map(part).collect::<Vec<_>>().join("/"),
    };
    if !["/actions/change", "/deliveries/change", "/explain"].contains(&path.as_str()) || query.is_empty() {
        return path;
    }
    let fields = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut names: Vec<&str> = fields.map(|(name, _)| name).collect();
    names.sort_unstable();
    format!("{path}?{}", names.join("&"))
}

fn write(browser: &Browser, kind: &str, width: u32, theme: Theme, are_on: bool) {
    let Some(folder) = std::env::var_os("OSNL_WRITE_PAGES").filter(|_| are_on) else { return };
    let name: String = kind.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = if kind == "/" { "overview" } else { name.trim_matches('-') };
    let theme = match theme {
        Theme::Light => "light",
        Theme::Dark => "dark",
    };
    std::fs::create_dir_all(&folder).unwrap();
    browser.picture(&PathBuf::from(folder).join(format!("{name}-{width}-{theme}.png")), 4000);
}
