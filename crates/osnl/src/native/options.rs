//! The options of `[DEFAULT]`, listeners, and rules. `deliveries.rs` has those of all actions, `topology.rs` those of
//! queues, and the other sections are structs beside what they set up.
//!
//! A new option is a field here, the place where it acts, and a test; `cargo xtask docs` writes the reference.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use osnl_config::sections::SectionReader;
use osnl_config::typed::ValueRefusal;
use osnl_config::{Bytes, Kind, Level, OptionDef, OptionValue, Rate, ReadBySection, options, words};
use osnl_model::{Pattern, Priority};

use super::LogFormat;
use super::deliveries::{expect, key};
use crate::group::SystemGroup;
use crate::rule::{KeySource, Mode};

options! {
    pub(super) struct DaemonOptions {
        debug: bool = "false" => "true has the effect of log_level = debug.";
        log_level: Level = "info" => "Lowest level of osnl's own log lines.";
        libs_log_level: Level = "warn" => "Lowest level of the libraries' log lines.";
        log_file: Option<PathBuf>, otherwise("write a path, or remove the line to log to stderr") => "Log file. Without it, log lines go to standard error.";
        log_format: LogFormat = "text" => "Form of log lines: text for people; json for machines, one object per line.";
        state_dir: Option<PathBuf> as state_dir, written("absolute path") => "Folder for the journal and for what osnl remembers beside it. Without it: $STATE_DIRECTORY if set, else /var/lib/osnl as root or as its owner, else $XDG_STATE_HOME/osnl, else ~/.local/state/osnl.";
        attention_age: Duration = "15m", at_least("1s") => "osnl status reports an action whose oldest pending delivery is older than this.";
        control_group: Option<SystemGroup> => "The group whose members may ask the daemon for its status and its deliveries, and change nothing. Without it only root and the daemon's own user may ask.";
    }
}

options! {
    pub(super) struct StreamOptions {
        prefetch: u16 = "200", within("1", "65535") => "Most unacknowledged messages of the listener, over all its queues.";
        max_body: Bytes = "4MiB", within("4KiB", "128MiB") => "Largest uncompressed body. A message with a larger one is quarantined. The other limits of a message follow from it: six times as much memory when decoded, 500000 JSON values and 10000 resources of a bulk request, and as many times more as it is larger than 4MiB. Of a body above 16MiB and above max_body, only the beginning is read and quarantined.";
        expect: Option<Rate> as expect, written("number per duration") => "Least number of messages within a time, such as 1 per 10m. With fewer, osnl status reports that the listener is silent.";
        silent_after: Duration = "15m" => "osnl status reports a listener that has never received anything for this long, with the most likely reason. 0: never.";
        max_event_age: Option<Duration>, within("1s", "3650d") => "Greatest age of an event when it is first read, by its timestamp. Deliveries of an older one become dead letters (too old) that osnl deliveries retry makes; on_failure is not called. An event without a timestamp, or from the future, is not old. Without it: no limit.";
    }
}

options! {
    pub(super) struct RuleOptions {
        enabled: bool = "true" => "false: the rule is checked, but never matches.";
        listeners: ReadBySection, written("list") => "Listeners whose messages the rule evaluates. Without it: all.";
        priorities: Option<BTreeSet<Priority>> as priorities, written("list") => "Priorities that match, as written in the message. Without it: all.";
        event_type: Option<Pattern> as pattern, written("regular expression") => "Pattern that the event type must match from its start, as in Python's re.match. Without it, each event type matches.";
        publisher_id: Option<Pattern> as pattern, written("regular expression") => "Pattern that the publisher must match, in the same way.";
        when: ReadBySection, written("expression") => "Expression that must be true too, as in Ansible's when: payload.port.device_owner.startswith(\"compute:\").";
        stop: bool = "false" => "true: when the rule matches, later rules are skipped. It has no effect with mode = shadow.";
        actions: ReadBySection, written("list") => "Actions to call. Must be set.";
        mode: Mode = "live" => "live: actions are called. shadow: deliveries are only recorded, and nothing is called.";
        key: KeySource as key = "resource", written("resource, none or a path") => "Value by which deliveries are kept in order: the resource, nothing, or the value at a path, such as payload.port.fixed_ips.0.ip_address, resource.project, or context.project_id. osnl check warns of a path in the payload that no known event has, but not of one in the context, to which services add keys of their own.";
        guard: Option<Rate> => "Most different resources within a time, such as 100 per 10m. Deliveries of further resources wait until an operator releases or discards them.";
        expect: Option<Rate> as expect, written("number per duration") => "Least number of messages that the rule matches, as for a listener.";
        max_event_age: Option<Duration>, within("1s", "3650d") => "Greatest age of an event for this rule, in place of the listener's.";
        order_by_event_time: bool = "false" => "true: an event becomes a dead letter (overtaken) that osnl deliveries retry makes, if a newer one of the same order key, by the events' own timestamps, came before it. A listener's rules with the option and the same key share these times. Times of earlier events are read from the journal at a start; with memory:// they are forgotten.";
    }
}

words!(LogFormat: "text" => LogFormat::Text, "json" => LogFormat::Json);

impl OptionValue for SystemGroup {
    const KIND: Kind = Kind::Form("group of this machine");

    fn parse(name: &str, _: &OptionDef) -> Result<Self, ValueRefusal> {
        let allowed = "name a group of this machine, or its number; groupadd makes one";
        Self::find(name).map_err(|problem| ValueRefusal::new(problem, allowed))
    }
}

fn state_dir(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<PathBuf>> {
    if !reader.is_set(option.name) {
        return Some(None);
    }
    match reader.text(option.name)? {
        path if path.contains('\0') => {
            reader.refuse("state_dir", "has a NUL character, which no path can have", "write it without")
        }
        path if path.starts_with('/') => Some(Some(path.into())),
        _ => reader.refuse(
            "state_dir",
            "must be an absolute path",
            "write one that begins with /, or remove the line",
        ),
    }
}

fn priorities(
    reader: &mut SectionReader<'_>,
    option: &'static OptionDef,
) -> Option<Option<BTreeSet<Priority>>> {
    match reader.is_set(option.name) {
        true => reader.priorities(option.name).map(|found| Some(found.into_iter().collect())),
        false => Some(None),
    }
}

/// Refuses an empty pattern, as from an unset variable, which would match all.
fn pattern(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<Pattern>> {
    if reader.section.entry(option.name).is_some_and(|entry| entry.text.is_empty()) {
        let allowed = "write a pattern, or remove the line to match all";
        return reader.refuse(option.name, "is empty", allowed);
    }
    reader.pattern(option.name).ok()
}
