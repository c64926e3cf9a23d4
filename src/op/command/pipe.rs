//! A command for each section of a file, whose lines it reads on its standard input: what the commands print is passed on
//! as it is, in the order of the sections.
//!
//! A section is the same however it is run: its number, its bounds and so what comes out depend on the file's size and the
//! size of sections alone, never on who runs what. Its bytes do not pass through the worker ([`crate::exec`]).

use std::ops::Range;
use std::sync::Arc;

use super::CommandLines;
use super::template::{Item, Template};
use super::tries::{Place, Tries};
use crate::base::error::{Error, Result};
use crate::base::spool::{self, Spool};
use crate::data::batch::BatchRef;
use crate::data::block::Block;
use crate::exec::Input;
use crate::input::InputInfo;
use crate::input::section::SectionReader;
use crate::job::Task;
use crate::job::command::{Limits, Pipe};
use crate::job::input::TextFile;
use crate::node::host::host;
use crate::op::record::{KILLED, MOST_SAID, NO_EXIT, Record, Recorded, Tried, Value};
use crate::op::{BlockResult, Operator, Worker};

/// Bytes of what a command has printed that are kept in memory, at the least and at the most; in between a quarter more than
/// it reads, which is more than most print.
const LEAST_KEPT: u64 = 4 << 20;
const MOST_KEPT: u64 = 80 << 20;

/// A command for sections, bound to a file. The same on every rank.
#[derive(Debug, Clone)]
pub struct BoundPipe {
    template: Arc<Template>,
    header: bool,
    keep_going: bool,
    /// Sections that something is to be said of.
    recorded: Recorded,
    limits: Limits,
    /// Bytes of a section, before its ends move to starts of lines.
    section: u64,
}

impl BoundPipe {
    /// `pipe`, the command of `task`, for sections of `section` bytes.
    ///
    /// # Errors
    /// The run has no seed, and a word wants one.
    pub fn bind(pipe: &Pipe, task: &Task, section: u64) -> Result<Self> {
        let words = pipe.words.iter().map(|word| word.0.as_encoded_bytes());
        let template = Template::of_sections(words, pipe.shell).seeded(task.seed)?;
        Ok(Self {
            template: Arc::new(template),
            header: pipe.header,
            keep_going: task.keep_going,
            recorded: Recorded::of(task, false),
            limits: task.limits,
            section,
        })
    }

    /// Bytes of a section, before its ends move to starts of lines.
    pub fn section(&self) -> u64 {
        self.section
    }

    /// The number of the section that begins in `block`, from 0: blocks are all of that size but the last.
    pub fn number(&self, block: &Block) -> u64 {
        block.start / self.section
    }

    /// The commands of its sections, for people.
    pub fn lines(&self) -> CommandLines {
        CommandLines::Each(self.template.clone())
    }

    /// What is to be said of the section that begins in `block` and has these bytes of the file, which was `tried` so, and
    /// of which was `said` why it has failed.
    fn record(&self, block: &Block, bytes: &Range<u64>, tried: Tried, said: Option<&[u8]>) -> Record {
        Record {
            row: self.number(block),
            has_failed: said.is_some(),
            tried,
            host: host().into_bytes(),
            said: said.unwrap_or_default().to_vec(),
            values: [bytes.start, bytes.end - bytes.start].map(Value::number).to_vec(),
        }
    }

    /// The same of one that no process has lived to answer, and why. Where the file cannot be read any more, its bytes are
    /// those of the block.
    pub fn killed(&self, file: &TextFile, info: &InputInfo, block: &Block, why: &str) -> Record {
        let bytes = SectionReader::open(file, info).and_then(|mut reader| reader.range(block));
        let tried = Tried { exit: NO_EXIT, signal: KILLED, ..Tried::default() };
        self.record(block, &bytes.unwrap_or(block.start..block.end), tried, Some(why.as_bytes()))
    }

    /// The same, ready to be run by `worker` over `file`.
    ///
    /// # Errors
    /// As those of [`SectionReader::open`]; or the file's first line cannot be read.
    pub fn open(&self, file: &TextFile, info: &InputInfo, worker: Worker) -> Result<PipeSections> {
        let mut reader = SectionReader::open(file, info)?;
        let header = if self.header { 0..reader.line_from(1.min(info.total))? } else { 0..0 };
        let kept = self.section.saturating_add(self.section / 4);
        Ok(PipeSections {
            pipe: self.clone(),
            reader,
            header,
            place: Place::of(&worker),
            tries: Tries::new(self.limits, u64::MAX, &worker),
            made: Spool::new(kept.clamp(LEAST_KEPT, MOST_KEPT) as usize),
            handed_over: 0,
            rest: BlockResult::default(),
            records: Vec::new(),
        })
    }
}

/// Runs a command for each section. One per worker.
pub struct PipeSections {
    pipe: BoundPipe,
    reader: SectionReader,
    /// Where the line is that all sections begin with; empty where there is none.
    header: Range<u64>,
    place: Place,
    tries: Tries,
    /// What the last command has printed, and how much of that has been handed over.
    made: Spool,
    handed_over: u64,
    /// What is said with the last of it: so each section counts once, whoever gives some of its pieces again.
    rest: BlockResult,
    /// What is said of the section.
    records: Vec<u8>,
}

impl PipeSections {
    /// Runs the command for a section, and keeps what it prints.
    fn run(&mut self, block: &Block, is_wanted: &dyn Fn() -> bool) -> Result<BlockResult> {
        let Self { pipe, reader, header, place, tries, made, records, .. } = self;
        let section = reader.range(block)?;
        if section.is_empty() {
            // A line that begins before it goes on behind it.
            return Ok(BlockResult::default());
        }
        let number = pipe.number(block);
        let argv = pipe.template.fill(&Item { values: &[], row: number, slot: place.slot });
        // The first section has it already.
        let header = if section.start == 0 { 0..0 } else { header.clone() };
        let parts = [header, section.clone()].into_iter().filter(|part| !part.is_empty()).collect();
        let request =
            tries.request(argv, place.env(number, pipe.template.seed_of(number)), Input::Parts(parts));
        let before = format!("section {}: ", number + 1);
        let run = (&request, Some((reader.file(), reader.path())));
        let done = tries.run(run, before.as_bytes(), made, is_wanted, |_| Ok(()))?;
        let input_bytes = section.end - section.start;
        let is_recorded = match pipe.recorded {
            Recorded::None => false,
            Recorded::Failed => done.is_err(),
            Recorded::All => true,
        };
        if is_recorded {
            let (tried, heard) = tries.last();
            let said = done.as_ref().err().map(|fault| match heard.trim_ascii() {
                b"" => fault.as_bytes(),
                said => &said[said.len().saturating_sub(MOST_SAID)..],
            });
            pipe.record(block, &section, *tried, said).put(records);
        }
        let Err(fault) = done else {
            return Ok(BlockResult { items: 1, input_bytes, ..BlockResult::default() });
        };
        let (Range { start, end }, name) = (section, reader.path().display());
        let fault = format!("section {} (bytes {start} to {end} of {name}): {fault}", number + 1);
        match pipe.keep_going {
            true => Ok(BlockResult {
                failed: 1,
                first_failed: Some(fault),
                input_bytes,
                ..BlockResult::default()
            }),
            false => Err(Error::Item(fault)),
        }
    }

    /// Hands over as much as there is room for.
    fn hand_over(&mut self, room: &mut [u8]) -> BlockResult {
        let bytes = match self.made.read(self.handed_over, room) {
            Ok(bytes) => bytes,
            Err(error) => return BlockResult::failed(Error::Failed(spool::fault(&error))),
        };
        self.handed_over += bytes as u64;
        // With the last of it comes what is said of the section, which any room is large enough for.
        let has_room = bytes == 0 || bytes + self.records.len() <= room.len();
        if self.handed_over < self.made.bytes() || !has_room {
            return BlockResult { bytes, more: true, ..BlockResult::default() };
        }
        self.made.truncate(0);
        self.handed_over = 0;
        BlockResult { bytes, records: std::mem::take(&mut self.records), ..std::mem::take(&mut self.rest) }
    }
}

impl Operator for PipeSections {
    fn apply(
        &mut self,
        block: &Block,
        _rows: Option<BatchRef>,
        buf: &mut [u8],
        is_wanted: &dyn Fn() -> bool,
    ) -> BlockResult {
        self.made.truncate(0);
        self.records.clear();
        self.handed_over = 0;
        match self.run(block, is_wanted) {
            Ok(rest) => {
                self.rest = rest;
                self.hand_over(buf)
            }
            Err(error) => {
                BlockResult { records: std::mem::take(&mut self.records), ..BlockResult::failed(error) }
            }
        }
    }

    fn more(&mut self, room: &mut [u8]) -> BlockResult {
        self.hand_over(room)
    }
}
