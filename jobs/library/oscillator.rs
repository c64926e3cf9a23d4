//! Energy of an oscillator of mass 1, for parpy map --library:
//!   rustc -O -C target-cpu=native --crate-type cdylib oscillator.rs -o oscillator.so
//!   parpy map --from runs.csv:x,v --library ./oscillator.so:energy
//!   parpy map --from runs.csv:x,v --library ./oscillator.so:energies --vectorized
//!   parpy map --range 0..10 --library ./oscillator.so:steps --dtype i64 --answers i64

/// Of one row: an argument for each column.
#[unsafe(no_mangle)]
pub extern "C" fn energy(x: f64, v: f64) -> f64 {
    0.5 * (v * v + x * x)
}

/// Of `n` rows at once: an array for each column, and one for the answers.
///
/// # Safety
/// All arrays have `n` numbers, as those of parpy have.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn energies(x: *const f64, v: *const f64, y: *mut f64, n: usize) {
    // SAFETY: as said above.
    let (x, v, y) = unsafe {
        (std::slice::from_raw_parts(x, n), std::slice::from_raw_parts(v, n), std::slice::from_raw_parts_mut(y, n))
    };
    for ((x, v), y) in x.iter().zip(v).zip(y) {
        *y = energy(*x, *v);
    }
}

/// Of whole numbers: halving, or 3 n + 1, until 1 is reached.
#[unsafe(no_mangle)]
pub extern "C" fn steps(mut n: i64) -> i64 {
    let mut count = 0;
    while n > 1 {
        n = if n % 2 == 1 { 3 * n + 1 } else { n / 2 };
        count += 1;
    }
    count
}
