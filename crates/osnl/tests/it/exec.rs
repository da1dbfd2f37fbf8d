mod daemon;
mod examples;
mod faults;
mod once;

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use osnl::action::{Action, ActionError, Completion, ErrorClass, Event};
use osnl::actions::exec::{Exec, ExecOptions, Program};
use osnl_testkit::{PYTHON_VARIABLE, executable, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::harness::{SOON, event_of, framed};
use crate::log::Log;

pub(crate) fn python() -> String {
    let folder = std::env::var_os(PYTHON_VARIABLE).unwrap_or_else(|| panic!("run \"cargo xtask test\""));
    PathBuf::from(folder).join("bin/python").display().to_string()
}

pub(crate) fn event(event_type: &str, payload: &Value) -> Event {
    event_of(framed("network.node1", event_type, payload), "a")
}

pub(crate) struct Stand {
    pub(crate) action: Arc<dyn Action>,
    runtime: Runtime,
    pub(crate) log: Log,
}

impl Stand {
    pub(crate) fn new(action: impl Action + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { action: Arc::new(action), runtime, log: Log::default() }
    }

    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let _log = tracing::subscriber::set_default(self.log.subscriber());
        self.runtime.block_on(async { tokio::time::timeout(SOON, future).await.unwrap() })
    }

    pub(crate) fn attempt(&self, payload: &Value) -> Result<Completion, ActionError> {
        self.attempt_of(&event("port.create.end", payload))
    }

    pub(crate) fn attempt_of(&self, event: &Event) -> Result<Completion, ActionError> {
        self.wait(self.action.run(std::slice::from_ref(event))).remove(0)
    }

    fn attempts(&self, payloads: &[Value]) -> Vec<Result<Completion, ActionError>> {
        let events: Vec<Event> = payloads.iter().map(|payload| event("port.create.end", payload)).collect();
        let runs = events.iter().map(|event| self.action.run(std::slice::from_ref(event)));
        self.wait(futures_util::future::join_all(runs)).into_iter().flatten().collect()
    }

    fn give_up(&self, payload: &Value, mut when: impl FnMut() -> bool) {
        let event = event("port.create.end", payload);
        let begun = async {
            while !when() {
                tokio::task::yield_now().await;
            }
        };
        self.wait(async {
            tokio::select! {
                verdicts = self.action.run(std::slice::from_ref(&event)) => panic!("{verdicts:?}"),
                () = begun => {}
            }
        });
    }

    pub(crate) fn close(&self, abort: bool) {
        let token = CancellationToken::new();
        if abort {
            token.cancel();
        }
        self.wait(self.action.close(&token));
    }

    pub(crate) fn pid(&self) -> u32 {
        said(self.attempt(&json!({"do": "pid"}))).parse().unwrap()
    }
}

fn said(result: Result<Completion, ActionError>) -> String {
    match result {
        Ok(Completion::Delivered(what)) => what,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn written(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    executable(&path, text);
    path.display().to_string()
}

const OBEDIENT: &str = r#"
import json, os, signal, subprocess, sys, time
def say(**what):
    print(json.dumps(what), flush=True)
kept = []
for line in sys.stdin:
    event = json.loads(line)
    todo, number = event["payload"], event["id"]
    what = todo["do"]
    if what == "pid": say(id=number, verdict="done", reason=str(os.getpid()))
    if what == "answer": say(id=number, **todo["answer"])
    if what == "event": say(id=number, verdict="done"); open(todo["file"], "w").write(line)
    if what == "look": say(id=number, verdict="done"); json.dump({
        "environment": dict(os.environ), "folder": os.getcwd(), "leads": os.getpgid(0) == os.getpid(),
        "open": {n: os.readlink("/proc/self/fd/" + n) for n in os.listdir("/proc/self/fd")
                 if os.path.lexists("/proc/self/fd/" + n)},
        "arguments": sys.argv[1:]}, open(todo["file"], "w"))
    if what == "keep":
        kept.append(number)
        if len(kept) == todo["until"]:
            for number in reversed(kept): say(id=number, verdict="done", reason=str(number))
    if what == "die": os.kill(os.getpid(), signal.SIGKILL)
    if what == "exit": sys.stderr.write("out of cheese\n"); sys.exit(3)
    if what == "fatal": say(fatal="no licence")
    if what == "write": sys.stdout.write(todo["text"]); sys.stdout.flush()
    if what == "last": sys.stdout.write(todo["text"].replace("ID", str(number))); sys.exit(0)
    if what == "flood":
        while True: sys.stdout.write("x" * 4096)
    if what == "close output": os.close(1)
    if what == "hang": open(todo["file"], "w").close(); time.sleep(1000)
    if what == "be stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say(id=number, verdict="done")
    if what == "bear":
        child = subprocess.Popen(["sleep", "1000"])
        say(id=number, verdict="done", reason=str(child.pid))
    if what == "chat":
        sys.stderr.write("".join(todo["text"] + "\n" for n in range(todo["times"]))); sys.stderr.flush()
        say(id=number, verdict="done")
if os.environ.get("LAST_WORDS"): open(os.environ["LAST_WORDS"], "w").write("the end")
if os.environ.get("STAYS"): time.sleep(1000)
"#;

/// For children that do not end with their input, and so are ended when this time has passed.
const STUBBORN: Duration = Duration::from_secs(1);

/// The child may take long to end with its input, as the last lines of the child are compared.
fn obedient(adjust: impl FnOnce(&mut Program, &mut ExecOptions, &TempDir)) -> (TempDir, Stand) {
    let folder = tempfile::tempdir().unwrap();
    let script = written(&folder, "child.py", OBEDIENT);
    let mut program = Program::new([python(), "-S".to_owned(), script]);
    let mut options = ExecOptions { stop_timeout: SOON, ..ExecOptions::default() };
    adjust(&mut program, &mut options, &folder);
    (folder, Stand::new(Exec::new("a", program, options)))
}

#[test]
fn each_verdict_is_taken_as_documented() {
    let (_folder, stand) = obedient(|_, _, _| {});
    let error = |class, reason: &str, seconds: Option<u64>| {
        let retry_after = seconds.map(Duration::from_secs);
        Err(ActionError { retry_after, ..ActionError::new(class, reason) })
    };
    for (answer, expected) in [
        (json!({"verdict": "done", "reason": "ticket 7"}), Ok(Completion::Delivered("ticket 7".to_owned()))),
        (
            json!({"verdict": "nothing_to_do", "reason": "ours"}),
            Ok(Completion::NothingToDo("ours".to_owned())),
        ),
        (json!({"verdict": "transient", "reason": "x"}), error(ErrorClass::Busy(None), "x", None)),
        (
            json!({"verdict": "transient", "retry_after": 9}),
            error(ErrorClass::Busy(None), "no reason given", Some(9)),
        ),
        (json!({"verdict": "failed", "reason": "x"}), error(ErrorClass::Refused(None), "x", None)),
        (json!({"verdict": "permanent", "reason": "x"}), error(ErrorClass::Rejected, "x", None)),
    ] {
        assert_eq!(stand.attempt(&json!({"do": "answer", "answer": answer})), expected, "{answer}");
    }
}

#[test]
fn a_child_gets_the_whole_event_and_its_secrets_masked_where_wanted() {
    for mask in [false, true] {
        let (folder, stand) = obedient(|_, options, _| options.mask_secrets = mask);
        let file = folder.path().join("event.json");
        let port = json!({"id": "p1", "device_id": "i1", "fixed_ips": [{"ip_address": "10.0.0.1"}]});
        let payload = json!({"do": "event", "file": file, "port": port, "password": "S3CRET"});
        let event = event("port.create.end", &payload);
        let verdict = stand.attempt_of(&event);
        assert_eq!(verdict, Ok(Completion::Delivered("done".to_owned())));
        stand.close(false);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("{\"id\":1,"), "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["payload"]["password"], if mask { "***" } else { "S3CRET" });
        assert_eq!(line["payload"]["port"], port);
        assert_eq!(line["idempotency_key"], event.idempotency_key());
        for (key, expected) in [
            ("rule", "r"),
            ("action", "a"),
            ("listener", "l"),
            ("queue", "q"),
            ("exchange", "neutron"),
            ("routing_key", "notifications.info"),
            ("event_type", "port.create.end"),
            ("publisher_id", "network.node1"),
            ("priority", "info"),
            ("timestamp", "2026-11-20 06:36:22.662155"),
            ("received", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(line[key], expected, "{key}");
        }
        let resource = &line["resource"];
        assert_eq!((&resource["kind"], &resource["id"]), (&json!("port"), &json!("p1")));
        assert_eq!(resource["addresses"], json!([{"address": "10.0.0.1", "kind": "fixed", "version": 4}]));
    }
}

#[test]
fn a_child_finds_nothing_of_ours() {
    let (folder, stand) = obedient(|program, _, folder| {
        program.command.extend(["a b", "$HOME", ";"].map(str::to_owned));
        program.environment = vec![("COLOUR".to_owned(), "blue".to_owned())];
        program.working_dir = folder.path().to_owned();
    });
    let file = folder.path().join("seen.json");
    said(stand.attempt(&json!({"do": "look", "file": file})));
    stand.close(false);
    let seen: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(seen["environment"], json!({"COLOUR": "blue", "LANG": "C.UTF-8", "PATH": path}));
    assert_eq!(seen["folder"], folder.path().display().to_string());
    assert_eq!(seen["leads"], true);
    assert_eq!(seen["arguments"], json!(["a b", "$HOME", ";"]));
    let open = seen["open"].as_object().unwrap();
    let inherited = open.iter().filter(|(_, to)| !to.as_str().unwrap().starts_with("/proc/"));
    let numbers: Vec<&String> =
        inherited.clone().map(|(number, _)| number).filter(|n| n.len() == 1).collect();
    // A fourth file may be the file of this output.
    assert!(numbers.iter().all(|n| ["0", "1", "2", "3"].contains(&n.as_str())), "{open:?}");
    for pipe in ["0", "1", "2"] {
        let ours = open[pipe].as_str().unwrap();
        assert!(ours.starts_with("pipe:"), "{open:?}");
        assert!(!held_by_us(ours), "{pipe} of a child that has ended is still open here");
    }
}

fn held_by_us(pipe: &str) -> bool {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|to| to.to_string_lossy() == pipe)
}

#[test]
fn a_child_has_several_events_at_once() {
    let (_folder, stand) = obedient(|_, _, _| {});
    let payload = json!({"do": "keep", "until": 20});
    let answers: Vec<String> = stand.attempts(&vec![payload; 20]).into_iter().map(said).collect();
    let expected: Vec<String> = (1..=20).map(|n| n.to_string()).collect();
    assert_eq!(answers, expected);
}

#[test]
fn a_child_ends_with_its_input_and_is_asked_and_made_to_if_it_does_not() {
    for (stays, abort, farewell) in [(false, false, true), (true, false, true), (true, true, false)] {
        let (folder, stand) = obedient(|program, options, folder| {
            let path = folder.path().join("last").display().to_string();
            program.environment.push(("LAST_WORDS".to_owned(), path));
            if stays {
                program.environment.push(("STAYS".to_owned(), "1".to_owned()));
                options.stop_timeout = STUBBORN;
            }
            if abort {
                options.stop_timeout = Duration::from_secs(3600);
            }
        });
        said(stand.attempt(&json!({"do": "be stubborn"})));
        let pid = stand.pid();
        assert!(is_there(pid));
        stand.close(abort);
        assert!(!is_there(pid), "stays: {stays}, abort: {abort}");
        assert_eq!(folder.path().join("last").exists() || abort, farewell || abort);
    }
}

#[test]
fn what_a_child_says_on_its_standard_error_is_logged_within_bounds() {
    let (_folder, stand) = obedient(|_, _, _| {});
    said(stand.attempt(&json!({"do": "chat", "text": "<4>careful\u{1b}[1m", "times": 1})));
    said(stand.attempt(&json!({"do": "chat", "text": "y".repeat(5000), "times": 1})));
    said(stand.attempt(&json!({"do": "chat", "text": "again and again", "times": 50000})));
    stand.close(false);
    let lines = stand.log.lines();
    assert!(lines.iter().any(|line| line.starts_with("WARN careful [1m")), "{:?}", &lines[..5]);
    assert!(lines.iter().all(|line| line.len() < 4096));
    let repeated = lines.iter().filter(|line| line.contains("again and again")).count();
    assert!((50..1000).contains(&repeated), "{repeated}");
}
