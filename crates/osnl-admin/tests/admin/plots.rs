use std::time::Duration;

use osnl_testkit::until;
use tokio::time::{advance, pause, resume};

use crate::control_socket::SOON;
use crate::page::{Site, TOKEN};

#[tokio::test]
async fn plots_are_pictures_with_words_and_values() {
    let site = Site::start(&format!("listen = 127.0.0.1:0\ntoken = {TOKEN}")).await;
    let session = site.log_in().await;
    // The first sample is taken at once, each further one after ten seconds.
    for samples in 1..=3 {
        if samples > 1 {
            pause();
            advance(Duration::from_secs(10)).await;
            resume();
        }
        let known = format!("d=\"M0 200L{} 200\"", samples - 1);
        let known = if samples == 1 { "M0 200h0" } else { &*known };
        until(SOON, known, async || site.read("/plots", &session).await.contains(known)).await;
    }
    let page = site.read("/plots?over=hour", &session).await;
    let (_, html) = page.split_once("\r\n\r\n").unwrap();
    assert_eq!(html.matches("tabindex=\"0\" role=\"img\"").count(), 6, "{html}");
    for words in [
        " UTC. One point per 10 s.</p>",
        "; received: now 0/s, lowest 0/s, highest 0/s; matched: ",
        "aria-label=\"Waiting since ",
        "<summary aria-label=\"Show values of Waiting\">Show values</summary>",
        "data-value=\"received 0/s, matched 0/s\"><title>",
        "<a class=\"chip\" href=\"?over=hour\" aria-current=\"page\">Last hour</a>",
        "<a href=\"/actions/a%26b\">a&#38;b</a>",
        // The axis begins with the first of three samples, which has no rate.
        "d=\"M0 200L2 200\"",
        "d=\"M1 200L2 200\"",
    ] {
        assert!(html.contains(words), "{words} in {html}");
    }
    // One column for each sample, of each plot.
    assert_eq!(html.matches("<rect class=\"hit\"").count(), 6 * 3, "{html}");
    for id in html.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "{id} in {html}");
    }
    let page = site.read("/actions/a%26b?over=day", &session).await;
    assert!(page.contains("One point per 5 min.") && !page.contains("received"), "{page}");
    assert_eq!(page.matches("role=\"img\"").count(), 4, "{page}");
    let page = site.read("/", &session).await;
    assert_eq!(page.matches("<svg class=\"spark\"").count(), 4, "{page}");
    for (path, expected, words) in [
        ("/plots?over=year", 400, "an hour or a day"),
        ("/actions/a%26b?over=year", 400, "an hour or a day"),
        ("/plots?nothing=1", 400, "allowed: over"),
    ] {
        let (status, page) = site.running.ask("GET", path, &session, "").await;
        assert!(status == expected && page.contains(words), "{path}: {page}");
    }
    site.running.end().await;
}
