//! Measures the network to the database: how long the largest message takes, and whether the lease is long
//! enough for it.

use std::time::{Duration, Instant};

use osnl_journal::shared::{DatabaseFact, FactKind};
use tokio_postgres::Error;

use crate::session::{LARGE, Session};

/// Above this many bytes a second, a second measurement sends more bytes for precision.
const FAST: f64 = 2_000_000.0;
const MANY: usize = 1 << 20;
/// A message that takes longer blocks its queue for too long.
const LONGEST: Duration = Duration::from_secs(60);
const ANSWER: &str = "SELECT 1";
const LENGTH: &str = "SELECT octet_length($1::bytea)";

pub(crate) async fn inspect(
    session: &mut Session,
    lease: Duration,
    largest_body: u64,
) -> Result<DatabaseFact, Error> {
    // Both statements are prepared before the measurement.
    session.query(ANSWER, &[]).await?;
    session.query(LENGTH, &[&&[0_u8][..]]).await?;
    let begun = Instant::now();
    session.query(ANSWER, &[]).await?;
    let answer = begun.elapsed();
    let mut speed = sent(session, LARGE, answer).await?;
    if speed > FAST {
        speed = sent(session, MANY, answer).await?;
    }
    Ok(judge(answer, speed, lease, largest_body))
}

async fn sent(session: &mut Session, count: usize, answer: Duration) -> Result<f64, Error> {
    // Random bytes cannot be compressed on the way.
    let bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(count).collect();
    let begun = Instant::now();
    session.query(LENGTH, &[&&bytes[..]]).await?;
    let took = begun.elapsed().saturating_sub(answer).max(Duration::from_millis(1));
    Ok(count as f64 / took.as_secs_f64())
}

fn judge(answer: Duration, speed: f64, lease: Duration, largest_body: u64) -> DatabaseFact {
    let takes = Duration::from_secs_f64(largest_body as f64 / speed);
    let found = format!(
        "{:.0} KiB/s, an answer in {:.1} ms; the largest message (max_body, {} MiB) takes {:.1} s, and its queue waits",
        speed / 1024.0,
        answer.as_secs_f64() * 1000.0,
        largest_body as f64 / f64::from(1 << 20),
        takes.as_secs_f64(),
    );
    let part = Duration::from_secs_f64(LARGE as f64 / speed) + answer;
    let advice = if part > lease / 3 {
        let shortest = (part.as_secs_f64() * 3.0).ceil();
        Some(format!("set lease = {shortest}s or longer on all daemons, or use a database that is nearer"))
    } else if takes > LONGEST {
        let fits = (speed * LONGEST.as_secs_f64() / 1024.0).floor();
        Some(format!("max_body = {fits}KiB is sent within a minute, or use a database that is nearer"))
    } else {
        None
    };
    let kind = if advice.is_some() { FactKind::Warning } else { FactKind::Fine };
    DatabaseFact { part: "network", kind, found, advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_network_is_judged_by_lease_and_largest_message() {
        let check = |kib: f64, lease, mib: u64, expected: Option<&str>| {
            let answer = Duration::from_millis(1);
            let fact = judge(answer, kib * 1024.0, Duration::from_secs(lease), mib << 20);
            let advice = fact.advice.unwrap_or_default();
            assert!(expected.map_or(advice.is_empty(), |words| advice.contains(words)), "{kib}: {advice}");
        };
        check(100_000.0, 2, 128, None);
        check(600.0, 15, 4, None);
        check(600.0, 15, 128, Some("max_body = 36000KiB"));
        check(50.0, 2, 4, Some("lease = 4s or longer"));
    }
}
