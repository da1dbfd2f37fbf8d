//! `cargo xtask simulate`: plays stories on all cores, and replays one with its trace.
#![expect(clippy::print_stdout, reason = "a command line tool: its output is its purpose")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use osnl_testkit::simulation::{Played, Story, Sweep, play, shrink};

const HELP: &str = "\
simulate [--seed N [--short]] | [--seeds N] [--minutes M] [--from N] [--first]

  --seed N     play one story, print its trace with the log, then its shortest form that breaks the same promise
  --seeds N    play so many stories (200)
  --minutes M  play stories for so long
  --from N     the first seed (0)
  --first      end at the first story that breaks a promise, and print a row of the table of planted faults
  --short      print the shortest form alone";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        Some(args.get(at + 1).and_then(|text| text.parse::<u64>().ok()))
    };
    let wrong = ["--seed", "--seeds", "--minutes", "--from"].iter().any(|name| value(name) == Some(None));
    let words = || HELP.split([' ', '[', ']', '\n']).filter(|word| word.starts_with("--"));
    let known = |arg: &String| arg.parse::<u64>().is_ok() || words().any(|word| word == arg);
    if wrong || !args.iter().all(known) || args.iter().any(|arg| arg == "--help") {
        println!("{HELP}");
        return ExitCode::from(2);
    }
    if let Some(Some(seed)) = value("--seed") {
        return replay(seed, args.iter().any(|arg| arg == "--short"));
    }
    let from = value("--from").flatten().unwrap_or(0);
    let until =
        value("--minutes").flatten().map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let seeds = match until {
        Some(_) => u64::MAX - from,
        None => value("--seeds").flatten().unwrap_or(200),
    };
    if args.iter().any(|arg| arg == "--first") { first(from, seeds) } else { sweep(from, seeds, until) }
}

fn first(from: u64, seeds: u64) -> ExitCode {
    let end = Sweep { from, seeds, until: None, most_broken: 1 }.run();
    match end.broken.first() {
        None => println!("first: none"),
        Some((seed, _)) => {
            let (story, played) = shrink(&Story::new(*seed));
            let promise = played.promise().unwrap_or_default();
            let (steps, lines) = (story.steps.len(), played.trace.len());
            println!("first: {} | {promise} | {steps} | {lines}", seed - from + 1);
        }
    }
    ExitCode::SUCCESS
}

fn sweep(from: u64, seeds: u64, until: Option<Instant>) -> ExitCode {
    let begun = Instant::now();
    let end = Sweep { from, seeds, until, most_broken: 10 }.run();
    for (seed, broken) in &end.broken {
        println!("seed {seed}: {broken}");
    }
    let (took, played) = (begun.elapsed(), end.played.max(1));
    let each = took.as_secs_f64() * 1000.0 / played as f64;
    println!(
        "{} stories, {} broken; {:.0} hours of the world in {:.1} s, {each:.0} ms a story, the slowest {} took {} ms",
        end.played,
        end.broken.len(),
        end.passed.as_secs_f64() / 3600.0,
        took.as_secs_f64(),
        end.slowest.1,
        end.slowest.0.as_millis(),
    );
    if end.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(seed: u64, is_short: bool) -> ExitCode {
    let story = Story::new(seed);
    if !is_short {
        print(&story, &play(&story, true));
    }
    let played = play(&story, false);
    if played.broken.is_empty() {
        return ExitCode::SUCCESS;
    }
    let (shorter, _) = shrink(&story);
    println!("\nThe shortest story that breaks the same promise:");
    print(&shorter, &play(&shorter, true));
    ExitCode::FAILURE
}

fn print(story: &Story, played: &Played) {
    println!("seed {}: {:?}", story.seed, story.settings);
    played.trace.iter().for_each(|line| println!("{line}"));
    println!("{} steps, {} lines, {:?}", story.steps.len(), played.trace.len(), played.passed);
    played.broken.iter().for_each(|line| println!("BROKEN {line}"));
}
