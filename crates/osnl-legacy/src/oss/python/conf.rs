//! The options of `driver = python`, and the driver that they configure.

use std::path::PathBuf;
use std::sync::Arc;

use osnl_config::OptionValue;
use osnl_config::{Options as _, options, without_defaults, words};
use osnl_core::misfit::Misfit;
use osnl_transport::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{NodeDetails, OssDetails, PayloadDetails, PluginCall, PluginConfig, Python, PythonOptions};
use crate::oss::Lists;
use crate::oss::completing::interest;
use crate::oss::rest::{AskOptions, NodeOptions, event_types, form};
use osnl_action::driver::{
    BuildContext, CallRequest, DriverConf, DriverError, DriverTable, OptionDef, Preview, Probe, ProbeContext,
    ReadDriver, SectionReader, SentLogin, Traits,
};
use osnl_action::{Action, ErrorClass};
use osnl_actions::exec::Program;
use osnl_actions::exec::conf::{Surroundings, about, absolute, command};

#[derive(Clone, Debug)]
pub(crate) struct PythonConf {
    pub options: PythonOptions,
    pub ask: Option<Arc<str>>,
}

const CLASS: &str = "write module.Class, such as rest_plugin.RESTNotify";

options! {
    pub(crate) struct PythonSection {
        plugin: String as plugin, written("module.Class") => "Class with notify(self, node_detail, created), in a module in plugin_path or an installed one. Must be set.";
        plugin_path: Vec<PathBuf> as paths, written("list of absolute paths") => "Folders with plug-ins, searched in this order.";
        python: Vec<String> as interpreter = "python3", written("list") => "Interpreter, Python 3.6 or newer, with its own arguments if any.";
        plugin_config: Vec<PathBuf> as paths, written("list of absolute paths") => "Files in oslo.config's form for the plug-in's CONF; later ones override earlier ones.";
        events_creation: Option<Vec<String>> as listed, written("list") => "Event types that are allocations. Without both lists, the word create or delete in the event type decides.";
        events_deletion: Option<Vec<String>> as listed, written("list") => "Event types that are releases.";
        node_detail: DetailKind = "plain" => "Argument of the plug-in. plain: the event. oss: oss_watcher's node detail, for each address that was added or removed since the last event.";
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum DetailKind {
    Plain,
    Oss,
}

words!(DetailKind: "plain" => Self::Plain, "oss" => Self::Oss);

/// Without defaults, because node_detail = oss gives the defaults.
const NODE: &[OptionDef] = &without_defaults::<{ NodeOptions::OPTIONS.len() }>(NodeOptions::OPTIONS);

impl ReadDriver for PythonConf {
    /// A plug-in processes one event at a time, so batches have no advantage.
    const TABLE: DriverTable = DriverTable::new(
        "python",
        &[PythonSection::OPTIONS, NODE, AskOptions::OPTIONS, Surroundings::OPTIONS],
    )
    .with_defaults(&[("concurrency", "1")]);

    fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let own = PythonSection::read(reader);
        let surroundings = Surroundings::read(reader);
        let form = form(reader);
        let ask = AskOptions::read(reader);
        if OptionValue::valid(reader, "node_detail") == Some(DetailKind::Plain) {
            let set = NODE.iter().chain(AskOptions::OPTIONS).find(|option| reader.is_set(option.name));
            if let Some(option) = set {
                return reader.refuse(
                    option.name,
                    "requires node_detail = oss",
                    "set that, or remove the line",
                );
            }
        }
        let own = own?;
        let Surroundings { environment, working_dir, stop_timeout } = surroundings?;
        let is_listed = own.events_creation.is_some() || own.events_deletion.is_some();
        let events_creation = own.events_creation.unwrap_or_default();
        let events_deletion = own.events_deletion.unwrap_or_default();
        let details: Arc<dyn NodeDetails> = match own.node_detail {
            DetailKind::Plain => Arc::new(PayloadDetails { events_creation, events_deletion }),
            DetailKind::Oss => {
                let lists = match is_listed {
                    true => Lists { creation: events_creation, deletion: events_deletion },
                    false => Lists::default(),
                };
                Arc::new(OssDetails { lists, form: form? })
            }
        };
        Some(Self {
            options: PythonOptions {
                plugin: own.plugin,
                plugin_path: own.plugin_path,
                python: Program { command: own.python, environment, working_dir },
                config: PluginConfig::files_of(own.plugin_config),
                stop_timeout,
                details,
            },
            ask: ask?.ask,
        })
    }
}

impl DriverConf for PythonConf {
    fn action(&self, context: &BuildContext<'_>) -> Result<Arc<dyn Action>, DriverError> {
        Ok(Arc::new(Python::new(context.name.clone(), self.options.clone())))
    }

    fn does(&self) -> String {
        format!("calls the plug-in {} in a Python of its own", self.options.plugin)
    }

    fn logins(&self) -> Vec<SentLogin> {
        Vec::new()
    }

    fn traits(&self) -> Traits<'_> {
        Traits {
            asks: self.ask.as_ref(),
            interest: self.options.details.watches().map(interest),
            refuser: Some("the plug-in"),
            takes_enrichments: self.options.details.hands_enrichments_over(),
            ..Traits::default()
        }
    }

    fn preview(&self, wanted: &CallRequest<'_>) -> Preview {
        match self.options.details.call_for(&wanted.notification.masked()) {
            Ok(PluginCall::NothingToDo(why)) => Preview::Nothing { why },
            Err(error) => Preview::Unusable { why: Misfit::other(error.reason) },
            Ok(PluginCall::Notify { created, .. }) => {
                let mut with = about(wanted.notification);
                with.push(("created", created.to_string()));
                with.extend(wanted.enrichments().filter(|_| self.options.details.hands_enrichments_over()));
                Preview::Effect { does: self.does(), with }
            }
        }
    }

    /// Loads the class as a start does, because only that proves that it can be loaded.
    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>> {
        Box::pin(async move {
            let probe = Probe::new(context.section, format!("plug-in {}", self.options.plugin));
            let name = context.section.strip_prefix("action:").unwrap_or(context.section);
            let python = Python::new(name, self.options.clone());
            let opened = tokio::time::timeout(context.deadline, python.open()).await;
            let at_once = CancellationToken::new();
            at_once.cancel();
            python.close(&at_once).await;
            vec![match opened {
                Ok(Ok(())) => probe.fine("can be loaded; it was not called"),
                Ok(Err(error)) if error.class == ErrorClass::Connect => probe.failed(error.reason, None),
                Ok(Err(error)) => probe.failed(error.to_string(), None),
                Err(_) => {
                    let late = format!("was not loaded within {} s", context.deadline.as_secs_f64());
                    probe.failed(late, Some("what does it do while it is imported?"))
                }
            }]
        })
    }
}

fn plugin(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<String> {
    let text = reader.required(option.name, CLASS)?;
    let named = |word: &str| {
        word.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && word.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    match text.contains('.') && text.split('.').all(named) {
        true => Some(text),
        false => reader.refuse(option.name, "is not a class in a module", CLASS),
    }
}

fn interpreter(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Vec<String>> {
    let text = reader.text(option.name)?;
    command(reader, option.name, &text)
}

fn listed(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<Vec<String>>> {
    if !reader.is_set(option.name) {
        return Some(None);
    }
    event_types(reader, option).map(Some)
}

fn paths(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Vec<PathBuf>> {
    if !reader.is_set(option.name) {
        return Some(Vec::new());
    }
    let names = reader.list(option.name)?;
    names.iter().map(|name| absolute(reader, option.name, name)).collect()
}
