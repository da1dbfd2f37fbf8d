//! `osnl demo --scenario oss`: a server and its floating IP, as stock services tell of them, and what oss_watcher's
//! target hears.
//!
//! Real are the file (the document's own example), the listener, the rule, what is remembered, and the action `oss_rest`
//! with its HTTP client. Broker and target stand inside the process. Each message waits for the one before.

mod target;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use osnl::action::http::HttpOptions;
use osnl::listener::ListenerState;
use osnl::metrics::Counters;
use osnl::shutdown::Shutdown;
use osnl_config::Environment;
use osnl_model::{Priority, read_head};
use osnl_oss::conf::Conf;
use osnl_transport::{Declare, MemoryBroker, Properties};
use serde_json::Value;

use self::target::DemoTarget;
use super::args::DemoArgs;
use super::folder::PrivateFolder;
use super::story::Story;
use super::voice::{DemoVoice, Tone};
use crate::exit::Exit;
use crate::flags::OutputFormat;

const FILE: &str = include_str!("../../../fixtures/oss/document.conf");
const STEPS: &str = include_str!("../../../fixtures/demo/oss.json");
/// Nothing moves for so long: something is wrong.
const DEADLINE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(5);

/// A recorded message.
struct RecordedStep {
    note: String,
    exchange: String,
    routing_key: String,
    body: String,
}

pub(super) async fn tell(args: &DemoArgs) -> anyhow::Result<Exit> {
    let voice = match args.format {
        OutputFormat::Json => DemoVoice::Json { since: Instant::now() },
        OutputFormat::Text => DemoVoice::Plain { colour: crate::terminal::coloured() },
    };
    let story = Arc::new(Story::new(voice));
    let target = DemoTarget::start(args.fail, story.clone()).await?;
    story.heading("oss_watcher: the addresses of instances");
    story.text(&format!(
        "The example file of oss_watcher's document; the target, at {}, and the broker are stand-ins.",
        target.url()
    ));
    // There is no cloud to ask, and events tell enough.
    let file = FILE.split("[openstack]").next().unwrap_or(FILE);
    let text =
        file.replace("https://some_host\nport=80", &format!("http://127.0.0.1\nport={}", target.port()));
    let loaded = Conf::from_texts(&[("oss.conf".to_owned(), text)], &Environment::default())?;
    let mut native = loaded.native.conf;
    // As root, the folder of the service would be used.
    let folder = PrivateFolder::new().context("the demo has no folder of its own")?;
    native.state_dir = Some(folder.path().to_owned());
    // Nobody else makes the queue here.
    for listener in &mut native.listeners {
        listener.exchanges = vec!["nova".to_owned(), "neutron".to_owned()];
        listener.topics = vec!["monitoring".to_owned()];
        listener.priorities = vec![Priority::Info];
        listener.declare = Declare::Create;
    }
    for action in &mut native.actions {
        action.delivery.policy.initial = Duration::from_millis(100);
    }
    let broker = MemoryBroker::new();
    let counters = Arc::new(Counters::default());
    let transports = |_: &_| Ok(Arc::new(broker.transport()) as Arc<_>);
    let daemon = native.daemon_with(&transports, &HttpOptions::default(), &counters)?;
    let mut listening = daemon.listeners.first().context("the file has no listener")?.state();
    let shutdown = Shutdown::new();
    let playing = async {
        let _ = listening.wait_for(|state| *state == ListenerState::Listening).await;
        let played = play(&broker, &counters, &story).await;
        shutdown.drain.cancel();
        played
    };
    let (ended, played) = tokio::join!(daemon.run(&shutdown, DEADLINE), playing);
    ended.context("the listener could not go on")?;
    let all = played?;
    let held = target.held();
    story.heading("Summary");
    story.text(&format!(
        "{} requests delivered; {} attempts failed, all retried and delivered.",
        target.answered(),
        target.failed()
    ));
    let ok = all && held.is_empty();
    let (tone, verdict) = match ok {
        true => {
            (Tone::Good, "The target received each address and its release. Nothing was lost.".to_owned())
        }
        false => (Tone::Bad, format!("The target still holds {held:?}.")),
    };
    story.line(None, "end", tone, &verdict);
    Ok(if ok { Exit::Done } else { Exit::Failed })
}

/// Answers whether everything was told in time.
async fn play(broker: &MemoryBroker, counters: &Counters, story: &Story) -> anyhow::Result<bool> {
    for (number, step) in (1..).zip(steps()?) {
        let head = read_head(step.body.as_bytes())?;
        let event_type = head.event_type.as_deref().unwrap_or_default();
        story.line(
            Some(number),
            "published",
            Tone::Strong,
            &format!("{event_type}, to exchange {}", step.exchange),
        );
        story.line(Some(number), "is", Tone::Dim, &step.note);
        let before = counters.delivered.get();
        let key = step
            .routing_key
            .replace("notifications", "monitoring")
            .replace("versioned_monitoring", "monitoring");
        broker.publish_raw(&step.exchange, &key, step.body.into(), Properties::default());
        let ended = || counters.delivered.get() + counters.nothing_to_do.get() + counters.dead.get();
        let since = Instant::now();
        while ended() < number as u64 {
            if since.elapsed() > DEADLINE {
                return Ok(false);
            }
            tokio::time::sleep(SOON).await;
        }
        if counters.delivered.get() == before {
            story.line(Some(number), "done", Tone::Dim, "no request is needed; osnl remembers it");
        }
    }
    Ok(counters.dead.get() == 0)
}

fn steps() -> anyhow::Result<Vec<RecordedStep>> {
    let whole: Value = serde_json::from_str(STEPS).context("the recording is not JSON")?;
    let steps = whole["steps"].as_array().context("the recording lacks steps")?;
    let text = |step: &Value, key: &str| {
        step[key].as_str().map(str::to_owned).with_context(|| format!("the recording lacks {key}"))
    };
    let step = |step: &Value| {
        Ok(RecordedStep {
            note: text(step, "note")?,
            exchange: text(step, "exchange")?,
            routing_key: text(step, "routing_key")?,
            body: text(step, "body_text")?,
        })
    };
    steps.iter().map(step).collect()
}
