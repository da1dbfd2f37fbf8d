use osnl_testkit::{Postgres, free_port, wait_until};

use crate::stage::{SOON, Stage};

#[test]
fn options_that_count_in_one_daemon_are_refused() {
    let stage = Stage::new("refused", "postgresql+psycopg2://osnl:hunter2@db1,db2/osnl");
    let check = |from: &str, to: &str, expected: &str| {
        stage.configure("a", &[(from, to)]);
        let (code, said) = stage.run("a", &["check"]);
        assert_eq!(code, Some(78), "{to}: {said}");
        assert!(said.contains(expected) && !said.contains("hunter2"), "{to}: {said}");
    };
    check(
        "prefetch = 10",
        "single_active_consumer = false",
        "[listener:neutron] single_active_consumer: a shared journal needs one active reader of each queue",
    );
    check(
        "prefetch = 10",
        "queue_type = stream",
        "[listener:neutron] queue_type: a stream gives every message to each daemon of a shared journal",
    );
    let body = r#"body = {"port": "{{ payload.port.id }}", "n": {{ payload.n | default(0) }}}"#;
    check(
        &format!("driver = http\nurl = TARGET\n{body}"),
        "driver = oss_rest\nurl_creation = TARGET/came\nurl_deletion = TARGET/went",
        "[action:hook] driver: depends on what earlier messages said, which each of the daemons",
    );
    check("lease = 3s", "max_size = 1GiB", "[journal] max_size: is not kept by a journal in PostgreSQL");
    check(
        "lease = 3s",
        "lease = 1s\nmax_size = 1GiB",
        "[journal] max_size: is not kept by a journal in PostgreSQL",
    );
    check("lease = 3s", "lease = 1s", "[journal] lease: \"1s\" is out of range; allowed: 2s to");
    check("DATABASE", "postgresql://db/osnl", "[journal] connection: the user is required");

    let counted = "actions = hook\nguard = 5 per 1m\n[action:hook]\nguard = 9 per 1m\nrate = 5 per 1m";
    stage.configure("a", &[("actions = hook\n[action:hook]", counted)]);
    let (code, said) = stage.run("a", &["check"]);
    assert!(code == Some(0) && said.contains("at most 5 calls per 1m"), "{said}");
    stage.configure("a", &[]);
    let (code, said) = stage.run("a", &["config", "show"]);
    assert!(code == Some(0) && said.contains("postgresql+psycopg2://osnl:***@db1,db2/osnl"), "{said}");
    let (code, said) = stage.run("a", &["check"]);
    assert!(code == Some(0) && said.contains("shared with other daemons"), "{said}");
    std::fs::write(stage.path("url"), "postgresql://osnl:hunter2@db/osnl\n").unwrap();
    stage.configure("a", &[("DATABASE", "file://HOME/url")]);
    let (code, said) = stage.run("a", &["check"]);
    assert!(
        code == Some(0) && said.contains("postgresql://osnl@db/osnl") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn a_user_without_rights_is_told_what_is_missing_and_an_administrator_makes_the_tables() {
    let server = Postgres::start(true);
    let url = server.database();
    let database = url.rsplit_once('/').unwrap().1;
    let stage = Stage::new("rights", &url.replace("osnl@", "narrow@"));
    server.sql("postgres", "CREATE ROLE narrow LOGIN");
    server.sql(database, "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    stage.configure("a", &[("allow_volatile = true", "allow_volatile = false")]);
    let (code, said) = stage.run("a", &["check", "--connect"]);
    assert_ne!(code, Some(0), "{said}");
    assert!(said.contains("no tables yet, and this user may not make version"), "{said}");
    assert!(said.contains("PostgreSQL 1") && said.contains("fsync = on"), "{said}");
    let (code, said) = stage.run("a", &["run"]);
    assert!(code == Some(69) && said.contains("osnl journal migrate --dry-run"), "{code:?}: {said}");

    let (code, sql) = stage.run("a", &["journal", "migrate", "--dry-run"]);
    assert_eq!(code, Some(0), "{sql}");
    server.sql(database, &sql);
    let (_, said) = stage.run("a", &["check", "--connect"]);
    assert!(said.contains("this user may not read and write osnl_arrival"), "{said}");
    server.sql(database, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO narrow");
    let (_, said) = stage.run("a", &["check", "--connect"]);
    assert!(said.contains("readable and writable"), "{said}");
    let (code, said) = stage.run("a", &["journal", "migrate"]);
    assert!(code == Some(0) && said.contains("nothing to do"), "{said}");
    let mut daemon = stage.start("a");
    daemon.wait_for("listening at", 1, SOON);
    // The drain ends running attempts and gives the partitions back.
    daemon.signal("TERM");
    assert_eq!(daemon.wait(SOON).code(), Some(0), "{}", daemon.output());
    assert_eq!(server.rows(database, "SELECT count(*) FROM osnl_partition WHERE token IS NOT NULL"), "0");
}

#[test]
fn several_hosts_whose_replicas_are_asynchronous_are_refused_with_the_remedy() {
    let server = Postgres::start(true);
    let url = server.database();
    let standby = server.standby(free_port(), server.port());
    let follows = || server.rows("postgres", "SELECT count(*) FROM pg_stat_replication") == "1";
    wait_until(SOON, "the standby to follow", follows);
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}/", server.port(), standby.port());
    let stage = Stage::new("replicas", &url.replace(&format!("127.0.0.1:{}/", server.port()), &hosts));
    stage.configure("a", &[("allow_volatile = true", "allow_volatile = false")]);
    let remedy =
        "set synchronous_standby_names, or name one host in connection, or set allow_volatile = true";
    let (code, said) = stage.run("a", &["check", "--connect"]);
    assert!(said.contains("asynchronous replicas: 1") && said.contains(remedy), "{said}");
    assert_eq!(code, Some(69), "{said}");
    let (code, said) = stage.run("a", &["run"]);
    assert!(
        code == Some(69) && said.contains("the server's replicas are asynchronous (1 connected)"),
        "{said}"
    );
    stage.configure("a", &[]);
    let (_, said) = stage.run("a", &["check", "--connect"]);
    assert!(said.contains("the latest commits are lost at a fail-over") && !said.contains(remedy), "{said}");
    stage.configure("a", &[("allow_volatile = true", "allow_volatile = false")]);
    server.wait_for_standby();
    let (_, said) = stage.run("a", &["check", "--connect"]);
    assert!(said.contains("synchronous standby") && !said.contains(remedy), "{said}");
}
