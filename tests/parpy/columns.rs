//! Rows of several columns: where they come from, what is done with them, and what becomes of them.

use std::path::Path;

use crate::data::*;
use crate::dsl::*;

fn from(path: &Path, part: &str) -> Run {
    parpy("map --from").arg(format!("{}{part}", path.display()))
}

const TABLE: &str = "x,y,\"a, b\"\n3,4,0.5\n5,12,1.5\n8,15,-2\n";

#[test]
fn columns_have_their_names_in_expressions() {
    let dir = Dir::new();
    let table = dir.write("t.csv", TABLE);
    for ranks in ways() {
        let of = |part: &str, function: &str| from(&table, part).arg("-f").arg(function).ranks(*ranks).text();
        assert_eq!(of("", "sqrt(x^2 + y^2)"), "5.0\n13.0\n17.0\n");
        assert_eq!(of(":y,x", "y - x"), "1\n7\n7\n");
        assert_eq!(of(":2,1", "x * y"), "12\n60\n120\n");
        assert_eq!(of("", "y"), "4\n12\n15\n");
        assert_eq!(of("", "`a, b` * 2"), "1.0\n3.0\n-4.0\n");
        assert_eq!(of(":'a, b',x", "x"), "3\n5\n8\n");
        // A sole column is also called x.
        assert_eq!(of(":y", "x + 1"), "5\n13\n16\n");
        assert_eq!(of(":a, b", "x"), "0.5\n1.5\n-2.0\n");
    }
    let fails = |part: &str, function: &str, code, parts: &[&str]| {
        from(&table, part).arg("-f").arg(function).done().fails(code, parts);
    };
    let fails_at = |path: &Path, function: &str, code, parts: &[&str]| {
        from(path, "").arg("-f").arg(function).done().fails(code, parts);
    };
    fails("", "square", 2, &["of one column", "x, y", "square(x)"]);
    fails("", "z + 1", 2, &["z", "^"]);
    fails(":x,z", "x", 1, &["cannot read column z", "x, y, a, b"]);
    fails(":x,", "x", 1, &["cannot read column "]);
    let text = dir.write("n.csv", "name,x,y\nada,1,2\n");
    assert_eq!(from(&text, "").args("-f x").text(), "1\n");
    fails_at(&text, "name + 1", 2, &["this is text, and no number", "^^^^"]);
    assert_eq!(from(&text, ":x,y").args("-f y").text(), "2\n");
    let wrong = dir.write("w.csv", "x,y\n1,2\n3,four\n");
    from(&wrong, "")
        .args("-f x")
        .done()
        .fails(1, &["w.csv, line 3", "column y", "'four' is not a whole number"]);
    // Each column has a type of its own; one without a name is called by its number.
    let mixed = dir.write("m.csv", ",n\n0.5,9007199254740993\n");
    assert_eq!(from(&mixed, "").args("-f n").text(), "9007199254740993\n");
    assert_eq!(from(&mixed, "").args("-f c1").text(), "0.5\n");
    let bare = dir.write("b.csv", "1,2\n3,4\n");
    assert_eq!(from(&bare, "").args("--no-header -f c1*c2").text(), "2\n12\n");
}

#[test]
fn tables_keep_the_inputs_beside_the_answers() {
    let dir = Dir::new();
    let table = dir.write("t.csv", TABLE);
    let run = |args: &str, name: &str| {
        from(&table, ":x,y")
            .args("-f")
            .arg("hypot(x, y)")
            .args(args)
            .arg("-o")
            .arg(dir.path(name))
            .done()
            .succeeds();
        String::from_utf8_lossy(&dir.read(name)).into_owned()
    };
    assert_eq!(run("", "a.csv"), "x,y,output\n3,4,5.0\n5,12,13.0\n8,15,17.0\n");
    assert_eq!(run("", "a.txt"), "5.0\n13.0\n17.0\n");
    assert_eq!(run("", "a.jsonl").lines().next(), Some(r#"{"x":3,"y":4,"output":5.0}"#));
    assert_eq!(run("--columns y,output", "b.csv"), "y,output\n4,5.0\n12,13.0\n15,17.0\n");
    assert_eq!(run("--columns output", "c.csv"), "output\n5.0\n13.0\n17.0\n");
    assert_eq!(run("--columns y,x,output", "d.txt"), "4\t3\t5.0\n12\t5\t13.0\n15\t8\t17.0\n");
    let lines = run("--who", "w.txt");
    assert!(lines.starts_with("3\t4\t5.0\t"), "{lines}");
    // Structured, or the answers alone.
    run("", "a.npy");
    assert_eq!(from(&dir.path("a.npy"), "").args("-f").arg("output - x").text(), "2.0\n8.0\n9.0\n");
    assert!(parpy("show").arg(dir.path("a.npy")).text().contains("3 rows of x: i64, y: i64, output: f64"));
    run("--columns output", "o.npy");
    assert_eq!(from(&dir.path("o.npy"), "").args("-f identity").text(), "5.0\n13.0\n17.0\n");
    for (columns, parts) in [
        ("z,output", &["there is no column z", "x, y, output"][..]),
        ("x", &["output", "give it last"]),
        ("x,x,output", &["x is there twice"]),
    ] {
        from(&table, ":x,y").args("-f x --columns").arg(columns).done().fails(2, parts);
    }
    // What is called as answers are, and what is called the same.
    let odd = dir.write("o.csv", "output,n,n\n1,2,3\n");
    from(&odd, ":1,2,3").args("-f n_ -o").arg(dir.path("odd.csv")).done().succeeds();
    assert_eq!(dir.read("odd.csv"), b"output_,n,n_,output\n1,2,3,3\n");
}

#[test]
fn a_column_becomes_a_file_of_another_format() {
    let dir = Dir::new();
    let table = dir.write("q.csv", "day,price\nmon,1.5\ntue,2.25\n");
    from(&table, ":price").args("-f identity -o").arg(dir.path("price.npy")).done().succeeds();
    let bytes = dir.read("price.npy");
    assert_eq!(bytes[bytes.len() - 16..], [1.5f64.to_le_bytes(), 2.25f64.to_le_bytes()].concat());
    from(&table, ":price").args("-f identity -o").arg(dir.path("price.csv")).done().succeeds();
    assert_eq!(dir.read("price.csv"), b"price,output\n1.5,1.5\n2.25,2.25\n");
}

#[test]
fn arrays_of_two_dimensions_and_of_fields() {
    let dir = Dir::new();
    let data: Vec<u8> = (0..6i64).flat_map(i64::to_le_bytes).collect();
    let square = npy_of(&dir, "m.npy", "<i8", "(3, 2)", &data);
    let rows: Vec<u8> =
        (0..3i64).flat_map(|i| [&i.to_le_bytes()[..], b"abcd", &(i as f32).to_le_bytes()].concat()).collect();
    let fields = npy_of(&dir, "f.npy", "[('n', '<i8'), ('name', '|S4'), ('x', '<f4')]", "(3,)", &rows);
    for ranks in ways() {
        let of = |path: &Path, part: &str, function: &str| {
            from(path, part).arg("-q").arg("-f").arg(function).ranks(*ranks).text()
        };
        assert_eq!(of(&square, "", "c0 * 10 + c1"), "1\n23\n45\n");
        assert_eq!(of(&square, ":[:,1]", "x"), "1\n3\n5\n");
        assert_eq!(of(&square, ":[:,1],[:,0]", "c1 - c0"), "1\n1\n1\n");
        // A function of one column is one of each element.
        assert_eq!(of(&square, "", "square"), "0\n1\n4\n9\n16\n25\n");
        assert_eq!(of(&fields, ":n,x", "n + x"), "0.0\n2.0\n4.0\n");
        assert_eq!(of(&fields, ":x", "x"), "0.0\n1.0\n2.0\n");
    }
    from(&square, ":[:,2]").done().fails(2, &["there is no column 2", "it has 2"]);
    from(&square, ":y").done().fails(2, &["y is no column", "[:,0]"]);
    from(&fields, "").args("-f n").done().fails(1, &["its field name is of type |S4", "f.npy:n,x"]);
    from(&fields, ":nam").args("-f n").done().fails(1, &["no field nam", "n, name, x", "did you mean name?"]);
    let line = npy_of(&dir, "l.npy", "<i8", "(6,)", &data);
    from(&line, ":x").done().fails(2, &["two dimensions"]);
    let cut = npy_of(&dir, "c.npy", "<i8", "(9, 2)", &data);
    from(&cut, "").args("-f c0").done().fails(1, &["c.npy", "ends after"]);
}

#[cfg(feature = "hdf5")]
#[test]
fn several_datasets_side_by_side() {
    let dir = Dir::new();
    let path = dir.path("h.h5");
    let file = hdf5::File::create(&path).unwrap();
    file.new_dataset_builder().with_data(&[1i64, 2, 3]).create("x").unwrap();
    file.create_group("g").unwrap().new_dataset_builder().with_data(&[0.5f64, 1.5, 2.5]).create("x").unwrap();
    file.new_dataset_builder().with_data(&[1i64, 2]).create("short").unwrap();
    let table = ndarray::arr2(&[[1i64, 10], [2, 20], [3, 30]]);
    file.new_dataset_builder().with_data(&table).create("m").unwrap();
    file.new_dataset_builder().with_data(&table).chunk((2, 1)).create("chunks").unwrap();
    drop(file);
    settle(&path);
    for ranks in ways() {
        let of = |part: &str, function: &str| from(&path, part).arg("-f").arg(function).ranks(*ranks).text();
        assert_eq!(of(":/x,/g/x", "x + x_"), "1.5\n3.5\n5.5\n");
        for table in ["/m", "/chunks"] {
            assert_eq!(of(&format!(":{table}"), "c0 * c1"), "10\n40\n90\n");
            assert_eq!(of(&format!(":{table}[:,1],/x"), "c1 - x"), "9\n18\n27\n");
        }
    }
    from(&path, ":/x,/short")
        .args("-f x")
        .done()
        .fails(1, &["not of the same length", "x has 3", "short has 2"]);
    from(&path, ":/x,/y").args("-f x").done().fails(1, &["no dataset /y"]);
    let out = dir.path("out.h5");
    from(&path, ":/m").args("-f c0+c1 -o").arg(&out).done().succeeds();
    assert_eq!(dataset::<i64>(&out, "c1"), [10, 20, 30]);
    assert_eq!(dataset::<i64>(&out, "output"), [11, 22, 33]);
}
