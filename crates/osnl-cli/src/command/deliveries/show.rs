//! `osnl deliveries show`: all about one.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use osnl::control::{Message, Request, Show};

use super::super::asking::{NoAnswer, Respondent, age, clean, print, print_bytes, print_json};
use super::args::ShowArgs;
use crate::command::tap;
use crate::exit::Exit;
use crate::flags::Format;

pub(super) fn run(args: &ShowArgs) -> Result<Exit, NoAnswer> {
    let request = Request::Show { id: args.id.clone(), raw: args.raw };
    let show: Show = Respondent::of(&args.place)?.ask(&request)?;
    Ok(match (args.format.format, &show.message.body_base64) {
        (Format::Json, _) => print_json(&show),
        (Format::Text, Some(body)) => {
            let body = BASE64_STANDARD.decode(body);
            print_bytes(&body.map_err(|error| NoAnswer::new(Exit::Failed, error.to_string()))?)
        }
        (Format::Text, None) => print(&text(&show)),
    })
}

fn text(show: &Show) -> String {
    let delivery = &show.delivery;
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("{name:<12}{}", clean(&value)));
        }
    };
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    line("delivery", delivery.id.clone());
    let ended = delivery.ended.as_ref().map_or(String::new(), |at| format!(", since {at}"));
    line("state", format!("{}{ended}", delivery.state));
    line("reason", or_empty(&delivery.reason));
    let target = show.target.as_ref().map_or(String::new(), |target| format!(" ({target})"));
    line("asked", format!("rule {} wants action {}{target}", delivery.rule, delivery.action));
    line("event type", or_empty(&delivery.event_type));
    line("resource", or_empty(&delivery.resource));
    if show.ahead > 0 {
        line("behind", format!("{} older ones of the same resource", show.ahead));
    }
    let Message { listener, queue, exchange, routing_key, redelivered, bytes, digest, .. } = &show.message;
    line("received", format!("{}, {} ago", delivery.received, age(delivery.age_seconds)));
    let again = if *redelivered { ", not for the first time" } else { "" };
    line("from", format!("queue {queue}, exchange {exchange}, {routing_key}, listener {listener}{again}"));
    line("message", format!("{}, {bytes} bytes, digest {digest}", or_empty(&delivery.message_id)));
    line("publisher", or_empty(&show.message.publisher_id));
    line("sent", or_empty(&show.message.timestamp));
    if delivery.copies > 0 {
        line("copies", format!("{} more came", delivery.copies));
    }
    line("attempts", format!("{} used up, {} failed in all", delivery.attempts, delivery.failed_attempts));
    for one in &show.attempts {
        line("", format!("  {}  {}", one.at, one.answer));
    }
    let mut text = lines.join("\n") + "\n";
    match &show.message.unreadable {
        Some(why) => {
            text.push_str(&format!("\nthe message cannot be read: {}; --raw shows its bytes\n", clean(why)))
        }
        None => {
            let shown = serde_json::json!({"payload": show.message.payload, "context": show.message.context});
            let pretty = serde_json::to_string_pretty(&shown).unwrap_or_default();
            text.push_str(&format!("\n{}\n", tap::clean_json(pretty)));
        }
    }
    text
}
