use std::time::Duration;

use osnl_testkit::{Reply, wait_until};

use crate::reloading::{LISTENER, RULE, Rig, SOON};

#[test]
fn connections_outlive_a_reload_that_is_not_about_their_action() {
    let mut rig = Rig::start("reload-connections");
    let hook = "[action:roles]\ndriver = http\nurl = SINK\nidle = 1m\nconcurrency = 1\nretry_interval = 1s\n";
    rig.apply(&[LISTENER, RULE, hook]);
    rig.publish([(1, 1)]);
    wait_until(SOON, "the first is delivered", || rig.target("roles")["done"] == 1);
    assert!(rig.apply(&[LISTENER, &RULE.replace("end$", "(start|end)$"), hook]).contains("[rule:r] changed"));
    rig.publish([(2, 2)]);
    wait_until(SOON, "the second is delivered", || rig.target("roles")["done"] == 2);
    let connections =
        |rig: &Rig| rig.sink.requests().iter().map(|request| request.connection).collect::<Vec<_>>();
    assert_eq!(connections(&rig), [1, 1]);
    rig.sink.script(vec![Reply::After(Duration::from_millis(700), Box::new(Reply::Status(204)))]);
    rig.publish([(3, 3)]);
    rig.sink.wait_for(3, SOON);
    let other = format!("{hook}header.X-Other = yes\nrate = 100 per 1s\n");
    assert!(rig.apply(&[LISTENER, RULE, &other]).contains("[action:roles] changed"));
    rig.publish([(4, 4)]);
    wait_until(SOON, "all are delivered", || rig.target("roles")["done"] == 4);
    assert_eq!(connections(&rig), [1, 1, 1, 2]);
    let others: Vec<_> =
        rig.sink.requests().iter().map(|request| request.header("x-other").map(str::to_owned)).collect();
    assert_eq!(others, [None, None, None, Some("yes".to_owned())]);
}
