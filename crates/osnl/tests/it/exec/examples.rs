//! The plug-ins of `examples/plugins`, as in docs/writing-a-plugin.md. The plug-in in Go needs a compiler that the
//! tests lack.

use osnl::actions::exec::ExecMode;

use super::*;

fn plugin(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plugins").join(name);
    path.canonicalize().unwrap().display().to_string()
}

fn stand(command: &[&str], mode: ExecMode) -> Stand {
    let options = ExecOptions { mode, ..ExecOptions::default() };
    Stand::new(Exec::new("a", Program::new(command.iter().copied()), options))
}

#[test]
fn the_one_in_python_notes_each_event_once() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts.txt").display().to_string();
    let stand = stand(&[&python(), "-S", &plugin("notify.py"), &hosts], ExecMode::Stream);
    let of = event("port.create.end", &json!({"port": {"id": "p1"}}));
    for _ in 0..2 {
        assert_eq!(stand.attempt_of(&of), Ok(Completion::Delivered("p1 noted".to_owned())));
    }
    let nothing = stand.attempt_of(&event("x.y", &json!({})));
    assert_eq!(nothing, Ok(Completion::NothingToDo("it is about nothing that has an id".to_owned())));
    let written = fs::read_to_string(&hosts).unwrap();
    assert_eq!(written, format!("{} port.create.end p1\n", of.idempotency_key()));
    fs::remove_dir_all(folder.path()).unwrap();
    let away = stand.attempt_of(&of).unwrap_err();
    assert_eq!((away.class, away.retry_after), (ErrorClass::Busy(None), Some(Duration::from_secs(10))));
}

#[test]
fn the_ones_in_shell_need_nothing_but_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let once = stand(&[&plugin("once.sh"), &path], ExecMode::Once);
    let payload = json!({"port": {"id": "p1"}});
    let done = once.attempt_of(&event("port.create.end", &payload));
    assert_eq!(done, Ok(Completion::Delivered("wrote p1.json".to_owned())));
    let kept: Value = serde_json::from_slice(&fs::read(folder.path().join("p1.json")).unwrap()).unwrap();
    assert_eq!(kept["payload"], payload);
    for (payload, class, reason) in [
        (json!({}), ErrorClass::Rejected, "the event is about nothing that has an id"),
        (json!({"port": {"id": "../p"}}), ErrorClass::Rejected, "an id that is no file name"),
    ] {
        let error = once.attempt_of(&event("port.create.end", &payload)).unwrap_err();
        assert!(error.class == class && error.reason.ends_with(reason), "{error}");
    }
    let away = stand(&[&plugin("once.sh"), "/nonexistent"], ExecMode::Once);
    let error = away.attempt_of(&event("port.create.end", &payload)).unwrap_err();
    assert_eq!(error.class, ErrorClass::Busy(None), "{error}");

    let log = folder.path().join("events.log").display().to_string();
    let stream = stand(&[&plugin("stream.sh"), &log], ExecMode::Stream);
    let payload = json!({"port": {"id": "p2", "name": "a \\ \"b\" %s $(id)"}});
    for _ in 0..3 {
        stream.attempt_of(&event("port.create.end", &payload)).unwrap();
    }
    let lines = fs::read_to_string(&log).unwrap();
    assert_eq!(lines.lines().count(), 3);
    let line: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(line["payload"], payload);
}
