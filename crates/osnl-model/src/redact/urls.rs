use std::borrow::Cow;

use super::MASK;

/// Replaces the password in each `scheme://user:password@` by `***`, for messages of osnl itself,
/// where a name before a colon is no secret. [`mask_text`](super::mask_text) hides more.
#[must_use]
pub fn mask_url_passwords(text: &str) -> Cow<'_, str> {
    if !text.contains("://") || !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let (mut masked, mut cut) = (String::with_capacity(text.len()), CutLogins::new());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        masked.push_str(before);
        let ends_word = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
        let end = after.find(|c: char| ends_word(c) || c == '/').unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        if let Some(login) = cut.find(authority, after, ends_word) {
            push_masked(&mut masked, login, "");
            rest = after.get(login.len() + 1..).unwrap_or_default();
            continue;
        }
        let mut any_guest = false;
        for (index, host) in authority.split(',').enumerate() {
            if index > 0 {
                masked.push(',');
            }
            match host.rsplit_once('@') {
                // The rest of a password with a comma.
                Some((login, address)) if any_guest && !login.is_empty() && !login.contains(':') => {
                    masked.extend([MASK, "@", address]);
                }
                Some((login, address)) if !login.is_empty() => push_masked(&mut masked, login, address),
                Some(_) | None => {
                    any_guest = true;
                    masked.push_str(host);
                }
            }
        }
        rest = tail;
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}

fn push_masked(masked: &mut String, login: &str, address: &str) {
    match login.split_once(':') {
        Some((user, _)) if !may_hold_password(user, true) => masked.extend([user, ":", MASK, "@", address]),
        None if !may_hold_password(login, false) => masked.extend([login, "@", address]),
        Some(_) | None => masked.extend([MASK, "@", address]),
    }
}

/// Finds logins that an unescaped `/`, `?`, `#`, or comma of the password cuts: what precedes that sign is not
/// `host:port`. Each word is searched once, so the time is linear.
pub(crate) struct CutLogins {
    /// The length of the text behind the last word that was searched.
    unsearched: usize,
}

impl CutLogins {
    pub(crate) fn new() -> Self {
        Self { unsearched: usize::MAX }
    }

    /// Returns the login up to the last `@` of the word if the authority is cut. `after` begins with the authority.
    pub(crate) fn find<'a>(
        &mut self,
        authority: &str,
        after: &'a str,
        ends_word: impl Fn(char) -> bool,
    ) -> Option<&'a str> {
        let is_whole =
            authority.split(',').all(|host| is_address(host.rsplit('@').next().unwrap_or_default()));
        if is_whole || after.len() >= self.unsearched {
            return None;
        }
        let word = after.split(ends_word).next().unwrap_or_default();
        self.unsearched = after.len() - word.len();
        word.rsplit_once('@').map(|(login, _)| login)
    }
}

fn is_address(host: &str) -> bool {
    let behind_brackets = host.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let end = behind_brackets.map_or(host, |(_, end)| end);
    // `parse` alone would accept a leading plus.
    end.split_once(':').is_none_or(|(_, port)| !port.starts_with('+') && port.parse::<u16>().is_ok())
}

/// Whether the password may be a part of what counts as the user, behind a wrong sign. Without a password of its own, only
/// a plain name is surely none.
pub(crate) fn may_hold_password(user: &str, has_password: bool) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    user.contains(|c: char| matches!(c, ';' | '|') || c.is_whitespace())
        || !has_password && !user.chars().all(is_plain)
}
