//! Files that parpy writes where others may write too: whose they are, who may do what with them, behind which
//! links they stand, and that a name which cannot be given is an error before the work.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::inotify;

use crate::data::*;
use crate::dsl::*;
use crate::formats::json;

/// Nobody's in particular.
const STRANGER: u32 = 54321;

/// May this test give files to others, and be others? Says so where not.
fn can_be_others() -> bool {
    let can = is_root() && has("setpriv");
    if !can {
        skip("root", "only root, with setpriv, can give files to others, and be others");
    }
    can
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// A folder where everybody may write, and nobody may remove what is another's.
fn sticky(dir: &Dir, name: &str) -> PathBuf {
    let folder = dir.path(name);
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o1777);
    set_mode(&dir.path(""), 0o755);
    folder
}

/// All that parpy writes into `folder`: the file's name, and the run that writes it.
fn writers(folder: &Path) -> Vec<(PathBuf, Run)> {
    let mut all: Vec<(PathBuf, Run)> = Vec::new();
    let mut add = |name: &str, args: &str, file: &str| {
        let run = parpy(args).arg(folder.join(name));
        all.push((folder.join(file), run));
    };
    for extension in extensions() {
        add(&format!("a.{extension}"), "map 3 -o", &format!("a.{extension}"));
    }
    add("text", "read jobs/sample.txt -o", "text");
    add("part.txt", "map --range 0..4 --part 1/2 -o", "part.part-1-of-2.txt");
    add("report.json", "map 3 -o none --report", "report.json");
    add("trace.json", "map 3 -o none --trace", "trace.json");
    let study = "scale map 1 -j 1 --patterns serial --repeat 2";
    let saved = if cfg!(feature = "hdf5") { "study.h5" } else { "study.csv" };
    add("study.json", &format!("{study} --save"), "study.json");
    add(saved, &format!("{study} --save"), saved);
    add("study.svg", &format!("{study} --plot"), "study.svg");
    all
}

#[test]
fn a_strangers_file_gives_a_result_neither_its_mode_nor_its_owner() {
    if !can_be_others() {
        return;
    }
    let dir = Dir::new();
    let folder = sticky(&dir, "tmp");
    let usual = mode(&dir.write("new", ""));
    for (file, run) in writers(&folder) {
        for of_stranger in [0o6777, 0o666] {
            fs::write(&file, "not yours").unwrap();
            chown(&file, Some(STRANGER), Some(STRANGER)).unwrap();
            set_mode(&file, of_stranger);
            run.done().succeeds();
            let meta = fs::metadata(&file).unwrap();
            let found = (meta.uid(), meta.gid(), meta.mode() & 0o7777);
            assert_eq!(found, (0, 0, usual), "{}", file.display());
        }
    }
}

/// Also what its owner has set, but no more than who may read, write and execute.
#[test]
fn a_file_of_ones_own_keeps_its_mode_but_no_setuid() {
    let dir = Dir::new();
    for (file, run) in writers(&dir.path("")) {
        for (before, after) in [(0o4755, 0o755), (0o2664, 0o664), (0o600, 0o600), (0o1700, 0o700)] {
            fs::write(&file, "").unwrap();
            set_mode(&file, before);
            run.done().succeeds();
            assert_eq!(mode(&file), after, "{} of {before:o}", file.display());
        }
    }
}

/// Nobody else can open it in between.
#[test]
fn a_file_has_its_final_mode_from_the_first_moment_on() {
    let dir = Dir::new();
    for (file, run) in writers(&dir.path("")) {
        fs::write(&file, "").unwrap();
        set_mode(&file, 0o600);
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        let events = inotify::WatchFlags::ATTRIB | inotify::WatchFlags::CREATE;
        inotify::add_watch(&watch, dir.path(""), events).unwrap();
        run.done().succeeds();
        let mut room = [std::mem::MaybeUninit::uninit(); 16 * 1024];
        let mut reader = inotify::Reader::new(&watch, &mut room);
        let mut created = 0;
        while let Ok(event) = reader.next() {
            let name = event.file_name().map_or("", |name| name.to_str().unwrap());
            if name.ends_with(".partial") {
                created += 1;
                assert!(event.events().contains(inotify::ReadFlags::CREATE), "{name} was changed");
            }
        }
        assert!(created > 0, "{} is not written beside its name", file.display());
        assert_eq!(mode(&file), 0o600);
    }
}

/// As Linux has it where `fs.protected_symlinks` is 1, and here always: a result replaces what a link leads to.
#[test]
fn a_strangers_link_in_a_sticky_folder_is_not_followed() {
    if !can_be_others() {
        return;
    }
    let dir = Dir::new();
    let folder = sticky(&dir, "tmp");
    let precious = dir.write("precious", "mine");
    for (file, run) in writers(&folder) {
        for target in [&precious, &dir.path("missing")] {
            let _ = fs::remove_file(&file);
            symlink(target, &file).unwrap();
            lchown(&file, Some(STRANGER), Some(STRANGER)).unwrap();
            let done = run.done().fails(1, &["cannot write", "another user's symbolic link", "another name"]);
            assert!(done.stdout.is_empty(), "noticed before the work");
            // Nor where one of one's own leads to it.
            let own = dir.path("own.txt");
            symlink(&file, &own).unwrap();
            parpy("map 3 -o").arg(&own).done().fails(1, &["another user's symbolic link"]);
            fs::remove_file(own).unwrap();
        }
        fs::remove_file(&file).unwrap();
        // One's own is, and one of the folder's owner.
        symlink(dir.path("other"), &file).unwrap();
        run.done().succeeds();
        assert!(file.is_symlink() && dir.path("other").exists());
        fs::remove_file(dir.path("other")).unwrap();
    }
    assert_eq!(fs::read(&precious).unwrap(), b"mine");
    assert!(!dir.path("missing").exists());
}

/// Who has made a pipe reads what is written to it; without a reader it would also be waited for.
#[test]
fn nor_is_a_strangers_pipe_in_a_sticky_folder_written_to() {
    if !can_be_others() {
        return;
    }
    let dir = Dir::new();
    let pipe = sticky(&dir, "tmp").join("pipe.json");
    assert!(program("mkfifo").arg(&pipe).status().unwrap().success());
    chown(&pipe, Some(STRANGER), Some(STRANGER)).unwrap();
    for args in ["map 3 -o", "map 3 --report", "map 3 --trace"] {
        let done = parpy(args).arg(&pipe).done().fails(1, &["another user's pipe", "another name"]);
        assert!(done.stdout.is_empty(), "{args}: noticed after the work");
    }
}

/// parpy as another user runs it, with the words of a shell.
fn as_stranger(dir: &Dir, args: &str) -> Done {
    // Where nobody can read the binary's folder, names that can be read.
    let bin = dir.path("bin");
    if !bin.exists() {
        fs::create_dir(&bin).unwrap();
        for name in ["parpy", "parpy-mpi", "parpy-hdf5"] {
            let binary = Path::new(BINARY).with_file_name(name);
            if binary.exists() && fs::hard_link(&binary, bin.join(name)).is_err() {
                assert!(program("cp").arg(&binary).arg(&bin).status().unwrap().success());
            }
        }
        set_mode(&dir.path(""), 0o755);
    }
    let id = STRANGER.to_string();
    let mut command = program("setpriv");
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "sh", "-c"]);
    command.arg(format!("exec {} {args}", bin.join("parpy").display()));
    Done::of(&parpy(args), command.current_dir(dir.path("")).output().unwrap())
}

#[test]
fn what_cannot_be_replaced_is_an_error_before_the_work() {
    if !can_be_others() {
        return;
    }
    let dir = Dir::new();
    sticky(&dir, "tmp");
    for name in ["r.json", "a.txt", "a.npy"] {
        set_mode(&dir.write(&format!("tmp/{name}"), "root's"), 0o666);
    }
    dir.write("secret/r.json", "root's");
    set_mode(&dir.path("secret"), 0o700);
    dir.write("closed/r.json", "root's");
    set_mode(&dir.path("closed/r.json"), 0o666);
    let fails = |args: &str, parts: &[&str]| {
        let done = as_stranger(&dir, args).fails(1, parts);
        assert!(done.stdout.is_empty(), "{args}: noticed after the work");
    };
    // A file that everybody may write, in a folder where only its owner may remove it.
    fails("map 3 --report=tmp/r.json", &["cannot write tmp/r.json", "sticky bit", "another name"]);
    fails("map 3 --trace tmp/r.json", &["cannot write tmp/r.json", "sticky bit", "another name"]);
    fails("scale map 1 -j 1 --patterns serial --save tmp/r.json", &["cannot write tmp/r.json", "sticky"]);
    fails("map 3 -o tmp/a.npy", &["cannot write tmp/a.npy", "sticky bit"]);
    // Folders that cannot be written, or not even be looked into: that is not "nothing there".
    fails(
        "map 3 --report=closed/r.json",
        &["cannot write closed/r.json", "its folder closed (Permission denied)"],
    );
    fails("map 3 --report=closed/new.json", &["cannot write closed/new.json", "Permission denied"]);
    fails("map 3 --report=secret/r.json", &["cannot write secret/r.json: Permission denied"]);
    // The outputs of later tasks too.
    let task = |output: &str| format!("[[task]]\nmap = {{ values = [3] }}\noutput = '{output}'\n");
    for (output, why) in [("tmp/a.txt", "sticky bit"), ("closed/a.txt", "Permission denied")] {
        dir.write("job.toml", task("-") + &task(output));
        fails("run job.toml", &["cannot write", output, why]);
    }
    // What is one's own there can be replaced.
    chown(dir.path("tmp/a.txt"), Some(STRANGER), Some(STRANGER)).unwrap();
    as_stranger(&dir, "map 3 -o tmp/a.txt").succeeds();
    assert_eq!(dir.read("tmp/a.txt"), b"9\n");
    assert_eq!(fs::metadata(dir.path("tmp/a.txt")).unwrap().uid(), STRANGER);
}

/// `chattr +a`: what is there cannot be replaced, and in such a folder nothing renamed.
#[test]
fn append_only_files_and_folders() {
    let dir = Dir::new();
    dir.write("file/r.json", "[]");
    fs::create_dir(dir.path("folder")).unwrap();
    let chattr = |flag: &str, name: &str| {
        program("chattr").arg(flag).arg(dir.path(name)).output().is_ok_and(|output| output.status.success())
    };
    if !chattr("+a", "file/r.json") || !chattr("+a", "folder") {
        chattr("-a", "file/r.json");
        return skip("chattr", "it takes root, and a file system with attributes");
    }
    let outcomes = ["file", "folder"].map(|folder| {
        ["-o", "--report", "--trace"]
            .map(|flag| parpy("map 3").arg(flag).arg(format!("{folder}/r.json")).folder(dir.path("")).done())
    });
    let names = fs::read_dir(dir.path("folder")).unwrap().count();
    // Or the folder cannot be removed.
    assert!(chattr("-a", "file/r.json") && chattr("-a", "folder"));
    for done in outcomes.into_iter().flatten() {
        let done = done.fails(1, &["cannot write", "/r.json", "append-only"]);
        assert!(done.stdout.is_empty(), "noticed after the work");
    }
    assert_eq!((names, dir.read("file/r.json")), (0, b"[]".to_vec()));
}

/// As containers mount single files.
#[test]
fn a_file_that_is_mounted() {
    let dir = Dir::new();
    let (file, other) = (dir.write("r.json", "mounted"), dir.write("other", ""));
    let script = format!(
        "mount --bind {} {} || exit 77; exec {BINARY} map 3 --report={1}",
        other.display(),
        file.display()
    );
    let output = program("unshare").args(["-m", "sh", "-c", &script]).output();
    let Some(output) = output.ok().filter(|output| {
        ![Some(77), Some(1)].contains(&output.status.code()) || !output.stderr.starts_with(b"unshare")
    }) else {
        return skip("namespaces", "nothing may be mounted here");
    };
    let done = Done::of(&parpy("map 3 (mounted)"), output).fails(1, &["r.json: a file is mounted there"]);
    assert!(done.stdout.is_empty(), "noticed after the work");
}

#[test]
fn names_that_can_only_be_those_of_folders() {
    let dir = Dir::new();
    for ranks in crate::data::ways() {
        for args in ["-o nodir/", "-o nodir/.", "-o nodir/..", "--part 1/2 -o nodir/"] {
            let run = parpy("map 3").args(args).folder(dir.path("")).ranks(*ranks);
            run.done().fails(1, &["cannot write nodir/", "folder", "give the name of a file"]);
        }
    }
    dir.write(
        "job.toml",
        "[[task]]\nmap = { values = [3] }\n[[task]]\nmap = { values = [3] }\noutput = 'nodir/'\n",
    );
    let runs = ["run job.toml", "map 3 --report=nodir.json/", "map 3 --trace nodir.json/"];
    for args in runs {
        let done = parpy(args).folder(dir.path("")).done().fails(1, &["give the name of a file"]);
        assert!(done.stdout.is_empty(), "{args}: noticed after the work");
    }
    assert_eq!(dir.names(), ["job.toml"]);
}

/// 255 bytes, and 255 of letters that take two each, of which none may be cut.
#[test]
fn names_as_long_as_can_be() {
    let dir = Dir::new();
    for extension in extensions() {
        let room = 255 - 1 - extension.len();
        for stem in ["n".repeat(room), "n".repeat(room % 2) + &"é".repeat(room / 2), "n".repeat(room - 9)] {
            let name = format!("{stem}.{extension}");
            parpy("map 3 -o").arg(dir.path(&name)).done().succeeds();
            assert_eq!(dir.names(), std::slice::from_ref(&name));
            fs::remove_file(dir.path(&name)).unwrap();
        }
    }
    let name = "n".repeat(250) + ".json";
    for flag in ["--report", "--trace"] {
        parpy("map 3").arg(flag).arg(dir.path(&name)).done().succeeds();
        assert_eq!(dir.names(), std::slice::from_ref(&name));
    }
    // What was done before a failure is kept under a name that the folder takes.
    let name = "é".repeat(127);
    let done = parpy("map 3 3037000500 -o").arg(dir.path(&name)).done();
    assert_eq!(done.code, 1);
    let kept = dir.names().into_iter().find(|kept| kept.ends_with(".partial")).unwrap();
    assert!(done.stderr.contains(&kept), "{kept}: {}", done.stderr);
    assert_eq!(dir.read(&kept), b"9\n");
    // One more is too many, and that is said at once.
    parpy("map 3 -o").arg(dir.path(&"n".repeat(256))).done().fails(1, &["File name too long"]);
}

/// What stands there stays until the new one is complete.
#[test]
fn reports_and_traces_are_whole_or_as_before() {
    let dir = Dir::new();
    for flag in ["--report", "--trace"] {
        let file = dir.write("r.json", "before");
        fs::hard_link(&file, dir.path("before")).unwrap();
        parpy("map 3 -o none").arg(flag).arg(&file).done().succeeds();
        assert!(json(&file).is_object(), "{flag}");
        // Written anew, and not over it.
        assert_eq!(dir.read("before"), b"before", "{flag}");
        fs::remove_file(dir.path("before")).unwrap();
        assert_eq!(dir.names(), ["r.json"]);
    }
}
