//! Parts of a daemon that hang. systemd's watchdog ends a process whose loop is stuck. A daemon
//! that waits for its disk, or whose listener is blocked, must not be ended: a new process would
//! wait for the same.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use osnl_testkit::{Reply, signal, wait_until};

use crate::crash::may_trace;
use crate::harness::SOON;
use crate::journalled::{Rig, preload};
use crate::monitoring;
use crate::reloading::{self, LISTENER, RULE};
use crate::systemd::Manager;

const WATCHDOG: (&str, &str) = ("WATCHDOG_USEC", "1000000");
const UNTRACED: &str = "strace delays the system calls of this test, and may not run here: install strace with cargo xtask setup, and permit ptrace";

fn start(rig: &mut Rig) -> Manager {
    let path = rig.path("notify");
    let manager = Manager::bind(&path);
    rig.start_under(
        &[],
        &[
            ("NOTIFY_SOCKET", path),
            (WATCHDOG.0, WATCHDOG.1.into()),
            ("LD_PRELOAD", preload().to_owned()),
            ("OSNL_TEST_FAULT", rig.path("fault")),
        ],
    );
    rig.consuming();
    manager
}

#[track_caller]
fn told(manager: &Manager, part: &str) -> String {
    let end = Instant::now() + SOON;
    loop {
        let news = manager.next();
        if news.contains(part) {
            return news;
        }
        assert!(Instant::now() < end, "systemd is not told {part:?}, but {news:?}");
    }
}

#[test]
fn a_disk_that_hangs_is_published_and_the_watchdog_lets_the_daemon_wait() {
    let mut rig = Rig::new("hung-disk");
    let manager = start(&mut rig);
    rig.publish(3, 1000);
    rig.all_done();
    fs::write(rig.path("fault"), "hang").unwrap();
    rig.publish(3, 1000);
    let status = told(&manager, "has not answered for");
    assert!(status.contains("the journal") && status.contains("cannot be written: its disk"), "{status}");
    let signs = (0..8).filter(|_| manager.next() == "WATCHDOG=1").count();
    assert!(signs >= 4, "{signs} signs of life");
    let ask = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
        let output = command.args(args).args(["-c", "a.conf"]).current_dir(rig.home.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, plug_in) = ask(&["status", "--format", "nagios"]);
    assert!(code == Some(2) && plug_in.starts_with("OSNL CRITICAL - "), "{plug_in}");
    assert!(plug_in.contains("its disk has not answered for"), "{plug_in}");
    assert_eq!(rig.effects().len(), 3, "no attempt begins whose outcome could not be kept");
    fs::remove_file(rig.path("fault")).unwrap();
    rig.all_done();
    told(&manager, "STATUS=listening to");
    assert_eq!(ask(&["status"]).0, Some(0));
    for line in ["the journal's disk does not answer", "the journal takes messages again"] {
        rig.wait_for_log(line);
        assert_eq!(rig.log().matches(line).count(), 1, "{line}: {}", rig.log());
    }
}

struct Delay(Child);

impl Delay {
    fn start(pid: u32, calls: &str, threads: &[&str]) -> Self {
        let mut tracer = Command::new("strace")
            .args(["-o", "/dev/null", "-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:delay_enter=60s"), "-p", &pid.to_string()])
            .args(threads)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(tracer.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("attached")));
        thread::spawn(move || lines.for_each(drop));
        Self(tracer)
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "which of the two was tested")]
fn a_loop_that_is_stuck_gives_no_sign_of_life() {
    let mut rig = Rig::new("hung-loop");
    let manager = start(&mut rig);
    told(&manager, "STATUS=listening to");
    assert_eq!(manager.next(), "WATCHDOG=1");
    let delay = may_trace().then(|| Delay::start(rig.pid(), "epoll_wait,epoll_pwait", &[]));
    if delay.is_none() {
        println!("nothing may be traced here: the whole process is stopped");
        signal(rig.pid(), "STOP");
    }
    manager.is_silent_for(Duration::from_secs(3));
    drop(delay);
    signal(rig.pid(), "CONT");
    assert_eq!(manager.next(), "WATCHDOG=1");
}

#[test]
fn a_file_system_that_does_not_answer_delays_no_message_and_no_health_check() {
    assert!(may_trace(), "{UNTRACED}");
    let action = "[action:roles]\ndriver = http\nurl = SINK\n";
    let (mut rig, admin) = monitoring::monitored("hung-statfs", &[LISTENER, RULE, action]);
    let delay = Delay::start(rig.daemon.as_ref().unwrap().id(), "statfs", &["-f"]);
    let mut scrape = TcpStream::connect(&admin).unwrap();
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    scrape.write_all(request.as_bytes()).unwrap();
    // Whatever waits for the file system takes 60 s.
    let begun = Instant::now();
    assert_eq!(monitoring::get(&admin, "/livez"), (200, "ok\n".to_owned()));
    rig.publish([(1, 1)]);
    rig.sink.wait_for(1, SOON);
    assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
    let mut metrics = String::new();
    scrape.read_to_string(&mut metrics).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
    assert!(metrics.contains("\nosnl_journal_state{state=\"ok\"} 1\n"), "{metrics}");
    assert!(!metrics.contains("\nosnl_journal_free_space_bytes "), "{metrics}");
    drop(delay);
    wait_until(SOON, "the file system answers", || {
        monitoring::sample(&admin, "osnl_journal_free_space_bytes").is_some()
    });
}

#[test]
fn a_secret_file_that_does_not_answer_delays_no_stop() {
    assert!(may_trace(), "{UNTRACED}");
    let mut rig = reloading::Rig::start("hung-secret");
    let (token, calls) = (rig.home.path().join("token"), rig.home.path().join("calls"));
    fs::write(&token, "refused").unwrap();
    rig.sink.reply_with(Reply::Status(401));
    let action = "[action:roles]\ndriver = http\nurl = SINK\nauth = bearer\ntoken = file://HOME/token\n\
                  retry_interval = 1s\n";
    rig.apply(&[LISTENER, RULE, action]);
    rig.publish([(1, 1)]);
    rig.sink.wait_for(1, SOON);
    // Whatever opens the file takes 60 s.
    let begun = Instant::now();
    let of_file = ["-f", "-P", token.to_str().unwrap(), "-o", calls.to_str().unwrap()];
    let delay = Delay::start(rig.daemon.as_ref().unwrap().id(), "openat", &of_file);
    wait_until(SOON, "the file is opened", || {
        fs::read_to_string(&calls).is_ok_and(|calls| calls.contains("openat("))
    });
    rig.signal("TERM");
    wait_until(SOON, "it stops", || rig.log().contains("Stopped"));
    assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
    assert!(!rig.log().contains("a service of the daemon does not end"), "{}", rig.log());
    drop(delay);
    assert_eq!(rig.daemon.take().unwrap().wait().unwrap().code(), Some(0));
}
