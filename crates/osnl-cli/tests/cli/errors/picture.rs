use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;
use tempfile::TempDir;

use crate::harness::SOON;

const FOLDER: &str = "FOLDER";
const CHANGING: [(&str, &str); 3] = [
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.,]\d{3}", "TIME"),
    (r"\bpid \d+", "pid N"),
    (r"process \d+", "process N"),
];

pub(super) struct Picture {
    before: String,
    commands: Vec<Shot>,
}

struct Shot {
    line: String,
    said: String,
}

impl Picture {
    pub(super) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let mut picture = Self { before: String::new(), commands: Vec::new() };
        for line in text.lines() {
            match (line.strip_prefix("== $ "), picture.commands.last_mut()) {
                (Some(command), _) => {
                    picture.commands.push(Shot { line: command.to_owned(), said: String::new() });
                }
                (None, Some(shot)) => shot.said.extend([line, "\n"]),
                (None, None) => picture.before.extend([line, "\n"]),
            }
        }
        assert!(!picture.commands.is_empty(), "no command in {}", path.display());
        picture
    }

    pub(super) fn shown(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().flat_map(|shot| shot.said.lines())
    }

    pub(super) fn taken(&self) -> String {
        let place = crate::private_folder().unwrap();
        let base = std::fs::read_to_string(super::gallery().join("base.conf")).unwrap();
        let folder = place.path().to_str().unwrap();
        std::fs::write(place.path().join("base.conf"), base.replace(FOLDER, folder)).unwrap();
        self.write_files(&place);
        let mut out = self.before.clone();
        for shot in &self.commands {
            let (said, status) = run(&place, &shot.line);
            out.push_str(&format!("== $ {}\n{said}== exit {status}\n", shot.line));
        }
        out
    }

    fn write_files(&self, place: &TempDir) {
        let mut file: Option<(&str, bool, String)> = None;
        let folder = place.path().to_str().unwrap();
        let write = |file: Option<(&str, bool, String)>| {
            if let Some((name, escaped, content)) = file {
                let content = content.replace(FOLDER, folder);
                let bytes = if escaped { unescaped(&content) } else { content.into_bytes() };
                std::fs::write(place.path().join(name), bytes).unwrap();
            }
        };
        for line in self.before.lines() {
            if let Some(name) = line.strip_prefix("== file ") {
                write(file.take());
                let (name, escaped) =
                    name.strip_suffix(" escaped").map_or((name, false), |name| (name, true));
                file = Some((name, escaped, String::new()));
            } else if let Some(name) = line.strip_prefix("== folder ") {
                write(file.take());
                std::fs::create_dir(place.path().join(name)).unwrap();
            } else if let Some((_, _, content)) = &mut file {
                content.extend([line, "\n"]);
            }
        }
        write(file);
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        out.push(u8::from_str_radix(&part[..2], 16).unwrap());
        out.extend(&part.as_bytes()[2..]);
    }
    out
}

fn run(place: &TempDir, line: &str) -> (String, i32) {
    let folder = place.path().to_str().unwrap();
    let (line, wanted) = line.split_once(" | grep ").map_or((line, ""), |(line, word)| (line, word));
    let (line, input) = line.split_once(" < ").map_or((line, None), |(line, file)| (line, Some(file)));
    let words = words(line);
    let program = words.iter().position(|word| !word.contains('=')).unwrap();
    let link = place.path().join(&words[program]);
    let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_osnl"), &link);
    let mut command = Command::new(&link);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", folder);
    for word in &words[..program] {
        let (name, value) = word.split_once('=').unwrap();
        command.env(name, value.replace(FOLDER, folder));
    }
    command.args(words[program + 1..].iter().map(|word| word.replace(FOLDER, folder)));
    let input = match input {
        Some(file) => Stdio::from(std::fs::File::open(place.path().join(file)).unwrap()),
        None => Stdio::null(),
    };
    let output = crate::private_folder().unwrap();
    let file = |name: &str| std::fs::File::create(output.path().join(name)).unwrap();
    command.current_dir(folder).stdin(input).stderr(file("stderr")).stdout(file("stdout"));
    let mut child = command.spawn().unwrap();
    let status = end_of(&mut child, line);
    let read = |name: &str| std::fs::read(output.path().join(name)).unwrap();
    let text = String::from_utf8_lossy(&[read("stderr"), read("stdout")].concat()).into_owned();
    let mut said = text.replace(folder, FOLDER);
    for (pattern, name) in CHANGING {
        said = Regex::new(pattern).unwrap().replace_all(&said, name).into_owned();
    }
    let shown =
        said.lines().filter(|line| line.contains(wanted)).map(|line| format!("{}\n", line.trim_end()));
    (shown.collect(), status)
}

fn end_of(child: &mut Child, line: &str) -> i32 {
    let end = Instant::now() + SOON;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{line}: goes on running");
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted, mut is_word) = (Vec::new(), false, false);
    let mut word = String::new();
    for c in line.chars().chain([' ']) {
        match c {
            '\'' => (quoted, is_word) = (!quoted, true),
            ' ' if !quoted => {
                if std::mem::take(&mut is_word) {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => {
                word.push(c);
                is_word = true;
            }
        }
    }
    words
}
