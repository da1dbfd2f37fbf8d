//! Log lines with their fields for the journal of systemd, by its native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>): one datagram a line. `delivery.id` becomes
//! `OSNL_DELIVERY_ID`, so that `journalctl OSNL_DELIVERY_ID=17.0` finds the lines of a delivery.
//!
//! Line ends and control characters of a value are escaped, as on standard error. So no value needs the protocol's
//! length-prefixed form, or acts on a terminal.
//!
//! Logging never waits. A sealed file in memory carries a line too long for a datagram. A line that
//! the journal does not accept at once is written to standard error.
//!
//! tracing-journald 0.3 sends on a blocking socket, so a hung journal would stop the daemon, and
//! loses a refused line.

use std::fs::File;
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use osnl_model::one_line;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tracing::{Event, Level};

use super::json::LogValues;
use super::line::name_of;

pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

pub(super) struct Journald(UnixDatagram);

impl Journald {
    pub(super) fn connect(socket: &Path) -> Option<Self> {
        let datagrams = UnixDatagram::unbound().ok()?;
        datagrams.connect(socket).ok()?;
        datagrams.set_nonblocking(true).ok()?;
        Some(Self(datagrams))
    }

    pub(super) fn send(&self, event: &Event<'_>) -> bool {
        let datagram = datagram(event);
        match self.0.send(&datagram) {
            Ok(_) => true,
            Err(error) if is_too_long(&error) => self.send_file(&datagram).is_ok(),
            Err(_) => false,
        }
    }

    /// Passes a file with a datagram too long for the socket. The journal reads only sealed files.
    fn send_file(&self, datagram: &[u8]) -> io::Result<()> {
        let mut file = File::from(memfd_create("osnl-log", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        file.write_all(datagram)?;
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        fcntl_add_seals(&file, seals)?;
        let descriptors = [file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        sendmsg(&self.0, &[], &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

fn is_too_long(error: &io::Error) -> bool {
    [Errno::MSGSIZE, Errno::NOBUFS].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn datagram(event: &Event<'_>) -> Vec<u8> {
    let priority = match *event.metadata().level() {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    };
    let values = LogValues::from_event(event);
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
    use std::io::{Read as _, Seek as _};
    use std::sync::{Arc, Mutex};

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    struct JournaldLayer(Journald);

    impl<S: tracing::Subscriber> Layer<S> for JournaldLayer {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.send(event);
        }
    }

    fn received_file(journal: &UnixDatagram) -> (String, bool) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message = recvmsg(journal, &mut [], &mut control, RecvFlags::empty()).unwrap();
        assert_eq!(message.bytes, 0);
        let descriptor = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        let mut file = File::from(descriptor.unwrap());
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        (text, file.write(b"x").is_ok())
    }

    /// A single value is cut, so only several long values exceed a datagram.
    #[test]
    fn a_line_that_is_too_long_is_handed_over_as_a_file_and_a_full_socket_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let sender = Arc::new(Journald::connect(&path).unwrap());
        let sent = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::registry().with(SendLog(sender.clone(), sent.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let [a, b, c, d, e, f, g, h] = ["x"; 8].map(|x| x.repeat(1 << 20));
            tracing::warn!(a, b, c, d, e, f, g, h, last = "name\nPRIORITY=0", "long");
            let (text, is_writable) = received_file(&journal);
            assert!(text.len() > 212_992 && text.len() < 1 << 20, "{}", text.len());
            assert!(text.ends_with("OSNL_LAST=name\\nPRIORITY=0\n") && !is_writable);
            let field = text.lines().find(|line| line.starts_with("OSNL_H=")).unwrap();
            assert!(field.ends_with("xx… (1048576 bytes)") && field.len() < 17_000, "{}", field.len());
            assert_eq!(text.matches("\nPRIORITY=").count(), 0);
            // Nothing reads the journal's socket, so further lines must be written to standard
            // error.
            while sent.lock().unwrap().iter().all(|sent| *sent) {
                tracing::warn!("short");
            }
            drop(journal);
            tracing::warn!("to a journal that is gone");
        });
        let sent = sent.lock().unwrap();
        assert_eq!(sent.last_chunk(), Some(&[false, false]));
    }

    struct SendLog(Arc<Journald>, Arc<Mutex<Vec<bool>>>);

    impl<S: tracing::Subscriber> Layer<S> for SendLog {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let taken = self.0.send(event);
            self.1.lock().unwrap().push(taken);
        }
    }

    #[test]
    fn the_journal_gets_fields_and_no_line_of_a_value_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert!(Journald::connect(&path).is_none());
        let journal = UnixDatagram::bind(&path).unwrap();
        let subscriber =
            tracing_subscriber::registry().with(JournaldLayer(Journald::connect(&path).unwrap()));
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
