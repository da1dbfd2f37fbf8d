use anyhow::{Result, ensure};

use super::effort::Effort;
use super::stage::{Stage, built};
use super::table::Table;
use crate::step;

const KEYS: u64 = 50_000;
const SHARE: u64 = 10;
const SMALL: u64 = 512;
const WANTED: f64 = 1.2;
const PATIENCE: f64 = 3.0;

pub(super) fn backlog(stage: &Stage, effort: Effort) -> Result<()> {
    let count = effort.backlog;
    let folder = stage.folder("retries")?;
    let file = folder.join("filled.db");
    let name = file.display().to_string();
    let numbers = [count, KEYS, SMALL].map(|number| number.to_string());
    step::output(built("osnl-bench").arg("append").arg(&name).args(numbers))?;
    // A key is the number's remainder; number 0 is not used.
    let failing = (1..=count).filter(|n| (n % KEYS).is_multiple_of(SHARE)).count() as u64;
    let healthy = count - failing;

    let run = |share: u64, wanted: u64, seconds: u64| -> Result<(u64, f64, u64, u64)> {
        let state = folder.join(share.to_string());
        std::fs::create_dir(&state)?;
        std::fs::copy(&file, state.join("journal.db"))?;
        let queue = stage.queue()?;
        stage.sink().fail(share)?;
        let process = queue.consume_with(&state)?;
        let (seen, span) = stage.sink().wait_up_to(wanted, seconds)?;
        let (_, wrong) = stage.sink().order()?;
        let failed = stage.sink().failed()?;
        drop(process);
        stage.sink().fail(0)?;
        std::fs::remove_dir_all(&state)?;
        Ok((seen, span.seconds(), failed, wrong))
    };
    let (_, without, _, wrong) = run(0, healthy, 600)?;
    ensure!(wrong == 0, "{wrong} requests out of order");
    let patience = (without * PATIENCE) as u64 + 10;
    let (seen, with, failed, wrong) = run(SHARE, healthy, patience)?;
    ensure!(wrong == 0, "{wrong} requests out of order with failing keys");

    let title = format!(
        "(retries) a backlog of {count} about {KEYS} resources, of which {} fail; wanted: {WANTED} times as long at most",
        KEYS / SHARE
    );
    let mut table =
        Table::new(&title, &["", "healthy, delivered", "s", "ratio", "failed attempts", "out of order"]);
    let cells = |delivered: u64, seconds: f64, failed: u64, wrong: u64| {
        let ratio = seconds / without;
        let ratio =
            if delivered < healthy { format!("not all within {patience} s") } else { format!("{ratio:.2}") };
        [delivered.to_string(), format!("{seconds:.1}"), ratio, failed.to_string(), wrong.to_string()]
    };
    table.row(&[&["without failing keys".to_owned()][..], &cells(healthy, without, 0, 0)].concat());
    table.row(&[&["with them".to_owned()][..], &cells(seen, with, failed, wrong)].concat());
    table.print();
    Ok(())
}
