//! Values from numpy's `.npy` files: whole numbers and floats of up to 64 bits, in either byte order.

use std::io::Seek;
use std::path::Path;

use npyz::{DType, Endianness, Order, TypeChar};

use crate::error::{Error, Result, plain};
use crate::input::flat::{Flat, Kind, Stored};
use crate::input::{count_of, open as open_file, regular};
use crate::job::Dtype;

/// Opens `path`, of the type that its header says or, where that loses nothing, `wanted`.
///
/// # Errors
/// Not a `.npy` file, or one of a shape or type that parpy does not read.
pub fn open(path: &Path, part: Option<&str>, wanted: Option<Dtype>) -> Result<(Flat, Dtype)> {
    let wrong = |why: String| Error::Failed(format!("cannot read {}: {why}", path.display()));
    if let Some(part) = part {
        return Err(Error::Usage(format!(
            "--from {}:{part}: a .npy file has no parts (in numpy: save the column alone, a[:, 0])",
            path.display()
        )));
    }
    regular(path)?;
    let file = open_file(path)?;
    let npy = npyz::NpyFile::new(file)
        .map_err(|e| wrong(format!("it is not a .npy file, or its header is damaged ({})", plain(&e))))?;
    let descr = npy.dtype().descr();
    let Some(stored) = stored(&npy.dtype()) else {
        return Err(wrong(format!(
            "its type is {descr}; parpy reads whole numbers, and floats of 32 and 64 bits (in numpy: \
             a.astype('int64') or 'float64')"
        )));
    };
    match *npy.shape() {
        [_] => {}
        [] => return Err(wrong("it is a single number, without dimensions (in numpy: a.reshape(1))".into())),
        _ if npy.order() == Order::C => {}
        ref shape => {
            return Err(wrong(format!(
                "its shape is {shape:?} in Fortran's order; parpy reads rows one after the other (in numpy: a.ravel())"
            )));
        }
    }
    let shape = npy.shape().to_vec();
    if count_of(&shape).is_none() {
        return Err(wrong(format!("its shape {shape:?} is of too many values")));
    }
    let dtype = stored.dtype(wanted).map_err(|why| wrong(why.into()))?;
    let mut file = npy.into_inner();
    let first_byte = file.stream_position().map_err(|e| Error::io("read", path, &e))?;
    Ok((Flat::new(file, path, first_byte, &shape, stored, dtype), dtype))
}

/// How numbers of numpy's type are stored; `None` for what is no number, or too wide.
fn stored(dtype: &DType) -> Option<Stored> {
    let DType::Plain(dtype) = dtype else { return None };
    let kind = match dtype.type_char() {
        TypeChar::Int => Kind::Signed,
        TypeChar::Uint => Kind::Unsigned,
        TypeChar::Float => Kind::Float,
        _ => return None,
    };
    let bytes = dtype.num_bytes().filter(|n| *n <= 8 && (kind != Kind::Float || *n >= 4))?;
    Some(Stored { kind, bytes, is_big_endian: dtype.endianness() == Endianness::Big })
}
