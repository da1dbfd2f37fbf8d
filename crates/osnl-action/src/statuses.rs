//! Sets of HTTP statuses, as options list them, and the judgement of a status by those of an action.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use osnl_config::typed::ValueRefusal;
use osnl_config::{Kind, OptionDef, OptionValue, shown};

use crate::ErrorClass;

const SEE_OTHER: u16 = 303;

/// A set of HTTP statuses, as an option lists them: `408, 425, 5xx, 300-303`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

/// A text that is not a list of HTTP statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a list of statuses")]
pub struct NoStatuses;

impl Statuses {
    #[must_use]
    pub fn usual() -> Self {
        Self(vec![408..=408, 425..=425, 429..=429, 500..=599])
    }

    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }

    #[must_use]
    pub(crate) fn shared_with(&self, other: &Self) -> Option<u16> {
        (100..=599).find(|status| self.contains(*status) && other.contains(*status))
    }

    #[must_use]
    pub(crate) fn without(&self, other: &Self) -> Self {
        let mut left: Vec<RangeInclusive<u16>> = Vec::new();
        for status in (100..=599).filter(|status| self.contains(*status) && !other.contains(*status)) {
            match left.last_mut() {
                Some(range) if *range.end() + 1 == status => *range = *range.start()..=status,
                Some(_) | None => left.push(status..=status),
            }
        }
        Self(left)
    }

    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Statuses {
    type Err = NoStatuses;

    fn from_str(text: &str) -> Result<Self, NoStatuses> {
        let number = |text: &str| match text.trim() {
            text if text.len() == 3 => {
                text.parse().ok().filter(|n| (100..=599).contains(n)).ok_or(NoStatuses)
            }
            _ => Err(NoStatuses),
        };
        if text.trim().is_empty() {
            return Ok(Self(Vec::new()));
        }
        let class = |item: &str| {
            let first = match item.trim() {
                "1xx" => 100,
                "2xx" => 200,
                "3xx" => 300,
                "4xx" => 400,
                "5xx" => 500,
                _ => return None,
            };
            Some(first..=first + 99)
        };
        let range = |item: &str| match item.split_once('-') {
            Some((first, last)) => match (number(first)?, number(last)?) {
                (first, last) if first <= last => Ok(first..=last),
                (_, _) => Err(NoStatuses),
            },
            None => class(item).map_or_else(|| number(item).map(|status| status..=status), Ok),
        };
        text.split(',').map(range).collect::<Result<_, _>>().map(Self)
    }
}

impl OptionValue for Statuses {
    const KIND: Kind = Kind::Form("statuses");

    fn parse(text: &str, option: &OptionDef) -> Result<Self, ValueRefusal> {
        if option.name == "success" && text.trim().is_empty() {
            let allowed = "write 2xx, or remove the line";
            return Err(ValueRefusal::new("is empty: no request could succeed", allowed));
        }
        text.parse().map_err(|_| {
            let allowed = match option.name == "retry" && text.trim().len() < 3 {
                true => "retry names statuses, such as 429, 5xx; the number of attempts is max_attempts",
                false => "write 2xx, 304",
            };
            ValueRefusal::new(format!("{} is not a list of statuses", shown(text)), allowed)
        })
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, range) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) if first % 100 == 0 && *last == first + 99 => {
                    write!(f, "{comma}{}xx", first / 100)?
                }
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// The classes of statuses. A status in none of the sets is refused: attempted `max_attempts`
/// times. 303 is final: the target may have done what was asked, and shows the result elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatusClasses {
    pub success: Statuses,
    pub retry: Statuses,
    pub last: Statuses,
}

impl StatusClasses {
    #[must_use]
    pub(crate) fn failure(&self, status: u16) -> Option<ErrorClass> {
        let later = matches!(status, 408 | 425 | 429 | 500..);
        if self.success.contains(status) {
            None
        } else if self.last.contains(status) || (status == SEE_OTHER && !self.retry.contains(status)) {
            Some(ErrorClass::Rejected)
        } else if self.retry.contains(status) {
            Some(if later { ErrorClass::Status(status) } else { ErrorClass::Busy(Some(status)) })
        } else {
            Some(if later { ErrorClass::Refused(Some(status)) } else { ErrorClass::Status(status) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_and_written() {
        for text in ["2xx", "408, 425, 429, 5xx", "200-298", "500-503, 599", "204", ""] {
            assert_eq!(text.parse::<Statuses>().expect(text).to_string(), text);
        }
        assert_eq!(" 200 - 204,410".parse::<Statuses>().unwrap().to_string(), "200-204, 410");
        assert_eq!("200-299, 5xx".parse(), "2xx,500-599".parse::<Statuses>());
        for text in [
            "6xx", "0xx", "xx", "20x", "+2xx", "2xx-3xx", "200,", ",", "99", "600", "0200", "+20", "299-200",
            "200-", "-200", "200 204",
        ] {
            assert_eq!(text.parse::<Statuses>(), Err(NoStatuses), "{text}");
        }
    }

    #[test]
    fn what_two_sets_share_is_found() {
        let set = |text: &str| text.parse::<Statuses>().unwrap();
        assert_eq!(set("200-299").shared_with(&set("250, 204")), Some(204));
        assert_eq!(set("200-299").shared_with(&set("300")), None);
    }

    #[test]
    fn a_set_without_another_has_the_rest() {
        let check = |one: &str, other: &str, rest: &str| {
            let set = |text: &str| text.parse::<Statuses>().unwrap();
            assert_eq!(set(one).without(&set(other)).to_string(), rest, "{one} without {other}");
        };
        check("2xx", "408, 425, 429, 5xx", "2xx");
        check("2xx", "202, 429", "200-201, 203-299");
        check("2xx", "200, 298-310", "201-297");
        check("200-201, 204", "201", "200, 204");
        check("2xx", "2xx", "");
    }

    #[test]
    fn a_status_is_what_its_set_says() {
        let judgement = |success: &str, retry: &str, last: &str| StatusClasses {
            success: success.parse().unwrap(),
            retry: retry.parse().unwrap(),
            last: last.parse().unwrap(),
        };
        let check = |judgement: &StatusClasses, status: u16, expected: Option<ErrorClass>| {
            assert_eq!(judgement.failure(status), expected, "{status}");
        };
        let usual = judgement("2xx", "408, 425, 429, 5xx", "");
        check(&usual, 200, None);
        check(&usual, 302, Some(ErrorClass::Status(302)));
        check(&usual, 303, Some(ErrorClass::Rejected));
        check(&judgement("2xx, 303", "", ""), 303, None);
        check(&judgement("2xx", "3xx", ""), 303, Some(ErrorClass::Busy(Some(303))));
        check(&usual, 404, Some(ErrorClass::Status(404)));
        check(&usual, 429, Some(ErrorClass::Status(429)));
        check(&usual, 503, Some(ErrorClass::Status(503)));
        let own = judgement("200-299, 404", "409, 503", "410, 422");
        check(&own, 404, None);
        check(&own, 409, Some(ErrorClass::Busy(Some(409))));
        check(&own, 503, Some(ErrorClass::Status(503)));
        check(&own, 500, Some(ErrorClass::Refused(Some(500))));
        check(&own, 410, Some(ErrorClass::Rejected));
    }
}
