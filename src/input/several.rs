//! Columns that are found in several places, side by side: each row is put together of all of them.

use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::lanes::Lanes;
use crate::data::schema::Schema;
use crate::input::{Holes, Indexed, Stamp};

/// Sources of one length, side by side.
struct Beside {
    sources: Vec<Box<dyn Indexed>>,
    schema: Schema,
    /// Those of all of them, of the rows that were found last.
    holes: Option<Holes>,
}

/// The columns of all of `sources`, which are parts of the file at `path`.
///
/// # Errors
/// They are not of the same length.
pub fn beside(mut sources: Vec<Box<dyn Indexed>>, path: &Path) -> Result<Box<dyn Indexed>> {
    if let [_] = sources[..] {
        return Ok(sources.remove(0));
    }
    let mut schema = Schema::default();
    for source in &sources {
        for field in source.schema().fields {
            let name = if field.name.is_empty() { format!("c{}", schema.len()) } else { field.name };
            schema.push(name, field.dtype);
        }
    }
    let mut lengths = sources.iter().map(|source| source.count());
    let first = lengths.next();
    if let Some(at) = lengths.position(|count| Some(count) != first) {
        let names = |source: &dyn Indexed| source.schema().fields.remove(0).name;
        return Err(Error::Failed(format!(
            "cannot read {}: its columns are not of the same length: {} has {} values, {} has {}",
            path.display(),
            names(&*sources[0]),
            sources[0].count(),
            names(&*sources[at + 1]),
            sources[at + 1].count()
        )));
    }
    Ok(Box::new(Beside { sources, schema, holes: None }))
}

impl Indexed for Beside {
    fn schema(&self) -> Schema {
        self.schema.clone()
    }

    fn count(&self) -> u64 {
        self.sources.first().map_or(0, |source| source.count())
    }

    fn fill_at(&mut self, start: u64, columns: &mut [&mut [u64]], lanes: Lanes) -> (usize, Result<()>) {
        let (mut found, mut outcome) = (columns.first().map_or(0, |column| column.len()), Ok(()));
        let mut rest = columns;
        for source in &mut self.sources {
            let (own, others) = rest.split_at_mut(source.schema().len());
            rest = others;
            own.iter_mut().for_each(|column| {
                let whole = std::mem::take(column);
                *column = &mut whole[..found];
            });
            let (fits, fault) = source.fill_at(start, own, lanes);
            // The first row that is not there counts, whichever column it is of.
            if fits < found || fault.is_err() {
                (found, outcome) = (fits, fault);
            }
        }
        self.holes = None;
        if self.sources.iter().any(|source| source.holes().is_some()) {
            let mut holes = Holes::default();
            for source in &self.sources {
                holes = holes.beside(source.holes(), source.schema().len());
            }
            self.holes = Some(holes);
        }
        (found, outcome)
    }

    fn holes(&self) -> Option<&Holes> {
        self.holes.as_ref()
    }

    fn piece(&self) -> usize {
        let smallest = self.sources.iter().map(|source| source.piece()).min().unwrap_or(1);
        (smallest / self.sources.len()).max(64)
    }

    fn note(&self) -> Option<String> {
        self.sources.iter().find_map(|source| source.note())
    }

    fn stamp(&self) -> Stamp {
        // Most often all are of one file.
        let joint = |all: Stamp, one: Stamp| if all == one { all } else { all.and(one) };
        self.sources.iter().map(|source| source.stamp()).reduce(joint).unwrap_or(Stamp::NONE)
    }
}
