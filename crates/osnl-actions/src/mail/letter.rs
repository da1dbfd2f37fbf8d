//! Each header is one line, even if a template renders several. Names and subjects that are not
//! ASCII become encoded words; texts are quoted-printable or base64.

use std::fmt::Write as _;

use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Header;
use mail_builder::headers::raw::Raw;
use osnl_config::template::{Names, Template};
use osnl_core::misfit::Misfit;
use osnl_model::{BodyDigest, mask_text};

use super::address::MailAddress;

const LONGEST_SUBJECT: usize = 250;

#[derive(Clone, Debug)]
pub(super) struct MailWriter {
    pub(super) from: MailAddress,
    pub(super) to: Vec<Template>,
    pub(super) subject: Template,
    pub(super) digest_subject: Template,
    pub(super) body: Template,
    pub(super) html: Option<Template>,
    pub(super) host: String,
}

#[derive(Debug)]
pub(super) struct LetterPart {
    to: Vec<MailAddress>,
    names: Names,
    subject: String,
    text: String,
    html: Option<String>,
    key: String,
}

impl LetterPart {
    pub(super) fn recipients(&self) -> impl Iterator<Item = &str> {
        self.to.iter().map(|to| to.address.as_str())
    }

    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

#[derive(Debug)]
pub(super) struct Letter {
    pub(super) from: MailAddress,
    pub(super) to: Vec<MailAddress>,
    pub(super) shown_subject: String,
    pub(super) bytes: Vec<u8>,
}

impl MailWriter {
    pub(super) fn part(&self, names: &Names, key: &str) -> Result<LetterPart, Misfit> {
        let text = |option: &str, template: &Template| {
            template.render(names).map_err(|error| Misfit::in_option(option, error))
        };
        let address = |template: &Template| {
            let made = text("to", template)?;
            // In a preview, the address may contain a placeholder for an unknown answer.
            let unknown = names.unknown().next().is_some() && made.contains('<');
            let open = unknown.then(|| MailAddress { name: None, address: made.clone() });
            open.or_else(|| MailAddress::parse(&made))
                .ok_or_else(|| Misfit::in_option("to", "the rendered template is not one mail address"))
        };
        Ok(LetterPart {
            to: self.to.iter().map(address).collect::<Result<_, _>>()?,
            subject: header(&text("subject", &self.subject)?),
            text: text("body", &self.body)?,
            html: self.html.as_ref().map(|html| text("html", html)).transpose()?,
            names: names.clone(),
            key: key.to_owned(),
        })
    }

    pub(super) fn letter(&self, parts: &[&LetterPart]) -> Option<Result<Letter, Misfit>> {
        let first = parts.first()?;
        let subject = |names: &Names| match parts.len() {
            1 => self.subject.render(names).map_err(|error| Misfit::in_option("subject", error)),
            several => self
                .digest_subject
                .render(&names.clone().with("count", several))
                .map_err(|error| Misfit::in_option("digest_subject", error)),
        };
        let masked = first.names.about(first.names.notification().masked());
        let shown =
            subject(&masked).map_or_else(|_| "***".to_owned(), |shown| mask_text(&shown).into_owned());
        let made = |subject: String| self.made(parts, &first.to, header(&subject), header(&shown));
        Some(subject(&first.names).and_then(made))
    }

    fn made(
        &self,
        parts: &[&LetterPart],
        to: &[MailAddress],
        subject: String,
        shown_subject: String,
    ) -> Result<Letter, Misfit> {
        let mut ids = String::new();
        parts.iter().for_each(|part| ids.push_str(&part.key));
        let mut id = String::new();
        for byte in &BodyDigest::new(ids.as_bytes()).as_bytes()[..16] {
            let _ = write!(id, "{byte:02x}");
        }
        let texts: Vec<String> = parts.iter().map(|part| with_line_ends(&part.text)).collect();
        let message = MessageBuilder::new()
            .from(shown(&self.from))
            .to(Header::new_list(to.iter().map(shown).collect()))
            .subject(subject)
            .message_id(format!("{id}@{}", self.host))
            // RFC 3834: automatic answers are suppressed.
            .header("Auto-Submitted", Raw::new("auto-generated"))
            .text_body(texts.join("\n-- \n\n"));
        let html: Option<Vec<&str>> = parts.iter().map(|part| part.html.as_deref()).collect();
        let message = match html {
            Some(html) => message.html_body(html.join("\n<hr>\n")),
            None => message,
        };
        let bytes = message.write_to_vec().map_err(Misfit::other)?;
        Ok(Letter { from: self.from.clone(), to: to.to_vec(), shown_subject, bytes })
    }
}

fn shown(address: &MailAddress) -> Header<'_> {
    Header::new_address(address.name.as_deref(), address.address.as_str())
}

fn header(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.trim().chars().take(LONGEST_SUBJECT).collect()
}

fn with_line_ends(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use osnl_model::Notification;

    use super::*;

    fn writer() -> MailWriter {
        let template = |text: &str| Template::compile(text, &["count", "action"]).unwrap();
        MailWriter {
            from: MailAddress::parse("Überwachung <osnl@example.com>").unwrap(),
            to: vec![template("ops@example.com"), template("{{ payload.mail }}")],
            subject: template("{{ payload.name }}"),
            digest_subject: template("{{ count }} events"),
            body: template("Server {{ payload.name }}"),
            html: None,
            host: "node1".to_owned(),
        }
    }

    fn part(mail: &str, name: &str) -> Result<LetterPart, Misfit> {
        let payload = serde_json::json!({"mail": mail, "name": name});
        writer().part(&Names::from(Notification { payload, ..Notification::default() }), "m1/a")
    }

    #[test]
    fn a_log_line_has_the_subject_without_the_secrets_of_the_event() {
        let check = |subject: &str, name: &str, expected: &str, shown: &str| {
            let subject = Template::compile(subject, &["count"]).unwrap();
            let writer = MailWriter { digest_subject: subject.clone(), subject, ..writer() };
            let payload = serde_json::json!({"mail": "a@example.com", "name": name, "adminPass": "S3CRET"});
            let names = Names::from(Notification { payload, ..Notification::default() });
            let part = writer.part(&names, "m1/a").unwrap();
            for parts in [vec![&part], vec![&part, &part]] {
                let letter = writer.letter(&parts).unwrap().unwrap();
                assert_eq!(letter.shown_subject, shown);
                let text = String::from_utf8(letter.bytes).unwrap();
                assert!(text.contains(&format!("Subject: {expected}\r\n")), "{text}");
            }
        };
        check("of {{ payload.name }}", "web1", "of web1", "of web1");
        check("of {{ payload.name }}", "password=S3CRET", "of password=S3CRET", "of password=***");
        check("of {{ payload.adminPass }}", "web1", "of S3CRET", "of ***");
        check("password={{ payload.name }}", "S3CRET", "password=S3CRET", "password=***");
    }

    fn letter(parts: &[&LetterPart]) -> (Vec<String>, String) {
        let letter = writer().letter(parts).unwrap().unwrap();
        let text = String::from_utf8(letter.bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        (head.split("\r\n").map(str::to_owned).collect(), body.to_owned())
    }

    #[test]
    fn nothing_in_an_event_adds_a_header_or_a_recipient() {
        for evil in ["x@y, z@w", "x@y\r\nBcc: z@w", "x@y> <z@w", "", "x@y\nfoo"] {
            let why = part(evil, "vm").unwrap_err().to_string();
            assert_eq!(why, "to: the rendered template is not one mail address", "{evil:?}");
        }
        let part = part("x@y", "vm\r\nBcc: z@w\r\n\r\nbody").unwrap();
        let (head, body) = letter(&[&part]);
        let names: Vec<&str> = head.iter().filter_map(|line| line.split(':').next()).collect();
        assert!(!names.contains(&"Bcc") && names.iter().filter(|name| **name == "Subject").count() == 1);
        assert!(head.contains(&"Subject: vm  Bcc: z@w    body".to_owned()), "{head:?}");
        assert!(body.starts_with("Server vm"), "{body}");
        assert!(head.iter().any(|line| line.starts_with("Auto-Submitted: auto-generated")));
    }

    #[test]
    fn what_is_not_ascii_travels_as_ascii() {
        let part = part("x@y", "Größe 仮想 😀").unwrap();
        let letter = writer().letter(&[&part]).unwrap().unwrap();
        assert!(letter.bytes.is_ascii());
        let text = String::from_utf8(letter.bytes).unwrap();
        assert!(text.contains("Subject: =?utf-8?"), "{text}");
        assert!(text.contains("From: \"=?utf-8?") || text.contains("From: =?utf-8?"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 998));
    }

    #[test]
    fn a_digest_has_all_texts_and_the_same_id_each_time() {
        let (one, two) = (part("x@y", "one").unwrap(), part("x@y", "two").unwrap());
        let (head, body) = letter(&[&one, &two]);
        assert!(head.contains(&"Subject: 2 events".to_owned()), "{head:?}");
        assert!(body.contains("Server one") && body.contains("Server two"), "{body}");
        let id = |head: &[String]| head.iter().find(|line| line.starts_with("Message-ID:")).cloned();
        assert_eq!(id(&head), id(&letter(&[&one, &two]).0));
        assert_ne!(id(&head), id(&letter(&[&one]).0));
    }
}
