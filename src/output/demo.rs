//! The demo's output: who did what, told to people.
//!
//! Holds what it tells in memory, so it is for small tasks; other outputs are for large ones.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use crate::base::blocking::{Outlet, STDOUT};
use crate::base::error::{Error, Result};
use crate::base::escape;
use crate::base::fmt::counted;
use crate::base::lanes::Lanes;
use crate::data::batch::{BatchRef, bytes_for};
use crate::data::block::Block;
use crate::data::dtype::Dtype;
use crate::input;
use crate::input::blocks::BlockSource;
use crate::job::Task;
use crate::observe::report::Report;
use crate::op::pages;
use crate::output::encode::{WIDEST, render};
use crate::output::{ResultChunk, Sink};

/// Gathers the answers and tells them at the end.
pub struct DemoReport<'a> {
    task: &'a Task,
    parts: Vec<BlockAnswer>,
    gathered: Vec<u8>,
}

/// What one worker answered to one block.
struct BlockAnswer {
    worker: Option<usize>,
    block: Block,
    items: u64,
    bytes: std::ops::Range<usize>,
}

impl<'a> DemoReport<'a> {
    /// Tells of `task`.
    pub fn new(task: &'a Task) -> Self {
        Self { task, parts: Vec::new(), gathered: Vec::new() }
    }

    fn tell(&self, report: &Report) -> Result<String> {
        let name = if report.pattern == "mpi" { "rank" } else { "worker" };
        let who = |worker: Option<usize>| match worker.and_then(|number| report.worker.get(number)) {
            Some(w) => format!("  {name} {} (pid {} on {})", w.worker, w.pid, w.host),
            None => format!("  no {name}"),
        };
        let over = counted(report.workers as u64, name);
        let (mut text, end);
        match self.task.work.text() {
            None => {
                text = format!("Squares of {}, over {over}:\n", counted(report.items, "value"));
                let values = values(self.task, report.items)?;
                let values: Vec<&str> = values.lines().collect();
                for part in self.parts.iter().filter(|part| !part.bytes.is_empty()) {
                    let answers = spaced(&self.gathered[part.bytes.clone()]);
                    // Fewer, where the file has been cut short since.
                    let of_part = values.iter().skip(part.block.start as usize).take(part.items as usize);
                    let asked = of_part.copied().collect::<Vec<_>>().join(" ");
                    text += &format!("{} squared {asked}: {answers}\n", who(part.worker));
                }
                end = format!("  in order: {}\n", spaced(&self.gathered));
            }
            Some(file) => {
                let name = file.name();
                text =
                    format!("Sections of {}, read by {over}:\n", escape::line(&name.display().to_string()));
                for part in self.parts.iter().filter(|part| !part.bytes.is_empty()) {
                    text += &format!(
                        "{} read bytes {} to {}: {}\n",
                        who(part.worker),
                        part.bytes.start,
                        part.bytes.end,
                        counted(part.items, "line")
                    );
                }
                let mut original = Vec::new();
                let (mut file, _) = input::open_text(file)?;
                read_all(&mut file, &mut original).map_err(|e| Error::io("read", &name, &e))?;
                if original != self.gathered {
                    return Err(Error::Failed(format!(
                        "the gathered text ({} bytes) differs from {} ({} bytes)",
                        self.gathered.len(),
                        name.display(),
                        original.len()
                    )));
                }
                let (lines, bytes) = (counted(report.items, "line"), counted(report.bytes, "byte"));
                end = format!("  gathered in order: {lines}, {bytes}, equal to the file\n");
            }
        }
        Ok(text + &end)
    }
}

/// The first `count` values of a map, one per line.
fn values(task: &Task, count: u64) -> Result<String> {
    let (mut source, info) = BlockSource::open(task)?;
    let (count, mut memory) = (count as usize, pages(bytes_for(1, count as usize)));
    let mut text = vec![0; count * WIDEST];
    let memory: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
    let dtype = info.schema.number(0).unwrap_or(Dtype::I64);
    let len = match info.indexed {
        true => {
            let values: &mut [u64] = &mut bytemuck::cast_slice_mut(memory)[..count];
            input::open_indexed(task, &info)?.fill_at(0, &mut [values], Lanes::best()).1?;
            render(dtype, values, &mut text)
        }
        false => {
            source.next_block(count as u64, memory)?;
            BatchRef::new(memory).map_or(0, |rows| render(dtype, rows.words(0), &mut text))
        }
    };
    Ok(String::from_utf8_lossy(&text[..len]).into_owned())
}

fn read_all(file: &mut File, into: &mut Vec<u8>) -> std::io::Result<()> {
    use std::io::Seek;
    file.rewind()?;
    file.read_to_end(into).map(|_| ())
}

fn spaced(lines: &[u8]) -> String {
    String::from_utf8_lossy(lines).trim_end().replace('\n', " ")
}

impl Sink for DemoReport<'_> {
    fn take(&mut self, chunk: &ResultChunk) -> Result<()> {
        let start = self.gathered.len();
        self.gathered.extend_from_slice(chunk.bytes);
        let end = self.gathered.len();
        if let Some(part) = self.parts.last_mut().filter(|part| part.block == chunk.block && start > 0) {
            // More of a long answer.
            part.bytes.end = end;
            part.items += chunk.items;
            return Ok(());
        }
        let bytes = start..end;
        self.parts.push(BlockAnswer { worker: chunk.worker, block: chunk.block, items: chunk.items, bytes });
        Ok(())
    }

    fn finish(&mut self, report: &Report) -> Result<()> {
        let text = self.tell(report)?;
        let written = Outlet::stdout().and_then(|mut out| out.write_all(text.as_bytes()));
        written.map_err(|e| Error::writing(Path::new(STDOUT), &e))
    }
}
