//! The commands of parpy: what each does with the rooms before it.

pub mod doctor;
pub mod entry;
mod functions;
pub mod hdf5;
pub mod run;
mod say;
pub mod scale;
pub mod show;
