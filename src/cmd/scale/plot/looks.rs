//! How the curves of a picture look, so that they can be told apart in black and white.

use plotters::style::RGBColor;

use super::Place;

/// How a curve looks: dark colours of distinct lightness, a marker and dashes of its own.
pub struct Look {
    /// Its colour.
    pub colour: RGBColor,
    /// Its marker.
    pub shape: Shape,
    /// Lengths of dashes and gaps in turn, in units; none for a solid line.
    pub dashes: &'static [f64],
}

/// A marker.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
    Cross,
    Wedge,
    Plus,
}

/// Neighbours differ most; after the last it begins anew.
pub const LOOKS: [Look; 7] = [
    Look { colour: RGBColor(0, 0, 0), shape: Shape::Circle, dashes: &[] },
    Look { colour: RGBColor(205, 95, 5), shape: Shape::Square, dashes: &[] },
    Look { colour: RGBColor(0, 66, 142), shape: Shape::Triangle, dashes: &[11.0, 4.0] },
    Look { colour: RGBColor(30, 140, 60), shape: Shape::Diamond, dashes: &[5.0, 3.0] },
    Look { colour: RGBColor(60, 0, 100), shape: Shape::Cross, dashes: &[13.0, 4.0, 3.0, 4.0] },
    Look { colour: RGBColor(180, 25, 38), shape: Shape::Wedge, dashes: &[18.0, 5.0] },
    Look { colour: RGBColor(30, 178, 190), shape: Shape::Plus, dashes: &[8.0, 3.0, 3.0, 3.0, 3.0, 3.0] },
];

impl Shape {
    /// The corners about the middle; none for a circle.
    pub fn corners(self, radius: f64) -> Vec<Place> {
        let r = radius;
        // Half a bar's length, and half its thickness.
        let (long, thick) = (r * 1.2, r * 0.38);
        let plus = [
            (-thick, -long),
            (thick, -long),
            (thick, -thick),
            (long, -thick),
            (long, thick),
            (thick, thick),
            (thick, long),
            (-thick, long),
            (-thick, thick),
            (-long, thick),
            (-long, -thick),
            (-thick, -thick),
        ];
        match self {
            Self::Circle => vec![],
            Self::Square => {
                let half = r * 0.9;
                vec![(-half, -half), (half, -half), (half, half), (-half, half)]
            }
            Self::Triangle => vec![(0.0, -1.25 * r), (1.15 * r, 0.8 * r), (-1.15 * r, 0.8 * r)],
            Self::Wedge => vec![(0.0, 1.25 * r), (1.15 * r, -0.8 * r), (-1.15 * r, -0.8 * r)],
            Self::Diamond => vec![(0.0, -1.3 * r), (1.3 * r, 0.0), (0.0, 1.3 * r), (-1.3 * r, 0.0)],
            Self::Plus => plus.to_vec(),
            Self::Cross => {
                let turn = std::f64::consts::FRAC_1_SQRT_2;
                plus.iter().map(|(x, y)| ((x - y) * turn, (x + y) * turn)).collect()
            }
        }
    }
}
