//! `osnl verify`: asks OpenStack whether the resources exist that a target holds, and appends a deletion event for each
//! that is gone. `osnl::verify` asks and plans; this command reads ids, shows, and appends stretch by stretch.

mod args;
mod report;

use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::SystemTime;

use osnl::action::http::HttpOptions;
use osnl::actions::k2hr3::K2hr3Conf;
use osnl::actions::k2hr3_register::K2hr3RegisterConf;
use osnl::control::{RequestProgress, counted};
use osnl::explain::Explainer;
use osnl::native::{ActionConf, JournalConf, Native};
use osnl::replay::ReplayEvent;
use osnl::verify::{
    Cloud, DeletionPlan, DeletionPlanner, Halt, ResourceId, ResourceIds, STRETCH, Stretch, Unproved, Verifier,
};

use self::args::IdSource;
pub(crate) use self::args::VerifyArgs;
use self::report::VerifyReport;
use super::confirm::agreed_to;
use super::progress::Display;
use super::replay::{AppendSettings, ReplayDaemon};
use super::saved_events::{self, SavedEventsRefusal, known, masked, say, time};
use crate::app;
use crate::exit::Exit;

pub(crate) fn run(args: &VerifyArgs) -> Exit {
    saved_events::with_configuration(&args.of, &[], None, |conf| verify(args, conf))
}

fn verify(args: &VerifyArgs, conf: &Native) -> Result<Exit, SavedEventsRefusal> {
    known("action", &args.action, conf.actions.iter().map(|action| &*action.name))?;
    let Some(action) = conf.actions.iter().find(|action| *action.name == *args.action) else {
        return Ok(Exit::Failed);
    };
    let began = SystemTime::now();
    args.live.check_terminal()?;
    let daemon = if args.live.is_live() { Some(daemon(args, conf)?) } else { None };
    let journal = match &conf.journal {
        JournalConf::Sqlite(options) if options.path.exists() => Some(saved_events::kept(conf)?),
        JournalConf::Sqlite(_) | JournalConf::Memory => None,
    };
    let http = HttpOptions::from_environment(std::env::vars_os());
    let runtime = app::runtime().map_err(|error| (Exit::Failed, error.to_string()))?;
    let cloud = cloud(args, conf, action, &http)?;
    let (all, changed) = match (&args.ids, args.from) {
        (Some(file), _) => read_ids(file)?,
        (None, Some(IdSource::K2hr3)) => {
            let roles = roles(args, conf, action)?;
            (runtime.block_on(members(&roles, &http))?, None)
        }
        (None, None) => return Ok(Exit::Usage),
    };
    let ids = all.behind(args.after);
    let question = format!(
        "ask {} about {}, and append a deletion for each that is gone?",
        cloud.shown(),
        counted(ids.len() as u64, "id", "ids")
    );
    if !args.live.agrees(&question)? {
        return Ok(Exit::Failed);
    }
    let verifier = Verifier::new(cloud, args.kind, Some(args.rate))
        .allowing_many(args.allow_many)
        .naming_region(args.region.is_some());
    let planner =
        DeletionPlanner::new(Explainer::for_replay(conf), &args.action, args.kind, journal, args.settled);
    let report = VerifyReport::new(args, changed.map_or(began, |changed| changed.min(began)));
    VerifyRun { args, runtime, verifier, planner, daemon, report }.run(ids)
}

struct VerifyRun<'a> {
    args: &'a VerifyArgs,
    runtime: tokio::runtime::Runtime,
    verifier: Verifier,
    planner: DeletionPlanner<'a>,
    daemon: Option<ReplayDaemon>,
    report: VerifyReport<'a>,
}

impl VerifyRun<'_> {
    fn run(mut self, ids: &[ResourceId]) -> Result<Exit, SavedEventsRefusal> {
        let of = ids.len() as u64;
        let mut display = Display::start("ids", "asked about");
        let (mut stretches, mut done) = (ids.chunks(STRETCH).peekable(), None);
        while let Some(part) = stretches.peek() {
            let show = |done| display.show(RequestProgress { done, of });
            let stretch = self.runtime.block_on(self.verifier.stretch(part, |tally| show(tally.asked)));
            let stretch = stretch.map_err(|error| refused(&error, done))?;
            match stretch.halt {
                Some(halt @ (Halt::FirstGone | Halt::ManyGone)) => {
                    display = self.may_go_on(halt, display, done)?;
                    self.verifier.allow_many();
                    if !stretch.is_whole {
                        continue;
                    }
                }
                Some(Halt::NoAnswers) | None => {}
            }
            self.append(&stretch, &display)?;
            if let Some(halt @ Halt::NoAnswers) = stretch.halt {
                drop(display);
                say(&format!("{halt}; {}", resume(done)));
                break;
            }
            done = part.last().copied();
            display.advise(resume(done));
            stretches.next();
        }
        let (is_whole, tally) = (stretches.peek().is_none(), self.verifier.tally());
        let covers = self.report.covers_until(tally, is_whole);
        let closed = match (&self.daemon, covers) {
            (Some(daemon), Some(until)) => {
                let closed = daemon.close_gaps(&self.args.action, self.args.kind, time(until));
                closed.unwrap_or_else(|error| {
                    say(&format!("warning: the gaps are not closed: {error}"));
                    0
                })
            }
            (Some(_), None) | (None, _) => 0,
        };
        Ok(self.report.end(tally, is_whole, done, closed))
    }

    /// Lets the operator decide about a suspicion before anything of the stretch is appended. A dry run goes on, but
    /// not if all of the first are gone.
    fn may_go_on(
        &self,
        halt: Halt,
        display: Display,
        done: Option<ResourceId>,
    ) -> Result<Display, SavedEventsRefusal> {
        if self.daemon.is_none() && halt == Halt::ManyGone {
            display
                .hide_while(|| say(&format!("warning: {halt} --live would stop here without --allow-many")));
            return Ok(display);
        }
        drop(display);
        let refusal = format!(
            "{halt} Nothing of this part was appended; if it is, add --allow-many and {}",
            resume(done)
        );
        if self.daemon.is_none()
            || self.args.live.is_agreed()
            || !agreed_to(&format!("{halt} Go on?"), &refusal)?
        {
            return Err((Exit::Failed, refusal));
        }
        let display = Display::start("ids", "asked about");
        display.advise(resume(done));
        Ok(display)
    }

    fn append(&mut self, stretch: &Stretch, display: &Display) -> Result<(), SavedEventsRefusal> {
        let plans = self.planner.plan(&stretch.gone, stretch.began).map_err(saved_events::unreadable)?;
        display.hide_while(|| self.report.stretch(stretch, &plans));
        let events: Vec<ReplayEvent> = plans
            .into_iter()
            .filter_map(|(_, plan)| match plan {
                DeletionPlan::Append(event) => Some(*event),
                DeletionPlan::LeftOut(_) => None,
            })
            .collect();
        if let Some(daemon) = &self.daemon {
            let how = AppendSettings { keep_ids: true, guarded: true };
            let (appended, copies) = daemon.append(&events, how, |_| {})?;
            self.report.appended += appended - copies;
        }
        Ok(())
    }
}

fn resume(done: Option<ResourceId>) -> String {
    done.map_or("run the command again".to_owned(), |id| format!("go on with --after {id}"))
}

fn refused(error: &Unproved, done: Option<ResourceId>) -> SavedEventsRefusal {
    let before = done.map_or(String::new(), |id| format!(" behind {id}"));
    (
        Exit::Unavailable,
        masked(&format!("{error}. No answer{before} counts, and nothing was appended for any")),
    )
}

fn daemon(args: &VerifyArgs, conf: &Native) -> Result<ReplayDaemon, SavedEventsRefusal> {
    let journal = saved_events::journal(conf)?;
    let found = ReplayDaemon::for_journal(conf, journal, args.patience.timeout)?;
    found.ok_or_else(|| {
        let journal = masked(&journal.display().to_string());
        (
            Exit::Unavailable,
            format!("{journal}: no daemon has this journal; --live needs the daemon, whose guards count"),
        )
    })
}

/// Returns the cloud of `--enrich`, of the action, or of all sections. In another cloud everything is gone.
fn cloud(
    args: &VerifyArgs,
    conf: &Native,
    action: &ActionConf,
    http: &HttpOptions,
) -> Result<Cloud, SavedEventsRefusal> {
    let all = conf.enrichments.iter().map(|enrich| &*enrich.name);
    let names: Vec<&str> = match (&args.enrich, &action.enrich[..]) {
        (Some(name), _) => {
            known("enrichment", name, all)?;
            vec![name.as_str()]
        }
        (None, []) => all.collect(),
        (None, own) => own.iter().map(|name| &**name).collect(),
    };
    let mut found: Option<Cloud> = None;
    for name in names {
        let Some(enrich) = conf.enrichments.iter().find(|enrich| *enrich.name == *name) else { continue };
        let mut enrich = enrich.clone();
        let other = args.region.as_ref().filter(|region| enrich.cloud.region.as_ref() != Some(*region));
        if let Some(region) = other
            && !enrich.cloud.endpoints.is_empty()
        {
            let why = format!(
                "[enrich:{name}] its cloud has the URL of a service (..._endpoint_override), which may be that of another \
                 region: if it is not, write region_name = {region} into the section"
            );
            return Err((Exit::Config, masked(&why)));
        }
        enrich.cloud.region = args.region.clone().or(enrich.cloud.region);
        let cloud = enrich
            .cloud(http)
            .map_err(|error| (Exit::Config, masked(&format!("[enrich:{name}] {error}"))))?;
        let first = found.get_or_insert_with(|| cloud.clone());
        if first.place() != cloud.place() {
            let why =
                "the [enrich:NAME] sections log in to several clouds or regions: name one with --enrich";
            return Err((Exit::Config, why.to_owned()));
        }
    }
    found.ok_or_else(|| {
        let why = "verify logs in to OpenStack as an [enrich:NAME] section does: write one, and name it with --enrich";
        (Exit::Config, why.to_owned())
    })
}

/// Returns the ids, and the time at which their file was changed. A pipe has none.
fn read_ids(file: &Path) -> Result<(ResourceIds, Option<SystemTime>), SavedEventsRefusal> {
    let (name, opened) = if file == Path::new("-") {
        ("stdin".to_owned(), io::stdin().as_fd().try_clone_to_owned().map(File::from))
    } else {
        (file.display().to_string(), File::open(file))
    };
    let failed = |error: io::Error| (Exit::Failed, masked(&format!("{name}: {error}")));
    let opened = opened.map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    let changed = metadata.modified().ok().filter(|_| metadata.is_file());
    let ids = ResourceIds::read(&name, BufReader::new(opened));
    Ok((ids.map_err(|error| (Exit::Failed, masked(&error.to_string())))?, changed))
}

/// Returns the roles of `--role`, or those to which actions add hosts at the same K2HR3.
fn roles(
    args: &VerifyArgs,
    conf: &Native,
    action: &ActionConf,
) -> Result<Vec<K2hr3RegisterConf>, SavedEventsRefusal> {
    let Some(own) = action.driver.options::<K2hr3Conf>() else {
        return Err((
            Exit::Usage,
            format!("--from k2hr3: action {} does not have driver = k2hr3", action.name),
        ));
    };
    let named = args.role.iter().zip(args.token_file.iter().cycle());
    let named: Vec<_> =
        named.map(|(role, file)| K2hr3RegisterConf::for_role(own, role.clone(), file.clone())).collect();
    let registers = conf.actions.iter().filter_map(|other| other.driver.options::<K2hr3RegisterConf>());
    let found = if named.is_empty() {
        registers.filter(|other| other.has_target_of(own)).cloned().collect()
    } else {
        named
    };
    if found.is_empty() {
        let why = "--from k2hr3: no action with driver = k2hr3_register has this api_url; name the role with --role and \
                   --token-file";
        return Err((Exit::Usage, why.to_owned()));
    }
    Ok(found)
}

async fn members(roles: &[K2hr3RegisterConf], http: &HttpOptions) -> Result<ResourceIds, SavedEventsRefusal> {
    let (mut ids, mut others) = (Vec::new(), 0);
    for role in roles {
        let found = role.members(http).await.map_err(|why| (Exit::Unavailable, masked(&why)))?;
        let before = ids.len();
        ids.extend(found.instances.iter().filter_map(|id| id.parse::<ResourceId>().ok()));
        others += found.others + found.instances.len() - (ids.len() - before);
    }
    if others > 0 {
        say(&format!("warning: hosts of K2HR3 that are not of an instance, and are not verified: {others}"));
    }
    if ids.is_empty() {
        return Err((Exit::Failed, "K2HR3 holds no instance in these roles".to_owned()));
    }
    Ok(ids.into())
}
