//! Random numbers of an item: they follow from the seed of the run and the number of the item alone, whoever works on it
//! and when.
//!
//! The stream of an item is that of numpy's `Generator(Philox(key=(seed, row)))`, so that expressions and Python functions
//! draw from the same one: Philox4x64-10 (Salmon, Moraes, Dror and Shaw, SC11) encrypts a counter, and so any number of a
//! stream is found without those before it. Nothing here holds a state.

use super::permutation::Permutation;

/// What the halves of a counter are multiplied with, and what the key grows by from round to round.
const MULTIPLIERS: [u64; 2] = [0xd2e7_470e_e14c_6c93, 0xca5a_8263_9512_1157];
const WEYL: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xbb67_ae85_84ca_a73b];

const ROUNDS: usize = 10;

/// Words that one counter comes to.
const WORDS: u64 = 4;

/// How many different seeds items may have.
const SEEDS: u64 = 1 << 31;

/// The random numbers of an item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stream {
    /// That of the run.
    pub seed: u64,
    /// The number of the item in all of the input, from 0.
    pub row: u64,
}

impl Stream {
    /// That of the item so many behind this one.
    pub fn of_next(self, rows: u64) -> Self {
        Self { row: self.row.wrapping_add(rows), ..self }
    }

    /// Word number `at` of the stream.
    fn word(self, at: u64) -> u64 {
        // Like numpy: the counter is counted up before it is encrypted.
        philox([at / WORDS + 1, 0, 0, 0], [self.seed, self.row])[(at % WORDS) as usize]
    }

    /// Number `at` of the stream as a float: k / 2^53 for a whole number k, from 0 to below 1.
    pub fn uniform(self, at: u64) -> f64 {
        unit(self.word(at))
    }

    /// A float with the standard normal distribution, of numbers `at` and `at` + 1 of the stream: Box and Muller's
    /// √(-2 ln(1 - u)) cos(2πv), whose functions are correctly rounded, so that it is the same on every machine. It lies
    /// between -8.58 and 8.58.
    pub fn normal(self, at: u64) -> f64 {
        let (u, v) = match at % WORDS {
            3 => (self.word(at), self.word(at + 1)),
            first => {
                let words = philox([at / WORDS + 1, 0, 0, 0], [self.seed, self.row]);
                (words[first as usize], words[first as usize + 1])
            }
        };
        // 1 - u is exact, and not 0.
        (-2.0 * core_math::log(1.0 - unit(u))).sqrt() * core_math::cospi(2.0 * unit(v))
    }
}

/// The upper 53 bits as a fraction.
fn unit(word: u64) -> f64 {
    (word >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// Philox4x64-10 of a counter.
fn philox(mut counter: [u64; 4], mut key: [u64; 2]) -> [u64; 4] {
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let [a, b] = [(counter[0], MULTIPLIERS[0]), (counter[2], MULTIPLIERS[1])]
            .map(|(x, y)| u128::from(x) * u128::from(y))
            .map(|product| ((product >> 64) as u64, product as u64));
        counter = [b.0 ^ counter[1] ^ key[0], b.1, a.0 ^ counter[3] ^ key[1], a.1];
    }
    counter
}

/// The seeds of the items of a run for programs that draw for themselves: whole numbers from 0 to below 2^31, which every
/// generator takes for a seed. Of the first 2^31 items no two have the same one, as two of some 50,000 would where seeds are
/// drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemSeeds(Permutation);

impl ItemSeeds {
    /// Those of a run with `seed`.
    pub fn new(seed: u64) -> Self {
        // Not what --sample chooses with that seed.
        Self(Permutation::new(SEEDS, philox([0; 4], [seed, 0])[0]))
    }

    /// That of item number `row`, counted from 0.
    pub fn get(&self, row: u64) -> u64 {
        self.0.get(row % SEEDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Of the authors' own list (Random123, `tests/kat_vectors`).
    #[test]
    fn known_answers() {
        const ALL: u64 = u64::MAX;
        for (counter, key, expected) in [
            (
                [0; 4],
                [0; 2],
                [0x16554d9eca36314c, 0xdb20fe9d672d0fdc, 0xd7e772cee186176b, 0x7e68b68aec7ba23b],
            ),
            (
                [ALL; 4],
                [ALL; 2],
                [0x87b092c3013fe90b, 0x438c3c67be8d0224, 0x9cc7d7c69cd777b6, 0xa09caebf594f0ba0],
            ),
            (
                [0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0, 0x082efa98ec4e6c89],
                [0x452821e638d01377, 0xbe5466cf34e90c6c],
                [0xa528f45403e61d95, 0x38c72dbd566e9788, 0xa5a1610e72fd18b5, 0x57bd43b5e52b7fe6],
            ),
        ] {
            assert_eq!(philox(counter, key), expected);
        }
    }

    #[test]
    fn a_normal_number_is_made_of_two_of_the_stream_wherever_they_stand() {
        let stream = Stream { seed: 5, row: 1 };
        for at in 0..20 {
            let (u, v) = (stream.uniform(at), stream.uniform(at + 1));
            let expected = (-2.0 * core_math::log(1.0 - u)).sqrt() * core_math::cospi(2.0 * v);
            assert_eq!(stream.normal(at).to_bits(), expected.to_bits());
        }
    }

    /// Numbers of neighbouring items, of neighbouring places and of neighbouring seeds.
    #[test]
    fn numbers_are_as_random_ones() {
        const N: u64 = 100_000;
        type Place = fn(u64) -> (Stream, u64);
        let streams: [(&str, Place); 3] = [
            ("rows", |i| (Stream { seed: 1, row: i }, 0)),
            ("places", |i| (Stream { seed: 1, row: 3 }, 2 * i)),
            ("seeds", |i| (Stream { seed: i, row: 0 }, 1)),
        ];
        for (what, of) in streams {
            let uniform: Vec<f64> = (0..N).map(of).map(|(stream, at)| stream.uniform(at)).collect();
            let normal: Vec<f64> = (0..N).map(of).map(|(stream, at)| stream.normal(at)).collect();
            let n = N as f64;
            let mean = |x: &[f64]| x.iter().sum::<f64>() / n;
            let moment = |x: &[f64], k: i32| x.iter().map(|x| x.powi(k)).sum::<f64>() / n;
            // Each within four of its standard deviations.
            let near = |name: &str, found: f64, expected: f64, variance: f64| {
                let deviations = (found - expected) / (variance / n).sqrt();
                assert!(deviations.abs() < 4.0, "{name} of {what}: {found}, {deviations} deviations");
            };
            near("mean", mean(&uniform), 0.5, 1.0 / 12.0);
            near("square", moment(&uniform, 2), 1.0 / 3.0, 4.0 / 45.0);
            near("mean", mean(&normal), 0.0, 1.0);
            near("square", moment(&normal, 2), 1.0, 2.0);
            near("third", moment(&normal, 3), 0.0, 15.0);
            near("fourth", moment(&normal, 4), 3.0, 96.0);
            let beside = |x: &[f64], mean: f64| {
                x.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>() / n
            };
            near("neighbours", beside(&uniform, 0.5), 0.0, 1.0 / 144.0);
            near("neighbours", beside(&normal, 0.0), 0.0, 1.0);
            // Pearson's: of 100 equal parts; the mean is 99 and the variance 198.
            let mut counts = [0u32; 100];
            uniform.iter().for_each(|x| counts[(x * 100.0) as usize] += 1);
            let square = |count: &u32| (f64::from(*count) - n / 100.0).powi(2) / (n / 100.0);
            let squares: f64 = counts.iter().map(square).sum();
            assert!((squares - 99.0).abs() < 4.0 * 198f64.sqrt(), "{what}: {squares}");
            let beyond_one = normal.iter().filter(|x| x.abs() > 1.0).count() as f64 / n;
            near("beyond one", beyond_one, 0.317_310_5, 0.317_310_5 * 0.682_689_5);
        }
    }

    #[test]
    fn no_two_items_have_the_same_seed() {
        let seeds = ItemSeeds::new(7);
        let mut found: HashSet<u64> = (0..100_000).map(|row| seeds.get(row)).collect();
        found.extend((SEEDS - 1000..SEEDS).map(|row| seeds.get(row)));
        assert_eq!(found.len(), 101_000);
        assert!(found.iter().all(|seed| *seed < SEEDS));
        let mean = found.iter().map(|seed| *seed as f64 / SEEDS as f64).sum::<f64>() / found.len() as f64;
        assert!((mean - 0.5).abs() < 0.004, "{mean}");
        // Another run has others, and an item beyond all seeds has one, too.
        let others = ItemSeeds::new(8);
        assert!((0..1000).filter(|row| found.contains(&others.get(*row))).count() < 5);
        assert_eq!(seeds.get(SEEDS + 3), seeds.get(3));
        assert!(seeds.get(u64::MAX) < SEEDS);
    }
}
