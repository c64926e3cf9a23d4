//! A program with functions of its own, as `jobs/own.rs` is one.

use std::path::{Path, PathBuf};

use crate::dsl::*;

/// The example, which cargo builds with all tests; not where a single one of them is asked for.
fn example() -> Option<PathBuf> {
    let path = Path::new(BINARY).parent().unwrap().join("examples/own");
    let version =
        |program_path: &Path| program(program_path).arg("--version").output().map(|output| output.stdout);
    // Not where a folder has been begun with what was built of another MPI.
    if !path.exists() || version(&path).unwrap() != version(Path::new(BINARY)).unwrap() {
        skip("example", "cargo build --example own makes it");
        return None;
    }
    Some(path)
}

#[test]
fn own_functions_have_all_patterns_and_formats() {
    let Some(own) = example() else { return };
    let dir = Dir::new();
    let run = |args: &str| {
        let output = program(&own).args(args.split(' ')).current_dir(dir.path("")).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for pattern in ["serial", "simd", "threads", "pool", "process"] {
        let (code, text, said) = run(&format!("map 0 2 4 -f halve(x)+logistic(0) -p {pattern}"));
        assert_eq!((code, &*text), (Some(0), "0.5\n1.5\n2.5\n"), "{said}");
    }
    let (code, text, said) = run("map 2 3 4 -f halve -k");
    assert_eq!((code, &*text), (Some(1), "1\n\n2\n"), "{said}");
    assert!(said.contains("3: halve(3) is odd"), "{said}");
    let (code, text, _) = run("functions");
    assert!(code == Some(0) && text.contains("logistic") && text.contains("1 / (1 + e^-x)"), "{text}");
    let (code, _, said) = run("map 1 -f logistics");
    assert!(code == Some(2) && said.contains("did you mean 'logistic'?"), "{said}");
    if cfg!(feature = "hdf5") {
        assert_eq!(run("map 0 2 -f halve -o own.h5").0, Some(0));
        assert_eq!(run("map --from own.h5:/output -f identity").1, "0\n1\n");
    }
    if has_mpi() {
        let mut command = program(mpirun());
        allow_everything(&mut command);
        command.args(["-n", "3"]).arg(&own).args([
            "map",
            "--range",
            "0..2000:2",
            "-f",
            "halve",
            "--reduce",
            "sum",
        ]);
        let output = command.output().unwrap();
        assert_eq!(output.stdout, b"sum\t499500\n", "{}", String::from_utf8_lossy(&output.stderr));
    }
}
