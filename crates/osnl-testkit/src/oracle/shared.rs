//! The oracle of a journal that daemons share: four daemons on one PostgreSQL with a standby and one RabbitMQ. Three
//! queues have one active reader each.

mod faults;
mod judge;
mod member;
mod operator;
mod publisher;
mod report;
mod servers;
mod target;
mod window;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use report::SharedReport;
use serde_json::Value;

use self::faults::{FaultKind, SharedSaboteur};
use self::judge::{DatabaseRow, SharedEvidence, SharedVerdict};
use self::member::{MemberAddresses, OracleMember, Programs};
use self::operator::Operator;
use self::publisher::PublisherThread;
use self::servers::OracleServers;
use self::target::SharedTarget;
use super::{SOON, pause_until};
use crate::wait::reached;
use crate::{Broker, DeclaredQueue, Postgres, Vhost, wait_until};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const QUEUES: [&str; 3] = ["neutron", "nova", "cinder"];
const PORTS: u32 = 8;
const REJECTED: u64 = 97;
const CONCURRENCY: usize = 6;
const MOST_LATE: usize = 2 * CONCURRENCY;
const LEASE: Duration = Duration::from_secs(3);
const HOOK: &str = "/hook";
const SPARE: &str = "/spare";
const GONE: &str = "port.delete.end";
const DATABASE: &str = "test0";
/// The bound of the drain, because a trickle of effects would extend it without end.
const LONGEST_DRAIN: Duration = Duration::from_secs(900);
/// Requests of a daemon that lost its lease have arrived within this time.
const AFTER: Duration = Duration::from_secs(5);
const OPEN: &str = "SELECT count(*) FROM osnl_delivery WHERE state < 3";
const TALLY: &str = "SELECT * FROM (SELECT partition, action, state, count(*) FROM osnl_delivery WHERE state >= 0 GROUP BY 1, 2, 3) r \
     FULL JOIN (SELECT partition, action, state, count FROM osnl_tally WHERE count <> 0) t USING (partition, action, state) \
     WHERE r.count IS DISTINCT FROM t.count";

const SAID: [(&str, &str); 7] = [
    ("taken over (lines)", "partitions of the journal are taken over"),
    ("readers fenced", "another daemon reads the queue"),
    ("ends not recorded, of what another daemon took over", "another daemon has taken over the delivery"),
    ("claims that ended during an attempt", "claim on the delivery has ended"),
    ("times the journal could not be written", "the journal cannot be written"),
    ("messages returned to the broker", "a message is returned to the broker"),
    ("unreadable messages", "quarantine"),
];

#[derive(Clone, Debug)]
pub struct SharedPlan {
    pub osnl: PathBuf,
    pub other: Option<PathBuf>,
    pub faketime: Option<PathBuf>,
    pub time: Duration,
    /// The longest time after publishing without an effect while a delivery is open.
    pub drain: Duration,
    pub seed: u64,
    pub logs: PathBuf,
}

impl SharedPlan {
    #[must_use]
    pub fn run(&self) -> SharedReport {
        let _ = fs::remove_dir_all(&self.logs);
        fs::create_dir_all(&self.logs).unwrap();
        let (broker, servers) = (Arc::new(Broker::start()), OracleServers::start());
        let vhost = broker.vhost("shared-oracle");
        let _ = servers.primary().database();
        publisher::prepare(&vhost.url());
        let untried = self.untried(&servers);
        let target = SharedTarget::start(NAMES.len());
        let members = self.members(&broker, &servers, &vhost, &target);
        wait_until(SOON, "all daemons to consume all queues", || is_consumed(&own_queues(&vhost)));

        let mut saboteur = SharedSaboteur::new(
            members,
            servers,
            (broker.clone(), untried.iter().map(|(kind, _)| *kind).collect()),
            &target,
            self.seed,
        );
        let began = Instant::now();
        let publishing = PublisherThread::start(&vhost.url(), self.seed);
        let operator = Operator::start(&self.osnl, &self.logs, self.seed);
        saboteur.run(self.time);
        let published = publishing.stop();
        let took = began.elapsed();
        saboteur.note("the faults are over");
        let done = operator.stop();

        let drained = drain(&mut saboteur, &vhost, self.drain);
        let end = Instant::now() + AFTER;
        while Instant::now() < end {
            saboteur.tick();
            pause_until(Instant::now() + Duration::from_millis(100));
        }
        let windows = std::mem::take(&mut saboteur.windows);
        let SharedSaboteur { mut members, servers, counts, mut wrong, story, .. } = saboteur;
        let server = servers.primary();
        if drained.is_none() {
            wrong.push(format!(
                "not drained: {} deliveries open, queues {:?}",
                server.rows(DATABASE, OPEN),
                vhost.list_queues()
            ));
        }
        wrong.extend(stop(&mut members));
        let rows: Vec<DatabaseRow> =
            server.rows(DATABASE, DatabaseRow::SQL).lines().filter_map(DatabaseRow::read).collect();
        wrong.extend(tables(server).into_iter().chain(verified(&self.osnl, members[0].home())));
        wrong.extend(done.wrong);
        let buried = members.iter().flat_map(|member| buried(&member.buried())).collect();
        let evidence = SharedEvidence { published, effects: target.effects(), rows, windows, buried };
        let requests = target.counts();
        if requests.foreign > 0 {
            wrong.push(format!("{} requests about no event", requests.foreign));
        }
        self.write(&evidence, &story, began);
        let output: Vec<(String, String)> =
            members.iter().map(|member| (member.name.clone(), member.output())).collect();
        wrong.extend(panics(&output));
        let verdict = SharedVerdict::of(&evidence);
        wrong.extend(beyond(&verdict));
        SharedReport {
            seed: self.seed,
            published: evidence.published.len(),
            nameless: evidence.published.iter().filter(|one| !one.has_id).count(),
            again: evidence.published.iter().filter(|one| one.is_again).count(),
            publishing: took,
            drained,
            faults: counts,
            untried: untried.into_iter().map(|(_, what)| what).collect(),
            requests,
            buried: evidence.buried.len(),
            commands: done.commands,
            said: said(&output),
            verdict,
            wrong,
            logs: self.logs.clone(),
        }
    }

    fn members(
        &self,
        broker: &Broker,
        servers: &OracleServers,
        vhost: &Vhost,
        target: &SharedTarget,
    ) -> Vec<OracleMember> {
        let addresses = MemberAddresses {
            databases: servers.ports(),
            broker: broker.port(),
            transport_url: &|port| vhost.url_through(port),
        };
        let programs =
            Programs { osnl: self.osnl.clone(), other: self.other.clone(), faketime: self.faketime.clone() };
        let start = |named| OracleMember::start(named, &programs, &self.logs, &addresses, target);
        NAMES.into_iter().enumerate().map(start).collect()
    }

    fn untried(&self, servers: &OracleServers) -> Vec<(FaultKind, String)> {
        let mut untried = Vec::new();
        if self.other.is_none() {
            untried.push((
                FaultKind::ChangeVersion,
                "a daemon of another version: name one by --other PATH".to_owned(),
            ));
        }
        if self.faketime.is_none() {
            untried
                .push((FaultKind::ClockSet, "the clock of a daemon set: faketime is not there".to_owned()));
        }
        if let Some(why) = &servers.without_disks {
            untried.push((
                FaultKind::DatabaseFull,
                format!("disk of the database full: none can be mounted ({why})"),
            ));
        }
        untried
    }

    fn write(&self, evidence: &SharedEvidence, story: &[String], began: Instant) {
        let write = |name: &str, text: String| fs::write(self.logs.join(name), text).unwrap();
        write("story.txt", story.join("\n"));
        let mut effects = String::new();
        for effect in &evidence.effects {
            let at = effect.at.saturating_duration_since(began).as_secs_f64();
            let path = if effect.is_spare { SPARE } else { HOOK };
            let name = NAMES[effect.daemon];
            let fence = if effect.is_behind == Some(true) { " with a smaller fence" } else { "" };
            let (event, port) = (effect.event, effect.port);
            _ = writeln!(effects, "{at:8.2} s  event {event} port {port} by {name} {path}{fence}");
        }
        write("effects.txt", effects);
        let rows: Vec<String> = evidence.rows.iter().map(|row| format!("{row:?}")).collect();
        write("rows.txt", rows.join("\n"));
        let published: Vec<String> = evidence.published.iter().map(|one| format!("{one:?}")).collect();
        write("published.txt", published.join("\n"));
    }
}

fn own_queues(vhost: &Vhost) -> Vec<DeclaredQueue> {
    vhost.list_queues().into_iter().filter(|queue| queue.name.starts_with("osnl-")).collect()
}

fn is_consumed(queues: &[DeclaredQueue]) -> bool {
    queues.len() == QUEUES.len() && queues.iter().all(|queue| queue.consumers == NAMES.len() as u64)
}

/// Waits until journal and broker have nothing open, twice in a row, and no longer than `limit` without an effect.
fn drain(saboteur: &mut SharedSaboteur<'_>, vhost: &Vhost, limit: Duration) -> Option<Duration> {
    let began = Instant::now();
    let (mut empty, mut last) = (0, (0, began));
    while last.1.elapsed() < limit && began.elapsed() < LONGEST_DRAIN {
        saboteur.tick();
        let effects = saboteur.effects();
        if effects != last.0 {
            last = (effects, Instant::now());
        }
        let queues = own_queues(vhost);
        let is_read = |queue: &DeclaredQueue| (queue.ready, queue.unacked) == (0, 0);
        let is_empty = queues.iter().all(is_read) && saboteur.servers.primary().rows(DATABASE, OPEN) == "0";
        empty = if is_empty { empty + 1 } else { 0 };
        if empty == 2 {
            return Some(began.elapsed());
        }
        pause_until(Instant::now() + Duration::from_millis(500));
    }
    None
}

fn stop(members: &mut [OracleMember]) -> Vec<String> {
    members.iter().for_each(|member| member.signal("TERM"));
    let mut wrong = Vec::new();
    for member in members {
        let mut status = None;
        reached(SOON, &mut || {
            status = member.ended();
            status.is_some()
        });
        match status {
            Some(status) if status.success() => {}
            other => wrong.push(format!("daemon {} ended at last with {other:?}", member.name)),
        }
        member.kill();
    }
    wrong
}

fn tables(server: &Postgres) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |what: &str, sql: &str| {
        let found = server.rows(DATABASE, sql);
        if !found.is_empty() {
            wrong.push(format!("{what}: {}", found.replace('\n', "; ")));
        }
    };
    check("counts of deliveries differ from the rows (partition, action, state, rows, count)", TALLY);
    check("messages in quarantine", "SELECT id, reason FROM osnl_unreadable LIMIT 5");
    check("partitions that were not given back", "SELECT id FROM osnl_partition WHERE token IS NOT NULL");
    wrong
}

fn verified(osnl: &Path, home: &Path) -> Option<String> {
    let mut command = Command::new(osnl);
    command.env_clear().env("HOME", home).current_dir(home).stdin(Stdio::null());
    let Output { status, stdout, stderr } =
        command.args(["journal", "verify", "-c", "osnl.conf"]).output().unwrap();
    let said = || String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    (!status.success()).then(|| format!("journal verify ended with {status}: {}", said()))
}

fn buried(lines: &str) -> Vec<u64> {
    let event =
        |line: &str| serde_json::from_str::<Value>(line).ok()?["dead_letter"]["payload"]["chaos"].as_u64();
    lines.lines().filter_map(event).collect()
}

fn beyond(verdict: &SharedVerdict) -> Option<String> {
    let late = verdict.most_late;
    (late > MOST_LATE).then(|| {
        format!("{late} late effects by one fault of a daemon: at most {MOST_LATE} may be under way")
    })
}

fn panics(output: &[(String, String)]) -> Vec<String> {
    let panicked = |(name, text): &(String, String)| {
        let line = text.lines().find(|line| line.contains("panicked"))?;
        Some(format!("daemon {name}: {line}"))
    };
    output.iter().filter_map(panicked).collect()
}

fn said(output: &[(String, String)]) -> BTreeMap<&'static str, usize> {
    let count = |words: &str| output.iter().map(|(_, text)| text.matches(words).count()).sum();
    SAID.into_iter().map(|(what, words)| (what, count(words))).collect()
}
