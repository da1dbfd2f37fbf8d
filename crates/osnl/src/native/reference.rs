//! The reference of the native form: `osnl config reference`, `docs/reference/configuration.md` and the manual page
//! osnl.conf(5).
//!
//! Nothing depends on the machine.

use osnl_config::sections::{SectionDef, SectionOption};
use osnl_config::variable_name;
use osnl_transport::{NO_EFFECT, RABBIT_OPTIONS};

use super::Drivers;
use super::kinds::{ACTION, KAFKA, LISTENER, RABBIT};
use crate::action::driver::DriverEntry;

const SYNTAX: [&str; 5] = [
    "The syntax is that of oslo.config: name = value or name: value; a comment begins with # or ; in column 1 and nowhere \
     else; an indented line continues the value above it; one pair of quotes around a value is removed. \
     $name is another option of the same section or of [DEFAULT], ${group.name} one of that section, $$ a dollar sign.",
    "From weakest to strongest: defaults, each --config-file in order, the *.conf of each --config-dir by name, \
     the environment OS_<SECTION>__<OPTION> (in capitals; any character that is not a letter or a digit as _), flags.",
    "Booleans are true, yes, on, 1, false, no, off and 0, in any case. Lists have commas between their items. Durations are \
     30, 30s, 500ms, 5m, 24h, 7d; a bare number is seconds. Sizes are 500MiB, 10GiB; a bare number is bytes.",
    "A secret may be in a file of its own: file:///path, or file://$CREDENTIALS_DIRECTORY/NAME for LoadCredential= of \
     systemd. The file has one line, and only its user and group should be able to read it.",
    "Unknown sections and options are errors; osnl reports all errors together, each with its file and line.",
];

/// The reference of all options, for `osnl config reference` and the documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub sections: Vec<ReferenceSection>,
}

/// A kind of section in the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceSection {
    pub form: String,
    pub about: String,
    pub variable: String,
    pub options: Vec<ReferenceOption>,
}

/// An option in the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceOption {
    pub name: String,
    pub kind: String,
    pub default: Option<&'static str>,
    pub meaning: String,
    pub driver: Option<&'static str>,
    pub secret: bool,
}

#[must_use]
pub fn reference(drivers: Drivers) -> Reference {
    Reference { sections: drivers.schema().sections.iter().map(|def| section(def, drivers)).collect() }
}

fn section(def: &SectionDef, drivers: Drivers) -> ReferenceSection {
    let option = |option: SectionOption| ReferenceOption {
        name: option.row.name.to_owned(),
        kind: match (def.kind, option.row.name) {
            (ACTION, "driver") => format!("one of {}", drivers.names().join(", ")),
            _ => option.row.form(),
        },
        default: option.row.default,
        meaning: match (def.kind, option.driver) {
            (ACTION, None) => format!("{}{}", option.row.meaning, others(option.row.name, drivers)),
            (RABBIT, _) => format!("{}{}", noun(option.row.meaning), there(option.row.name)),
            (KAFKA, _) => noun(option.row.meaning),
            _ => option.row.meaning.to_owned(),
        },
        driver: option.driver,
        secret: option.row.secret,
    };
    let keyed = |of: SectionOption| ReferenceOption { name: format!("{}KEY", of.row.name), ..option(of) };
    // One line describes all options of the rabbit driver.
    let is_own = |of: &SectionOption| {
        def.kind != LISTENER || !RABBIT_OPTIONS.iter().any(|row| row.name == of.row.name)
    };
    let (own, of_drivers): (Vec<_>, Vec<_>) = def.all_options().partition(|of| of.driver.is_none());
    let mut own = own.into_iter().filter(is_own).map(option);
    let mut options: Vec<ReferenceOption> = own.by_ref().take(usize::from(!def.drivers.is_empty())).collect();
    for table in def.drivers {
        let is_its = |of: &SectionOption| of.driver == Some(table.name);
        options.extend(of_drivers.iter().copied().filter(is_its).map(option));
        options.extend(def.all_keyed().filter(is_its).map(keyed));
    }
    options.extend(own);
    options.extend(def.all_keyed().filter(|of| of.driver.is_none()).map(keyed));
    if def.kind == LISTENER {
        options.push(ReferenceOption {
            name: format!("those of [{RABBIT}]"),
            kind: "as there".to_owned(),
            default: None,
            meaning: "The same options, for this listener only.".to_owned(),
            driver: None,
            secret: false,
        });
    }
    let name = if def.named { format!("{}:<name>", def.kind) } else { def.kind.to_owned() };
    let variable = variable_name(&name, "").replace("__NAME___", "_<NAME>__") + "<OPTION>";
    let mut about = def.about.to_owned();
    if def.kind == RABBIT {
        let idle =
            options.extract_if(.., |option| option.meaning.starts_with(NO_EFFECT)).map(|option| option.name);
        let names = idle.collect::<Vec<_>>().join(", ");
        about += &format!(
            " Accepted without effect, since they are about RPC or publishing, are not needed here, or do nothing in \
             oslo.messaging either: {names}."
        );
    }
    ReferenceSection { form: def.form(), about, variable, options }
}

fn others(option: &str, drivers: Drivers) -> String {
    let default = |entry: &DriverEntry| Some((entry.table.name, entry.table.default_of(option)?));
    let others = drivers.entries().iter().filter_map(default);
    others.map(|(driver, default)| format!(" With driver {driver} the default is {default}.")).collect()
}

fn there(option: &str) -> String {
    let default = RABBIT_OPTIONS.iter().find(|row| row.name == option).and_then(|row| row.default);
    let default = default.filter(|default| !default.is_empty());
    default.map(|default| format!(" oslo.messaging's default is {default}.")).unwrap_or_default()
}

fn noun(meaning: &str) -> String {
    let Some(rest) = meaning.strip_prefix("Is ") else { return meaning.to_owned() };
    let mut chars = rest.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}", chars.as_str())
}

impl ReferenceOption {
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
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for paragraph in SYNTAX {
            wrapped(&mut out, 0, paragraph);
            out.push('\n');
        }
        for section in &self.sections {
            out.push_str(&format!("{}\n", section.form));
            wrapped(&mut out, 2, &section.about);
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

    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = "# Reference of the configuration\n\n\
            <!-- made by `cargo xtask docs` from the program's own tables; changes go there -->\n\n\
            Look up each option: its values, its default, and its meaning. `osnl config reference` prints the same;\n\
            [Configuration](../configuration.md) has the syntax and the layers.\n\n"
            .to_owned();
        for paragraph in SYNTAX {
            out.push_str(&format!("{}\n\n", markdown(paragraph)));
        }
        for section in &self.sections {
            let (form, about) = (&section.form, markdown(&section.about));
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

    #[must_use]
    pub fn roff(&self) -> String {
        let mut out = format!(".SH SYNTAX\n{}\n", SYNTAX.map(roff).join("\n.PP\n"));
        for section in &self.sections {
            out.push_str(&format!(".SH \"{}\"\n{}\n.PP\n", roff(&section.form), roff(&section.about)));
            out.push_str(&format!("Environment: {}\n", roff(&section.variable)));
            for option in &section.options {
                let (name, facts) = (roff(&option.name), roff(&option.facts()));
                out.push_str(&format!(".TP\n\\fB{name}\\fR ({facts})\n{}\n", roff(&option.meaning)));
            }
        }
        out
    }
}

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

fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
