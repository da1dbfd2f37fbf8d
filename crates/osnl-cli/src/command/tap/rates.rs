//! `--rates`: events per second by type, once a second, and the totals at the end. On a terminal
//! the view shows a live table instead ([`live`]).

pub(super) mod live;

use std::collections::BTreeMap;

use jiff::Timestamp;
use osnl_model::cut;
use serde_json::{Map, Value, json};

use super::event::{TapEvent, UnreadableBody};
use crate::clean;
use crate::flags::OutputFormat;

#[derive(Debug)]
pub(super) struct Rates {
    format: OutputFormat,
    began: Option<Timestamp>,
    told: Option<Timestamp>,
    counts: BTreeMap<String, u64>,
    sums: BTreeMap<String, u64>,
}

/// More types than any cloud has; further types share one count.
const MOST_TYPES: usize = 10_000;
/// The longest name that is counted, beyond any service's.
const LONGEST_TYPE: usize = 256;
const SECOND: f64 = 1.0;

impl Rates {
    pub(super) fn new(format: OutputFormat) -> Self {
        let (counts, sums) = (BTreeMap::new(), BTreeMap::new());
        Self { format, began: None, told: None, counts, sums }
    }

    pub(super) fn count(&mut self, read: &Result<TapEvent, UnreadableBody>) {
        let name = match read {
            Ok(event) => event.notification.event_type.as_deref().unwrap_or("(no event type)"),
            Err(_) => "(unreadable)",
        };
        let name = cut(name, LONGEST_TYPE);
        let name =
            if self.sums.len() >= MOST_TYPES && !self.sums.contains_key(name) { "(others)" } else { name };
        for counts in [&mut self.counts, &mut self.sums] {
            *counts.entry(name.to_owned()).or_default() += 1;
        }
    }

    pub(super) fn tick(&mut self, out: &mut String, at: Timestamp) {
        self.began.get_or_insert(at);
        let told = *self.told.get_or_insert(at);
        let seconds = at.duration_since(told).as_secs_f64();
        if seconds >= SECOND {
            table(out, self.format, at, "per_second", seconds, &self.counts);
            self.counts.clear();
            self.told = Some(at);
        }
    }

    pub(super) fn end(&self, out: &mut String, at: Timestamp) {
        let Some(began) = self.began else { return };
        let seconds = at.duration_since(began).as_secs_f64().max(SECOND);
        match self.format {
            OutputFormat::Text => counted(out, at, seconds, &self.sums),
            OutputFormat::Json => table(out, self.format, at, "per_second_in_all", seconds, &self.sums),
        }
    }
}

/// Appends counts beside rates, because a long-term rate says little about rare events.
fn counted(out: &mut String, at: Timestamp, seconds: f64, counts: &BTreeMap<String, u64>) {
    let total: u64 = counts.values().sum();
    let rate = rate(total, seconds);
    out.push_str(&format!("{at:.0} {total:>9} events in {seconds:.0} s, {rate:.1}/s\n"));
    for (name, count) in sorted(counts) {
        out.push_str(&format!("{:20} {count:>9} {}\n", "", clean::text(name)));
    }
}

fn sorted(counts: &BTreeMap<String, u64>) -> Vec<(&String, u64)> {
    let mut sorted: Vec<(&String, u64)> = counts.iter().map(|(name, count)| (name, *count)).collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    sorted
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown with one digit")]
fn rate(count: u64, seconds: f64) -> f64 {
    (count as f64 / seconds * 10.0).round() / 10.0
}

fn table(
    out: &mut String,
    format: OutputFormat,
    at: Timestamp,
    what: &str,
    seconds: f64,
    counts: &BTreeMap<String, u64>,
) {
    let rate = |count: u64| rate(count, seconds);
    let total: u64 = counts.values().sum();
    let sorted = sorted(counts);
    match format {
        OutputFormat::Text => {
            out.push_str(&format!("{at:.0} {:>9.1}/s in all\n", rate(total)));
            for (name, count) in sorted {
                out.push_str(&format!("{:20} {:>9.1}/s {}\n", "", rate(count), clean::text(name)));
            }
        }
        OutputFormat::Json => {
            let types: Map<String, Value> =
                sorted.iter().map(|(name, count)| ((*name).clone(), json!(rate(*count)))).collect();
            let at = format!("{at:.6}");
            let mut object =
                json!({"at": at, "seconds": seconds, "events": total, what: rate(total), "types": types});
            if what != "per_second" {
                object["counts"] = sorted.into_iter().map(|(name, count)| (name.clone(), count)).collect();
            }
            out.push_str(&clean::json(format!("{object}\n")));
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::command::tap::resource::about;

    #[test]
    fn a_long_name_is_counted_by_its_beginning() {
        let mut rates = Rates::new(OutputFormat::Text);
        let mut live = live::Live::new(0);
        for end in ["a", "b"] {
            let name = format!("{}{end}", "\u{e9}".repeat(200));
            rates.count(&event(&name));
            live.count(&name);
        }
        assert_eq!(rates.sums, BTreeMap::from([("\u{e9}".repeat(128), 2)]));
        assert_eq!(live.rows().0[0].name, "\u{e9}".repeat(128));
    }

    fn event(kind: &str) -> Result<TapEvent, UnreadableBody> {
        let notification = osnl_model::Notification { event_type: Some(kind.into()), ..Default::default() };
        let about = about(&notification);
        Ok(TapEvent { notification: notification.into(), about })
    }

    #[test]
    fn each_second_has_its_table_and_the_end_the_sums() {
        let check = |format, expected: &str| {
            let mut rates = Rates::new(format);
            let mut out = String::new();
            let at = |ms| Timestamp::UNIX_EPOCH + SignedDuration::from_millis(ms);
            rates.tick(&mut out, at(0));
            (0..3).for_each(|_| rates.count(&event("b")));
            rates.count(&event("a\x1b"));
            rates.tick(&mut out, at(999));
            assert_eq!(out, "");
            rates.tick(&mut out, at(2000));
            rates.tick(&mut out, at(3000));
            rates.end(&mut out, at(4000));
            assert_eq!(out, expected);
        };
        check(
            OutputFormat::Text,
            "1970-01-01T00:00:02Z       2.0/s in all\n                           1.5/s b\n                           0.5/s a\\x1b\n\
             1970-01-01T00:00:03Z       0.0/s in all\n\
             1970-01-01T00:00:04Z         4 events in 4 s, 1.0/s\n                             3 b\n                             1 a\\x1b\n",
        );
        check(
            OutputFormat::Json,
            "{\"at\":\"1970-01-01T00:00:02.000000Z\",\"events\":4,\"per_second\":2.0,\"seconds\":2.0,\"types\":{\"a\\u001b\":0.5,\"b\":1.5}}\n\
             {\"at\":\"1970-01-01T00:00:03.000000Z\",\"events\":0,\"per_second\":0.0,\"seconds\":1.0,\"types\":{}}\n\
             {\"at\":\"1970-01-01T00:00:04.000000Z\",\"counts\":{\"a\\u001b\":1,\"b\":3},\"events\":4,\"per_second_in_all\":1.0,\"seconds\":4.0,\"types\":{\"a\\u001b\":0.3,\"b\":0.8}}\n",
        );
    }
}
