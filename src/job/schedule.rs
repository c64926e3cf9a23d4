//! How blocks are handed out, as the user asks for it.

/// How blocks are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Schedule {
    /// By whose word, where the user has set it.
    pub kind: Option<ScheduleKind>,
    /// Values, or bytes of a file, in a block, where the user has set it; with guided and adaptive, in the smallest.
    pub block: Option<u64>,
}

/// OpenMP's words, and one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleKind {
    /// Block i goes to worker i modulo the number of workers.
    Static,
    /// The next block goes to whoever is free.
    Dynamic,
    /// Dynamic, with blocks that become smaller towards the end.
    Guided,
    /// Dynamic, with blocks that grow until each takes some time, and become smaller towards the end.
    Adaptive,
}

impl Schedule {
    /// As typed.
    pub(crate) fn text(&self) -> Option<String> {
        let name = match self.kind? {
            ScheduleKind::Static => "static",
            ScheduleKind::Dynamic => "dynamic",
            ScheduleKind::Guided => "guided",
            ScheduleKind::Adaptive => "adaptive",
        };
        Some(self.block.map_or(name.to_owned(), |block| format!("{name},{block}")))
    }
}
