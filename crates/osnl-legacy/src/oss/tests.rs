mod cloud;
mod corpus;
mod hostile;
mod native;
mod plugins;
mod recorded;
mod reference;
mod stock;
mod watching;

use osnl_model::{Emission, Notification};
use osnl_testkit::fixture;
use serde_json::Value;

use super::{Lists, Memory, Occurrence};

fn told(memory: &mut Memory, body: &str, lists: &Lists) -> Vec<Occurrence> {
    let notification = Notification::decode(body.as_bytes()).unwrap();
    let payload = Emission::read(body.as_bytes()).unwrap().payload.to_string();
    memory.interpret(&notification, Some(&payload), lists).happened
}

fn bodies(file: &str, case: &str) -> Vec<String> {
    let file: Value = serde_json::from_str(&fixture::text(&format!("emission/{file}"))).unwrap();
    let messages = file["cases"][case].as_array().unwrap_or_else(|| panic!("no case {case}"));
    messages.iter().map(|message| message["body_text"].as_str().unwrap().to_owned()).collect()
}
