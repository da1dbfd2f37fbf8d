//! The destinations of notifications, by the names of oslo.messaging's `[oslo_messaging_notifications]
//! driver`.

use std::str::FromStr;

use osnl_model::{Emission, Framing, Priority, mask_secrets, parse_python_json, to_python_json};
use tracing::Level;

use crate::Recorder;

/// A destination of a notifier's notifications.
#[derive(Clone, Debug)]
pub enum Driver {
    /// Sends to the broker, without envelope.
    Messaging,
    /// Sends to the broker, in the envelope 2.0, as services do today.
    MessagingV2,
    /// Logs with target `osnl_notify::notification` and masked secrets, at the priority's level, where
    /// `audit` and `sample` are info (oslo.messaging does not log these two) and `critical` is error.
    Log,
    /// Discards each notification without a trace.
    Noop,
    /// Records notifications in memory, for tests.
    Test(Recorder),
}

impl Driver {
    /// Returns the framing of messages to the broker; `None` if the driver sends none.
    pub(super) fn framing(&self) -> Option<Framing> {
        match self {
            Self::Messaging => Some(Framing::Bare),
            Self::MessagingV2 => Some(Framing::Envelope),
            Self::Log | Self::Noop | Self::Test(_) => None,
        }
    }

    pub(super) fn record(&self, emission: &Emission) {
        match self {
            Self::Log => log(emission),
            Self::Test(recorder) => recorder.push(emission.clone()),
            Self::Messaging | Self::MessagingV2 | Self::Noop => {}
        }
    }
}

impl FromStr for Driver {
    type Err = String;

    /// Reads oslo.messaging's names except `routing`, which has no counterpart.
    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "messaging" => Ok(Self::Messaging),
            "messagingv2" => Ok(Self::MessagingV2),
            "log" => Ok(Self::Log),
            "noop" => Ok(Self::Noop),
            "test" => Ok(Self::Test(Recorder::default())),
            other => Err(format!(
                "unknown driver \"{other}\"; allowed are messaging, messagingv2, log, noop and test"
            )),
        }
    }
}

fn log(emission: &Emission) {
    macro_rules! at {
        ($level:expr) => {
            if tracing::enabled!(target: "osnl_notify::notification", $level) {
                tracing::event!(target: "osnl_notify::notification", $level, "{}", shown(emission));
            }
        };
    }
    match emission.priority.as_ref().unwrap_or(&Priority::Info) {
        Priority::Debug => at!(Level::DEBUG),
        Priority::Audit | Priority::Info | Priority::Sample | Priority::Other(_) => at!(Level::INFO),
        Priority::Warn => at!(Level::WARN),
        Priority::Error | Priority::Critical => at!(Level::ERROR),
    }
}

fn shown(emission: &Emission) -> String {
    let whole = to_python_json(emission).and_then(|text| parse_python_json(&text));
    whole.map(|value| mask_secrets(&value).to_string()).unwrap_or_default()
}
