//! The environment that plays a page: a folder, a virtual host of a real broker, and a target.
//!
//! The test's addresses replace those of the page, and are replaced back in outputs. A read-only
//! command is repeated until its output matches, since its subject takes time; a changing command
//! runs once. A page's `export` stays set. Status 1 of a read-only command is an answer; the page
//! must show any other status by `echo $?`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use osnl_testkit::{
    Broker, Notice, OsloPublisher, PublisherOptions, RawMessage, Reply, RestartableProgram, Sink, Vhost,
};
use tempfile::TempDir;

use super::compare::is_as_shown;
use super::page::Step;
use crate::snapshot::look_until;

const SOON: Duration = Duration::from_secs(60);
const ASKING: [&str; 13] = [
    "osnl status",
    "osnl deliveries list",
    "osnl deliveries show",
    "osnl explain",
    "osnl check",
    "osnl tap",
    "osnl queues -c",
    "sudo rabbitmqctl list",
    "cat ",
    "tail ",
    "grep ",
    "wc ",
    "ls ",
];
const BIN: &str = ".bin";
pub(crate) const NAMES: [&str; 4] = ["osnl", "k2hr3_osnl", "k2hr3-osnl", "oss_watcher"];
/// Tests run below /tmp, where a journal needs this option; readers have a disk.
const VOLATILE: &str = "[journal]\nallow_volatile = true\n";
const SAYS_VOLATILE: &str = "  place      may be lost";

pub(crate) fn programs(folder: &Path) {
    fs::create_dir(folder.join(BIN)).unwrap();
    for name in NAMES {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_osnl"), folder.join(BIN).join(name)).unwrap();
    }
}

pub(crate) fn path_to(folder: &Path, more: &str) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{more}:{path}", folder.join(BIN).display())
}

pub(crate) struct Stage {
    folder: TempDir,
    vhost: Vhost,
    broker: Option<Broker>,
    target: Sink,
    running: Vec<RestartableProgram>,
    exports: String,
    status: i32,
    failed: bool,
    unread: BTreeSet<String>,
    transcript: String,
    names: Vec<(String, String)>,
}

impl Stage {
    pub(crate) fn new(page: &str) -> Self {
        Self::at(Broker::shared().vhost(page), None)
    }

    pub(crate) fn with_a_broker() -> Self {
        let broker = Broker::start();
        Self::at(broker.root(), Some(broker))
    }

    fn at(vhost: Vhost, broker: Option<Broker>) -> Self {
        let folder = crate::private_folder().unwrap();
        let target = Sink::start();
        programs(folder.path());
        let url = vhost.url();
        let host = url.split(['@', '/']).nth(3).unwrap().to_owned();
        let names = vec![
            ("rabbit://guest:guest@127.0.0.1:5672/".to_owned(), url.clone()),
            ("amqp://guest:guest@127.0.0.1:5672//".to_owned(), url.replace("rabbit:", "amqp:")),
            ("127.0.0.1:5672".to_owned(), host),
            ("virtual host /".to_owned(), format!("virtual host {}", vhost.name())),
            ("virtual host \"/\"".to_owned(), format!("virtual host \"{}\"", vhost.name())),
            ("127.0.0.1:8080".to_owned(), format!("127.0.0.1:{}", target.port())),
        ];
        Self {
            folder,
            vhost,
            broker,
            target,
            running: Vec::new(),
            exports: String::new(),
            status: 0,
            failed: false,
            unread: BTreeSet::new(),
            transcript: String::new(),
            names,
        }
    }

    pub(crate) fn play(&mut self, step: &Step) {
        match step {
            Step::File { name, text } => {
                let volatile = if text.contains("[listener:") { VOLATILE } else { "" };
                fs::write(self.path(name), self.here(text) + volatile).unwrap();
                self.written(name);
            }
            Step::Adds { name, text } => {
                let whole = fs::read_to_string(self.path(name)).unwrap() + &self.here(text);
                fs::write(self.path(name), whole).unwrap();
                self.written(name);
            }
            Step::Command { line, command, prints, stays: true } => self.begin(*line, command, prints),
            Step::Command { line, command, prints, stays: false } => self.run(*line, command, prints),
            Step::GoesOn { line, prints } => {
                self.told(*line, "goes on");
                self.wait_for(&[&["...".to_owned()], &prints[..]].concat());
            }
            Step::Interrupt { line, prints } => self.interrupt(*line, prints),
            Step::Stage(words) => self.arrange(words),
            Step::NotRun(_) => {}
            Step::Shell { line, command } => {
                panic!(
                    "line {line}: a played page shows what commands print, in a block `console`: {command}"
                )
            }
        }
    }

    pub(crate) fn end(mut self) {
        assert!(!self.failed, "the last command failed, and the page does not show it\n{}", self.transcript);
        assert!(self.unread.is_empty(), "shown, and never read by a command: {:?}", self.unread);
        for program in &mut self.running {
            assert!(
                program.is_running(),
                "it has ended by itself:\n{}\n{}",
                program.output(),
                self.transcript
            );
        }
    }

    fn written(&mut self, name: &str) {
        if name.ends_with(".conf") {
            self.unread.insert(name.to_owned());
        }
    }

    fn arrange(&mut self, words: &str) {
        match words.split_whitespace().collect::<Vec<_>>()[..] {
            ["service", "creates", exchange] => {
                let exchange = exchange.to_owned();
                let mut service = OsloPublisher::start(&self.vhost.url(), PublisherOptions::default());
                service.raw(&RawMessage { exchange, declare: true, ..RawMessage::default() });
            }
            ["nova", "deletes", "an", "instance"] => {
                let mut nova = OsloPublisher::start(&self.vhost.url(), PublisherOptions::default());
                nova.notify(&Notice {
                    exchange: "nova".to_owned(),
                    publisher_id: "compute.node1".to_owned(),
                    event_type: "compute.instance.delete.end".to_owned(),
                    ..Notice::default()
                });
            }
            ["target", "stops"] => self.target.stop(),
            ["target", "starts"] => self.target.restart(),
            ["target", "answers", status] => self.target.reply_with(Reply::Status(status.parse().unwrap())),
            _ => panic!("nobody knows how to arrange: {words}"),
        }
    }

    fn begin(&mut self, line: usize, command: &str, prints: &[String]) {
        self.told(line, command);
        self.running.push(RestartableProgram::start(self.shell(&format!("exec {command}"))));
        self.wait_for(prints);
    }

    fn wait_for(&mut self, prints: &[String]) {
        let program = self.running.last().expect("nothing runs that could print anything");
        let is_right = |printed: &String| is_as_shown(prints, printed, true);
        let printed = look_until(|| self.as_in_pages(&program.output()), is_right);
        assert!(is_right(&printed), "{}{printed}\n-- shown:\n{}", self.transcript, prints.join("\n"));
        self.transcript.push_str(&printed);
    }

    fn interrupt(&mut self, line: usize, prints: &[String]) {
        self.told(line, "^C");
        let mut program = self.running.pop().expect("nothing runs that could be interrupted");
        let before = program.output().len();
        program.signal("INT");
        self.status = program.wait(SOON).code().unwrap_or(-1);
        self.failed = self.status != 0;
        let printed = self.as_in_pages(&program.output()[before..]);
        let fine = prints.is_empty() || is_as_shown(prints, &printed, false);
        assert!(fine, "{}{printed}\n-- shown:\n{}", self.transcript, prints.join("\n"));
    }

    fn run(&mut self, line: usize, command: &str, prints: &[String]) {
        self.told(line, command);
        if command == "echo $?" {
            assert_eq!(prints, [self.status.to_string()], "{}", self.transcript);
            self.failed = false;
            return;
        }
        assert!(
            !self.failed,
            "the command before failed, and the page does not show it\n{}",
            self.transcript
        );
        if command.starts_with("export ") {
            self.exports.push_str(&format!("{command}\n"));
            return;
        }
        let asks = ASKING.iter().any(|begin| command.starts_with(begin));
        let is_right = |printed: &String| is_as_shown(prints, printed, false);
        let printed = look_until(|| self.once(command), |printed| !asks || is_right(printed));
        let running: Vec<String> = self.running.iter().map(RestartableProgram::output).collect();
        assert!(
            is_right(&printed),
            "{}{printed}\n-- shown:\n{}\n-- running:\n{}",
            self.transcript,
            prints.join("\n"),
            running.join("\n")
        );
        self.transcript.push_str(&printed);
        self.failed = self.status != 0 && !(asks && self.status == 1);
    }

    fn once(&mut self, command: &str) -> String {
        if let Some(args) = command.strip_prefix("sudo rabbitmqctl ") {
            self.status = 0;
            // What is between two quotes is one word.
            let parts = args.split('\'').enumerate();
            let words = parts.flat_map(|(n, part)| match n % 2 {
                0 => part.split_whitespace().collect(),
                _ => vec![part],
            });
            let words: Vec<&str> = words.collect();
            let said = match &self.broker {
                Some(broker) => broker.ctl(&words),
                None => self.vhost.ctl(&words),
            };
            return self.as_in_pages(&said);
        }
        let mut program = RestartableProgram::start(self.shell(command));
        self.status = program.wait(SOON).code().unwrap_or(-1);
        self.as_in_pages(&program.output())
    }

    fn told(&mut self, line: usize, command: &str) {
        self.unread.retain(|name| !command.contains(name.as_str()));
        self.transcript.push_str(&format!("-- line {line}: {command}\n"));
    }

    fn shell(&self, command: &str) -> Command {
        // A shell ignores ^C in background jobs, and Python inherits that, so the signal's default
        // is restored.
        let mut shell = Command::new("env");
        shell.args(["--default-signal=INT", "sh"]);
        let folder = self.folder.path();
        let python = std::env::var(osnl_testkit::PYTHON_VARIABLE).unwrap_or_default();
        shell.arg("-c").arg(self.exports.clone() + &self.here(command)).current_dir(folder).env_clear();
        shell.env("PATH", path_to(folder, &format!("{python}/bin")));
        shell.env("HOME", folder).env("STATE_DIRECTORY", folder.join("state")).env("TZ", "UTC");
        shell
    }

    fn here(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (shown, here)| text.replace(shown, here))
    }

    fn as_in_pages(&self, text: &str) -> String {
        let lines =
            text.lines().filter(|line| !line.starts_with(SAYS_VOLATILE)).map(|line| format!("{line}\n"));
        self.names.iter().fold(lines.collect(), |text: String, (shown, here)| text.replace(here, shown))
    }

    fn path(&self, name: &str) -> PathBuf {
        assert!(Path::new(name).is_relative() && !name.contains(".."), "{name}");
        self.folder.path().join(name)
    }
}
