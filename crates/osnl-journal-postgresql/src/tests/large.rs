use osnl_testkit::{FaultyProxy, NetworkFault};

use super::*;

const SHORT: Duration = Duration::from_secs(2);
const BODY: usize = 2 << 20;
/// A part of 64 KiB waits this long in each direction, as do commits between parts, so that 2 MiB exceed the
/// lease.
const SLOW: NetworkFault = NetworkFault::Delay(Duration::from_millis(20));
const SLOW_ANSWERS: NetworkFault = NetworkFault::Delay(Duration::from_millis(10));

fn large(id: &str) -> Entry {
    let mut new = entry(id, "large", false);
    let received = Arc::make_mut(&mut new.received);
    received.body = [&received.body[..], &vec![b' '; BODY]].concat().into();
    new
}

fn of_another_queue(id: &str) -> Entry {
    let mut new = entry(id, id, false);
    Arc::make_mut(&mut new.received).origin.queue = "other".into();
    new
}

fn open(proxy: &FaultyProxy, url: &str) -> PostgresJournal {
    let port = Postgres::shared().port();
    let url = url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port()));
    let options = Options { lease: SHORT, renewal: SHORT / 3, patience: SHORT / 3, ..options(&url, "a") };
    PostgresJournal::open(options, Arc::default()).unwrap()
}

#[tokio::test]
async fn a_large_message_on_a_slow_network_holds_up_its_queue_alone() {
    let (proxy, url) = (FaultyProxy::before(Postgres::shared().port()), Postgres::shared().database());
    let rows = |sql: &str| Postgres::shared().rows(url.rsplit_once('/').unwrap().1, sql);
    let epochs = || rows("SELECT string_agg(epoch::text, ' ' ORDER BY id) FROM osnl_partition");
    let a = open(&proxy, &url);
    let before = epochs();
    keep(&a, "0", "k").await;
    proxy.set(SLOW);
    let mut stored = std::pin::pin!(append(&a, large("1")).await);
    let behind = append(&a, entry("2", "k", false)).await;
    let mut others = 0;
    let settled = loop {
        if let Some(settled) = stored.as_mut().now_or_never() {
            break settled;
        }
        let id = format!("other{others}");
        assert_eq!(within(append(&a, of_another_queue(&id)).await).await, Settle::Acknowledge);
        for claimed in claimable(&a, "a").await {
            assert!(a.term(&[claimed.id]).unwrap().left() > Duration::ZERO);
            if names(std::slice::from_ref(&claimed)) != ["1"] {
                a.end(claimed.id, Outcome::Delivered.into());
            }
        }
        others += 1;
    };
    assert_eq!((settled, within(behind).await), (Settle::Acknowledge, Settle::Acknowledge));
    assert!(others >= 3, "{others}");
    assert_eq!(epochs(), before, "no lease has ended");
    proxy.set(NetworkFault::None);
    let order = "SELECT string_agg(unique_id, ' ' ORDER BY id) FROM osnl_arrival WHERE queue = 'q'";
    assert_eq!(rows(order), "0 1 2");
    let whole = format!("SELECT length(body) > {BODY} FROM osnl_arrival WHERE unique_id = '1'");
    assert_eq!((rows(&whole), rows("SELECT count(*) FROM osnl_part")), ("t".to_owned(), "0".to_owned()));
    drop(a);

    let b = open(&proxy, &url);
    let before = epochs();
    proxy.set(SLOW_ANSWERS);
    let mut claimed = Vec::new();
    while !names(&claimed).contains(&"1") {
        claimed.extend(within(b.claim("a", ClaimLimits::in_order(9))).await);
    }
    let read = claimed.iter().find(|claimed| names(std::slice::from_ref(claimed)) == ["1"]).unwrap();
    assert!(read.event.received.body.len() > BODY);
    assert!(b.term(&[read.id]).unwrap().left() > Duration::ZERO);
    assert_eq!(epochs(), before);
    proxy.set(NetworkFault::None);
}

#[tokio::test]
async fn large_enrichments_are_read_by_several_statements() {
    const MANY: usize = 40;
    let (proxy, url) = (FaultyProxy::before(Postgres::shared().port()), Postgres::shared().database());
    let a = open(&proxy, &url);
    for n in 0..MANY {
        keep(&a, &n.to_string(), &n.to_string()).await;
    }
    drop(a);
    // 64 KiB each 20 ms: the enrichments need 3 s together, and a statement has 2 s.
    let found = r#"SELECT id, '{"asked": "' || repeat('x', 250000) || '"}' FROM osnl_delivery"#;
    let database = url.rsplit_once('/').unwrap().1;
    Postgres::shared().sql(database, &format!("INSERT INTO osnl_enriched {found}"));
    let b = open(&proxy, &url);
    proxy.set(SLOW);
    let mut claimed = Vec::new();
    while claimed.len() < MANY {
        claimed.extend(within(b.claim("a", ClaimLimits::in_order(MANY))).await);
    }
    proxy.set(NetworkFault::None);
    let all: Vec<String> = (0..MANY).map(|n| n.to_string()).collect();
    assert_eq!(names(&claimed), all);
    assert!(claimed.iter().all(|claimed| claimed.event.enriched.is_some()));
}

#[tokio::test]
async fn a_large_message_whose_parts_are_refused_is_set_aside_cut() {
    let stage = Stage::new();
    let member = stage.member("a");
    stage.rows("ALTER TABLE osnl_part ADD CONSTRAINT small CHECK (part = 0)");
    assert_eq!(within(append(&member, large("1")).await).await, Settle::Acknowledge);
    keep(&member, "2", "k").await;
    let kept =
        "SELECT size > 2 << 20, extent, length(body) < 65536, reason LIKE '%23514%' FROM osnl_unreadable";
    assert_eq!(stage.rows(kept), "t|2|t|t");
}

/// A replica that takes over may lack the latest commits: a body without its beginning is no message.
#[tokio::test]
async fn a_large_message_whose_parts_are_lost_is_sent_again_in_its_place() {
    let stage = Stage::new();
    let member = stage.member("a");
    stage.rows(
        "CREATE TABLE lost (n int); \
         CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           IF NEW.part = 3 AND NOT EXISTS (SELECT 1 FROM lost) THEN \
             DELETE FROM osnl_part WHERE part = 0; INSERT INTO lost VALUES (1); \
           END IF; RETURN NEW; END $$; \
         CREATE TRIGGER lose BEFORE INSERT ON osnl_part FOR EACH ROW EXECUTE FUNCTION lose()",
    );
    let (first, second) = (append(&member, large("1")).await, append(&member, entry("2", "k", false)).await);
    assert_eq!((within(first).await, within(second).await), (Settle::Acknowledge, Settle::Acknowledge));
    let whole = format!("SELECT unique_id, length(body) > {BODY} FROM osnl_arrival ORDER BY id");
    assert_eq!(stage.rows(&whole), "1|t\n2|f");
    assert_eq!(stage.rows("SELECT n FROM lost"), "1");
}
