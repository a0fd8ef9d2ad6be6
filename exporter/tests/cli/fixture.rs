//! A model, pictures and artifacts in a folder of their own, and the program to run on them.
#![allow(dead_code)] // Each test binary uses a part of it.

use image::{GrayImage, RgbImage};
use serde_json::Value;
use staticnet::op::{Conv2d, MaxPool, Window};
use staticnet::preprocess::{Fit, Preprocess};
use staticnet_graph::graph::{Graph, Op, Tensor};
use staticnet_graph::{npy, onnx};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

pub const EXPORTER: &str = env!("CARGO_BIN_EXE_exporter");

/// Width and height of the model's input; its other sizes follow.
pub const SIDE: u32 = 12;
pub const CLASSES: [&str; 3] = ["ant", "bee", "cow"];
pub const MEAN: [f32; 3] = [0.5, 0.4, 0.3];
pub const STD: [f32; 3] = [0.25, 0.2, 0.3];

/// A folder with `model.onnx` and the data set `data`.
pub struct Fixture {
    dir: TempDir,
}

/// A small generator of reproducible bytes.
fn bytes(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    }
}

/// conv 3x3 of 8 channels, ReLU, pool 2/2, fully connected with three classes.
pub fn graph(seed: u64) -> Graph {
    let mut graph = Graph::new("tiny");
    let x = graph.input("x", &[1, 3, SIDE as usize, SIDE as usize]);
    let conv = Conv2d { window: Window::square(3, 1, 1), groups: 1 };
    let x = graph.conv("conv", x, 8, conv).unwrap();
    let x = graph.add("relu", Op::Relu, &[x], &[]).unwrap();
    let x = graph.add("pool", Op::MaxPool(MaxPool { window: Window::square(2, 2, 0) }), &[x], &[]).unwrap();
    let x = graph.add("flatten", Op::Flatten, &[x], &[]).unwrap();
    let x = graph.linear("fc", x, 3).unwrap();
    graph.output(x);
    let mut next = bytes(seed);
    for tensor in graph.params.values_mut() {
        let fan_in: usize = tensor.shape[1..].iter().product();
        tensor.data.fill_with(|| (next() as f32 / 128.0 - 1.0) * (3.0 / fan_in as f32).sqrt());
    }
    let side = SIDE as u16;
    graph.preprocess = Some(Preprocess { width: side, height: side, channels: 3, fit: Fit::Stretch, mean: MEAN, std: STD });
    graph.labels = CLASSES.map(String::from).to_vec();
    graph
}

/// A picture of noise around a colour of its own.
pub fn picture(seed: u64, width: u32, height: u32) -> RgbImage {
    let mut next = bytes(seed);
    let base = [next(), next(), next()];
    RgbImage::from_fn(width, height, |_, _| image::Rgb(base.map(|b| b.wrapping_add(next() / 4))))
}

impl Fixture {
    pub fn new() -> Fixture {
        let fixture = Fixture { dir: TempDir::new().unwrap() };
        fixture.write("model.onnx", &onnx::to_bytes(&graph(1)).unwrap());
        for (split, n) in [("train", 4), ("test", 2)] {
            for (c, class) in CLASSES.iter().enumerate() {
                for i in 0..n {
                    let seed = (100 * c + 10 * i) as u64 + (split == "test") as u64;
                    let path = fixture.path(&format!("data/{split}/{class}/{i}.png"));
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    // Not all of the input's size.
                    picture(seed, SIDE + i as u32, SIDE).save(path).unwrap();
                }
            }
        }
        fixture
    }

    /// A fixture with `model.snet` (int8) and `float.snet` as well.
    pub fn compiled() -> Fixture {
        let fixture = Fixture::new();
        fixture.succeeds(&["compile", "model.onnx", "-o", "model.snet", "--calibrate", "data"]);
        fixture.succeeds(&["compile", "model.onnx", "-o", "float.snet", "--float"]);
        fixture
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub fn write_npy(&self, name: &str, shape: &[usize], data: Vec<f32>) {
        npy::write(&self.path(name), &Tensor { shape: shape.to_vec(), data }).unwrap();
    }

    /// Names of everything in the folder, hidden files too.
    pub fn listing(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs the program in the folder.
    pub fn run(&self, args: &[&str]) -> Output {
        Command::new(EXPORTER).args(args).current_dir(self.dir.path()).output().unwrap()
    }

    /// Runs it through a shell that limits how large a file may grow, in blocks of at most 1024 bytes: a full disk.
    #[cfg(unix)]
    pub fn run_on_a_full_disk(&self, blocks: u32, args: &[&str]) -> Output {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        Command::new("sh").args(["-c", &script, EXPORTER]).args(args).current_dir(self.dir.path()).output().unwrap()
    }

    /// Runs it; it must exit with 0. Returns the JSON of the last line.
    pub fn succeeds(&self, args: &[&str]) -> Value {
        self.exits(0, args)
    }

    /// Runs it; it must exit with `code` and print JSON last.
    pub fn exits(&self, code: i32, args: &[&str]) -> Value {
        let output = self.run(args);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{stdout}\n{stderr}");
        let last = stdout.lines().last().unwrap_or_else(|| panic!("{args:?} printed nothing\n{stderr}"));
        serde_json::from_str(last).unwrap_or_else(|e| panic!("{args:?}: the last line is not JSON: {e}: {last}"))
    }

    /// Runs it; it must exit with 2, say all of `needles` on stderr, and print nothing on stdout.
    pub fn refuses(&self, args: &[&str], needles: &[&str]) {
        self.says_no(&self.run(args), args, needles);
    }

    /// As [`Fixture::refuses`], for a run that is over.
    pub fn says_no(&self, output: &Output, args: &[&str], needles: &[&str]) {
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(2), "{args:?}\n{stdout}\n{stderr}");
        for needle in needles {
            assert!(stderr.contains(needle), "{args:?} does not say {needle:?}:\n{stderr}");
        }
        assert_eq!(stdout, "", "{args:?} printed to stdout");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The numbers that the model takes for a picture of its input's size: NCHW.
pub fn normalised(picture: &RgbImage) -> Vec<f32> {
    let channel = |c: usize| picture.pixels().map(move |p| (p.0[c] as f32 / 255.0 - MEAN[c]) / STD[c]);
    (0..3).flat_map(channel).collect()
}

/// A grey picture.
pub fn save_grey(path: &Path) {
    GrayImage::from_fn(SIDE, SIDE, |x, y| image::Luma([(x * 20 + y) as u8])).save(path).unwrap();
}
