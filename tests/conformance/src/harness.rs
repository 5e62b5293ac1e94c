//! Running the suite: what `cargo test` expects of a test program, and starting it as a peer instead.

use std::io::Write;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::cases;
use crate::process::{self, Role};
use crate::{Fixture, Outcome};

/// A test of a program: its name and what it does.
pub type Test = (String, Box<dyn FnOnce() -> Outcome + Send>);

/// Runs every case on every fixture. Does not return.
pub fn run(fixtures: &'static [&'static dyn Fixture]) -> ! {
    let tests = fixtures.iter().flat_map(|fixture| {
        cases::ALL.iter().map(move |(name, case)| -> Test {
            (format!("{}::{name}", fixture.name()), Box::new(move || case(*fixture)))
        })
    });
    // One at a time: the cases share this process's slots of address space, and some take them all.
    run_on(Some(1), tests.collect(), cases::ROLES)
}

/// Runs tests, or is a peer in one of the roles. Does not return.
pub fn run_tests(tests: Vec<Test>, roles: &[(&str, Role)]) -> ! {
    run_on(None, tests, roles)
}

fn run_on(threads: Option<usize>, tests: Vec<Test>, roles: &[(&str, Role)]) -> ! {
    if let Some(status) = process::run_role(roles) {
        std::process::exit(status);
    }
    let trials = tests.into_iter().map(|(name, test)| {
        let title = name.clone();
        Trial::ignorable_test(name, move || match test() {
            Ok(()) => Ok::<_, Failed>(Completion::Completed),
            Err(why) => {
                report(&format!("SKIPPED: {title}: {}", why.0));
                Ok(Completion::ignored_with(why.0))
            }
        })
    });
    let mut arguments = Arguments::from_args();
    arguments.test_threads = threads.or(arguments.test_threads);
    libtest_mimic::run(&arguments, trials.collect()).exit()
}

/// Tells what was skipped; also in the file that `CSM_SKIPPED` names, where `make test` looks.
fn report(line: &str) {
    println!("{line}");
    if let Some(path) = std::env::var_os("CSM_SKIPPED") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| writeln!(file, "{line}")).expect("the file of CSM_SKIPPED");
    }
}
