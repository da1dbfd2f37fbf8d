use std::ops::ControlFlow;

use osnl_journal::sqlite::upkeep::Observer;

use super::*;
use crate::delivery::delivery;
use crate::view::verify::verify;

fn watching() -> Observer {
    Arc::new(|_| ControlFlow::Continue(()))
}

#[tokio::test]
async fn each_kind_of_damage_is_named() {
    let stage = Stage::new();
    let a = stage.member("a");
    for (id, key) in [("1", "k"), ("2", "k"), ("3", "other"), ("4", "fourth"), ("5", "fifth"), ("6", "k")] {
        keep(&a, id, key).await;
    }
    within(a.check()).await;
    let claimed = claim(&a, "a", 4).await;
    let third = claimed.iter().find(|claimed| claimed.key.as_deref() == Some("other")).unwrap();
    a.end(third.id, Outcome::Delivered.into());
    within(a.check()).await;
    let problems = async || {
        let report = within(verify(&stage.options("check"), &watching())).await.unwrap().unwrap();
        (report.contents, report.problems)
    };
    let (contents, found) = problems().await;
    assert_eq!(found, [""; 0]);
    assert_eq!((contents.events, contents.open, contents.dead), (6, 5, 0));
    assert!(contents.bytes > 0 && contents.latest.is_some());
    assert_eq!(contents.schema, i64::from(schema::VERSION));

    let ids = stage.rows("SELECT id FROM osnl_delivery ORDER BY id");
    let ids: Vec<&str> = ids.lines().collect();
    let shown = |n: usize| delivery(ids[n].parse().unwrap());
    stage.rows(&format!("UPDATE osnl_arrival SET body = '\\x00' WHERE id = {} >> 16", ids[4]));
    stage.rows(&format!("DELETE FROM osnl_arrival WHERE id = {} >> 16", ids[3]));
    stage.rows(&format!("UPDATE osnl_delivery SET state = 99 WHERE id = {}", ids[2]));
    let (_, found) = problems().await;
    let of = |words: &str| found.iter().filter(|line| line.contains(words)).count();
    assert_eq!(of(&format!("delivery {} has no message", shown(3))), 1, "{found:?}");
    assert_eq!(of(&format!("delivery {} has an unknown state", shown(2))), 1, "{found:?}");
    assert_eq!(of(&format!("event {} cannot be read: ", shown(4).0 >> 16)), 1, "{found:?}");
    assert_eq!(of("1 deliveries delivered are counted, and there are 0"), 1, "{found:?}");
    // One lane has two ready deliveries, and another has only waiting ones.
    stage.rows(&format!("UPDATE osnl_delivery SET state = 1 WHERE id = {}", ids[1]));
    let (_, found) = problems().await;
    let two = format!("delivery {} is ready with another one of its resource", shown(1));
    assert!(found.contains(&two), "{found:?}");
    stage.rows(&format!("UPDATE osnl_delivery SET state = 0 WHERE id IN ({}, {})", ids[0], ids[1]));
    let (_, found) = problems().await;
    assert!(found.contains(&format!("delivery {} waits for no other", shown(0))), "{found:?}");
}

#[tokio::test]
async fn a_check_is_ended_by_its_observer_and_refused_without_tables() {
    let stage = Stage::new();
    let a = stage.member("a");
    keep(&a, "1", "k").await;
    let ending: Observer = Arc::new(|_| ControlFlow::Break(()));
    assert!(within(verify(&stage.options("check"), &ending)).await.unwrap().is_none());
    within(a.close()).await;
    stage.rows("DROP TABLE osnl_version");
    let why = within(verify(&stage.options("check"), &watching())).await.unwrap_err();
    assert!(why.contains("version 0"), "{why}");
}
