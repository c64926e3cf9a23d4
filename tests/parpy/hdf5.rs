//! HDF5 files out and in, read back with the library itself.

use std::path::{Path, PathBuf};

use hdf5::types::{FixedAscii, VarLenUnicode};
use hdf5::{File, H5Type, Hyperslab, SliceOrIndex};
use proptest::prelude::*;

use crate::data::*;
use crate::dsl::*;

#[derive(Clone, H5Type)]
#[repr(C)]
struct Worker {
    rank: u64,
    pid: u32,
    host: FixedAscii<64>,
    items: u64,
    seconds: f64,
}

/// A row as parpy writes it to `/sections`.
#[derive(Clone, H5Type)]
#[repr(C)]
pub struct Section {
    pub start: u64,
    pub end: u64,
    pub lines: u64,
    pub words: u64,
    pub bytes: u64,
}

/// Rows of `/sections`.
pub fn sections(path: &Path) -> Vec<[u64; 5]> {
    let rows = dataset::<Section>(path, "sections").into_iter();
    rows.map(|row| [row.start, row.end, row.lines, row.words, row.bytes]).collect()
}

fn attribute(file: &File, name: &str) -> String {
    let attribute = file.attr(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    attribute.read_scalar::<VarLenUnicode>().unwrap().to_string()
}

#[test]
fn datasets_workers_and_where_they_come_from() {
    let dir = Dir::new();
    let input = dir.write("in.txt", (0..1000).map(|i| format!("{i}\n")).collect::<String>());
    let path = dir.path("out.h5");
    for ranks in ways() {
        parpy("map --who --from").arg(&input).arg("-o").arg(&path).ranks(*ranks).done().succeeds();
        let (is_float, values, squares, failed) = contents(&path);
        assert!(!is_float && failed.is_empty());
        assert_eq!(values, (0..1000).collect::<Vec<_>>());
        assert_eq!(squares, (0..1000).map(|i| i * i).collect::<Vec<_>>());
        let workers = dataset::<Worker>(&path, "workers");
        assert_eq!(workers.iter().map(|worker| worker.items).sum::<u64>(), 1000);
        assert!(
            workers.iter().all(|worker| worker.pid > 0 && !worker.host.is_empty() && worker.seconds >= 0.0)
        );
        let by_rank: Vec<u32> = dataset(&path, "rank");
        for worker in &workers {
            let items = by_rank.iter().filter(|rank| u64::from(**rank) == worker.rank).count();
            assert_eq!(items as u64, worker.items);
        }
        let file = File::open(&path).unwrap();
        assert_eq!(attribute(&file, "parpy_version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(attribute(&file, "input"), input.to_str().unwrap());
        assert_eq!(attribute(&file, "input_xxh3_128").len(), 32);
        assert!(attribute(&file, "began") <= attribute(&file, "ended"));
        assert!(attribute(&file, "job").contains("[[task]]"));
        assert_eq!(file.attr("items").unwrap().read_scalar::<u64>().unwrap(), 1000);
        assert_eq!(file.attr("input_bytes").unwrap().read_scalar::<u64>().unwrap(), 3890);
        assert!(!file.attr("hosts").unwrap().read_raw::<VarLenUnicode>().unwrap().is_empty());
        if *ranks > 0 {
            assert_eq!(file.attr("ranks").unwrap().read_scalar::<u64>().unwrap(), *ranks as u64);
            assert!(attribute(&file, "mpi").contains("MPI"));
            assert_eq!(workers.len(), *ranks);
        }
        drop(file);
        // The file is a job.
        parpy("run").arg(&path).arg("-o").arg(dir.path("again.h5")).ranks(*ranks).done().succeeds();
        assert!(contents(&dir.path("again.h5")) == contents(&path));
        assert_eq!(dir.names(), ["again.h5", "in.txt", "out.h5"]);
        // As another format too.
        parpy("map 2 --compress lzf -o").arg(dir.path("two.h5")).done().succeeds();
        assert_eq!(parpy("run").arg(dir.path("two.h5")).args("-o -").text(), "4\n");
        std::fs::remove_file(dir.path("two.h5")).unwrap();
    }
}

#[test]
fn sections_of_a_file() {
    let dir = Dir::new();
    let path = dir.path("out.hdf5");
    for (ranks, args) in [(0, "-p serial --schedule static,1000"), (0, "-p pool -j 3"), (3, ""), (7, "-j 2")]
    {
        if ranks > 0 && !has_mpi() {
            continue;
        }
        let run = parpy("read jobs/sample.txt --do count -o").arg(&path).args(args).ranks(ranks);
        run.done().succeeds();
        let sections = dataset::<Section>(&path, "sections");
        assert!(!sections.is_empty());
        let mut at = 0;
        for section in &sections {
            assert_eq!((section.start, section.end - section.start), (at, section.bytes));
            at = section.end;
        }
        assert_eq!(at, 17185);
        let sum = |of: fn(&Section) -> u64| sections.iter().map(of).sum::<u64>();
        assert_eq!((sum(|s| s.lines), sum(|s| s.words)), (345, 3264));
        assert!(!dataset::<Worker>(&path, "workers").is_empty());
    }
    parpy("read jobs/sample.txt -o")
        .arg(&path)
        .done()
        .fails(2, &["lines are written as they are", "--do count"]);
}

#[test]
fn values_without_an_answer_are_listed() {
    let dir = Dir::new();
    let path = dir.path("out.h5");
    for ranks in ways() {
        for args in ["", "--schedule static,3"] {
            let run = parpy("map 1 9223372036854775807 2 3037000500 3 -k -o").arg(&path).args(args);
            assert_eq!(run.ranks(*ranks).done().code, 1);
            let (_, values, squares, failed) = contents(&path);
            assert_eq!((values.len(), &squares[..]), (5, &[1, 0, 4, 0, 9][..]));
            assert_eq!(failed, [1, 3]);
            let seen = parpy("show").arg(&path).text();
            assert!(seen.contains("min 1  mean 4.666666666666667  max 9  without a number 2"), "{seen}");
        }
    }
}

/// Also where there is nothing to list.
#[test]
fn the_list_of_failures_is_there_when_it_is_asked_for() {
    let dir = Dir::new();
    let path = dir.path("out.h5");
    for ranks in ways() {
        parpy("map 1 2 -k -o").arg(&path).ranks(*ranks).done().succeeds();
        assert!(dataset::<u64>(&path, "failed").is_empty());
        parpy("map 1 2 -o").arg(&path).ranks(*ranks).done().succeeds();
        assert!(!File::open(&path).unwrap().link_exists("failed"));
    }
}

#[test]
fn as_packed_as_the_library_can() {
    let dir = Dir::new();
    let plain = dir.path("plain.h5");
    parpy("map --range 0..200000 -o").arg(&plain).done().succeeds();
    let expected = contents(&plain);
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    for compress in ["gzip", "gzip:9", "lzf", "blosc", "blosc:lz4", "blosc:zlib", "blosc:zstd"] {
        for ranks in ways() {
            let path = dir.path("packed.h5");
            let run = parpy("map --range 0..200000 --compress").arg(compress).arg("-o").arg(&path);
            run.ranks(*ranks).done().succeeds();
            assert!(contents(&path) == expected, "{compress} on {ranks} ranks");
            assert!(size(&path) < size(&plain) * 3 / 4, "{compress}: {}", size(&path));
            let filter = compress.split(':').next().unwrap().replace("gzip", "deflate");
            assert!(parpy("show -n 1").arg(&path).text().contains(&filter));
        }
    }
    // What does not shrink is kept as it is, and read back all the same.
    for compress in ["gzip", "lzf", "blosc"] {
        for ranks in ways() {
            let path = dir.path("random.h5");
            let run = parpy("map 0 0.8414709848078965 --schedule static,1 --compress").arg(compress);
            run.arg("-o").arg(&path).ranks(*ranks).done().succeeds();
            assert_eq!(contents(&path).1, [0, 0.8414709848078965f64.to_bits()], "{compress}");
        }
    }
    for wrong in ["gzip:0", "gzip:10", "zip", "blosc:9"] {
        parpy("map 1 -o x.h5 --compress").arg(wrong).done().fails(2, &["--compress", "gzip:1 to gzip:9"]);
    }
}

/// A file with datasets of many kinds.
fn many_kinds(dir: &Dir) -> PathBuf {
    let path = dir.path("kinds.h5");
    let file = File::create(&path).unwrap();
    let matrix: Vec<i32> = (0..12).collect();
    let group = file.create_group("run1").unwrap();
    let matrix = ndarray::Array2::from_shape_vec((4, 3), matrix).unwrap();
    group.new_dataset_builder().with_data(&matrix).create("matrix").unwrap();
    group.new_dataset_builder().with_data(&matrix).chunk((3, 2)).deflate(3).create("packed").unwrap();
    group.new_dataset_builder().with_data(&[u64::MAX, 1]).create("large").unwrap();
    group.new_dataset_builder().with_data(&[0.5f32, 1.5]).create("f32").unwrap();
    group.new_dataset_builder().with_data(&[true, false]).create("bools").unwrap();
    let texts: [VarLenUnicode; 2] = ["a".parse().unwrap(), "b".parse().unwrap()];
    file.new_dataset_builder().with_data(&texts).create("names").unwrap();
    file.new_dataset::<i64>().create("scalar").unwrap();
    file.new_dataset::<i64>().shape(0).create("none").unwrap();
    file.new_dataset::<i64>().shape(hdf5::Extents::Null).create("null").unwrap();
    // All of it: what is still open keeps the file open.
    drop((group, file));
    settle(&path);
    path
}

#[test]
fn datasets_of_many_kinds_as_input() {
    let dir = Dir::new();
    let kinds = many_kinds(&dir);
    let from = |part: &str| parpy("map --from").arg(format!("{}:{part}", kinds.display()));
    let squares = |values: &[i64]| values.iter().map(|x| format!("{}\n", x * x)).collect::<String>();
    let all: Vec<i64> = (0..12).collect();
    for ranks in ways() {
        for name in ["/run1/matrix", "run1/packed"] {
            let done = from(name).args("--schedule static,5").ranks(*ranks).done().succeeds();
            assert_eq!(String::from_utf8_lossy(&done.stdout), squares(&all));
            assert!(done.said().len() == 1 && done.stderr.contains("4 x 3"), "{}", done.stderr);
            let column = from(&format!("{name}[:,1]")).args("--schedule static,3").ranks(*ranks).done();
            let column = column.succeeds();
            assert_eq!(String::from_utf8_lossy(&column.stdout), squares(&[1, 4, 7, 10]));
            assert!(column.said().is_empty(), "{}", column.stderr);
        }
        assert_eq!(from("/run1/f32").ranks(*ranks).text(), "0.25\n2.25\n");
        assert_eq!(from("/none").ranks(*ranks).text(), "");
        let fails = |part: &str, parts: &[&str]| from(part).ranks(*ranks).done().fails(1, parts);
        fails("/run1/large", &["18446744073709551615", "--dtype f64"]);
        assert!(from("/run1/large").args("--dtype f64").ranks(*ranks).text().ends_with("\n1.0\n"));
        fails(
            "/run1/matrx",
            &["no dataset /run1/matrx", "/run1/matrix", "/names", "did you mean /run1/matrix?"],
        );
        fails("/names", &["its values are strings", "whole numbers, and floats"]);
        fails("/run1/bools", &["truth values"]);
        fails("/scalar", &["a single number"]);
        fails("/null", &["it is empty"]);
        fails("/run1/matrix[:,3]", &["no column 3", "it has 3"]);
        fails("/run1/f32[:,0]", &["two dimensions"]);
        fails("", &["say which dataset", "/run1/matrix"]);
    }
    from("/run1/matrix[0]").done().fails(2, &["[:,K]"]);
    from("/run1/f32").args("--dtype i64").done().fails(1, &["floats", "--dtype i64"]);
}

#[test]
fn files_that_are_no_hdf5() {
    let dir = Dir::new();
    for (name, bytes) in [("text.h5", &b"1\n2\n"[..]), ("empty.h5", b""), ("cut.h5", b"\x89HDF\r\n\x1a\n")] {
        let path = dir.write(name, bytes);
        for ranks in ways() {
            parpy("map --from").arg(&path).ranks(*ranks).done().fails(1, &[name, "is not an HDF5 file"]);
        }
        parpy("show").arg(&path).done().fails(1, &["is not an HDF5 file"]);
    }
    parpy("map --from missing.h5:/x").done().fails(1, &["cannot open missing.h5", "No such file"]);
    let pipe = dir.path("pipe.h5");
    assert!(program("mkfifo").arg(&pipe).status().unwrap().success());
    parpy("map --from").arg(&pipe).done().fails(1, &["not a regular file"]);
    parpy("map 1 -o /dev/null.h5/x.h5").done().fails(1, &["cannot write"]);
    let whole = dir.path("whole.h5");
    parpy("map --range 0..100000 -o").arg(&whole).done().succeeds();
    let bytes = std::fs::read(&whole).unwrap();
    let cut = dir.write("half.h5", &bytes[..bytes.len() / 2]);
    let mut from = cut.into_os_string();
    from.push(":/input");
    parpy("map --from").arg(from).done().fails(1, &["half.h5"]);
}

/// Many words of a job are more than an attribute holds by itself.
#[test]
fn a_long_job_is_kept_too() {
    let dir = Dir::new();
    let path = dir.path("long.h5");
    let words: String = (1_000_000_000..1_000_010_000).map(|i| format!(" {i}")).collect();
    parpy("map").args(&words).arg("-o").arg(&path).done().succeeds();
    parpy("run").arg(&path).arg("-o").arg(dir.path("again.h5")).done().succeeds();
    assert!(contents(&dir.path("again.h5")) == contents(&path));
}

#[test]
fn steps_in_one_file_after_another() {
    let dir = Dir::new();
    dir.write(
        "job.toml",
        "[[task]]\nmap = { range = '0..1000' }\noutput = 'a.h5'\ncompress = 'lzf'\n\
         [[task]]\nmap = { from = 'a.h5:/output' }\noutput = 'b.h5'\n",
    );
    for ranks in ways() {
        parpy("run").arg(dir.path("job.toml")).ranks(*ranks).done().succeeds();
        let (_, values, squares, _) = contents(&dir.path("b.h5"));
        assert!((0..1000).all(|i| values[i as usize] == i * i && squares[i as usize] == i * i * i * i));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Of any shape, in chunks and not, over any number of workers: what is written is what is read.
    #[test]
    fn any_shape_is_read_in_order(
        shape in (1usize..40, 1usize..7, 1usize..4),
        chunk in prop::option::of((1usize..10, 1usize..4, 1usize..3)),
        block in 1usize..60,
        ranks in prop::sample::select(ways()),
        compress in prop::sample::select(&["", "--compress gzip:1", "--compress lzf"][..]),
    ) {
        let dir = Dir::new();
        let (a, b, c) = shape;
        let values: Vec<f64> = (0..a * b * c).map(|i| (i as f64).sin()).collect();
        let path = dir.path("in.h5");
        {
            let file = File::create(&path).unwrap();
            let array = ndarray::Array3::from_shape_vec(shape, values.clone()).unwrap();
            let builder = file.new_dataset_builder().with_data(&array);
            match chunk {
                Some((i, j, k)) => builder.chunk((i.min(a), j.min(b), k.min(c))).create("x").unwrap(),
                None => builder.create("x").unwrap(),
            };
        }
        settle(&path);
        let run = parpy("-q map --from").arg(&path).arg("-o").arg(dir.path("out.h5")).args(compress);
        run.arg("--schedule").arg(format!("static,{block}")).ranks(ranks).done().succeeds();
        let (_, input, output, _) = contents(&dir.path("out.h5"));
        prop_assert_eq!(input, values.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
        prop_assert_eq!(output, values.iter().map(|x| (x * x).to_bits()).collect::<Vec<_>>());
    }
}

#[test]
fn datasets_can_grow_and_be_read_in_part() {
    let dir = Dir::new();
    let path = dir.path("a.h5");
    parpy("map --range 0..100000 -o").arg(&path).done().succeeds();
    let file = File::open(&path).unwrap();
    let slab = Hyperslab::from(vec![SliceOrIndex::from(70_000..70_003)]);
    let found: Vec<i64> = file.dataset("output").unwrap().read_slice_1d::<i64, _>(slab).unwrap().to_vec();
    assert_eq!(found, [70_000 * 70_000, 70_001 * 70_001, 70_002 * 70_002]);
    let output = file.dataset("output").unwrap();
    assert!(output.is_resizable() && output.is_chunked());
}

#[test]
fn links_lead_where_they_lead() {
    let dir = Dir::new();
    let path = dir.path("main.h5");
    let other = File::create(dir.path("other.h5")).unwrap();
    other.new_dataset_builder().with_data(&[7i64, 8]).create("x").unwrap();
    drop(other);
    let file = File::create(&path).unwrap();
    file.new_dataset_builder().with_data(&[1i64; 1000]).create("own").unwrap();
    file.new_dataset_builder().with_data(&[3i64, 4]).create("T[1]").unwrap();
    file.link_external(dir.path("other.h5").to_str().unwrap(), "/x", "far").unwrap();
    // Round and round.
    let group = file.create_group("g").unwrap();
    for i in 0..10 {
        file.link_hard("g", &format!("g/loop{i}")).unwrap();
    }
    group.new_dataset_builder().with_data(&[5i64]).create("inner").unwrap();
    drop((group, file));
    settle(&path);
    settle(&dir.path("other.h5"));
    let from = |part: &str| parpy("map --from").arg(format!("{}:{part}", path.display()));
    for ranks in ways() {
        assert_eq!(from("/far").ranks(*ranks).text(), "49\n64\n");
        assert_eq!(from("/T[1]").ranks(*ranks).text(), "9\n16\n");
        assert_eq!(from("/g/loop1/loop2/inner").ranks(*ranks).text(), "25\n");
    }
    let seen = parpy("show -n 1").arg(&path).text();
    for part in ["/T[1] 2, int64", "/far 2, int64", "/own 1000, int64", "inner 1, int64"] {
        assert!(seen.contains(part), "no {part} in\n{seen}");
    }
    from("/nothing").done().fails(1, &["no dataset /nothing"]);
}

#[test]
fn one_of_many_datasets_is_asked_for() {
    let dir = Dir::new();
    let path = dir.path("many.h5");
    let file = File::create(&path).unwrap();
    let texts: [VarLenUnicode; 1] = ["a".parse().unwrap()];
    for i in 0..60 {
        file.new_dataset_builder().with_data(&texts).create(&*format!("s{i:02}")).unwrap();
    }
    file.new_dataset_builder().with_data(&[1i64]).create("x").unwrap();
    drop(file);
    settle(&path);
    assert_eq!(parpy("map --from").arg(&path).text(), "1\n");
    assert!(parpy("show").arg(&path).text().contains("… 11 more datasets"));
    let file = File::open_rw(&path).unwrap();
    file.new_dataset_builder().with_data(&[2i64]).create("y").unwrap();
    drop(file);
    settle(&path);
    parpy("map --from").arg(&path).done().fails(1, &["say which dataset"]);
}

/// What stands before a fault is the same for every pattern, however the values lie in the file.
#[test]
fn values_before_one_that_is_too_large() {
    let dir = Dir::new();
    let path = dir.path("large.h5");
    let values: Vec<u64> = (0..99).chain([u64::MAX]).collect();
    let file = File::create(&path).unwrap();
    file.new_dataset_builder().with_data(&values).create("plain").unwrap();
    file.new_dataset_builder().with_data(&values).chunk(30).create("chunks").unwrap();
    drop(file);
    settle(&path);
    for name in ["plain", "chunks"] {
        let run = parpy("-q map --from").arg(format!("{}:{name}", path.display()));
        let expected = run.clone().args("-p serial").done();
        assert_eq!((expected.code, expected.stdout.split(|b| *b == b'\n').count()), (1, 100));
        for args in ["-p threads -j 2 --schedule dynamic,7", "-p pool -j 3", "-p simd"] {
            assert_eq!(run.clone().args(args).done().stdout, expected.stdout, "{name} {args}");
        }
        for ranks in ways() {
            assert_eq!(run.clone().ranks(*ranks).done().stdout, expected.stdout, "{name} on {ranks}");
        }
    }
}

#[test]
fn a_job_from_a_pipe() {
    let dir = Dir::new();
    let job = format!("[[task]]\nmap = {{ range = '0..5' }}\noutput = '{}'\n", dir.path("a.h5").display());
    parpy("run /dev/stdin").stdin(job).done().succeeds();
    assert_eq!(contents(&dir.path("a.h5")).2, [0, 1, 4, 9, 16]);
}
