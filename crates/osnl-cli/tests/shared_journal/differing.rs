use osnl_testkit::{Postgres, wait_until};
use serde_json::Value;

use crate::stage::{SOON, Stage};

fn differing(stage: &Stage, name: &str) -> Vec<String> {
    let status = stage.status(name);
    let incidents = status["incidents"].as_array().unwrap();
    let of_kind = incidents.iter().filter(|one| one["kind"] == "members-differ");
    of_kind.map(|one| one["why"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn daemons_with_different_configurations_are_named_until_they_are_the_same() {
    let stage = Stage::new("differing", &Postgres::shared().database());
    let _a = stage.daemon("a");
    let more = "retry_interval = 1s\n[action:other]\ndriver = http\nurl = TARGET";
    let edits = [("actions = hook", "actions = hook, other"), ("retry_interval = 1s", more)];
    let _b = stage.daemon_with("b", &edits);
    let (of_a, of_b) = (|| differing(&stage, "a"), || differing(&stage, "b"));
    wait_until(SOON, "the difference to be seen", || {
        of_a() == ["[rule:gone] differs, [action:other] is missing here"]
            && of_b() == ["[action:other] is missing there, [rule:gone] differs"]
    });
    let (code, said) = stage.run("a", &["status"]);
    assert!(
        code == Some(1) && said.contains("has another configuration\nwhy  [rule:gone] differs"),
        "{code:?}: {said}"
    );
    let status = stage.status("a");
    let members = status["journal"]["members"].as_array().unwrap();
    assert!(
        members.iter().any(|member| member["differences"]
            == Value::from(vec!["[rule:gone] differs", "[action:other] is missing here"])),
        "{members:?}"
    );

    stage.configure("b", &[]);
    let (code, said) = stage.run("b", &["reload"]);
    assert_eq!(code, Some(0), "{said}");
    wait_until(SOON, "both to be the same", || of_a().is_empty() && of_b().is_empty());
}
