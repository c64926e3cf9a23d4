//! `parpy run JOB.toml`.

use crate::dsl::*;

#[test]
fn the_job_files_of_the_checkout() {
    let squares: String = (0..1000).map(|i| format!("{}\n", i * i)).collect();
    assert_eq!(parpy("run jobs/squares.toml").text(), squares);
    let text = parpy("run jobs/shakespeare.toml jobs/sample.txt").text();
    assert!(text.ends_with(&std::fs::read_to_string("jobs/sample.txt").unwrap()));
    assert_eq!(text.lines().next().unwrap(), "  345  3264 17185 jobs/sample.txt");
    if has_mpi() {
        assert_eq!(parpy("run jobs/squares.toml").ranks(3).text(), squares);
        assert_eq!(parpy("run jobs/shakespeare.toml jobs/sample.txt").ranks(3).text(), text);
    }
}

const SEVERAL: &str = r#"
[[task]]
map = { values = [1, "2", 3.0] }

[[task]]
read = { file = "text.txt", do = "count" }
output = "counts.txt"

[[task]]
map = { range = "0..3", dtype = "f64", function = "square" }
pattern = "serial"
repeat = 2
schedule = "static,2"
"#;

#[test]
fn several_tasks_alike_and_different() {
    let dir = Dir::new();
    dir.write("text.txt", "a b\nc\n");
    let job = dir.write("job.toml", SEVERAL);
    for ranks in if has_mpi() { vec![0, 1, 3] } else { vec![0] } {
        let text = parpy("run").arg(&job).ranks(ranks).text();
        assert_eq!(text, "1.0\n4.0\n9.0\n0.0\n1.0\n4.0\n");
        // Paths are taken from the job file's folder, not from where parpy is started.
        let counts = String::from_utf8(dir.read("counts.txt")).unwrap();
        assert_eq!(counts, format!("2 3 6 {}\n", dir.path("text.txt").display()));
    }
}

#[test]
fn arguments_stand_for_paths_and_numbers() {
    let dir = Dir::new();
    let job = dir.write("job.toml", "[[task]]\nmap = { range = '$1..$2' }\n");
    assert_eq!(parpy("run").arg(&job).args("2 4").text(), "4\n9\n");
    parpy("run").arg(&job).args("2 4 6").done().fails(2, &["no use for the argument 6"]);
}

#[test]
fn flags_come_before_the_file() {
    let dir = Dir::new();
    let job = dir.write("job.toml", "[[task]]\nmap = { values = [3] }\noutput = 'out.txt'\n");
    assert_eq!(parpy("run -o -").arg(&job).text(), "9\n");
    assert!(!dir.path("out.txt").exists());
}

#[test]
fn wrong_job_files_say_where_and_what_is_near() {
    let dir = Dir::new();
    let cases: [(&str, &[&str]); 15] = [
        ("[[task]]\nmap = { rnage = '0..3' }", &["line 2", "rnage", "did you mean `range`?"]),
        ("[[task]]\nmap = { range = '0..3' }\noutptu = 'x'", &["line 3", "did you mean `output`?"]),
        ("[[tasks]]\nmap = { range = '0..3' }", &["did you mean `task`?"]),
        ("[[task]]\nmap = { range = '0..3', function = 'sqare' }", &["task 1", "did you mean 'square'?"]),
        ("[[task]]\npattern = 'seriel'\nmap = {}", &["did you mean `serial`?"]),
        ("[[task]]\nmap = {}\nread = { file = 'x' }", &["task 1", "either map"]),
        ("[[task]]\nread = { file = '$2' }", &["$2", "parpy run JOB.toml"]),
        ("[[task]]\nmap = { values = [1, 'two'] }", &["'two' is not a whole number"]),
        ("", &["one [[task]] or more"]),
        ("[task]\nmap = {}", &["double brackets"]),
        ("[[task]]\nread = 'x'", &["read = { file = 'x.txt' }"]),
        ("[[task]]\nmap = { from = '-' }\n[[task]]\nmap = { from = '-' }", &["only once"]),
        (
            "[[task]]\nmap = { values = [1] }\noutput = 'o'\n[[task]]\nmap = {}\noutput = 'o'",
            &["two tasks write to"],
        ),
        ("[[task]]\nmap = { range = '0..$1' }", &["it wants $1"]),
        ("[[task", &["line 1"]),
    ];
    for (text, parts) in cases {
        let job = dir.write("job.toml", text);
        parpy("run").arg(&job).done().fails(2, parts);
        if has_mpi() && parts[0] == "task 1" {
            parpy("run").arg(&job).ranks(3).done().fails(2, parts);
        }
    }
    parpy("run").arg(dir.path("missing.toml")).done().fails(2, &["cannot open", "missing.toml"]);
    if has_mpi() {
        parpy("run").arg(dir.path("missing.toml")).ranks(3).done().fails(2, &["cannot open", "missing.toml"]);
    }
}

#[test]
fn a_task_that_fails_ends_the_job_on_every_rank() {
    let dir = Dir::new();
    let job = dir.write(
        "job.toml",
        "[[task]]\nmap = { values = [2] }\n[[task]]\npattern = 'serial'\nread = { file = 'none' }\n\
         [[task]]\nmap = { values = [3] }\n",
    );
    for ranks in if has_mpi() { vec![0, 3] } else { vec![0] } {
        let done = parpy("run").arg(&job).ranks(ranks).done().fails(1, &["task 2: cannot open", "none"]);
        assert_eq!(done.stdout, b"4\n");
    }
}

#[test]
fn arguments_inside_longer_paths() {
    let dir = Dir::new();
    let job = dir.write(
        "jobs/job.toml",
        "[[task]]\nmap = { range = '0..$1' }\noutput = 'squares-$1.txt'\n\
         [[task]]\nmap = { from = '$2/in-$1.csv:x' }\noutput = '$2.csv'\n",
    );
    dir.write("data/in-3.csv", "x\n5\n");
    parpy("run").arg(job).args("3 data").folder(dir.path("")).done().succeeds();
    assert_eq!(dir.read("jobs/squares-3.txt"), b"0\n1\n4\n");
    assert_eq!(dir.read("data.csv"), b"x,output\n5,25\n");
}

#[test]
fn what_holds_no_job_says_so() {
    let dir = Dir::new();
    for name in ["a.csv", "a.npy", "a.jsonl"] {
        parpy("map 1 -o").arg(dir.path(name)).done().succeeds();
        parpy("run").arg(dir.path(name)).done().fails(2, &[name, "does not say which job"]);
    }
}

/// As typed on the command line: a whole number that does not fit is no float.
#[test]
fn whole_numbers_that_do_not_fit() {
    let dir = Dir::new();
    for number in
        ["9223372036854775808", "18446744073709551615", "18446744073709551616", "-9223372036854775809"]
    {
        for value in [number.to_owned(), format!("'{number}'")] {
            let task = |more: &str| format!("[[task]]\nmap = {{ values = [1, {value}]{more} }}\n");
            let run = parpy("run").arg(dir.write("job.toml", task("")));
            for ranks in if has_mpi() { vec![0, 1, 2, 3] } else { vec![0] } {
                let told = format!("'{number}' does not fit in a 64-bit whole number");
                run.clone().ranks(ranks).done().fails(2, &[&told, "f64"]);
            }
            let float = number.parse::<f64>().unwrap();
            let text = parpy("run").arg(dir.write("job.toml", task(", dtype = 'f64'"))).text();
            assert_eq!(text.lines().nth(1).unwrap().parse::<f64>().unwrap(), float * float);
        }
    }
}
