use osnl_model::{MaskedJson, Resource, resources};
use ratatui::style::Stylize as _;
use ratatui::text::{Line, Span};
use serde_json::Value;

use super::kept::KeptEntry;
use super::rules::{Rules, Verdicts};
use crate::clean;
use crate::command::tap::event::{EventFilter, TapEvent, UnreadableBody};

/// The most lines, enough for a reader; `--save` and `--body` have all.
const MOST_LINES: usize = 5_000;
/// The most characters of a line, since every frame measures all lines.
const MOST_CHARACTERS: usize = 20_000;
const MOST_RESOURCES: usize = 20;

pub(super) struct EventDetail {
    pub(super) number: u64,
    pub(super) lines: Vec<Line<'static>>,
    pub(super) rules_at: Option<usize>,
}

impl EventDetail {
    pub(super) fn new(number: u64, kept: &KeptEntry, rules: Option<&Rules>) -> Self {
        let mut lines = DetailLines(Vec::new(), None);
        match EventFilter::default().read(&kept.message) {
            Some(Ok(event)) => lines.event(kept, &event, rules),
            Some(Err(why)) => lines.unreadable(kept, &why, rules),
            None => {}
        }
        let DetailLines(mut lines, rules_at) = lines;
        let more = lines.len().saturating_sub(MOST_LINES);
        if more > 0 {
            lines.truncate(MOST_LINES);
            lines.push(format!("... and {more} lines more; s saves the whole event").dim().into());
        }
        Self { number, lines, rules_at }
    }
}

struct DetailLines(Vec<Line<'static>>, Option<usize>);

impl DetailLines {
    fn event(&mut self, kept: &KeptEntry, event: &TapEvent, rules: Option<&Rules>) {
        let n = &event.notification;
        let judged = rules.map(|rules| rules.judge(kept, Ok(n)));
        self.pair("event type", n.event_type.as_deref());
        self.pair("rules", judged.as_ref().map(Verdicts::words).as_deref());
        self.pair("priority", n.priority.as_ref().map(|priority| priority.as_str()));
        self.pair("publisher", n.publisher_id.as_deref());
        self.pair("format", Some(&event.about.form.label()));
        self.pair("sent", n.timestamp.as_deref());
        self.pair("message id", n.message_id.as_deref());
        self.place(kept);
        self.caller(event);
        let found = resources(n);
        for (at, resource) in found.iter().take(MOST_RESOURCES).enumerate() {
            let title = if found.len() == 1 {
                "resource".to_owned()
            } else {
                format!("resource {} of {}", at + 1, found.len())
            };
            self.title(&title);
            self.resource(resource);
        }
        if found.len() > MOST_RESOURCES {
            self.0.push(format!("  ... and {} more", found.len() - MOST_RESOURCES).dim().into());
        }
        if found.is_empty() {
            self.title("resource");
            self.0.push("  none could be told from the message".dim().into());
        }
        self.rules(judged);
        self.title("payload, secrets masked");
        self.json(MaskedJson::value(&n.payload));
        self.title("context, secrets masked");
        self.json(MaskedJson::object(&n.context));
    }

    fn unreadable(&mut self, kept: &KeptEntry, why: &UnreadableBody, rules: Option<&Rules>) {
        let judged = rules.map(|rules| rules.judge(kept, Err(why.reason.clone())));
        self.pair("unreadable", Some(&why.reason));
        self.pair("rules", judged.as_ref().map(Verdicts::words).as_deref());
        self.place(kept);
        self.rules(judged);
        self.title("body, escaped; secrets hidden as well as it goes");
        self.0.push(format!("  {}", why.body).into());
    }

    fn place(&mut self, kept: &KeptEntry) {
        let message = &kept.message;
        self.pair("exchange", Some(&message.exchange));
        self.pair("routing key", Some(&message.routing_key));
        self.pair("received", Some(&format!("{:.3}", kept.received)));
        let kind = message.properties.content_type.as_deref().unwrap_or("no content type");
        let compression = message.properties.headers.get("compression").and_then(Value::as_str);
        let compression = compression.map(|name| format!(", compressed by {name}")).unwrap_or_default();
        self.pair("body", Some(&format!("{} bytes, {kind}{compression}", message.body.len())));
    }

    fn caller(&mut self, event: &TapEvent) {
        let context = |key: &str| event.notification.context.get(key).and_then(Value::as_str);
        let named = |id: Option<&str>, name: Option<&str>| match (id, name) {
            (Some(id), Some(name)) => Some(format!("{id} ({name})")),
            (Some(one), None) | (None, Some(one)) => Some(one.to_owned()),
            (None, None) => None,
        };
        let about = &event.about;
        let name = context("user_name");
        self.pair("project", named(about.project.as_deref(), about.project_name.as_deref()).as_deref());
        self.pair("user", named(about.user.as_deref(), name).as_deref());
        self.pair("request id", context("request_id"));
    }

    fn resource(&mut self, resource: &Resource<'_>) {
        let time = |at: Option<osnl_model::Timestamp>| at.map(|at| at.to_string());
        let addresses = resource.addresses.as_ref().map(|addresses| match &addresses[..] {
            [] => "none".to_owned(),
            some => some.iter().map(|found| found.address.to_string()).collect::<Vec<_>>().join(", "),
        });
        for (name, value) in [
            ("kind", Some(resource.kind.to_string()).filter(|kind| !kind.is_empty())),
            ("id", resource.id.as_ref().map(ToString::to_string)),
            ("name", resource.name.map(str::to_owned)),
            ("order key", resource.key()),
            ("project", resource.project.map(str::to_owned)),
            ("user", resource.user.map(str::to_owned)),
            ("host", resource.host.map(str::to_owned)),
            ("state", resource.state.map(str::to_owned)),
            ("addresses", addresses),
            ("created", time(resource.created_at)),
            ("updated", time(resource.updated_at)),
            ("launched", time(resource.launched_at)),
            ("deleted", time(resource.deleted_at)),
        ] {
            self.pair(name, value.as_deref());
        }
    }

    fn rules(&mut self, judged: Option<Verdicts>) {
        let Some(judged) = judged else { return };
        self.title("rules");
        self.1 = Some(self.0.len() - 1);
        for mut line in judged.lines {
            line.spans.insert(0, "  ".into());
            self.0.push(line);
        }
    }

    fn json(&mut self, masked: MaskedJson<'_>) {
        let written = clean::json(serde_json::to_string_pretty(&masked).unwrap_or_default());
        for line in written.lines() {
            let line = match line.char_indices().nth(MOST_CHARACTERS) {
                Some((at, _)) => {
                    let more = line[at..].chars().count();
                    format!("  {}... and {more} characters more; s saves the whole event", &line[..at])
                }
                None => format!("  {line}"),
            };
            self.0.push(line.into());
        }
    }

    fn title(&mut self, text: &str) {
        self.0.extend([Line::default(), text.to_owned().bold().into()]);
    }

    fn pair(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            let value = clean::text(&osnl_model::mask_text(value)).into_owned();
            self.0.push(Line::from(vec![format!("  {name:<12}").dim(), Span::raw(value)]));
        }
    }
}
