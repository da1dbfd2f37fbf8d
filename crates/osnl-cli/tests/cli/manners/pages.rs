use std::io::Write as _;
use std::process::{Command, Stdio};

use super::OSNL;
use super::tree;

fn page(name: &str) -> String {
    let output = Command::new(OSNL).args(["man", name]).output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "osnl man {name}");
    String::from_utf8(output.stdout).unwrap()
}

fn shown(name: &str, roff: &str) -> String {
    let mut groff = Command::new("groff");
    groff.args(["-man", "-ww", "-Tutf8", "-P-c", "-P-b", "-P-u", "-K", "utf8", "-rLL=78n"]);
    let mut child =
        groff.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("groff");
    let mut stdin = child.stdin.take().unwrap();
    let roff = roff.to_owned();
    let writing = std::thread::spawn(move || stdin.write_all(roff.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{name}: {complaints}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_page_is_read_without_a_warning_and_is_whole_with_its_examples() {
    let pages = tree::all().iter().map(|node| match &*node.name {
        "" => ("osnl".to_owned(), Vec::new()),
        name if node.below.is_empty() => (name.replace(' ', "-"), tree::Node::examples(&node.help)),
        name => (name.replace(' ', "-"), Vec::new()),
    });
    for (name, examples) in pages.chain([("osnl.conf".to_owned(), Vec::new())]) {
        let text = shown(&name, &page(&name));
        for example in examples.into_iter().map(str::trim) {
            assert!(text.lines().any(|line| line.trim() == example), "{name}: {example:?} in\n{text}");
        }
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
        // Unfilled text, such as an example, may be wider than the page, but not than a terminal
        // with its indent.
        assert!(widest <= 100, "{name} is {widest} wide:\n{text}");
        let mut headings = vec!["NAME", "DESCRIPTION", "EXAMPLES", "SEE ALSO"];
        if name != "osnl.conf" {
            headings.extend(["SYNOPSIS", "OPTIONS", "EXIT STATUS"]);
        }
        for heading in headings {
            assert!(text.lines().any(|line| line == heading), "{name} has no {heading}:\n{text}");
        }
        let (title, section) = match &*name {
            "osnl.conf" => ("osnl.conf".to_owned(), 5),
            "osnl" | "k2hr3-osnl" | "oss-watcher" => (name.clone(), 1),
            command => (format!("osnl-{command}"), 1),
        };
        assert!(text.starts_with(&format!("{title}({section})")), "{title}:\n{text}");
        let first = text.lines().next().unwrap_or_default();
        assert!(first.contains("osnl Manual"), "{name}: {first}");
        let last = text.lines().rev().find(|line| !line.is_empty()).unwrap_or_default();
        assert!(last.starts_with(&format!("osnl {}", env!("CARGO_PKG_VERSION"))), "{name}: {last}");
        let about = text.lines().skip_while(|line| *line != "NAME").nth(1).unwrap_or_default();
        let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(about.starts_with(&format!("{title} - ")), "{name}: whatis reads {about:?}");
    }
}
