use osnl_action::{Action, Completion, Event};
use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::late::LateLine;
use super::open::FileOutput;
use super::{FileAction, FileRotation, Fsync, LineFormat, lock, one_line};

const NEVER: FileRotation = FileRotation { size: None, interval: None, keep: 3 };

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_132_800 + seconds)
}

fn open(folder: &TempDir, rotation: FileRotation) -> FileOutput {
    let path = folder.path().join("audit.jsonl");
    let mut out = FileOutput::at(&path, 0o600, Fsync::Each, rotation, at(0));
    out.open(at(0)).unwrap();
    out
}

fn dump(folder: &TempDir) -> FileOutput {
    FileOutput::for_dump(&folder.path().join("audit.jsonl"), at(0))
}

fn line(text: &str) -> Vec<LateLine> {
    vec![LateLine { delivery: None, text: format!("{text}\n") }]
}

fn there(folder: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn names(folder: &Path) -> Vec<String> {
    there(folder).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_new_file_has_the_mode_that_is_set_whatever_the_umask_and_an_old_one_keeps_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let open = || FileOutput::at(&path, 0o666, Fsync::Never, NEVER, at(0)).open(at(0)).unwrap();
    open();
    assert_eq!(mode(), 0o666);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    open();
    assert_eq!(mode(), 0o640);
}

#[test]
fn a_file_is_its_owner_s_alone_and_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    dump(&folder).append(b"1\n", at(0)).unwrap();
    open(&folder, NEVER).append(b"2\n3\n", at(1)).unwrap();
    let path = folder.path().join("audit.jsonl");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(path).unwrap(), "1\n2\n3\n");
}

#[test]
fn a_file_that_would_grow_too_large_is_moved_and_the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    for foreign in ["audit.jsonl.gz", "audit.jsonl.20261120T0000Z", "audit.jsonl.20261120T000000Z.bak"] {
        fs::write(folder.path().join(foreign), "").unwrap();
    }
    let mut out = open(&folder, FileRotation { size: Some(8), keep: 2, ..NEVER });
    for n in 0..4_u64 {
        out.append(format!("line {n}\n").as_bytes(), at(n)).unwrap();
    }
    out.append(b"line 4\na line that is longer than a file may be\n", at(3)).unwrap();
    let found: Vec<_> =
        there(folder.path()).into_iter().filter(|(name, _)| !name.ends_with("bak")).skip(1).collect();
    let found: Vec<(&str, &str)> = found.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(
        found,
        [
            ("audit.jsonl.20261120T000003Z-0001", "line 3\n"),
            ("audit.jsonl.20261120T000003Z-0002", "line 4\n"),
            ("audit.jsonl.20261120T0000Z", ""),
            ("audit.jsonl.gz", "")
        ]
    );
    assert_eq!(fs::read_to_string(out.path()).unwrap(), "a line that is longer than a file may be\n");
}

/// The clock may jump back, or be wrong at the machine's start: the file of the last rotation
/// stays.
#[test]
fn the_oldest_go_by_the_order_of_rotations_whatever_the_clock_did() {
    let folder = tempfile::tempdir().unwrap();
    let mut out = open(&folder, FileRotation { size: Some(8), keep: 3, ..NEVER });
    let ahead = 400 * 86_400;
    for (n, now) in [at(0), at(1), at(ahead), at(2), at(3), UNIX_EPOCH, at(4)].into_iter().enumerate() {
        out.append(format!("line {n}\n").as_bytes(), now).unwrap();
    }
    let found = there(folder.path());
    let found: Vec<(&str, &str)> = found.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let expected = [
        ("audit.jsonl", "line 6\n"),
        ("audit.jsonl.20271225T000000Z-0002", "line 3\n"),
        ("audit.jsonl.20271225T000000Z-0003", "line 4\n"),
        ("audit.jsonl.20271225T000000Z-0004", "line 5\n"),
    ];
    assert_eq!(found, expected);
    let last = folder.path().join("audit.jsonl.20271225T000000Z-9999");
    fs::rename(folder.path().join(expected[3].0), last).unwrap();
    out.append(b"line 7\n", at(5)).unwrap();
    out.append(b"line 8\n", at(6)).unwrap();
    let names = names(folder.path());
    let numbers: Vec<_> = names.iter().filter_map(|name| name.split_once('-')).map(|(_, n)| n).collect();
    assert_eq!(numbers, ["10000", "10001", "9999"]);
}

#[test]
fn a_file_of_yesterday_is_moved_with_the_first_line_of_today_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let day = Duration::from_secs(86_400);
    let rotation = FileRotation { interval: Some(day), ..NEVER };
    let mut out = open(&folder, rotation);
    out.append(b"1\n", at(86_398)).unwrap();
    out.append(b"2\n", at(86_399)).unwrap();
    assert_eq!(names(folder.path()), ["audit.jsonl"]);
    out.append(b"3\n", at(86_400)).unwrap();
    assert_eq!(names(folder.path()), ["audit.jsonl", "audit.jsonl.20261121T000000Z"]);
    let file = fs::File::options().append(true).open(out.path()).unwrap();
    file.set_modified(at(86_400)).unwrap();
    let mut out = open(&folder, rotation);
    out.append(b"4\n", at(86_400 + 7)).unwrap();
    assert_eq!(names(folder.path()).len(), 2);
    out.append(b"5\n", at(2 * 86_400)).unwrap();
    assert_eq!(fs::read_to_string(out.path()).unwrap(), "5\n");
}

#[test]
fn a_file_that_somebody_moved_or_removed_is_made_anew() {
    let outputs: [fn(&TempDir) -> FileOutput; 2] = [|folder| open(folder, NEVER), dump];
    for make in outputs {
        let folder = tempfile::tempdir().unwrap();
        let mut out = make(&folder);
        out.append(b"1\n", at(0)).unwrap();
        fs::rename(out.path(), folder.path().join("audit.jsonl.1")).unwrap();
        out.append(b"2\n", at(1)).unwrap();
        fs::remove_file(out.path()).unwrap();
        out.append(b"3\n", at(2)).unwrap();
        let expected = [("audit.jsonl", "3\n"), ("audit.jsonl.1", "1\n")];
        assert_eq!(there(folder.path()), expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }
}

#[tokio::test]
async fn a_dump_takes_a_pipe_while_it_has_a_reader() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("audit.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let action = FileAction::for_dump(&pipe);
    let refused = action.open().await.unwrap_err();
    assert!(refused.to_string().starts_with(&format!("cannot write: {}: ", pipe.display())), "{refused}");
    let reader = || {
        let patient = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        fs::File::options().read(true).custom_flags(patient).open(&pipe).unwrap()
    };
    for text in ["1", "2"] {
        let mut there = reader();
        action.append(line(text)).await.unwrap();
        let mut found = [0; 9];
        let length = std::io::Read::read(&mut there, &mut found).unwrap();
        assert_eq!(found[..length], *format!("{text}\n").as_bytes());
        drop(there);
        assert!(action.append(line("lost")).await.is_err());
    }
}

#[test]
fn what_cannot_be_written_is_an_error_and_tried_again() {
    let full = Path::new("/dev/full");
    let mut out = FileOutput::at(full, 0o600, Fsync::Each, NEVER, at(0));
    for _ in 0..2 {
        assert_eq!(out.append(b"1\n", at(0)).unwrap_err().raw_os_error(), Some(28));
    }
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let refused = FileOutput::at(&pipe, 0o600, Fsync::Each, NEVER, at(0)).open(at(0)).unwrap_err();
    assert_eq!(refused.to_string(), "is not a regular file");
    let mut out = open(&folder, NEVER);
    fs::remove_file(out.path()).unwrap();
    fs::create_dir(out.path()).unwrap();
    assert!(out.append(b"1\n", at(0)).is_err());
    fs::remove_dir(out.path()).unwrap();
    out.append(b"2\n", at(1)).unwrap();
    assert_eq!(fs::read_to_string(out.path()).unwrap(), "2\n");
}

#[tokio::test(start_paused = true)]
async fn what_was_written_last_is_synced_when_its_time_has_come() {
    let folder = tempfile::tempdir().unwrap();
    let pause = Duration::from_secs(3600);
    let path = folder.path().join("audit.jsonl");
    let out = FileOutput::at(&path, 0o600, Fsync::Interval(pause), NEVER, SystemTime::now());
    let action = FileAction::new(LineFormat::Json, out);
    let is_dirty = || action.out.try_lock().unwrap().is_dirty();
    for round in 0..3 {
        action.append(line("1")).await.unwrap();
        action.append(line("2")).await.unwrap();
        assert!(is_dirty(), "{round}");
        tokio::time::sleep(pause + Duration::from_secs(1)).await;
        assert!(!is_dirty(), "{round}");
        assert!(lock(&action.timer).len() <= 1);
    }
    action.append(line("3")).await.unwrap();
    assert!(is_dirty());
    action.close(&Default::default()).await;
    assert!(!is_dirty());
}

const FULL: &str = "OSNL_TEST_OF_A_FULL_DISK";

/// A disk that fills up within a line: the partial line is removed, and written when there is room.
/// A limit of file sizes simulates the disk, in a child process that runs this test again.
#[test]
fn a_disk_that_is_full_in_mid_line_keeps_whole_lines() {
    if let Some(folder) = std::env::var_os(FULL) {
        let path = Path::new(&folder).join("audit.jsonl");
        let file = FileOutput::at(&path, 0o600, Fsync::Each, NEVER, at(0));
        for mut out in [file, FileOutput::for_dump(&path, at(0))] {
            let line = |c: char| format!("{}\n", String::from(c).repeat(699));
            out.append(line('a').as_bytes(), at(0)).unwrap();
            for _ in 0..2 {
                let error = out.append(line('b').as_bytes(), at(1)).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::FBIG.raw_os_error()));
                assert_eq!(fs::read_to_string(&path).unwrap(), line('a'));
            }
            fs::rename(&path, Path::new(&folder).join("moved")).unwrap();
            out.append(line('b').as_bytes(), at(2)).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), line('b'));
            fs::remove_file(&path).unwrap();
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = std::thread::current().name().unwrap().to_owned();
    let script = "trap '' XFSZ; ulimit -f 2; test \"$(ulimit -f)\" = 2 || exit 9; exec \"$0\" --exact \"$1\"";
    let child = std::process::Command::new("dash")
        .args(["-c", script])
        .args([std::env::current_exe().unwrap().as_os_str(), name.as_ref()])
        .env(FULL, folder.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
    assert_eq!(names(folder.path()), ["moved"]);
}

#[test]
fn an_event_is_one_line() {
    assert_eq!(one_line("a\nforged\r\nline\n"), "a\\nforged\\r\\nline");
}

#[tokio::test]
async fn a_file_that_is_not_there_yet_is_a_target_that_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later/audit.jsonl");
    let action = FileAction::new(
        LineFormat::Json,
        FileOutput::at(&path, 0o600, Fsync::Each, NEVER, SystemTime::now()),
    );
    let error = action.open().await.unwrap_err();
    assert_eq!(error.class, osnl_core::attempt::ErrorClass::Connect);
    assert!(
        error.to_string().starts_with("cannot write: ") && error.reason.contains("later/audit"),
        "{error}"
    );
    assert!(action.append(line("1")).await.is_err());
    fs::create_dir(path.parent().unwrap()).unwrap();
    action.append(line("2")).await.unwrap();
    action.open().await.unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), "2\n");
}

struct HungDisk {
    other: fs::File,
    path: std::path::PathBuf,
}

impl HungDisk {
    fn new() -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let other = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&other).unwrap();
        unlockpt(&other).unwrap();
        let path = ptsname(&other, Vec::new()).unwrap().into_string().unwrap().into();
        Self { other: other.into(), path }
    }

    fn lines_until(&self, last: &str) -> Vec<String> {
        let lines = std::io::BufRead::lines(std::io::BufReader::new(&self.other));
        let mut found = Vec::new();
        for line in lines {
            found.push(line.unwrap().trim_end().trim_end_matches('x').to_owned());
            if found.last().is_some_and(|line| line == last) {
                break;
            }
        }
        found
    }
}

fn event(delivery: &str, text: &str) -> Event {
    let long = "x".repeat(100_000);
    let body = format!(r#"{{"event_type": "{text}", "publisher_id": "p", "payload": {{"x": "{long}"}}}}"#);
    let received = osnl_core::received::ReceivedMessage::sample(body, false);
    let notification = received.decode().unwrap();
    Event { delivery: Some(delivery.into()), ..Event::new(received, notification, "r", "a") }
}

#[tokio::test]
async fn a_disk_that_does_not_answer_takes_one_thread_and_has_each_line_once() {
    let disk = HungDisk::new();
    let out = FileOutput::at(&disk.path, 0o600, Fsync::Each, NEVER, SystemTime::now());
    let format = osnl_config::template::Template::new("{{ event_type }}{{ payload.x }}").unwrap();
    let action = std::sync::Arc::new(FileAction::new(LineFormat::Template(format), out));
    action.open().await.unwrap();
    let events = [event("1.0", "first")];
    let attempt = |events: &[Event]| {
        let (action, events) = (action.clone(), events.to_vec());
        async move { action.run(&events).await }
    };
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let short = Duration::from_millis(10);
    tokio::time::timeout(short, attempt(&events)).await.unwrap_err();
    let before = threads();
    for n in 0..60 {
        let more = [events[0].clone(), event(&format!("{}.0", n + 2), "other")];
        tokio::time::timeout(short, attempt(&more)).await.unwrap_err();
    }
    assert!(threads() < before + 30, "{} threads, {before} before", threads());

    let reading = std::thread::spawn(move || disk.lines_until("last"));
    let last = [events[0].clone(), event("99.0", "last")];
    let verdicts = tokio::time::timeout(Duration::from_secs(20), attempt(&last)).await.unwrap();
    let written = |verdict: &Result<Completion, _>| matches!(verdict, Ok(Completion::Delivered(_)));
    assert!(verdicts.len() == 2 && verdicts.iter().all(written), "{verdicts:?}");
    assert_eq!(reading.join().unwrap(), ["first", "last"]);
    assert!(action.late.is_empty());
}

#[tokio::test]
async fn an_abort_does_not_wait_for_a_disk_that_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let out =
        FileOutput::at(&folder.path().join("audit.jsonl"), 0o600, Fsync::Never, NEVER, SystemTime::now());
    let action = FileAction::new(LineFormat::Json, out);
    let _hangs = action.out.clone().lock_owned().await;
    let abort = tokio_util::sync::CancellationToken::new();
    let mut closing = action.close(&abort);
    assert!(futures_util::FutureExt::now_or_never(&mut closing).is_none());
    abort.cancel();
    closing.await;
}
