//! Log lines with their fields for the journal of systemd, by its native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>): one datagram a line. `delivery.id` becomes `OSNL_DELIVERY_ID`, so that
//! `journalctl OSNL_DELIVERY_ID=17.0` finds what happened to a delivery.
//!
//! Logging never waits: a line that the journal does not take at once, or that is too long for a datagram, goes to
//! standard error as without this.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use osnl_model::one_line;
use tracing::{Event, Level};

use super::json::Values;
use super::line::name_of;

/// The socket at which the journal takes datagrams.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// A connection to the journal.
pub(super) struct Journald(UnixDatagram);

impl Journald {
    /// Connects; `None` where there is no journal.
    pub(super) fn connect(socket: &Path) -> Option<Self> {
        let datagrams = UnixDatagram::unbound().ok()?;
        datagrams.connect(socket).ok()?;
        datagrams.set_nonblocking(true).ok()?;
        Some(Self(datagrams))
    }

    /// Whether the journal has taken the line.
    pub(super) fn send(&self, event: &Event<'_>) -> bool {
        self.0.send(&datagram(event)).is_ok()
    }
}

fn datagram(event: &Event<'_>) -> Vec<u8> {
    let priority = match *event.metadata().level() {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    };
    let values = Values::of(event);
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut message = values.message.clone();
    let mut fields = String::new();
    for (name, value) in &values.fields {
        let value = text(value);
        message.push_str(&format!(" {name}={value}"));
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        fields.push_str(&format!("OSNL_{name}={}\n", one_line(&value)));
    }
    let mut all = format!(
        "PRIORITY={priority}\nSYSLOG_IDENTIFIER=osnl\nOSNL_TARGET={}\nMESSAGE={}\n",
        name_of(event.metadata().target()),
        one_line(&message)
    );
    if let Some(line) = event.metadata().line() {
        all.push_str(&format!("CODE_LINE={line}\n"));
    }
    (all + &fields).into_bytes()
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    struct To(Journald);

    impl<S: tracing::Subscriber> Layer<S> for To {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.send(event);
        }
    }

    #[test]
    fn the_journal_gets_fields_and_no_line_of_a_value_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert!(Journald::connect(&path).is_none());
        let journal = UnixDatagram::bind(&path).unwrap();
        let subscriber = tracing_subscriber::registry().with(To(Journald::connect(&path).unwrap()));
        tracing::subscriber::with_default(subscriber, || {
            let reason = "two\nMESSAGE=lines";
            tracing::warn!(target: "osnl::delivery", { delivery.id = %"17.0", attempt = 2, former = "old", reason }, "attempt failed");
        });
        let mut bytes = [0; 4096];
        let read = journal.recv(&mut bytes).unwrap();
        let text = std::str::from_utf8(&bytes[..read]).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("CODE_LINE=")).collect();
        assert_eq!(
            lines,
            [
                "PRIORITY=4",
                "SYSLOG_IDENTIFIER=osnl",
                "OSNL_TARGET=osnl.delivery",
                "MESSAGE=attempt failed attempt=2 delivery.id=17.0 reason=two\\nMESSAGE=lines",
                "OSNL_ATTEMPT=2",
                "OSNL_DELIVERY_ID=17.0",
                "OSNL_REASON=two\\nMESSAGE=lines",
            ]
        );
    }
}
