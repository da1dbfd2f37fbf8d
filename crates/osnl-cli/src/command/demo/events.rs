//! | from | shown |
//! | --- | --- |
//! | the listener | all warnings and errors |
//! | the rule engine | why a wanted message did not fire a rule (debug) |
//! | the journal | unreadable bodies; dead letters |
//! | the delivery loop | each outcome, each pause before another attempt, each hold |

use std::fmt;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::printer::Tone;
use super::story::Story;
use crate::logging::logger;

pub(super) fn start(story: &Arc<Story>) {
    let ours = Targets::new().with_target("osnl", LevelFilter::DEBUG);
    // Fails only if another subscriber is set, which this command never does.
    let _ = tracing_subscriber::registry().with(ours).with(StoryLayer { story: story.clone() }).try_init();
}

struct StoryLayer {
    story: Arc<Story>,
}

impl<S: Subscriber> Layer<S> for StoryLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = StoryFields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        let number = fields
            .message_id
            .as_deref()
            .and_then(|id| self.story.by_message_id(id))
            .or_else(|| fields.digest.as_deref().and_then(|digest| self.story.by_digest(digest)));
        let label = match (&*logger(event.metadata().target()), level) {
            // `listening at memory` does not help a reader of the demo.
            ("osnl::listener" | "osnl::listener::announce", Level::INFO) => return,
            ("osnl::endpoint", Level::DEBUG) => "no match",
            ("osnl::quarantine", Level::ERROR) if fields.reason.is_some() => "unreadable",
            ("osnl::delivery" | "osnl::delivery::outcomes", Level::INFO) if number.is_some() => "done",
            ("osnl::delivery" | "osnl::delivery::outcomes", Level::WARN) => "retry",
            ("osnl::delivery" | "osnl::delivery::outcomes", Level::DEBUG) => "down",
            (_, Level::DEBUG | Level::TRACE) => return,
            (_, Level::INFO) => "note",
            (_, Level::WARN) => "warning",
            (_, Level::ERROR) => "error",
        };
        let tone = match level {
            Level::ERROR => Tone::Bad,
            Level::WARN => Tone::Strong,
            Level::INFO => Tone::Good,
            Level::DEBUG | Level::TRACE => Tone::Plain,
        };
        self.story.line(number, label, tone, &fields.sentence());
        if let Some(number) = number {
            self.story.note_evaluated(number);
        }
    }
}

#[derive(Default)]
struct StoryFields {
    message: String,
    message_id: Option<String>,
    digest: Option<String>,
    reason: Option<String>,
    speaker: Option<String>,
    done: Option<String>,
    error: Option<String>,
    pause: Option<String>,
}

impl StoryFields {
    fn sentence(&self) -> String {
        if let Some(done) = &self.done {
            return format!("{} {done}", self.message);
        }
        if let (Some(error), Some(pause)) = (&self.error, &self.pause) {
            return format!("{error}; next attempt in {pause}");
        }
        let mut sentence = match &self.speaker {
            Some(speaker) => format!("{speaker}: {}", self.message),
            None => self.message.clone(),
        };
        for (name, value) in [("", &self.reason), ("digest ", &self.digest)] {
            if let Some(value) = value {
                sentence += &format!("; {name}{value}");
            }
        }
        sentence
    }

    fn take(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            "message.id" => self.message_id = Some(value),
            "message.digest" => self.digest = Some(value),
            "done" => self.done = Some(value),
            "error" => self.error = Some(value),
            "next_attempt_in" => self.pause = Some(value),
            "reason" => self.reason = Some(value),
            "listener.name" | "rule.name" => self.speaker = Some(value),
            _ => {}
        }
    }
}

impl Visit for StoryFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }
}
