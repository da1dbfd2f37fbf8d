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
            let (login, address) = host.rsplit_once('@').unwrap_or_default();
            match login.split_once(':') {
                _ if login.is_empty() => masked.push_str(host),
                Some((user, _)) if !may_hold_password(user, true) => {
                    masked.extend([user, ":", MASK, "@", address]);
                }
                None if !may_hold_password(login, false) => masked.push_str(host),
                Some(_) | None => masked.extend([MASK, "@", address]),
            }
        }
        rest = tail;
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}

/// Whether the password may be a part of what counts as the user, behind a wrong sign. Without a password of its own, only
/// a plain name is surely none.
pub(crate) fn may_hold_password(user: &str, has_password: bool) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    user.contains(|c: char| matches!(c, ';' | '|') || c.is_whitespace())
        || !has_password && !user.chars().all(is_plain)
}
