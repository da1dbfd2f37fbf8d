//! The output of `osnl verify`.

use std::time::SystemTime;

use osnl::control::{counted, grouped};
use osnl::explain::{json, words};
use osnl::journal::query::Phase;
use osnl::verify::{DeletionPlan, LeftOut, ResourceId, Stretch, VerifyTally};
use serde_json::{Value, json};

use super::VerifyArgs;
use crate::command::saved_events::{StandardOutput, masked, time};
use crate::exit::Exit;
use crate::flags::OutputFormat;

/// The resources that are shown as text without `--verbose`.
const SHOWN: u64 = 20;

/// Writes what is found, and counts it for the last line.
pub(super) struct VerifyReport<'a> {
    args: &'a VerifyArgs,
    out: StandardOutput,
    shown: u64,
    /// The time before the ids were read, or at which their file was changed. The target may hold others since.
    ids_of: SystemTime,
    planned: u64,
    pub(super) appended: u64,
    young: u64,
    already: u64,
    no_effect: u64,
}

impl<'a> VerifyReport<'a> {
    pub(super) fn new(args: &'a VerifyArgs, ids_of: SystemTime) -> Self {
        let out = StandardOutput::plain();
        Self { args, out, shown: 0, ids_of, planned: 0, appended: 0, young: 0, already: 0, no_effect: 0 }
    }

    pub(super) fn stretch(&mut self, stretch: &Stretch, plans: &[(ResourceId, DeletionPlan)]) {
        for (id, plan) in plans {
            let left_out = match plan {
                DeletionPlan::Append(_) => {
                    self.planned += 1;
                    None
                }
                DeletionPlan::LeftOut(LeftOut::Young) => {
                    self.young += 1;
                    Some("an event about it is younger than --settled".to_owned())
                }
                DeletionPlan::LeftOut(LeftOut::AlreadyAppended(state)) => {
                    self.already += 1;
                    Some(format!("an earlier run appended its deletion, which is {}", Phase::word_of(*state)))
                }
                DeletionPlan::LeftOut(LeftOut::InVain { event, state }) => {
                    self.no_effect += 1;
                    let state = Phase::word_of(*state);
                    Some(format!(
                        "an earlier run appended its deletion, which is {state}, and the target holds it: osnl replay \
                         --id {event} --live repeats it"
                    ))
                }
                DeletionPlan::LeftOut(LeftOut::NoEffect(why)) => {
                    self.no_effect += 1;
                    Some(why.clone())
                }
            };
            self.gone(*id, plan, left_out.as_deref());
        }
        for (id, why) in &stretch.unknown {
            let object = json!({"id": id.to_string(), "answer": "unknown", "reason": why});
            let line = format!("{} {id} is unknown: {}", self.args.kind, masked(why));
            self.show(object, &line);
        }
    }

    fn gone(&mut self, id: ResourceId, plan: &DeletionPlan, left_out: Option<&str>) {
        let mut line = format!("{} {id} is gone", self.args.kind);
        if let Some(why) = left_out {
            line += &format!("; left out: {}", masked(why));
        }
        let mut effects = Vec::new();
        if let DeletionPlan::Append(event) = plan {
            for (_, effect) in event.trace.effects() {
                let words = if self.args.live.is_live() { words::will(effect) } else { words::would(effect) };
                line += &format!("\n  {}", words.trim_start());
                effects.push(json::effect(effect));
            }
        }
        let object =
            json!({"id": id.to_string(), "answer": "gone", "left_out": left_out, "actions": effects});
        self.show(object, &line);
    }

    fn show(&mut self, object: Value, line: &str) {
        self.shown += 1;
        match self.args.format {
            OutputFormat::Json => self.out.json(object),
            OutputFormat::Text if self.args.verbose || self.shown <= SHOWN => self.out.line(line),
            OutputFormat::Text => {}
        }
    }

    fn is_complete(&self, tally: VerifyTally, is_whole: bool) -> bool {
        is_whole && tally.unknown == 0 && self.no_effect == 0
    }

    /// Returns the time before which each deletion is found; `None` if an answer is missing, or a part of the ids.
    pub(super) fn covers_until(&self, tally: VerifyTally, is_whole: bool) -> Option<SystemTime> {
        let is_all = self.is_complete(tally, is_whole) && self.young == 0 && self.args.after.is_none();
        is_all.then_some(self.ids_of)
    }

    /// `closed`: the gaps that the verification has closed.
    pub(super) fn end(
        mut self,
        tally: VerifyTally,
        is_whole: bool,
        done: Option<ResourceId>,
        closed: usize,
    ) -> Exit {
        let VerifyTally { asked, there, gone, unknown } = tally;
        let (is_complete, covers) =
            (self.is_complete(tally, is_whole), self.covers_until(tally, is_whole).map(time));
        match self.args.format {
            OutputFormat::Json => self.out.json(json!({"summary": {
                "kind": self.args.kind.to_string(),
                "asked": asked,
                "there": there,
                "gone": gone,
                "unknown": unknown,
                "planned": self.planned,
                "appended": self.appended,
                "young": self.young,
                "appended_before": self.already,
                "without_effect": self.no_effect,
                "complete": is_complete,
                "covers_until": covers,
                "gaps_closed": closed,
                "after": done.map(|id| id.to_string()),
                "live": self.args.live.is_live(),
            }})),
            OutputFormat::Text => {
                let hidden = if self.args.verbose { 0 } else { self.shown.saturating_sub(SHOWN) };
                if hidden > 0 {
                    self.out.line(&format!("{} more: --verbose shows each", grouped(hidden)));
                }
                let closed = match closed {
                    0 => String::new(),
                    closed => format!("; {} closed", counted(closed as u64, "gap", "gaps")),
                };
                self.out.line(&format!("{}{closed}", self.text(tally)));
            }
        }
        self.out.end(if is_complete { Exit::Done } else { Exit::Failed })
    }

    fn text(&self, VerifyTally { asked, there, gone, unknown }: VerifyTally) -> String {
        let kinds = counted(asked, &self.args.kind.to_string(), &format!("{}s", self.args.kind));
        let left_out = self.young + self.already + self.no_effect;
        let left_out = if left_out > 0 { format!(", {} left out", grouped(left_out)) } else { String::new() };
        let done = match (self.args.live.is_live(), self.planned) {
            (true, _) => format!("{} appended", counted(self.appended, "deletion", "deletions")),
            (false, 0) => "nothing was changed".to_owned(),
            (false, planned) => format!(
                "would append {}; nothing was changed; --live appends them",
                counted(planned, "deletion", "deletions")
            ),
        };
        format!(
            "{kinds} asked about: {} there, {} gone, {} unknown{left_out}; {done}",
            grouped(there),
            grouped(gone),
            grouped(unknown)
        )
    }
}
