//! Literal secrets in options that are not meant for secrets: a token in a header, a URL or an argument.
//!
//! A value with `{{ … }}` may have a secret beside the expressions. The contents of an expression are the
//! event's, or `secret.KEY`, and are shown, unless a constant is beside a secret of the event, which it may repeat, or has
//! the login of a URL.

use std::borrow::Cow;

use osnl_model::{is_secret_key, is_secret_path, mask_text};

use super::typed;

const MASK: &str = "***";
const SCHEMES: [&str; 9] =
    ["bearer", "basic", "token", "apikey", "key", "geniekey", "splunk", "bot", "digest"];
/// The words before the `[` of a list of constants.
const KEYWORDS: [&str; 8] = ["and", "elif", "else", "if", "in", "is", "not", "or"];

/// A part of a template: written text, or an expression with its braces.
enum Piece<'a> {
    Written(&'a str),
    Expression(&'a str),
}

fn pieces(template: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let ends = [("{{", "}}"), ("{%", "%}")];
        let next = ends.iter().filter_map(|(open, close)| Some((rest.find(open)?, *close))).min();
        let (piece, length) = match next {
            Some((0, close)) => {
                let end = rest.find(close).map_or(rest.len(), |at| at + close.len());
                (Piece::Expression(&rest[..end]), end)
            }
            Some((at, _)) => (Piece::Written(&rest[..at]), at),
            None => (Piece::Written(rest), rest.len()),
        };
        rest = &rest[length..];
        Some(piece)
    })
}

/// Returns a template for people: a secret by form or by the name before it is `***`, and so is an expression that may
/// compare a secret of the event, by its path or by a name that a statement gives it, or that has the login of a URL.
/// In a template with such a name, the text of a `set` block is a constant too.
pub fn masked(template: &str) -> Cow<'_, str> {
    let (mut out, mut in_set_block) = (String::new(), false);
    let has = |is_so: fn(&str) -> bool| {
        pieces(template).any(|piece| matches!(piece, Piece::Expression(text) if is_so(text)))
    };
    let names_secret = has(names_value) && has(reads_secret);
    let has_constant = |text: &str| ExpressionParts::read(text).constant;
    for piece in pieces(template) {
        if let Piece::Expression(text) = piece {
            in_set_block = opens_set_block(text) || (in_set_block && !statement(text).starts_with("endset"));
        }
        match piece {
            Piece::Written(text) if names_secret && in_set_block && !text.trim().is_empty() => {
                out.push_str(MASK);
            }
            Piece::Written(text) => out.push_str(&mask_text(text)),
            Piece::Expression(text)
                if compares_secret(text)
                    || has_login(text, "://")
                    || (names_secret && has_constant(text)) =>
            {
                out.push_str(hidden(text));
            }
            Piece::Expression(text) => out.push_str(text),
        }
    }
    let out = without_cut_logins(&out);
    if out == template { Cow::Borrowed(template) } else { Cow::Owned(out) }
}

/// Returns the words of a statement; none if the piece is not a statement.
fn statement(piece: &str) -> &str {
    let statement = piece.strip_prefix("{%").unwrap_or_default();
    statement.trim_start_matches(|c: char| c.is_whitespace() || ['-', '+'].contains(&c))
}

/// Whether a piece is a statement that gives a name to a value.
fn names_value(piece: &str) -> bool {
    ["set", "for", "with"].iter().any(|word| statement(piece).starts_with(word))
}

/// Whether a piece gives a name to the text up to `{% endset %}`, which may have a filter: `{% set x | upper %}`.
fn opens_set_block(piece: &str) -> bool {
    let named = statement(piece).strip_prefix("set").map(|rest| rest.split('|').next());
    named.flatten().is_some_and(|named| !named.contains('='))
}

/// Whether an expression may have a login in a constant: an `@` behind this sign.
fn has_login(expression: &str, sign: &str) -> bool {
    expression.split_once(sign).is_some_and(|(_, rest)| rest.contains('@'))
}

fn hidden(expression: &str) -> &'static str {
    if expression.starts_with("{{") { "{{ *** }}" } else { "{% *** %}" }
}

/// Whether a template has a secret beside its expressions.
pub fn has_secret(template: &str) -> bool {
    pieces(template).any(|piece| match piece {
        Piece::Written(text) => mask_text(text) != text,
        Piece::Expression(_) => false,
    })
}

/// Whether an expression reads a secret of the event by its path, or by a key in quotes: `payload.get("password")`.
pub fn reads_secret(expression: &str) -> bool {
    ExpressionParts::read(expression).secret
}

/// Whether an expression reads a secret of the event and has a constant, which may repeat it.
pub fn compares_secret(expression: &str) -> bool {
    let parts = ExpressionParts::read(expression);
    parts.secret && parts.constant
}

/// Whether an expression reads a secret, and whether it has a constant.
#[derive(Default)]
struct ExpressionParts {
    secret: bool,
    constant: bool,
}

impl ExpressionParts {
    fn read(expression: &str) -> Self {
        let mut found = Self::default();
        let mut rest = expression;
        while let Some(at) = rest.find(['"', '\'']) {
            let outside = &rest[..at];
            found.add(outside);
            let behind = &rest[at + 1..];
            let (text, after) = behind.split_once(&rest[at..=at]).unwrap_or((behind, ""));
            match object_of_key(outside) {
                Some(object) => found.secret |= is_secret_path(&format!("{object}.{text}")),
                None => found.constant |= !text.is_empty(),
            }
            rest = after;
        }
        found.add(rest);
        found
    }

    fn add(&mut self, outside: &str) {
        let mut paths = outside.split(|c: char| !is_in_path(c));
        self.secret |= paths.any(|path| !path.starts_with("secret.") && is_secret_path(path));
        let mut digits = outside.match_indices(|c: char| c.is_ascii_digit()).map(|(at, _)| &outside[..at]);
        self.constant |= ["==", "!=", "<", ">"].iter().any(|sign| outside.contains(sign))
            || digits.any(|before| !before.ends_with(is_in_path) && object_of_key(before).is_none());
    }
}

fn is_in_path(c: char) -> bool {
    c.is_alphanumeric() || ['_', '.'].contains(&c)
}

/// Returns the path at the end of the object whose key or index is next: `payload` before `["password"]` and
/// `.get("password")`. `None` before a constant, as in `payload.kind in ["password"]`.
fn object_of_key(outside: &str) -> Option<&str> {
    let is_value = |c: char| is_in_path(c) || [']', ')'].contains(&c);
    let outside = outside.trim_end();
    let object = match outside.strip_suffix('[').map(str::trim_end) {
        Some(object) => Some(object).filter(|object| object.ends_with(is_value)),
        None => ["get(", "attr(", "attribute="].iter().find_map(|reads| outside.strip_suffix(*reads)),
    };
    let object = object?.trim_end_matches(|c: char| c.is_whitespace() || ['|', '.'].contains(&c));
    let object = object.rsplit(|c: char| !is_in_path(c)).next().unwrap_or_default();
    (!KEYWORDS.contains(&object)).then_some(object)
}

/// Returns a URL, or its template, for people. The query parameter `key` is masked too: it is the secret of
/// many APIs, and elsewhere only a name. So is a login that is none elsewhere: one with expressions in it, or without a
/// scheme before it.
pub fn masked_url(url: &str) -> String {
    let url = without_login(&masked(url));
    let Some((place, query)) = url.split_once('?') else { return url };
    let hidden = |pair: &str| match pair.split_once('=') {
        Some((name, value)) if is_key(name) && !words(value).is_empty() => {
            format!("{name}={MASK}")
        }
        Some(_) | None => pair.to_owned(),
    };
    format!("{place}?{}", query.split('&').map(hidden).collect::<Vec<_>>().join("&"))
}

fn without_login(url: &str) -> String {
    let shown = pieces(url).map(|piece| match piece {
        Piece::Expression(text) if has_login(text, ":") => hidden(text),
        Piece::Written(text) | Piece::Expression(text) => text,
    });
    let shown: String = shown.collect();
    match login(&plain(&shown)) {
        Some((start, end)) if shows_secret(&shown[start..end]) => {
            format!("{}{MASK}{}", &shown[..start], &shown[end..])
        }
        Some(_) | None => shown,
    }
}

/// Hides the logins in a text that expressions cut into pieces.
fn without_cut_logins(text: &str) -> String {
    let is_cut = |login: &str| pieces(login).any(|piece| matches!(piece, Piece::Expression(_)));
    let (plain, mut out, mut from) = (plain(text), String::new(), 0);
    while let Some(at) = plain[from..].find("://") {
        let at = from + at;
        let url = plain[at..].split(|c: char| c.is_whitespace() || ['"', '\''].contains(&c)).next();
        let found = login(url.unwrap_or_default()).map(|(start, end)| (at + start, at + end));
        match found.filter(|(start, end)| is_cut(&text[*start..*end]) && shows_secret(&text[*start..*end])) {
            Some((start, end)) => {
                out.extend([&text[from..start], MASK]);
                from = end;
            }
            None => {
                out.push_str(&text[from..at + 3]);
                from = at + 3;
            }
        }
    }
    out + &text[from..]
}

/// Returns a template with digits in place of its expressions: each may be a port.
fn plain(template: &str) -> String {
    let plain = pieces(template).map(|piece| match piece {
        Piece::Written(text) => Cow::Borrowed(text),
        Piece::Expression(text) => Cow::Owned("0".repeat(text.len())),
    });
    plain.collect()
}

/// Whether a login has more than expressions and is not masked yet.
fn shows_secret(login: &str) -> bool {
    let is_written = pieces(login).any(|piece| match piece {
        Piece::Written(text) => !text.trim_matches(':').is_empty(),
        Piece::Expression(_) => false,
    });
    is_written && !login.ends_with(MASK)
}

/// Returns the place of the login in a URL, which may be incomplete, up to its `@`.
fn login(url: &str) -> Option<(usize, usize)> {
    let is_end = |c: char| matches!(c, '/' | '\\' | '?' | '#');
    let scheme = url.find("://").filter(|at| !url[..*at].contains(|c: char| is_end(c) || c == '@'));
    let begins = |with: &&str| url.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    let named = ["https:", "http:", "catalog:"].into_iter().find(begins);
    let rest = &url[scheme.map_or(named.map_or(0, str::len), |at| at + 3)..];
    let rest = rest.trim_start_matches(['/', '\\']);
    let authority = &rest[..rest.find(is_end).unwrap_or(rest.len())];
    let is_cut = || {
        // A sign in the password ends the authority: what is behind the colon is no port.
        let port = authority.rsplit(']').next().and_then(|host| host.split_once(':'));
        port.is_some_and(|(_, port)| !port.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let at = authority.rfind('@').or_else(|| {
        let is_whole = scheme.is_some() || named == Some("catalog:");
        rest.rfind('@').filter(|at| is_cut() || (!is_whole && rest[..*at].contains(':')))
    })?;
    let start = url.len() - rest.len();
    Some((start, start + at))
}

fn is_key(parameter: &str) -> bool {
    parameter.eq_ignore_ascii_case("key")
}

/// Returns the literal words of a value that is secret by its name; none if all parts are from the event or
/// from `secret.KEY`.
pub fn words(template: &str) -> Vec<String> {
    let written = pieces(template).filter_map(|piece| match piece {
        Piece::Written(text) => Some(text),
        Piece::Expression(_) => None,
    });
    let words = written.flat_map(str::split_whitespace);
    let is_scheme = |word: &&str| SCHEMES.contains(&word.to_ascii_lowercase().as_str());
    words.filter(|word| !is_scheme(word)).map(str::to_owned).collect()
}

pub fn parameters(url: &str) -> Vec<String> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let is_secret = |name: &str| is_secret_key(name) || is_key(name);
    pairs.filter(|(name, _)| is_secret(name)).flat_map(|(_, value)| words(value)).collect()
}

pub fn masked_command(text: &str) -> Cow<'_, str> {
    let array: Option<Vec<String>> = serde_json::from_str(text).ok();
    let words = array.clone().unwrap_or_else(|| typed::list(text));
    let mut masked: Vec<String> = Vec::with_capacity(words.len());
    for (at, word) in words.iter().enumerate() {
        let before = at.checked_sub(1).map_or("", |before| words[before].as_str());
        let name = |word: &str| word.starts_with('-') && is_secret_key(word.trim_start_matches('-'));
        let hidden = match word.split_once('=') {
            Some((option, value)) if name(option) && !value.is_empty() => format!("{option}={MASK}"),
            _ if name(before) && !before.contains('=') && !word.starts_with('-') => MASK.to_owned(),
            Some(_) | None => mask_text(word).into_owned(),
        };
        masked.push(hidden);
    }
    match array {
        _ if masked == words => Cow::Borrowed(text),
        Some(_) => Cow::Owned(serde_json::Value::from(masked).to_string()),
        None => Cow::Owned(masked.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_out_is_masked_and_expressions_stay() {
        let check = |text: &str, expected: &str| assert_eq!(masked(text), expected, "{text}");
        check("https://h/{{ payload.id }}?token=S3CRET&n=1", "https://h/{{ payload.id }}?token=***&n=1");
        check("https://h/?token={{ secret.t }}", "https://h/?token={{ secret.t }}");
        check("https://u:S3CRET@h/{% if x %}a{% endif %}", "https://u:***@h/{% if x %}a{% endif %}");
        check(
            r#"{"password": "S3CRET", "n": "{{ payload.n }}"}"#,
            r#"{"password": "***", "n": "{{ payload.n }}"}"#,
        );
        check(
            "https://h/{{ 'a' if payload.admin_pass == 'S3CRET' else 'b' }}/{{ payload.id }}",
            "https://h/{{ *** }}/{{ payload.id }}",
        );
        check(r#"{% if payload.get("token") == "S3CRET" %}x{% endif %}"#, "{% *** %}x{% endif %}");
        for (named, expected) in [
            ("{% set t = payload.token %}{{ t == 'S3CRET' }}", "{% set t = payload.token %}{{ *** }}"),
            (
                "{%- for t in [payload.token] %}{{ t == 'S3CRET' }}",
                "{%- for t in [payload.token] %}{{ *** }}",
            ),
            ("{% set t = 'S3CRET' %}{{ payload.token in t }}", "{% *** %}{{ payload.token in t }}"),
            ("{% set n = payload.n %}{{ n == 'x' }}", "{% set n = payload.n %}{{ n == 'x' }}"),
            (
                "{% set c %}S3CRET{% endset %}a{{ payload.token in c }}",
                "{% set c %}***{% endset %}a{{ payload.token in c }}",
            ),
            (
                "{%- set c | upper -%} {{ payload.token }}S3CRET{% endset %}",
                "{%- set c | upper -%} {{ payload.token }}***{% endset %}",
            ),
            ("{% set c %}n{% endset %}{{ c }}", "{% set c %}n{% endset %}{{ c }}"),
            (
                "{% if payload.token %}{{ payload.n == 'x' }}{% endif %}",
                "{% if payload.token %}{{ payload.n == 'x' }}{% endif %}",
            ),
        ] {
            check(named, expected);
        }
        for compared in [
            "{{ payload.pin == 1234 }}",
            "{{ payload.pin in [1234] }}",
            "{{ payload ['password'] == 'S3CRET' }}",
            "{{ payload['key'] == 'S3CRET' }}",
            "{{ payload.get('key') == 'S3CRET' }}",
            "{{ 'a' if payload | attr('key') == 'S3CRET' }}",
            "{{ payload.secret.t == 'S3CRET' }}",
        ] {
            check(compared, "{{ *** }}");
        }
        for harmless in [
            "{{ payload.auth_token | default('') }}",
            "{{ payload['auth_token'] }}",
            "{{ payload.users[0].password }}",
            "{{ payload.port['key'] == 'k' }}",
            "{{ 'Bearer ' ~ secret.t }}",
            "{{ secret.t | default('x') }}",
            "{{ payload.key_name == 'k' and payload.keypair_name != 'n' }}",
            "{{ 'token' if payload.kind in ['password', 'n'] }}",
        ] {
            check(harmless, harmless);
        }
        check("{{ payload.u | default('https://u:S3CRET@h/') }}", "{{ *** }}");
        check(
            r#"{"a": "http://{{ payload.h }}:S3CRET@h/", "b": "b@{{ payload.h }}"}"#,
            r#"{"a": "http://***@h/", "b": "b@{{ payload.h }}"}"#,
        );
        for harmless in [
            "see https://{{ secret.u }}:{{ secret.p }}@h/ and https://h:{{ payload.port }}/a@b",
            "https://{{ payload.h }}/ a:b@c",
        ] {
            check(harmless, harmless);
        }
        check("{{ unclosed", "{{ unclosed");
        check("plain", "plain");
    }

    #[test]
    fn the_query_of_a_url_shows_no_secret() {
        let check = |text: &str, expected: &str| assert_eq!(masked_url(text), expected, "{text}");
        check("https://h/v1/role", "https://h/v1/role");
        check("https://h/key=x", "https://h/key=x");
        check("https://h/?token=a&password=b&n=1", "https://h/?token=***&password=***&n=1");
        check("https://h/?n=1&key=a%26b&Key=c&keys=d", "https://h/?n=1&key=***&Key=***&keys=d");
        check("https://h/?key={{ secret.k }}&q=?a", "https://h/?key={{ secret.k }}&q=?a");
        check("https://h/?key=", "https://h/?key=");
    }

    #[test]
    fn the_login_of_a_url_is_hidden_however_it_is_written() {
        let check = |text: &str, expected: &str| assert_eq!(masked_url(text), expected, "{text}");
        check("https://u:S3CRET@h/{{ event_type }}", "https://u:***@h/{{ event_type }}");
        check("u:S3CRET@h/{{ event_type }}", "***@h/{{ event_type }}");
        check("u:S3/CRET@h/{{ event_type }}", "***@h/{{ event_type }}");
        check("//u:S3CRET@h/{{ event_type }}", "//***@h/{{ event_type }}");
        check("http:u:S3CRET@h/{{ event_type }}", "http:***@h/{{ event_type }}");
        check("HTTP:/u:S3CRET@h/{{ event_type }}", "HTTP:/***@h/{{ event_type }}");
        check(r"https:\\u:S3CRET@h/{{ event_type }}", r"https:\\***@h/{{ event_type }}");
        check("http//u:S3CRET@h/{{ event_type }}", "***@h/{{ event_type }}");
        check("http://{{ event_type }}:S3CRET@h/", "http://***@h/");
        check("https://u:{{ event_type }}S3CRET@{{ payload.h }}/", "https://***@{{ payload.h }}/");
        check("https://u:S3{{ event_type }}/CRET@h/", "https://***@h/");
        check("https://u:{{ 'S3CRET' }}@h/", "https://***@h/");
        check("https://{{ 'u:S3CRET@h' }}/", "https://{{ *** }}/");
        check("{{ secret.scheme }}://u:S3CRET@h/", "{{ secret.scheme }}://***@h/");
        check("{{ payload.url }}/u:S3CRET@h/", "***@h/");
        for harmless in [
            "https://{{ secret.u }}:{{ secret.p }}@h/",
            "https://h:8080/{{ payload.id }}/a@b",
            "https://[::1]:{{ payload.port }}/a@b",
            "https://{{ payload.h }}/a:b@c",
            "https://h/{{ payload.mail | replace('@', '%40') }}",
            "catalog:dns/v2/{{ payload.id }}/a:b@c",
            "{{ payload.url }}?mail=a@b",
        ] {
            check(harmless, harmless);
        }
    }

    #[test]
    fn the_words_of_a_secret_are_those_that_are_written_out() {
        let check = |text: &str, expected: &[&str]| assert_eq!(words(text), expected, "{text}");
        check("Bearer S3CRET", &["S3CRET"]);
        check("S3CRET", &["S3CRET"]);
        check("Bearer {{ secret.k }}", &[]);
        check("{{ payload.token }}", &[]);
        check("GenieKey abc{{ payload.n }}", &["abc"]);
        check("", &[]);
        assert_eq!(parameters("https://h/?n=1&token=S3CRET&sig={{ secret.s }}"), ["S3CRET"]);
        assert_eq!(parameters("https://h/?key=S3CRET&keys=1"), ["S3CRET"]);
        assert_eq!(parameters("https://h/token=x"), [""; 0]);
    }

    #[test]
    fn arguments_behind_a_secret_s_name_are_masked() {
        let check = |text: &str, expected: &str| assert_eq!(masked_command(text), expected, "{text}");
        check("/bin/x, --password, hunter2, -v", "/bin/x, --password, ***, -v");
        check("/bin/x, --api-key=hunter2, a", "/bin/x, --api-key=***, a");
        check(r#"["/bin/x", "--token", "hunter2", "a, b"]"#, r#"["/bin/x","--token","***","a, b"]"#);
        check("/bin/x, --password, -v", "/bin/x, --password, -v");
        check("/bin/x, https://u:hunter2@h/", "/bin/x, https://u:***@h/");
        check("/bin/x , a", "/bin/x , a");
    }
}
