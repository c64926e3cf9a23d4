//! Tests that run the real binary in the user's terms, alone and under real mpirun.

mod answers;
mod bad_input;
mod big;
mod by_rank;
mod changed;
mod columns;
#[cfg(feature = "hdf5")]
mod damaged;
mod data;
mod demo;
mod doctor;
#[allow(dead_code)]
mod dsl;

mod escape;
mod exec;
mod farm;
mod files;
mod formats;
mod formulas;
#[cfg(feature = "hdf5")]
mod hdf5;
mod holes;
mod job;
mod json_lines;
mod launch;
mod lesson;
mod library;
mod map;
mod names;
mod own;
mod part;
mod pipe;
mod py_functions;
mod python;
mod python_module;
mod read;
mod readme;
mod reduce;
mod report;
mod resident;
mod rooms;
mod rounded;
mod scale;
mod seeds;
mod show;
mod signals;
mod streams;
mod sweep;
mod tables;
mod tasks;
mod texts;
mod trace;
mod workers;

/// A process without a limit could hang all tests: they are started by [`dsl::program`] and its like.
#[test]
fn every_process_of_a_test_has_a_time_limit() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for folder in ["parpy", "same", "prompt", "cluster"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("dsl.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(!text.contains(concat!("Command", "::new(")), "{}", path.display());
            }
        }
    }
}
