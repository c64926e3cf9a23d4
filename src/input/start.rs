//! What a file is, by the bytes that it begins with: for messages about files whose names say something else.

/// Beginnings, and what begins so.
const STARTS: [(&[u8], &str); 9] = [
    (b"\x93NUMPY", "a .npy file; give it a name that ends in .npy, and --from FILE"),
    (b"\x89HDF", "an HDF5 file; give it a name that ends in .h5, and --from FILE:DATASET"),
    (
        b"\x1f\x8b",
        "compressed with gzip; unpack it first, or where it is text: gunzip -c FILE | parpy map --from -",
    ),
    (b"BZh91AY&SY", "compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first"),
    (b"PK\x03\x04", "a zip archive, as .npz and .xlsx are; take out of it what is to be read"),
    (b"\xff\xfe", "text in UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16; save it as UTF-8"),
];

/// What the file is that begins with `bytes`, and what to do with it; `None` for text, and what nobody knows.
pub fn kind(bytes: &[u8]) -> Option<&'static str> {
    STARTS.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, kind)| *kind)
}
