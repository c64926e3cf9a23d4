//! Tests that run the real binary in the user's terms, alone and under real mpirun.

mod bad_input;
mod big;
mod demo;
mod doctor;
mod dsl;
mod formats;
#[cfg(feature = "hdf5")]
mod hdf5;
mod job;
mod launch;
mod map;
mod part;
mod python;
mod read;
mod readme;
mod report;
mod same;
mod scale;
mod show;
mod trace;
mod workers;
