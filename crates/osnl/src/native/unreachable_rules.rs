//! Finds rules that can never fire, which are likely mistakes.
//!
//! Only certain cases are reported: a pattern is wider if equal, matching everything, or a plain prefix (`^port\.` and
//! `^port\.delete\.end$`).

use osnl_model::{Pattern, Priority, is_secret_path};
use osnl_transport::Declare;

use super::equalities::{self, Equality};
use super::{ListenerConf, RuleConf};
use crate::rule::Rule;

pub(super) struct Never<'a> {
    pub(super) rule: &'a str,
    pub(super) option: &'static str,
    pub(super) problem: String,
    pub(super) mend: &'static str,
}

pub(super) fn fire<'a>(listeners: &[ListenerConf], rules: &'a [RuleConf]) -> Vec<Never<'a>> {
    let mut stops: Vec<&RuleConf> = Vec::new();
    let mut found = Vec::new();
    for conf in rules.iter().filter(|rule| rule.enabled) {
        let rule = &conf.rule.name;
        if let Some(problem) = unheard(listeners, conf) {
            let mend = "name priorities that a listener of the rule has";
            found.push(Never { rule, option: "priorities", problem, mend });
        } else if let Some(problem) = contradicted(conf) {
            let mend = "the two contradict each other; change one of them";
            found.push(Never { rule, option: "when", problem, mend });
        } else if let Some(stops) = stops.iter().find(|earlier| takes_all(earlier, conf)) {
            let problem = format!(
                "never matches: [rule:{}] comes first, matches all that it could match, and has stop = true",
                stops.rule.name
            );
            found.push(Never {
                rule,
                option: "",
                problem,
                mend: "move it before that one, or remove one of them",
            });
        }
        if conf.rule.stop {
            stops.push(conf);
        }
    }
    found
}

/// Returns the conflict if no listener has the rule's priorities. The content of an existing queue is unknown.
fn unheard(listeners: &[ListenerConf], conf: &RuleConf) -> Option<String> {
    let wanted = conf.rule.priorities.as_ref()?;
    let mut heard: Vec<&Priority> = Vec::new();
    for listener in listeners.iter().filter(|listener| conf.listeners.contains(&listener.name)) {
        if listener.declare == Declare::Nothing {
            return None;
        }
        heard.extend(&listener.priorities);
    }
    if heard.iter().any(|priority| wanted.contains(priority)) {
        return None;
    }
    let heard: Vec<&str> = Priority::ALL.iter().filter(|p| heard.contains(p)).map(Priority::as_str).collect();
    Some(format!("never matches: its listeners receive only {}", heard.join(", ")))
}

fn contradicted(conf: &RuleConf) -> Option<String> {
    let rule = &conf.rule;
    let wanted = equalities::find(rule.when.as_ref()?.source());
    for (n, Equality { name, texts }) in wanted.iter().enumerate() {
        let is =
            if is_secret_path(name) { "***".to_owned() } else { format!("\"{}\"", texts.join("\" or \"")) };
        let other = wanted[..n]
            .iter()
            .find(|other| other.name == *name && !other.texts.iter().any(|text| texts.contains(text)));
        if other.is_some() {
            return Some(format!(
                "never matches: it requires {name} to be {is}, and something else at the same time"
            ));
        }
        let is_priority = |text: &String| Priority::ALL.iter().any(|p| p.as_str() == text);
        if name == "priority" && !texts.iter().any(is_priority) {
            let all = Priority::ALL.each_ref().map(|priority| priority.as_str()).join(", ");
            return Some(format!("never matches: it requires priority to be {is}, and it is one of {all}"));
        }
        if let (Some(allowed), "priority") = (&rule.priorities, name.as_str()) {
            let known = |text: &String| allowed.iter().any(|priority| priority.as_str() == text);
            if !texts.iter().any(known) {
                return Some(format!(
                    "never matches: it requires priority to be {is}, which priorities leaves out"
                ));
            }
        }
        let Some(pattern) = pattern_on(rule, name) else { continue };
        if !texts.iter().any(|text| pattern.is_match(text)) {
            return Some(format!(
                "never matches: it requires {name} to be {is}, which the pattern of {name} does not match"
            ));
        }
    }
    None
}

fn pattern_on<'a>(rule: &'a Rule, name: &str) -> Option<&'a Pattern> {
    let filter = &rule.filter;
    match name {
        "event_type" => filter.event_type.as_ref(),
        "publisher_id" => filter.publisher_id.as_ref(),
        name => {
            let nested = || rule.nested.iter().find(|nested| nested.predicate.to_string() == name);
            let top = match name.split_once('.') {
                Some(("payload", key)) => filter.payload.get(key),
                Some(("context", key)) => filter.context.get(key),
                Some(_) | None => None,
            };
            top.or_else(|| nested().map(|nested| &nested.pattern))
        }
    }
}

fn takes_all(earlier: &RuleConf, later: &RuleConf) -> bool {
    let (first, then) = (&earlier.rule, &later.rule);
    first.stop
        && later.listeners.iter().all(|name| earlier.listeners.contains(name))
        && first.is_decided_by_head()
        && match (&first.priorities, &then.priorities) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(first), Some(then)) => first.is_superset(then),
        }
        && is_wider(first.filter.event_type.as_ref(), then.filter.event_type.as_ref())
        && is_wider(first.filter.publisher_id.as_ref(), then.filter.publisher_id.as_ref())
}

/// Whether `pattern` accepts everything that `than` accepts; `false` in doubt.
fn is_wider(pattern: Option<&Pattern>, than: Option<&Pattern>) -> bool {
    let (pattern, than) = match (pattern, than) {
        (None, _) => return true,
        (Some(_), None) => return false,
        (Some(pattern), Some(than)) => (pattern.as_str(), than.as_str()),
    };
    if pattern == than {
        return true;
    }
    match (TextPattern::read(pattern), TextPattern::read(than)) {
        (Some(TextPattern { text: beginning, whole: false }), Some(than)) => {
            than.text.starts_with(&beginning)
        }
        (Some(pattern), Some(than)) => pattern.whole && than.whole && pattern.text == than.text,
        (Some(_) | None, _) => false,
    }
}

struct TextPattern {
    text: String,
    whole: bool,
}

impl TextPattern {
    fn read(pattern: &str) -> Option<Self> {
        let rest = pattern.strip_prefix('^').unwrap_or(pattern);
        let (rest, whole) =
            match (rest.strip_suffix(".*").or(rest.strip_suffix(".*$")), rest.strip_suffix('$')) {
                (Some(rest), _) => (rest, false),
                (None, Some(rest)) => (rest, true),
                (None, None) => (rest, false),
            };
        let mut text = String::new();
        let mut chars = rest.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => text.push(chars.next().filter(|c| !c.is_alphanumeric())?),
                '.' | '^' | '$' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' => return None,
                c => text.push(c),
            }
        }
        Some(Self { text, whole })
    }
}
