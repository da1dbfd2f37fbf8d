//! The reference of the native form, made from the tables that files are read by: `osnl config reference`,
//! `docs/reference/configuration.md` and the manual page osnl.conf(5).
//!
//! Names, defaults and secrets come from `schema.rs`, what a value is and means from `reference/texts.rs`; all of it from the
//! tables of the rabbit driver and of the drivers of actions. Nothing here depends on the machine.

mod texts;

use osnl_config::sections::{SectionDef, SectionOption};
use osnl_config::variable_name;
use osnl_transport::{Effect, OptionKind, RABBIT_OPTIONS, RabbitOption};

use super::schema::{ACTION, LISTENER, RABBIT, SECTIONS};
use crate::action::driver::{DriverEntry, DriverOption};
use crate::drivers::{self, DRIVERS};

/// The text before the sections: form, paragraphs.
const SYNTAX: [&str; 5] = [
    "The syntax is that of oslo.config: name = value or name: value; a comment begins with # or ; in column 1 and nowhere \
     else; a line that begins with a blank continues the value above it; one pair of quotes around a value is dropped. \
     $name is another option of the same section or of [DEFAULT], ${group.name} one of that section, $$ a dollar sign.",
    "From weakest to strongest: defaults, each --config-file in the order named, the *.conf of each --config-dir by name, \
     the environment OS_<SECTION>__<OPTION> (capitals; every character that is neither letter nor digit as _), flags.",
    "Booleans are true, yes, on, 1, false, no, off and 0, in any case. Lists have commas between their items. Durations are \
     30, 30s, 500ms, 5m, 24h, 7d; a bare number is seconds. Sizes are 500MiB, 10GiB; a bare number is bytes.",
    "A secret may stand in a file of its own: file:///path, or file://$CREDENTIALS_DIRECTORY/NAME for what systemd's \
     LoadCredential= has put there. The file holds one line, and only its user and group should be able to read it.",
    "Unknown sections and options are errors; all errors are said at once, each with its file and line.",
];

/// Every section and option there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// In the order they are documented in.
    pub sections: Vec<ReferenceSection>,
}

/// One kind of section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceSection {
    /// `[DEFAULT]`, `[listener:NAME]`.
    pub form: String,
    /// The purpose of the section.
    pub about: &'static str,
    /// The spelling of the environment variable that sets one of its options.
    pub variable: String,
    /// In the order they are documented in.
    pub options: Vec<ReferenceOption>,
}

/// One option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceOption {
    /// As it is written.
    pub name: String,
    /// The kind of the value.
    pub kind: String,
    /// The value in force when nothing sets it.
    pub default: Option<&'static str>,
    /// The meaning.
    pub meaning: String,
    /// The one driver of actions that has it.
    pub driver: Option<&'static str>,
    /// Whether it is printed nowhere, and may stand in a file of its own.
    pub secret: bool,
}

/// The reference of this build.
#[must_use]
pub fn reference() -> Reference {
    Reference { sections: SECTIONS.iter().map(section).collect() }
}

fn section(def: &SectionDef) -> ReferenceSection {
    let about = texts::SECTIONS.iter().find(|(kind, _)| *kind == def.kind).map_or("", |(_, about)| *about);
    let text = |name: &str| {
        let row = texts::OPTIONS.iter().find(|(kind, option, ..)| *kind == def.kind && *option == name);
        row.map_or(("", ""), |(_, _, kind, meaning)| (*kind, *meaning))
    };
    let head = def.options.iter().take_while(|option| def.kind == ACTION && option.name == "driver");
    let tail = def.options.iter().skip(head.clone().count());
    let own = |option: &SectionOption| {
        let (kind, meaning) = text(option.name);
        let of_driver = def.kind == ACTION && option.name == "driver";
        ReferenceOption {
            name: option.name.to_owned(),
            kind: if of_driver { format!("one of {}", drivers::names().join(", ")) } else { kind.to_owned() },
            default: option.default,
            meaning: format!(
                "{meaning}{}",
                if def.kind == ACTION { others(option.name) } else { String::new() }
            ),
            driver: None,
            secret: option.secret,
        }
    };
    let drivers = DRIVERS.iter().filter(|_| def.kind == ACTION).flat_map(of_driver);
    let keyed = def.keyed.iter().map(|prefix| {
        let name = format!("{prefix}KEY");
        let (kind, meaning) = text(&name);
        let (kind, meaning) = (kind.to_owned(), meaning.to_owned());
        ReferenceOption { name, kind, default: None, meaning, driver: None, secret: false }
    });
    let mut options: Vec<ReferenceOption> =
        head.map(own).chain(drivers).chain(tail.map(own)).chain(keyed).collect();
    match def.kind {
        RABBIT => options.extend(RABBIT_OPTIONS.iter().map(rabbit)),
        LISTENER => options.push(ReferenceOption {
            name: format!("those of [{RABBIT}]"),
            kind: "as there".to_owned(),
            default: None,
            meaning: "The same options, for this listener only.".to_owned(),
            driver: None,
            secret: false,
        }),
        _ => {}
    }
    let name = if def.named { format!("{}:<name>", def.kind) } else { def.kind.to_owned() };
    let variable = variable_name(&name, "").replace("__NAME___", "_<NAME>__") + "<OPTION>";
    ReferenceSection { form: def.form(), about, variable, options }
}

/// A driver's own options.
fn of_driver(entry: &'static DriverEntry) -> impl Iterator<Item = ReferenceOption> {
    let option = |row: &DriverOption, name: String| ReferenceOption {
        name,
        kind: row.kind.to_owned(),
        default: row.default,
        meaning: row.meaning.to_owned(),
        driver: Some(entry.table.name),
        secret: row.secret,
    };
    let fixed = entry.table.options.iter().map(move |row| option(row, row.name.to_owned()));
    fixed.chain(entry.table.keyed.iter().map(move |row| option(row, format!("{}KEY", row.name))))
}

/// Lists the drivers with another default for an option of all actions.
fn others(option: &str) -> String {
    let others = DRIVERS.iter().filter_map(|entry| Some((entry.table.name, entry.table.default_of(option)?)));
    others.map(|(driver, default)| format!(" With driver {driver} the default is {default}.")).collect()
}

fn rabbit(option: &RabbitOption) -> ReferenceOption {
    let kind = match option.kind {
        OptionKind::Boolean => "boolean".to_owned(),
        OptionKind::Integer(least, most) => format!("whole number, {least} to {most}"),
        OptionKind::Decimal(least, most) => format!("seconds, {least} to {most}"),
        OptionKind::Text => "text".to_owned(),
        OptionKind::Word(words) => {
            let words: Vec<&str> = words.iter().copied().filter(|word| !word.is_empty()).collect();
            format!("one of {}", words.join(", "))
        }
    };
    let meaning = match option.effect {
        Effect::Has(what) => sentence(what.strip_prefix("is ").unwrap_or(what)),
        Effect::Nothing(why) => format!("Has no effect: it {why}."),
    };
    ReferenceOption {
        name: option.name.to_owned(),
        kind,
        default: None,
        meaning,
        driver: None,
        secret: false,
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", chars.as_str())
}

impl ReferenceOption {
    /// Kind, default and the rest, for one line.
    fn facts(&self) -> String {
        let mut facts = self.kind.clone();
        if let Some(default) = self.default {
            facts.push_str(&format!("; default {default}"));
        }
        if let Some(driver) = self.driver {
            facts.push_str(&format!("; driver {driver}"));
        }
        if self.secret {
            facts.push_str("; secret");
        }
        facts
    }
}

impl Reference {
    /// For a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for paragraph in SYNTAX {
            wrapped(&mut out, 0, paragraph);
            out.push('\n');
        }
        for section in &self.sections {
            out.push_str(&format!("{}\n", section.form));
            wrapped(&mut out, 2, section.about);
            out.push_str(&format!("  Environment: {}\n\n", section.variable));
            for option in &section.options {
                out.push_str(&format!("  {} ({})\n", option.name, option.facts()));
                wrapped(&mut out, 6, &option.meaning);
            }
            out.push('\n');
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        out
    }

    /// A page of the documentation.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = "# Reference of the configuration\n\n\
            <!-- made by `cargo xtask docs` from the program's own tables; changes go there -->\n\n\
            What `osnl config reference` prints. [configuration.md](../configuration.md) explains it.\n\n"
            .to_owned();
        for paragraph in SYNTAX {
            out.push_str(&format!("{}\n\n", markdown(paragraph)));
        }
        for section in &self.sections {
            let (form, about) = (&section.form, markdown(section.about));
            out.push_str(&format!("## `{form}`\n\n{about} Environment: `{}`.\n\n", section.variable));
            out.push_str("| option | value | default | meaning |\n| --- | --- | --- | --- |\n");
            for option in &section.options {
                let driver = option.driver.map_or(String::new(), |driver| format!("Driver `{driver}`. "));
                let secret = if option.secret { " A secret." } else { "" };
                let default = option.default.map_or(String::new(), |default| format!("`{default}`"));
                let (kind, meaning) = (markdown(&option.kind), markdown(&option.meaning));
                out.push_str(&format!(
                    "| `{}` | {kind} | {default} | {driver}{meaning}{secret} |\n",
                    option.name
                ));
            }
            out.push('\n');
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        out
    }

    /// The sections of a manual page behind its heading, in the language of manual pages.
    #[must_use]
    pub fn roff(&self) -> String {
        let mut out = ".SH SYNTAX\n".to_owned();
        for paragraph in SYNTAX {
            out.push_str(&format!("{}\n.PP\n", roff(paragraph)));
        }
        for section in &self.sections {
            out.push_str(&format!(".SH \"{}\"\n{}\n.PP\n", roff(&section.form), roff(section.about)));
            out.push_str(&format!("Environment: {}\n", roff(&section.variable)));
            for option in &section.options {
                let (name, facts) = (roff(&option.name), roff(&option.facts()));
                out.push_str(&format!(".TP\n\\fB{name}\\fR ({facts})\n{}\n", roff(&option.meaning)));
            }
        }
        out
    }
}

/// Lines of at most a hundred characters.
fn wrapped(out: &mut String, indent: usize, text: &str) {
    const WIDTH: usize = 100;
    let mut column = WIDTH;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column + 1 + length > WIDTH {
            if column < WIDTH || out.ends_with(|c: char| c != '\n') {
                out.push('\n');
            }
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
}

/// Escapes the characters that Markdown would take for markup.
fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '|' | '<' | '>' | '*' | '_' | '[' | ']' | '`' | '$' | '#' | '~') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Escapes the characters that roff would take for markup.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
