//! A parpy with functions of one's own: all patterns, formats and clusters, and expressions know them, too.
//!
//!   cargo build --release --example own
//!   mpirun -n 4 target/release/examples/own map --range 0..1000000 -f 'logistic(x / 1000) + 1' -o out.h5

use std::process::ExitCode;

use parpy::Function;

const FUNCTIONS: &[Function] = &[
    Function::of_floats("logistic", "1 / (1 + e^-x)", |x| 1.0 / (1.0 + (-x).exp())),
    // Of whole numbers, which may have no answer.
    Function::of_both(
        "halve",
        "x / 2, of even numbers",
        |x| if x % 2 == 0 { Ok(x / 2) } else { Err("is odd") },
        None,
    ),
];

fn main() -> ExitCode {
    parpy::run_with(FUNCTIONS)
}
