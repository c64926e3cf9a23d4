//! What stands in the results where a row has no answer.

use super::runs::Runs;
use super::settings::{MapSettings, Window};
use crate::base::lanes::Lanes;
use crate::data::batch::BatchRef;
use crate::data::texts::Texts;
use crate::op::AnswerColumn;
use crate::op::record::{self, Record, Tried};
use crate::op::reduce::Of;
use crate::output::encode::{Encoding, RowTemplate, Values, missing, render_rows};

/// What is left where an answer would be, so that the others still stand beside their values, of which `row` has those
/// that are kept.
pub(super) fn leave_gap(
    settings: &MapSettings,
    row: &[Values],
    template: &RowTemplate,
    buf: &mut [u8],
) -> usize {
    match settings.encoding {
        Encoding::Columns { inputs, gaps } => {
            let runs = Runs { of: 1, inputs, gaps };
            runs.put_inputs(buf, 0, row);
            runs.leave_gap(buf, 0, missing(settings.answers));
            runs.close_up(buf, 1)
        }
        Encoding::Text => {
            buf[0] = b'\n';
            1
        }
        Encoding::States | Encoding::Packed { .. } => 0,
        Encoding::Rows(_) => render_rows(1, row, settings.answers(&[]), template, buf),
    }
}

/// The gap for `row`, a batch of one and number `first` of all rows, that no process has answered.
pub fn gap(settings: &MapSettings, row: &BatchRef, first: u64) -> Vec<u8> {
    let window = Window::of(row, first);
    let none = || AnswerColumn { bits: vec![0], lacking: [0].into_iter().collect() };
    let others: Vec<AnswerColumn> = settings.others.iter().map(|_| none()).collect();
    let window = window.with(&others);
    if let Some(mut states) = settings.states(Lanes::Scalar) {
        states.begin(first);
        let lacks = |of: Of, row: usize| match of {
            Of::Answers => true,
            Of::Input(k) => window.lacks(&[k], row),
        };
        states.add(0, &window.columns, window.memory, &[0], Some(&lacks));
        return states.message().to_vec();
    }
    let template = settings.template(None);
    if settings.has_texts {
        let (mut rendered, texts) = (Vec::new(), Texts { input: window.memory, made: &[] });
        settings.render_texts(&window, &[], &template, texts, &mut rendered);
        return rendered;
    }
    let row = settings.kept(&window);
    let mut buf = vec![0; settings.encoding.width(&settings.table)];
    let len = leave_gap(settings, &row, &template, &mut buf);
    buf.truncate(len);
    buf
}

/// What is said of `row`, a batch of one and number `first` of all rows, that no process has answered.
pub fn record(settings: &MapSettings, row: &BatchRef, first: u64, why: &str) -> Record {
    let tried = Tried { exit: record::NO_EXIT, signal: record::KILLED, ..Tried::default() };
    settings.record(&Window::of(row, first), 0, tried, Some(why.as_bytes()))
}
