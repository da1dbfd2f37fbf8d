use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use osnl_testkit::{RabbitCluster, RestartableProgram, wait_until};

use super::stage::{ChaosStage, ChaosStory, QUEUE, build, built};

const EVENTS: u64 = 6000;
const RATE: u64 = 150;
const SOME: usize = 200;
const SOON: Duration = Duration::from_secs(120);

pub(super) fn run() -> Result<ExitCode> {
    crate::setup::broker_only()?;
    build()?;
    let story = ChaosStory::begin();
    let cluster = RabbitCluster::start(3);
    cluster.declare("neutron", "notifications.info", QUEUE);
    let leader = || {
        wait_until(SOON, "a leader of the queue", || cluster.leader(QUEUE).is_some());
        cluster.leader(QUEUE).context("no leader")
    };
    story.print(&format!(
        "three nodes are up, ports {:?}; node {} leads the queue",
        cluster.ports(),
        leader()?
    ));

    let mut stage = ChaosStage::start(&cluster.url())?;
    story.print(&format!("osnl listens, by node {}", connected(&cluster, &stage)?));
    let mut publisher = built("osnl-bench");
    let urls: Vec<String> =
        cluster.ports().iter().map(|port| format!("rabbit://guest:guest@127.0.0.1:{port}")).collect();
    publisher.args(["confirm", &urls.join(","), &RATE.to_string(), &EVENTS.to_string()]);
    let mut publisher = RestartableProgram::start(publisher);
    story.print(&format!(
        "{EVENTS} events are being published, {RATE} per second at most, each until it is confirmed"
    ));
    stage.flows_after(Instant::now(), SOME);

    let killed = leader()?;
    kill(story, &cluster, &stage, killed, "the leader")?;
    story.print(&format!("node {} leads now", leader()?));
    come_back(story, &cluster, killed);
    stage.flows_after(Instant::now(), SOME);

    let (from, moved) = (leader()?, Instant::now());
    // The restarted node may have to catch up first.
    wait_until(SOON, "the lead to move", || {
        cluster.move_leader(QUEUE, killed);
        cluster.leader(QUEUE) == Some(killed)
    });
    let (_, pause) = stage.flows_after(moved, SOME);
    story.print(&format!(
        "the lead was moved from node {from} to node {killed}; the longest pause was {pause:.2?}"
    ));

    let killed = connected(&cluster, &stage)?;
    kill(story, &cluster, &stage, killed, "the one osnl is connected to")?;
    come_back(story, &cluster, killed);

    publisher.wait(SOON);
    let said = publisher.output();
    let repeated: BTreeSet<u64> =
        said.lines().last().unwrap_or_default().split_whitespace().filter_map(|n| n.parse().ok()).collect();
    said.lines()
        .filter(|line| line.starts_with("message"))
        .for_each(|line| story.print(&format!("the publisher: {line}")));
    story.print(&format!("all events are confirmed; {} were sent more than once", repeated.len()));
    wait_until(SOON, "the queue to be empty", || cluster.messages(QUEUE) == Some(0));
    story.print("the queue is empty");
    stage.osnl.signal("TERM");
    let status = stage.osnl.wait(SOON);
    story.print(&format!("osnl has drained and ended with {status}"));
    Ok(report(&stage, &repeated))
}

fn connected(cluster: &RabbitCluster, stage: &ChaosStage) -> Result<usize> {
    let port = stage.connected_to().context("osnl does not say where it listens")?;
    cluster
        .ports()
        .iter()
        .position(|other| *other == port)
        .with_context(|| format!("no node has port {port}"))
}

fn kill(
    story: ChaosStory,
    cluster: &RabbitCluster,
    stage: &ChaosStage,
    node: usize,
    what: &str,
) -> Result<()> {
    let on_it = connected(cluster, stage)? == node;
    let (listened, before) = (stage.listened(), stage.count());
    let killed_at = Instant::now();
    cluster.kill9(node);
    story.print(&format!("node {node}, {what}, is killed with SIGKILL after {before} effects"));
    if on_it {
        wait_until(SOON, "osnl to listen again", || stage.listened() > listened);
        let (after, by) = (killed_at.elapsed(), connected(cluster, stage)?);
        story.print(&format!("osnl listens again, by node {by}, {after:.2?} after the kill"));
    }
    let (first, pause) = stage.flows_after(killed_at, SOME);
    story.print(&format!(
        "effects flow: the first came {first:.2?} after the kill, the longest pause was {pause:.2?}"
    ));
    Ok(())
}

fn come_back(story: ChaosStory, cluster: &RabbitCluster, node: usize) {
    let started = Instant::now();
    cluster.start_again(node);
    story.print(&format!("node {node} is back after {:.2?}", started.elapsed()));
}

fn report(stage: &ChaosStage, repeated: &BTreeSet<u64>) -> ExitCode {
    let effects = stage.effects();
    let missing: Vec<u64> = (1..=EVENTS).filter(|n| !effects.contains_key(n)).collect();
    let twice: Vec<u64> = effects.iter().filter(|(_, count)| **count > 1).map(|(n, _)| *n).collect();
    let unexplained = twice.iter().filter(|n| !repeated.contains(n)).count();
    println!("\nevents {EVENTS}, with effect {}, missing {}", effects.len(), missing.len());
    println!(
        "effects twice or more: {}, of them published more than once {}, by redelivery {unexplained}",
        twice.len(),
        twice.len() - unexplained
    );
    println!("osnl came to listen {} times; its last words:", stage.listened());
    let said = stage.osnl.output();
    let each = ["HANDLED", "delivered "];
    let lines: Vec<&str> = said.lines().filter(|line| !each.iter().any(|word| line.contains(word))).collect();
    for line in &lines[lines.len().saturating_sub(8)..] {
        println!("  {line}");
    }
    if missing.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("missing: {missing:?}");
    ExitCode::FAILURE
}
