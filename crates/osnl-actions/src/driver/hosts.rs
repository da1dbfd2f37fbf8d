use super::SectionReader;

use osnl_config::rate::{self, RateError};
use osnl_config::{Rate, shown};

use osnl_delivery::HostLimits;

/// The bound exists because each call takes memory and, for most targets, a connection.
const MOST_AT_ONCE: u32 = 1000;

pub fn hosts(reader: &mut SectionReader<'_>, from_event: bool) -> Option<HostLimits> {
    let is_set = |option: &&str| reader.is_set(option);
    let set: Vec<&str> = ["host_concurrency", "host_rate"].into_iter().filter(is_set).collect();
    if let (Some(option), false) = (set.first(), from_event) {
        let problem = "limits each host that an event names, but the host of url is fixed";
        return reader.refuse(option, problem, "remove the line; concurrency and rate limit the target");
    }
    let concurrency = match set.contains(&"host_concurrency") {
        true => Some(usize::try_from(reader.number("host_concurrency", 1, MOST_AT_ONCE)?).ok()?),
        false => None,
    };
    Some(HostLimits { concurrency, rate: rate(reader, "host_rate", "calls")? })
}

fn rate(reader: &mut SectionReader<'_>, option: &str, what: &str) -> Option<Option<Rate>> {
    if !reader.is_set(option) {
        return Some(None);
    }
    let text = reader.text(option)?;
    match rate::parse(&text) {
        Ok(rate) => Some(Some(rate)),
        Err(RateError::Form) => {
            let problem = format!("{} is not a rate", shown(&text));
            reader.refuse(
                option,
                &problem,
                &format!("write 100 per 10m: at most this many {what} within that time"),
            )
        }
        Err(RateError::Range) => {
            let problem = format!("{} is out of range", shown(&text));
            reader.refuse(option, &problem, "allowed: 1 to 1000000 per 1s to 7d")
        }
    }
}
