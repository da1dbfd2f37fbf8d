//! Counts what plain English leaves out: comments that open with a question word, persons for parts of the program,
//! participles for types, possessives in names. Only what a line shows is looked at; nothing is parsed.

/// The first words that no documentation comment has.
const OPENINGS: [&str; 8] = ["What", "Who", "Whoever", "Whatever", "Of", "By which", "Where", "How"];
const PERSONS: [&str; 4] = ["who", "whoever", "nobody", "somebody"];
/// Words in front of a type's name.
const TYPES: [&str; 5] = ["struct", "enum", "trait", "type", "union"];
/// Words in front of other names.
const NAMES: [&str; 5] = ["fn", "let", "mod", "const", "static"];
/// Participles that end neither in -ed nor in -ing.
const IRREGULAR: &str = "Begun Broken Brought Built Caught Chosen Done Drawn Driven Foreseen Found Given Gone Grown Heard Held Hidden \
     Kept Known Laid Learnt Left Lost Made Meant Met Said Seen Sent Shown Sold Spent Stuck Taken Thrown Told \
     Understood Unread Unsent Woken Worn Written";
/// Nouns that end like a participle.
const NOUNS: &str = "Binding Building Encoding Feed Finding Framing Greeting Heading Listing Mapping Need Padding Ping Rebinding \
     Recording Ring Ruling Seed Setting Speed String Thing Timing Warning Everything Nothing";

/// The numbers of a file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct EnglishCounts {
    pub(super) openings: usize,
    pub(super) persons: usize,
    pub(super) participles: usize,
    pub(super) possessives: usize,
}

/// Counts a Rust file.
pub(super) fn rust(text: &str) -> EnglishCounts {
    let mut counts = EnglishCounts::default();
    let mut before = None;
    for line in text.lines().map(str::trim_start) {
        let mark = ["///", "//!"].into_iter().find(|mark| line.starts_with(mark));
        if let Some(mark) = mark {
            let comment = line[mark.len()..].trim_start();
            if before != Some(mark) && OPENINGS.iter().any(|opening| begins(comment, opening)) {
                counts.openings += 1;
            }
            counts.persons += persons(comment);
        } else if let Some((kind, name)) = definition(line) {
            if TYPES.contains(&kind) && is_participle(name) {
                counts.participles += 1;
            }
            if NAMES.contains(&kind) && (name.contains("_s_") || name.ends_with("_s")) {
                counts.possessives += 1;
            }
        }
        before = mark;
    }
    counts
}

/// Counts the persons in the prose of a page; blocks of code are not prose.
pub(super) fn page(text: &str) -> usize {
    let mut is_code = false;
    let mut found = 0;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            found += persons(line);
        }
    }
    found
}

fn begins(comment: &str, opening: &str) -> bool {
    comment.strip_prefix(opening).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
}

/// Counts the persons in a line; what stands between backticks is a name.
fn persons(prose: &str) -> usize {
    let words =
        prose.split('`').step_by(2).flat_map(|part| part.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.filter(|word| PERSONS.iter().any(|person| word.eq_ignore_ascii_case(person))).count()
}

/// The kind and name that a line defines.
fn definition(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split(|c: char| c.is_whitespace() || c == '(' || c == ')');
    let kind = words.by_ref().find(|word| {
        !matches!(*word, "" | "pub" | "crate" | "super" | "in" | "async" | "unsafe") && !word.contains("::")
    })?;
    let name = words.find(|word| !matches!(*word, "" | "mut"))?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
    Some((kind, &name[..end]))
}

/// Whether a type's name is nothing but a participle.
fn is_participle(name: &str) -> bool {
    let has = |list: &str| list.split_whitespace().any(|word| word == name);
    let is_one_word = name.chars().filter(|c| c.is_uppercase()).count() == 1;
    is_one_word && !has(NOUNS) && (name.ends_with("ed") || name.ends_with("ing") || has(IRREGULAR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_names_and_pages() {
        let check = |text: &str, [openings, persons, participles, possessives]: [usize; 4]| {
            let expected = EnglishCounts { openings, persons, participles, possessives };
            assert_eq!(rust(text), expected, "{text}");
        };
        check("/// What it does.\n/// What more.\nfn f() {}", [1, 0, 0, 0]);
        check("//! By which it is.\n//!\n//! How it works.", [1, 0, 0, 0]);
        check("/// Whatever.\n//! Where, then.", [2, 0, 0, 0]);
        check("/// Whether it holds.\n/// Official.\n// What a comment.", [0, 0, 0, 0]);
        check("/// The caller, who asks; nobody else.\n// who", [0, 2, 0, 0]);
        check("/// The user `nobody`, who asks.", [0, 1, 0, 0]);
        check("pub(crate) struct Told {", [0, 0, 1, 0]);
        check("pub(in crate::command) enum Wanted<'a> {\ntype Looping = u8;", [0, 0, 2, 0]);
        check("struct Binding;\nstruct Seed;\nstruct TestedRule;\nfn Told() {}", [0, 0, 0, 0]);
        check("async fn the_broker_s_own() {}\nlet mut event_s = 1;\nlet has_s3 = 1;", [0, 0, 0, 2]);
        assert_eq!(page("Who runs it.\n```\nwho\n```\nNobody, whose."), 2);
    }
}
