use super::tree::{self, Node};

/// The most lines of a help on a terminal of 100 columns.
const SCREEN: usize = 40;
/// The most lines on a terminal of 80 columns, for a command with few options.
const SMALL_SCREEN: usize = 24;
const AT_MOST: usize = 8;

#[test]
fn every_help_fits_a_screen() {
    for node in tree::all() {
        let Node { name, help, narrow, below } = node;
        let check = |text: &str, columns: usize, lines: usize| {
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
            assert!(widest <= columns, "osnl {name} --help is {widest} columns wide:\n{text}");
            let long = text.lines().count();
            assert!(long <= lines, "osnl {name} --help has {long} lines on {columns} columns:\n{text}");
        };
        check(help, 100, SCREEN);
        let options = help.lines().filter(|line| line.trim_start().starts_with('-')).count();
        // The program's own help has a line for each command and may grow.
        let small = options <= AT_MOST && !name.is_empty();
        check(narrow, 80, if small { SMALL_SCREEN } else { usize::MAX });
        if name.is_empty() {
            assert!(
                narrow.lines().count() <= below.len() + 15,
                "a line for each command and task:\n{narrow}"
            );
        }
        assert_eq!(*help, tree::help(name, "100", "-h"), "-h and --help of osnl {name} differ");
        assert!(help.contains("Usage: osnl"), "{help}");
    }
}

#[test]
fn every_help_has_an_example_of_what_there_is() {
    let all = tree::all();
    for node in all {
        let examples = Node::examples(&node.help);
        assert!(!examples.is_empty(), "osnl {} --help has no example:\n{}", node.name, node.help);
        // Examples are for copying, so long lines are not wrapped.
        let wide = tree::help(&node.name, "200", "--help");
        for text in [&node.help, &node.narrow] {
            assert_eq!(Node::examples(text), Node::examples(&wide), "osnl {} --help", node.name);
        }
        let of_this = |name: &str| name == node.name || (node.name.is_empty() || !node.below.is_empty());
        let mut shown = 0;
        for call in calls(&examples) {
            let Some(called) = called(all, &call) else { continue };
            shown += usize::from(of_this(&called.name));
            let typed = call.split_whitespace().filter(|word| word.starts_with('-') && word.len() > 1);
            for option in typed.map(|word| word.split('=').next().unwrap_or(word)) {
                assert!(called.has(option), "{call}: osnl {} has no {option}", called.name);
            }
        }
        assert!(shown > 0, "no example of osnl {} shows it: {examples:?}", node.name);
    }
}

fn calls(examples: &[&str]) -> Vec<String> {
    let text = examples.join("\n").replace("\\\n", " ");
    let parts = text.split(['\n', '|', ';', '#', '>']).map(str::trim).map(unquoted);
    parts
        .filter(|part| ["osnl ", "k2hr3-osnl ", "oss-watcher "].iter().any(|name| part.starts_with(name)))
        .collect()
}

fn unquoted(text: &str) -> String {
    text.split('\'').step_by(2).collect::<Vec<_>>().join("QUOTED")
}

fn called<'a>(all: &'a [Node], call: &str) -> Option<&'a Node> {
    let call = call.strip_prefix("osnl ").unwrap_or(call);
    let found = all.iter().filter(|node| {
        let words = node.words();
        !words.is_empty() && call.split_whitespace().take(words.len()).eq(words.iter().copied())
    });
    found.max_by_key(|node| node.words().len())
}
