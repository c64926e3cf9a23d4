//! Saved studies: tables, sentences, bars and pictures, or a message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use parpy::cmd::scale;

fuzz_target!(|bytes: &[u8]| {
    let Ok(studies) = scale::files::parse(bytes) else { return };
    assert!(scale::text(&studies).len() < 1000 * (bytes.len() + 10));
    for study in &studies.studies {
        let row = scale::row(study, String::new());
        assert!(scale::plot::svg(&[row]).ends_with("</svg>\n"));
    }
    for (before, after) in scale::results::pairs(&studies, &studies) {
        scale::compare(before, after, ["before", "after"]);
    }
});
