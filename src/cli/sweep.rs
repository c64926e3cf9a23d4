//! What was typed of a sweep, checked: `--sweep` and what belongs to it.

use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::job::Work;
use crate::job::shard::{self, ShardMode};
use crate::job::spec::MapSpec;
use crate::job::sweep::Sweep;
use crate::op::expr;

/// What `--sweep`, `--zip`, `--sample` and `--points` say; `None` where there is no sweep.
///
/// # Errors
/// As those of [`Sweep::parse`], a name that no formula could use, or something is said of a sweep and there is none.
pub(super) fn of_map(spec: &MapSpec) -> Result<Option<Sweep>> {
    let MapSpec { sweep, zip, sample, points, .. } = spec;
    if sweep.is_empty() {
        return match *zip || sample.is_some() || points.is_some() {
            false => Ok(None),
            true => {
                Err(Error::Usage("--zip, --sample and --points are of a sweep: --sweep NAME=VALUES".into()))
            }
        };
    }
    let sweep = Sweep::parse(sweep, *zip, *sample, points.as_deref())?;
    if let Some(axis) = sweep.axes.iter().find(|axis| !expr::is_column_name(&axis.name)) {
        return Err(axis.wrong(&format!(
            "'{}' is no name; a name begins with a letter, and goes on with letters, digits, '_' and '.', as in \
             alpha=1,2,3",
            axis.name
        )));
    }
    Ok(Some(sweep))
}

/// The seed of what `work` chooses or draws at random.
///
/// # Errors
/// It draws nothing; or its parts would each draw for themselves.
pub(super) fn seed(seed: Option<u64>, work: &Work, portion: ShardMode) -> Result<Option<u64>> {
    match (work.is_random(), seed) {
        (false, Some(_)) if !work.may_be_random() => Err(Error::Usage(
            "--seed is for what is random: --sample N, --points lhs:N, uniform() and normal() in expressions, and programs \
             (--exec, --worker, --python, --pipe)"
                .into(),
        )),
        (true, None) if portion != ShardMode::Whole => Err(shard::no_seed()),
        _ => Ok(seed),
    }
}

/// The word of a sweep in a job file, where its file is what `resolve` makes of it, and anything else what `name` does.
pub(super) fn resolved(
    typed: &Path,
    resolve: impl Fn(&Path) -> Result<PathBuf>,
    name: impl Fn(&str) -> Result<PathBuf>,
) -> Result<PathBuf> {
    let text = typed.to_str().unwrap_or_default();
    let of_file = |text: &str| {
        let (axis, values) = text.split_once('=')?;
        Some((axis.to_owned(), PathBuf::from(values.trim_start().strip_prefix('@')?)))
    };
    let Some((axis, file)) = of_file(text) else { return name(text) };
    let mut word = name(&axis)?.into_os_string();
    word.push("=@");
    word.push(resolve(&file)?);
    Ok(word.into())
}
