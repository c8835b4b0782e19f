//! QR codes, drawn in a terminal or as a PNG image.

use anyhow::Context as _;
use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

/// A QR code with the light border that scanners need.
pub(super) struct Qr {
    width: usize,
    dark: Vec<bool>,
}

impl Qr {
    /// The code of a text.
    pub(super) fn new(text: &str) -> anyhow::Result<Self> {
        // What is on a screen is not smudged: the lowest level keeps it small.
        let code = QrCode::with_error_correction_level(text, EcLevel::L).context("cannot draw a QR code of it")?;
        let width = code.width();
        Ok(Self { width, dark: code.into_colors().into_iter().map(|color| color == Color::Dark).collect() })
    }

    /// Two modules a character, black on white whatever the terminal's own colours are.
    pub(super) fn terminal(&self) -> Zeroizing<String> {
        // Up to three bytes a character, and room for the colours, so that the buffer never grows.
        let mut text = Zeroizing::new(String::with_capacity(self.side() * (self.side() * 3 + 64)));
        for row in (0..self.side()).step_by(2) {
            text.push_str(BLACK_ON_WHITE);
            for column in 0..self.side() {
                text.push(match (self.is_dark(column, row), self.is_dark(column, row + 1)) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                });
            }
            text.push_str(OWN_COLOURS);
            text.push('\n');
        }
        text
    }

    /// A PNG image of one bit a pixel.
    pub(super) fn png(&self) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        let side = u32::try_from(self.side() * PIXELS)?;
        let mut file = Zeroizing::new(Vec::new());
        let mut encoder = png::Encoder::new(&mut *file, side, side);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        let mut writer = encoder.write_header().context("cannot make a PNG image")?;
        let mut pixels = Zeroizing::new(Vec::with_capacity(self.side() * self.side() * PIXELS));
        for row in 0..self.side() * PIXELS {
            // Eight pixels a module are one byte.
            pixels.extend((0..self.side()).map(|column| if self.is_dark(column, row / PIXELS) { 0x00 } else { 0xff }));
        }
        writer.write_image_data(&pixels).and_then(|()| writer.finish()).context("cannot make a PNG image")?;
        Ok(file)
    }

    /// Modules on each side, the border included.
    fn side(&self) -> usize {
        self.width + 2 * BORDER
    }

    fn is_dark(&self, column: usize, row: usize) -> bool {
        let inside = |at: usize| at.checked_sub(BORDER).filter(|at| *at < self.width);
        let place = inside(column).zip(inside(row)).map(|(column, row)| row * self.width + column);
        place.and_then(|place| self.dark.get(place)).is_some_and(|dark| *dark)
    }
}

/// Light modules around the code, as the standard asks for.
const BORDER: usize = 4;

/// Pixels of a module.
const PIXELS: usize = 8;

/// Of the 256 colours, which themes leave alone.
const BLACK_ON_WHITE: &str = "\u{1b}[38;5;16;48;5;231m";
const OWN_COLOURS: &str = "\u{1b}[0m";

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str =
        "otpauth://totp/ana@local@controller.example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Portcullis";

    /// What a scanner reads in an image.
    fn scan(width: usize, height: usize, is_dark: impl Fn(usize, usize) -> bool) -> String {
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| if is_dark(x, y) { 0 } else { 255 });
        let grids = image.detect_grids();
        grids[0].decode().unwrap().1
    }

    #[test]
    fn a_scanner_reads_the_terminal() {
        for text in [URI.to_owned(), format!("{URI}{}", "x".repeat(300))] {
            let drawn = Qr::new(&text).unwrap().terminal();
            let lines: Vec<Vec<char>> = drawn
                .lines()
                .map(|line| {
                    let line = line.strip_prefix(BLACK_ON_WHITE).and_then(|line| line.strip_suffix(OWN_COLOURS));
                    line.expect("every line is black on white").chars().collect()
                })
                .collect();
            let is_dark = |x: usize, y: usize| match lines[y / 2][x] {
                '█' => true,
                '▀' => y.is_multiple_of(2),
                '▄' => !y.is_multiple_of(2),
                _ => false,
            };
            let scale = 4;
            let (width, height) = (lines[0].len() * scale, lines.len() * 2 * scale);
            assert_eq!(scan(width, height, |x, y| is_dark(x / scale, y / scale)), text);
        }
    }

    #[test]
    fn a_scanner_reads_the_image() {
        let file = Qr::new(URI).unwrap().png().unwrap();
        let mut decoder = png::Decoder::new(std::io::Cursor::new(file.as_slice()));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        let width = frame.width as usize;
        assert_eq!(scan(width, frame.height as usize, |x, y| pixels[y * width + x] == 0), URI);
    }
}
