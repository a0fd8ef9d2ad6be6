//! Pictures become what the formula of FORMAT.md says, whole and row by row.

use staticnet::preprocess::{Fit, Picture, PictureError, PixelFormat, Preprocess, RowResizer, Source, row_memory_bytes};
use staticnet_testing::{Case, Random};

/// The formula as it is written down, dividing for every pixel.
mod formula {
    use super::*;

    pub struct Axis {
        source: u64,
        scaled: u64,
        crop: u64,
    }

    impl Axis {
        /// `(first source index, second source index, weight of the second in 1/256)`.
        pub fn at(&self, out: usize) -> (usize, usize, u32) {
            let (doubled, twice) = ((2 * (out as u64 + self.crop) + 1) * self.source, 2 * self.scaled);
            let centre = ((doubled / twice) << 16) + ((doubled % twice) << 16) / twice;
            let position = centre.saturating_sub(32768).min((self.source - 1) << 16);
            let first = (position >> 16) as usize;
            let second = (first + 1).min(self.source as usize - 1);
            (first, second, ((position >> 8) & 255) as u32)
        }
    }

    pub fn axes(p: &Preprocess, width: u32, height: u32) -> (Axis, Axis) {
        let (sw, sh) = (width as u64, height as u64);
        let (w, h) = (p.width as u64, p.height as u64);
        let (rw, rh) = match p.fit {
            Fit::Stretch => (w, h),
            Fit::Cover { shorter } => {
                let shorter = (shorter as u64).max(w).max(h);
                if sw <= sh { (shorter, (sh * shorter + sw / 2) / sw) } else { ((sw * shorter + sh / 2) / sh, shorter) }
            }
        };
        (Axis { source: sh, scaled: rh, crop: (rh - h) / 2 }, Axis { source: sw, scaled: rw, crop: (rw - w) / 2 })
    }

    pub fn resize(p: &Preprocess, picture: Picture) -> Vec<u8> {
        let (sw, sc) = (picture.width as usize, picture.channels as usize);
        let (ay, ax) = axes(p, picture.width, picture.height);
        let tap = |y: usize, x: usize, c: usize| -> u32 {
            let at = (y * sw + x) * sc;
            match (sc, p.channels) {
                (3, 1) => {
                    let p = &picture.pixels[at..at + 3];
                    (77 * p[0] as u32 + 150 * p[1] as u32 + 29 * p[2] as u32 + 128) >> 8
                }
                (1, _) => picture.pixels[at] as u32,
                _ => picture.pixels[at + c] as u32,
            }
        };
        let mut bytes = Vec::new();
        for oy in 0..p.height as usize {
            let (y0, y1, fy) = ay.at(oy);
            for ox in 0..p.width as usize {
                let (x0, x1, fx) = ax.at(ox);
                for c in 0..p.channels as usize {
                    let top = tap(y0, x0, c) * (256 - fx) + tap(y0, x1, c) * fx;
                    let bottom = tap(y1, x0, c) * (256 - fx) + tap(y1, x1, c) * fx;
                    bytes.push(((top * (256 - fy) + bottom * fy + 32768) >> 16) as u8);
                }
            }
        }
        bytes
    }
}

fn preprocess(size: [usize; 2], channels: u8, fit: Fit) -> Preprocess {
    Preprocess { width: size[0] as u16, height: size[1] as u16, channels, fit, mean: [0.5; 3], std: [0.25; 3] }
}

fn bytes(random: &mut Random, n: usize) -> Vec<u8> {
    (0..n).map(|_| random.bits() as u8).collect()
}

/// Row by row, the rows in order and each as soon as the source rows that it is made of are there.
fn by_rows(p: &Preprocess, source: Source, pixels: &[u8]) -> Vec<u8> {
    let mut resizer = RowResizer::new(p, source).unwrap();
    // What lies in the line before is of no account.
    let mut line = vec![0xaaaa; resizer.line_len()];
    let mut made = Vec::new();
    let (down, _) = formula::axes(p, source.width as u32, source.height as u32);
    for (y, row) in pixels.chunks_exact(source.row_bytes()).enumerate() {
        assert_eq!(resizer.given(), y);
        while let Some(oy) = resizer.next_row() {
            assert_eq!((oy, made.len()), (resizer.emitted(), oy * resizer.line_len()));
            let (first, second, weight) = down.at(oy);
            assert_eq!(if weight == 0 { first } else { second }, y);
            let emitted = resizer.emit(row, &line, |i, c, byte| {
                assert_eq!((i, c), (made.len() - oy * line.len(), i % p.channels as usize));
                made.push(byte);
            });
            assert_eq!(emitted, Ok(()));
        }
        assert_eq!(resizer.keep(row, &mut line), Ok(()));
    }
    assert_eq!(resizer.keep(&vec![0; source.row_bytes()], &mut line), Err(PictureError::Size));
    made
}

/// Compares all ways from a picture to bytes.
fn compare(p: &Preprocess, size: [usize; 2], channels: u8, pixels: &[u8]) {
    let picture = Picture { pixels, width: size[0] as u32, height: size[1] as u32, channels };
    let expected = formula::resize(p, picture);
    let mut whole = Vec::new();
    let resized = p.resize(picture, |i, c, byte| {
        assert_eq!((i, c), (whole.len(), i % p.channels as usize));
        whole.push(byte);
    });
    assert_eq!(resized, Ok(()));
    assert!(whole == expected, "{p:?} of {size:?} x {channels}");
    let rows = by_rows(p, picture.source().unwrap(), pixels);
    assert!(rows == expected, "{p:?} of {size:?} x {channels}, row by row");
}

#[test]
fn pictures_of_random_sizes() {
    for seed in 0..1500 {
        let _case = Case("pictures_of_random_sizes", seed);
        let random = &mut Random(seed);
        let mut sides = |hi: usize| [0; 2].map(|_| if random.one_in(8) { 1 } else { random.within(1, hi) });
        let (size, input) = if seed % 2 == 0 { (sides(60), sides(12)) } else { (sides(20), sides(50)) };
        let shorter = random.within(1, 70) as u16;
        let fit = if random.one_in(2) { Fit::Stretch } else { Fit::Cover { shorter } };
        let channels = random.pick(&[1, 3]);
        let p = preprocess(input, random.pick(&[1, 3]), fit);
        let pixels = bytes(random, size[0] * size[1] * channels as usize);
        compare(&p, size, channels, &pixels);
    }
}

#[test]
fn pictures_of_extreme_sizes() {
    let random = &mut Random(3);
    for (channels, of_network) in [(1, 1), (1, 3), (3, 1), (3, 3)] {
        for size in [[65535, 2], [2, 65535], [65535, 1], [1, 65535], [1, 1], [3, 700]] {
            let pixels = bytes(random, size[0] * size[1] * channels as usize);
            for input in [[1, 1], [7, 5], [224, 1], [1, 224], [65535, 1], [1, 65535]] {
                for fit in [Fit::Stretch, Fit::Cover { shorter: 9 }, Fit::Cover { shorter: 65535 }] {
                    compare(&preprocess(input, of_network, fit), size, channels, &pixels);
                }
            }
        }
    }
}

#[test]
fn extreme_values_stay_bytes() {
    for value in [0, 255] {
        for (channels, of_network) in [(1, 1), (3, 1), (3, 3)] {
            let p = preprocess([17, 19], of_network, Fit::Stretch);
            let pixels = vec![value; 11 * 13 * channels as usize];
            let picture = Picture { pixels: &pixels, width: 11, height: 13, channels };
            assert_eq!(p.resize(picture, |_, _, byte| assert_eq!(byte, value)), Ok(()));
            compare(&p, [11, 13], channels, &pixels);
        }
    }
}

#[test]
fn a_picture_of_the_input_size_passes_unchanged() {
    let random = &mut Random(4);
    let pixels = bytes(random, 9 * 7 * 3);
    for fit in [Fit::Stretch, Fit::Cover { shorter: 1 }] {
        let p = preprocess([9, 9], 3, fit);
        let square = bytes(random, 9 * 9 * 3);
        let source = Source { width: 9, height: 9, format: PixelFormat::Rgb888 };
        assert_eq!(by_rows(&p, source, &square), square);
    }
    let source = Source { width: 9, height: 7, format: PixelFormat::Rgb888 };
    assert_eq!(by_rows(&preprocess([9, 7], 3, Fit::Stretch), source, &pixels), pixels);
}

/// Every word of 16 bits, against the same pixels widened by hand.
#[test]
fn words_of_565_are_widened() {
    let words: Vec<u8> = (0..=65535u16).flat_map(u16::to_le_bytes).collect();
    let wide = |value: u16, bits: u16| (value << (8 - bits) | value >> (2 * bits - 8)) as u8;
    let widened: Vec<u8> = (0..=65535u16).flat_map(|w| [wide(w >> 11, 5), wide((w >> 5) & 63, 6), wide(w & 31, 5)]).collect();
    assert_eq!(widened[3 * 0xffff..], [255; 3]);
    for channels in [1, 3] {
        for (input, size) in [([256, 256], [256, 256]), ([31, 57], [512, 128])] {
            let p = preprocess(input, channels, Fit::Cover { shorter: 300 });
            let source = Source { width: size[0] as u16, height: size[1] as u16, format: PixelFormat::Rgb565 };
            let picture = Picture { pixels: &widened, width: size[0] as u32, height: size[1] as u32, channels: 3 };
            assert_eq!(by_rows(&p, source, &words), formula::resize(&p, picture));
        }
    }
}

/// Rows above and below the part that is cut out are not even kept.
#[test]
fn rows_that_no_output_needs_are_let_by() {
    let p = preprocess([4, 4], 1, Fit::Cover { shorter: 4 });
    let source = Source { width: 8, height: 80, format: PixelFormat::Grey };
    let mut resizer = RowResizer::new(&p, source).unwrap();
    let (mut made_at, mut kept_at) = (Vec::new(), Vec::new());
    let mut kept = [0; 4];
    for y in 0..80u8 {
        while resizer.next_row().is_some() {
            made_at.push(y);
            resizer.emit(&[y; 8], &kept, |_, _, _| ()).unwrap();
        }
        // More than a byte can become.
        let mut line = [u16::MAX; 4];
        resizer.keep(&[y; 8], &mut line).unwrap();
        if line != [u16::MAX; 4] {
            kept_at.push(y);
            kept = line;
        }
    }
    assert_eq!(kept_at, [36, 38, 40, 42]);
    assert_eq!((made_at, resizer.emitted(), resizer.given()), (vec![37, 39, 41, 43], 4, 80));
    assert_eq!(resizer.emit(&[0; 8], &kept, |_, _, _| panic!("no row is left")), Ok(()));
}

#[test]
fn what_does_not_fit_is_an_error() {
    let p = preprocess([4, 4], 3, Fit::Stretch);
    let grey = |width, height| Source { width, height, format: PixelFormat::Grey };
    assert_eq!(RowResizer::new(&p, grey(0, 2)), Err(PictureError::Size));
    assert_eq!(RowResizer::new(&p, grey(2, 0)), Err(PictureError::Size));
    assert_eq!(RowResizer::new(&preprocess([0, 4], 3, Fit::Stretch), grey(2, 2)), Err(PictureError::Size));
    assert_eq!(RowResizer::new(&preprocess([4, 0], 3, Fit::Stretch), grey(2, 2)), Err(PictureError::Size));
    assert_eq!(RowResizer::new(&preprocess([4, 4], 2, Fit::Stretch), grey(2, 2)), Err(PictureError::Channels));
    let mut resizer = RowResizer::new(&p, grey(2, 2)).unwrap();
    let before = resizer;
    assert_eq!(resizer.emit(&[0; 3], &[0; 12], |_, _, _| ()), Err(PictureError::Length));
    assert_eq!(resizer.emit(&[0; 2], &[0; 11], |_, _, _| ()), Err(PictureError::Line));
    assert_eq!(resizer.emit_between(&[], &[0; 1], |_, _, _| ()), Err(PictureError::Length));
    assert_eq!(resizer.keep(&[0; 1], &mut [0; 12]), Err(PictureError::Length));
    assert_eq!(resizer.keep(&[0; 2], &mut [0; 11]), Err(PictureError::Line));
    assert_eq!(resizer, before);
    let picture = |n: usize, width, height, channels| Picture { pixels: &[0; 60][..n], width, height, channels };
    for (picture, error) in [
        (picture(0, 0, 4, 1), PictureError::Size),
        (picture(0, 4, 0, 1), PictureError::Size),
        (picture(4, 65536, 1, 1), PictureError::Size),
        (picture(4, 1, 65536, 1), PictureError::Size),
        (picture(8, 2, 2, 2), PictureError::Channels),
        (picture(5, 2, 2, 1), PictureError::Length),
        (picture(0, 65535, 65535, 3), PictureError::Length),
    ] {
        assert_eq!(p.resize(picture, |_, _, _| panic!("no picture")), Err(error));
    }
    assert_eq!(p.to_f32(picture(12, 2, 2, 3), &mut [0.0; 47]), Err(PictureError::Destination));
}

#[test]
fn row_memory_is_a_line_and_tables() {
    assert_eq!(row_memory_bytes(224, 3, true), 1344 + 768);
    assert_eq!(row_memory_bytes(1, 1, false), 16);
    assert_eq!(row_memory_bytes(8, 1, true), 16 + 256);
    assert_eq!(row_memory_bytes(9, 1, true), 32 + 256);
    // Numbers that no network has do not come out small.
    assert!(row_memory_bytes(u32::MAX, u32::MAX, true) > 1 << 63);
}

#[test]
fn formats_have_their_numbers() {
    for format in [PixelFormat::Rgb888, PixelFormat::Rgb565, PixelFormat::Grey] {
        assert_eq!(PixelFormat::from_code(format as u8), Some(format));
    }
    assert_eq!(PixelFormat::from_code(3), None);
    assert!(size_of::<RowResizer>() <= 80);
}
