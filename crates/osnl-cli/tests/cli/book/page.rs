//! Parses a page of the book into blocks: files, commands and outputs.
//!
//! The first word behind the three backticks is the language. Further words are for this test; no
//! renderer shows them:
//!
//! | block | |
//! | --- | --- |
//! | `ini file=a.conf` | any language: this is the whole file |
//! | `ini adds=a.conf` | this is what is added at its end |
//! | `console` | `$ ` begins a command, `> ` continues it, `^C` ends what runs; all else is what is printed |
//! | `console stays` | the last command goes on running, in a terminal of its own |
//! | `console goes-on` | what the program that runs prints further |
//! | `console not-run=NAME` | nothing that a test can run; the test knows each by page and name |
//!
//! `<!-- test: WORDS -->` names another event at that place, such as a target that becomes
//! unreachable.

use std::collections::BTreeMap;

#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    File { name: String, text: String },
    Adds { name: String, text: String },
    Command { line: usize, command: String, prints: Vec<String>, stays: bool },
    GoesOn { line: usize, prints: Vec<String> },
    Interrupt { line: usize, prints: Vec<String> },
    NotRun(String),
    Stage(String),
    Shell { line: usize, command: String },
}

#[derive(Debug)]
pub(crate) struct Block<'a> {
    pub(crate) line: usize,
    pub(crate) language: &'a str,
    pub(crate) words: BTreeMap<&'a str, &'a str>,
    pub(crate) lines: Vec<&'a str>,
}

pub(crate) fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (number, line) in (1..).zip(page.lines()) {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => block.lines.push(line),
            (None, Some(info)) => open = Some(begun(number, info)),
            (None, None) => {
                if let Some(words) =
                    line.strip_prefix("<!-- test: ").and_then(|rest| rest.strip_suffix(" -->"))
                {
                    let words = vec![words];
                    blocks.push(Block {
                        line: number,
                        language: "test",
                        words: BTreeMap::new(),
                        lines: words,
                    });
                }
            }
        }
    }
    assert!(open.is_none(), "a block does not end: {open:?}");
    blocks
}

fn begun(line: usize, info: &str) -> Block<'_> {
    let mut words = info.split_whitespace();
    let language = words.next().unwrap_or_default();
    let words = words.map(|word| word.split_once('=').unwrap_or((word, ""))).collect();
    Block { line, language, words, lines: Vec::new() }
}

pub(crate) fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for block in blocks(page) {
        let text = || block.lines.iter().map(|line| format!("{line}\n")).collect();
        if let Some(name) = block.words.get("file") {
            steps.push(Step::File { name: (*name).to_owned(), text: text() });
        } else if let Some(name) = block.words.get("adds") {
            steps.push(Step::Adds { name: (*name).to_owned(), text: text() });
        } else if let Some(name) = block.words.get("not-run") {
            steps.push(Step::NotRun((*name).to_owned()));
        } else {
            match block.language {
                "console" => console(&block, &mut steps),
                "sh" => shell(&block, &mut steps),
                "test" => steps.push(Step::Stage(block.lines[0].to_owned())),
                _ => {}
            }
        }
    }
    steps
}

fn console(block: &Block<'_>, steps: &mut Vec<Step>) {
    let first = steps.len();
    if block.words.contains_key("goes-on") {
        let prints = block.lines.iter().map(|&line| line.to_owned()).collect();
        steps.push(Step::GoesOn { line: block.line, prints });
        return;
    }
    for (line, text) in (block.line + 1..).zip(&block.lines) {
        if let Some(command) = text.strip_prefix("$ ") {
            let command = command.to_owned();
            steps.push(Step::Command { line, command, prints: Vec::new(), stays: false });
            continue;
        }
        if *text == "^C" {
            steps.push(Step::Interrupt { line, prints: Vec::new() });
            continue;
        }
        match steps[first..].last_mut() {
            Some(Step::Command { command, prints, .. }) => match text.strip_prefix("> ") {
                Some(more) if prints.is_empty() && command.ends_with('\\') => {
                    command.push('\n');
                    command.push_str(more);
                }
                _ => prints.push((*text).to_owned()),
            },
            Some(Step::Interrupt { prints, .. }) => prints.push((*text).to_owned()),
            _ => panic!("line {line}: something is printed before any command: {text}"),
        }
    }
    if block.words.contains_key("stays")
        && let Some(Step::Command { stays, .. }) = steps[first..].last_mut()
    {
        *stays = true;
    }
}

fn shell(block: &Block<'_>, steps: &mut Vec<Step>) {
    let mut whole: Option<(usize, String)> = None;
    for (line, text) in (block.line + 1..).zip(&block.lines) {
        let (line, mut command) = whole.take().unwrap_or_else(|| (line, String::new()));
        command.push_str(text.trim_start());
        match command.strip_suffix('\\') {
            Some(begun) => whole = Some((line, begun.to_owned())),
            None if command.ends_with('|') => whole = Some((line, command + " ")),
            None if command.is_empty() || command.starts_with('#') => {}
            None => steps.push(Step::Shell { line, command }),
        }
    }
}

pub(crate) fn commands(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut quote = None;
    let mut begin = 0;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '|' | '&' | ';' | '>') => {
                found.push(line[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    found.push(line[begin..].trim());
    found.retain(|command| !command.is_empty());
    found
}

#[test]
fn a_line_has_commands() {
    let check = |line: &str, expected: &[&str]| assert_eq!(commands(line), expected, "{line}");
    check("a b", &["a b"]);
    check("a && b --c | jq '.d | .e' > f", &["a", "b --c", "jq '.d | .e'", "f"]);
    check("a \"it's\"; b", &["a \"it's\"", "b"]);
}

#[test]
fn a_page_is_read() {
    let page = "# x\n```ini file=a.conf\nb = c\n```\n<!-- test: target stops -->\n```console stays\n$ one \\\n> two\n$ three\nsays\n```\n\
                ```console goes-on\nmore\n```\n```console\n^C\ngone\n```\n```console not-run=apt\n$ apt\n```\n```sh\n# c\nosnl \\\n  x\n```\n```text\n$ no\n```\n";
    let command = |line, command: &str, prints: &[&str], stays| Step::Command {
        line,
        command: command.to_owned(),
        prints: prints.iter().map(|&line| line.to_owned()).collect(),
        stays,
    };
    let expected = [
        Step::File { name: "a.conf".to_owned(), text: "b = c\n".to_owned() },
        Step::Stage("target stops".to_owned()),
        command(7, "one \\\ntwo", &[], false),
        command(9, "three", &["says"], true),
        Step::GoesOn { line: 12, prints: vec!["more".to_owned()] },
        Step::Interrupt { line: 16, prints: vec!["gone".to_owned()] },
        Step::NotRun("apt".to_owned()),
        Step::Shell { line: 24, command: "osnl x".to_owned() },
    ];
    assert_eq!(steps(page), expected);
}
