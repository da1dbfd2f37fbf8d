use std::io::Write as _;
use std::process::Stdio;

#[must_use]
#[track_caller]
pub fn python(script: &str, input: &str) -> String {
    let mut command = super::python_program("python");
    command.args(["-X", "utf8", "-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("Python does not start: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // The input is written by a thread, so that neither pipe fills up.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the script failed: {}", output.status);
    writer.join().unwrap().unwrap_or_else(|error| panic!("the script did not read its input: {error}"));
    String::from_utf8(output.stdout).unwrap()
}
