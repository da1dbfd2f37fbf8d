//! Tests of the book: every page is listed, every link resolves, every shown command behaves as
//! shown.
//!
//! Tutorial pages are played ([`PLAYED`]): files are written, commands run on a real broker, and
//! outputs are compared. On other pages each `osnl` command gets `--help` appended, so that the
//! binary refuses unknown flags and values. Blocks that cannot be tested are listed by name.

mod claims;
mod compare;
mod links;
mod page;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use self::page::Step;
use self::stage::Stage;

/// Pages, or with `PAGE#HEADING` sections of pages.
const PLAYED: [&str; 8] = [
    "coming-from.md#A script",
    "coming-from.md#k2hr3_osnl",
    "getting-started.md",
    "rules-step-by-step.md",
    "running.md",
    "scale-out.md",
    "troubleshooting.md",
    "turning-notifications-on.md",
];

const NOT_RUN: [(&str, &str, &str); 6] = [
    ("coming-from.md#k2hr3_osnl", "back", "systemctl, and files of the system"),
    ("coming-from.md#k2hr3_osnl", "change", "systemctl, and files of the system"),
    ("coming-from.md#k2hr3_osnl", "durable-queue", "rabbitmqadmin is a plug-in's"),
    ("getting-started.md", "build", "what runs the test was built"),
    ("getting-started.md", "package", "apt"),
    ("running.md", "systemd", "systemctl"),
];

const OTHER_PROGRAMS: [(&str, &str); 23] = [
    ("../README.md", "cargo run --release -- demo"),
    ("../README.md", "cargo xtask package deb"),
    ("../README.md", "sudo apt install "),
    ("amqp1.md", "cargo build --profile dist -p osnl-cli --features amqp1"),
    ("backup.md", "runuser "),
    ("backup.md", "systemctl "),
    ("benchmarks.md", "cargo xtask bench"),
    ("coming-from.md#oss_watcher", "ln -s "),
    ("deliveries.md", "curl --unix-socket "),
    ("deliveries.md", "groupadd "),
    ("deliveries.md", "printf "),
    ("deliveries.md", "sudo -u nagios osnl status "),
    ("deliveries.md", "systemctl edit "),
    ("deliveries.md", "usermod "),
    ("kafka.md", "cargo build --profile dist -p osnl-cli --features kafka"),
    ("kafka.md", "kafka-topics.sh "),
    ("monitoring.md", "curl "),
    ("queues.md", "sudo rabbitmqctl "),
    ("reload.md", "systemctl reload "),
    ("upgrade.md", "mv "),
    ("upgrade.md", "runuser "),
    ("upgrade.md", "systemctl "),
    ("writing-a-plugin.md", "echo "),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Reads a page, or the section of `PAGE#HEADING`, whose lines keep their numbers.
fn read(path: &str) -> String {
    let (page, heading) = path.split_once('#').map_or((path, None), |(page, heading)| (page, Some(heading)));
    let file = root().join("docs").join(page);
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let Some(heading) = heading else { return text };
    let (before, section) =
        text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {path}"));
    let section = section.split("\n## ").next().unwrap();
    format!("{}{section}", "\n".repeat(before.lines().count() + 2))
}

/// Returns the pages, and in place of a page that is played in part its sections.
fn parts() -> Vec<String> {
    let sections = |page: &String| {
        let is_whole = PLAYED.iter().all(|played| !played.starts_with(&format!("{page}#")));
        let text = if is_whole { String::new() } else { read(page) };
        let names = text.lines().filter_map(|line| line.strip_prefix("## "));
        let sections = names.map(|name| format!("{page}#{name}"));
        is_whole.then(|| page.clone()).into_iter().chain(sections).collect::<Vec<_>>()
    };
    pages().iter().flat_map(sections).collect()
}

fn pages() -> BTreeSet<String> {
    fn walk(folder: &Path, docs: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, docs, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.insert(path.strip_prefix(docs).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let docs = root().join("docs");
    let mut found = BTreeSet::new();
    walk(&docs, &docs, &mut found);
    found.remove("SUMMARY.md");
    found
}

fn steps(path: &str) -> Vec<Step> {
    page::steps(&read(path))
}

#[track_caller]
fn play(path: &str) {
    play_on(path, Stage::new(&path.replace(".md", "").replace(['#', ' '], "-")));
}

#[track_caller]
fn play_on(path: &str, mut stage: Stage) {
    assert!(PLAYED.contains(&path), "{path} is not among PLAYED");
    for step in steps(path) {
        stage.play(&step);
    }
    stage.end();
}

#[test]
fn getting_started() {
    play("getting-started.md");
}

#[test]
fn coming_from_k2hr3_osnl() {
    play("coming-from.md#k2hr3_osnl");
}

#[test]
fn coming_from_a_script() {
    play("coming-from.md#A script");
}

#[test]
fn rules_step_by_step() {
    play("rules-step-by-step.md");
}

#[test]
fn running() {
    play("running.md");
}

#[test]
fn scale_out() {
    play("scale-out.md");
}

#[test]
fn troubleshooting() {
    play("troubleshooting.md");
}

/// Users of a broker are not of one virtual host, so this page has a broker of its own.
#[test]
fn turning_notifications_on() {
    play_on("turning-notifications-on.md", Stage::with_a_broker());
}

#[test]
fn the_summary_lists_each_page_once() {
    let mut listed = BTreeMap::new();
    for (_, target) in links::links(&read("SUMMARY.md")) {
        *listed.entry(target).or_insert(0) += 1;
    }
    let twice: Vec<_> = listed.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "docs/SUMMARY.md has these more than once: {twice:?}");
    let listed: BTreeSet<String> = listed.into_keys().collect();
    let pages = pages();
    let missing: Vec<_> = pages.difference(&listed).collect();
    assert!(missing.is_empty(), "add to docs/SUMMARY.md: {missing:?}");
    let gone: Vec<_> = listed.difference(&pages).collect();
    assert!(gone.is_empty(), "docs/SUMMARY.md lists what is not there: {gone:?}");
}

#[test]
fn every_link_leads_to_a_file_and_its_heading() {
    let root = root();
    let docs = pages().into_iter().chain(["SUMMARY.md".to_owned()]).map(|page| format!("docs/{page}"));
    let files =
        docs.chain(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned));
    let broken: Vec<String> = files.flat_map(|file| links::broken(&root, &file)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_map_of_the_code_fits_two_screens_and_names_files_that_exist() {
    let map = read("../ARCHITECTURE.md");
    assert!(map.lines().count() <= 120, "{} lines", map.lines().count());
    let wide: Vec<&str> = map.lines().filter(|line| line.chars().count() > 120).collect();
    assert!(wide.is_empty(), "more than 120 columns: {wide:#?}");
    let (_, order) = map.split_once("## Forty files").unwrap();
    let paths: Vec<&str> = order.split('`').filter(|code| code.ends_with(".rs")).collect();
    assert_eq!(paths.len(), 40);
    let gone: Vec<_> = paths.iter().filter(|path| !root().join("crates").join(path).exists()).collect();
    assert!(gone.is_empty(), "there is no such file: {gone:?}");
}

#[test]
fn what_is_not_run_is_known_by_name() {
    let mut found = Vec::new();
    for path in PLAYED {
        let text = read(path);
        for step in page::steps(&text) {
            if let Step::NotRun(name) = step {
                found.push((path, name));
            }
        }
        // A shown configuration that no command uses would be the first to become wrong.
        let shown = page::blocks(&text).into_iter().filter(|block| ["ini", "sh"].contains(&block.language));
        let idle: Vec<usize> = shown.filter(|block| block.words.is_empty()).map(|block| block.line).collect();
        assert!(idle.is_empty(), "{path}: blocks that nothing reads, in lines {idle:?}");
    }
    let found: BTreeSet<(&str, &str)> = found.iter().map(|(path, name)| (*path, name.as_str())).collect();
    let known = NOT_RUN.iter().map(|(path, name, _)| (*path, *name)).collect();
    assert_eq!(found, known, "blocks with not-run=NAME, and the list NOT_RUN of this test");
}

#[test]
fn the_commands_of_all_other_pages_have_flags_that_exist() {
    let pages = parts().into_iter().filter(|page| !PLAYED.contains(&page.as_str()));
    let folder = crate::private_folder().unwrap();
    stage::programs(folder.path());
    let mut tried = 0;
    let mut wrong = Vec::new();
    for path in pages.chain(["../README.md".to_owned()]) {
        for step in steps(&path) {
            let Step::Shell { line, command } = step else { continue };
            let of_osnl = |part: &&str| stage::NAMES.contains(&part.split(' ').next().unwrap_or_default());
            let parts: Vec<&str> = page::commands(&command).into_iter().filter(of_osnl).collect();
            tried += parts.len();
            for said in parts.iter().filter_map(|part| refusal(part, folder.path())) {
                wrong.push(format!("docs/{path}:{line}: {command}\n{said}"));
            }
            let known =
                OTHER_PROGRAMS.iter().any(|(page, begin)| *page == path && command.starts_with(begin));
            if parts.is_empty() && !known {
                wrong.push(format!("docs/{path}:{line}: {command}: not osnl, and not among OTHER_PROGRAMS"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 10, "{tried}");
}

fn refusal(command: &str, folder: &Path) -> Option<String> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{command} --help")).stdin(Stdio::null());
    let output = shell.env("PATH", stage::path_to(folder, "")).output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn generated_pages_are_what_this_build_prints() {
    let printed = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_osnl")).args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let stale = "cargo xtask docs writes it";
    assert!(read("reference/events.md") == printed(&["events", "--format", "markdown"]), "events: {stale}");
    let commands = printed(&["man", "--format", "markdown"]);
    let mut names = Vec::new();
    for page in format!("\n{commands}").split("\n# ").skip(1) {
        let title = page.lines().next().unwrap().trim_matches('`');
        let name = match title {
            "Commands" => "reference/commands.md".to_owned(),
            title => format!("reference/commands/{}.md", title.rsplit(' ').next().unwrap()),
        };
        assert!(read(&name) == format!("# {}\n", page.trim_end()), "{name}: {stale}");
        names.push(name);
    }
    let there = pages().into_iter().filter(|page| page.starts_with("reference/commands"));
    assert_eq!(there.collect::<BTreeSet<_>>(), names.into_iter().collect(), "{stale}");
}
