//! Log lines on standard error, each with the rank, pid and host that it comes from.
//!
//! Warnings come from rank 0 alone; `-v` names every rank, and
//! `-vv` each block that it works on. Answers never go here, and
//! errors that end the run are printed by [`crate::cmd::run`]. What is said of an event stays one line, whatever names
//! stand in it.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

use crate::base::blocking::Stderr;
use crate::base::escape;
use crate::mpi::launch::Launch;

/// Starts logging in this process.
pub fn start(verbose: u8, is_quiet: bool, launch: &Launch) {
    let level = match (is_quiet, verbose) {
        (true, _) => Level::ERROR,
        (_, 0) => Level::WARN,
        (_, 1) => Level::DEBUG,
        _ => Level::TRACE,
    };
    let rank = (launch.ranks > 1).then_some(launch.rank);
    let line = Line { rank, plain: level == Level::WARN, host: crate::node::host::host() };
    // Fails only when a library's user has set up a subscriber before, which is then the one to use.
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Stderr)
        .event_format(line)
        // A line that cannot be written is no reason to panic.
        .log_internal_errors(false)
        .with_filter(LevelFilter::from_level(level));
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

/// `parpy[rank 2 pid 4711 host n1] WARN text`, and alone `parpy: warning: text`.
struct Line {
    /// Where there are several.
    rank: Option<usize>,
    /// Only warnings are wanted: who alone writes them need not say who it is.
    plain: bool,
    host: String,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Self { rank, plain, host } = self;
        // Asked for each time, because a forked worker is another process.
        let pid = std::process::id();
        match rank {
            Some(rank) => write!(writer, "parpy[rank {rank} pid {pid} host {host}] ")?,
            None if *plain => write!(writer, "parpy: warning: ")?,
            None => write!(writer, "parpy[pid {pid} host {host}] ")?,
        }
        if rank.is_some() || !plain {
            write!(writer, "{} ", event.metadata().level())?;
        }
        let mut said = Said::default();
        event.record(&mut said);
        writeln!(writer, "{}", escape::line(&said.0))
    }
}

/// The text of an event.
#[derive(Default)]
struct Said(String);

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // To memory, which does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
