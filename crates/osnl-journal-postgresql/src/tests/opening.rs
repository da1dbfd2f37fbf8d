use super::*;

fn refusal(options: Options) -> OpenError {
    PostgresJournal::open(options, Arc::default()).unwrap_err()
}

#[test]
fn a_server_that_may_lose_commits_is_refused() {
    let stage = Stage::new();
    let said = refusal(stage.options("a").bounded(|bounds| bounds.allow_volatile = false)).to_string();
    assert!(said.starts_with("commits would be lost when the server fails (fsync = off)"), "{said}");
}

#[test]
fn a_server_with_asynchronous_replicas_alone_is_refused_for_several_hosts() {
    let server = Postgres::start(true);
    let one_host = server.database();
    let role = "CREATE ROLE plain LOGIN; GRANT ALL ON SCHEMA public TO plain";
    server.sql(one_host.rsplit_once('/').unwrap().1, role);
    let one_host = one_host.replace("osnl@", "plain@");
    let standby = server.standby(osnl_testkit::free_port(), server.port());
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}/", server.port(), standby.port());
    let several = one_host.replace(&format!("127.0.0.1:{}/", server.port()), &hosts);
    let durable = |url: &str| options(url, "a").bounded(|bounds| bounds.allow_volatile = false);
    let follows = || server.rows("postgres", "SELECT count(*) FROM pg_stat_replication") == "1";
    osnl_testkit::wait_until(Duration::from_secs(60), "the standby to follow", follows);
    let refused = refusal(durable(&several));
    assert!(matches!(refused, OpenError::Asynchronous(1)), "{refused:?}");
    let said = refused.to_string();
    assert!(
        said.contains("are asynchronous (1 connected); set synchronous_standby_names, name one"),
        "{said}"
    );
    // There is no host to fail over to, or the operator accepts the risk.
    drop(PostgresJournal::open(durable(&one_host), Arc::default()).unwrap());
    drop(PostgresJournal::open(options(&several, "a"), Arc::default()).unwrap());
    server.wait_for_standby();
    drop(PostgresJournal::open(durable(&several), Arc::default()).unwrap());
}

#[test]
fn tables_are_made_only_where_that_is_permitted() {
    let stage = Stage::new();
    let said = refusal(Options { migrate: false, ..stage.options("a") });
    assert!(matches!(said, OpenError::NotMigrated { found: 0, known: schema::VERSION }), "{said:?}");
    stage.rows(&schema::sql(0));
    assert_eq!(schema::sql(schema::VERSION), "");
    let opened = PostgresJournal::open(Options { migrate: false, ..stage.options("a") }, Arc::default());
    drop(opened.unwrap());
    let (newer, newest) = (schema::VERSION + 1, schema::VERSION + 2);
    stage.rows(&format!("INSERT INTO osnl_version VALUES ({newer}, 1, 'x')"));
    drop(stage.member("an older program beside a newer one"));
    stage.rows(&format!("INSERT INTO osnl_version VALUES ({newest}, {newer}, 'x')"));
    let refused = refusal(stage.options("a"));
    assert!(
        matches!(refused, OpenError::Newer { found, known: schema::VERSION } if found == newest),
        "{refused:?}"
    );
}

#[test]
fn members_that_start_together_make_the_tables_once() {
    let stage = Stage::new();
    std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| stage.member("a"))).collect();
        let members: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
        let versions: Vec<String> = (1..=schema::VERSION).map(|version| version.to_string()).collect();
        assert_eq!(stage.rows("SELECT version FROM osnl_version ORDER BY version"), versions.join("\n"));
        assert_eq!(
            stage.rows(
                "SELECT count(*), max(epoch) BETWEEN 1 AND extract(epoch FROM now()) FROM osnl_partition"
            ),
            "64|t",
            "each was taken once"
        );
        drop(members);
    });
}

#[test]
fn a_session_waits_for_the_disk_and_its_password_is_not_printed() {
    let stage = Stage::new();
    let url = stage.url.replace("osnl@", "osnl:hunter2@");
    let options = Options { url: ConnectionUrl::parse(&url).unwrap(), ..stage.options("a") };
    stage.rows("ALTER ROLE osnl SET synchronous_commit = off");
    let database = stage.url.rsplit_once('/').unwrap().1;
    stage.rows(&format!("ALTER DATABASE {database} SET statement_timeout = '10s'"));
    stage.rows(&format!("ALTER DATABASE {database} SET idle_session_timeout = '10s'"));
    let member = PostgresJournal::open(options.clone(), Arc::default()).unwrap();
    assert!(!format!("{options:?} {member:?}").contains("hunter2"));
    let (sender, receiver) = channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tls = tls::PostgresTls::of(&options.url).unwrap();
        let session = session::Session::connect(&options.url, tls, options.patience).await.unwrap();
        for setting in [
            "synchronous_commit",
            "default_transaction_isolation",
            "statement_timeout",
            "idle_session_timeout",
        ] {
            let row = session.client.query_one(&format!("SHOW {setting}"), &[]).await.unwrap();
            sender.send(row.get::<_, String>(0)).unwrap();
        }
    });
    stage.rows("ALTER ROLE osnl RESET synchronous_commit");
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["on", "read committed", "0", "0"]);
    let unreachable =
        stage.url.replace("@127.0.0.1:", "@127.0.0.1:1,127.0.0.1:").replace("osnl@", "osnl:hunter2@");
    let several = Options { url: ConnectionUrl::parse(&unreachable).unwrap(), ..stage.options("b") };
    drop(PostgresJournal::open(several, Arc::default()).unwrap());
    let closed = ConnectionUrl::parse("postgresql://osnl:hunter2@127.0.0.1:1/osnl").unwrap();
    let away = PostgresJournal::open(Options { url: closed, ..stage.options("c") }, Arc::default()).unwrap();
    let JournalState::Failed { reason, .. } = away.state().borrow().clone() else { panic!("it works") };
    assert!(reason.contains("refused") && !reason.contains("hunter2"), "{reason}");
}

/// A machine without power, or a server whose disk hangs, while its standby has been promoted.
#[tokio::test]
async fn a_silent_host_does_not_keep_the_next_one_from_being_used() {
    let server = Postgres::shared();
    let proxy = osnl_testkit::FaultyProxy::before(server.port());
    proxy.set(osnl_testkit::NetworkFault::Stall);
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}/", proxy.port(), server.port());
    let url = server.database().replace(&format!("127.0.0.1:{}/", server.port()), &hosts);
    let options = Options { patience: Duration::from_secs(2), ..options(&url, "a") };
    let a = PostgresJournal::open(options, Arc::default()).unwrap();
    keep(&a, "1", "k").await;
    assert_eq!(proxy.accepted(), 1);
}
