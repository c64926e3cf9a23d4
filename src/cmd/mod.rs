//! The commands of parpy: what each does with the rooms before it.

pub mod doctor;
mod dry_run;
pub mod entry;
mod functions;
pub mod hdf5;
mod python_module;
mod ranges;
pub mod run;
mod say;
pub mod scale;
mod seed;
pub mod show;
