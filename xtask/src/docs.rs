//! `docs`: writes the pages that are made from the code. Tests of the crates fail for an outdated page. `docs
//! --html`: builds the book as HTML with mdBook. `docs --pages`: takes pictures of the admin page with the browser of
//! the tests, into `target/pages`, for the next `--html`.
//!
//! The repository holds no pictures but README's, because a review cannot read a picture and each change of the page
//! outdates it.
//!
//! The program itself prints the pages, so that its users have the same text.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{setup, step};

const PAGES: [(&[&str], &str); 2] = [
    (&["config", "reference", "--format", "markdown"], "docs/reference/configuration.md"),
    (&["events", "--format", "markdown"], "docs/reference/events.md"),
];
const COMMANDS: [&str; 3] = ["man", "--format", "markdown"];
const FOLDER: &str = "docs/reference/commands";
/// The title of the page that lists the commands.
const LIST: &str = "Commands";
const SUMMARY: &str = "docs/SUMMARY.md";

const PAGES_VARIABLE: &str = "OSNL_WRITE_PAGES";

/// Files beside the book that its pages link to; mdBook copies only the pages.
const BESIDE: [&str; 3] = ["SECURITY.md", "examples", "packaging"];

const PICTURES: &str = "<!-- pictures: cargo xtask docs --pages, then --html -->";

const SHOWN: [(&str, &str); 6] = [
    ("overview-1280-light", "The overview, light, 1,280 pixels wide"),
    ("overview-320-dark", "The overview, dark, 320 pixels wide"),
    ("deliveries-1280-dark", "Deliveries, dark, 1,280 pixels wide"),
    ("deliveries-N-of-a-dead-one-1280-light", "A dead delivery, light"),
    ("deliveries-change-change-1280-light", "The effect that a change would have, light"),
    ("rules-1280-dark", "Rules, dark"),
];

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    match args {
        [] => pages(),
        [flag] if flag == "--html" => html(),
        [flag] if flag == "--pages" => pictures(),
        other => bail!("unknown arguments: {}; allowed: --html, --pages", other.join(" ")),
    }
}

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
    show_pictures(&book)?;
    println!("open {}", book.join("index.html").display());
    Ok(ExitCode::SUCCESS)
}

fn taken() -> PathBuf {
    step::target_dir().join("pages")
}

fn pictures() -> Result<ExitCode> {
    let folder = taken();
    if folder.is_dir() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    let walk = ["-p", "osnl-cli", "--test", "browser", "reading::"].map(str::to_owned);
    let (count, status) = crate::test::run_and_count_in(&walk, &[(PAGES_VARIABLE, folder.clone())])?;
    ensure!(count.is_whole(), "the pictures need a browser: see NOT RUN above");
    ensure!(status.success(), "the walk over the pages found faults");
    println!("pictures: {}", folder.display());
    Ok(ExitCode::SUCCESS)
}

fn show_pictures(book: &Path) -> Result<()> {
    if !taken().is_dir() {
        println!("without pictures of the admin page; `cargo xtask docs --pages` takes them");
        return Ok(());
    }
    let folder = book.join("pages");
    fs::create_dir_all(&folder)?;
    let mut figures = String::new();
    for (name, words) in SHOWN {
        let file = format!("{name}.png");
        fs::copy(taken().join(&file), folder.join(&file)).with_context(|| format!("no picture {file}"))?;
        figures.push_str(&format!(
            "<figure><img src=\"pages/{file}\" alt=\"{words}\" loading=\"lazy\"><figcaption>{words}</figcaption></figure>\n"
        ));
    }
    let page = book.join("page.html");
    let text = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    ensure!(text.contains(PICTURES), "docs/page.md has no line {PICTURES}");
    fs::write(&page, text.replace(PICTURES, &figures))?;
    Ok(())
}

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

fn commands(text: &str) -> Result<()> {
    let folder = step::root().join(FOLDER);
    if folder.is_dir() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {FOLDER}"))?;
    }
    let mut lines = Vec::new();
    for page in split(text) {
        let title = page.lines().next().unwrap_or_default().trim_start_matches("# ").trim_matches('`');
        if title == LIST {
            write(&format!("{FOLDER}.md"), &page)?;
            continue;
        }
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
