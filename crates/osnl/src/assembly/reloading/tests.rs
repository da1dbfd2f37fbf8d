mod stories;

use std::path::Path;

use futures_util::FutureExt as _;
use osnl_transport::MemoryBroker;

use super::*;
use crate::intake::Intake as _;
use crate::journal::ClaimLimits;
use crate::received::ReceivedMessage;

const BEFORE: &str = "[DEFAULT]\nstate_dir = DIR\n[journal]\nconnection = memory://\n\
                      [listener:l]\ntransport_url = rabbit://u:p@h/\nexchange = x\n\
                      pool = osnl\n[rule:r]\nactions = post\nevent_type = ^port\n\
                      [action:post]\ndriver = mail\nserver = h\nfrom = a@b\nto = a@b\n";
const DIGEST: &str = "digest = 10m\n";

fn running(folder: &Path, text: &str) -> RunningDaemon {
    let file = folder.join("osnl.conf");
    write(folder, text);
    let sources = Sources { files: vec![file], ..Sources::default() };
    let loaded = load(&sources).unwrap_or_else(|errors| panic!("{errors}"));
    let values = loaded.values();
    let broker = MemoryBroker::new();
    let make: MakeTransport = Arc::new(move |_| Ok(Arc::new(broker.transport())));
    let counters = Arc::<Counters>::default();
    let (_, parts, _) = loaded.conf.assemble(&*make, &HttpOptions::default(), &counters).unwrap();
    let logs: Logs = Arc::new(|_| Ok(Box::new(|| {})));
    RunningDaemon { sources, loaded: Arc::new(loaded), values, parts, make, logs, next: None }
}

fn write(folder: &Path, text: &str) {
    let text = text.replace("DIR", &folder.display().to_string());
    std::fs::write(folder.join("osnl.conf"), text).unwrap();
}

fn at_once(running: &RunningDaemon) -> usize {
    let live = &running.parts.rules["l"];
    live.reserve(2).now_or_never().unwrap();
    for n in 0..2 {
        let body = format!(
            r#"{{"message_id": "{n}", "event_type": "port.create.end", "payload": {{"port": {{"id": "p"}}}}}}"#
        );
        drop(live.notify(ReceivedMessage::sample(body, false)));
    }
    running
        .parts
        .opened
        .journal
        .claim("post", ClaimLimits::in_order(10))
        .now_or_never()
        .map_or(0, |claimed| claimed.len())
}

/// Finding 13: rules are compared as built, including settings of actions, so a reload equals a restart.
#[test]
fn a_digest_that_comes_or_goes_with_a_reload_counts_as_after_a_restart() {
    let (single, digest) = (BEFORE.to_owned(), format!("{BEFORE}{DIGEST}"));
    for (before, after, expected) in
        [(&single, &single, 1), (&digest, &digest, 2), (&single, &digest, 2), (&digest, &single, 1)]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut reloaded = running(folder.path(), before);
        write(folder.path(), after);
        drop(reloaded.changes(ReloadScope::Configuration).unwrap_or_else(|refused| panic!("{refused:?}")));
        reloaded.commit();
        assert_eq!(at_once(&reloaded), expected, "after a reload");
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(at_once(&running(folder.path(), after)), expected, "after a restart");
    }
}

#[test]
fn rules_are_made_anew_only_where_something_of_them_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let before = BEFORE.replace("connection = memory://", "allow_volatile = true");
    let mut running = running(folder.path(), &before);
    for (from, to, expected) in [
        ("", "", false),
        ("to = a@b", "to = other@b", false),
        ("[rule:r]", "[rule:unused]\nenabled = false\nactions = post\nevent_type = x\n[rule:r]", false),
        ("^port", "^network", true),
        ("driver = mail", "driver = mail\nguard = 5 per 1m", true),
        ("driver = mail", "driver = mail\nwhen = payload.a == 1", true),
        ("driver = mail", "driver = mail\ndigest = 1m", true),
        ("actions = post", "actions = post\nstop = true", true),
    ] {
        write(folder.path(), &before.replace(from, to));
        drop(
            running
                .changes(ReloadScope::Configuration)
                .unwrap_or_else(|refused| panic!("{from}: {refused:?}")),
        );
        let engines = running.next.take().map(|next| next.engines.len());
        assert_eq!(engines, Some(usize::from(expected)), "{from} -> {to}");
    }
}

fn changed(running: &RunningDaemon) -> Vec<String> {
    let changed = running.loaded.changed_secrets(&running.sources.environment).into_iter();
    changed.map(|secret| format!("[{}] {} {}", secret.section, secret.option, secret.file)).collect()
}

fn password(running: &RunningDaemon) -> &str {
    running.loaded.conf.listeners[0].transport_url.hosts()[0].credentials().1
}

#[test]
fn only_the_files_of_secrets_are_read_again() {
    let url = |password: &str| format!("rabbit://u:{password}@h/\n");
    let api = |password: &str| format!("https://m:{password}@h:15671/");
    let token = str::to_owned;
    let cloud = |password: &str| {
        let auth = format!("auth_url: https://h/v3, username: u, password: {password}, project_name: p");
        format!("clouds: {{one: {{auth: {{{auth}}}}}}}")
    };
    let enriched =
        "[enrich:e]\nkind = port\ncloud = one\nclouds_file = FILE\n[action:post]\ndriver = mail\nenrich = e";
    let other = "[action:other]\ndriver = k2hr3_register\napi_url = https://h/v1/role\nrole = r\ntoken_file = FILE\n[rule:r]";
    // A text, its replacement, and the content of FILE; then the name of the change, and which listeners and actions are
    // made anew.
    type Case<'a> = (&'a str, &'a str, &'a dyn Fn(&str) -> String, &'a str, usize, &'a [&'a str]);
    let cases: [Case<'_>; 4] = [
        ("rabbit://u:p@h/", "file://FILE", &url, "[listener:l] transport_url FILE", 1, &[]),
        ("osnl\n", "osnl\nmanagement_url = file://FILE\n", &api, "[listener:l] management_url FILE", 1, &[]),
        ("[action:post]\ndriver = mail", enriched, &cloud, "[enrich:e] cloud one", 0, &["post"]),
        ("[rule:r]", other, &token, "[action:other] token_file FILE", 0, &["other"]),
    ];
    for (from, to, content, name, listeners, actions) in cases {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let named = |text: &str| text.replace("FILE", &file.display().to_string());
        let text = BEFORE.replace(from, &named(to));
        std::fs::write(&file, content("old")).unwrap();
        let mut running = running(folder.path(), &text);
        assert!(running.loaded.has_secret_files() && changed(&running).is_empty(), "{name}");

        write(folder.path(), &text.replace("to = a@b", "to = other@b"));
        std::fs::write(&file, content("new")).unwrap();
        assert_eq!(changed(&running), [named(name)]);
        let (changes, _) =
            running.changes(ReloadScope::Secrets).unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        assert_eq!((changes.leave.len(), changes.begin.len()), (listeners, listeners), "{name}");
        let setups: Vec<&str> = changes.setups.iter().map(|(name, _)| &**name).collect();
        assert_eq!(setups, actions, "{name}");
        drop(changes);
        running.commit();
        assert_eq!(changed(&running), Vec::<String>::new(), "{name}");
        assert_eq!(password(&running) == "new", name.contains("transport_url"), "{name}");
    }
}

#[test]
fn a_refused_secret_is_reported_without_its_text_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("url");
    std::fs::write(&url, "rabbit://u:old@h/\n").unwrap();
    let text = BEFORE.replace("rabbit://u:p@h/", &format!("file://{}", url.display()));
    let mut running = running(folder.path(), &text);
    for wrong in ["S3CRET", "rabbit://u:S3CRET@h:x/", "", "two\nlines"] {
        std::fs::write(&url, wrong).unwrap();
        let refused = running.changes(ReloadScope::Secrets).err().expect("a refusal");
        assert!(refused.errors[0].contains("transport_url"), "{refused:?}");
        assert!(!format!("{refused:?}").contains("S3CRET"), "{refused:?}");
        assert_eq!(password(&running), "old");
    }
}

#[test]
fn a_reload_warns_of_a_value_that_the_sample_has_left_to_the_operator() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = running(folder.path(), BEFORE);
    write(folder.path(), &BEFORE.replace("to = a@b", "to = CHANGE-ME@b"));
    for scope in [ReloadScope::Preview, ReloadScope::Configuration] {
        let (changes, _) = running.changes(scope).unwrap_or_else(|refused| panic!("{refused:?}"));
        let left = "[action:post] to: still has the placeholder CHANGE-ME";
        let found = changes.told.warnings.iter().filter(|warning| warning.contains(left)).count();
        assert_eq!(found, 1, "{:?}", changes.told.warnings);
    }
}

#[tokio::test(start_paused = true)]
async fn a_canary_follows_its_listener_and_stays_after_a_refused_reload() {
    let (folder, text) = (tempfile::tempdir().unwrap(), format!("{BEFORE}[canary]\nlistener = l\n"));
    let running = running(folder.path(), &text);
    let way = running.parts.canary_way.clone();
    let exchange = || way.now().map(|(_, exchange)| exchange);
    let listener = running.loaded.conf.listeners[0].clone();
    let transport = running.parts.transport_of(&listener).unwrap();
    let other_reader = transport.listen(&listener.targets(), &listener.options()).await.unwrap();
    write(folder.path(), &text.replace("exchange = x\npool = osnl", "exchange = y\npool = other"));
    let (running, refused) = Box::new(running).prepare(ReloadScope::Configuration).await;
    assert_eq!(refused.err().map(|refused| refused.reason), Some(ReloadRefusalReason::QueueNotEmpty));
    assert_eq!(exchange().as_deref(), Some("x"));
    other_reader.close().await;
    let (mut running, accepted) = running.prepare(ReloadScope::Configuration).await;
    assert_eq!(accepted.err(), None);
    running.commit();
    assert_eq!(exchange().as_deref(), Some("y"));
}

/// A reload that leaves a queue is refused while the queue has messages.
#[test]
fn a_listener_keeps_its_queue_when_its_broker_is_reached_by_tls() {
    for (url, expected) in [
        ("rabbit://u:p@h:5671/?ssl=1", "reconnects; meanwhile the queue keeps new messages in order"),
        ("rabbit://u:p@h:5673/", "another queue is read"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut running = running(folder.path(), BEFORE);
        write(folder.path(), &BEFORE.replace("rabbit://u:p@h/", url));
        let changes = running.changes(ReloadScope::Preview);
        let (changes, _) = changes.unwrap_or_else(|refused| panic!("{url}: {refused:?}"));
        let effect = &changes.told.changes[0].effect;
        assert!(effect.starts_with(expected), "{url}: {effect}");
    }
}
