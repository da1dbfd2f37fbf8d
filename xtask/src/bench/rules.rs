//! A thousand rules: the cost of a message must not grow with their number.

use anyhow::Result;

use super::sections::{Effort, Load, drain};
use super::stage::{Program, Stage, When};

/// A thousand rules against one, without and with `when`.
pub(super) fn thousand(stage: &Stage, effort: Effort) -> Result<()> {
    let title = "(rules) one message in a hundred matches the last rule, the others match none";
    let programs = [When::No, When::AfterHead]
        .map(|when| [Program::Rules(1, when), Program::Rules(1000, when)])
        .concat();
    drain(stage, title, &programs, effort.rounds, Load::one_percent(effort))?.print();
    // A thousand expressions for each message take their time.
    let load = Load { count: effort.mostly_unmatched / 20, ..Load::one_percent(effort) };
    let title = "(rules) the same, decided by nothing but when";
    let programs = [Program::Rules(1, When::Alone), Program::Rules(1000, When::Alone)];
    drain(stage, title, &programs, effort.rounds, load)?.print();
    Ok(())
}
