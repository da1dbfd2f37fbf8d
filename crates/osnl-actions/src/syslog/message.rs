//! An event as a message of RFC 5424, or of RFC 3164 as syslog(3) and old collectors expect it.
//!
//! ```text
//! <134>1 2026-11-20T06:36:22.662155Z node1 osnl 4711 port.delete.end [osnl@32473 message_id="..." ...] text
//! <134>Nov 20 06:36:22 node1 osnl[4711]: text
//! ```
//!
//! Text of an event cannot end a field. Names are cut to the RFC's characters and lengths; values
//! of structured data and control characters of the text are escaped.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use osnl_model::{Notification, Priority, cut};

const HOSTNAME: usize = 255;
const APP_NAME: usize = 48;
const MSGID: usize = 32;
const VALUE: usize = 256;

#[derive(Clone, Debug)]
pub(super) enum SyslogForm {
    Rfc5424,
    /// The old form; a log on the same machine expects no host in it.
    Rfc3164 {
        with_host: bool,
        zone: TimeZone,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) form: SyslogForm,
    pub(super) facility: u8,
    pub(super) severity: Option<u8>,
    pub(super) hostname: String,
    pub(super) app_name: String,
    pub(super) process: u32,
    pub(super) sd_id: Option<String>,
    pub(super) longest: usize,
}

impl Header {
    pub(super) fn message(&self, event: &Notification, received: SystemTime, text: &str) -> String {
        let severity = self.severity.unwrap_or_else(|| severity(event.priority.as_ref()));
        let priority = u16::from(self.facility) * 8 + u16::from(severity);
        let (host, app, process) =
            (name(&self.hostname, HOSTNAME), name(&self.app_name, APP_NAME), self.process);
        let time = Timestamp::try_from(received);
        let mut message = match &self.form {
            SyslogForm::Rfc5424 => {
                let time = time.map(|time| time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string());
                let time = time.unwrap_or_else(|_| "-".to_owned());
                let kind = name(event.event_type.as_deref().unwrap_or_default(), MSGID);
                let data = self.sd_id.as_ref().map_or("-".to_owned(), |id| structured(id, event));
                format!("<{priority}>1 {time} {host} {app} {process} {kind} {data}")
            }
            SyslogForm::Rfc3164 { with_host, zone } => {
                let time = time.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone());
                let time = time.strftime("%b %e %H:%M:%S");
                let host = if *with_host { format!("{host} ") } else { String::new() };
                // A tag ends at its first bracket, so it contains none.
                let app = app.replace(['[', ']', ':'], "_");
                format!("<{priority}>{time} {host}{app}[{process}]:")
            }
        };
        let text = text.trim_end();
        if !text.is_empty() {
            message.push(' ');
            for c in text.chars() {
                match osnl_model::is_dangerous(c) {
                    true => message.extend(c.escape_default()),
                    false => message.push(c),
                }
            }
        }
        if message.len() > self.longest {
            message.truncate(message.floor_char_boundary(self.longest.saturating_sub(3)));
            message.push_str("...");
        }
        message
    }
}

/// Maps priorities to severities (RFC 5424, 6.2.1): audit and samples are neither warnings nor
/// plain information.
fn severity(priority: Option<&Priority>) -> u8 {
    match priority {
        Some(Priority::Critical) => 2,
        Some(Priority::Error) => 3,
        Some(Priority::Warn) => 4,
        Some(Priority::Audit) => 5,
        Some(Priority::Debug) => 7,
        Some(Priority::Info | Priority::Sample | Priority::Other(_)) | None => 6,
    }
}

fn name(text: &str, longest: usize) -> String {
    let name: String =
        text.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(longest).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

fn structured(id: &str, event: &Notification) -> String {
    let mut data = format!("[{id}");
    let priority = event.priority.as_ref().map(Priority::as_str);
    let values = [
        ("event_type", event.event_type.as_deref()),
        ("message_id", event.message_id.as_deref()),
        ("publisher_id", event.publisher_id.as_deref()),
        ("priority", priority),
    ];
    for (name, value) in values {
        let Some(value) = value else { continue };
        data.push_str(&format!(" {name}=\""));
        for c in cut(value, VALUE).chars() {
            match c {
                '"' | '\\' | ']' => data.extend(['\\', c]),
                c if osnl_model::is_dangerous(c) => data.push('_'),
                c => data.push(c),
            }
        }
        data.push('"');
    }
    data.push(']');
    data
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn header() -> Header {
        Header {
            form: SyslogForm::Rfc5424,
            facility: 16,
            severity: None,
            hostname: "node1".to_owned(),
            app_name: "osnl".to_owned(),
            process: 4711,
            sd_id: Some("osnl@32473".to_owned()),
            longest: 200,
        }
    }

    fn event(event_type: &str, priority: Priority) -> Notification {
        Notification {
            event_type: Some(event_type.to_owned()),
            message_id: Some("m1".to_owned()),
            priority: Some(priority),
            ..Notification::default()
        }
    }

    #[test]
    fn a_message_is_as_the_rfc_has_it() {
        let received = UNIX_EPOCH + Duration::from_micros(1_795_156_582_662_155);
        let message = header().message(&event("port.delete.end", Priority::Info), received, "gone: Öl\n");
        assert_eq!(
            message,
            "<134>1 2026-11-20T06:36:22.662155Z node1 osnl 4711 port.delete.end [osnl@32473 \
             event_type=\"port.delete.end\" message_id=\"m1\" priority=\"info\"] gone: Öl"
        );
        let turned = header().message(&event("x\u{202e}y", Priority::Info), received, "a\u{202e}b\u{1b}");
        assert!(
            turned.is_ascii()
                && turned.contains("event_type=\"x_y\"")
                && turned.ends_with("a\\u{202e}b\\u{1b}"),
            "{turned}"
        );
        let bare = Header { sd_id: None, severity: Some(7), facility: 23, ..header() };
        let message = bare.message(&Notification::default(), UNIX_EPOCH, "");
        assert_eq!(message, "<191>1 1970-01-01T00:00:00.000000Z node1 osnl 4711 - -");
    }

    #[test]
    fn the_old_form_is_that_of_syslog_3_to_a_socket_and_has_the_host_elsewhere() {
        let received = UNIX_EPOCH + Duration::from_secs(1_795_156_582);
        let zone = TimeZone::fixed(jiff::tz::offset(9));
        let old = |with_host| Header {
            form: SyslogForm::Rfc3164 { with_host, zone: zone.clone() },
            app_name: "os[nl".to_owned(),
            ..header()
        };
        let event = event("port.delete.end", Priority::Error);
        let message = old(false).message(&event, received, "gone\nforged");
        assert_eq!(message, "<131>Nov 20 15:36:22 os_nl[4711]: gone\\nforged");
        let message = old(true).message(&event, received - Duration::from_secs(15 * 86_400), "");
        assert_eq!(message, "<131>Nov  5 15:36:22 node1 os_nl[4711]:");
    }

    #[test]
    fn nothing_in_an_event_ends_a_field_or_a_message() {
        let odd = event("a b\n<11>]\"\\", Priority::Error);
        let message = header().message(&odd, UNIX_EPOCH, "one\n<11>1 two\u{0}");
        assert_eq!(
            message,
            "<131>1 1970-01-01T00:00:00.000000Z node1 osnl 4711 a_b_<11>]\"\\ [osnl@32473 \
             event_type=\"a b_<11>\\]\\\"\\\\\" message_id=\"m1\" priority=\"error\"] one\\n<11>1 two\\u{0}"
        );
        let long = header().message(&odd, UNIX_EPOCH, &"ü".repeat(200));
        assert!(long.len() <= 200 && long.ends_with("ü..."), "{long}");
        let name = event(&"x".repeat(40), Priority::Other("odd".to_owned()));
        assert!(header().message(&name, UNIX_EPOCH, "").contains(&format!(" {} [", "x".repeat(32))));
    }
}
