use osnl::actions::exec::ExecMode;

use super::*;

fn shell(script: &str) -> (TempDir, Stand) {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, "once.sh", &format!("#!/bin/sh\ncd {}\n{script}\n", folder.path().display()));
    let options = ExecOptions {
        mode: ExecMode::Once,
        reply_limit: 1000,
        stop_timeout: Duration::from_millis(200),
        ..ExecOptions::default()
    };
    (folder, Stand::new(Exec::new("a", Program::new([path]), options)))
}

#[test]
fn the_exit_status_is_the_verdict() {
    use ErrorClass::{Busy, Connect, Refused, Rejected};
    for (script, expected) in [
        ("exit 0", Ok("done")),
        ("echo ticket 7; echo more", Ok("ticket 7")),
        ("cat >/dev/null; echo '{\"verdict\": \"done\", \"reason\": \"by verdict\"}'", Ok("by verdict")),
        ("echo no such host; exit 65", Err((Rejected, "ended with 65: no such host"))),
        ("exit 75", Err((Busy(None), "ended with 75"))),
        ("echo oops >&2; exit 1", Err((Refused(None), "ended with 1; its last words: oops"))),
        ("exit 127", Err((Refused(None), "ended with 127"))),
        ("kill -9 $$", Err((Refused(None), "signal: 9"))),
        // A verdict counts only from a process that ended with status 0.
        ("echo '{\"verdict\": \"done\"}'; exit 1", Err((Refused(None), "ended with 1"))),
        ("echo '{\"verdict\": \"transient\", \"retry_after\": 5}'", Err((Busy(None), "no reason given"))),
        ("echo '{\"fatal\": \"no licence\"}'", Err((Connect, "once.sh: no licence"))),
        ("echo '{\"fatal\": \"no licence\"}'; exit 65", Err((Connect, "once.sh: no licence"))),
        // A long output changes no status, and a process that has succeeded is not repeated.
        ("yes | head -c 100000", Ok("y")),
        ("yes | head -c 100000; exit 1", Err((Refused(None), "ended with 1: y"))),
        // A background child holds the output open, and is ended too.
        ("sleep 1000 & exit 0", Ok("done")),
    ] {
        let (_folder, stand) = shell(script);
        match (stand.attempt(&json!({})), expected) {
            (Ok(Completion::Delivered(what)), Ok(expected)) => {
                assert!(what.contains(expected), "{script}: {what}")
            }
            (Err(error), Err((class, expected))) => {
                assert_eq!(error.class, class, "{script}: {error}");
                assert!(error.reason.contains(expected), "{script}: {error}");
            }
            (result, expected) => panic!("{script}: {result:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn nothing_to_do_is_a_verdict_too() {
    let (_folder, stand) = shell("echo '{\"verdict\": \"nothing_to_do\", \"reason\": \"not ours\"}'");
    assert_eq!(stand.attempt(&json!({})), Ok(Completion::NothingToDo("not ours".to_owned())));
}

#[test]
fn the_event_is_its_input_and_its_head_is_in_its_environment() {
    let (folder, stand) = shell("cat > event; env | grep ^OSNL_ > variables");
    // The payload exceeds a pipe's size, and the type exceeds the environment's.
    let payload = json!({"port": {"id": "p1"}, "long": "x".repeat(300_000)});
    let of = event("port.create.end", &payload);
    stand.attempt_of(&of).unwrap();
    let line: Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("event")).unwrap()).unwrap();
    assert_eq!(line["payload"], payload);
    let variables = fs::read_to_string(folder.path().join("variables")).unwrap();
    for expected in [
        "OSNL_ACTION=a",
        "OSNL_RULE=r",
        "OSNL_EVENT_TYPE=port.create.end",
        "OSNL_PUBLISHER_ID=network.node1",
        "OSNL_PRIORITY=info",
        "OSNL_RESOURCE_KIND=port",
        "OSNL_RESOURCE_ID=p1",
        &format!("OSNL_IDEMPOTENCY_KEY={}", of.idempotency_key()),
    ] {
        assert!(variables.lines().any(|line| line == expected), "{expected}: {variables}");
    }
    stand.attempt_of(&event("a\0b", &json!({}))).unwrap();
}

#[test]
fn a_process_that_hangs_is_gone_before_the_next_one_begins() {
    let (folder, stand) = shell(
        "trap '' TERM; if [ ! -e pid ]; then echo $$ > pid_; mv pid_ pid; while :; do sleep 1000; done; fi",
    );
    let file = folder.path().join("pid");
    stand.give_up(&json!({}), || file.exists());
    let pid: u32 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    stand.attempt(&json!({})).unwrap();
    assert!(!is_there(pid));
}

#[test]
fn processes_that_hang_end_with_the_action() {
    let (folder, stand) = shell("echo $$ > pid_; mv pid_ pid; exec sleep 1000");
    let file = folder.path().join("pid");
    stand.give_up(&json!({}), || file.exists());
    let pid: u32 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    stand.close(false);
    assert!(!is_there(pid));
}
