use std::fs::{self, File, FileTimes};
use std::path::PathBuf;

use jiff::tz::TimeZone;
use tempfile::TempDir;

use super::*;

/// The rules of Central Europe, written out since the machine may have no zone files. 2026-03-29
/// has 23 hours there and 2026-10-25 has 25.
const ZONE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

fn at(civil: &str) -> Zoned {
    civil.parse::<jiff::civil::DateTime>().unwrap().to_zoned(TimeZone::posix(ZONE).unwrap()).unwrap()
}

struct Case {
    folder: TempDir,
    log: LogWriter,
}

impl Case {
    fn start(now: &str, keep: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log =
            LogWriter::open(&folder.path().join("log"), LogRotation::AtMidnight { keep }, &at(now)).unwrap();
        // The file's modification time is the real one, so the test opens a new file for its own
        // day.
        Self { folder, log }
    }

    #[track_caller]
    fn write(&mut self, now: &Zoned, text: &str) {
        let written = self.log.write(now, &format!("{text}\n"));
        assert_eq!(written, WriteResult { written: true, remark: None }, "{text}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn set_changed(path: &Path, at: &Zoned) {
    let times = FileTimes::new().set_modified(at.timestamp().into());
    File::options().append(true).open(path).unwrap().set_times(times).unwrap();
}

#[track_caller]
fn check(times: &[&str], expected: &[(&str, &str)]) {
    let times: Vec<Zoned> = times.iter().map(|time| at(time)).collect();
    check_at(&times, expected);
}

#[track_caller]
fn check_at(times: &[Zoned], expected: &[(&str, &str)]) {
    let mut case = Case::start(&times[0].datetime().to_string(), 31);
    for (n, now) in times.iter().enumerate() {
        case.write(now, &n.to_string());
    }
    let found: Vec<(String, String)> =
        case.files().into_iter().map(|name| (name.clone(), case.read(&name).replace('\n', " "))).collect();
    let found: Vec<(&str, &str)> = found.iter().map(|(name, text)| (name.as_str(), text.trim())).collect();
    assert_eq!(found, expected, "{times:?}");
}

#[test]
fn the_first_line_of_a_day_moves_the_file_of_the_last() {
    check(&["2026-11-20T10:00", "2026-11-20T23:59:59.999"], &[("log", "0 1")]);
    check(&["2026-11-20T23:59:59.999", "2026-11-21T00:00"], &[("log", "1"), ("log.2026-11-20", "0")]);
    // After days without lines the file gets the day of its lines, and no empty files are made.
    check(
        &["2026-11-20T10:00", "2026-11-24T10:00", "2026-11-25T00:00:01"],
        &[("log", "2"), ("log.2026-11-20", "0"), ("log.2026-11-24", "1")],
    );
    check(&["2026-12-31T23:59", "2027-01-01T00:00"], &[("log", "1"), ("log.2026-12-31", "0")]);
}

#[test]
fn days_of_23_and_25_hours_end_at_midnight_too() {
    check(
        &["2026-03-29T00:00", "2026-03-29T01:59", "2026-03-29T03:00", "2026-03-29T23:59", "2026-03-30T00:00"],
        &[("log", "4"), ("log.2026-03-29", "0 1 2 3")],
    );
    let morning = at("2026-10-25T00:00");
    let hours: Vec<Zoned> =
        (0..26).map(|hour| morning.checked_add(SignedDuration::from_hours(hour)).unwrap()).collect();
    let first: Vec<String> = (0..25).map(|n| n.to_string()).collect();
    check_at(&hours, &[("log", "25"), ("log.2026-10-25", &first.join(" "))]);
}

#[test]
fn a_clock_that_is_set_back_rotates_nothing_and_overwrites_nothing() {
    check(&["2026-11-20T10:00", "2026-11-19T10:00", "2026-11-20T11:00"], &[("log", "0 1 2")]);
    let mut case = Case::start("2026-11-20T10:00", 31);
    fs::write(case.path("log.2026-11-20"), "there already\n").unwrap();
    case.write(&at("2026-11-20T10:00"), "old");
    case.write(&at("2026-11-21T10:00"), "new");
    assert_eq!(case.read("log.2026-11-20"), "there already\n");
    assert_eq!(case.read("log"), "old\nnew\n");
    // The failed rotation is not repeated before the next midnight.
    case.write(&at("2026-11-22T00:00"), "newer");
    assert_eq!((case.read("log"), case.read("log.2026-11-21")), ("newer\n".into(), "old\nnew\n".into()));
}

#[test]
fn what_an_earlier_process_left_goes_by_the_day_of_its_last_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, "before\n").unwrap();
    set_changed(&path, &at("2026-11-18T23:00"));
    let now = at("2026-11-20T10:00");
    let log = LogWriter::open(&path, LogRotation::AtMidnight { keep: 31 }, &now).unwrap();
    let mut case = Case { folder, log };
    case.write(&now, "after");
    assert_eq!(case.read("log.2026-11-18"), "before\n");
    assert_eq!(case.read("log"), "after\n");
}

#[test]
fn the_oldest_dated_files_go_and_nothing_else() {
    let mut case = Case::start("2026-11-20T10:00", 3);
    let others =
        ["log.1", "log.2026-1-1", "log.2026-01-01.a.b", "log2.2020-01-01", "log.old", "other.2020-01-01"];
    let dated = ["log.2026-01-01", "log.2026-01-02.gz", "log.2026-01-03", "log.2026-01-04"];
    for name in others.iter().chain(&dated) {
        fs::write(case.path(name), "").unwrap();
    }
    case.write(&at("2026-11-20T10:00"), "old");
    case.write(&at("2026-11-21T10:00"), "new");
    let mut expected = [&others[..], &["log", "log.2026-01-03", "log.2026-01-04", "log.2026-11-20"]].concat();
    expected.sort_unstable();
    assert_eq!(case.files(), expected);
}

const PYTHON: &str = "
import logging, logging.handlers, sys, time
path, keep, *moments = sys.argv[1:]
time.time = lambda: float(moments[0])
log = logging.getLogger('x')
log.addHandler(logging.handlers.TimedRotatingFileHandler(path, when='midnight', backupCount=int(keep)))
for n in range(len(moments)):
    log.error(str(n))
    moments = moments[1:] or moments
";

#[test]
fn the_same_lines_end_in_the_same_files_as_with_pythons_handler() {
    let python = std::env::var_os(osnl_testkit::PYTHON_VARIABLE)
        .unwrap_or_else(|| panic!("no Python peer: run the tests with \"cargo xtask test\""));
    for times in [
        &["2026-11-20T10:00", "2026-11-20T23:59:59", "2026-11-21T00:00", "2026-11-23T10:00"][..],
        &["2026-03-28T23:59", "2026-03-29T00:00", "2026-03-29T23:59", "2026-03-30T00:00", "2026-03-30T00:30"],
        &["2026-10-24T10:00", "2026-10-25T00:00", "2026-10-25T23:30", "2026-10-26T00:00"],
        &["2026-11-20T10:00", "2026-11-19T10:00", "2026-11-20T11:00", "2026-11-21T11:00"],
        &["2026-11-01T10:00", "2026-11-02T10:00", "2026-11-03T10:00", "2026-11-04T10:00", "2026-11-05T10:00"],
    ] {
        let times: Vec<Zoned> = times.iter().map(|time| at(time)).collect();
        let mut ours = Case::start(&times[0].datetime().to_string(), 3);
        for (n, now) in times.iter().enumerate() {
            ours.write(now, &n.to_string());
        }
        let theirs = Case::start(&times[0].datetime().to_string(), 3);
        // Python begins with the modification time of the file, so the test sets that.
        set_changed(&theirs.path("log"), &times[0]);
        let seconds = times.iter().map(|now| now.timestamp().as_second().to_string());
        let status = std::process::Command::new(Path::new(&python).join("bin/python"))
            .args(["-c", PYTHON])
            .arg(theirs.path("log"))
            .arg("3")
            .args(seconds)
            .env("TZ", ZONE)
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(ours.files(), theirs.files(), "{times:?}");
        for name in ours.files() {
            assert_eq!(ours.read(&name), theirs.read(&name), "{name} {times:?}");
        }
    }
}

#[test]
fn without_rotation_midnight_changes_nothing() {
    let mut case = Case::start("2026-11-20T10:00", 31);
    case.log.rotation = LogRotation::None;
    case.write(&at("2026-11-20T10:00"), "old");
    case.write(&at("2026-11-21T10:00"), "new");
    assert_eq!(case.files(), ["log"]);
}

#[test]
fn a_file_that_was_moved_or_deleted_is_opened_anew_within_a_second() {
    for take_away in [
        |case: &Case| fs::rename(case.path("log"), case.path("moved")).unwrap(),
        |case: &Case| {
            fs::remove_file(case.path("log")).unwrap();
        },
    ] {
        let mut case = Case::start("2026-11-20T10:00", 31);
        case.write(&at("2026-11-20T10:00"), "a");
        take_away(&case);
        case.write(&at("2026-11-20T10:00:00.999"), "b");
        assert!(!case.path("log").exists(), "looked at more than once a second");
        case.write(&at("2026-11-20T10:00:01"), "c");
        assert_eq!(case.read("log"), "c\n");
    }
}

#[test]
fn a_reopened_file_is_the_one_that_is_there_now() {
    let mut case = Case::start("2026-11-20T10:00", 31);
    let now = at("2026-11-20T10:00");
    case.write(&now, "a");
    fs::rename(case.path("log"), case.path("moved")).unwrap();
    case.log.reopen(&now);
    case.write(&now, "b");
    assert_eq!((case.read("moved"), case.read("log")), ("a\n".into(), "b\n".into()));
}

#[test]
fn a_day_that_another_process_has_ended_is_not_ended_twice() {
    let mut case = Case::start("2026-11-20T10:00", 31);
    case.write(&at("2026-11-20T23:59:59.9"), "ours");
    fs::rename(case.path("log"), case.path("log.2026-11-20")).unwrap();
    fs::write(case.path("log"), "").unwrap();
    case.write(&at("2026-11-21T00:00:00.1"), "new");
    assert_eq!((case.read("log"), case.read("log.2026-11-20")), ("new\n".into(), "ours\n".into()));
}

#[test]
fn a_lost_folder_is_said_once_and_tried_again() {
    let mut case = Case::start("2026-11-20T10:00", 31);
    let folder = case.folder.path().to_owned();
    fs::remove_file(folder.join("log")).unwrap();
    fs::remove_dir(&folder).unwrap();
    let remarks: Vec<Option<String>> = ["10:00:01", "10:00:01.5", "10:00:03"]
        .iter()
        .map(|time| {
            let written = case.log.write(&at(&format!("2026-11-20T{time}")), "lost\n");
            assert!(!written.written, "{time}");
            written.remark
        })
        .collect();
    assert!(remarks[0].as_ref().unwrap().contains("No such file"), "{remarks:?}");
    assert_eq!(remarks[1..], [None, None]);
    fs::create_dir(&folder).unwrap();
    let written = case.log.write(&at("2026-11-20T10:00:05"), "back\n");
    assert!(written.written && written.remark.unwrap().ends_with("written again"));
    assert_eq!(case.read("log"), "back\n");
}

#[test]
fn a_full_disk_is_an_error_and_a_device_is_never_moved() {
    // Through a link, so that a wrong move cannot harm the machine.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let now = at("2026-11-20T10:00");
    let mut log = LogWriter::open(&path, LogRotation::AtMidnight { keep: 31 }, &now).unwrap();
    let written = log.write(&now, "lost\n");
    assert!(!written.written && written.remark.unwrap().contains("No space left"));
    let tomorrow = log.write(&at("2026-11-21T10:00"), "lost\n");
    assert_eq!(tomorrow, WriteResult { written: false, remark: None });
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink(), "moved");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
