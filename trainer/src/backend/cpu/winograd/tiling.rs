//! Planes cut into tiles, and the way from there to the points and back.

use super::super::super::ConvShape;
use super::super::super::raw::simd::Loop;
use super::super::pointwise::at_least;
use super::transforms::{IN, LANES, Lane, OUT, Transform, both_axes};
use super::{GAP, full_lane, tiles};

/// Interleaved planes cut into tiles.
pub(super) struct Tiling {
    /// Height and width of a plane.
    pub(super) plane: [usize; 2],
    /// Tiles of a plane: rows, columns.
    pub(super) tiles: [usize; 2],
    /// How far up and left of the plane the first tile begins.
    pub(super) pads: [usize; 2],
    /// Pictures.
    pub(super) pictures: usize,
}

impl Tiling {
    pub(super) fn of_input(shape: &ConvShape, pictures: usize) -> Self {
        let pads = [shape.window.pads[0] as usize, shape.window.pads[1] as usize];
        Tiling { plane: [shape.input[1], shape.input[2]], tiles: tiles(shape), pads, pictures }
    }

    pub(super) fn of_output(shape: &ConvShape, pictures: usize) -> Self {
        Tiling { plane: [shape.output[1], shape.output[2]], tiles: tiles(shape), pads: [0, 0], pictures }
    }

    /// Columns of the matrix products.
    pub(super) fn columns(&self) -> usize {
        self.tiles[0] * self.tiles[1] * self.pictures
    }

    /// Number of places: tiles x lanes of pictures.
    fn places(&self) -> usize {
        self.columns() / LANES
    }

    #[inline(always)]
    fn place(&self, number: usize) -> Place {
        let lanes = self.pictures / LANES;
        let tile = number / lanes;
        let (tile_y, tile_x, picture) = (tile / self.tiles[1], tile % self.tiles[1], number % lanes * LANES);
        Place { top: tile_y * OUT, left: tile_x * OUT, picture, column: number * LANES }
    }

    /// Where pixel `(y, x)` of a tile stands in its plane of `[H, W, NB]`, if inside.
    #[inline(always)]
    fn pixel(&self, place: &Place, y: usize, x: usize) -> Option<usize> {
        let y = (place.top + y).checked_sub(self.pads[0]).filter(|y| *y < self.plane[0])?;
        let x = (place.left + x).checked_sub(self.pads[1]).filter(|x| *x < self.plane[1])?;
        Some((y * self.plane[1] + x) * self.pictures + place.picture)
    }

    /// The tile; pixels outside are 0.
    #[inline(always)]
    fn read<const SIDE: usize>(&self, place: &Place, plane: &[f32], tile: &mut [[Lane; SIDE]; SIDE]) {
        for (y, row) in tile.iter_mut().enumerate() {
            for (x, lane) in row.iter_mut().enumerate() {
                *lane = match self.pixel(place, y, x) {
                    Some(at) => full_lane(plane, at),
                    None => [0.0; LANES],
                };
            }
        }
    }
}

/// A tile and some pictures.
struct Place {
    top: usize,
    left: usize,
    picture: usize,
    /// The first column of the matrix products it stands in.
    column: usize,
}

/// Planes `[C, H, W, NB]` to points `[36, C, columns]` with gaps, tiles of `SIDE` pixels by way of `T`.
pub(super) struct ToPoints<'a, T, const SIDE: usize> {
    pub(super) tiling: &'a Tiling,
    pub(super) planes: &'a [f32],
    pub(super) points: &'a mut [f32],
    pub(super) transform: T,
}

impl<T: Transform<SIDE, IN>, const SIDE: usize> Loop for ToPoints<'_, T, SIDE> {
    #[inline(always)]
    fn run(self) {
        let ToPoints { tiling, planes, points, transform } = self;
        let plane_len = tiling.plane[0] * tiling.plane[1] * tiling.pictures;
        let columns = tiling.columns();
        let stride = planes.len() / plane_len * columns + GAP;
        for (c, plane) in planes.chunks_exact(plane_len).enumerate() {
            for number in 0..tiling.places() {
                let place = tiling.place(number);
                let mut tile = [[[0.0; LANES]; SIDE]; SIDE];
                tiling.read(&place, plane, &mut tile);
                let mut result = [[[0.0; LANES]; IN]; IN];
                both_axes(&tile, &mut result, transform);
                for (point, lane) in result.as_flattened().iter().enumerate() {
                    points[point * stride + c * columns + place.column..][..LANES].copy_from_slice(lane);
                }
            }
        }
    }
}

/// What becomes of the pixels that come out of points.
#[derive(Clone, Copy)]
pub(super) enum Finish<'a> {
    /// The bias of each channel is added, and what is below the floor raised to it.
    Activate { bias: &'a [f32], floor: f32 },
    /// They are added to what is there.
    Add,
}

/// Points `[36, C, columns]` with gaps to planes `[C, H, W, NB]`.
pub(super) struct FromPoints<'a, T, const SIDE: usize> {
    pub(super) tiling: &'a Tiling,
    pub(super) points: &'a [f32],
    pub(super) planes: &'a mut [f32],
    pub(super) finish: Finish<'a>,
    pub(super) transform: T,
}

impl<T: Transform<IN, SIDE>, const SIDE: usize> Loop for FromPoints<'_, T, SIDE> {
    #[inline(always)]
    fn run(self) {
        let FromPoints { tiling, points, planes, finish, transform } = self;
        let plane_len = tiling.plane[0] * tiling.plane[1] * tiling.pictures;
        let columns = tiling.columns();
        let stride = planes.len() / plane_len * columns + GAP;
        for (c, plane) in planes.chunks_exact_mut(plane_len).enumerate() {
            for number in 0..tiling.places() {
                let place = tiling.place(number);
                let mut tile = [[[0.0; LANES]; IN]; IN];
                for (point, lane) in tile.as_flattened_mut().iter_mut().enumerate() {
                    *lane = full_lane(points, point * stride + c * columns + place.column);
                }
                let mut result = [[[0.0; LANES]; SIDE]; SIDE];
                both_axes(&tile, &mut result, transform);
                for (y, row) in result.iter().enumerate() {
                    for (x, lane) in row.iter().enumerate() {
                        let Some(at) = tiling.pixel(&place, y, x) else { continue };
                        let pixels = &mut plane[at..at + LANES];
                        match finish {
                            Finish::Activate { bias, floor } => {
                                for (pixel, v) in pixels.iter_mut().zip(lane) {
                                    *pixel = at_least(floor, v + bias[c]);
                                }
                            }
                            Finish::Add => pixels.iter_mut().zip(lane).for_each(|(pixel, v)| *pixel += v),
                        }
                    }
                }
            }
        }
    }
}
