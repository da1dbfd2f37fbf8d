//! `demo-picture`: runs `osnl demo` on a screen of a fixed size and writes what it showed to `docs/demo.svg`.
//!
//! The picture is text: each different line once, frames that refer to lines, and a film of frames moved by
//! one CSS animation. No script, no font, no other tool. Where motion is not wanted the last frame stands still.
//! The times differ from run to run, and with them the file: it is made anew when the demo looks different.

mod film;
mod svg;

use std::io::Read as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use self::film::Film;
use crate::step;

const COLUMNS: usize = 100;
const LINES: usize = 28;
const PATH: &str = "docs/demo.svg";
/// GitHub shows larger ones, and they make the page slow.
const MOST_BYTES: usize = 200_000;

/// Makes the picture.
pub(crate) fn run() -> Result<ExitCode> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let size = format!("{COLUMNS}x{LINES}");
    let mut demo = Command::new(cargo)
        .current_dir(step::root())
        .args([
            "run", "--quiet", "--locked", "-p", "osnl-cli", "--", "demo", "--rate", "7", "--screen", &size,
        ])
        .env_remove("NO_COLOR")
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run the demo")?;
    let mut stdout = demo.stdout.take().context("the demo has no output")?;
    let mut film = Film::default();
    let mut chunk = [0; 64 * 1024];
    let mut begin = None;
    loop {
        let read = stdout.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        // From the first byte: before it, cargo was at work.
        let begin = *begin.get_or_insert_with(Instant::now);
        film.take(&chunk[..read], begin.elapsed());
    }
    ensure!(demo.wait()?.success(), "the demo has failed");

    let frames = film.develop("$ osnl demo", LINES);
    let picture = svg::draw(&frames, COLUMNS, LINES);
    ensure!(picture.len() <= MOST_BYTES, "{PATH} would have {} bytes, of {MOST_BYTES}", picture.len());
    let path = step::root().join(PATH);
    std::fs::create_dir_all(path.parent().context("no folder")?)?;
    std::fs::write(&path, &picture).with_context(|| format!("cannot write {PATH}"))?;
    println!("{PATH}: {} frames, {} bytes", frames.len(), picture.len());
    Ok(ExitCode::SUCCESS)
}
