use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use osnl::control::{
    AttemptAnswer, ControlRequest, Delivery, List, ListOrder, MaskedMessage, Show, Which, millis, relative,
};
use osnl::journal::DeliveryId;

use super::super::asking::{NoAnswer, Respondent, clean, print, print_bytes, print_json};
use super::args::ShowArgs;
use super::list;
use crate::command::sources;
use crate::exit::Exit;
use crate::flags::OutputFormat;

const LISTED: u32 = 50;

pub(super) fn run(args: &ShowArgs) -> Result<Exit, NoAnswer> {
    let respondent = Respondent::for_place(&args.place)?;
    let id = match DeliveryId::parse(&args.about) {
        Some(id) => id.to_string(),
        None => match found(&respondent, args)? {
            Ok(id) => id,
            Err(ended) => return Ok(ended),
        },
    };
    let show: Show = respondent.ask(&ControlRequest::Show { id, raw: args.raw })?;
    Ok(match (args.format.format, &show.message.body_base64) {
        (OutputFormat::Json, _) => print_json(&show),
        (OutputFormat::Text, Some(body)) => {
            let body = BASE64_STANDARD.decode(body);
            print_bytes(&body.map_err(|error| NoAnswer::new(Exit::Failed, error.to_string()))?)
        }
        (OutputFormat::Text, None) => print(&text(&show)),
    })
}

fn found(respondent: &Respondent, args: &ShowArgs) -> Result<Result<String, Exit>, NoAnswer> {
    let filter = Which { about: vec![args.about.clone()], ..Which::default() };
    let request = ControlRequest::List {
        filter,
        order: ListOrder::Newest,
        after: None,
        limit: LISTED,
        count_at_most: None,
    };
    let found: List = respondent.ask(&request)?;
    let about = clean(&args.about);
    match &found.deliveries[..] {
        [] => {
            let why = format!(
                "no delivery is about {about}: it is neither the id of a message nor the id, the name, or the order key \
                 of a resource; osnl explain --unmatched shows messages that matched no rule"
            );
            Err(NoAnswer::new(Exit::Failed, why))
        }
        [one] => Ok(Ok(one.id.clone())),
        [..] => {
            let printed = list::print(&found, args.format.format, false);
            sources::complain(&format!("{about}: several deliveries; name one of them by its id"));
            Ok(Err(if printed == Exit::Done { Exit::Failed } else { printed }))
        }
    }
}

fn text(show: &Show) -> String {
    let delivery = &show.delivery;
    let mut lines = ValueLines::default();
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    lines.add("delivery", delivery.id.clone());
    let ended = delivery.ended.as_ref().map_or(String::new(), |at| format!(", {}", relative(at)));
    lines.add("state", format!("{}{ended}", delivery.state_text()));
    lines.add(
        "next",
        delivery.next_attempt.as_ref().map_or(String::new(), |at| format!("attempt {}", relative(at))),
    );
    lines.add("reason", or_empty(&delivery.reason));
    let target = show.target.as_ref().map_or(String::new(), |target| format!(" ({target})"));
    lines.add("action", format!("{}{target}, by rule {}", delivery.action, delivery.rule));
    lines.add("event type", or_empty(&delivery.event_type));
    lines.add("resource", delivery.resource_text().unwrap_or_default());
    let no_order = show.no_order.as_ref().map(|why| format!("none: {why}"));
    lines.add("order key", delivery.key.clone().or(no_order).unwrap_or_default());
    order(show, &mut lines);
    origin(show, &mut lines);
    attempts(show, &mut lines);
    let mut text = lines.0;
    match &show.message.unreadable {
        Some(why) => {
            text.push_str(&format!("\nthe message cannot be read: {}; --raw shows its bytes\n", clean(why)))
        }
        None => {
            let shown = serde_json::json!({"payload": show.message.payload, "context": show.message.context});
            let pretty = serde_json::to_string_pretty(&shown).unwrap_or_default();
            text.push_str(&format!(
                "\npayload and context, secrets masked\n{}\n",
                crate::clean::json(pretty)
            ));
        }
    }
    text
}

fn order(show: &Show, lines: &mut ValueLines) {
    if show.ahead > 0 {
        lines.add("ahead", format!("{} older of the same action and key", show.ahead));
    }
    if !show.behind.is_empty() {
        let more =
            if show.more_behind > 0 { format!(" and {} more", show.more_behind) } else { String::new() };
        lines.add("behind", format!("{}{more}", show.behind.join(", ")));
    }
    for (n, other) in show.others.iter().enumerate() {
        let Delivery { id, action, rule, .. } = other;
        let name = if n == 0 { "same event" } else { "" };
        lines.add(name, format!("{id}  {action}, by rule {rule}: {}", other.state_text()));
    }
}

fn origin(show: &Show, lines: &mut ValueLines) {
    let delivery = &show.delivery;
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let MaskedMessage { listener, queue, exchange, routing_key, redelivered, bytes, digest, .. } =
        &show.message;
    lines.add("received", relative(&delivery.received));
    let exchange = match exchange.as_str() {
        "" => "the default exchange".to_owned(),
        name => format!("exchange {name}"),
    };
    let again = if *redelivered { ", redelivered" } else { "" };
    lines.add("from", format!("queue {queue}, {exchange}, {routing_key}, listener {listener}{again}"));
    let id = delivery.message_id.as_deref().unwrap_or("-");
    lines.add("message", format!("{id}, {bytes} bytes, digest {digest}"));
    lines.add("publisher", or_empty(&show.message.publisher_id));
    lines.add("sent", or_empty(&show.message.timestamp));
    if delivery.copies > 0 {
        lines.add("copies", format!("{} more received", delivery.copies));
    }
}

fn attempts(show: &Show, lines: &mut ValueLines) {
    let took =
        show.delivery.took_millis.map_or(String::new(), |took| format!("; the last took {}", millis(took)));
    lines.add("attempts", format!("{}{took}", show.delivery.attempts_text()));
    for AttemptAnswer { at, answer, request, took_millis } in &show.attempts {
        let took = took_millis.map_or(String::new(), |took| format!(", after {}", millis(took)));
        lines.0.push_str(&format!("\nfailed {}{took}: {}\n", clean(&relative(at)), clean(answer)));
        for line in request.iter().flat_map(|request| request.lines()) {
            lines.0.push_str(&format!("  > {}\n", clean(line)));
        }
    }
}

#[derive(Default)]
struct ValueLines(String);

impl ValueLines {
    fn add(&mut self, name: &str, value: String) {
        if !value.is_empty() {
            self.0.push_str(&format!("{name:<12}{}\n", clean(&value)));
        }
    }
}
