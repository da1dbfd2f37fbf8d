//! `osnl deliveries list`: deliveries of one cause are one row with a count, unless each is asked for.

use std::collections::HashMap;
use std::ops::Range;

use osnl::control::{
    ControlRequest, Delivery, DeliveryGroups, List, ListOrder, StateTone, StateTotals, Which, grouped,
};
use osnl::journal::query::Phase;

use super::super::asking::{NoAnswer, Respondent, age, print_json, print_tinted, short};
use super::super::table::{breadth, table, table_within};
use super::args::{ListArgs, Sort};
use super::{deliveries, which};
use crate::exit::Exit;
use crate::flags::OutputFormat;
use crate::output;
use crate::terminal::{self, Tone};

/// The breadth of a list that goes elsewhere than to a terminal.
const NARROW: usize = 100;
/// The room that a state has at most.
const STATE: usize = 26;
/// The room that a result has at least.
const RESULT: usize = 16;
/// The rows that a screen of 24 lines has room for.
const SCREEN: u32 = 20;
const PAGE: u32 = 50;
const DONE: [Phase; 4] = [Phase::Delivered, Phase::NoActionNeeded, Phase::Shadow, Phase::Discarded];

pub(super) fn run(args: &ListArgs) -> Result<Exit, NoAnswer> {
    let filter = Which { about: args.about.clone(), ..which(&[], &args.filter) };
    let respondent = Respondent::for_place(&args.place)?;
    // One action and its states are what a folded row opens to.
    let is_open = filter.action.is_some() && !filter.states.is_empty();
    let is_one = !filter.about.is_empty() || filter.event.is_some() || filter.resource.is_some();
    let is_plain = args.sort.is_some() || args.after.is_some() || args.wide;
    if !is_open && !is_one && !is_plain && args.format.format == OutputFormat::Text {
        return folded(&respondent, filter, args.limit.unwrap_or(SCREEN));
    }
    let order = match args.sort {
        Some(Sort::Oldest) => ListOrder::Oldest,
        Some(Sort::Newest) | None => ListOrder::Newest,
    };
    let limit = args.limit.unwrap_or(PAGE);
    let list = respondent.ask(&request(filter, order, args.after.clone(), limit))?;
    Ok(print(&list, args.format.format, args.wide))
}

fn request(filter: Which, order: ListOrder, after: Option<String>, limit: u32) -> ControlRequest {
    ControlRequest::List { filter, order, after, limit, count_at_most: None }
}

fn folded(respondent: &Respondent, filter: Which, limit: u32) -> Result<Exit, NoAnswer> {
    let found: DeliveryGroups = respondent.ask(&ControlRequest::Groups { filter: filter.clone() })?;
    let mut rows: Vec<ListRow<'_>> = found.groups.iter().map(ListRow::from_group).collect();
    let is_asked = |phase: &Phase| {
        let mut named = filter.states.iter().filter_map(|name| Phase::named(name));
        filter.states.is_empty() || named.any(|phases| phases.contains(phase))
    };
    let states = DONE.into_iter().filter(is_asked).map(|phase| phase.word().to_owned()).collect::<Vec<_>>();
    let left = limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(limit));
    let more = rows.len().saturating_sub(limit as usize);
    rows.truncate(limit as usize);
    let mut done = None;
    if !states.is_empty() && left > 0 {
        let which = Which { states, ..filter };
        done = Some(respondent.ask::<List>(&request(which, ListOrder::Newest, None, left))?);
    }
    let done = done.as_ref();
    rows.extend(done.into_iter().flat_map(|list| &list.deliveries).map(ListRow::single));
    let mut text = narrow(&rows, terminal::columns().unwrap_or(NARROW));
    // Behind rows with counts a page of the finished ones would begin anew.
    text.push_str(&ending(&found.totals, done.filter(|_| found.groups.is_empty())));
    if more > 0 {
        text.push_str(&format!("{} not shown: --limit {}\n", grouped(more as u64), rows.len() + more));
    }
    if let Some(group) = found.groups.iter().find(|group| group.count > 1) {
        let (action, state) = (&group.newest.action, group.searched_state());
        text.push_str(&format!(
            "each of a row with a count: osnl deliveries list --action {} --state {state}\n",
            short(action, 60)
        ));
    }
    Ok(print_tinted(&text, tint(&state_cells(&rows))))
}

pub(super) fn print(list: &List, format: OutputFormat, is_wide: bool) -> Exit {
    match format {
        OutputFormat::Json => print_json(list),
        OutputFormat::Text => {
            let rows: Vec<ListRow<'_>> = list.deliveries.iter().map(ListRow::single).collect();
            let columns = terminal::columns().unwrap_or(NARROW);
            let table = if is_wide { wide(&list.deliveries) } else { narrow(&rows, columns) };
            let states = if is_wide { wide_state_cells(&list.deliveries) } else { state_cells(&rows) };
            print_tinted(&(table + &ending(&list.totals, Some(list))), tint(&states))
        }
    }
}

fn ending(totals: &StateTotals, page: Option<&List>) -> String {
    let by_state: Vec<String> =
        totals.named().iter().map(|(state, count)| format!("{} {state}", grouped(*count))).collect();
    let mut text = match totals.all {
        0 => "no deliveries\n".to_owned(),
        all => format!("{}: {}\n", deliveries(all), by_state.join(", ")),
    };
    if let Some((next, page)) = page.and_then(|page| Some((page.next.as_ref()?, page))) {
        text.push_str(&format!(
            "{} shown; the next page: --after {next}\n",
            grouped(page.deliveries.len() as u64)
        ));
    }
    text
}

struct ListRow<'a> {
    count: u64,
    has_more: bool,
    delivery: &'a Delivery,
    state: String,
    tone: StateTone,
}

impl<'a> ListRow<'a> {
    fn from_group(group: &'a osnl::control::DeliveryGroup) -> Self {
        let state = group.short_state();
        let (count, has_more, tone) = (group.count, group.has_more, group.tone());
        Self { count, has_more, delivery: &group.newest, state, tone }
    }

    fn single(delivery: &'a Delivery) -> Self {
        Self { count: 1, has_more: false, delivery, state: delivery.short_state(), tone: delivery.tone() }
    }

    fn is_group(&self) -> bool {
        self.count > 1 || self.has_more
    }
}

fn narrow(rows: &[ListRow<'_>], columns: usize) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let has_counts = rows.iter().any(ListRow::is_group);
    let cells = |row: &ListRow<'_>| {
        let of = row.delivery;
        let more = if row.has_more { "+" } else { "" };
        let count = if row.is_group() { format!("{}{more} ×", grouped(row.count)) } else { String::new() };
        let resource = of.short_resource().filter(|_| !row.is_group());
        let resource = resource.map_or("-".to_owned(), |resource| short(&resource, 24));
        let state = short(&row.state, STATE);
        let newest = if row.is_group() { "newest " } else { "" };
        let old = format!("{newest}{}", age(of.age_seconds));
        let mut cells = vec![of.id.clone(), state, old, short(&of.action, 16), resource];
        if has_counts {
            cells.insert(1, count);
        }
        cells
    };
    let mut heads: Vec<String> = ["ID", "STATE", "AGE", "ACTION", "RESOURCE"].map(str::to_owned).to_vec();
    if has_counts {
        heads.insert(1, "COUNT".to_owned());
    }
    let mut all = vec![heads];
    all.extend(rows.iter().map(cells));
    let room = columns.saturating_sub(breadth(&table(&all)) + 2).max(RESULT);
    all[0].push("RESULT".to_owned());
    for (cells, row) in all.iter_mut().skip(1).zip(rows) {
        cells.push(short(row.delivery.short_result().as_deref().unwrap_or("-"), room));
    }
    let resource = all[0].len() - 2;
    table_within(all, Some(columns), &[resource, resource - 2])
}

fn wide(deliveries: &[Delivery]) -> String {
    if deliveries.is_empty() {
        return String::new();
    }
    let heads =
        ["ID", "STATE", "AGE", "ACTION", "RULE", "EVENT TYPE", "RESOURCE", "KEY", "ATTEMPTS", "RESULT"];
    let or_none = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), |text| short(text, 200));
    let row = |of: &Delivery| {
        vec![
            of.id.clone(),
            of.state_text(),
            age(of.age_seconds),
            short(&of.action, 200),
            short(&of.rule, 200),
            or_none(&of.event_type),
            or_none(&of.resource_text()),
            or_none(&of.key),
            of.attempts_text(),
            or_none(&of.reason.clone().or_else(|| of.last_answer.clone())),
        ]
    };
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(deliveries.iter().map(row));
    table(rows)
}

/// The state of each row as its cell has it, with its colour, by the id of the row.
type StateCells<'a> = HashMap<&'a str, (String, Tone)>;

fn state_cells<'a>(rows: &[ListRow<'a>]) -> StateCells<'a> {
    rows.iter().map(|row| (&*row.delivery.id, (short(&row.state, STATE), row.tone.into()))).collect()
}

fn wide_state_cells(deliveries: &[Delivery]) -> StateCells<'_> {
    deliveries.iter().map(|of| (&*of.id, (of.state_text(), of.tone().into()))).collect()
}

fn tint(states: &StateCells<'_>) -> impl Fn(&str) -> Option<(Tone, Range<usize>)> {
    move |line| {
        if line.starts_with("ID ") {
            return output::all(Tone::Dim, line);
        }
        let (id, rest) = line.split_once("  ")?;
        let (state, tone) = states.get(id)?;
        let from = line.len() - rest.len() + rest.find(state.as_str())?;
        Some((*tone, from..from + state.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_what_is_coloured() {
        let states = HashMap::from([("17.0", ("paused by eve".to_owned(), Tone::Warn))]);
        for (line, expected) in [
            ("17.0  paused by eve  1 s", Some("paused by eve")),
            ("17.0  1,781+ ×  paused by eve  1 s", Some("paused by eve")),
            ("18.0  paused by eve  1 s", None),
            ("      web-7, 1 made", None),
            ("2 deliveries: 1 dead", None),
        ] {
            assert_eq!(tint(&states)(line).map(|(_, part)| &line[part]), expected, "{line}");
        }
    }

    #[test]
    fn a_list_fits_a_hundred_columns_and_a_row_has_its_count() {
        let delivery = |id: &str, state: &str, answer: &str| -> Delivery {
            serde_json::from_value(serde_json::json!({
                "id": id, "state": state, "received": "", "age_seconds": 1260, "ended": null, "action": "ticket",
                "rule": "deleted-instances", "event_type": "compute.instance.delete.end", "failed_attempts": 7,
                "reason": answer, "queue": "q", "message_id": null, "copies": 0,
                "resource_id": "6a1f7c1e-7a0b-4c55-9d0e-3f6c1b2a9e00",
                "waits_for": (state == "retrying").then(|| serde_json::json!({"kind": "target-down"})),
            }))
            .unwrap()
        };
        let answer = "status 400: Bad Request, reply: {\"error\":\"no such field: tags\"}";
        let (dead, many) = (delivery("4711.0", "dead", answer), delivery("5120.1", "retrying", answer));
        let rows =
            [ListRow::single(&dead), ListRow { count: 1781, has_more: true, ..ListRow::single(&many) }];
        let expected = [
            "ID      COUNT     STATE        AGE            ACTION  RESOURCE  RESULT",
            "4711.0            dead         21 min         ticket  6a1f7c1e  400 no such field: tags",
            "5120.1  1,781+ ×  target down  newest 21 min  ticket  -         400 no such field: tags",
        ];
        assert_eq!(narrow(&rows, 100).lines().collect::<Vec<_>>(), expected);
        assert!(narrow(&rows, 72).lines().all(|line| line.chars().count() <= 72));
        assert!(!narrow(&rows, 64).contains("RESOURCE"));
    }
}
