//! The lesson (`jobs/lesson`): each step in Python and with parpy runs, and the two agree.

use std::path::Path;

use crate::dsl::*;

/// A copy of the lesson, and a PATH with parpy on it.
struct Lesson {
    dir: Dir,
    python: String,
    path: String,
}

impl Lesson {
    fn new() -> Option<Self> {
        let python = std::env::var("PARPY_TEST_PYTHON").unwrap_or("python3".into());
        tool(&python)?;
        let dir = Dir::new();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs");
        std::fs::create_dir(dir.path("lesson")).unwrap();
        for entry in std::fs::read_dir(from.join("lesson")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, dir.path("lesson").join(path.file_name().unwrap())).unwrap();
        }
        std::fs::copy(from.join("sample.txt"), dir.path("sample.txt")).unwrap();
        let programs = Path::new(BINARY).parent().unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let path = if has_mpi() { shim_on(&dir, &path) } else { path };
        Some(Self { dir, python, path })
    }

    /// What a program of the lesson prints.
    fn run(&self, words: &[&str]) -> String {
        let mut command = program(words[0]);
        command.args(&words[1..]).current_dir(self.dir.path("lesson")).env("PATH", &self.path);
        FOREIGN.iter().for_each(|name| _ = command.env_remove(name));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {}\n{said}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    fn python(&self, words: &[&str]) -> String {
        self.run(&[&[&*self.python], words].concat())
    }

    fn has(&self, module: &str) -> bool {
        let mut command = program(&self.python);
        let has = command.arg("-c").arg(format!("import {module}")).output().unwrap().status.success();
        if !has {
            skip("python", &format!("{} has no {module}; PARPY_TEST_PYTHON may name another", self.python));
        }
        has
    }
}

#[test]
fn steps_of_one_machine() {
    let Some(lesson) = Lesson::new() else { return };
    let numbers = |text: String| -> Vec<String> {
        text.lines().map(|line| line.rsplit_once('\t').unwrap().0.to_owned()).collect()
    };
    let squares = numbers(lesson.python(&["1_process.py"]));
    assert_eq!(squares, ["1\t1", "2\t4", "3\t9", "4\t16", "5\t25"]);
    assert_eq!(squares, numbers(lesson.run(&["./1_process.sh"])));
    let pool = lesson.python(&["2_pool.py"]);
    assert!(pool.starts_with("1\n4\n9\n") && pool.ends_with("\n100\n"));
    assert_eq!(pool, lesson.run(&["./2_pool.sh"]));
    assert!(lesson.python(&["3_workers.py"]).contains("speedup "));
    assert!(lesson.run(&["./3_workers.sh"]).contains("For 40 values "));
    assert!(lesson.python(&["4_cpus.py"]).contains("may be used: "));
    assert!(lesson.run(&["./4_cpus.sh"]).contains("parpy uses "));
    let lines = lesson.python(&["5_book.py", "../sample.txt"]);
    let counts = lesson.run(&["./5_book.sh", "../sample.txt"]);
    assert_eq!(lines.trim(), counts.split_whitespace().next().unwrap());
    let pi = lesson.python(&["7_threads.py"]);
    let pi = pi.lines().last().unwrap();
    assert!(pi.starts_with("3.14159265"));
    assert_eq!(pi, lesson.run(&["./7_threads.sh"]).lines().next().unwrap());
    let square = lesson.run(&["./8_simd.sh"]);
    assert_eq!(square, "999998000001.0\n");
    if lesson.has("numpy") {
        assert!(lesson.python(&["8_simd.py"]).ends_with(&square));
    }
}

#[test]
fn ranks() {
    let Some(lesson) = Lesson::new().filter(|_| has_mpi()) else { return };
    let expected: String = (1..11).map(|x| format!("{}\n", x * x)).collect();
    assert_eq!(lesson.run(&["./6_mpi.sh"]), expected);
    // Few have it beside the other modules. Debian's is of its Open MPI.
    let mut command = program(&lesson.python);
    let has_mpi4py = command.args(["-c", "import mpi4py"]).output().unwrap().status.success();
    if has_mpi4py && mpirun_is_open_mpi() {
        assert_eq!(lesson.run(&["mpirun", "-n", "3", &lesson.python, "6_mpi.py"]), expected);
    }
}

#[test]
fn as_a_notebook() {
    // It starts ranks of parpy where there is an mpirun.
    let Some(lesson) = Lesson::new().filter(|_| has_mpi()) else { return };
    if !lesson.has("nbclient, ipykernel") {
        return;
    }
    let script = "import nbformat, nbclient\n\
                  notebook = nbformat.read('lesson.ipynb', as_version=4)\n\
                  nbclient.NotebookClient(notebook, timeout=50, kernel_name='python3').execute()\n\
                  print('\\n'.join(o.get('text', '') for c in notebook.cells for o in c.get('outputs', [])))\n";
    let text = lesson.python(&["-c", script]);
    for part in ["5\t25\t", "\n100\n", "For 40 values ", "parpy uses ", "3.14159265", "999998000001.0"] {
        assert!(text.contains(part), "no '{part}' in\n{text}");
    }
}
