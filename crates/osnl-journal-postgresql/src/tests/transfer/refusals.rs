//! Refusals: running daemons, places that are not empty, facts that the other store cannot hold.

use super::*;

#[track_caller]
fn refused(moved: Result<MoveReport, MoveFailure>, expected: &str) {
    let failure = moved.unwrap_err();
    let said = failure.to_string();
    assert!(said.contains(expected) && !failure.is_begun, "{said}");
}

#[tokio::test]
async fn a_running_daemon_on_either_side_is_named() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    let file = filled(&folder).await;
    let daemon = SqliteJournal::open(options_of(&file), Arc::default()).unwrap();
    let holder = format!("in use by process {}; stop osnl first", std::process::id());
    refused(to_database(&file, &stage, OPTIONS).await, &holder);
    within(daemon.close()).await;
    drop(daemon);

    // Its clock is that of the machine: it renews its lease.
    let renewal = Duration::from_millis(100);
    let member =
        PostgresJournal::open(Options { renewal, ..options(&stage.url, "db7:4711") }, Arc::default());
    let member = member.unwrap();
    refused(to_database(&file, &stage, OPTIONS).await, "in use by db7:4711; stop osnl there first");
    let back = folder.path().join("back.db");
    refused(to_file(&stage, &back, OPTIONS).await, "in use by db7:4711; stop osnl there first");
    assert!(!back.exists());
    drop(member);
    let holding = SqliteJournal::open(options_of(&back), Arc::default()).unwrap();
    refused(to_file(&stage, &back, OPTIONS).await, "in use by process");
    drop(holding);
    // Rows of a member that was killed do not hold it up.
    stage.rows(
        "INSERT INTO osnl_member VALUES ('dead', 'db8:1', '0', 7); UPDATE osnl_partition SET token = 'dead'",
    );
    to_database(&file, &stage, OPTIONS).await.unwrap();
    drop(stage.member("a"));
}

#[tokio::test]
async fn a_place_that_is_not_empty_is_left_as_it_is() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    let file = filled(&folder).await;
    let member = stage.member("a");
    keep(&member, "1", "k").await;
    within(member.set_aside(ReceivedMessage::sample("x", false), "why".into())).await;
    within(member.close()).await;
    drop(member);
    let there =
        "is not empty: it has 1 events, 1 deliveries, 1 messages in quarantine; name an empty database";
    refused(to_database(&file, &stage, REPLACING).await, there);
    let expected = "is not empty: it has ";
    refused(to_file(&stage, &file, REPLACING).await, expected);
    let other = folder.path().join("other");
    std::fs::write(&other, "a file of another program, longer than a header of SQLite would be .......................................................").unwrap();
    refused(to_file(&stage, &other, REPLACING).await, "is not a journal of osnl");
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_arrival"), "1");
    refused(to_database(&other, &stage, OPTIONS).await, "is not a journal of osnl");
    refused(to_database(&folder.path().join("none"), &stage, OPTIONS).await, "there is no journal");
    assert!(!folder.path().join("none").exists());
    refused(to_file(&Stage::new(), &other, OPTIONS).await, "the database has no tables of osnl");
}

#[tokio::test]
async fn changes_that_wait_are_refused_before_anything_is_written() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    let member = stage.member("a");
    keep(&member, "1", "k").await;
    within(member.close()).await;
    drop(member);
    stage.rows(
        "INSERT INTO osnl_change (command, delivery, partition, asker, asked, kind, text, out_of_order, is_dry_run) \
         VALUES ('c', 65536, 1, 'd', 0, 1, 'eve', false, false)",
    );
    let expected = "1 changes of deliveries wait for a daemon; start osnl on it once, and stop it";
    refused(to_file(&stage, &folder.path().join("back.db"), OPTIONS).await, expected);
}

#[tokio::test]
async fn a_journal_that_was_moved_tells_where_and_is_replaced_only_if_asked() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    let file = filled(&folder).await;
    let (before, url) = (picture(&file), format!("postgresql://{}", stage.url.split("://").nth(1).unwrap()));
    to_database(&file, &stage, OPTIONS).await.unwrap();
    let opened = SqliteJournal::open(options_of(&file), Arc::default()).unwrap_err();
    assert!(opened.to_string().starts_with(&format!("was moved to {url}; name that one")), "{opened}");
    refused(to_database(&file, &Stage::new(), OPTIONS).await, &format!("was moved to {url} already"));
    refused(to_database(&file, &stage, OPTIONS).await, "is not empty");
    refused(to_file(&stage, &file, OPTIONS).await, &format!("was moved to {url}"));
    to_file(&stage, &file, REPLACING).await.unwrap();
    let expected: Vec<String> =
        before.iter().map(|line| line.replace("nul \\0 name", "nul \u{fffd} name")).collect();
    assert_same(&picture(&file), &expected);
    assert!(file.with_extension("aside").exists());

    let shown = format!("sqlite://{}", file.canonicalize().unwrap().display());
    let refusal = PostgresJournal::open(stage.options("a"), Arc::default()).unwrap_err().to_string();
    assert!(refusal.starts_with(&format!("the journal was moved to {shown}; set ")), "{refusal}");
    refused(to_database(&file, &stage, OPTIONS).await, &format!("the journal was moved to {shown}"));
    to_database(&file, &stage, REPLACING).await.unwrap();
    stage.tally();
    drop(stage.member("a"));
    assert_eq!(stage.rows("SELECT count(*), min(epoch) > 0 FROM osnl_partition"), "64|t");
}

#[tokio::test]
async fn the_password_is_in_no_answer() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    let file = filled(&folder).await;
    let with_password = |url: &str| Secret::new(url.replace("osnl@", "osnl:geheim7@"));
    for url in
        ["postgresql://osnl@127.0.0.1:1/none", "postgresql://osnl@/", &stage.url.replace("/test", "/none")]
    {
        let error = Database.move_to(&with_password(url), OPTIONS).await.err().unwrap();
        assert!(!format!("{error} {error:?}").contains("geheim7"), "{error:?}");
    }
    let mut source = SqliteSource::open(&file).unwrap();
    let mut destination = Database.move_to(&with_password(&stage.url), OPTIONS).await.unwrap();
    moving::run(&mut source, &mut *destination, false, &go_on).await.unwrap();
    drop(source);
    let opened = SqliteJournal::open(options_of(&file), Arc::default()).unwrap_err().to_string();
    assert!(opened.contains("postgresql://osnl@") && !opened.contains("geheim7"), "{opened}");
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(7).any(|found| found == b"geheim7"));
}
