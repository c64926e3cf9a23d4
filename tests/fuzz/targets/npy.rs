//! Headers of `.npy` files: a shape or a message, at once.

#![no_main]

use libfuzzer_sys::fuzz_target;
use parpy::input::npy::Header;

fuzz_target!(|bytes: &[u8]| {
    match Header::parse(bytes) {
        Ok(header) => assert!(header.len <= bytes.len() as u64),
        Err(message) => assert!(message.len() < 1000, "a long message"),
    }
});
