//! Texts for pages: one line each, bounded, without control characters.

use std::fmt;
use std::time::SystemTime;

use askama::filters::{Html, HtmlSafe, escape};
use osnl::control::{from_now, query, span};
use osnl_model::{one_line, one_line_json};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

const LINE: usize = 300;
const CELL: usize = 120;
const SENTENCE: usize = 2000;
const VALUE: usize = 4 * 1024;
const LONG: usize = 64 * 1024;
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) fn line(text: &str) -> String {
    one_line_at_most(text, LINE)
}

pub(super) fn cell(text: &str) -> String {
    one_line_at_most(text, CELL)
}

pub(super) fn sentence(text: &str) -> String {
    one_line_at_most(text, SENTENCE)
}

pub(super) fn lines(text: &str) -> String {
    lines_at_most(text, LONG)
}

pub(super) fn value(text: &str) -> String {
    lines_at_most(text, VALUE).trim_end_matches('\n').to_owned()
}

fn lines_at_most(text: &str, most: usize) -> String {
    bounded(text, most, |text| text.lines().flat_map(|line| [one_line(line), "\n".into()]).collect())
}

fn one_line_at_most(text: &str, most: usize) -> String {
    bounded(text, most, |text| one_line(text).into_owned())
}

/// Cuts before the cleaning, since a text may have megabytes, and again after it.
fn bounded(text: &str, most: usize, clean: impl FnOnce(&str) -> String) -> String {
    let length = |text: &str| text.char_indices().nth(most).map_or(text.len(), |(at, _)| at);
    let end = length(text);
    let shown = clean(&text[..end]);
    let cleaned = length(&shown);
    if (end, cleaned) == (text.len(), shown.len()) {
        return shown;
    }
    format!("{}… ({} bytes in all)", shown[..cleaned].trim_end_matches('\n'), text.len())
}

pub(super) fn json(value: &Value) -> String {
    let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
    bounded(&one_line_json(pretty), LONG, str::to_owned)
}

pub(super) fn query(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

pub(super) fn field(body: &[u8], name: &str) -> Option<String> {
    let body = std::str::from_utf8(body).ok()?;
    let (_, value) =
        body.split('&').filter_map(|pair| pair.split_once('=')).find(|(given, _)| *given == name)?;
    query::plain(value).ok()
}

pub(super) fn size(bytes: u64) -> String {
    if bytes < 1024 { format!("{bytes} bytes") } else { osnl::control::size(bytes) }
}

pub(super) fn now() -> String {
    osnl::control::timestamp(SystemTime::now())
}

/// Markup for a template; each text in it is escaped.
pub(super) struct Markup(String);

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Markup {}

pub(super) trait Words {
    fn words(&self) -> &str;
}

impl Words for str {
    fn words(&self) -> &str {
        self
    }
}

impl Words for String {
    fn words(&self) -> &str {
        self
    }
}

impl Words for Option<String> {
    fn words(&self) -> &str {
        self.as_deref().unwrap_or_default()
    }
}

impl<T: Words + ?Sized> Words for &T {
    fn words(&self) -> &str {
        (**self).words()
    }
}

fn escaped(text: &str) -> String {
    let Ok(escaped) = escape(text, Html);
    escaped.to_string()
}

pub(super) fn breakable(text: &str) -> Markup {
    Markup(text.split_inclusive(['.', '/']).map(escaped).collect::<Vec<_>>().join("<wbr>"))
}

pub(super) fn name(text: impl Words) -> Markup {
    breakable(&cell(text.words()))
}

pub(super) fn fact(name: &'static str, text: impl Words) -> Markup {
    match text.words() {
        "" => Markup(String::new()),
        text => Markup(format!("<dt>{name}</dt><dd>{}</dd>", breakable(&line(text)))),
    }
}

pub(super) fn time(at: &str) -> Markup {
    timed(at, from_now(at).as_deref().unwrap_or(at))
}

pub(super) fn timed(at: &str, words: &str) -> Markup {
    let (at, words) = (escaped(at), escaped(words));
    Markup(format!("<time class=\"time\" datetime=\"{at}\" title=\"{at}\">{words}</time>"))
}

pub(super) fn badge(tone: &str, state: &str, since: Option<(&str, u64)>) -> Markup {
    let since = since.filter(|_| matches!(tone, "bad" | "warn")).map_or(String::new(), |(at, seconds)| {
        format!(" <span class=\"muted\">for {}</span>", timed(at, &span(seconds)))
    });
    Markup(format!("<span class=\"badge {tone}\">{}</span>{since}", escaped(&cell(state))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_is_one_bounded_line() {
        assert_eq!(line("a\u{202e}b\x1b[2J\r\nc"), "a\\u{202e}b\\x1b[2J\\r\\nc");
        let long = line(&"é".repeat(1 << 20));
        assert!(long.ends_with("… (2097152 bytes in all)"), "{}", &long[long.len() - 40..]);
        assert!(long.len() < 1000);
        assert_eq!(lines("a\r\n\x07b"), "a\n\\x07b\n");
        assert_eq!(value("a\n b"), "a\n b");
        let long = value(&"é\n".repeat(1 << 20));
        assert!(long.ends_with("é… (3145728 bytes in all)") && long.len() < 20_000, "{}", long.len());
        assert!(value(&"\u{202e}".repeat(5000)).len() < 2 * VALUE);
    }

    #[test]
    fn markup_breaks_names_and_escapes_them() {
        assert_eq!(breakable("a.b/c").to_string(), "a.<wbr>b/<wbr>c");
        assert_eq!(name(Some("<i>.\"".to_owned())).to_string(), "&#60;i&#62;.<wbr>&#34;");
        assert_eq!(
            fact("State", "a").to_string() + &fact("State", &None).to_string(),
            "<dt>State</dt><dd>a</dd>"
        );
        assert!(!time("<b>").to_string().contains("<b>"));
    }

    #[test]
    fn a_field_is_read_as_it_was_written() {
        let written = format!("a=1&query={}", query("x=ä&y=%+ /"));
        assert_eq!(field(written.as_bytes(), "query").as_deref(), Some("x=ä&y=%+ /"));
        assert_eq!(field(b"a=1&b", "b"), None);
        assert_eq!(field(b"\xff=1", "b"), None);
    }
}
