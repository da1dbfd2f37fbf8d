use std::time::Duration;

use tokio::time::{advance, pause, resume};

use crate::page::{Site, TOKEN};

#[tokio::test]
async fn plots_are_pictures_with_words_and_figures() {
    let site = Site::start(&format!("listen = 127.0.0.1:0\ntoken = {TOKEN}")).await;
    let session = site.log_in().await;
    // The first sample is taken at once, each further one after ten seconds.
    for samples in 1..=3 {
        if samples > 1 {
            pause();
            advance(Duration::from_secs(10)).await;
            resume();
        }
        let known = format!("{} of 360 are not known", 361 - samples);
        while !site.read("/plots", &session).await.contains(&known) {
            tokio::task::yield_now().await;
        }
    }
    let page = site.read("/plots?over=hour", &session).await;
    let (_, html) = page.split_once("\r\n\r\n").unwrap();
    assert_eq!(html.matches("role=\"img\"").count(), 5, "{html}");
    for words in [
        "received: last 0/s, lowest 0/s, highest 0/s",
        "pending: last 0, lowest 0, highest 0",
        "median (p50): no values",
        "<summary>Figures of Pending deliveries</summary>",
        "<a href=\"/plots?over=hour\" aria-current=\"page\">Last hour</a>",
        "<a href=\"/plots?action=a%26b\">a&#38;b</a>",
        // A line of three samples at the right; the first sample has no rate.
        "d=\"M357 200L359 200\"",
        "d=\"M358 200L359 200\"",
    ] {
        assert!(html.contains(words), "{words} in {html}");
    }
    assert!(!html.contains("style=") && !html.contains("<script"), "{html}");
    for id in html.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "{id} in {html}");
    }
    let page = site.read("/plots?over=day&action=a%26b", &session).await;
    assert!(page.contains("<h1>Plots of a&#38;b</h1>") && !page.contains("received:"), "{page}");
    assert!(page.contains("/plots?over=hour&#38;action=a%26b"), "{page}");
    let page = site.read("/", &session).await;
    assert!(page.contains("<h2 id=\"hour\">The last hour</h2>"), "{page}");
    assert_eq!(page.matches("role=\"img\"").count(), 4, "{page}");
    for (path, expected, words) in [
        ("/plots?over=year", 400, "an hour or a day"),
        ("/plots?action=%3Cscript%3E", 404, "&#60;script&#62;"),
        ("/plots?nothing=1", 400, "allowed: over, action"),
    ] {
        let (status, page) = site.running.ask("GET", path, &session, "").await;
        assert!(status == expected && page.contains(words) && !page.contains("<script"), "{path}: {page}");
    }
    site.running.end().await;
}
