//! Operators that compute each pixel on its own.

use super::windows::row_by_row;
use super::*;
use staticnet::ALL_OPS;
use staticnet::kernels::binary::{BinaryQuant, binary_f32, binary_i8};
use staticnet::kernels::convert::{Grid, to_f32, to_i8};
use staticnet::kernels::prelu::{PReluQuant, prelu_f32, prelu_i8};
use staticnet::kernels::softmax::{TABLE_LEN, softmax_f32, softmax_i8};
use staticnet::kernels::unary::{apply, unary_f32, unary_i8};
use staticnet::kernels::{argmax, relu};
use staticnet::op::{BinaryOp, Function};
use staticnet::quant;

struct Relu<E> {
    shape: Shape,
    zero: E,
}

impl<E: Number + Element> Kernel<E> for Relu<E> {
    row_by_row!();
    both_in_windows!();

    fn run(&self, x: &[Rows<E>], y: &mut RowsMut<E>, block: Block) {
        relu::relu(Some(&x[0]), y, block, self.zero);
    }
}

fn relu_both_ways<E: Number + Element>(random: &mut Random, zero: E) {
    let channels = random.within(1, 16);
    let shape = shape(random, channels);
    let (_, y) = check_in_place(random, &Relu { shape, zero }, |y, block| relu::relu(None, y, block, zero));
    assert!(y.iter().all(|v| *v >= zero), "a ReLU left something below zero");
}

#[test]
fn relu_of_both_types_in_place_and_not() {
    for_seeds("ReLU", 1000, |random| {
        let zero = random.bits() as i8;
        relu_both_ways(random, zero);
        relu_both_ways(random, 0f32);
    });
}

struct Unary {
    shape: Shape,
    function: Function,
    table: [u8; 256],
}

impl Kernel<i8> for Unary {
    row_by_row!();
    both_in_windows!();

    fn run(&self, x: &[Rows<i8>], y: &mut RowsMut<i8>, block: Block) {
        unary_i8(&self.table, Some(&x[0]), y, block);
    }
}

impl Kernel<f32> for Unary {
    row_by_row!();
    both_in_windows!();

    fn run(&self, x: &[Rows<f32>], y: &mut RowsMut<f32>, block: Block) {
        unary_f32::<ALL_OPS>(&self.function, Some(&x[0]), y, block);
    }
}

#[test]
fn unary_of_both_types_in_place_and_not() {
    let functions = [
        Function::Identity,
        Function::LeakyRelu { alpha: 0.1 },
        Function::Clip { lo: -0.5, hi: 0.6 },
        Function::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Function::HardSwish,
        Function::Sigmoid,
        Function::Tanh,
    ];
    for_seeds("unary", 1500, |random| {
        let channels = random.within(1, 16);
        let mut table = [0; 256];
        table.fill_with(|| random.bits() as u8);
        let kernel = Unary { shape: shape(random, channels), function: random.pick(&functions), table };
        let (x, y) = check_in_place::<i8>(random, &kernel, |y, block| unary_i8(&table, None, y, block));
        assert!(x.iter().zip(&y).all(|(&q, &y)| y as u8 == table[q as u8 as usize]));
        let (x, y) = check_in_place::<f32>(random, &kernel, |y, block| unary_f32::<ALL_OPS>(&kernel.function, None, y, block));
        assert!(x.iter().zip(&y).all(|(&v, y)| *y == apply(&kernel.function, v)));
    });
}

struct PRelu {
    shape: Shape,
    slope: Vec<f32>,
}

impl PRelu {
    fn quant(&self, block: Block) -> PReluQuant<'_> {
        PReluQuant { multiplier: &self.slope[block.c0..block.c1], positive: 0.8, zeros: [-20, 3] }
    }
}

impl Kernel<i8> for PRelu {
    row_by_row!();
    both_in_windows!();

    fn run(&self, x: &[Rows<i8>], y: &mut RowsMut<i8>, block: Block) {
        prelu_i8(Some(&x[0]), y, block, self.quant(block));
    }
}

impl Kernel<f32> for PRelu {
    row_by_row!();
    both_in_windows!();

    fn run(&self, x: &[Rows<f32>], y: &mut RowsMut<f32>, block: Block) {
        prelu_f32(Some(&x[0]), y, block, &self.slope[block.c0..block.c1]);
    }
}

#[test]
fn prelu_of_both_types_in_place_and_not() {
    for_seeds("PReLU", 1500, |random| {
        let channels = random.within(1, 16);
        let kernel = PRelu { shape: shape(random, channels), slope: random.reals(channels) };
        check_in_place::<i8>(random, &kernel, |y, block| prelu_i8(None, y, block, kernel.quant(block)));
        check_in_place::<f32>(random, &kernel, |y, block| prelu_f32(None, y, block, &kernel.slope[block.c0..block.c1]));
    });
}

struct Binary {
    op: BinaryOp,
    inputs: [Shape; 2],
    output: Shape,
    quant: BinaryQuant,
}

macro_rules! of_two_inputs {
    () => {
        fn inputs(&self) -> Vec<Shape> {
            self.inputs.to_vec()
        }

        fn output(&self) -> Shape {
            self.output
        }

        fn reads(&self, i: usize, r: usize) -> Range<usize> {
            if self.inputs[i][0] == 1 { 0..1 } else { r..r + 1 }
        }
    };
}

impl Kernel<i8> for Binary {
    of_two_inputs!();

    fn run(&self, x: &[Rows<i8>], y: &mut RowsMut<i8>, block: Block) {
        binary_i8::<ALL_OPS>(self.op, [&x[0], &x[1]], y, block, self.quant);
    }
}

impl Kernel<f32> for Binary {
    of_two_inputs!();

    fn run(&self, x: &[Rows<f32>], y: &mut RowsMut<f32>, block: Block) {
        binary_f32::<ALL_OPS>(self.op, [&x[0], &x[1]], y, block, [-0.8, 1.2]);
    }
}

/// Pairs of the elements that make each output, found by their places.
fn pairs<E: Number>(inputs: &[Vec<E>], kernel: &Binary) -> Vec<(E, E)> {
    let [_, ow, oc] = kernel.output;
    let at = |i: usize, o: usize| {
        let place = [o / oc / ow, o / oc % ow, o % oc];
        let [_, w, c] = kernel.inputs[i];
        let [y, x, ch] = [0, 1, 2].map(|axis| if kernel.inputs[i][axis] == 1 { 0 } else { place[axis] });
        inputs[i][(y * w + x) * c + ch]
    };
    (0..elements(kernel.output)).map(|o| (at(0, o), at(1, o))).collect()
}

#[test]
fn binary_of_both_types_with_any_repetition() {
    for_seeds("binary", 4000, |random| {
        let channels = random.within(1, 16);
        let output = shape(random, channels);
        let inputs = [(); 2].map(|()| output.map(|n| if random.one_in(3) { 1 } else { n }));
        let op = random.pick(&[BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div]);
        let zeros = [random.bits() as i8, random.bits() as i8, random.bits() as i8];
        let kernel =
            Binary { op, inputs, output, quant: BinaryQuant { multipliers: [0.4, 0.7], scale: 0.3, zeros, range: [-120, 90] } };
        let (x, y) = check::<i8, i8>(random, &kernel);
        for ((a, b), y) in pairs(&x, &kernel).into_iter().zip(y) {
            let (a, b) = (a as f64 - zeros[0] as f64, b as f64 - zeros[1] as f64);
            let real = match op {
                BinaryOp::Add => a * 0.4 + b * 0.7,
                BinaryOp::Sub => a * 0.4 - b * 0.7,
                BinaryOp::Mul => a * b * 0.4,
                // 0 over 0 has the smallest output.
                BinaryOp::Div if a == 0.0 && b == 0.0 => f64::NEG_INFINITY,
                BinaryOp::Div => a * 0.4 / (b * 0.7) / 0.3,
            };
            let want = (real + zeros[2] as f64).clamp(-120.0, 90.0);
            assert!((y as f64 - want).abs() < 0.501, "{op:?} {y} {want}");
        }
        let (x, y) = check::<f32, f32>(random, &kernel);
        for ((a, b), y) in pairs(&x, &kernel).into_iter().zip(y) {
            let want = match op {
                BinaryOp::Add => a + b,
                BinaryOp::Sub => a - b,
                BinaryOp::Mul => a * b,
                BinaryOp::Div => a / b,
            };
            assert_eq!(y, want.clamp(-0.8, 1.2));
        }
    });
}

struct Softmax {
    shape: Shape,
    table: [f32; TABLE_LEN],
}

impl Kernel<i8> for Softmax {
    row_by_row!();

    fn run(&self, x: &[Rows<i8>], y: &mut RowsMut<i8>, block: Block) {
        softmax_i8(&x[0], y, block, &self.table, (1.0 / 256.0, -128));
    }
}

impl Kernel<f32> for Softmax {
    row_by_row!();

    fn run(&self, x: &[Rows<f32>], y: &mut RowsMut<f32>, block: Block) {
        softmax_f32(&x[0], y, block);
    }
}

#[test]
fn softmax_of_both_types() {
    for_seeds("softmax", 1500, |random| {
        let channels = random.within(1, 16);
        let scale = 0.01 + 0.1 * random.real().abs();
        let table = std::array::from_fn(|i| ((i as f32 - 255.0) * scale).exp());
        let kernel = Softmax { shape: shape(random, channels), table };
        let (x, y) = check::<i8, i8>(random, &kernel);
        let probabilities = |x: &[f64]| {
            let sum: f64 = x.iter().map(|v| v.exp()).sum();
            x.iter().map(|v| v.exp() / sum).collect::<Vec<f64>>()
        };
        for (x, y) in x[0].chunks(channels).zip(y.chunks(channels)) {
            let real: Vec<f64> = x.iter().map(|&q| q as f64 * scale as f64).collect();
            for (p, y) in probabilities(&real).iter().zip(y) {
                assert!(((256.0 * p).min(255.0) - 128.0 - *y as f64).abs() < 0.51, "{p} {y}");
            }
        }
        let (x, y) = check::<f32, f32>(random, &kernel);
        for (x, y) in x[0].chunks(channels).zip(y.chunks(channels)) {
            let real: Vec<f64> = x.iter().map(|&v| v as f64).collect();
            assert!(probabilities(&real).iter().zip(y).all(|(p, y)| (p - *y as f64).abs() < 1e-6));
        }
    });
}

struct ArgMax {
    input: Shape,
    last: bool,
}

impl<E: Number + Element> Kernel<E, i32> for ArgMax {
    fn inputs(&self) -> Vec<Shape> {
        vec![self.input]
    }

    fn output(&self) -> Shape {
        [self.input[0], self.input[1], 1]
    }

    fn reads(&self, _: usize, r: usize) -> Range<usize> {
        r..r + 1
    }

    fn run(&self, x: &[Rows<E>], y: &mut RowsMut<i32>, block: Block) {
        argmax::argmax(self.last, &x[0], y, block);
    }
}

#[test]
fn argmax_of_both_types() {
    for_seeds("argmax", 1000, |random| {
        let channels = random.within(1, 300);
        let kernel = ArgMax { input: shape(random, channels), last: random.one_in(2) };
        let (x, y) = check::<i8, i32>(random, &kernel);
        for (x, y) in x[0].chunks(channels).zip(y) {
            let max = x.iter().max();
            let place =
                if kernel.last { x.iter().rposition(|v| Some(v) == max) } else { x.iter().position(|v| Some(v) == max) };
            assert_eq!(place, Some(y as usize));
        }
        check::<f32, i32>(random, &kernel);
    });
}

struct Convert {
    shape: Shape,
    channels: Option<(Vec<f32>, Vec<i32>)>,
}

impl Convert {
    fn grid(&self, block: Block) -> Grid<'_> {
        let range = block.c0..block.c1;
        match &self.channels {
            Some((scale, zero)) => Grid::Channels(&scale[range.clone()], &zero[range]),
            None => Grid::Tensor(0.01, -5),
        }
    }
}

impl Kernel<i8, f32> for Convert {
    row_by_row!();

    fn run(&self, x: &[Rows<i8>], y: &mut RowsMut<f32>, block: Block) {
        to_f32(&x[0], y, block, self.grid(block));
    }
}

impl Kernel<f32, i8> for Convert {
    row_by_row!();

    fn run(&self, x: &[Rows<f32>], y: &mut RowsMut<i8>, block: Block) {
        to_i8(&x[0], y, block, self.grid(block));
    }
}

#[test]
fn conversion_both_ways() {
    for_seeds("convert", 1500, |random| {
        let n = random.within(1, 16);
        let scales: Vec<f32> = (0..n).map(|_| 0.02 * random.real().abs() + 1e-4).collect();
        let zeros: Vec<i32> = (0..n).map(|_| random.within(0, 255) as i32 - 128).collect();
        let channels = random.one_in(2).then_some((scales, zeros));
        let kernel = Convert { shape: shape(random, n), channels };
        let (x, y) = check::<f32, i8>(random, &kernel);
        let grid = |i: usize| match &kernel.channels {
            Some((scale, zero)) => (scale[i % n], zero[i % n]),
            None => (0.01, -5),
        };
        for (i, (v, q)) in x[0].iter().zip(y).enumerate() {
            let (scale, zero) = grid(i);
            assert_eq!(q, quant::quantize(*v, scale, zero));
        }
        let (x, y) = check::<i8, f32>(random, &kernel);
        for (i, (q, v)) in x[0].iter().zip(y).enumerate() {
            let (scale, zero) = grid(i);
            assert_eq!(v, (*q as i32 - zero) as f32 * scale);
        }
    });
}
