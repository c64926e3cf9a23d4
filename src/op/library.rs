//! A compiled function of a shared library (C's calling convention), for rows of numbers.
//!
//! A function of single rows is `double f(double, …)`, with an argument for each column; one of arrays is
//! `void f(const double *x, …, double *y, size_t n)`. Where the user says so, arguments or answers are `int64_t`. A library
//! carries no signature, so that nobody can check it: a wrong one answers nonsense, or ends the process. What threads may
//! do at the same time is the library's affair, too.

use std::ffi::c_void;
use std::panic::resume_unwind;
use std::thread;

use libloading::Library as Loaded;
use smallvec::SmallVec;

use crate::base::error::{Error, Result, plain};
use crate::data::dtype::Dtype;
use crate::data::row_set::RowSet;
use crate::data::schema::{ColumnType, Schema};
use crate::job::library::Library;
use crate::op::expr::WINDOW;
use crate::op::{RowFunction, RowsOf, goes_on};

/// Arguments of a function at the most.
const MOST: usize = 16;

/// A function of a library, bound to the columns of an input. The same on every rank.
#[derive(Debug, Clone)]
pub struct BoundLibrary {
    library: Library,
    /// Types of the columns, each of which is an argument.
    columns: Vec<Dtype>,
}

impl BoundLibrary {
    /// `library` over columns of `schema`. Nothing is loaded.
    ///
    /// # Errors
    /// A column is no number, or there are too many.
    pub fn bind(library: &Library, schema: &Schema) -> Result<Self> {
        let wrong = |why: String| Error::Usage(format!("--library {}: {why}", library.text()));
        let columns = schema.fields.iter().map(|field| match (field.dtype.number(), library.arguments) {
            (None, _) => {
                let name = &field.name;
                Err(wrong(format!(
                    "column {name} is text; give the columns of numbers, as in --from x.csv:a,b"
                )))
            }
            (Some(Dtype::F64), Dtype::I64) => {
                let name = &field.name;
                Err(wrong(format!(
                    "column {name} is of floats, and --dtype i64 says that arguments are whole numbers"
                )))
            }
            (Some(dtype), _) => Ok(dtype),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        if columns.len() > MOST {
            let count = columns.len();
            return Err(wrong(format!(
                "a function may have {MOST} arguments, and there are {count} columns"
            )));
        }
        Ok(Self { library: library.clone(), columns })
    }

    /// Type of its answers.
    pub fn dtype(&self) -> ColumnType {
        self.library.answers.into()
    }

    /// Does an answer take its time, nobody knows how much? Who wants arrays says that a row is none.
    pub fn is_costly(&self) -> bool {
        !self.library.vectorized
    }

    /// Loads the library.
    ///
    /// # Errors
    /// The file is no library for this machine, or has no such function.
    pub fn function(&self) -> Result<LibraryFunction> {
        let (file, symbol) = (self.library.file(), &self.library.symbol);
        let load = move || {
            // SAFETY: what a library does when it is loaded is what its user wants it to do; it is in nobody else's hands
            // here.
            unsafe { Loaded::new(file) }
        };
        // By a thread of its own, as some libraries set how their thread computes (`-ffast-math`: no subnormal numbers).
        let loaded =
            thread::scope(|scope| thread::Builder::new().spawn_scoped(scope, load).map(|load| load.join()));
        let loaded = loaded.map_err(|e| self.cannot(&plain(&e)))?;
        let loaded =
            loaded.unwrap_or_else(|panic| resume_unwind(panic)).map_err(|e| self.cannot(&reason(&e)))?;
        // SAFETY: only its address is looked at here.
        let address = unsafe { loaded.get::<*const c_void>(symbol.as_bytes()) }.map(|address| *address);
        // Nobody unloads it: what it has started, threads for example, may run in it still.
        std::mem::forget(loaded);
        let address = address.map_err(|e| {
            let why = reason(&e);
            self.cannot(&format!(
                "{why}; it is to be exported under that name: in C++ and Rust as extern \"C\", in Fortran with bind(C)"
            ))
        })?;
        let (count, wide) = (self.columns.len(), WINDOW);
        let is_converted = |dtype: &Dtype| *dtype != self.library.arguments;
        let converted = self.columns.iter().map(|dtype| vec![0; if is_converted(dtype) { wide } else { 0 }]);
        Ok(LibraryFunction {
            call: Call {
                address,
                count,
                vectorized: self.library.vectorized,
                arguments: self.library.arguments,
                answers: self.library.answers,
            },
            converted: converted.collect(),
            columns: self.columns.clone(),
            gathered: Vec::new(),
        })
    }

    fn cannot(&self, why: &str) -> Error {
        let path = self.library.path.display().to_string();
        // The loader says which file, most often.
        let why = why.strip_prefix(&format!("{path}: ")).unwrap_or(why);
        Error::CannotOpen(format!("cannot use --library {}: {why}", self.library.text()))
    }
}

/// What the system's loader says.
fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// A function that is loaded. One per worker.
pub struct LibraryFunction {
    call: Call,
    columns: Vec<Dtype>,
    /// Columns of whole numbers as the floats that the function wants; nothing for the others.
    converted: Vec<Vec<u64>>,
    /// Rows that have all values, where others lack some, and their answers.
    gathered: Vec<u64>,
}

// SAFETY: the address of a function means the same in each thread; the worker that has it calls it from one at a time.
unsafe impl Send for LibraryFunction {}

/// How a function is called.
struct Call {
    address: *const c_void,
    /// Arguments, or arrays of them.
    count: usize,
    vectorized: bool,
    arguments: Dtype,
    answers: Dtype,
}

/// A number as C has it, and as words of 64 bits hold it.
trait Number: Copy + Default {
    fn of(bits: u64) -> Self;
    fn bits(self) -> u64;
}

impl Number for f64 {
    fn of(bits: u64) -> Self {
        Self::from_bits(bits)
    }
    fn bits(self) -> u64 {
        self.to_bits()
    }
}

impl Number for i64 {
    fn of(bits: u64) -> Self {
        bits as i64
    }
    fn bits(self) -> u64 {
        self as u64
    }
}

/// The type of one of several arguments.
macro_rules! one {
    ($index:tt, $type:ty) => {
        $type
    };
}

/// Calls `$address` with `$count` arguments of one type, each made by `$argument` from its index, and these `$more`.
macro_rules! call {
    (@[$($index:tt)*] $address:expr, $type:ty, $argument:expr, ($($more:expr => $more_type:ty),*), $answer:ty) => {{
        // SAFETY: the address of a function, whose type is what the user says that it is.
        let function = unsafe {
            std::mem::transmute::<
                *const c_void,
                unsafe extern "C" fn($(one!($index, $type),)* $($more_type),*) -> $answer,
            >($address)
        };
        // SAFETY: as above; arrays have as many numbers as the last argument says.
        unsafe { function($($argument($index),)* $($more),*) }
    }};
    ($address:expr, $count:expr, $type:ty, $argument:expr, ($($more:expr => $more_type:ty),*), $answer:ty) => {
        match $count {
            1 => call!(@[0] $address, $type, $argument, ($($more => $more_type),*), $answer),
            2 => call!(@[0 1] $address, $type, $argument, ($($more => $more_type),*), $answer),
            3 => call!(@[0 1 2] $address, $type, $argument, ($($more => $more_type),*), $answer),
            4 => call!(@[0 1 2 3] $address, $type, $argument, ($($more => $more_type),*), $answer),
            5 => call!(@[0 1 2 3 4] $address, $type, $argument, ($($more => $more_type),*), $answer),
            6 => call!(@[0 1 2 3 4 5] $address, $type, $argument, ($($more => $more_type),*), $answer),
            7 => call!(@[0 1 2 3 4 5 6] $address, $type, $argument, ($($more => $more_type),*), $answer),
            8 => call!(@[0 1 2 3 4 5 6 7] $address, $type, $argument, ($($more => $more_type),*), $answer),
            9 => call!(@[0 1 2 3 4 5 6 7 8] $address, $type, $argument, ($($more => $more_type),*), $answer),
            10 => call!(@[0 1 2 3 4 5 6 7 8 9] $address, $type, $argument, ($($more => $more_type),*), $answer),
            11 => call!(@[0 1 2 3 4 5 6 7 8 9 10] $address, $type, $argument, ($($more => $more_type),*), $answer),
            12 => call!(@[0 1 2 3 4 5 6 7 8 9 10 11] $address, $type, $argument, ($($more => $more_type),*), $answer),
            13 => call!(@[0 1 2 3 4 5 6 7 8 9 10 11 12] $address, $type, $argument, ($($more => $more_type),*), $answer),
            14 => call!(@[0 1 2 3 4 5 6 7 8 9 10 11 12 13] $address, $type, $argument, ($($more => $more_type),*), $answer),
            15 => call!(@[0 1 2 3 4 5 6 7 8 9 10 11 12 13 14] $address, $type, $argument, ($($more => $more_type),*), $answer),
            16 => call!(@[0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] $address, $type, $argument, ($($more => $more_type),*), $answer),
            _ => unreachable!("bound to no more columns"),
        }
    };
}

impl Call {
    /// Answers rows of `columns`, all as long as `answers`. `goes_on` is asked between two rows.
    fn answer(
        &self,
        columns: &[&[u64]],
        answers: &mut [u64],
        goes_on: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        match (self.arguments, self.answers) {
            (Dtype::F64, Dtype::F64) => self.with::<f64, f64>(columns, answers, goes_on),
            (Dtype::F64, Dtype::I64) => self.with::<f64, i64>(columns, answers, goes_on),
            (Dtype::I64, Dtype::F64) => self.with::<i64, f64>(columns, answers, goes_on),
            (Dtype::I64, Dtype::I64) => self.with::<i64, i64>(columns, answers, goes_on),
        }
    }

    fn with<X: Number, Y: Number>(
        &self,
        columns: &[&[u64]],
        answers: &mut [u64],
        goes_on: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        if self.vectorized {
            let (y, n) = (answers.as_mut_ptr().cast::<Y>(), answers.len());
            let argument = |k: usize| columns[k].as_ptr().cast::<X>();
            call!(self.address, self.count, *const X, argument, (y => *mut Y, n => usize), ());
            return Ok(());
        }
        for (row, answer) in answers.iter_mut().enumerate() {
            if row > 0 {
                goes_on()?;
            }
            let argument = |k: usize| X::of(columns[k][row]);
            *answer = call!(self.address, self.count, X, argument, (), Y).bits();
        }
        Ok(())
    }
}

impl RowFunction for LibraryFunction {
    fn columns(&self) -> Vec<usize> {
        (0..self.columns.len()).collect()
    }

    fn rows_at_once(&self) -> usize {
        WINDOW
    }

    fn answer(&mut self, rows: &RowsOf, answers: &mut [u64], is_wanted: &dyn Fn() -> bool) -> Result<RowSet> {
        let Self { call, columns, converted, gathered } = self;
        for ((column, dtype), floats) in rows.columns.iter().zip(&*columns).zip(&mut *converted) {
            if *dtype != call.arguments {
                for (float, whole) in floats.iter_mut().zip(*column) {
                    *float = (*whole as i64 as f64).to_bits();
                }
            }
        }
        let given: SmallVec<[&[u64]; 4]> = rows
            .columns
            .iter()
            .enumerate()
            .map(|(k, column)| match columns[k] == call.arguments {
                true => *column,
                false => &converted[k][..column.len()],
            })
            .collect();
        let goes_on = || goes_on(is_wanted);
        if rows.lacking.is_empty() {
            call.answer(&given, answers, &goes_on)?;
            return Ok(RowSet::default());
        }
        // The function never sees a row that lacks a value, which nothing stands for.
        let whole: Vec<usize> = (0..answers.len()).filter(|row| !rows.lacking.has(*row)).collect();
        if whole.is_empty() {
            return Ok(RowSet::default());
        }
        gathered.clear();
        gathered.extend(given.iter().flat_map(|column| whole.iter().map(|row| column[*row])));
        let columns: Vec<&[u64]> = gathered.chunks_exact(whole.len()).collect();
        let mut found = vec![0; whole.len()];
        call.answer(&columns, &mut found, &goes_on)?;
        whole.iter().zip(found).for_each(|(row, answer)| answers[*row] = answer);
        Ok(RowSet::default())
    }
}
