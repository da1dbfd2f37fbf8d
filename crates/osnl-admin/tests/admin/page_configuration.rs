use std::fs;

use osnl::native::{KeepUnmatched, Sources};

use crate::page::{csrf, log_in, rows};
use crate::page_rules::ConfiguredSite;
use crate::running_daemon::RunningDaemon;

const SECRETS: &str = "[DEFAULT]\nlog_level = warn\n\
     [listener:l]\ntransport_url = rabbit://u:S3CRET1@h1,u:S3CRET2@h2/?ssl=true\nexchange = neutron\npool = osnl\n\
     [rule:r]\nactions = a\npayload.password = ^S3CRET3$\npayload.state = ^gone$\nwhen = payload.auth_token != \"S3CRET4\"\n\
     [rule:other]\nactions = mail\nevent_type = ^<b><script>\n\
     [action:a]\ndriver = http\nurl = https://h/{{ payload.n }}?token=S3CRET6\nquery.sig = S3CRET7\n\
     header.Authorization = Bearer S3CRET8\nheader.X-Api-Key = S3CRET9\nsecret.chat = S3CRET10\n\
     body = {\"password\": \"S3CRET11\",\n  \"n\": {{ payload.n }}}\nsigning_secret = whsec_UzNDUkVUNS13aXRoLXRoaXJ0eS10d28tYnl0ZXMteHg=\n\
     when = payload.token == \"S3CRET13\"\n\
     [action:mail]\ndriver = mail\nserver = h\nfrom = a@b\nto = a@b\ntls = starttls\nusername = u\npassword = S3CRET14\n\
     [action:run]\ndriver = exec\ncommand = /bin/x, --password, S3CRET15\nenvironment = TOKEN=S3CRET16\n\
     [enrich:vm]\nkind = server\nauth_url = https://k/v3\nusername = u\npassword = S3CRET12\nproject_name = p\n\
     [admin]\nlisten = 127.0.0.1:9464\ntoken = S3CRET18S3CRET18S3CRET18\n\
     [journal]\nconnection = memory://\n";

async fn start(lines: &str) -> ConfiguredSite {
    let sources = Sources {
        environment: [("OS_DEFAULT__LIBS_LOG_LEVEL", "error")].into_iter().collect(),
        flags: vec![("debug", "true".to_owned(), "--debug")],
        ..Sources::default()
    };
    ConfiguredSite::start(SECRETS, &sources, KeepUnmatched::default(), lines).await
}

#[tokio::test]
async fn each_value_has_its_origin_and_no_secret_is_shown() {
    let site = start("").await;
    let session = log_in(&site.running).await;
    let page = site.read("/configuration", &session).await;
    let row = |option: &str, value: &str, from: &str| {
        let found = rows(&page, &format!("scope=\"row\">{option}"));
        assert!(found.contains(&vec![value, from]), "{option}, {value}, {from}: {found:?}");
    };
    let file = "/etc/osnl/&#60;b&#62;\\u{202e}.conf";
    row("log_level", "warn", &format!("{file}:2"));
    row("libs_log_level", "error", "environment OS_DEFAULT__LIBS_LOG_LEVEL");
    row("debug", "true", "command line --debug");
    row("keep_unmatched", "1000", "default");
    row("payload.state", "^gone$", &format!("{file}:10"));
    row("payload.password", "***", &format!("{file}:9"));
    row("event_type", "^&#60;b&#62;&#60;script&#62;", &format!("{file}:14"));
    row("secret.chat", "***", &format!("{file}:21"));
    assert!(page.contains("rabbit://u:***@h1,u:***@h2/"), "{page}");
    assert!(page.contains("[rule:other]"), "{page}");
    assert!(page.contains("None since the start."), "{page}");
    assert!(!page.contains("UzNDUkVU") && !page.contains("Reload now"), "{page}");
    let (status, refused) =
        site.running.ask("POST", "/configuration/reload", &session, &format!("csrf={}", csrf(&page))).await;
    assert!(status == 403 && refused.contains("allow_changes"), "{refused}");
    site.running.end().await;
}

#[tokio::test]
async fn the_result_of_the_last_reload_is_shown() {
    let site = RunningDaemon::start("allow_changes = yes").await;
    let session = log_in(&site.running).await;
    let page = site.read("/configuration", &session).await;
    assert!(
        page.contains("None since the start.") && page.contains("href=\"/configuration/reload\""),
        "{page}"
    );
    let own = csrf(&page);
    let ask = async |csrf: &str| {
        let body = format!("csrf={csrf}");
        site.running.ask("POST", "/configuration/reload", &session, &body).await
    };
    let (status, refused) = ask("0").await;
    assert!(status == 403 && refused.contains("another page or session"), "{refused}");
    assert!(site.read("/configuration", &session).await.contains("None since the start."));
    let text = fs::read_to_string(&site.file).unwrap();
    let changed = text.replace("^port", "^<b>port").replace("[action:second]", "[action:third]");
    for (text, expected, shown) in [
        (text.clone(), "The configuration was unchanged.", &["The files are valid and unchanged"][..]),
        (
            changed,
            "The new configuration is in force.",
            &[
                "<li>[rule:r] changed (event_type): applies to new messages</li>",
                "<li>[action:third] added: its deliveries begin</li>",
                "<li>[action:second] removed: running attempts finish;",
                "A reload makes these changes.",
            ],
        ),
        (
            text.replace("event_type", "evnt_type<b>"),
            "Refused: nothing was changed.",
            &[
                "A reload would be refused, and change nothing.",
                "osnl.conf:12: [rule:r] evnt_type&#60;b&#62;",
            ],
        ),
    ] {
        fs::write(&site.file, text).unwrap();
        let before = site.read("/configuration", &session).await;
        let preview = site.read("/configuration/reload", &session).await;
        shown.iter().for_each(|words| assert!(preview.contains(words), "{words} in {preview}"));
        assert_eq!(preview.contains("Reload</button>"), !expected.starts_with("Refused"), "{preview}");
        let last = |page: &str| {
            page.split_once("Last reload").unwrap().1.split_once("</section>").unwrap().0.to_owned()
        };
        assert_eq!(
            last(&before),
            last(&site.read("/configuration", &session).await),
            "a preview is no reload"
        );
        let (status, answer) = ask(&own).await;
        assert!(status == 200 && answer.contains(expected), "{answer}");
        let page = site.read("/configuration", &session).await;
        let by = ", by maria through the admin endpoint for 127.0.0.1: ";
        assert!(page.contains(expected) && page.contains(by), "{page}");
    }
    let page = site.read("/configuration", &session).await;
    assert!(page.contains("<h3>Errors</h3>") && page.contains("evnt_type"), "{page}");
    assert!(page.contains("^&#60;b&#62;port"), "{page}");
    let (_, page) = site.running.ask("GET", "/explain", &session, "").await;
    assert!(page.contains("Try an event"), "{page}");
    site.end().await;
}
