//! Tests that run the real binary in the user's terms, alone and under real mpirun.

mod bad_input;
mod big;
mod demo;
mod dsl;
mod job;
mod launch;
mod map;
mod read;
mod readme;
mod report;
mod same;
mod workers;
