//! Values that are missing: a hole stays a hole through every format, with `--keep-going`, and is an error without.

use crate::data::*;
use crate::dsl::*;

#[test]
fn what_a_format_cannot_say_is_an_error() {
    let dir = Dir::new();
    dir.write("t.csv", "n,x,name\n1,1.5,a\n2,,b\n,3.5,c\n4,4.5,\n");
    for extension in extensions().into_iter().filter(|e| ["npy", "h5"].contains(e)) {
        for ranks in ways() {
            let run = |args: &str| {
                let args = format!("-q map -k --from t.csv{args}.{extension}");
                parpy(&args).folder(dir.path("")).ranks(*ranks).done()
            };
            // Of floats it can be said, and of rows that have no answer.
            assert_eq!(run(":n,x -f n -o fine").code, 1);
            let done = run(":n,x -f x*2 -o o");
            let told = done.stderr.contains("row no. 3: n is missing")
                && done.stderr.contains(".csv and .json have");
            assert!(done.code == 1 && told, "{}", done.stderr);
            assert_eq!(run(":n,x -f x*2 --columns x,output -o p").code, 1);
            if extension == "h5" {
                let done = run(":name,n -f n -o q");
                assert!(done.stderr.contains("row no. 4: name is missing"), "{}", done.stderr);
            }
        }
    }
}

#[test]
fn a_hole_stays_a_hole_through_every_format() {
    let dir = Dir::new();
    let mut formats: Vec<(&str, &str)> = vec![("txt", ""), ("csv", ":output"), ("npy", "")];
    if extensions().contains(&"h5") {
        formats.push(("h5", ":/output"));
    }
    let run = |args: &str| parpy("-q map").args(args).folder(dir.path(""));
    for (extension, part) in &formats {
        let name = format!("kg.{extension}");
        assert_eq!(run("3 3037000500 4 -k -o").arg(&name).done().code, 1);
        let from = format!("{name}{part}");
        for ranks in ways() {
            let again = |args: &str| run("--from").arg(&from).args(args).ranks(*ranks).done();
            let done = again("-k");
            assert_eq!((done.code, &*done.stdout), (1, &b"81\n\n256\n"[..]), "{from}: {}", done.stderr);
            // What says that there is none is said.
            let done = again("");
            assert_eq!((done.code, done.stdout.starts_with(b"81\n")), (1, true), "{from}: {}", done.stderr);
            let told = done.stderr.contains(&name) && done.stderr.contains("--keep-going");
            assert!(told, "{from}: {}", done.stderr);
        }
        // In every other format, too.
        let into = |to: &str| {
            run("-k --from").arg(&from).arg("-o").arg(to).done();
            String::from_utf8_lossy(&dir.read(to)).into_owned()
        };
        assert_eq!(into("out.csv"), "input,output\n9,81\n,\n16,256\n", "{from}");
        let text = into("out.jsonl");
        assert!(text.contains("{\"input\":null,\"output\":null}\n"), "{from}: {text}");
        into("out.npy");
        assert_eq!(run("--from out.npy -f identity -k").done().stdout, b"81\n\n256\n", "{from}");
    }
}

#[test]
fn show_leaves_holes_empty() {
    let dir = Dir::new();
    let run = |args: &str| parpy("-q map").args(args).folder(dir.path("")).done();
    run("3 3037000500 4 -k -o k.npy");
    let text = parpy("show").arg(dir.path("k.npy")).text();
    assert!(text.contains("3 numbers of type i64") && text.contains("min 9  mean 12.5  max 16"), "{text}");
    assert!(text.contains("without a number 1"), "{text}");
    run("0.5 nan -o n.npy");
    let text = parpy("show").arg(dir.path("n.npy")).text();
    assert!(text.contains("  0.25\n  NaN\n") && text.contains("without a number 1"), "{text}");
}

#[test]
fn floats_that_are_missing() {
    let dir = Dir::new();
    dir.write("x.txt", "0.5\n\n-2\n");
    dir.write("x.csv", "x,y\n0.5,1\n,2\n-2,\n");
    let run = |args: &str| parpy("-q map").args(args).folder(dir.path(""));
    for ranks in ways() {
        let of = |args: &str| String::from_utf8(run(args).ranks(*ranks).done().stdout).unwrap();
        assert_eq!(of("--from x.txt -k"), "0.25\n\n4.0\n");
        // Only what an answer needs can make it one that is missing.
        assert_eq!(of("--from x.csv -k -f y+1"), "2\n3\n\n");
        assert_eq!(of("--from x.csv -k -f x*y"), "0.5\n\n\n");
        run("--from x.csv -k -f y+1 -o y.csv").ranks(*ranks).done();
        assert_eq!(dir.read("y.csv"), b"x,y,output\n0.5,1,2\n,2,3\n-2.0,,\n");
        run("--from x.csv -k -f x+1 --columns x,output -o y.npy").ranks(*ranks).done();
        assert_eq!(of("--from y.npy -k -f output --columns x,output"), "0.5\t1.5\n\t\n-2.0\t-1.0\n");
        // Of each column its own: what says whether there is an answer says nothing of the inputs.
        run("--from x.csv -k -f x*0+y*0 -o z.npy").ranks(*ranks).done();
        assert_eq!(of("--from z.npy:x -k -f identity"), "0.5\n\n-2.0\n");
        dir.write("w.csv", "a,b\n1,2\n3,\n");
        run("--from w.csv -k -f b -o w.npy").ranks(*ranks).done();
        assert_eq!(of("--from w.npy:a -k -f identity"), "1\n3\n");
        assert_eq!(of("--from w.npy -k -f output"), "2\n\n");
        // A NaN is a float like any other, unless values may be missing.
        run("0.5 nan -o nan.npy").ranks(*ranks).done();
        assert_eq!(of("--from nan.npy"), "0.0625\nNaN\n");
        assert_eq!(of("--from nan.npy -k"), "0.0625\n\n");
    }
}

#[test]
fn what_is_no_number_is_passed_over_too() {
    let dir = Dir::new();
    dir.write("w.txt", "1\ntwo\n\n4\n");
    dir.write("w.csv", "a,b\n1,2\nx,4\n5,\n");
    dir.write("end.txt", "1\n2\n\n \n");
    let run = |args: &str| parpy("map").args(args).folder(dir.path(""));
    for ranks in ways() {
        let done = run("--from w.txt -k").ranks(*ranks).done();
        assert_eq!((done.code, &*done.stdout), (1, &b"1\n\n\n16\n"[..]));
        assert!(
            done.stderr.contains("w.txt, line 2: 'two' is not a whole number; passed over"),
            "{}",
            done.stderr
        );
        assert!(
            done.stderr.contains("2 items have no answer") && done.stderr.contains("value no. 2 is missing"),
            "{}",
            done.stderr
        );
        let done = run("--from w.csv -k -f a+b").ranks(*ranks).done();
        assert_eq!((done.code, &*done.stdout), (1, &b"3\n\n\n"[..]));
        assert!(
            done.stderr.contains("w.csv, line 3: column a: 'x' is not a whole number"),
            "{}",
            done.stderr
        );
        assert!(done.stderr.contains("a of row no. 2 is missing"), "{}", done.stderr);
        run("--from w.csv -f a+b").ranks(*ranks).done().fails(1, &["w.csv, line 3: column a: 'x'"]);
        run("--from w.csv:b")
            .ranks(*ranks)
            .done()
            .fails(1, &["w.csv, line 4: there is no value", "--keep-going"]);
        // Blank lines at the end of a text are none, unless each line is a value.
        assert_eq!(run("--from end.txt").ranks(*ranks).text(), "1\n4\n");
        assert_eq!(run("--from end.txt -k").ranks(*ranks).done().stdout, b"1\n4\n\n\n");
        // What comes before a blank line stands.
        let done = run("--from -").stdin("5\n\n6\n").ranks(*ranks).done();
        assert_eq!((done.code, &*done.stdout), (1, &b"25\n"[..]));
        assert!(
            done.stderr.contains("line 2: there is no value; --keep-going passes over it"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn reductions_leave_out_what_is_missing() {
    let dir = Dir::new();
    dir.write("t.csv", "k,x\n1,3\n1,\n2,\n,4\n2,8\n");
    let run = |args: &str| parpy("-q map --from t.csv").args(args).folder(dir.path(""));
    for ranks in ways() {
        let of = |args: &str| {
            let done = run(args).ranks(*ranks).done();
            assert_eq!(done.code, 1, "{}", done.stderr);
            String::from_utf8(done.stdout).unwrap()
        };
        assert_eq!(
            of("-k --reduce sum(x),count(x),count(k),argmax(x)"),
            "sum(x)\t15\ncount(x)\t3\ncount(k)\t4\nargmax(x)\t4\n"
        );
        assert_eq!(of("-k --reduce sum(x),count(x) --by k"), "k\tsum(x)\tcount(x)\n1\t3\t1\n2\t8\t1\n");
        assert_eq!(of("-k -f x*k --reduce sum,count"), "sum\t19\ncount\t2\n");
        run("--reduce sum(x)").ranks(*ranks).done().fails(1, &["t.csv, line 3", "there is no value"]);
    }
    dir.write("none.csv", "k,x\n1,3\n2,\n");
    let done =
        parpy("-q map -k --from none.csv --reduce mean(x),count(x) --by k").folder(dir.path("")).done();
    assert_eq!(done.stdout, b"k\tmean(x)\tcount(x)\n1\t3.0\t1\n2\t\t0\n");
}

#[test]
fn parts_with_holes_are_joined() {
    let dir = Dir::new();
    dir.write("h.txt", "1\n\n3\nx\n5\n3037000500\n7\n");
    for extension in extensions() {
        let run = |args: &str| {
            parpy("-q map -k --from h.txt")
                .args(args)
                .arg("-o")
                .arg(format!("o.{extension}"))
                .folder(dir.path(""))
        };
        for k in 1..=3 {
            run(&format!("--part {k}/3")).done();
        }
        assert_eq!(run("--join 3").done().code, 1, "{extension}");
        let joined = lasting(&dir.path(&format!("o.{extension}")));
        run("").done();
        assert!(joined == lasting(&dir.path(&format!("o.{extension}"))), "{extension}");
    }
}
