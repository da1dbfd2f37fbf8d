use super::tree::{self, Node};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Json {
    One,
    Lines,
    None(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) command: &'static str,
    /// Without `-c a.conf`, which is added for each command that takes it.
    pub(super) args: &'static [&'static str],
    pub(super) status: i32,
    pub(super) json: Json,
    pub(super) coloured: bool,
}

const DAEMON: Json = Json::None("a daemon: its log is what it says, and has a format of its own");
const FOR_TOOLS: Json = Json::None("what it prints is for another tool");

/// Calls that change nothing are first, because later calls change the data.
pub(super) const SAMPLES: &[Sample] = &[
    sample("check", &[], 0, Json::One, true),
    sample("check", &["--connect"], 69, Json::One, true),
    sample("status", &[], 1, Json::One, true),
    sample("deliveries list", &[], 0, Json::One, true),
    sample("deliveries show", &["1.0"], 0, Json::One, false),
    sample("history", &["12345678-1234-5678-1234-000000000001"], 0, Json::One, true),
    sample("explain", &["event.json"], 0, Json::Lines, true),
    sample("explain", &["--counts"], 0, Json::Lines, false),
    sample("explain", &["--unmatched"], 1, Json::Lines, true),
    sample("replay", &["event.json"], 0, Json::Lines, true),
    sample("verify", &["roles", "--kind", "port", "--ids", "ids.txt"], 0, Json::Lines, false),
    sample("test", &[], 0, Json::Lines, true),
    sample("init", &["neutron"], 0, FOR_TOOLS, false),
    sample("config show", &[], 0, Json::One, true),
    sample("config reference", &[], 0, Json::One, false),
    sample("events", &[], 0, Json::One, false),
    sample("events", &["neutron"], 0, Json::One, false),
    sample("events", &["port.delete.end"], 0, Json::One, false),
    sample("reload", &[], 0, Json::One, false),
    sample("send", &["--listener", "neutron", "event.json"], 0, Json::Lines, true),
    sample("tap", &["--listener", "neutron", "--lines", "--rates", "--for", "4s"], 1, Json::Lines, false),
    sample("queues", &["--pause", "100ms"], 0, Json::One, true),
    sample("queues forget", &["none"], 1, Json::One, false),
    sample("gaps", &[], 0, Json::One, false),
    sample("gaps dismiss", &["9"], 1, Json::One, false),
    sample("demo", &["--count", "3", "--rate", "1000"], 0, Json::Lines, true),
    sample("deliveries retry", &["--state", "dead", "--dry-run"], 0, Json::One, false),
    sample("deliveries discard", &["--state", "dead", "--dry-run"], 0, Json::One, false),
    sample("deliveries release", &["--action", "cmdb", "--dry-run"], 0, Json::One, false),
    sample("deliveries move", &["--action", "cmdb", "--to", "roles", "--dry-run"], 0, Json::One, false),
    sample("actions list", &[], 0, Json::One, true),
    sample("actions probe", &["audit"], 0, Json::One, false),
    sample("actions pause", &["audit"], 0, Json::One, false),
    sample("actions resume", &["audit"], 0, Json::One, false),
    sample("quarantine list", &[], 0, Json::One, true),
    sample("quarantine show", &["1"], 0, Json::One, false),
    sample("quarantine export", &["2"], 0, FOR_TOOLS, false),
    sample("quarantine retry", &["--all", "--dry-run"], 1, Json::One, false),
    sample("quarantine discard", &["--all", "--dry-run"], 0, Json::One, false),
    sample("journal verify", &[], 0, Json::One, false),
    sample("journal backup", &["--overwrite", "backup.db"], 0, Json::One, false),
    sample("journal restore", &["--journal", "restored.db", "--replace", "backup.db"], 0, Json::One, false),
    sample("journal compact", &["--journal", "restored.db"], 0, Json::One, false),
    sample("journal export", &["--overwrite", "-o", "events.jsonl"], 0, Json::One, false),
    sample("man", &[], 0, FOR_TOOLS, false),
    sample("completions", &["bash"], 0, FOR_TOOLS, false),
    sample("k2hr3-osnl", &["-v"], 0, DAEMON, false),
    sample("oss-watcher", &["--version"], 0, DAEMON, false),
    sample("run", &["--help"], 0, DAEMON, true),
];

const fn sample(
    command: &'static str,
    args: &'static [&'static str],
    status: i32,
    json: Json,
    coloured: bool,
) -> Sample {
    Sample { command, args, status, json, coloured }
}

impl Sample {
    pub(super) fn node(&self) -> &'static Node {
        let found = tree::all().iter().find(|node| node.name == self.command);
        found.unwrap_or_else(|| panic!("there is no command {}", self.command))
    }

    pub(super) fn is_configured(&self) -> bool {
        let names_a_journal = self.command.starts_with("journal") && self.args.contains(&"--journal");
        self.node().has("--config-dir") && self.command != "oss-watcher" && !names_a_journal
    }

    pub(super) fn call(&self, conf: &'static str) -> Vec<&'static str> {
        let conf: &[&str] = if self.is_configured() { &["-c", conf] } else { &[] };
        [&*self.command.split_whitespace().collect::<Vec<_>>(), self.args, conf].concat()
    }
}

#[test]
fn every_command_has_a_sample() {
    for node in tree::leaves() {
        let mut of_it = SAMPLES.iter().filter(|sample| sample.command == node.name).peekable();
        assert!(of_it.peek().is_some(), "osnl {} has no row in samples.rs", node.name);
        for sample in of_it {
            let json = node.has("--format") && node.help.contains("json");
            match sample.json {
                Json::One | Json::Lines => {
                    assert!(json, "osnl {} has no --format json", node.name);
                }
                Json::None(why) => {
                    assert!(!json, "osnl {}: {why}, and yet --format json is there", node.name)
                }
            }
        }
    }
    for sample in SAMPLES {
        assert!(
            sample.node().below.is_empty() || tree::ALSO_ALONE.contains(&sample.command),
            "{}",
            sample.command
        );
    }
}
