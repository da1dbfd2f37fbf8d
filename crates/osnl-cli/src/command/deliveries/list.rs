use osnl::control::{ControlRequest, Delivery, List, ListOrder, Which};
use osnl::journal::query::Phase;

use super::super::asking::{NoAnswer, Respondent, age, print_json, print_tinted, short};
use super::super::table::{breadth, table};
use super::args::{ListArgs, Sort};
use super::{deliveries, which};
use crate::exit::Exit;
use crate::flags::OutputFormat;
use crate::output;
use crate::terminal::{self, Tone};

const NAMED: usize = 6;
const KEY: usize = 7;

pub(super) fn run(args: &ListArgs) -> Result<Exit, NoAnswer> {
    let filter = Which { about: args.about.clone(), ..which(&[], &args.filter) };
    let order = match args.sort {
        Sort::Attention => ListOrder::Attention,
        Sort::Newest => ListOrder::Newest,
        Sort::Oldest => ListOrder::Oldest,
    };
    let request = ControlRequest::List {
        filter,
        order,
        after: args.after.clone(),
        limit: args.limit,
        count_at_most: None,
    };
    let list: List = Respondent::of(&args.place)?.ask(&request)?;
    Ok(print(&list, args.format.format))
}

pub(super) fn print(list: &List, format: OutputFormat) -> Exit {
    match format {
        OutputFormat::Json => print_json(list),
        OutputFormat::Text => print_tinted(&text(list, terminal::columns()), tint),
    }
}

fn text(list: &List, columns: Option<usize>) -> String {
    let mut text = String::new();
    if !list.deliveries.is_empty() {
        let heads =
            ["ID", "STATE", "AGE", "ACTION", "RULE", "EVENT TYPE", "RESOURCE", "KEY", "ATTEMPTS", "RESULT"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        rows.extend(list.deliveries.iter().map(row));
        // For most resources the order key repeats the id, so the column is left out.
        if list.deliveries.iter().all(has_own_key) {
            rows.iter_mut().for_each(|row| drop(row.remove(KEY)));
        }
        text = fitted(rows, columns);
    }
    let by_state = || list.totals.by_state.iter().map(|(state, count)| format!("{count} {state}"));
    text.push_str(&match list.totals.all {
        0 => "no deliveries\n".to_owned(),
        all => format!("{}: {}\n", deliveries(all), by_state().collect::<Vec<_>>().join(", ")),
    });
    if let Some(next) = &list.next {
        text.push_str(&format!("{} shown; the next page: --after {next}\n", list.deliveries.len()));
    }
    text
}

fn has_own_key(delivery: &Delivery) -> bool {
    match (&delivery.key, &delivery.resource_id) {
        (None, _) | (Some(_), None) => true,
        (Some(key), Some(id)) => key.eq_ignore_ascii_case(id),
    }
}

/// Returns the table. On a narrow terminal each delivery has a second line with its resource and
/// its reason.
fn fitted(mut rows: Vec<Vec<String>>, columns: Option<usize>) -> String {
    let whole = table(&rows);
    let Some(columns) = columns.filter(|columns| breadth(&whole) > *columns) else { return whole };
    let below: Vec<Vec<String>> = rows.iter_mut().map(|row| row.split_off(NAMED)).collect();
    let table = table(&rows);
    let mut lines = table.lines();
    let mut text = lines.next().unwrap_or_default().to_owned() + "\n";
    let names: Vec<String> = below.first().into_iter().flatten().map(|head| head.to_lowercase()).collect();
    for (line, below) in lines.zip(below.iter().skip(1)) {
        text.push_str(&format!("{line}\n"));
        let named = below.iter().zip(&names).filter(|(part, _)| !["-", "0"].contains(&part.as_str()));
        let mut parts: Vec<String> = named
            .map(|(part, name)| match name.as_str() {
                "key" | "attempts" => format!("{name} {part}"),
                _ => part.clone(),
            })
            .collect();
        // The reason matters more than the number of attempts, and the end may be cut.
        parts.sort_by_key(|part| part.starts_with("attempts "));
        if !parts.is_empty() {
            text.push_str(&format!("      {}\n", short(&parts.join(", "), columns.saturating_sub(6))));
        }
    }
    text
}

fn tint(line: &str) -> Option<(Tone, std::ops::Range<usize>)> {
    if line.starts_with("ID ") {
        return output::all(Tone::Dim, line);
    }
    let (id, rest) = line.split_once("  ").filter(|(id, _)| id.contains('.') && !id.starts_with(' '))?;
    let from = id.len() + 2 + (rest.len() - rest.trim_start().len());
    let (phase, word) = Phase::ALL
        .into_iter()
        .map(|phase| (phase, phase.word()))
        .filter(|(_, word)| line[from..].starts_with(word))
        .max_by_key(|(_, word)| word.len())?;
    Some((tone(phase), from..from + word.len()))
}

fn tone(phase: Phase) -> Tone {
    match phase {
        Phase::Dead => Tone::Bad,
        Phase::HeldByGuard | Phase::HeldAfterCrashes | Phase::Orphaned | Phase::Retrying => Tone::Warn,
        Phase::Delivered => Tone::Good,
        Phase::NoActionNeeded | Phase::Discarded | Phase::Shadow => Tone::Dim,
        Phase::Arrived | Phase::Ready | Phase::Running | Phase::Waiting => Tone::Plain,
    }
}

fn row(delivery: &Delivery) -> Vec<String> {
    let or_none =
        |text: &Option<String>, most| text.as_deref().map_or("-".to_owned(), |text| short(text, most));
    let result = match &delivery.reason {
        Some(done) if delivery.state == Phase::Delivered.word() => Some(status_first(done)),
        reason => reason.clone().or_else(|| delivery.last_answer.clone()),
    };
    vec![
        delivery.id.clone(),
        delivery.state_text(),
        age(delivery.age_seconds),
        short(&delivery.action, 20),
        short(&delivery.rule, 24),
        or_none(&delivery.event_type, 32),
        delivery.resource_text().map_or("-".to_owned(), |text| short(&text, 60)),
        or_none(&delivery.key, 36),
        delivery.attempts_text(),
        or_none(&result, 80),
    ]
}

/// Puts the status of an answer, such as `DELETE http://x: 204`, before the request, because a
/// narrow column cuts the end.
fn status_first(answer: &str) -> String {
    match answer.rsplit_once(": ") {
        Some((request, status)) if status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{status} for {request}")
        }
        _ => answer.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_what_is_coloured() {
        for (line, expected) in [
            ("17.0  held by guard  1 s", Some("held by guard")),
            ("17.0    held after crashes  1 s", Some("held after crashes")),
            ("17.0  no action needed  1 s", Some("no action needed")),
            ("      web-7, 1 made", None),
            ("2 deliveries: 1 dead", None),
        ] {
            assert_eq!(tint(line).map(|(_, part)| &line[part]), expected, "{line}");
        }
    }
}
