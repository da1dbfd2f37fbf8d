use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use osnl_testkit::{Reply, signal, wait_until};
use serde_json::Value;

use crate::harness::SOON;
use crate::journalled::{Rig, preload};

const OSNL: &str = env!("CARGO_BIN_EXE_osnl");
const DONE: usize = 5;
const PENDING: usize = 3;

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(OSNL);
    command.args(args).current_dir(folder).env_clear().env("HOME", folder).stdin(Stdio::null());
    command
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
fn journal(rig: &Rig, args: &[&str], status: i32) -> String {
    let args = [&["journal"], args, &["-c", "a.conf"]].concat();
    let output = command(rig.home.path(), &args).output().unwrap();
    let told = told(&output);
    assert_eq!(output.status.code(), Some(status), "{args:?}: {told}");
    told
}

#[track_caller]
fn json(rig: &Rig, args: &[&str]) -> Value {
    serde_json::from_str(&journal(rig, &[args, &["--format", "json"]].concat(), 0)).unwrap()
}

fn names(folder: &Path, word: &str) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.contains(word));
    names.sort();
    names
}

fn stop(rig: &mut Rig) {
    signal(rig.pid(), "TERM");
    let stat = format!("/proc/{}/stat", rig.pid());
    wait_until(SOON, "its end", || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z ")));
    rig.kill();
}

#[test]
fn a_backup_of_a_running_daemon_is_restored_and_says_what_it_repeats() {
    let mut rig = Rig::new("upkeep");
    rig.start();
    rig.consuming();
    rig.publish(DONE, 1000);
    rig.all_done();
    rig.sink.reply_with(Reply::Status(503));
    rig.publish(PENDING, 1000);
    let pending = |rig: &Rig| json(rig, &["verify"])["contents"]["pending"].clone();
    wait_until(SOON, "they are in the journal", || pending(&rig) == PENDING);
    let contents = json(&rig, &["backup", "backup.db"])["contents"].clone();
    assert_eq!((&contents["events"], &contents["pending"]), (&(DONE + PENDING).into(), &PENDING.into()));
    let mode = fs::metadata(rig.path("backup.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(journal(&rig, &["backup", "backup.db"], 1).contains("exists already; name another file"));
    let verified = journal(&rig, &["verify"], 0);
    assert!(verified.contains("no problem found"), "{verified}");
    for args in [&["restore", "--replace", "backup.db"][..], &["compact"]] {
        let told = journal(&rig, args, 69);
        assert!(told.contains(&format!("is in use by process {}; stop it first", rig.pid())), "{told}");
    }
    rig.sink.reply_with(Reply::Status(204));
    rig.all_done();
    wait_until(SOON, "all of it is made", || pending(&rig) == 0);
    rig.publish(1, 1000);
    rig.all_done();
    wait_until(SOON, "the last one is made", || pending(&rig) == 0);
    stop(&mut rig);

    assert!(journal(&rig, &["restore", "backup.db"], 1).contains("--replace keeps it under another name"));
    let text = journal(&rig, &["restore", "--replace", "--pause", "backup.db"], 0);
    let replaced = names(rig.home.path(), ".replaced-");
    assert_eq!(replaced.len(), 1, "{replaced:?}");
    for expected in [
        format!("the journal that was there is now {}", rig.path(&replaced[0]).display()),
        "1 message of it came later".to_owned(),
        "3 pending deliveries ended since the backup, and will be repeated: 6.0 7.0 8.0".to_owned(),
        "3 pending deliveries; paused: roles".to_owned(),
    ] {
        assert!(text.contains(&expected), "{expected}\n{text}");
    }
    // Deliveries are repeated only on the operator's request; discarded ones never are.
    let before = rig.sink.requests().len();
    rig.start();
    rig.consuming();
    let home = rig.home.path().to_owned();
    let deliveries = |args: &[&str]| {
        let args = [args, &["-c", "a.conf"]].concat();
        let output = command(&home, &args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", told(&output));
    };
    deliveries(&["deliveries", "discard", "6.0", "7.0"]);
    assert_eq!(rig.sink.requests().len(), before);
    deliveries(&["actions", "resume", "roles"]);
    wait_until(SOON, "the third is repeated", || pending(&rig) == 0);
    assert_eq!(rig.sink.requests().len(), before + 1);
    stop(&mut rig);

    let lines = rig.path("later.jsonl");
    let replaced = rig.path(&replaced[0]);
    let args = ["journal", "export", "--raw", "--id", "9", "-o", "later.jsonl", "--journal"];
    let args = [&args[..], &[replaced.to_str().unwrap()]].concat();
    let output = command(rig.home.path(), &args).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(fs::metadata(&lines).unwrap().permissions().mode() & 0o777, 0o600);
    deliveries(&["replay", "--live", "--yes", "--keep-ids", "later.jsonl"]);
    assert_eq!(json(&rig, &["verify"])["contents"]["pending"], 1);
    let compacted = json(&rig, &["compact"]);
    assert!(compacted["bytes_before"].as_u64() >= compacted["contents"]["bytes"].as_u64(), "{compacted}");
    rig.start();
    wait_until(SOON, "it is made", || pending(&rig) == 0);
}

#[test]
fn a_full_disk_and_ctrl_c_leave_no_half_file() {
    let mut rig = Rig::new("upkeep-full");
    rig.start();
    rig.consuming();
    rig.publish(DONE, 1000);
    rig.all_done();
    // The daemon replaces the counts of its rules once a second.
    let home = rig.home.path().to_owned();
    let others = || -> Vec<String> {
        names(&home, "").into_iter().filter(|name| !name.starts_with("journal.db.rules")).collect()
    };
    let before = others();
    let fault = rig.path("fault-of-the-copy");
    fs::write(&fault, "write 28").unwrap();
    let output = command(rig.home.path(), &["journal", "backup", "journal.db.copy", "-c", "a.conf"])
        .env("LD_PRELOAD", preload())
        .env("OSNL_TEST_FAULT", &fault)
        .output()
        .unwrap();
    fs::remove_file(fault).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("journal.db.copy: "), "{}", told(&output));
    assert!(told(&output).contains("make room on its file system"), "{}", told(&output));
    assert_eq!(others(), before);

    journal(&rig, &["backup", "copy.db"], 0);
    let whole = fs::read(rig.path("copy.db")).unwrap();
    let output = Command::new("prlimit")
        .args(["--fsize=40960", OSNL, "journal", "backup", "--overwrite", "copy.db", "-c", "a.conf"])
        .current_dir(rig.home.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("raise the limit on the size of files"), "{}", told(&output));
    assert_eq!(names(rig.home.path(), ".part"), [""; 0]);
    assert!(fs::read(rig.path("copy.db")).unwrap() == whole);

    let args = ["journal", "restore", "--journal", "new.db", "-"];
    let mut child = command(rig.home.path(), &args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&whole[..whole.len() / 2]).unwrap();
    let received = rig.path("new.db.received");
    wait_until(SOON, "half of it", || fs::metadata(&received).is_ok_and(|meta| meta.len() > 0));
    signal(child.id(), "INT");
    // The signal takes effect with the next byte or at the end of input.
    wait_until(SOON, "its end", || {
        let _ = stdin.write_all(b"x");
        child.try_wait().unwrap().is_some()
    });
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", told(&output));
    assert!(told(&output).contains("interrupted; nothing was changed"), "{}", told(&output));
    assert_eq!(names(rig.home.path(), "new.db"), ["new.db.lock"]);
}

/// Raw events have secrets, so they are exported only on request and only to a file.
#[test]
fn exported_events_have_no_secrets_and_are_read_again() {
    let folder = crate::private_folder().unwrap();
    let sql = osnl_testkit::fixture::text("journal/v1.sql");
    let body = r#"{"event_type": "port.delete.end", "message_id": "m1", "_context_auth_token": "S3CRET", "payload": {"admin_password": "S3CRET", "port_id": "p"}}"#;
    let hex: String = body.bytes().map(|byte| format!("{byte:02X}")).collect();
    let more = format!("UPDATE event SET body = X'{hex}' WHERE id = 1;");
    let connection = rusqlite::Connection::open(folder.path().join("journal.db")).unwrap();
    connection.execute_batch(&(sql + &more)).unwrap();
    drop(connection);
    let run = |args: &[&str], status: i32| {
        let output = command(folder.path(), args).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {}", told(&output));
        let told = told(&output);
        assert!(!told.contains("S3CRET"), "{told}");
        told
    };
    let export = ["journal", "export", "--journal", "journal.db"];
    assert!(run(&export, 2).contains("--output <FILE>"));
    let of_nothing = run(&[&export[..], &["-o", "none.jsonl", "--action", "rolls"]].concat(), 1);
    assert!(of_nothing.contains("there is no delivery of action rolls; there are "), "{of_nothing}");
    let text = run(&[&export[..], &["-o", "masked.jsonl"]].concat(), 0);
    assert_eq!(text, "masked.jsonl: 3 events, secrets masked\n");
    let text = run(&[&export[..], &["-o", "raw.jsonl", "--raw", "--state", "dead,delivered"]].concat(), 0);
    assert_eq!(text, "raw.jsonl: 2 events, with secrets\n");
    let lines = |name: &str| -> Vec<Value> {
        let file = folder.path().join(name);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let masked = lines("masked.jsonl");
    assert!(!fs::read_to_string(folder.path().join("masked.jsonl")).unwrap().contains("S3CRET"));
    assert_eq!(masked[0]["format"], "osnl-events/1");
    assert_eq!(masked[0]["payload"]["port_id"], "p");
    assert_eq!(masked[0]["payload"]["admin_password"], "***");
    assert_eq!(masked[0]["deliveries"][0]["resource"]["id"], "p1");
    assert_eq!(masked[2]["deliveries"][0]["state"], "dead");
    let raw = lines("raw.jsonl");
    assert_eq!(raw[0]["body"], body);
    assert_eq!(raw[1]["event"], 3);
    fs::write(folder.path().join("a.conf"), CONF).unwrap();
    for name in ["masked.jsonl", "raw.jsonl"] {
        let text = run(&["explain", "-c", "a.conf", name], 0);
        assert!(text.contains("port.delete.end") && text.contains("rule gone matches"), "{text}");
    }
}

const CONF: &str = "[listener:neutron]\ntransport_url = rabbit://127.0.0.1/\nexchange = neutron\npool = osnl\n\
                    [rule:gone]\nevent_type = ^port\\.delete\\.end$\nactions = audit\n\
                    [action:audit]\ndriver = dump\n";
