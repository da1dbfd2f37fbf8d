//! Texts of a filter are bound values: no text of an operator or an API caller is a part of the SQL.

use super::*;
use crate::query::{About, AnswerPolicy, Filter, ListPage, QueryContext};

#[tokio::test]
async fn any_text_finds_what_has_it_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let long = "x".repeat(1 << 20);
    let texts = [
        "\0",
        "a\0b",
        "'",
        "''",
        "\"",
        "%",
        "_",
        "\\",
        "\u{1b}[31m",
        "?1",
        "?3",
        "') OR 1=1 --",
        "\u{fffd}",
        &long,
    ];
    for (n, text) in texts.iter().enumerate() {
        let mut entry = entry(&n.to_string(), "key", false);
        Arc::make_mut(&mut entry.notification).event_type = Some((*text).to_owned());
        entry.deliveries[0].rule = (*text).into();
        within(append(&journal, entry).await).await;
    }
    let reader = reader(&folder);
    let count = |filter: Filter| {
        let all: u64 = reader.count(&filter).unwrap().iter().map(|(_, _, count)| count).sum();
        let page = ListPage::default();
        assert_eq!(reader.list(&filter, &page).unwrap().len() as u64, all);
        all
    };
    for text in texts {
        let own = || Some(text.to_owned());
        let shown = text.escape_debug().take(20).collect::<String>();
        assert_eq!(count(Filter { rule: own(), ..Filter::default() }), 1, "rule {shown}");
        assert_eq!(count(Filter { event_type: own(), ..Filter::default() }), 1, "event type {shown}");
        assert_eq!(count(Filter { action: own(), ..Filter::default() }), 0, "action {shown}");
        assert_eq!(count(Filter { key: own(), ..Filter::default() }), 0, "key {shown}");
        let about = vec![About::Named(text.to_owned()), About::Resource(text.to_owned())];
        assert_eq!(count(Filter { about, ..Filter::default() }), 0, "about {shown}");
        let said = Some(AnswerPolicy::Text(text.to_owned()));
        assert_eq!(count(Filter { text: said, ..Filter::default() }), 0, "text {shown}");
        let context = QueryContext { configured: Some(vec![text.to_owned()]), ..QueryContext::default() };
        assert_eq!(count(Filter { context, ..Filter::default() }), texts.len() as u64, "configured {shown}");
    }
}
