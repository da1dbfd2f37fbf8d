use super::Violation;

const MOST_WITHOUT_DOC: usize = 200;
const MOST_LINES: usize = 800;
/// README's picture of the page; a reader of README has no browser test to take one.
const PICTURE: &str = "docs/page.png";
const MOST_PICTURE_BYTES: usize = 200_000;
const FRAGMENT_KINDS: [&str; 5] = ["feature", "fix", "change", "removal", "summary"];

/// Forbidden words of Rust code with their remedy, in two halves so that this file does not contain them.
const WORDS: [(&str, &str, &str); 5] = [
    ("todo", "!(", "finish it, or leave it out"),
    ("unimple", "mented!(", "finish it, or leave it out"),
    ("#[ign", "ore", "make the test run everywhere, or delete it"),
    ("thread", "::sleep", "wait for what is waited for: osnl_testkit::wait_until, or tokio's paused clock"),
    ("tokio", "::spawn(", "spawn on a tokio_util::task::TaskTracker that somebody awaits"),
];

const PLACES: [(&str, &str); 3] = [("/wo", "rk/"), ("/ro", "ot/"), ("/ho", "me/")];

/// Hosts of package registries; the machine's configuration decides where packages are downloaded.
const HOSTS: [(&str, &str); 5] = [
    ("pypi", ".org"),
    ("files.python", "hosted.org"),
    ("static.crates", ".io"),
    ("index.crates", ".io"),
    ("deb.debian", ".org"),
];

pub(super) fn check(path: &str, bytes: &[u8]) -> Vec<Violation> {
    let mut found = RuleFindings { path, violations: Vec::new() };
    found.check_name();
    if path == PICTURE {
        if bytes.len() > MOST_PICTURE_BYTES {
            found.add(0, format!("a picture has {MOST_PICTURE_BYTES} bytes at most: reduce its colours"));
        }
        return found.violations;
    }
    if bytes.contains(&0) {
        found.add(0, "binary files are not committed: generate it, or keep it as text");
        return found.violations;
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        if !is_recording(path) {
            found.add(0, "text is UTF-8: convert the file");
        }
        return found.violations;
    };
    if !is_recording(path) {
        found.check_layout(text);
        found.check_machine(text);
    }
    if path.ends_with(".rs") {
        found.check_rust(text);
    }
    found.violations
}

fn is_recording(path: &str) -> bool {
    path.starts_with("fixtures/") || path.starts_with("library/fixtures/")
}

struct RuleFindings<'a> {
    path: &'a str,
    violations: Vec<Violation>,
}

impl RuleFindings<'_> {
    fn add(&mut self, line: usize, text: impl Into<String>) {
        self.violations.push(Violation { path: self.path.to_owned(), line, text: text.into() });
    }

    fn check_name(&mut self) {
        let name = self.path.rsplit('/').next().unwrap_or(self.path);
        if name == "mod.rs" {
            self.add(0, "no mod.rs: name the file after its module, beside the folder");
        }
        if let Some(fragment) = self.path.strip_prefix("changelog.d/") {
            let known = fragment.strip_suffix(".md").and_then(|stem| stem.split_once('.')).is_some_and(
                |(slug, kind)| {
                    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                    !slug.is_empty() && slug.chars().all(letters) && FRAGMENT_KINDS.contains(&kind)
                },
            );
            if !known && !name.starts_with('.') {
                self.add(0, "a changelog fragment is named <slug>.<feature|fix|change|removal|summary>.md, the slug of a-z, 0-9, -");
            }
        }
    }

    fn check_layout(&mut self, text: &str) {
        for (line, content) in numbered(text) {
            // gofmt accepts only tabs as indentation.
            if content.contains('\t') && !self.path.ends_with(".go") {
                self.add(line, "no tabs: indent with blanks");
            }
            if content.ends_with([' ', '\t', '\r']) {
                self.add(line, "no blanks or carriage returns at the end of a line: remove them");
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            self.add(text.lines().count(), "the last line ends with a newline: add one");
        }
    }

    fn check_machine(&mut self, text: &str) {
        // cargo writes the registry of each package into the lock file.
        if ["Cargo.lock", "library/Cargo.lock"].contains(&self.path) {
            return;
        }
        for (line, content) in numbered(text) {
            for (one, two) in PLACES {
                if has_path(content, &format!("{one}{two}")) {
                    self.add(
                        line,
                        format!("no path of one machine ({one}{two}): derive it, or use a temporary folder"),
                    );
                }
            }
            for (one, two) in HOSTS {
                if content.contains(&format!("{one}{two}")) {
                    self.add(line, format!("no registry's host ({one}{two}): the machine's configuration says where packages come from"));
                }
            }
        }
    }

    fn check_rust(&mut self, text: &str) {
        let count = text.lines().count();
        if count > MOST_LINES {
            self.add(
                MOST_LINES + 1,
                format!("{count} lines, at most {MOST_LINES}: split it by what can be named"),
            );
        }
        let is_source = ["crates/", "library/"].iter().any(|folder| self.path.starts_with(folder))
            && self.path.contains("/src/");
        let has_doc =
            text.lines().find(|line| !line.trim().is_empty()).is_some_and(|line| line.starts_with("//!"));
        let has_name_of_tests = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        if is_source && !has_doc && !has_name_of_tests && count > MOST_WITHOUT_DOC {
            self.add(1, format!("a module of more than {MOST_WITHOUT_DOC} lines says first what it is for: begin the file with `//!`"));
        }
        for (line, content) in numbered(text) {
            for (one, two, advice) in WORDS {
                if content.contains(&format!("{one}{two}")) {
                    self.add(line, format!("no `{one}{two}`: {advice}"));
                }
            }
        }
    }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_terminator('\n').enumerate().map(|(at, line)| (at + 1, line))
}

/// Whether a path begins in the line; after a letter or digit the match is part of another path or of a URL.
fn has_path(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | ')' | '$'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, bytes: &[u8]) -> Vec<usize> {
        check(path, bytes).iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn layout() {
        let check = |path: &str, text: &str, expected: &[usize]| {
            assert_eq!(lines(path, text.as_bytes()), expected, "{path}: {text:?}");
        };
        check("a.md", "", &[]);
        check("a.md", "one\ntwo\n", &[]);
        check("a.md", "one\ntwo", &[2]);
        check("a.md", "one \n\ntwo\t\n", &[1, 3, 3]);
        check("a.md", "\tone\n", &[1]);
        check("a.md", "one\r\ntwo\n", &[1]);
        check("fixtures/a.json", "\tone \ntwo", &[]);
    }

    #[test]
    fn bytes_that_are_not_text() {
        assert_eq!(lines("a.bin", b"a\0b"), [0]);
        assert_eq!(lines("fixtures/a.bin", b"a\0b"), [0]);
        assert_eq!(lines("a.md", b"\xff\n"), [0]);
        assert_eq!(lines(PICTURE, &[0; MOST_PICTURE_BYTES]), [] as [usize; 0]);
        assert_eq!(lines(PICTURE, &[0; MOST_PICTURE_BYTES + 1]), [0]);
        assert_eq!(lines("fixtures/a.json", b"\xff\n"), [] as [usize; 0]);
    }

    #[test]
    fn names() {
        let check = |path: &str, fine: bool| assert_eq!(check(path, b"//! x\n").is_empty(), fine, "{path}");
        check("crates/a/src/b.rs", true);
        check("crates/a/src/b/mod.rs", false);
        check("changelog.d/k2hr3-role.feature.md", true);
        check("changelog.d/x1.removal.md", true);
        check("changelog.d/first.summary.md", true);
        check("changelog.d/.gitkeep", true);
        check("changelog.d/x.md", false);
        check("changelog.d/x.bugfix.md", false);
        check("changelog.d/X.fix.md", false);
        check("changelog.d/.fix.md.txt", true);
        check("changelog.d/x.fix.txt", false);
    }

    #[test]
    fn forbidden_words_are_found_in_rust_only() {
        for (one, two, _) in WORDS {
            let text = format!("//! x\nfn f() {{ {one}{two}) }}\n");
            assert_eq!(lines("crates/a/src/b.rs", text.as_bytes()), [2], "{text}");
            assert_eq!(lines("xtask/src/b.rs", text.as_bytes()), [2], "{text}");
            assert_eq!(lines("README.md", text.as_bytes()), [] as [usize; 0], "{text}");
        }
    }

    #[test]
    fn machine_paths_and_hosts() {
        for (one, two) in PLACES {
            let check = |before: &str, fine: bool| {
                let text = format!("{before}{one}{two}x\n");
                assert_eq!(lines("a.md", text.as_bytes()).is_empty(), fine, "{text}");
            };
            check("", false);
            check("cd ", false);
            check("\"", false);
            check("file://", false);
            check("target", true);
            check("https://example.com", true);
            check("$HOME", true);
        }
        for (one, two) in HOSTS {
            assert_eq!(lines("a.md", format!("https://{one}{two}/x\n").as_bytes()), [1]);
            assert_eq!(lines("Cargo.lock", format!("https://{one}{two}/x\n").as_bytes()), [] as [usize; 0]);
        }
    }

    #[test]
    fn size_and_module_docs() {
        let long = format!("//! x\n{}", "\n".repeat(MOST_LINES));
        assert_eq!(lines("crates/a/src/b.rs", long.as_bytes()), [MOST_LINES + 1]);
        assert_eq!(lines("a.py", long.as_bytes()), [] as [usize; 0]);
        assert_eq!(lines("crates/a/src/b.rs", b"\n//! x\n"), [] as [usize; 0]);
        let named = format!("use x;\n//! x\n{}", "\n".repeat(MOST_WITHOUT_DOC));
        assert_eq!(lines("crates/a/src/b.rs", named.as_bytes()), [1]);
        for path in ["crates/a/tests/b.rs", "crates/a/src/b/tests.rs"] {
            assert_eq!(lines(path, named.as_bytes()), [] as [usize; 0]);
        }
        assert_eq!(lines("crates/a/src/b.rs", b"use x;\n"), [] as [usize; 0]);
    }
}
