use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use osnl_testkit::{Reply, RestartableProgram, Sink, wait_until};

use crate::step;

pub(super) const QUEUE: &str = "k2hr3_osnl";
const SOON: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
pub(super) struct ChaosStory(Instant);

impl ChaosStory {
    pub(super) fn begin() -> Self {
        Self(Instant::now())
    }

    pub(super) fn print(self, line: &str) {
        println!("{:7.2} s  {line}", self.0.elapsed().as_secs_f64());
    }
}

type TimedEffects = Arc<Mutex<Vec<(Instant, u64)>>>;

pub(super) struct ChaosStage {
    pub(super) osnl: RestartableProgram,
    effects: TimedEffects,
    _sink: Sink,
}

impl ChaosStage {
    pub(super) fn start(transport_url: &str) -> Result<Self> {
        let folder = step::target_dir().join("chaos");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let sink = Sink::start();
        let effects = TimedEffects::default();
        let seen = effects.clone();
        sink.reply_when(move |request| {
            if let (Some(number), Ok(mut seen)) = (number_of(&request.target), seen.lock()) {
                seen.push((Instant::now(), number));
            }
            Some(Reply::Status(204))
        });
        let configuration = format!(
            "[DEFAULT]\ndebug_level = info\n[oslo_messaging_notifications]\ntransport_url = {transport_url}\n\
             [k2hr3]\napi_url = {}\n",
            sink.url("/v1/role")
        );
        let file = folder.join("k2hr3_osnl.conf");
        std::fs::write(&file, configuration).with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = built("osnl");
        command.args(["k2hr3-osnl", "-c"]).arg(&file).current_dir(&folder).env("HOME", &folder);
        let osnl = RestartableProgram::start(command);
        osnl.wait_for("listening at", 1, SOON);
        Ok(Self { osnl, effects, _sink: sink })
    }

    pub(super) fn connected_to(&self) -> Option<u16> {
        let said = self.osnl.output();
        let (_, rest) = said.rsplit_once("listening at ")?;
        rest.split_whitespace().next()?.rsplit_once(':')?.1.trim_end_matches(',').parse().ok()
    }

    pub(super) fn listened(&self) -> usize {
        self.osnl.output().matches("listening at").count()
    }

    pub(super) fn count(&self) -> usize {
        self.effects.lock().map_or(0, |effects| effects.len())
    }

    pub(super) fn flows_after(&self, killed_at: Instant, more: usize) -> (Duration, Duration) {
        let since = || -> Vec<Instant> {
            let effects = self.effects.lock().map(|effects| effects.clone()).unwrap_or_default();
            effects.into_iter().map(|(at, _)| at).filter(|at| *at > killed_at).collect()
        };
        wait_until(SOON, "effects to flow again", || since().len() >= more);
        let times = since();
        let first = times.first().map_or(Duration::ZERO, |at| *at - killed_at);
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        (first, gaps.chain([first]).max().unwrap_or_default())
    }

    pub(super) fn effects(&self) -> BTreeMap<u64, usize> {
        let mut count = BTreeMap::new();
        for (_, number) in self.effects.lock().map(|effects| effects.clone()).unwrap_or_default() {
            *count.entry(number).or_default() += 1;
        }
        count
    }
}

/// Builds without optimisation, because nothing is measured.
pub(super) fn build() -> Result<()> {
    step::run(
        step::cargo().args(["build", "--locked", "-p", "osnl-cli", "-p", "osnl-bench"]).stdin(Stdio::null()),
    )
}

pub(super) fn built(name: &str) -> Command {
    Command::new(step::target_dir().join("debug").join(name))
}

fn number_of(target: &str) -> Option<u64> {
    let instance = target.split("cuk=").nth(1)?.split('&').next()?;
    u64::from_str_radix(instance.get(24..36)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::number_of;

    #[test]
    fn events_are_known_by_the_number_in_their_instance() {
        let check = |target: &str, expected: Option<u64>| assert_eq!(number_of(target), expected, "{target}");
        check("/v1/role?cuk=00000000-0000-4000-8000-0000000000ff&host=x", Some(255));
        check("/v1/role?extra=x&cuk=00000000-0000-4000-8000-000000000001", Some(1));
        check("/v1/role?cuk=short&host=x", None);
        check("/v1/role", None);
    }
}
