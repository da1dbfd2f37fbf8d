//! `osnl config show`: a configuration in the native form, each value with its origin.
//!
//! With `--show-secrets` the output is a valid file. Otherwise secrets, and patterns and conditions on them, are
//! `***`: a daemon run with that file logs in with `***` and warns of it, and refuses such a condition.
//!
//! `osnl config reference` prints every section and option of this build, and reads no file.

use clap::{Args, Subcommand, ValueEnum};
use osnl::native;
use serde_json::json;

use super::sources::{self, AnyConf};
use crate::exit::Exit;
use crate::flags::{CheckArgs, OutputFormat};
use crate::output;
use crate::terminal::Tone;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the configuration merged from all sources, each value with its origin
    Show(ConfigShowArgs),
    /// Print every section and option, with defaults
    Reference(ConfigReferenceArgs),
}

/// The flags of `osnl config show`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 0; 78 if the configuration is wrong.\n\n\
                  Example, from k2hr3_osnl's form to osnl's:\n  \
                  osnl config show --show-secrets --k2hr3-osnl k2hr3-osnl.conf > osnl.conf")]
pub(crate) struct ConfigShowArgs {
    #[command(flatten)]
    pub(crate) of: CheckArgs,
    /// Print secrets instead of ***
    #[arg(long)]
    pub(crate) show_secrets: bool,
    /// text: one osnl.conf, merged from all sources; json for scripts
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT")]
    pub(crate) format: OutputFormat,
}

/// The flags of `osnl config reference`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 0.\n\nExample:\n  osnl config reference | less")]
pub(crate) struct ConfigReferenceArgs {
    /// text for people, markdown for a website, json for scripts
    #[arg(long, value_enum, default_value_t = ReferenceFormat::Text, value_name = "FORMAT")]
    pub(crate) format: ReferenceFormat,
}

/// The form of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReferenceFormat {
    Text,
    Markdown,
    Json,
}

pub(crate) fn show(args: &ConfigShowArgs) -> Exit {
    let document =
        sources::load(&args.of).map_err(|refused| refused.to_string()).and_then(|any_conf| match any_conf {
            AnyConf::Native(loaded) => {
                sources::warn(&loaded.warnings);
                let document = loaded.document();
                match document.reads_back() {
                    true => Ok(document),
                    false => Err("a value cannot be written into a file as it is; \
                              is there one with line ends in the environment?"
                        .to_owned()),
                }
            }
            AnyConf::K2hr3Osnl(loaded) => {
                sources::warn(&loaded.warnings);
                loaded.document().map_err(|error| error.to_string())
            }
            AnyConf::OssWatcher(loaded) => {
                sources::warn(&loaded.warnings);
                Ok(loaded.document())
            }
        });
    match document {
        Ok(document) => match args.format {
            OutputFormat::Text => output::print_tinted(&document.text(args.show_secrets), tint),
            OutputFormat::Json => {
                let shown = if args.show_secrets { document } else { document.hidden() };
                output::print(&format!("{}\n", values(&shown)))
            }
        },
        Err(errors) => {
            sources::complain(&errors);
            Exit::Config
        }
    }
}

fn values(document: &native::Document) -> serde_json::Value {
    let sections = document.sections.iter().map(|section| {
        let options = section
            .entries
            .iter()
            .map(|entry| json!({"name": entry.option, "value": entry.text, "from": entry.from}));
        json!({"section": section.heading, "options": options.collect::<Vec<_>>()})
    });
    json!({"sections": sections.collect::<Vec<_>>()})
}

pub(crate) fn reference(args: &ConfigReferenceArgs) -> Exit {
    let reference = native::reference(osnl_legacy::oss::drivers());
    let text = match args.format {
        ReferenceFormat::Text => reference.text(),
        ReferenceFormat::Markdown => reference.markdown(),
        ReferenceFormat::Json => format!("{}\n", as_json(&reference)),
    };
    output::print(&text)
}

fn tint(line: &str) -> Option<(Tone, std::ops::Range<usize>)> {
    match line.chars().next() {
        Some('[') => output::all(Tone::Strong, line),
        Some('#') => output::all(Tone::Dim, line),
        Some(_) | None => None,
    }
}

fn as_json(reference: &native::Reference) -> serde_json::Value {
    let option = |option: &native::ReferenceOption| {
        json!({
            "name": option.name,
            "kind": option.kind,
            "default": option.default,
            "meaning": option.meaning,
            "driver": option.driver,
            "secret": option.secret,
        })
    };
    let sections = reference.sections.iter().map(|section| {
        json!({
            "section": section.form,
            "about": section.about,
            "variable": section.variable,
            "options": section.options.iter().map(option).collect::<Vec<_>>(),
        })
    });
    json!({ "sections": sections.collect::<Vec<_>>() })
}
