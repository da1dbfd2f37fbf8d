use std::time::Duration;

use osnl_transport::PartitionSeen;
use tokio::time::Instant;

use super::status::{LagStatus, PartitionLag};
use super::time::span;

/// An older end is out of date: brokers are asked every ten seconds, and may take thirty.
const STALE: Duration = Duration::from_secs(60);

pub(super) fn is_stale(at: Instant) -> bool {
    at.elapsed() >= STALE
}

impl PartitionLag {
    pub(crate) fn new(seen: &PartitionSeen, is_subscribed: bool, now: Instant) -> Self {
        let age = seen.end.map(|(_, at)| now.saturating_duration_since(at));
        let is_fresh = is_subscribed && age.is_some_and(|age| age < STALE);
        let unknown = || match (is_subscribed, &seen.unknown, age) {
            (false, _, _) => "the listener is not connected".to_owned(),
            (true, Some(reason), _) => reason.clone(),
            (true, None, Some(age)) => {
                format!("its broker has not answered for {}", span(age.as_secs()))
            }
            (true, None, None) => "its broker has not answered yet".to_owned(),
        };
        Self {
            topic: seen.topic.to_string(),
            partition: seen.partition,
            lag: seen.lag().filter(|_| is_fresh),
            reason: (!is_fresh).then(unknown),
            current_offset: seen.next,
            end_offset: seen.end.map(|(end, _)| end),
            seen_seconds: age.map(|age| age.as_secs()),
            lost: seen.lost.map(|lost| lost.to_string()),
        }
    }
}

impl LagStatus {
    pub(super) fn new(group: String, partitions: Vec<PartitionLag>) -> Self {
        let sum = partitions.iter().map(|partition| partition.lag).sum();
        Self { group, messages: if partitions.is_empty() { None } else { sum }, partitions }
    }

    #[must_use]
    pub fn text(&self) -> String {
        let group = &self.group;
        let known: Vec<(&PartitionLag, u64)> =
            self.partitions.iter().filter_map(|partition| Some((partition, partition.lag?))).collect();
        let in_all = match self.partitions.len() {
            0 => return format!("group {group} has given it no partition"),
            1 => "1 partition".to_owned(),
            many => format!("{many} partitions"),
        };
        let name = |partition: &PartitionLag| format!("{}/{}", partition.topic, partition.partition);
        let unknown: Vec<&PartitionLag> = self.partitions.iter().filter(|p| p.lag.is_none()).collect();
        let why = unknown.first().map(|first| {
            let reason = first.reason.as_deref().unwrap_or("no answer");
            match unknown.len() {
                1 => format!("{}: {reason}", name(first)),
                many => format!("{} and {} more: {reason}", name(first), many - 1),
            }
        });
        let sum: u64 = known.iter().map(|(_, lag)| lag).sum();
        let most = known.iter().max_by_key(|(_, lag)| *lag).filter(|(_, lag)| *lag > 0 && known.len() > 1);
        let most = most.map_or_else(String::new, |(p, lag)| format!(", most in {}: {lag}", name(p)));
        let age = known.iter().filter_map(|(p, _)| p.seen_seconds).max();
        let age = age.map_or_else(String::new, |seconds| format!(", {} ago", span(seconds)));
        match why {
            None => format!("lag {sum} of group {group} in {in_all}{most}{age}"),
            Some(why) if known.is_empty() => format!("lag of group {group} unknown in {in_all} ({why})"),
            Some(why) => {
                format!(
                    "lag of group {group}: unknown in {} of {in_all} ({why}), {sum} in the others{most}{age}",
                    unknown.len()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    type PartitionCase = (i32, i64, Option<(i64, u64)>, Option<&'static str>);

    fn check(is_subscribed: bool, seen: &[PartitionCase], expected: &str) {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let of = |(partition, next, end, unknown): &PartitionCase| {
            let seen = PartitionSeen {
                topic: "n.info".into(),
                partition: *partition,
                next: *next,
                end: end.map(|(end, seconds)| (end, at(seconds))),
                unknown: unknown.map(str::to_owned),
                lost: None,
            };
            PartitionLag::new(&seen, is_subscribed, begun + NOW)
        };
        let partitions: Vec<PartitionLag> = seen.iter().map(of).collect();
        let status = LagStatus::new("g".to_owned(), partitions);
        assert_eq!(status.text(), expected);
        let is_known = !seen.is_empty() && status.partitions.iter().all(|partition| partition.lag.is_some());
        assert_eq!(status.messages.is_some(), is_known, "{expected}");
    }

    #[test]
    fn a_lag_that_is_not_known_is_never_a_number() {
        check(true, &[], "group g has given it no partition");
        check(true, &[(0, 5, Some((5, 997)), None)], "lag 0 of group g in 1 partition, 3 s ago");
        let two: [PartitionCase; 2] = [(0, 5, Some((7, 997)), None), (1, 0, Some((9, 990)), None)];
        check(true, &two, "lag 11 of group g in 2 partitions, most in n.info/1: 9, 10 s ago");
        check(
            true,
            &[(0, 5, Some((7, 997)), None), (1, 0, None, Some("it has no leader"))],
            "lag of group g: unknown in 1 of 2 partitions (n.info/1: it has no leader), 2 in the others, 3 s ago",
        );
        check(
            true,
            &[(0, 5, Some((7, 900)), None), (1, 5, Some((7, 940)), None)],
            "lag of group g unknown in 2 partitions (n.info/0 and 1 more: its broker has not answered for 100 s)",
        );
        check(
            true,
            &[(0, 5, None, None)],
            "lag of group g unknown in 1 partition (n.info/0: its broker has not answered yet)",
        );
        check(
            false,
            &[(0, 5, Some((7, 999)), None)],
            "lag of group g unknown in 1 partition (n.info/0: the listener is not connected)",
        );
    }

    #[test]
    fn an_answer_counts_for_a_minute() {
        check(
            true,
            &[(0, 5, Some((7, 941)), Some("timed out"))],
            "lag 2 of group g in 1 partition, 59 s ago",
        );
        check(
            true,
            &[(0, 5, Some((7, 940)), Some("timed out"))],
            "lag of group g unknown in 1 partition (n.info/0: timed out)",
        );
    }
}
