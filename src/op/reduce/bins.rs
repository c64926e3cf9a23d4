//! How many values lie in each of some bins of one width, as numpy counts them: each bin without its upper edge, but
//! for the last, which has it. What lies outside is not counted.

/// The bins.
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    /// Edges of the bins, one more than there are of these, ascending.
    edges: Vec<f64>,
}

/// The most bins.
pub const MOST: usize = 65_536;

impl Bins {
    /// `count` bins from `low` to `high`: finite, and the greater one.
    pub fn new(count: usize, low: f64, high: f64) -> Self {
        let step = (high - low) / count as f64;
        // As `numpy.linspace`.
        let edges = (0..count).map(|i| i as f64 * step + low).chain([high]);
        Self { edges: edges.collect() }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.edges.len() - 1
    }

    /// The edges of bin `i`.
    pub fn edges(&self, i: usize) -> (f64, f64) {
        (self.edges[i], self.edges[i + 1])
    }

    /// The bin of a value, where it is in one.
    pub fn bin(&self, value: f64) -> Option<usize> {
        let (count, low, high) = (self.count(), self.edges[0], self.edges[self.count()]);
        // A NaN is in none.
        if !(low..=high).contains(&value) {
            return None;
        }
        let mut bin = (((value - low) / (high - low) * count as f64) as usize).min(count - 1);
        // What rounding has put beside its bin.
        while bin > 0 && value < self.edges[bin] {
            bin -= 1;
        }
        while bin < count - 1 && value >= self.edges[bin + 1] {
            bin += 1;
        }
        Some(bin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_lie_between_the_edges_of_their_bins(
            count in 1usize..50, low in -1e3f64..1e3, width in 1e-6f64..1e4, values in prop::collection::vec(0f64..=1.0, 0..50),
        ) {
            let bins = Bins::new(count, low, low + width);
            for value in values.iter().map(|part| low + part * width).chain((0..count).map(|i| bins.edges(i).0)) {
                let Some(bin) = bins.bin(value) else {
                    prop_assert!(value > low + width);
                    continue;
                };
                let (from, to) = bins.edges(bin);
                prop_assert!(from <= value && (value < to || bin == count - 1 && value <= to), "{} in {}..{}", value, from, to);
            }
        }
    }

    #[test]
    fn ends_and_what_is_outside() {
        let bins = Bins::new(4, 0.0, 1.0);
        let found: Vec<Option<usize>> = [0.0, -0.0, 0.25, 0.999, 1.0, 1.1, -0.1, f64::NAN, f64::INFINITY]
            .iter()
            .map(|x| bins.bin(*x))
            .collect();
        assert_eq!(found, [Some(0), Some(0), Some(1), Some(3), Some(3), None, None, None, None]);
    }
}
