//! Headers of `.npy` files: a shape or a message, at once.

#![no_main]

use libfuzzer_sys::fuzz_target;
use parpy::input::npy::Header;
use parpy::input::npy_fields::fields;

fuzz_target!(|bytes: &[u8]| {
    match Header::parse(bytes) {
        Ok(header) => {
            assert!(header.len <= bytes.len() as u64);
            let Some((fields, row)) = fields(&header.descr) else { return };
            assert!(fields.iter().all(|field| field.stored.is_none_or(|stored| field.offset + stored.bytes <= row)));
        }
        Err(message) => assert!(message.len() < 1000, "a long message"),
    }
});
