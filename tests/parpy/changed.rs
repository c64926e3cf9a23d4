//! An input that is replaced or rewritten while it is read: no mixture of both goes out as a result.

use std::io::{BufReader, Read};
use std::path::Path;
use std::process::Child;

use crate::dsl::*;

/// Lines, or numbers, that a run is in the middle of when the pipe that it writes to is full.
const COUNT: i64 = 400_000;

/// What happens to the input.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    /// Its name becomes that of another file, of the same size.
    Replaced,
    /// Others of the same size are written over the bytes.
    Rewritten,
    /// The same, and its time is set back.
    Hidden,
    /// More is written behind the end.
    Grown,
}

const CHANGES: [Change; 4] = [Change::Replaced, Change::Rewritten, Change::Hidden, Change::Grown];

impl Change {
    fn happen(self, path: &Path) {
        use std::os::unix::fs::FileExt;
        let old = std::fs::read(path).unwrap();
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        match self {
            Self::Replaced => {
                let other = path.with_extension("other");
                std::fs::write(&other, &old).unwrap();
                std::fs::rename(other, path).unwrap();
            }
            // The last byte that means anything stays what it is.
            Self::Rewritten => file.write_all_at(&old[old.len() / 2..], old.len() as u64 / 2).unwrap(),
            Self::Hidden => {
                file.write_all_at(&old[old.len() / 2..], old.len() as u64 / 2).unwrap();
                file.set_modified(time).unwrap();
            }
            Self::Grown => file.write_all_at(b"\n", old.len() as u64).unwrap(),
        }
    }

    /// What is said of it; of a run that notices it where it opens the file once more, too.
    fn says(self) -> &'static str {
        match self {
            Self::Replaced => "another file has taken its place",
            // By a worker that opens it before its time is set back: "it was written to since".
            Self::Hidden => "it was written to",
            Self::Rewritten => "it was written to since",
            Self::Grown => "",
        }
    }
}

/// A named pipe that a run writes its results to.
fn pipe(dir: &Dir) -> std::path::PathBuf {
    let pipe = dir.path("pipe");
    let _ = std::fs::remove_file(&pipe);
    assert!(program("mkfifo").arg(&pipe).status().unwrap().success());
    pipe
}

/// Starts `run`, which writes more to `pipe` than that holds; changes its input as soon as the first results
/// have come; and takes the rest.
fn changed(run: &Run, dir: &Dir, input: &Path, change: Change) -> Done {
    let pipe = pipe(dir);
    let run = run.clone().arg("-o").arg(&pipe);
    let mut child: Child = run.spawn();
    // Now, because MPICH's mpirun may end by a signal where its input ends as its last rank does.
    drop(child.stdin.take());
    let mut pipe = BufReader::new(std::fs::File::open(&pipe).unwrap());
    pipe.read_exact(&mut [0; 1]).unwrap();
    change.happen(input);
    std::io::copy(&mut pipe, &mut std::io::sink()).unwrap();
    Done::of(&run, child.wait_with_output().unwrap())
}

fn numbers() -> String {
    (0..COUNT).map(|i| format!("{i}\n")).collect()
}

/// The same change, for each way of reading `input` by `words`.
fn every_way(dir: &Dir, words: &str, input: &Path, renew: &dyn Fn(), part: &str) {
    let patterns =
        ["-p serial", "-p threads -j 2", "-p pool -j 2", "-p process -j 2 --schedule dynamic,5000"];
    for (number, change) in CHANGES.into_iter().enumerate() {
        // Each change with some pattern, and each pattern with some change.
        let ranks: &[usize] = if has_mpi() { &[0, 1 + number % 3] } else { &[0] };
        for ranks in ranks {
            renew();
            let pattern = if *ranks == 0 { patterns[(number + words.len()) % patterns.len()] } else { "" };
            let mut from = input.as_os_str().to_owned();
            from.push(part);
            let run = parpy(words).arg(from).args(pattern).args("-q").ranks(*ranks);
            let done = changed(&run, dir, input, change);
            // MPICH's mpirun may end by a signal of its own, as it writes to ranks that have left.
            let is_failure = if *ranks == 0 { done.code == 1 } else { done.code != 0 };
            assert!(is_failure, "{words} {pattern} on {ranks}, {change:?}, {}: {}", done.code, done.stderr);
            let name = input.file_name().unwrap().to_str().unwrap();
            for part in ["cannot use", name, change.says()] {
                assert!(done.stderr.contains(part), "{words} {pattern}, {change:?}: {}", done.stderr);
            }
        }
    }
}

#[test]
fn lines_of_a_text() {
    let dir = Dir::new();
    let input = dir.path("text");
    every_way(&dir, "read", &input, &|| drop(dir.write("text", numbers())), "");
}

#[test]
fn numbers_of_a_text() {
    let dir = Dir::new();
    let input = dir.path("numbers");
    every_way(&dir, "map --from", &input, &|| drop(dir.write("numbers", numbers())), "");
}

#[test]
fn numbers_of_a_csv_column() {
    let dir = Dir::new();
    let input = dir.path("n.csv");
    every_way(&dir, "map --from", &input, &|| drop(dir.write("n.csv", format!("n\n{}", numbers()))), "");
}

#[test]
fn numbers_of_a_npy_file() {
    let dir = Dir::new();
    let input = dir.path("n.npy");
    every_way(&dir, "map --from", &input, &|| drop(dir.write("n.npy", npy(0..COUNT))), "");
}

/// As the library reads it, and as parpy reads what lies there as it is used.
#[cfg(feature = "hdf5")]
#[test]
fn numbers_of_hdf5_files() {
    let dir = Dir::new();
    let input = dir.path("n.h5");
    for (words, kept) in [("", "plain.h5"), ("--compress gzip:1", "packed.h5")] {
        let kept = dir.path(kept);
        parpy("map --range").arg(format!("0..{COUNT}")).args(words).arg("-o").arg(&kept).done().succeeds();
        every_way(&dir, "map --from", &input, &|| _ = std::fs::copy(&kept, &input).unwrap(), ":/input");
    }
}

/// Its lines travel from rank 0, which alone has it.
#[test]
fn standard_input_that_is_a_file() {
    let dir = Dir::new();
    let input = dir.write("numbers", numbers());
    let pipe = pipe(&dir);
    let run = parpy("map --from - -o").arg(&pipe);
    let mut command = run.command();
    command.stdin(std::fs::File::open(&input).unwrap()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let mut pipe = std::fs::File::open(&pipe).unwrap();
    pipe.read_exact(&mut [0; 1]).unwrap();
    Change::Rewritten.happen(&input);
    std::io::copy(&mut pipe, &mut std::io::sink()).unwrap();
    let done = Done::of(&run, child.wait_with_output().unwrap());
    done.fails(1, &["cannot use standard input", "it was written to since", "mixture"]);
}

/// What has been done is kept, under a name that says what it is.
#[test]
fn no_file_gets_its_name() {
    // The function that takes its time is there for tests only.
    if !cfg!(debug_assertions) {
        return;
    }
    let dir = Dir::new();
    let input = dir.write("naps.txt", "0\n1500\n");
    let output = dir.path("out.txt");
    let run = parpy("-vv map --function nap -p process -j 1 --from").arg(&input).arg("-o").arg(&output);
    let mut child = run.spawn();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    logged(&mut log, "a nap of 1500 ms");
    Change::Rewritten.happen(&input);
    let mut said = String::new();
    log.read_to_string(&mut said).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("naps.txt: it was written to since the run began"), "{said}");
    assert!(!output.exists());
    assert_eq!(dir.read("out.txt.partial"), b"0\n2250000\n");
}

/// On one host: ranks that find another file of the same size under the same name.
#[test]
fn ranks_that_see_other_files() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    for (folder, text) in [("here", "1\n2\n3\n"), ("there", "4\n5\n6\n")] {
        dir.write(&format!("{folder}/text"), text);
        dir.write(&format!("{folder}/n.npy"), npy(text.lines().map(|line| line.parse().unwrap())));
    }
    for args in [&["read", "/dev/fd/9/text"][..], &["map", "--from", "/dev/fd/9/n.npy"]] {
        let done = crate::bad_input::in_two_folders(&dir, args);
        done.fails(1, &["rank 1 on host ", args[args.len() - 1], "another file has taken its place"]);
    }
}

/// A `.npy` file of whole numbers.
fn npy(numbers: impl Iterator<Item = i64>) -> Vec<u8> {
    let data: Vec<u8> = numbers.flat_map(i64::to_le_bytes).collect();
    let dict = format!("{{'descr': '<i8', 'fortran_order': False, 'shape': ({},), }}", data.len() / 8);
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend_from_slice(&118u16.to_le_bytes());
    file.extend_from_slice(format!("{dict:<117}\n").as_bytes());
    file.extend(data);
    file
}

/// Nothing is said where nothing has changed, also of a file that has just been written.
#[test]
fn an_input_that_is_left_alone() {
    let dir = Dir::new();
    for ranks in if has_mpi() { vec![0, 1, 3] } else { vec![0] } {
        // Written a moment ago.
        let input = dir.write("in.txt", "1\n2\n3\n");
        assert_eq!(parpy("map --from").arg(&input).ranks(ranks).text(), "1\n4\n9\n");
        assert_eq!(parpy("read").arg(&input).ranks(ranks).text(), "1\n2\n3\n");
        assert_eq!(parpy("map --from /dev/null").ranks(ranks).text(), "");
    }
    #[cfg(target_os = "linux")]
    assert!(!parpy("map --from /proc/sys/kernel/pid_max").text().is_empty());
}
