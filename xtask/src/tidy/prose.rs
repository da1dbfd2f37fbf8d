const FEWEST: usize = 5;
const PRONOUNS: [&str; 10] =
    ["it", "itself", "they", "them", "themselves", "those", "these", "ones", "others", "what"];

pub(super) fn count(text: &str) -> [usize; 2] {
    let mut counts = [0; 2];
    for comment in comments(text) {
        counts[0] += usize::from(comment.split_whitespace().count() < FEWEST);
        counts[1] += comment.split(". ").filter(|sentence| pronouns(sentence) > 1).count();
    }
    counts
}

fn comments(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let (mut before, mut is_code) = ("", false);
    for line in text.lines().map(str::trim_start) {
        let mark = ["///", "//!", "//"].into_iter().find(|mark| line.starts_with(mark)).unwrap_or_default();
        let content = line.strip_prefix(mark).unwrap_or_default().trim();
        if mark.is_empty() || mark != before {
            is_code = false;
        }
        if content.starts_with("```") {
            is_code = !is_code;
        }
        match found.last_mut() {
            _ if mark.is_empty() => {}
            Some(comment) if mark == before => {
                if !is_code && !content.starts_with(['|', '`']) {
                    *comment += &format!(" {content}");
                }
            }
            _ => found.push(content.to_owned()),
        }
        before = mark;
    }
    found
}

fn pronouns(sentence: &str) -> usize {
    let words = sentence.split('`').step_by(2).flat_map(|part| part.split(|c: char| !c.is_alphanumeric()));
    words.filter(|word| PRONOUNS.iter().any(|pronoun| word.eq_ignore_ascii_case(pronoun))).count()
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn comments_and_sentences() {
        let check = |text: &str, expected: [usize; 2]| assert_eq!(count(text), expected, "{text}");
        check("/// All of them.\nfn f() {}\n// One more.\n", [2, 0]);
        check("/// Returns the name of the\n/// listener.\nfn f() {} // no comment of its own\n", [0, 0]);
        check("/// It ends with what came. It goes on.\n", [0, 1]);
        check("/// It ends with `what` the broker sent.\n", [0, 0]);
        check("//! Reads the file twice:\n//!\n//! ```\n//! what it is\n//! ```\n", [1, 0]);
        check("/// Reads the file of the listener.\n// Once.\n", [1, 0]);
    }
}
