//! `osnl init`: writes a commented sample of a configuration for some services and one target, or of a splitter and its
//! shards, and checks it.

mod sample;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::iter;
use std::num::NonZeroU32;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::PossibleValuesParser;
use osnl::native::{self, PLACEHOLDER, Sources};
use osnl_config::{did_you_mean, nearest};
use osnl_model::catalogue;
use osnl_transport::{escaped, login_user, shell_quoted};

use self::sample::{SampleForm, SamplePart, SampleTarget, TARGETS, sample};
use super::asking::clean;
use super::sources::{complain, warn};
use crate::exit::Exit;
use crate::output;

/// The flags of `osnl init`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 1 when the file exists or cannot be written.\n\n\
                        Examples:\n  osnl init neutron nova --target http > osnl.conf\n  \
                        osnl init neutron --target k2hr3 --standby -o /etc/osnl/osnl.conf")]
#[command(after_long_help = "\
    Each service gets a listener with a queue of its own, and a rule for one event. Options that have a \
    default are commented out. The comments are taken from `osnl.conf`(5).")]
pub(crate) struct InitArgs {
    /// Services to listen to, such as neutron; osnl events lists them
    #[arg(value_name = "SERVICE", required = true)]
    pub(crate) services: Vec<String>,
    /// Driver of the action
    #[arg(long, value_name = "DRIVER", default_value = "dump", value_parser = PossibleValuesParser::new(TARGETS.map(|target| target.driver)))]
    pub(crate) target: String,
    /// For two controllers: one daemon, one standby
    #[arg(long)]
    pub(crate) standby: bool,
    /// Files of a splitter and this many shards
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) shards: Option<u32>,
    /// For a nova that sends versioned notifications
    #[arg(long)]
    pub(crate) versioned: bool,
    /// Broker; a password in it is visible to other users
    #[arg(long, value_name = "URL", default_value = "rabbit://osnl:CHANGE-ME@127.0.0.1:5672/")]
    pub(crate) transport_url: String,
    /// File, or folder with --shards [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

pub(crate) fn run(args: &InitArgs) -> Exit {
    written(args).unwrap_or_else(|(exit, problem)| {
        complain(&problem);
        exit
    })
}

fn written(args: &InitArgs) -> Result<Exit, (Exit, String)> {
    let services = services(&args.services).map_err(|problem| (Exit::Usage, problem))?;
    let Some(target) = SampleTarget::for_driver(&args.target) else {
        return Err((Exit::Usage, format!("unknown driver {:?}", args.target)));
    };
    target.suits(&services).map_err(|problem| (Exit::Usage, problem))?;
    if args.transport_url.chars().any(char::is_control) {
        return Err((Exit::Usage, "--transport-url: a URL has no line end or control character".to_owned()));
    }
    if args.versioned && !services.contains(&"nova") {
        return Err((Exit::Usage, "--versioned is for nova alone, which sends either form".to_owned()));
    }
    let InitArgs { transport_url, standby, versioned, .. } = args;
    let (standby, versioned, part) = (*standby, *versioned, SamplePart::Whole);
    let form = SampleForm { transport_url, standby, versioned, part };
    if let Some(shards) = args.shards.and_then(NonZeroU32::new) {
        return splitter_and_shards(args, (&services, target), form, shards);
    }
    let text = sample(&services, target, form);
    let name = args.output.as_ref().map_or("the sample".to_owned(), |file| file.display().to_string());
    let loaded = native::load_texts(&[(name, text.clone())], &sources())
        .map_err(|errors| (Exit::Config, errors.to_string()))?;
    warn(&loaded.warnings);
    match &args.output {
        Some(path) => create(path, &text),
        None => Ok(output::print(&text)),
    }
}

/// Writes the files of a splitter and its shards, all or none, and prints what the broker and systemd need.
fn splitter_and_shards(
    args: &InitArgs,
    (services, target): (&[&'static str], &SampleTarget),
    form: SampleForm<'_>,
    shards: NonZeroU32,
) -> Result<Exit, (Exit, String)> {
    let folder = args.output.clone().unwrap_or_default();
    let parts = iter::once(SamplePart::Splitter { shards }).chain((0..shards.get()).map(SamplePart::Shard));
    let mut texts: Vec<(String, PathBuf, String)> = Vec::new();
    let mut url = None;
    for part in parts {
        let name = part.name().unwrap_or_default();
        let path = folder.join(format!("{name}.conf"));
        let text = sample(services, target, SampleForm { part, ..form });
        let loaded = native::load_texts(&[(path.display().to_string(), text.clone())], &sources())
            .map_err(|errors| (Exit::Config, errors.to_string()))?;
        warn(&loaded.warnings);
        url = url.or_else(|| loaded.conf.listeners.first().map(|one| one.transport_url.clone()));
        texts.push((name, path, text));
    }
    for (at, (_, path, text)) in texts.iter().enumerate() {
        written_to(path, text).inspect_err(|_| {
            texts[..at].iter().for_each(|(_, path, _)| drop(std::fs::remove_file(path)));
        })?;
    }
    let mut said: String = texts
        .iter()
        .map(|(_, path, _)| format!("{}: written\n", clean(&path.display().to_string())))
        .collect();
    if texts.iter().any(|(.., text)| text.contains(PLACEHOLDER)) {
        said.push_str(&format!("replace {PLACEHOLDER} in them\n"));
    }
    if let Some(url) = url {
        let exchanges: BTreeSet<&str> = services.iter().filter_map(|name| exchange(name)).collect();
        let read: Vec<String> = exchanges.into_iter().map(escaped).collect();
        said.push_str(&format!(
            "the user of the broker needs these permissions, which replace those that it has:\n  rabbitmqctl set_permissions -p \
             {} {} '^osnl-' '^(osnl-.*|amq\\.default)$' '^(osnl-.*|{})$'\n",
            shell_quoted(url.virtual_host()),
            shell_quoted(login_user(&url)),
            read.join("|")
        ));
    }
    let units: Vec<String> = texts.iter().map(|(name, ..)| format!("osnl@{name}")).collect();
    let splitter = clean(&texts[0].1.display().to_string()).into_owned();
    said.push_str(&format!(
        "then start the daemons, on any machines, and run osnl check --connect -c {splitter}:\n  systemctl enable --now {}\n",
        units.join(" ")
    ));
    Ok(output::print(&said))
}

fn exchange(service: &str) -> Option<&'static str> {
    catalogue::events().iter().find(|event| event.service == service).map(|event| event.exchange())
}

fn create(path: &Path, text: &str) -> Result<Exit, (Exit, String)> {
    written_to(path, text)?;
    let replace =
        if text.contains(PLACEHOLDER) { format!("replace {PLACEHOLDER}, then ") } else { String::new() };
    let name = path.display().to_string();
    let shown = clean(&name);
    Ok(output::print(&format!("{shown}: written; {replace}run osnl check --connect -c {shown}\n")))
}

fn written_to(path: &Path, text: &str) -> Result<(), (Exit, String)> {
    let name = path.display().to_string();
    // Neither overwrites a file nor follows a link.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = made.and_then(|mut file| {
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).inspect_err(|_| {
            // A partial configuration must not stay.
            let _ = std::fs::remove_file(path);
        })
    });
    written.map_err(|error| {
        (
            Exit::Failed,
            format!(
                "{name}: {error}; name a file that does not exist yet, in a folder that this user can write"
            ),
        )
    })
}

fn services(names: &[String]) -> Result<Vec<&'static str>, String> {
    let known: Vec<&str> = catalogue::services().into_iter().map(|(name, _)| name).collect();
    let mut services = Vec::new();
    for name in names {
        match known.iter().find(|known| **known == name.as_str()) {
            Some(service) if services.contains(service) => {}
            Some(service) => services.push(*service),
            None => {
                let hint = did_you_mean(nearest(name, known.iter().copied()));
                return Err(format!("unknown service {name:?}; allowed: {}{hint}", known.join(", ")));
            }
        }
    }
    Ok(services)
}

fn sources() -> Sources {
    Sources { drivers: osnl_legacy::oss::drivers(), ..Sources::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: SampleForm<'_> = SampleForm {
        transport_url: "rabbit://osnl:CHANGE-ME@127.0.0.1:5672/",
        standby: false,
        versioned: false,
        part: SamplePart::Whole,
    };

    fn known() -> Vec<&'static str> {
        catalogue::services().into_iter().map(|(name, _)| name).collect()
    }

    fn loaded(
        services: &[&'static str],
        target: &SampleTarget,
        form: SampleForm<'_>,
    ) -> (native::Native, Vec<String>) {
        let text = sample(services, target, form);
        let loaded = native::load_texts(&[("sample".to_owned(), text.clone())], &sources())
            .unwrap_or_else(|errors| panic!("{}: {errors}\n{text}", target.driver));
        (loaded.conf, loaded.warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_service_and_target_has_a_sample_without_a_warning() {
        for target in &TARGETS {
            for services in known().chunks(1).chain([&known()[..]]) {
                if target.suits(services).is_err() {
                    continue;
                }
                let (conf, warnings) = loaded(services, target, USUAL);
                assert_eq!(warnings, [""; 0], "{services:?} {}", target.driver);
                let (_, warnings) = loaded(services, target, SampleForm { versioned: true, ..USUAL });
                assert_eq!(warnings, [""; 0], "{services:?} {} --versioned", target.driver);
                let (standby, warnings) = loaded(services, target, SampleForm { standby: true, ..USUAL });
                assert_eq!(warnings, [""; 0], "{services:?} {} --standby", target.driver);
                assert!(matches!(standby.journal, native::JournalConf::Memory));
                for queue in standby.listeners.iter().map(|listener| &listener.queue) {
                    let is_quorum = queue.queue_type == osnl_transport::QueueType::Quorum;
                    assert!(is_quorum && queue.single_active_consumer && !queue.oslo_arguments, "{queue:?}");
                }
                for part in [SamplePart::Splitter { shards: NonZeroU32::MIN }, SamplePart::Shard(0)] {
                    let (conf, warnings) = loaded(services, target, SampleForm { part, ..USUAL });
                    assert_eq!(warnings, [""; 0], "{services:?} {} {:?}", target.driver, part.name());
                    assert!(matches!(conf.journal, native::JournalConf::Memory));
                }
                let names: Vec<&str> = conf.listeners.iter().map(|listener| &*listener.name).collect();
                assert_eq!(names, services, "{}", target.driver);
                assert_eq!((conf.rules.len(), conf.actions.len()), (services.len(), 1));
            }
        }
        // Every driver has a sample but `oss_rest` and `python`.
        let mut drivers: Vec<&str> =
            TARGETS.iter().map(|target| target.driver).chain(["oss_rest", "python"]).collect();
        drivers.sort_unstable();
        let reference = native::reference(osnl_legacy::oss::drivers());
        let actions = reference.sections.iter().find(|section| section.form == "[action:NAME]").unwrap();
        let driver = actions.options.iter().find(|option| option.name == "driver").unwrap();
        let mut all: Vec<&str> = driver.kind.trim_start_matches("one of ").split(", ").collect();
        all.sort_unstable();
        assert_eq!(drivers, all);
    }

    #[test]
    fn a_password_of_any_characters_stays_what_it_is() {
        let target = SampleTarget::for_driver("dump").unwrap();
        for (password, expected) in [("p$w$$d", "p$w$$d"), ("$other", "$other"), ("%24%23", "$#")] {
            let url = format!("rabbit://osnl:{password}@mq:5672/");
            let (conf, _) = loaded(&["nova"], target, SampleForm { transport_url: &url, ..USUAL });
            assert_eq!(conf.listeners[0].transport_url.hosts()[0].credentials(), ("osnl", expected));
        }
    }

    #[test]
    fn unknown_services_are_refused_and_repeated_ones_count_once() {
        let services =
            |names: &[&str]| services(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(services(&["nova", "neutron", "nova"]).unwrap(), ["nova", "neutron"]);
        let error = services(&["neutorn"]).unwrap_err();
        assert!(error.ends_with("octavia; did you mean neutron?"), "{error}");
        assert!(services(&["nova\n[action:x]"]).unwrap_err().contains("nova\\n[action:x]"));
    }
}
