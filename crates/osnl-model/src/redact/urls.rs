use std::borrow::Cow;

use super::MASK;

/// Replaces the password in each `scheme://user:password@` by `***`, for messages of osnl itself,
/// where a name before a colon is no secret. [`mask_text`](super::mask_text) hides more.
#[must_use]
pub fn mask_url_passwords(text: &str) -> Cow<'_, str> {
    if !text.contains("://") || !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        masked.push_str(before);
        let end =
            after.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'')).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        for (index, host) in authority.split(',').enumerate() {
            if index > 0 {
                masked.push(',');
            }
            match host.rsplit_once('@').and_then(|(info, host)| Some((info.split_once(':')?.0, host))) {
                Some((user, host)) => masked.extend([user, ":", MASK, "@", host]),
                None => masked.push_str(host),
            }
        }
        rest = tail;
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}
