//! Parsed strictly, so that an event cannot add headers or further addresses to `Operations <ops@example.com>`.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MailAddress {
    pub(super) name: Option<String>,
    pub(super) address: String,
}

/// The longest path of RFC 5321, 4.5.3.1.3, with its brackets.
const LONGEST: usize = 254;

impl MailAddress {
    /// Parses one address. Quoted local parts, comments and groups are refused: they are unused in
    /// practice and can hide an address.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.contains(char::is_control) {
            return None;
        }
        let (name, address) = match text.split_once('<') {
            Some((name, rest)) => (name.trim().trim_matches('"').trim(), rest.strip_suffix('>')?),
            None => ("", text),
        };
        let (local, domain) = address.rsplit_once('@')?;
        // Atoms of RFC 5322 and, for SMTPUTF8, all non-ASCII characters.
        let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c) || !c.is_ascii();
        let in_domain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c) || !c.is_ascii();
        let fine = address.len() <= LONGEST
            && !local.is_empty()
            && !domain.is_empty()
            && local.chars().all(|c| atom(c) && !c.is_control() && !c.is_whitespace())
            && domain.chars().all(|c| in_domain(c) && !c.is_control() && !c.is_whitespace())
            && !name.chars().any(|c| c.is_control() || "<>,;@\"\\".contains(c));
        fine.then(|| Self { name: (!name.is_empty()).then(|| name.to_owned()), address: address.to_owned() })
    }

    pub(super) fn is_international(&self) -> bool {
        !self.address.is_ascii()
    }
}

pub(super) fn split(text: &str) -> Vec<&str> {
    let (mut items, mut begin, mut depth) = (Vec::new(), 0, 0_usize);
    let bytes = text.as_bytes();
    for at in 0..bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'{', Some(b'{' | b'%')) => depth += 1,
            (b'}' | b'%', Some(b'}')) => depth = depth.saturating_sub(1),
            (b',', _) if depth == 0 => {
                items.push(text[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    items.push(text[begin..].trim());
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_address() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let found = MailAddress::parse(text);
            let found = found.as_ref().map(|a| (a.name.as_deref().unwrap_or(""), a.address.as_str()));
            assert_eq!(found, expected, "{text:?}");
        };
        check("ops@example.com", Some(("", "ops@example.com")));
        check(" Ops Team <ops+osnl@example.com> ", Some(("Ops Team", "ops+osnl@example.com")));
        check("\"Ops\" <ops@example.com>", Some(("Ops", "ops@example.com")));
        check("用户@例え.jp", Some(("", "用户@例え.jp")));
        for wrong in [
            "",
            "ops",
            "@example.com",
            "ops@",
            "a@b, c@d",
            "a@b\r\nBcc: x@y",
            "a b@c",
            "a@b c",
            "x\n<a@b>",
            "Evil, <a@b>",
            "<a@b> <c@d>",
            "\"a b\"@c",
            "a@b\u{85}c",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn commas_in_templates_separate_nothing() {
        assert_eq!(split("a@b, {{ x|default('c,d') }}@e ,f@g"), ["a@b", "{{ x|default('c,d') }}@e", "f@g"]);
    }
}
