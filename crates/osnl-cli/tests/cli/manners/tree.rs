//! The tree of commands from `--help`, which clap prints from the definitions of its parser.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::OSNL;

/// Commands with others below them that also do something alone.
pub(super) const ALSO_ALONE: [&str; 2] = ["gaps", "queues"];

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) narrow: String,
    pub(super) below: Vec<String>,
}

impl Node {
    pub(super) fn words(&self) -> Vec<&str> {
        self.name.split_whitespace().collect()
    }

    pub(super) fn options(&self) -> Vec<&str> {
        let named = self.help.lines().filter(|line| line.trim_start().starts_with('-'));
        named
            .flat_map(|line| line.split([' ', ',']).filter(|word| word.starts_with('-')).take(2))
            .map(|word| word.trim_end_matches('>'))
            .filter(|word| word.len() > 1)
            .collect()
    }

    pub(super) fn has(&self, option: &str) -> bool {
        self.options().contains(&option)
    }

    pub(super) fn examples(text: &str) -> Vec<&str> {
        let of = text.lines().skip_while(|line| !line.starts_with("Example"));
        of.skip(1).filter(|line| !line.trim().is_empty()).collect()
    }
}

pub(super) fn all() -> &'static [Node] {
    static TREE: OnceLock<Vec<Node>> = OnceLock::new();
    TREE.get_or_init(|| {
        let mut found = Vec::new();
        walk("", &mut found);
        assert!(found.len() > 20, "the tree is not read: {found:?}");
        found
    })
}

pub(super) fn leaves() -> impl Iterator<Item = &'static Node> {
    all().iter().filter(|node| node.below.is_empty())
}

fn walk(name: &str, found: &mut Vec<Node>) {
    let help = help(name, "100", "--help");
    let heading = if name.is_empty() { "Set up:" } else { "Commands:" };
    let listed = help.lines().skip_while(|line| *line != heading).skip(1);
    let listed = listed.take_while(|line| match name {
        "" => *line != "Examples:",
        _ => line.starts_with("  "),
    });
    let listed = listed.filter(|line| line.starts_with("  "));
    // Wrapped lines are indented further.
    let listed = listed.filter(|line| !line.starts_with("   "));
    let below: Vec<String> =
        listed.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    let narrow = self::help(name, "80", "--help");
    found.push(Node { name: name.to_owned(), help, narrow, below: below.clone() });
    for child in below {
        walk(format!("{name} {child}").trim_start(), found);
    }
}

pub(super) fn help(name: &str, columns: &str, flag: &str) -> String {
    let mut command = Command::new(OSNL);
    command.args(name.split_whitespace()).arg(flag).env("COLUMNS", columns).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{name} {flag}");
    String::from_utf8(output.stdout).unwrap()
}
