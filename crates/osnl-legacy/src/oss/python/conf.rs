//! The options of `driver = python`, and the driver that they configure.

use std::path::PathBuf;
use std::sync::Arc;

use osnl_transport::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{NodeDetails, OssDetails, PayloadDetails, PluginCall, PluginConfig, Python, PythonOptions};
use crate::oss::Lists;
use crate::oss::completing::interest;
use crate::oss::rest::{ASK, DATACENTER, IP_TYPE, KEYS, SECURITY_DOMAIN, VALUES, form};
use osnl_actions::driver::{
    BuildContext, CallRequest, DriverConf, DriverError, DriverTable, NativeReader, OptionDef, Preview, Probe,
    ProbeContext, ReadDriver, SectionReader, SentLogin, Traits,
};
use osnl_actions::exec::Program;
use osnl_actions::exec::conf::{
    ENVIRONMENT, STOP_TIMEOUT, Surroundings, WORKING_DIR, about, absolute, command,
};
use osnl_actions::{Action, ErrorClass};

#[derive(Clone, Debug)]
pub(crate) struct PythonConf {
    pub options: PythonOptions,
    pub ask: Option<Arc<str>>,
}

const CLASS: &str = "write module.Class, such as rest_plugin.RESTNotify";

impl ReadDriver for PythonConf {
    /// A plug-in processes one event at a time, so batches have no advantage.
    const TABLE: DriverTable = DriverTable::new(
        "python",
        &[
            OptionDef::new(
                "plugin",
                "module.Class",
                "Class with notify(self, node_detail, created), in a module in plugin_path or an installed one. \
                 Must be set.",
            ),
            OptionDef::new("plugin_path", "list of absolute paths", "Folders with plug-ins, searched in this order."),
            OptionDef::new(
                "python",
                "list",
                "Interpreter, Python 3.6 or newer, with its own arguments if any.",
            )
            .or("python3"),
            OptionDef::new(
                "plugin_config",
                "list of absolute paths",
                "Files in oslo.config's form for the plug-in's CONF; later ones override earlier ones.",
            ),
            OptionDef::new(
                "events_creation",
                "list",
                "Event types that are allocations. Without both lists, the word create or delete in the event \
                 type decides.",
            ),
            OptionDef::new("events_deletion", "list", "Event types that are releases."),
            OptionDef::new(
                "node_detail",
                "plain or oss",
                "Argument of the plug-in. plain: the event. oss: oss_watcher's node detail, for each address that \
                 was added or removed since the last event.",
            )
            .or("plain"),
            OptionDef { default: None, ..KEYS },
            OptionDef { default: None, ..VALUES },
            OptionDef { default: None, ..IP_TYPE },
            OptionDef { default: None, ..DATACENTER },
            OptionDef { default: None, ..SECURITY_DOMAIN },
            ASK,
            ENVIRONMENT,
            WORKING_DIR,
            STOP_TIMEOUT,
        ],
    )
    .with_defaults(&[("concurrency", "1")]);

    fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let plugin = reader.required("plugin", CLASS).and_then(|text| class(reader, text));
        let plugin_path = paths(reader, "plugin_path");
        let python = reader.text("python").and_then(|text| command(reader, "python", &text));
        let plugin_config = paths(reader, "plugin_config");
        let events_creation = names(reader, "events_creation");
        let events_deletion = names(reader, "events_deletion");
        let surroundings = Surroundings::read(reader);
        let lists = events_creation.zip(events_deletion);
        let (creation, deletion) = lists.clone().unwrap_or_default();
        let details = details(reader, creation, deletion);
        let ask = reader.enrichment(ASK.name);
        lists?;
        let Surroundings { environment, working_dir, stop_timeout } = surroundings?;
        Some(Self {
            options: PythonOptions {
                plugin: plugin?,
                plugin_path: plugin_path?,
                python: Program { command: python?, environment, working_dir },
                config: PluginConfig::files_of(plugin_config?),
                stop_timeout,
                details: details?,
            },
            ask: ask?,
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
        match self.options.details.of(wanted.notification) {
            Ok(PluginCall::NothingToDo(why)) => Preview::Nothing { why },
            Err(error) => Preview::Unusable { why: error.reason },
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
            let probe = Probe::of(context.section, format!("plug-in {}", self.options.plugin));
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

fn details(
    reader: &mut SectionReader<'_>,
    events_creation: Vec<String>,
    events_deletion: Vec<String>,
) -> Option<Arc<dyn NodeDetails>> {
    if reader.word("node_detail", &[("plain", false), ("oss", true)])? {
        let lists = match events_creation.is_empty() && events_deletion.is_empty() {
            true => Lists::default(),
            false => Lists { creation: events_creation, deletion: events_deletion },
        };
        return Some(Arc::new(OssDetails { lists, form: form(reader)? }));
    }
    for option in [KEYS, VALUES, IP_TYPE, DATACENTER, SECURITY_DOMAIN, ASK] {
        if reader.is_set(option.name) {
            return reader.refuse(option.name, "requires node_detail = oss", "set that, or remove the line");
        }
    }
    Some(Arc::new(PayloadDetails { events_creation, events_deletion }))
}

fn class(reader: &mut SectionReader<'_>, text: String) -> Option<String> {
    let named = |word: &str| {
        word.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && word.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    match text.contains('.') && text.split('.').all(named) {
        true => Some(text),
        false => reader.refuse("plugin", "is not a class in a module", CLASS),
    }
}

fn names(reader: &mut SectionReader<'_>, option: &str) -> Option<Vec<String>> {
    match reader.is_set(option) {
        true => reader.list(option),
        false => Some(Vec::new()),
    }
}

fn paths(reader: &mut SectionReader<'_>, option: &str) -> Option<Vec<PathBuf>> {
    let names = names(reader, option)?;
    names.iter().map(|name| absolute(reader, option, name)).collect()
}
