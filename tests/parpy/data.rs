//! Files of the formats that parpy knows: made for tests, and read back without parpy.

use std::path::{Path, PathBuf};

use crate::dsl::*;

/// Alone, and over ranks where there are ranks.
pub fn ways() -> &'static [usize] {
    if has_mpi() { &[0, 2, 5] } else { &[0] }
}

/// Extensions of formats that are written here.
pub fn extensions() -> Vec<&'static str> {
    let mut all = vec!["txt", "csv", "json", "jsonl", "npy"];
    if cfg!(feature = "hdf5") {
        all.push("h5");
    }
    all
}

/// A `.npy` file of `count` values of 8 bytes, written by the format's own rules (NEP 1).
pub fn npy(dir: &Dir, name: &str, descr: &str, count: usize, value: impl Fn(usize) -> [u8; 8]) -> PathBuf {
    let data: Vec<u8> = (0..count).flat_map(value).collect();
    dir.write(name, [npy_header(descr, &format!("({count},)")), data].concat())
}

/// An array of that type, which may be a list of fields, and shape.
pub fn npy_of(dir: &Dir, name: &str, descr: &str, shape: &str, data: &[u8]) -> PathBuf {
    dir.write(name, [&npy_header(descr, shape), data].concat())
}

pub fn npy_header(descr: &str, shape: &str) -> Vec<u8> {
    let descr = if descr.starts_with('[') { descr.to_owned() } else { format!("'{descr}'") };
    let dict = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}");
    // Padded with blanks to whole 64 bytes, and ended by a newline.
    let len = (10 + dict.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((len as u16).to_le_bytes());
    bytes.extend(format!("{dict:<width$}\n", width = len - 1).bytes());
    bytes
}

/// Puts a copy in the place of a file that this process has written. A program that another test starts at the
/// same time has the file open, too, for as long as it runs, and with it HDF5's lock.
#[cfg(feature = "hdf5")]
pub fn settle(path: &Path) {
    let copy = path.with_extension("copy");
    std::fs::copy(path, &copy).unwrap();
    std::fs::rename(copy, path).unwrap();
}

/// A dataset of one dimension.
#[cfg(feature = "hdf5")]
pub fn dataset<T: hdf5::H5Type>(path: &Path, name: &str) -> Vec<T> {
    let file = hdf5::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    file.dataset(name).and_then(|dataset| dataset.read_raw()).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The datasets with rows of results: of each its name, whether it is of floats, and its bits; of texts the length of each
/// and its bytes.
#[cfg(feature = "hdf5")]
pub fn columns(path: &Path) -> Vec<(String, bool, Vec<u64>)> {
    let file = hdf5::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let own = ["/rank", "/failed", "/workers"];
    let names = file.datasets().unwrap().into_iter().map(|dataset| dataset.name());
    let column = |name: String| {
        let dtype = file.dataset(&name).unwrap().dtype().unwrap();
        let (is_float, is_text) = (dtype.is::<f64>(), dtype.is::<hdf5::types::VarLenUnicode>());
        let bits = match is_float {
            _ if is_text => dataset::<hdf5::types::VarLenUnicode>(path, &name)
                .iter()
                .flat_map(|text| [text.len() as u64].into_iter().chain(text.bytes().map(u64::from)))
                .collect(),
            true => dataset::<f64>(path, &name).into_iter().map(f64::to_bits).collect(),
            false => dataset::<i64>(path, &name).into_iter().map(|x| x as u64).collect(),
        };
        (name[1..].to_owned(), is_float, bits)
    };
    names.filter(|name| !own.contains(&&**name)).map(column).collect()
}

/// The numbers of the values that have failed.
#[cfg(feature = "hdf5")]
fn failed(path: &Path) -> Vec<u64> {
    let file = hdf5::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if file.link_exists("failed") { dataset::<u64>(path, "failed") } else { Vec::new() }
}

/// Input, which is of one column, and output as bits, and the numbers of the values that have failed.
#[cfg(feature = "hdf5")]
pub fn contents(path: &Path) -> (bool, Vec<u64>, Vec<u64>, Vec<u64>) {
    let (outputs, inputs): (Vec<_>, Vec<_>) =
        columns(path).into_iter().partition(|(name, ..)| name == "output");
    let ([(_, is_float, input)], [(_, _, output)]) = (&inputs[..], &outputs[..]) else {
        panic!("{}: {inputs:?}", path.display())
    };
    (*is_float, input.clone(), output.clone(), failed(path))
}

/// What must be the same in a file whoever has written it.
pub fn lasting(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    match path.extension().unwrap().to_str() {
        Some("json") => {
            let text = String::from_utf8(bytes).unwrap();
            text.split("\n],\n\"parpy\": {").next().unwrap().into()
        }
        #[cfg(feature = "hdf5")]
        Some("h5") => format!("{:?}", (columns(path), failed(path))).into_bytes(),
        _ => bytes,
    }
}
