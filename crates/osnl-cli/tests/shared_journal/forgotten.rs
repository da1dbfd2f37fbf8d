use osnl_testkit::{Postgres, wait_until};

use crate::stage::{SOON, Stage};

/// As after a restore, a new database, or the broker's switch to another reader and back without a
/// new subscription.
#[test]
fn a_listener_that_the_journal_has_given_up_subscribes_again_and_reads_on() {
    let url = Postgres::shared().database();
    let mut stage = Stage::new("forgotten", &url);
    let daemon = stage.daemon("a");
    stage.publish(0..4);
    stage.wait_for_all(0..4);
    let mut next = 4;
    let statements = [
        "DELETE FROM osnl_member",
        "UPDATE osnl_reader SET epoch = epoch + 1, token = 'b'",
        "DELETE FROM osnl_member; DELETE FROM osnl_reader",
    ];
    for sql in statements {
        Postgres::shared().sql(url.rsplit_once('/').unwrap().1, sql);
        stage.publish(next..next + 20);
        stage.wait_for_all(0..next + 20);
        stage.wait_for_queue(0);
        next += 20;
    }
    assert_eq!(daemon.output().matches("the listener subscribes again").count(), statements.len());
    wait_until(SOON, "nothing to be left to do", || stage.status("a")["incidents"] == serde_json::json!([]));
    for port in stage.delivered() {
        let firsts: Vec<&u64> =
            port.iter().enumerate().filter(|(at, n)| !port[..*at].contains(n)).map(|(_, n)| n).collect();
        assert!(firsts.is_sorted(), "{port:?}");
    }
}
