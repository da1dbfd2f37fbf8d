mod journal;
mod layers;
mod messages;
mod recorded;
mod redaction;
mod shown;

use super::{Conf, ConfError, LoadedConf};

fn load(text: &str) -> Result<LoadedConf, ConfError> {
    Conf::from_text("k.conf", text)
}

fn with(group: &str, lines: &str) -> String {
    let url = if group == "k2hr3" { "" } else { "[k2hr3]\napi_url = http://h/\n" };
    format!("[{group}]\n{lines}\n{url}")
}

fn warnings(loaded: &LoadedConf) -> Vec<String> {
    loaded.warnings.iter().map(ToString::to_string).collect()
}
