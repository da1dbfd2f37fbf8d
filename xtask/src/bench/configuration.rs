//! The time to read and check a large configuration.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};

use super::sections::{Effort, spread};
use super::stage::{Stage, built};
use super::table::Table;

/// From exec to the end of `osnl check`, its explanation included.
pub(super) fn check(stage: &Stage, effort: Effort) -> Result<()> {
    let title = "(config) from exec to the end of osnl check, ms";
    let mut table = Table::new(title, &["", "rounds", "median (min–max)"]);
    let folder = stage.folder("configurations")?;
    for rules in [1, 1000] {
        let path = folder.join(format!("{rules}-rules.conf"));
        std::fs::write(&path, configuration(rules))?;
        let mut found = Vec::new();
        for _ in 0..effort.rounds.max(5) {
            let begin = Instant::now();
            let mut check = Command::new(built("osnl").get_program());
            let check = check.args(["check", "-c"]).arg(&path).stdin(Stdio::null()).stdout(Stdio::null());
            ensure!(check.status()?.success(), "{} cannot be used", path.display());
            found.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        let rules = if rules == 1 { "1 rule".to_owned() } else { format!("{rules} rules") };
        table.row(&[rules, found.len().to_string(), spread(&found, 1)]);
    }
    table.print();
    Ok(())
}

/// Rules as people write them, each with patterns of its own.
fn configuration(rules: usize) -> String {
    let mut text = "[journal]\nconnection = memory://\n[listener:neutron]\n\
                    transport_url = rabbit://u:p@mq1:5672,u:p@mq2:5672/\nexchange = neutron\npool = osnl\n\
                    [action:record]\ndriver = dump\n"
        .to_owned();
    for n in 0..rules {
        text.push_str(&format!(
            "[rule:number-{n}]\nlisteners = neutron\nevent_type = ^(port|server{n})\\.(delete|update)\\.end$\n\
             publisher_id = ^network\\.node-{n}\\..*$\npayload.state = ^(ACTIVE|DOWN-{n})$\nactions = record\n"
        ));
    }
    text
}
