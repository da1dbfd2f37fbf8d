use osnl_testkit::{Postgres, wait_until};

use crate::mail::MailServer;
use crate::stage::{SOON, Stage};

const HOOK: &str = "driver = http\nurl = TARGET\n\
    body = {\"port\": \"{{ payload.port.id }}\", \"n\": {{ payload.n | default(0) }}}\n";

#[test]
fn one_daemon_gathers_a_digest_and_the_other_one_goes_on_when_it_is_killed() {
    let database = Postgres::shared().database();
    let (mut stage, server) = (Stage::new("digest", &database), MailServer::start());
    let action = format!("{}\n", server.action("digest = 20s"));
    let mut daemons = ["a", "b"].map(|name| stage.daemon_with(name, &[(HOOK, &action)]));
    stage.wait_for_halves("b");
    stage.publish(0..48);
    let kept = |stage: &Stage, name: &str| stage.json(name, &["deliveries", "list"])["totals"].clone();
    wait_until(SOON, "all to be claimable", || kept(&stage, "b")["by_state"]["ready"] == 48);
    // The delivery numbers alone would map to both daemons.
    let of_owner = "SELECT DISTINCT m.name FROM osnl_delivery d JOIN osnl_partition p ON p.id = d.partition \
                    JOIN osnl_member m ON m.token = p.token";
    let owner = Postgres::shared().rows(database.rsplit_once('/').unwrap().1, of_owner);
    assert_eq!(owner.lines().count(), 1, "{owner}");
    let is_owner = |id: u32| owner.ends_with(&format!(":{id}"));
    let killed = daemons.iter().position(|daemon| daemon.id().is_some_and(is_owner)).expect("one owner");
    assert_eq!(server.numbers(), Vec::<Vec<u64>>::new(), "it is being gathered");
    daemons[killed].kill9();

    let other = ["b", "a"][killed];
    stage.publish(48..60);
    wait_until(SOON, "all to be recorded", || kept(&stage, other)["by_state"]["delivered"] == 60);
    assert_eq!(server.numbers(), [(0..60).collect::<Vec<u64>>()]);
    stage.wait_for_queue(0);
}
