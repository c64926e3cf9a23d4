//! How the datasets of an HDF5 file are compressed.

use crate::base::error::{Error, Result};

/// How the datasets of an HDF5 file are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compress {
    /// Deflate of that level: every HDF5 reads it.
    Gzip(u8),
    /// Of h5py.
    Lzf,
    /// For readers with the Blosc plugin.
    Blosc(Blosc),
}

/// What Blosc compresses with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Blosc {
    Zstd,
    Lz4,
    Zlib,
}

impl Compress {
    /// By the names that `--compress` knows.
    const NAMES: [(&'static str, Self); 6] = [
        ("gzip", Self::Gzip(4)),
        ("lzf", Self::Lzf),
        ("blosc", Self::Blosc(Blosc::Zstd)),
        ("blosc:zstd", Self::Blosc(Blosc::Zstd)),
        ("blosc:lz4", Self::Blosc(Blosc::Lz4)),
        ("blosc:zlib", Self::Blosc(Blosc::Zlib)),
    ];

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let level = text.strip_prefix("gzip:").and_then(|level| level.parse().ok());
        if let Some(level) = level.filter(|level| (1..=9).contains(level)) {
            return Ok(Self::Gzip(level));
        }
        let known = Self::NAMES.iter().find(|(name, _)| *name == text);
        known.map(|(_, compress)| *compress).ok_or_else(|| {
            Error::Usage(format!(
                "--compress {text}: there are gzip, gzip:1 to gzip:9, {}",
                Self::NAMES[1..].iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
            ))
        })
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Gzip(level) => format!("gzip:{level}"),
            other => {
                // The last of them is the longest.
                let name = Self::NAMES.iter().rev().find(|(_, compress)| *compress == other);
                name.map_or("gzip", |(name, _)| name).to_owned()
            }
        }
    }
}
