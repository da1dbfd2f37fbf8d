//! The exact text of every error and warning, the layers, and that no password is in any output.

mod actions;
mod deliveries;
mod known;
mod layers;
mod messages;
mod rabbit;
mod reference;
mod secret_file;
mod topology;

use super::{Loaded, Sources, load_texts};
use crate::config::{ConfigErrors, Environment};

/// A whole configuration; tests change lines of it.
const WHOLE: &str = "\
[listener:neutron]
transport_url = rabbit://u:hunter2@mq/
exchange = neutron
[rule:gone]
listeners = neutron
event_type = ^port\\.delete\\.end$
actions = roles, record
[action:roles]
driver = k2hr3
api_url = http://k2hr3/v1/role
[action:record]
driver = dump
";

fn load(text: &str) -> Result<Loaded, ConfigErrors> {
    load_layers(&[text], &[])
}

/// Files `a.conf`, `b.conf` and so on, later ones over earlier ones, and variables over them.
fn load_layers(texts: &[&str], variables: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let name = |n: usize| format!("{}.conf", ["a", "b", "c"][n]);
    let texts: Vec<(String, String)> =
        texts.iter().enumerate().map(|(n, text)| (name(n), (*text).to_owned())).collect();
    let environment: Environment = variables.iter().copied().collect();
    load_texts(&texts, &Sources { environment, ..Sources::default() })
}

fn errors(result: Result<Loaded, ConfigErrors>) -> Vec<String> {
    match result {
        Ok(_) => Vec::new(),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(ToString::to_string).collect()
}
