//! Pixels to draw on, for PNG. What is drawn, and where, is known to [`super`] alone.

use std::convert::Infallible;

use plotters::style::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendTextStyle, DrawingBackend, DrawingErrorKind};

/// Appends the means of squares of `by` times `by` pixels, each of three bytes: plotters draws only thin
/// lines with soft edges.
pub fn shrink(fine: &[u8], width: usize, by: usize, pixels: &mut Vec<u8>) {
    for band in fine.chunks_exact(width * by * 3) {
        for x in 0..width / by {
            for colour in 0..3 {
                let square = (0..by * by).map(|i| band[((i / by) * width + x * by + i % by) * 3 + colour]);
                pixels.push((square.map(usize::from).sum::<usize>() / (by * by)) as u8);
            }
        }
    }
}

type Pixelled = std::result::Result<(), DrawingErrorKind<Infallible>>;

/// Pixels of three bytes each, line by line, to draw on. The library has such a thing as well, which sets
/// letters an eighth of a line too high with this kind of font, and would bring an encoder of its own.
pub struct Pixels<'a> {
    /// All lines, one after the other.
    pub bytes: &'a mut [u8],
    /// Width and height.
    pub size: (u32, u32),
}

impl DrawingBackend for Pixels<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Pixelled {
        Ok(())
    }

    fn present(&mut self) -> Pixelled {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, colour: BackendColor) -> Pixelled {
        let (width, height) = self.size;
        if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
            && x < width
            && y < height
        {
            let at = (y as usize * width as usize + x as usize) * 3;
            let (red, green, blue) = colour.rgb;
            for (old, new) in self.bytes[at..at + 3].iter_mut().zip([red, green, blue]) {
                *old = (f64::from(*old) * (1.0 - colour.alpha) + f64::from(new) * colour.alpha).round() as u8;
            }
        }
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, (x, y): BackendCoord) -> Pixelled {
        let failed = |error: S::FontError| DrawingErrorKind::FontError(Box::new(error));
        let ((start, _), (end, _)) = style.layout_box(text).map_err(failed)?;
        let across = match style.anchor().h_pos {
            HPos::Left => 0,
            HPos::Center => (start - end) / 2,
            HPos::Right => start - end,
        };
        // The font's own origin is half a line above the letters' feet, which stand where SVG has them.
        let feet = match style.anchor().v_pos {
            VPos::Top => 0.61,
            VPos::Center => 0.22,
            VPos::Bottom => -0.22,
        };
        let down = ((feet - 0.5) * style.size()).round() as i32;
        let turn = style.transform();
        let drawn = style.draw(text, (0, 0), |dx, dy, colour| {
            let (dx, dy) = turn.transform(across + dx, down + dy);
            self.draw_pixel((x + dx, y + dy), colour)
        });
        drawn.map_err(failed)?
    }
}
