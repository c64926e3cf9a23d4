//! What is said of a launch that is not as it should be: the same words to a run and in `parpy doctor`.

use std::fmt;

/// What is wrong with the way in which parpy was started, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What was seen.
    pub what: String,
    /// What to do instead.
    pub remedy: String,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}. {}", self.what, self.remedy)
    }
}
