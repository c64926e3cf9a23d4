//! What users do with results: numpy, pandas and h5py open them, and parpy opens what these have written.
//! `PARPY_TEST_PYTHON` says which python3 has the modules.

use crate::data::*;
use crate::dsl::*;

/// Runs `script` in `dir`; false, and a word, where there is no python3 with these modules.
pub fn python(dir: &Dir, modules: &str, script: &str) -> bool {
    let python = std::env::var("PARPY_TEST_PYTHON").unwrap_or("python3".into());
    let has = program(&python).arg("-c").arg(format!("import {modules}")).output().unwrap();
    if !has.status.success() {
        skip("python", &format!("{python} has no {modules}; PARPY_TEST_PYTHON may name another"));
        return false;
    }
    let output = program(&python).args(["-c", script]).current_dir(dir.path("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    true
}

#[test]
fn numpy_and_pandas_open_results() {
    let dir = Dir::new();
    for ranks in ways() {
        for (args, name) in [
            ("map --range 0..100000", "i.npy"),
            ("map --range 0..1000:0.25", "f.npy"),
            ("map --range 0..100000", "i.txt"),
            ("map --range 0..1000:0.25 --who", "f.csv"),
            ("map 1 9223372036854775807 3 -k", "k.csv"),
            ("map --range 0..1000:0.25 --who", "f.jsonl"),
            ("map --range 0..1000:0.25", "f.json"),
            ("read jobs/sample.txt --do count", "c.csv"),
        ] {
            let done = parpy(args).arg("-o").arg(dir.path(name)).ranks(*ranks).done();
            assert_eq!(done.code, i32::from(name == "k.csv"), "{}", done.stderr);
        }
        let script = "
import json, numpy as np, pandas as pd
i = np.arange(100000)
assert np.load('i.npy').dtype == np.int64 and np.array_equal(np.load('i.npy'), i * i)
f = np.arange(0, 1000, .25)
assert np.load('f.npy').dtype == np.float64 and np.array_equal(np.load('f.npy'), f * f)
assert np.array_equal(np.loadtxt('i.txt', dtype=np.int64), i * i)
csv = pd.read_csv('f.csv', float_precision='round_trip')
assert list(csv.columns) == ['input', 'output', 'rank', 'pid', 'host']
assert np.array_equal(csv.input, f) and np.array_equal(csv.output, f * f) and csv['rank'].min() >= 0
gaps = pd.read_csv('k.csv')
assert list(gaps.output.isna()) == [False, True, False] and gaps.output[2] == 9
lines = pd.read_json('f.jsonl', lines=True, precise_float=True)
assert np.array_equal(lines.output, f * f) and len(lines.host.unique()) == 1
whole = json.load(open('f.json'))
assert np.array_equal(pd.DataFrame(whole['results']).output, f * f)
assert whole['parpy']['items'] == 4000 and 'cpus' in whole['parpy']
assert list(pd.read_csv('c.csv').iloc[0])[:3] == [345, 3264, 17185]
";
        if !python(&dir, "numpy, pandas", script) {
            return;
        }
    }
}

#[test]
fn h5py_opens_results() {
    if cfg!(not(feature = "hdf5")) {
        return;
    }
    let dir = Dir::new();
    for ranks in ways() {
        for (args, name) in [
            ("map --range 0..200000 --who", "i.h5"),
            ("map --range 0..1000:0.25 --compress gzip", "f.h5"),
            ("map --range 0..1000:0.25 --compress lzf", "l.h5"),
            ("map 1 9223372036854775807 3 -k", "k.h5"),
            ("read jobs/sample.txt --do count", "c.h5"),
        ] {
            let done = parpy(args).arg("-o").arg(dir.path(name)).ranks(*ranks).done();
            assert_eq!(done.code, i32::from(name == "k.h5"), "{}", done.stderr);
        }
        let script = "
import h5py, numpy as np, pandas as pd
i = np.arange(200000)
with h5py.File('i.h5') as h:
    assert h['input'].dtype == np.int64 and np.array_equal(h['input'], i) and np.array_equal(h['output'], i * i)
    assert h['output'].maxshape == (None,) and h['output'].chunks
    workers = pd.DataFrame(h['workers'][:])
    assert list(workers.columns) == ['rank', 'pid', 'host', 'items', 'seconds']
    assert workers['items'].sum() == 200000 and workers.host[0].decode()
    assert np.array_equal(np.unique(h['rank']), np.unique(workers['rank'][workers['items'] > 0]))
    assert h.attrs['items'] == 200000 and h.attrs['job'].startswith('[[task]]') and len(h.attrs['hosts']) == 1
f = np.arange(0, 1000, .25)
for name, packed in [('f.h5', 'gzip'), ('l.h5', 'lzf')]:
    with h5py.File(name) as h:
        assert h['output'].compression == packed and np.array_equal(h['output'], f * f)
with h5py.File('k.h5') as h:
    assert list(h['failed']) == [1] and list(h['output']) == [1, 0, 9]
with h5py.File('c.h5') as h:
    sections = pd.DataFrame(h['sections'][:])
    assert list(sections.columns) == ['start', 'end', 'lines', 'words', 'bytes']
    assert sections.lines.sum() == 345 and sections.end.iloc[-1] == 17185
";
        if !python(&dir, "numpy, pandas, h5py", script) {
            return;
        }
    }
    if !has("h5dump") {
        return skip("h5dump", "it is not installed (hdf5-tools)");
    }
    let output = program("h5dump").arg("-H").arg(dir.path("i.h5")).output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("DATASET \"output\""));
}

/// Kinds of files that parpy does not write itself.
#[test]
fn files_that_python_has_written() {
    let dir = Dir::new();
    let script = "
import numpy as np
np.save('be.npy', np.arange(1000, dtype='>i4'))
np.save('v2.npy', np.arange(1000.0))
np.savetxt('t.txt', np.arange(1000) * 0.1)
import pandas as pd
pd.DataFrame({'name': ['a,b'] * 1000, 'x y': np.arange(1000)}).to_csv('p.csv')
";
    if !python(&dir, "numpy, pandas", script) {
        return;
    }
    let squares = |step: f64| (0..1000).map(|i| (f64::from(i) * step).powi(2)).collect::<Vec<_>>();
    let check = |from: &str, step: f64| {
        for ranks in ways() {
            let run = parpy("map --dtype f64 --from").arg(dir.path(from)).ranks(*ranks);
            let found: Vec<f64> = run.text().lines().map(|line| line.parse().unwrap()).collect();
            for (found, expected) in found.iter().zip(squares(step)) {
                approx::assert_relative_eq!(*found, expected, max_relative = 1e-12);
            }
            assert_eq!(found.len(), 1000);
        }
    };
    check("be.npy", 1.0);
    check("v2.npy", 1.0);
    check("t.txt", 0.1);
    check("p.csv:x y", 1.0);
    if cfg!(not(feature = "hdf5")) {
        return;
    }
    let script = "
import h5py, numpy as np
with h5py.File('h.h5', 'w', userblock_size=512) as h:
    h['be/i4'] = np.arange(1000, dtype='>i4')
    h['be/f4'] = np.arange(1000, dtype='>f4')
    h['be/f8'] = np.arange(1000, dtype='>f8')
    h['u2'] = np.arange(1000, dtype='u2')
    h.create_dataset('packed', data=np.arange(1000.0).reshape(10, 100), chunks=(3, 30), compression='gzip', shuffle=True)
    h.create_dataset('lzf', data=np.arange(1000), compression='lzf')
    h['two'] = np.stack([np.arange(1000), -np.arange(1000)], axis=1)
    h['link'] = h5py.SoftLink('/u2')
    h['f2'] = np.arange(10, dtype='f2')
    h['text'] = ['a', 'b']
";
    if !python(&dir, "numpy, h5py", script) {
        return;
    }
    for name in ["be/i4", "be/f4", "be/f8", "u2", "packed", "lzf", "two[:,0]", "two[:,1]", "link"] {
        check(&format!("h.h5:/{name}"), 1.0);
    }
    parpy("map --from").arg(dir.path("h.h5:/f2")).done().fails(1, &["whole numbers, and floats"]);
    parpy("map --from").arg(dir.path("h.h5:/text")).done().fails(1, &["its values are strings"]);
}
