//! What the numbers inside a network are like while it learns: weights, gradients and outputs, layer by layer.
//!
//! monitor.csv has a line for each of them, as in
//! `step,layer,what,n,mean,std,min,max,norm,nan,infinite,bad`.

use crate::lines::Lines;
use crate::text::{aligned, csv_field};
use serde::{Deserialize, Serialize};
use staticnet_graph::file::FileError;
use std::fmt;
use std::path::Path;

/// How often to look.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct MonitorOptions {
    /// Steps between two looks at the weights, gradients and outputs of every layer, into monitor.csv; 0 for none.
    #[arg(long, value_name = "STEPS", default_value_t = MonitorOptions::default().monitor)]
    pub monitor: u64,
}

impl MonitorOptions {
    /// Whether to look after `step` steps.
    pub fn is_due(&self, step: u64) -> bool {
        self.monitor > 0 && step.is_multiple_of(self.monitor)
    }
}

/// What a slice of numbers is like. Mean, deviation, ends and norm are those of its finite numbers, and NaN where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Numbers, finite or not.
    pub n: usize,
    /// Mean.
    pub mean: f64,
    /// Standard deviation: the root of the mean squared distance from the mean.
    pub std: f64,
    /// Smallest.
    pub min: f32,
    /// Largest.
    pub max: f32,
    /// Root of the sum of squares.
    pub norm: f64,
    /// So many are not a number.
    pub nan: usize,
    /// So many are infinite.
    pub infinite: usize,
    /// Where the first of both is.
    pub bad: Option<usize>,
}

/// Numbers summed side by side, so that the processor adds several at once.
const LANES: usize = 8;
/// Numbers looked at at once for one that is not finite.
const BLOCK: usize = 64 * LANES;

/// Sums over finite numbers. Distances are from a number of the slice, so that their squares keep the digits of the deviation
/// where that is small beside the mean.
struct Sums {
    origin: f64,
    distances: [f64; LANES],
    squared_distances: [f64; LANES],
    squares: [f64; LANES],
    min: [f32; LANES],
    max: [f32; LANES],
    n: usize,
}

impl Sums {
    fn new(origin: f32) -> Self {
        let zero = [0.0; LANES];
        let (min, max) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        Sums { origin: origin.into(), distances: zero, squared_distances: zero, squares: zero, min, max, n: 0 }
    }

    /// Adds up to [`LANES`] finite numbers.
    #[inline]
    fn add(&mut self, values: &[f32]) {
        for (lane, value) in values.iter().enumerate() {
            let (x, distance) = (f64::from(*value), f64::from(*value) - self.origin);
            self.distances[lane] += distance;
            self.squared_distances[lane] += distance * distance;
            self.squares[lane] += x * x;
            self.min[lane] = if *value < self.min[lane] { *value } else { self.min[lane] };
            self.max[lane] = if *value > self.max[lane] { *value } else { self.max[lane] };
        }
        self.n += values.len();
    }
}

impl Statistics {
    /// Looks at every number once.
    pub fn of(values: &[f32]) -> Self {
        let finite = |value: &&f32| value.is_finite();
        let mut sums = Sums::new(values.iter().copied().find(|value| value.is_finite()).unwrap_or(0.0));
        let (mut nan, mut infinite, mut bad) = (0, 0, None);
        for (block, values) in values.chunks(BLOCK).enumerate() {
            if values.iter().all(|value| value.is_finite()) {
                let (whole, rest) = values.as_chunks::<LANES>();
                whole.iter().for_each(|values| sums.add(values));
                sums.add(rest);
                continue;
            }
            nan += values.iter().filter(|value| value.is_nan()).count();
            infinite += values.iter().filter(|value| value.is_infinite()).count();
            bad = bad.or(values.iter().position(|value| !value.is_finite()).map(|i| block * BLOCK + i));
            values.iter().filter(finite).for_each(|value| sums.add(&[*value]));
        }
        let total = |lanes: [f64; LANES]| lanes.iter().sum::<f64>();
        let n = sums.n as f64;
        let distance = total(sums.distances) / n;
        let variance = (total(sums.squared_distances) / n - distance * distance).max(0.0);
        let nothing = sums.n == 0;
        let end = |end: f32| if nothing { f32::NAN } else { end };
        Statistics {
            n: values.len(),
            mean: sums.origin + distance,
            std: if nothing { f64::NAN } else { variance.sqrt() },
            min: end(sums.min.into_iter().fold(f32::INFINITY, f32::min)),
            max: end(sums.max.into_iter().fold(f32::NEG_INFINITY, f32::max)),
            norm: if nothing { f64::NAN } else { total(sums.squares).sqrt() },
            nan,
            infinite,
            bad,
        }
    }
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A parameter.
    Weight,
    /// The loss's derivatives with respect to a parameter.
    Gradient,
    /// What a layer says of a batch.
    Output,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            What::Weight => "weight",
            What::Gradient => "gradient",
            What::Output => "output",
        })
    }
}

/// One look at one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Optimiser steps done.
    pub step: u64,
    /// Name of the parameter or layer.
    pub layer: String,
    /// What was looked at.
    pub what: What,
    /// What it is like.
    pub statistics: Statistics,
}

impl Row {
    /// Looks at `values`.
    pub fn of(step: u64, layer: &str, what: What, values: &[f32]) -> Self {
        Row { step, layer: layer.into(), what, statistics: Statistics::of(values) }
    }
}

const HEADER: [&str; 12] = ["step", "layer", "what", "n", "mean", "std", "min", "max", "norm", "nan", "infinite", "bad"];

/// monitor.csv.
#[derive(Debug)]
pub struct MonitorFile {
    lines: Lines,
}

impl MonitorFile {
    /// Opens the file. Of what is in it already, lines of more than `resumed` steps are cut; all where a training begins.
    ///
    /// # Errors
    /// [`FileError`] naming the file.
    pub fn open(path: &Path, resumed: Option<u64>) -> Result<Self, FileError> {
        let header = HEADER.join(",");
        let mut lines = Lines::open(path, |line| {
            let step = line.split_once(',').and_then(|(step, _)| step.parse::<u64>().ok());
            resumed.is_some_and(|resumed| line == header || step.is_some_and(|step| step <= resumed))
        })?;
        if lines.is_empty()? {
            lines.add(&format!("{header}\n"))?;
        }
        Ok(MonitorFile { lines })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// [`FileError`] naming the file.
    pub fn add(&mut self, rows: &[Row]) -> Result<(), FileError> {
        let line = |Row { step, layer, what, statistics: s }: &Row| {
            let Statistics { n, mean, std, min, max, norm, nan, infinite, bad } = s;
            let bad = bad.map(|bad| bad.to_string()).unwrap_or_default();
            let layer = csv_field(layer);
            format!("{step},{layer},{what},{n},{mean:e},{std:e},{min:e},{max:e},{norm:e},{nan},{infinite},{bad}\n")
        };
        self.lines.add(&rows.iter().map(line).collect::<String>())
    }
}

/// Rows as a table for the screen: a header, and a line for each.
pub fn table(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let s = &row.statistics;
        let number = |number: f64| format!("{number:.3e}");
        let numbers = [s.mean, s.std, s.min.into(), s.max.into(), s.norm].map(number);
        let bad = match s.bad {
            Some(first) => format!("{} bad, first at {first}", s.nan + s.infinite),
            None => String::new(),
        };
        let head = [row.layer.clone(), row.what.to_string(), s.n.to_string()];
        head.into_iter().chain(numbers).chain([bad]).collect()
    };
    let header = HEADER[1..9].iter().map(|name| name.to_string()).collect();
    aligned(&std::iter::once(header).chain(rows.iter().map(line)).collect::<Vec<Vec<String>>>(), 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::KeyedRng;
    use std::fs;

    #[test]
    fn statistics_by_hand() {
        let s = Statistics::of(&[1.0, -2.0, 3.0, 6.0]);
        assert_eq!((s.n, s.mean, s.min, s.max), (4, 2.0, -2.0, 6.0));
        assert!((s.std - (34.0_f64 / 4.0).sqrt()).abs() < 1e-12 && (s.norm - 50.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!((s.nan, s.infinite, s.bad), (0, 0, None));
    }

    #[test]
    fn what_is_not_finite_is_counted() {
        let mut values = vec![1.0; 3000];
        values[1000] = f32::INFINITY;
        values[1001] = f32::NAN;
        values[2500] = f32::NEG_INFINITY;
        values[2501] = 4.0;
        let s = Statistics::of(&values);
        assert_eq!((s.n, s.nan, s.infinite, s.bad), (3000, 1, 2, Some(1000)));
        assert_eq!((s.min, s.max, s.norm), (1.0, 4.0, (2996.0_f64 + 16.0).sqrt()));
        for values in [&[][..], &[f32::NAN]] {
            let s = Statistics::of(values);
            assert!(s.mean.is_nan() && s.std.is_nan() && s.min.is_nan() && s.max.is_nan() && s.norm.is_nan());
            assert_eq!(s.nan, values.len());
        }
    }

    /// Two passes in order are the definition; a small deviation far from 0 is where one pass could fail.
    #[test]
    fn one_pass_is_as_good_as_two() {
        for (n, centre) in [(1, 0.0), (7, 0.5), (513, -3.0), (10_000, 1000.0)] {
            let mut rng = KeyedRng::new(3, 0, n, 7);
            let values: Vec<f32> = (0..n).map(|_| centre + 0.01 * rng.normal()).collect();
            let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n as f64;
            let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n as f64;
            let s = Statistics::of(&values);
            assert!((s.mean - mean).abs() <= 1e-12 * (1.0 + mean.abs()), "{} is not {mean}", s.mean);
            assert!((s.std - variance.sqrt()).abs() <= 1e-9 * variance.sqrt(), "{} is not {}", s.std, variance.sqrt());
            assert_eq!(s.min, values.iter().copied().fold(f32::INFINITY, f32::min));
            assert_eq!(s.max, values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }

    #[test]
    fn a_resumed_file_has_every_step_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("monitor.csv");
        let looks =
            |steps: &[u64]| steps.iter().map(|s| Row::of(*s, "c,1", What::Weight, &[*s as f32, 0.5])).collect::<Vec<_>>();
        let mut file = MonitorFile::open(&path, None).unwrap();
        file.add(&looks(&[5, 10, 15, 20])).unwrap();
        drop(file);
        let whole = fs::read_to_string(&path).unwrap();
        assert!(whole.starts_with(
            "step,layer,what,n,mean,std,min,max,norm,nan,infinite,bad\n5,\"c,1\",weight,2,2.75e0,2.25e0,5e-1,5e0,"
        ));

        // Killed within the line of step 25; the checkpoint is of step 12.
        fs::write(&path, format!("{whole}25,\"c,1\",wei")).unwrap();
        let mut file = MonitorFile::open(&path, Some(12)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
        file.add(&looks(&[15, 20])).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);

        MonitorFile::open(&path, None).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1, "a training that begins anew keeps nothing");
    }

    #[test]
    fn rows_line_up() {
        let rows = [
            Row::of(1, "features.0.weight", What::Gradient, &[1.0, f32::NAN, 3.0]),
            Row::of(1, "fc", What::Output, &[-0.5; 12]),
        ];
        let expected = "\
layer              what       n        mean        std         min         max       norm
features.0.weight  gradient   3     2.000e0    1.000e0     1.000e0     3.000e0    3.162e0  1 bad, first at 1
fc                 output    12    -5.000e-1   0.000e0    -5.000e-1   -5.000e-1   1.732e0
";
        let squeezed =
            |text: &str| text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
        let table = table(&rows);
        assert_eq!(squeezed(&table), squeezed(expected));
        let ends: Vec<Option<usize>> = table.lines().map(|line| line.find("e0  1 bad").or(Some(line.len()))).collect();
        assert_eq!(ends[0], ends[2], "the last numbers end below each other");
    }

    #[test]
    fn when_it_is_due() {
        let due = |monitor| (0..7).filter(|step| MonitorOptions { monitor }.is_due(*step)).collect::<Vec<u64>>();
        assert_eq!(due(3), [0, 3, 6]);
        assert_eq!(due(0), [0; 0]);
    }
}
