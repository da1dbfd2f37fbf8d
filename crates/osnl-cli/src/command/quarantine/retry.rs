use osnl::control::{
    ControlRequest, MessageAgain, QuarantineChanges, QuarantineList, QuarantineShow, RequestProgress,
    WhichMessages,
};
use osnl::native::{self, Native};

use super::args::QuarantineRetryArgs;
use super::{asks, named, printed};
use crate::command::asking::{NoAnswer, Respondent};
use crate::command::progress::Display;
use crate::command::sources;
use crate::exit::Exit;
use crate::flags::{PlaceArgs, SourceArgs};

/// The most messages of one request; the daemon decodes each again.
const AT_ONCE: usize = 50;
/// The most numbers in the address of one request, whose head has 16 KiB.
const IDS_AT_ONCE: usize = 500;

pub(super) fn run(args: &QuarantineRetryArgs) -> Result<Exit, NoAnswer> {
    let filter = named(&args.which, args.how.all)?;
    let respondent = Respondent::for_place(&args.ask.place)?;
    let conf = configuration(&args.ask.place)?;
    let mut changes = QuarantineChanges { dry_run: args.how.dry_run, ..QuarantineChanges::default() };
    let mut group = Vec::new();
    let (seen, has_more) = numbers(&respondent, &filter)?;
    changes.is_at_least = has_more && filter.ids.is_empty();
    let (display, of) = (Display::start("messages", "tried"), seen.len() as u64);
    for (done, id) in (0..).zip(seen.iter().copied()) {
        display.show(RequestProgress { done, of });
        match plan(&respondent, &conf, id)? {
            Ok(_) if args.how.dry_run => changes.changed(id),
            Ok(again) => group.push(again),
            Err(why) => changes.refuse(id, why),
        }
        if group.len() == AT_ONCE {
            send(&respondent, &mut group, &mut changes)?;
        }
    }
    send(&respondent, &mut group, &mut changes)?;
    drop(display);
    for id in filter.ids.into_iter().filter(|id| !seen.contains(id)) {
        changes.refuse(id, "there is no message with this number, or another filter excludes it");
    }
    Ok(printed(&changes, "stored as events", args.ask.format.format))
}

/// The configuration is required, since only it has rules.
fn configuration(place: &PlaceArgs) -> Result<Native, NoAnswer> {
    let PlaceArgs { config_file, config_dir, state_dir, journal, .. } = place;
    if state_dir.is_some() || journal.is_some() {
        let why = "the rules decide about a message: name the configuration with -c";
        return Err(NoAnswer::new(Exit::Usage, why));
    }
    let (config_file, config_dir) = (config_file.clone(), config_dir.clone());
    match native::load(&sources::from_args(&SourceArgs { config_file, config_dir })) {
        Ok(loaded) => Ok(loaded.conf),
        Err(errors) => Err(NoAnswer::new(Exit::Config, errors.to_string())),
    }
}

/// Returns also whether more messages wait than osnl reads at once.
fn numbers(respondent: &Respondent, filter: &WhichMessages) -> Result<(Vec<i64>, bool), NoAnswer> {
    let mut ids = filter.ids.clone();
    ids.sort_unstable();
    ids.dedup();
    let groups = if ids.is_empty() { vec![&ids[..]] } else { ids.chunks(IDS_AT_ONCE).collect() };
    let (mut numbers, mut has_more) = (Vec::new(), false);
    for ids in groups {
        let (filter, mut after) = (WhichMessages { ids: ids.to_vec(), ..filter.clone() }, Some(0));
        while let Some(begin) = after {
            let request =
                ControlRequest::QuarantineList { filter: filter.clone(), after: begin, limit: 1000 };
            let list: QuarantineList = respondent.ask(&request)?;
            numbers.extend(list.messages.iter().map(|message| message.id));
            has_more |= list.is_at_least;
            after = list.next;
        }
    }
    Ok((numbers, has_more))
}

fn plan(respondent: &Respondent, conf: &Native, id: i64) -> Result<Result<MessageAgain, String>, NoAnswer> {
    let show: QuarantineShow = respondent.ask(&ControlRequest::QuarantineShow { id, raw: true })?;
    if !show.message.is_whole {
        return Ok(Err(format!("only the beginning of its {} bytes is kept", show.message.bytes)));
    }
    let received = match show.received() {
        Ok(received) => received,
        Err(why) => return Ok(Err(why)),
    };
    Ok(MessageAgain::planned(conf, id, received))
}

fn send(
    respondent: &Respondent,
    group: &mut Vec<MessageAgain>,
    changes: &mut QuarantineChanges,
) -> Result<(), NoAnswer> {
    let messages = std::mem::take(group);
    if messages.is_empty() {
        return Ok(());
    }
    let done: QuarantineChanges =
        respondent.ask(&ControlRequest::QuarantineRetry { messages, by: asks() })?;
    changes.add(done);
    Ok(())
}
