use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

pub(crate) fn broken(root: &Path, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root.join(file)).unwrap();
    let folder = Path::new(file).parent().unwrap();
    let mut broken = Vec::new();
    for (line, target) in links(&text) {
        let elsewhere = ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme));
        if elsewhere {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let path = if path.is_empty() { PathBuf::from(file) } else { lexical(&folder.join(path)) };
        let known = std::fs::read_to_string(root.join(&path));
        match known {
            // A folder, or a picture.
            Err(_) if root.join(&path).exists() => {}
            Err(_) => broken.push(format!("{file}:{line}: {target}: there is no such file")),
            Ok(text) if !anchor.is_empty() && !anchors(&text).contains(&anchor.to_owned()) => {
                broken.push(format!("{file}:{line}: {target}: it has no such heading"));
            }
            Ok(_) => {}
        }
    }
    broken
}

pub(crate) fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut code = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            // A link inside backticks is code; the text of a real link may have backticks.
            let quoted = line[..at].matches('`').count() % 2 == 1;
            let rest = &line[at + 2..];
            if let Some(end) = rest.find(')').filter(|_| !quoted) {
                found.push((number, rest[..end].to_owned()));
            }
        }
    }
    found
}

fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            code = !code;
        }
        let heading = line.trim_start_matches('#');
        if code || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = heading.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let name: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let count = seen.entry(name.clone()).or_default();
        found.push(if *count == 0 { name } else { format!("{name}-{count}") });
        *count += 1;
    }
    found
}

fn lexical(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => out.push(part),
        }
    }
    out
}

#[test]
fn links_and_headings_are_found() {
    let text = "# A `b` c!\n[x](y.md) `[no](no.md)` [`q`](z.md#w)\n```\n[no](no)\n# no\n```\n## A b c\n![p](p.svg)\n";
    let expected = [(2, "y.md"), (2, "z.md#w"), (8, "p.svg")].map(|(line, target)| (line, target.to_owned()));
    assert_eq!(links(text), expected);
    assert_eq!(anchors(text), ["a-b-c", "a-b-c-1"]);
}
