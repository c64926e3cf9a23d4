//! What HDF5 files refer to: names that lead to datasets, names that lead nowhere, and the other files that the
//! values of virtual datasets come from. Nothing is read here.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::env;
use std::ffi::c_char;
use std::path::{Path, PathBuf};
use std::ptr;

use ::hdf5::dataset::Layout;
use ::hdf5::{Dataset, Error, File, Group, LocationInfo, LocationType};
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5p;

use crate::base::atomic_file::is_same;

/// What is said of a link whose goal is not known.
pub const LEADS_NOWHERE: &str = "a link that leads nowhere, or to what is damaged";

/// How deep virtual datasets may be made of virtual datasets.
const DEEPEST: usize = 16;

/// Where HDF5 looks for the sources of virtual datasets first.
const PREFIX: &str = "HDF5_VDS_PREFIX";

/// What is below a group.
pub struct FileListing {
    /// Names of datasets, with their paths.
    pub datasets: Vec<String>,
    /// Names of links that lead nowhere, with their paths.
    pub broken: Vec<String>,
    /// The first group of which the names cannot be read.
    pub damaged: Option<String>,
}

/// All datasets below `group`, up to `most`.
pub fn found_in(group: &Group, most: usize) -> FileListing {
    let identity = |info: LocationInfo| format!("{} {:?}", info.fileno, info.token);
    // A link may lead back to where it stands.
    let mut visited: HashSet<_> = group.loc_info().ok().map(identity).into_iter().collect();
    let mut found = FileListing { datasets: Vec::new(), broken: Vec::new(), damaged: None };
    let mut waiting = VecDeque::from([(group.clone(), String::new())]);
    while let Some((group, prefix)) = waiting.pop_front() {
        let names = group.member_names().unwrap_or_else(|_| {
            found.damaged.get_or_insert(format!("{prefix}/"));
            Vec::new()
        });
        for name in names {
            if found.datasets.len() == most {
                break;
            }
            let full = format!("{prefix}/{name}");
            let Ok(info) = group.loc_info_by_name(&name) else {
                found.broken.push(full);
                continue;
            };
            match info.loc_type {
                LocationType::Dataset => found.datasets.push(full),
                LocationType::Group if visited.insert(identity(info)) => {
                    waiting.extend(group.group(&name).map(|group| (group, full)));
                }
                _ => {}
            }
        }
    }
    found.datasets.sort();
    found.broken.sort();
    found
}

/// What is wrong with a link on the way to `name`, where one leads nowhere.
pub fn broken_link(file: &File, name: &str) -> Option<String> {
    let mut way = String::new();
    for step in name.split('/').filter(|step| !step.is_empty()) {
        way.push('/');
        way.push_str(step);
        if !file.link_exists(&way) {
            return None;
        }
        if file.loc_info_by_name(&way).is_err() {
            // Opened as what it is not, too: what is wrong with the link is found out first.
            let reason = file.dataset(&way).err().and_then(|e| other_file(&e));
            return Some(match reason {
                Some(other) => {
                    format!("{way} is a link into {other}, which cannot be opened; put it back there")
                }
                None => format!("{way} is {LEADS_NOWHERE}"),
            });
        }
    }
    None
}

/// The other file that could not be opened, as the library's error names it.
fn other_file(error: &Error) -> Option<String> {
    let stack = error.stack()?;
    let of_frame = |text: &str| {
        let name = text.split_once("external link file name = '")?.1.split_once('\'')?.0;
        Some(name.to_owned())
    };
    stack.iter().find_map(|frame| of_frame(frame.desc()))
}

/// The files, other than `file` at `path`, that the values of a dataset come from: where a link leads into another file,
/// and the sources of a virtual dataset.
///
/// # Errors
/// A source is missing; says which. The library takes the fill value in place of its values, and says nothing.
pub fn other_files(path: &Path, file: &File, dataset: &Dataset) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut home = path.to_owned();
    // The library may know `file` by another name than `path`.
    if dataset.filename() != file.filename() {
        home = PathBuf::from(dataset.filename());
        if !is_same(&home, path) {
            files.push(home.clone());
        }
    }
    add_sources(&home, dataset, DEEPEST, &mut files)?;
    Ok(files)
}

/// Adds the files of the sources of `dataset`, which stands in the file at `path`.
fn add_sources(path: &Path, dataset: &Dataset, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), String> {
    if dataset.layout() != Layout::Virtual {
        return Ok(());
    }
    if depth == 0 {
        return Err(format!(
            "it is made of virtual datasets that are made of others, more than {DEEPEST} deep"
        ));
    }
    for (name, part) in sources(dataset) {
        // A pattern for files or datasets that may be there: as many as are, count.
        if name.contains('%') || part.contains('%') {
            continue;
        }
        let missing = |why: String| {
            format!(
                "it is made of datasets of other files, and {why}; put it back, as its values would be made up"
            )
        };
        let found = match &*name {
            "." => Some(path.to_owned()),
            _ => places(path, Path::new(&name)).into_iter().find(|place| place.is_file()),
        };
        let found = found.ok_or_else(|| missing(format!("{name} is missing")))?;
        let file = File::open(&found).map_err(|e| {
            missing(format!("{name} cannot be read ({})", crate::input::hdf5_library::plain(&e)))
        })?;
        let source = file.dataset(&part).map_err(|_| missing(format!("there is no {part} in {name}")))?;
        if !files.contains(&found) && name != "." {
            files.push(found.clone());
        }
        add_sources(&found, &source, depth - 1, files)?;
    }
    Ok(())
}

/// The files and datasets that a virtual dataset is made of, each once, as they are called in it.
fn sources(dataset: &Dataset) -> BTreeSet<(String, String)> {
    let Ok(created) = dataset.dcpl() else { return BTreeSet::new() };
    let _lock = hdf5_sys::LOCK.lock();
    let mut count = 0;
    // SAFETY: the list is open, the lock is held, and `count` is this function's own.
    if unsafe { h5p::H5Pget_virtual_count(created.id(), &mut count) } < 0 {
        return BTreeSet::new();
    }
    let name = |get: unsafe extern "C" fn(hid_t, usize, *mut c_char, usize) -> isize, i: usize| {
        // SAFETY: the list is open and the lock is held; without room it only says how long the name is.
        let len = usize::try_from(unsafe { get(created.id(), i, ptr::null_mut(), 0) }).unwrap_or(0);
        let mut name = vec![0u8; len + 1];
        // SAFETY: as above, and no more is written than there is room for.
        unsafe { get(created.id(), i, name.as_mut_ptr().cast(), name.len()) };
        name.truncate(len);
        String::from_utf8_lossy(&name).into_owned()
    };
    (0..count)
        .map(|i| (name(h5p::H5Pget_virtual_filename, i), name(h5p::H5Pget_virtual_dsetname, i)))
        .collect()
}

/// Where HDF5 looks for a source called `name` of the file at `path`, in this order.
fn places(path: &Path, name: &Path) -> Vec<PathBuf> {
    let mut places = Vec::new();
    if name.is_absolute() {
        places.push(name.to_owned());
    }
    let rest = if name.is_absolute() { name.file_name().map_or(name, Path::new) } else { name };
    let folder = path.parent().unwrap_or(Path::new(""));
    if let Some(prefixes) = env::var_os(PREFIX) {
        for prefix in env::split_paths(&prefixes) {
            places.push(match prefix.strip_prefix("${ORIGIN}") {
                Ok(below) => folder.join(below).join(rest),
                Err(_) => prefix.join(rest),
            });
        }
    }
    places.push(folder.join(rest));
    places.push(rest.to_owned());
    if let Some(real) = path.canonicalize().ok().as_deref().and_then(Path::parent) {
        places.push(real.join(rest));
    }
    places
}
