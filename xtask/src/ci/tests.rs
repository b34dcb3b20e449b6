//! Tests of the report of a run.

use std::time::Duration;

use super::report::{Report, Tally, Verdict};
use super::run_step;
use super::steps::{Plan, STEPS, Setting, Step};
use crate::command::Cmd;
use crate::workspace::Workspace;

#[test]
fn closing_lines_of_libtest_are_added_up() {
    let mut tally = Tally::default();
    for line in [
        "running 3 tests",
        "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        "the test result: ok. 5 passed; 5 failed",
    ] {
        tally.see(line);
    }
    assert_eq!(tally, Tally { passed: 13, failed: 2 });
}

#[test]
fn the_last_line_counts_the_tests_of_all_steps() {
    let mut report = Report::default();
    report.tests.see("test result: ok. 3 passed; 0 failed");
    report.add("fmt", Duration::from_millis(1234), Verdict::Passed { without: None });
    report.add("fuzz", Duration::ZERO, Verdict::Skipped("there is no nightly".to_owned()));
    let expected = "
step        seconds  result
fmt             1.2  ok
fuzz            0.0  skipped because there is no nightly

3 passed, 0 failed";
    assert_eq!(report.to_string(), expected);
    assert!(!report.failed());
}

#[test]
fn a_step_fails_with_its_command_and_when_its_tests_are_gone() {
    for (line, tests, expected) in [
        ("true", false, Verdict::Passed { without: None }),
        ("true", true, Verdict::Failed("no test ran: its filter or its folder has moved".to_owned())),
        ("false", false, Verdict::Failed("`false` failed: exit status: 1".to_owned())),
        ("echo test result: ok. 1 passed; 0 failed", true, Verdict::Passed { without: None }),
    ] {
        assert_eq!(verdict(line, tests), expected, "{line}");
    }
}

#[test]
fn a_command_that_hangs_fails_with_its_limit() {
    let command = Cmd::new("sleep 600").within(Duration::from_secs(1));
    let error = command.run().unwrap_err().to_string();
    assert_eq!(error, "`sleep 600` did not end within 1 s");
}

#[test]
fn a_command_is_shown_as_a_person_would_type_it() {
    let command = Cmd::new("cargo test -p stream-core").env("RUSTFLAGS", "--cfg loom").arg("a name");
    assert_eq!(command.to_string(), "RUSTFLAGS='--cfg loom' cargo test -p stream-core 'a name'");
}

#[test]
fn every_step_has_a_name_of_its_own() {
    for (index, step) in STEPS.iter().enumerate() {
        assert!(STEPS[..index].iter().all(|other| other.name != step.name), "{}", step.name);
    }
}

fn verdict(line: &str, tests: bool) -> Verdict {
    let plan = match line {
        "true" => |_: &Setting| plan("true"),
        "false" => |_: &Setting| plan("false"),
        _ => |_: &Setting| plan("echo test result: ok. 1 passed; 0 failed"),
    };
    let step = Step { name: "step", what: "", plan, tests };
    let workspace = Workspace {
        root: ".".into(),
        target: ".".into(),
        rust_version: "1.88".to_owned(),
        packages: Vec::new(),
    };
    let setting = Setting { workspace, fuzz_seconds: 1 };
    run_step(&step, &mut Tally::default(), &setting)
        .unwrap_or_else(|error| Verdict::Failed(error.to_string()))
}

fn plan(line: &str) -> crate::Result<Plan> {
    Ok(Plan::Run { commands: vec![Cmd::new(line)], without: None })
}
