//! `docs`: writes the pages that are made from the code. Tests of the crates say when one is not current.
//! `docs --html`: builds the book as HTML with mdBook.
//!
//! The program prints them itself, so that its users can have them too. The commands come as one text, of which each
//! command becomes a page; `docs/SUMMARY.md` lists these pages, and its lines for them are written here too.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::{setup, step};

/// A page each: what the program is asked, and where its answer goes.
const PAGES: [(&[&str], &str); 2] = [
    (&["config", "reference", "--format", "markdown"], "docs/reference/configuration.md"),
    (&["events", "--format", "markdown"], "docs/reference/events.md"),
];
const COMMANDS: [&str; 3] = ["man", "--format", "markdown"];
const FOLDER: &str = "docs/reference/commands";
const SUMMARY: &str = "docs/SUMMARY.md";

/// Files beside the book that its pages link to; mdBook takes the pages alone.
const BESIDE: [&str; 3] = ["SECURITY.md", "examples", "packaging"];

/// Writes the pages, or with `--html` the book.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    match args {
        [] => pages(),
        [flag] if flag == "--html" => html(),
        other => bail!("unknown arguments: {}; allowed: --html", other.join(" ")),
    }
}

/// Builds the book into `target/book`, together with the files beside it that it links to.
fn html() -> Result<ExitCode> {
    let book = step::target_dir().join("book");
    let mut mdbook = Command::new(setup::mdbook()?);
    step::run(mdbook.arg("build").arg("--dest-dir").arg(&book).current_dir(step::root()))?;
    let files = book.join("repository");
    fs::create_dir_all(&files)?;
    for name in BESIDE {
        let mut copy = Command::new("cp");
        step::run(copy.arg("-R").arg(step::root().join(name)).arg(&files))?;
    }
    for page in fs::read_dir(&book)? {
        let page = page?.path();
        if page.extension().is_some_and(|extension| extension == "html") {
            let text = fs::read_to_string(&page)?;
            fs::write(&page, beside(&text))?;
        }
    }
    println!("open {}", book.join("index.html").display());
    Ok(ExitCode::SUCCESS)
}

/// A page whose links to [`BESIDE`] lead to their copies.
fn beside(page: &str) -> String {
    BESIDE.iter().fold(page.to_owned(), |page, name| {
        let linked = name.replace(".md", ".html");
        page.replace(&format!("href=\"../{linked}"), &format!("href=\"repository/{name}"))
    })
}

fn pages() -> Result<ExitCode> {
    for (question, path) in PAGES {
        write(path, &ask(question)?)?;
    }
    commands(&ask(&COMMANDS)?)?;
    Ok(ExitCode::SUCCESS)
}

fn ask(question: &[&str]) -> Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut program = Command::new(cargo);
    program.current_dir(step::root()).args(["run", "--quiet", "--locked", "-p", "osnl-cli", "--"]);
    step::output(program.args(question))
}

/// A file for each command, none for a command that has gone, and their lines in the summary.
fn commands(text: &str) -> Result<()> {
    let folder = step::root().join(FOLDER);
    if folder.is_dir() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {FOLDER}"))?;
    }
    let mut lines = Vec::new();
    for page in split(text) {
        let title = page.lines().next().unwrap_or_default().trim_start_matches("# ").trim_matches('`');
        let name = title.rsplit(' ').next().unwrap_or(title);
        write(&format!("{FOLDER}/{name}.md"), &page)?;
        lines.push(format!("  - [{title}](reference/commands/{name}.md)"));
    }
    let path = step::root().join(SUMMARY);
    let summary = fs::read_to_string(&path).with_context(|| format!("cannot read {SUMMARY}"))?;
    let is_one = |line: &&str| line.contains("](reference/commands/");
    let at = summary.lines().position(|line| is_one(&line)).with_context(|| {
        format!("{SUMMARY} has no line with reference/commands/ to put the commands in its place")
    })?;
    let others: Vec<&str> = summary.lines().filter(|line| !is_one(line)).collect();
    let (before, after) = others.split_at(at);
    let whole: Vec<&str> =
        before.iter().copied().chain(lines.iter().map(String::as_str)).chain(after.iter().copied()).collect();
    write(SUMMARY, &(whole.join("\n") + "\n"))
}

/// The pages of a text in which each begins with a heading of the first level.
fn split(text: &str) -> Vec<String> {
    let mut pages: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("# ") {
            pages.push(String::new());
        }
        if let Some(page) = pages.last_mut() {
            page.push_str(line);
            page.push('\n');
        }
    }
    pages.iter().map(|page| page.trim_end().to_owned() + "\n").collect()
}

fn write(path: &str, text: &str) -> Result<()> {
    let file = step::root().join(path);
    fs::create_dir_all(file.parent().unwrap_or(Path::new("")))?;
    fs::write(&file, text).with_context(|| format!("cannot write {path}"))?;
    println!("{path}: {} lines", text.lines().count());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{beside, split};

    #[test]
    fn links_beside_the_book_lead_to_copies() {
        let page = r#"<a href="../SECURITY.html#x"> <a href="../examples/a.conf"> <a href="rules.html">"#;
        let expected = r#"<a href="repository/SECURITY.md#x"> <a href="repository/examples/a.conf"> <a href="rules.html">"#;
        assert_eq!(beside(page), expected);
    }

    #[test]
    fn a_page_begins_with_a_heading_of_the_first_level() {
        assert_eq!(split("# a\n\n## b\n\n# c\nd\n\n"), ["# a\n\n## b\n", "# c\nd\n"]);
        assert_eq!(split("no heading\n"), [] as [&str; 0]);
    }
}
