use osnl_testkit::{Authority, ServerIdentity};

use super::*;

#[test]
fn a_session_is_encrypted_and_its_server_checked_as_asked() {
    let server = Postgres::start(false);
    let url = server.database();
    let (authority, other) = (Authority::new(), Authority::new());
    let open = |host: &str, query: &str, authority: &Authority| {
        let url = url.replace("127.0.0.1", host);
        let file = authority.file();
        let url =
            ConnectionUrl::parse(&format!("{url}?sslmode={query}&sslrootcert={}", file.display())).unwrap();
        let options = Options { url, ..options(&server.database(), "a") };
        let journal = PostgresJournal::open(options, Arc::default()).unwrap();
        let state = journal.state().borrow().clone();
        match state {
            JournalState::Failed { reason, .. } => Err(reason),
            JournalState::Working | JournalState::Full { .. } => Ok(server.rows("test0", "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'osnl'")),
        }
    };
    assert_eq!(open("127.0.0.1", "prefer", &authority).unwrap(), "f");
    let refused = open("127.0.0.1", "require", &authority).unwrap_err();
    assert!(refused.contains("does not support TLS"), "{refused}");
    server.encrypt(&authority.issue(&ServerIdentity::For("DNS:localhost")));
    for (host, mode, authority, expected) in [
        ("127.0.0.1", "disable", &authority, Ok("f")),
        ("127.0.0.1", "prefer", &other, Ok("t")),
        ("127.0.0.1", "require", &other, Ok("t")),
        ("127.0.0.1", "verify-ca", &authority, Ok("t")),
        ("127.0.0.1", "verify-ca", &other, Err("UnknownIssuer")),
        ("localhost", "verify-full", &authority, Ok("t")),
        ("127.0.0.1", "verify-full", &authority, Err("not valid for name")),
    ] {
        let found = open(host, mode, authority);
        match expected {
            Ok(expected) => assert_eq!(found.as_deref(), Ok(expected), "{host} {mode}"),
            Err(part) => {
                assert!(found.as_ref().is_err_and(|said| said.contains(part)), "{host} {mode}: {found:?}")
            }
        }
    }
}
