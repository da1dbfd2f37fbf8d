use std::os::unix::fs::PermissionsExt as _;

use osnl::actions::exec::ExecMode;

use super::*;

#[test]
fn a_child_that_fails_is_replaced() {
    use ErrorClass::{Connect, Rejected, Reset};
    for (payload, class, reason) in [
        (json!({"do": "die"}), Reset, "has ended (signal: 9 (SIGKILL))"),
        (json!({"do": "exit"}), Reset, "has ended (exit status: 3); its last words: out of cheese"),
        (json!({"do": "fatal"}), Connect, "no licence"),
        (json!({"do": "close output"}), Reset, "has ended"),
        (
            json!({"do": "write", "text": "hello\n"}),
            Rejected,
            "\"hello\" is not a JSON object; its standard output is for verdicts",
        ),
        (
            json!({"do": "write", "text": "{\"id\": 999, \"verdict\": \"done\"}\n"}),
            Rejected,
            "has the id of no event that waits",
        ),
        (json!({"do": "write", "text": "\u{0}\n"}), Rejected, "is not a JSON object"),
        (json!({"do": "last", "text": "ticket 4711"}), Rejected, "\"ticket 4711\" is not a JSON object"),
        (json!({"do": "last", "text": "{\"id\": ID, \"verd"}), Rejected, "is not a JSON object"),
        (json!({"do": "flood"}), Rejected, "is longer than reply_limit, 65536 bytes"),
    ] {
        let (_folder, stand) = obedient(|_, _, _| {});
        let first = stand.pid();
        let error = stand.attempt(&payload).unwrap_err();
        assert_eq!(error.class, class, "{payload}: {error}");
        assert!(error.reason.contains(reason), "{payload}: {error}");
        assert!(!is_there(first), "{payload}");
        let second = next_pid(&stand);
        assert_ne!(first, second, "{payload}");
        stand.close(false);
        assert!(!is_there(second), "{payload}");
    }
}

/// The event may have had its effect, whether or not the program has answered another.
#[test]
fn a_line_that_is_no_verdict_refuses_all_that_wait() {
    for has_answered in [true, false] {
        let (_folder, stand) = obedient(|_, _, _| {});
        if has_answered {
            stand.pid();
        }
        let mut payloads = vec![json!({"do": "keep", "until": 99}); 3];
        payloads.push(json!({"do": "write", "text": "ticket 4711\n"}));
        for result in stand.attempts(&payloads) {
            let error = result.unwrap_err();
            assert_eq!(error.class, ErrorClass::Rejected, "{error}");
            assert!(error.to_string().starts_with("unreadable verdict: "), "{error}");
            let remedy = error.remedy().unwrap();
            assert!(remedy.contains("look at the target before you retry"), "{remedy}");
        }
        next_pid(&stand);
    }
}

/// Returns the process that is given events next: none is for a moment after a line that is no verdict.
fn next_pid(stand: &Stand) -> u32 {
    let mut verdict = stand.attempt(&json!({"do": "pid"}));
    wait_until(SOON, "the next child to be given events", || {
        let is_held = verdict.as_ref().is_err_and(|error| error.retry_after.is_some());
        if is_held {
            verdict = stand.attempt(&json!({"do": "pid"}));
        }
        !is_held
    });
    said(verdict).parse().unwrap()
}

/// A program that greets costs the event that it may have read, and then holds its action until it is corrected. No event
/// waits within an attempt, whose time-out may be short.
#[test]
fn a_greeting_refuses_no_event_that_the_program_has_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "#!/bin/sh\ncd {}\nif [ ! -e corrected ]; then\n[ -e greeted ] || read -r line\n: > greeted\necho hello\n\
         cat > /dev/null\nfi\nwhile IFS= read -r line; do n=${{line#*:}}\n\
         printf '{{\"id\": %s, \"verdict\": \"done\"}}\\n' \"${{n%%,*}}\"\ndone\n",
        folder.path().display()
    );
    let stand = Stand::new(Exec::new(
        "a",
        Program::new([written(&folder, "greets", &script)]),
        ExecOptions::default(),
    ));
    let event = json!({});
    assert_eq!(stand.attempt(&event).unwrap_err().class, ErrorClass::Rejected);
    let held = |error: ActionError| {
        assert_eq!(error.class, ErrorClass::Connect, "{error}");
        assert!(error.reason.contains("\"hello\" is not a JSON object"), "{error}");
        error.retry_after
    };
    for result in stand.attempts(&[event.clone(), event.clone()]) {
        let pause = held(result.unwrap_err());
        assert!(pause.is_some_and(|pause| pause <= Duration::from_secs(2)), "{pause:?}");
    }
    wait_until(SOON, "a child that greets to be ended", || {
        stand.attempt(&event).is_err_and(|error| held(error).is_none())
    });
    fs::write(folder.path().join("corrected"), "").unwrap();
    wait_until(SOON, "the corrected program to be given events", || {
        stand.attempt(&event).map_err(held).is_ok()
    });
}

#[test]
fn blank_lines_are_ignored_and_the_last_verdict_may_lack_its_line_feed() {
    for (before, id) in [("", "ID"), ("", "\"ID\""), ("\n \r\n", "ID")] {
        let (_folder, stand) = obedient(|_, _, _| {});
        let text = format!("{before}{{\"id\": {id}, \"verdict\": \"done\", \"reason\": \"ticket 7\"}}");
        assert_eq!(said(stand.attempt(&json!({"do": "last", "text": text}))), "ticket 7");
    }
}

#[test]
fn a_child_that_has_never_answered_could_not_be_started() {
    let (_folder, stand) = obedient(|_, _, _| {});
    let error = stand.attempt(&json!({"do": "exit"})).unwrap_err();
    assert_eq!(error.class, ErrorClass::Connect, "{error}");
    assert!(error.reason.ends_with("(exit status: 3); its last words: out of cheese"), "{error}");
}

#[test]
fn an_event_that_ends_each_fresh_child_uses_up_attempts_once_the_program_has_answered() {
    let (_folder, stand) = obedient(|_, _, _| {});
    stand.pid();
    for _ in 0..3 {
        let error = stand.attempt(&json!({"do": "exit"})).unwrap_err();
        assert_eq!(error.class, ErrorClass::Reset, "{error}");
    }
}

#[test]
fn all_events_in_the_hands_of_a_child_that_dies_fail() {
    let (_folder, stand) = obedient(|_, _, _| {});
    stand.pid();
    let mut payloads = vec![json!({"do": "keep", "until": 99}); 10];
    payloads.push(json!({"do": "die"}));
    let results = stand.attempts(&payloads);
    assert_eq!(results.len(), 11);
    for result in results {
        assert_eq!(result.unwrap_err().class, ErrorClass::Reset);
    }
    assert_eq!(
        stand.log.lines().iter().filter(|line| line.contains("SIGKILL")).count(),
        0,
        "said by whoever waits"
    );
}

#[test]
fn a_child_that_hangs_is_ended_before_its_event_is_attempted_again() {
    for stubborn in [false, true] {
        let (folder, stand) = obedient(|_, options, _| options.stop_timeout = STUBBORN);
        let first = stand.pid();
        let grandchild: u32 = said(stand.attempt(&json!({"do": "bear"}))).parse().unwrap();
        if stubborn {
            said(stand.attempt(&json!({"do": "be stubborn"})));
        }
        let begun = folder.path().join("hangs");
        stand.give_up(&json!({"do": "hang", "file": begun}), || begun.exists());
        let second = stand.pid();
        assert_ne!(first, second);
        assert!(!is_there(first), "stubborn: {stubborn}");
        wait_until(SOON, "what it has started is reaped by init", || is_gone_or_zombie(grandchild));
    }
}

/// Returns whether an orphan has ended. Its parent may be slow to reap it, or missing without an init.
fn is_gone_or_zombie(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')),
        Err(_) => true,
    }
}

#[test]
fn a_child_that_dies_while_nothing_is_to_be_done_is_noticed() {
    let (_folder, stand) = obedient(|_, _, _| {});
    let pid = stand.pid();
    let pid_of = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid_of, rustix::process::Signal::KILL).unwrap();
    stand.wait(async {
        while is_there(pid) || stand.log.lines().iter().all(|line| !line.contains("started again")) {
            tokio::task::yield_now().await;
        }
    });
    assert_ne!(stand.pid(), pid);
}

#[test]
fn what_cannot_be_started_says_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    let no_interpreter = written(&folder, "no-interpreter", "#!/nonexistent/interpreter\n");
    let no_program = written(&folder, "no-program", "echo\n");
    let not_executable = written(&folder, "not-executable", "#!/bin/sh\n");
    fs::set_permissions(&not_executable, fs::Permissions::from_mode(0o644)).unwrap();
    for (program, expected) in [
        (Program::new(["osnl-no-such-program"]), "it is in no folder of its PATH"),
        (Program::new(["/nonexistent/program"]), "No such file or directory"),
        (Program::new([no_interpreter.as_str()]), "the interpreter in its first line does not exist"),
        (Program::new([no_program.as_str()]), "a script needs #! in its first line"),
        (Program::new([not_executable.as_str()]), "it must be executable for the user of osnl"),
        (
            Program { working_dir: "/nonexistent".into(), ..Program::new(["/bin/sh"]) },
            "its working_dir /nonexistent is not a folder",
        ),
    ] {
        for mode in [ExecMode::Stream, ExecMode::Once] {
            let options = ExecOptions { mode, ..ExecOptions::default() };
            let stand = Stand::new(Exec::new("a", program.clone(), options));
            let error = stand.attempt(&json!({})).unwrap_err();
            assert_eq!(error.class, ErrorClass::Connect, "{error}");
            assert!(error.reason.contains(expected), "{expected}: {error}");
        }
        let stand = Stand::new(Exec::new("a", program, ExecOptions::default()));
        let refused = stand.wait(stand.action.open()).unwrap_err();
        assert!(refused.reason.contains(expected), "{expected}: {refused}");
    }
}

#[test]
fn bytes_that_are_no_text_spoil_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let script = "import os, sys\nfor line in sys.stdin.buffer:\n  os.write(2, b'caf\\xe9 \\xff\\n')\n  \
                  os.write(1, b'{\"id\": ' + line[6:line.index(b',')] + b', \"verdict\": \"failed\", \"reason\": \"caf\\xe9\"}\\n')\n";
    let script = written(&folder, "child.py", script);
    let program = Program::new([python(), "-S".to_owned(), script]);
    let stand = Stand::new(Exec::new("a", program, ExecOptions::default()));
    let error = stand.attempt(&json!({})).unwrap_err();
    assert!(error.reason.contains("caf\u{fffd}"), "{error:?}");
    stand.close(false);
    assert!(
        stand.log.lines().iter().any(|line| line.contains("caf\u{fffd} \u{fffd}")),
        "{:?}",
        stand.log.lines()
    );
}

#[test]
fn a_huge_event_comes_whole() {
    for mode in [ExecMode::Stream, ExecMode::Once] {
        let folder = tempfile::tempdir().unwrap();
        let script = match mode {
            ExecMode::Stream => {
                "import json, sys\nfor line in sys.stdin:\n  e = json.loads(line)\n  \
                             print(json.dumps({'id': e['id'], 'verdict': 'done', 'reason': str(len(e['payload']['x']))}), flush=True)\n"
            }
            ExecMode::Once => "import json, sys\nprint(len(json.loads(sys.stdin.read())['payload']['x']))\n",
        };
        let script = written(&folder, "child.py", script);
        let program = Program::new([python(), "-S".to_owned(), script]);
        let stand = Stand::new(Exec::new("a", program, ExecOptions { mode, ..ExecOptions::default() }));
        let payload = json!({"x": "ü\"\\".repeat(300_000)});
        assert_eq!(said(stand.attempt(&payload)), "900000", "{mode:?}");
        stand.close(false);
    }
}
