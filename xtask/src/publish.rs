//! `publish --repository URL [OPTIONS] [--dry-run]`, `publish --check`: the addresses of the project, in all files that have them.
//!
//! The record is `[workspace.metadata.publication]` in `Cargo.toml`: what the last `publish` was given. All other places
//! follow from it. Without a record the project has no address, and each place says so or is empty.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};

use crate::step;

const MAINTAINER: &str = "The osnl developers";
const RECORD: &str = "[workspace.metadata.publication]";
const KEYS: [&str; 5] = ["repository", "homepage", "tracker", "security", "maintainer"];

/// The addresses, in the order of [`KEYS`].
#[derive(Debug, Clone, PartialEq)]
struct Publication([String; 5]);

/// Lines of a file that follow from the publication.
struct Place {
    file: &'static str,
    /// The line above them.
    after: &'static str,
    /// The beginnings of such lines, or the line that ends them.
    lines: Lines,
    unpublished: &'static [&'static str],
    /// `{repository}` and the other keys stand for addresses; `{report}` is a link for reports of vulnerabilities.
    published: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Lines {
    Begin(&'static [&'static str]),
    Until(&'static str),
}

const LICENSE: &str = "license = \"MIT OR Apache-2.0\"";
const MANIFEST: Lines = Lines::Begin(&["repository", "homepage", "documentation"]);
const INHERITED: &[&str] = &["repository.workspace = true", "homepage.workspace = true"];
const URLS: Lines =
    Lines::Begin(&["[project.urls]", "Homepage = ", "Repository = ", "Issues = ", "Security = "]);
const OF_PYTHON: &[&str] = &[
    "[project.urls]",
    "Homepage = \"{homepage}\"",
    "Repository = \"{repository}\"",
    "Issues = \"{tracker}\"",
    "Security = \"{report}\"",
];

const fn manifest(file: &'static str, after: &'static str, published: &'static [&'static str]) -> Place {
    Place { file, after, lines: MANIFEST, unpublished: &[], published }
}

const fn inherits(file: &'static str) -> Place {
    manifest(file, "license.workspace = true", INHERITED)
}

const fn python(file: &'static str) -> Place {
    Place {
        file,
        after: "# Addresses: cargo xtask publish.",
        lines: URLS,
        unpublished: &[],
        published: OF_PYTHON,
    }
}

const fn page(
    file: &'static str,
    unpublished: &'static [&'static str],
    published: &'static [&'static str],
) -> Place {
    Place {
        file,
        after: "<!-- cargo xtask publish -->",
        lines: Lines::Until("<!-- end -->"),
        unpublished,
        published,
    }
}

#[rustfmt::skip]
const PLACES: [Place; 26] = [
    Place {
        file: "Cargo.toml",
        after: RECORD,
        lines: Lines::Begin(&["repository = ", "homepage = ", "tracker = ", "security = ", "maintainer = "]),
        unpublished: &[],
        published: &["repository = \"{repository}\"", "homepage = \"{homepage}\"", "tracker = \"{tracker}\"", "security = \"{security}\"", "maintainer = \"{maintainer}\""],
    },
    manifest("Cargo.toml", LICENSE, &["repository = \"{repository}\"", "homepage = \"{homepage}\""]),
    manifest("library/Cargo.toml", LICENSE, &["repository = \"{repository}\"", "homepage = \"{homepage}\""]),
    manifest("library/osnl-notify/Cargo.toml", "license.workspace = true", &["repository.workspace = true", "homepage.workspace = true", "documentation = \"https://docs.rs/osnl-notify\""]),
    inherits("library/osnl-derive/Cargo.toml"),
    inherits("crates/osnl-amqp1/Cargo.toml"),
    inherits("crates/osnl-brokers/Cargo.toml"),
    inherits("crates/osnl-cli/Cargo.toml"),
    inherits("crates/osnl-config/Cargo.toml"),
    inherits("crates/osnl-kafka/Cargo.toml"),
    inherits("crates/osnl-model/Cargo.toml"),
    inherits("crates/osnl-net/Cargo.toml"),
    inherits("crates/osnl-transport/Cargo.toml"),
    Place {
        file: "crates/osnl-cli/Cargo.toml",
        after: "[package.metadata.deb]",
        lines: Lines::Begin(&["maintainer = "]),
        unpublished: &["maintainer = \"The osnl developers\""],
        published: &["maintainer = \"{maintainer}\""],
    },
    python("crates/osnl-python/pyproject.toml"),
    python("packaging/pypi/osnl/pyproject.toml"),
    Place {
        file: "packaging/container/Containerfile",
        after: "# Addresses: cargo xtask publish.",
        lines: Lines::Begin(&["LABEL org.opencontainers.image.source=", "LABEL org.opencontainers.image.url="]),
        unpublished: &[],
        published: &["LABEL org.opencontainers.image.source=\"{repository}\"", "LABEL org.opencontainers.image.url=\"{homepage}\""],
    },
    Place {
        file: "packaging/helm/osnl/Chart.yaml",
        after: "# Addresses: cargo xtask publish.",
        lines: Lines::Begin(&["home: ", "sources: ", "maintainers: "]),
        unpublished: &["maintainers: [{name: The osnl developers}]"],
        published: &["home: {homepage}", "sources: [{repository}]", "maintainers: [{name: The osnl developers, url: {homepage}}]"],
    },
    Place {
        file: "packaging/deb/copyright",
        after: "Upstream-Name: osnl",
        lines: Lines::Begin(&["Source: "]),
        unpublished: &[],
        published: &["Source: {repository}"],
    },
    Place {
        file: "packaging/ansible/roles/osnl/meta/main.yml",
        after: "  license: MIT OR Apache-2.0",
        lines: Lines::Begin(&["  issue_tracker_url: "]),
        unpublished: &[],
        published: &["  issue_tracker_url: {tracker}"],
    },
    Place {
        file: "book.toml",
        after: "[output.html]",
        lines: Lines::Begin(&["git-repository-url = "]),
        unpublished: &[],
        published: &["git-repository-url = \"{repository}\""],
    },
    Place {
        file: ".github/ISSUE_TEMPLATE/config.yml",
        after: "blank_issues_enabled: false",
        lines: Lines::Begin(&["contact_links:", "  - name: ", "    url: ", "    about: "]),
        unpublished: &[],
        published: &["contact_links:", "  - name: A vulnerability", "    url: {report}", "    about: Report it privately, not as an issue."],
    },
    page("README.md", &["osnl has no public repository, no tracker, and no address yet."], &["The source is at <{repository}>, issues are at <{tracker}>."]),
    page("SECURITY.md",
        &["There is no public repository yet, and no address for reports: report to the person who gave you osnl."],
        &["Report it privately: {security}. You get an answer within seven days. Please do not open a public issue before a release with the fix is available."]),
    page("CODE_OF_CONDUCT.md", &["There is no public address yet."], &["Write to the maintainers: {security}."]),
    page("CONTRIBUTING.md", &["There is no public repository yet."], &["Changes and issues: <{repository}>, <{tracker}>."]),
];

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = step::root();
    let read =
        |file: &str| fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"));
    let (publication, is_writing) = match words[..] {
        ["--check"] => (recorded(&read("Cargo.toml")?)?, false),
        _ => (Some(parse(&words)?), !words.contains(&"--dry-run")),
    };
    let mut differs = 0;
    for place in &PLACES {
        let text = read(place.file)?;
        let wanted = place.rendered(publication.as_ref());
        let whole = place.placed(&text, &wanted)?;
        let is_other = whole != text;
        differs += usize::from(is_other);
        println!("{}{}", place.file, if is_other { " (differs)" } else { "" });
        wanted.iter().for_each(|line| println!("    {line}"));
        if is_writing {
            fs::write(root.join(place.file), whole)
                .with_context(|| format!("cannot write {}", place.file))?;
        }
    }
    match (words[..] == ["--check"], is_writing) {
        (true, _) if differs > 0 => {
            println!(
                "publish: {differs} places differ from {RECORD} of Cargo.toml: run cargo xtask publish again"
            );
            return Ok(ExitCode::FAILURE);
        }
        (true, _) if publication.is_none() => {
            println!("publish: there is no address yet, and no place has one")
        }
        (true, _) => println!("publish: each place has what Cargo.toml records"),
        (false, true) => println!("publish: {differs} places are changed; next: git diff, and the gate"),
        (false, false) => println!("publish: {differs} places would be changed"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the maintainer as Debian's files have one: a name, and an address in angle brackets, which may be empty.
pub(crate) fn maintainer() -> Result<String> {
    let manifest = fs::read_to_string(step::root().join("Cargo.toml"))?;
    let maintainer =
        recorded(&manifest)?.map_or_else(|| MAINTAINER.to_owned(), |publication| publication.0[4].clone());
    Ok(if maintainer.contains('<') { maintainer } else { format!("{maintainer} <>") })
}

fn parse(words: &[&str]) -> Result<Publication> {
    let mut given: [Option<String>; 5] = Default::default();
    let mut rest = words.iter().filter(|word| **word != "--dry-run");
    while let Some(word) = rest.next() {
        let at = word.strip_prefix("--").and_then(|name| KEYS.iter().position(|key| *key == name));
        let Some(at) = at else {
            bail!(
                "allowed: --check, or --repository URL with --homepage URL, --tracker URL, --security URL|ADDRESS, --maintainer NAME, --dry-run"
            )
        };
        let value = rest.next().with_context(|| format!("{word} needs a value"))?;
        ensure!(!value.contains(['"', '\\', '\n']), "{word}: no quotes, backslashes, or line ends");
        let is_url = value.starts_with("https://");
        ensure!(is_url || at > 2, "{word}: \"{value}\" is not an address that begins with https://");
        ensure!(
            is_url || at != 3 || value.contains('@'),
            "{word}: \"{value}\" is neither an https address nor a mail address"
        );
        given[at] = Some(value.trim_end_matches('/').to_owned());
    }
    let [repository, homepage, tracker, security, maintainer] = given;
    let repository = repository.context("--repository URL is missing")?;
    // Only this forge's addresses are known; those of another one are not guessed.
    let here =
        |path: &str| repository.starts_with("https://github.com/").then(|| format!("{repository}/{path}"));
    let tracker = tracker.or_else(|| here("issues")).context("--tracker URL is missing")?;
    let security =
        security.or_else(|| here("security/advisories/new")).context("--security URL|ADDRESS is missing")?;
    let homepage = homepage.unwrap_or_else(|| repository.clone());
    Ok(Publication([
        repository,
        homepage,
        tracker,
        security,
        maintainer.unwrap_or_else(|| MAINTAINER.to_owned()),
    ]))
}

fn recorded(manifest: &str) -> Result<Option<Publication>> {
    let lines = manifest.lines().skip_while(|line| *line != RECORD).skip(1);
    let values: Vec<&str> = lines
        .zip(KEYS)
        .map_while(|(line, key)| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'))
        .collect();
    match <[&str; 5]>::try_from(values) {
        Ok(values) => Ok(Some(Publication(values.map(str::to_owned)))),
        Err(values) if values.is_empty() => Ok(None),
        Err(_) => bail!("Cargo.toml: {RECORD} is not complete: run cargo xtask publish again"),
    }
}

impl Place {
    fn rendered(&self, publication: Option<&Publication>) -> Vec<String> {
        let Some(publication) = publication else {
            return self.unpublished.iter().map(|line| (*line).to_owned()).collect();
        };
        let [repository, _, _, security, _] = &publication.0;
        // A registry and a forge take no mail address as a link.
        let report = if security.starts_with("https://") { security } else { repository };
        let render = |line: &&str| {
            let pairs = KEYS.iter().copied().chain(["report"]).zip(publication.0.iter().chain([report]));
            pairs.fold((*line).to_owned(), |line, (key, value)| line.replace(&format!("{{{key}}}"), value))
        };
        self.published.iter().map(render).collect()
    }

    /// Returns `text` with `wanted` in place of the lines that it has now.
    fn placed(&self, text: &str, wanted: &[String]) -> Result<String> {
        let lines: Vec<&str> = text.lines().collect();
        let at = lines.iter().position(|line| *line == self.after);
        let at = at.with_context(|| format!("{} has no line {}", self.file, self.after))? + 1;
        let present = match self.lines {
            Lines::Begin(begins) => lines[at..]
                .iter()
                .take_while(|line| begins.iter().any(|begin| line.starts_with(begin)))
                .count(),
            Lines::Until(end) => {
                let end = lines[at..].iter().position(|line| *line == end);
                end.with_context(|| format!("{}: no {:?} ends the lines", self.file, self.after))?
            }
        };
        let mut whole = lines;
        whole.splice(at..at + present, wanted.iter().map(String::as_str));
        Ok(whole.join("\n") + "\n")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{PLACES, Publication, parse, recorded};
    use crate::step;

    fn read(file: &str) -> String {
        fs::read_to_string(step::root().join(file)).unwrap()
    }

    #[test]
    fn each_place_has_what_the_manifest_records() {
        let publication = recorded(&read("Cargo.toml")).unwrap();
        for place in &PLACES {
            let text = read(place.file);
            let whole = place.placed(&text, &place.rendered(publication.as_ref())).unwrap();
            assert!(whole == text, "{}: cargo xtask publish writes its addresses", place.file);
        }
    }

    #[test]
    fn what_is_written_is_found_again_and_removed() {
        let publication =
            parse(&["--repository", "https://github.com/a/b/", "--maintainer", "A <a@b.c>"]).unwrap();
        for place in &PLACES {
            let text = read(place.file);
            let written = place.placed(&text, &place.rendered(Some(&publication))).unwrap();
            assert!(
                written.contains("github.com/a/b")
                    || written.contains(".workspace = true")
                    || written.contains("A <a@b.c>"),
                "{}",
                place.file
            );
            assert_eq!(
                place.placed(&written, &place.rendered(Some(&publication))).unwrap(),
                written,
                "{}",
                place.file
            );
            let back = recorded(&read("Cargo.toml")).unwrap();
            assert_eq!(
                place.placed(&written, &place.rendered(back.as_ref())).unwrap(),
                text,
                "{}",
                place.file
            );
        }
        let manifest =
            PLACES[0].placed(&read("Cargo.toml"), &PLACES[0].rendered(Some(&publication))).unwrap();
        assert_eq!(recorded(&manifest).unwrap(), Some(publication));
    }

    #[test]
    fn addresses_of_an_unknown_forge_are_not_guessed() {
        let error = |words: &[&str]| parse(words).unwrap_err().to_string();
        let words = |publication: Publication| publication.0;
        assert_eq!(
            words(parse(&["--repository", "https://github.com/a/b"]).unwrap())[2..4],
            ["https://github.com/a/b/issues", "https://github.com/a/b/security/advisories/new"]
        );
        assert!(error(&["--repository", "https://git.example.com/b"]).contains("--tracker"));
        assert!(error(&["--repository", "git.example.com/b"]).contains("https://"));
        let forge =
            ["--repository", "https://git.example.com/b", "--tracker", "https://git.example.com/b/issues"];
        assert!(error(&forge).contains("--security"));
        assert!(error(&[&forge[..], &["--security", "nobody"]].concat()).contains("mail address"));
        assert!(parse(&[&forge[..], &["--security", "security@example.com"]].concat()).is_ok());
        assert!(error(&["--repositry", "https://a"]).contains("allowed"));
    }
}
