//! Permutations of the numbers 0..n that follow from a seed, and in which any number is found without the others.
//!
//! A Feistel network over as many bits as the numbers have, walked again where it leads beyond the last (Black and Rogaway,
//! CT-RSA 2002).

/// Rounds of the network: four make a permutation that nothing tells from a random one, the others are for small ones.
const ROUNDS: usize = 10;

/// The fraction of the golden ratio, as SplitMix64 has it.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A permutation of 0..n.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permutation {
    n: u64,
    /// Bits of half a number.
    half: u32,
    keys: [u64; ROUNDS],
}

/// SplitMix64's finalizer (Steele, Lea and Flood, OOPSLA 2014).
pub fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Permutation {
    /// Of 0..`n`, where n is not 0.
    pub fn new(n: u64, seed: u64) -> Self {
        let bits = (u64::BITS - (n - 1).leading_zeros()).max(2);
        let seed = mixed(seed.wrapping_add(GOLDEN));
        let key = |round: usize| mixed(seed.wrapping_add((round as u64).wrapping_mul(GOLDEN)));
        Self { n, half: bits.div_ceil(2), keys: std::array::from_fn(key) }
    }

    /// A word that follows from the seed.
    pub fn key(&self) -> u64 {
        self.keys[0]
    }

    /// Where number `at` goes.
    pub fn get(&self, mut at: u64) -> u64 {
        let mask = (1u64 << self.half) - 1;
        loop {
            let (mut left, mut right) = (at >> self.half, at & mask);
            for key in self.keys {
                (left, right) = (right, left ^ (mixed(right ^ key) & mask));
            }
            at = left << self.half | right;
            if at < self.n {
                return at;
            }
        }
    }
}
