//! Input 0 row by row: as the device holds it, or as a picture's rows; with the errors of rows that do not belong.

use staticnet::op::{MaxPool, Op, Window};
use staticnet::record::DType;
use staticnet::{Picture, RunError};
use staticnet_testing::net::Net;
use staticnet_testing::plan::{self, Plan, Work};
use staticnet_testing::run::{Model, input, outputs, quantized, run};
use staticnet_testing::{Case, Random, chain, every_op};

/// A network, a plan that holds all of its input, and one that streams it, both with a source of rows.
fn both(seed: u64) -> (Net, [Plan; 2]) {
    let dtype = if seed.is_multiple_of(2) { DType::I8 } else { DType::F32 };
    let net = if seed.is_multiple_of(3) { every_op::net(dtype, seed) } else { chain::net(dtype, seed) };
    let mut random = Random(seed);
    let source = Some((random.within(1, 30) as u16, random.within(1, 30) as u16, random.within(0, 2) as u8));
    let plans = [plan::cut(&net, &mut random), plan::streamed(&net, &mut random)].map(|plan| Plan { source, ..plan });
    (net, plans)
}

#[test]
fn rows_give_what_the_whole_gives() {
    let mut streamed = 0;
    for seed in 0..200 {
        let _case = Case("rows", seed);
        let (net, plans) = both(seed);
        let values = input(&net, seed);
        let want = run(&net, &plan::whole(&net), seed).1;
        for plan in plans {
            let info = net.info(net.inputs[0]);
            let bytes = quantized(&info, &values);
            let mut model = Model::new(&net, &plan);
            let mut engine = model.engine();
            streamed += engine.artifact().is_streamed() as usize;
            assert_eq!(engine.input_bytes_mut(0).is_none(), engine.artifact().is_streamed());
            // Twice: a pass leaves nothing behind that the next one could mistake.
            for _ in 0..2 {
                engine.begin();
                for row in bytes.chunks_exact(info.row_bytes() as usize) {
                    engine.push_input_row(row).expect("a row of the input");
                }
                engine.finish().expect("all rows are there");
                assert_eq!(outputs(&engine), want);
                engine.set_input_f32(0, &values).expect("all values");
                engine.run().expect("all rows are there");
                assert_eq!(outputs(&engine), want);
                engine.run_on(&[&bytes]).expect("all rows are there");
                assert_eq!(outputs(&engine), want);
            }
        }
    }
    assert!(streamed > 100, "{streamed}");
}

/// A picture in the source's format, as the bytes that a camera gives, and as the bytes of a [`Picture`].
fn picture(random: &mut Random, (width, height, format): (u16, u16, u8)) -> (Vec<u8>, Vec<u8>, u8) {
    let pixels = width as usize * height as usize;
    let raw: Vec<u8> = (0..pixels * [3, 2, 1][format as usize]).map(|_| random.bits() as u8).collect();
    if format != 1 {
        return (raw.clone(), raw, [3, 0, 1][format as usize]);
    }
    let wide = |pixel: &[u8]| {
        let word = u16::from_le_bytes([pixel[0], pixel[1]]);
        let (r, g, b) = (word >> 11, word >> 5 & 63, word & 31);
        [r << 3 | r >> 2, g << 2 | g >> 4, b << 3 | b >> 2].map(|v| v as u8)
    };
    let rgb = raw.chunks_exact(2).flat_map(wide).collect();
    (raw, rgb, 3)
}

#[test]
fn rows_of_a_picture_give_what_the_picture_gives() {
    for seed in 0..200 {
        let _case = Case("pictures", seed);
        let (net, plans) = both(seed);
        let source = plans[0].source.expect("both have one");
        let (raw, pixels, channels) = picture(&mut Random(!seed), source);
        let picture = Picture { pixels: &pixels, width: source.0.into(), height: source.1.into(), channels };
        // Without row memory, and held whole: the way that is known.
        let mut model = Model::new(&net, &plan::whole(&net));
        let mut engine = model.engine();
        engine.set_picture(picture).expect("a picture");
        engine.run().expect("an input");
        let want = outputs(&engine);
        for plan in plans {
            for source in [plan.source, None] {
                let mut model = Model::new(&net, &Plan { source, ..plan.clone() });
                let mut engine = model.engine();
                for _ in 0..2 {
                    engine.set_picture(picture).expect("a picture");
                    engine.run().expect("an input");
                    assert_eq!(outputs(&engine), want);
                    let Some(source) = engine.artifact().source() else { continue };
                    engine.begin();
                    for row in raw.chunks_exact(source.row_bytes()) {
                        engine.push_row(row).expect("a row of the picture");
                    }
                    engine.finish().expect("all rows are there");
                    assert_eq!(outputs(&engine), want);
                }
            }
        }
    }
}

/// A streamed network with a source, and a row of its input.
fn streamed() -> (Net, Plan, usize) {
    let net = chain::net(DType::I8, 2);
    let plan = Plan { source: Some((5, 4, 2)), ..plan::streamed(&net, &mut Random(2)) };
    let bytes = net.info(net.inputs[0]).row_bytes() as usize;
    (net, plan, bytes)
}

#[test]
fn rows_that_do_not_belong_are_refused_and_change_nothing() {
    let (net, plan, bytes) = streamed();
    let height = net.info(net.inputs[0]).height;
    let mut model = Model::new(&net, &plan);
    let mut engine = model.engine();
    let row = vec![7; bytes];
    let short = Err(RunError::RowLength { needed: bytes as u32, given: bytes as u32 - 1 });
    assert_eq!(engine.push_input_row(&row), Err(RunError::NotBegun));
    assert_eq!(engine.push_row(&[0; 5]), Err(RunError::NotBegun));
    engine.begin();
    for given in 0..height {
        assert_eq!(engine.push_input_row(&row[1..]), short);
        if given > 0 {
            // Rows of the input and of a picture do not mix.
            assert_eq!(engine.push_row(&[0; 5]), Err(RunError::NotBegun));
        }
        engine.push_input_row(&row).expect("a row of the input");
    }
    assert_eq!(engine.push_input_row(&row), Err(RunError::TooManyRows { rows: height }));
    engine.finish().expect("all rows are there");
    let want = outputs(&engine);
    assert_eq!(engine.push_input_row(&row), Err(RunError::NotBegun));
    engine.run_on(&[&row.repeat(height as usize)]).expect("the same");
    assert_eq!(outputs(&engine), want);

    engine.begin();
    for _ in 0..4 {
        assert_eq!(engine.push_row(&[0; 4]), Err(RunError::RowLength { needed: 5, given: 4 }));
        engine.push_row(&[0; 5]).expect("a row of the picture");
    }
    assert_eq!(engine.push_row(&[0; 5]), Err(RunError::TooManyRows { rows: 4 }));
    engine.finish().expect("all rows are there");

    let mut without = Model::new(&net, &Plan { source: None, ..plan });
    let mut engine = without.engine();
    engine.begin();
    assert_eq!(engine.push_row(&[0; 5]), Err(RunError::NoSource));
}

#[test]
fn whole_inputs_that_do_not_fit_are_refused() {
    let (net, plan, bytes) = streamed();
    let elements = net.info(net.inputs[0]).elements() as u32;
    let mut model = Model::new(&net, &plan);
    let mut engine = model.engine();
    assert_eq!(engine.run_on(&[]), Err(RunError::NoSuchTensor));
    assert_eq!(engine.run_on(&[&[], &[]]), Err(RunError::NoSuchTensor));
    assert_eq!(engine.run_on(&[&vec![0; bytes]]), Err(RunError::InputLength { needed: elements, given: bytes as u32 }));
    assert_eq!(engine.set_input_f32(0, &[0.0]), Err(RunError::InputLength { needed: elements, given: 1 }));
    assert_eq!(engine.artifact().input_len_bytes(0) as u32, elements);
}

#[test]
fn a_pass_waits_for_its_rows_and_goes_on() {
    let (net, plan, bytes) = streamed();
    let height = net.info(net.inputs[0]).height as usize;
    let row = |r: usize| vec![r as u8; bytes];
    let mut model = Model::new(&net, &plan);
    let mut engine = model.engine();
    // Nothing is there yet.
    assert!(matches!(engine.step(), Err(RunError::RowsMissing { given: 0, .. })));
    assert!(matches!(engine.run(), Err(RunError::RowsMissing { given: 0, .. })));
    engine.run_on(&[&(0..height).flat_map(row).collect::<Vec<u8>>()]).expect("all rows");
    let want = outputs(&engine);
    engine.begin();
    for r in 0..height {
        match engine.finish() {
            Err(RunError::RowsMissing { needed, given }) => assert!(given as usize == r && needed as usize > r),
            Ok(()) => panic!("the last row is read"),
            Err(error) => panic!("{error}"),
        }
        engine.push_input_row(&row(r)).expect("a row of the input");
    }
    engine.finish().expect("all rows");
    assert_eq!(outputs(&engine), want);
    // A pass that is broken off leaves nothing behind.
    engine.begin();
    engine.push_input_row(&row(99)).expect("a row of the input");
    engine.run_on(&[&(0..height).flat_map(row).collect::<Vec<u8>>()]).expect("all rows");
    assert_eq!(outputs(&engine), want);
}

/// Pools of two rows over five: nobody reads the last. The output goes to `place` of the RAM.
fn last_row_unread(place: u32) -> (Net, Vec<u8>, Vec<Vec<u8>>) {
    let mut net = Net::new(3);
    let x = net.tensor(DType::I8, [5, 16, 1]);
    net.inputs.push(x);
    let window = Window { kernel: [2, 1], stride: [2, 1], dilation: [1; 2], pads: [0; 4] };
    let pooled = net.layer(Op::MaxPool(MaxPool { window }), &[x], DType::I8, [2, 16, 1]);
    let y = net.layer(Op::Relu, &[pooled], DType::I8, [2, 16, 1]);
    net.outputs.push(y);
    let mut plan = Plan { in_place: false, source: Some((16, 9, 2)), ..plan::whole(&net) };
    plan.work = vec![Work::new(0, 0..1, 0..1), Work::new(0, 1..2, 0..1), Work::new(1, 0..2, 0..1)];
    let want = run(&net, &plan, 1).1;
    plan.rings[x as usize] = 2;
    let mut parts = staticnet_testing::surgery::Parts::of(&plan::assemble(&net, &plan));
    // The output's slot comes second, behind that of the input.
    assert_eq!(parts.get(3, 16, 1, 0), y);
    parts.set(3, 16, 1, 4, &place.to_le_bytes());
    (net, parts.assemble(), want)
}

#[test]
fn a_row_that_nobody_reads_is_not_kept() {
    // Where the input's ring is.
    let (net, bytes, want) = last_row_unread(0);
    let mut model = Model::of(&bytes);
    let mut engine = model.engine();
    let values = quantized(&net.info(net.inputs[0]), &input(&net, 1));
    engine.run_on(&[&values]).expect("all rows");
    assert_eq!(outputs(&engine), want);
    engine.begin();
    for row in values.chunks_exact(16).take(4) {
        engine.push_input_row(row).expect("a row of the input");
    }
    engine.finish().expect("nobody reads the last row");
    assert_eq!(outputs(&engine), want);
}

#[test]
fn behind_the_last_row_that_is_read_row_memory_is_left_alone() {
    let pixels: Vec<u8> = (0..9 * 16).map(|i| (i * 83 % 256) as u8).collect();
    let pass = |place: u32| {
        let (_, bytes, _) = last_row_unread(place);
        let mut model = Model::of(&bytes);
        let mut engine = model.engine();
        engine.begin();
        pixels.chunks_exact(16).for_each(|row| engine.push_row(row).expect("a row of the picture"));
        engine.finish().expect("all rows");
        outputs(&engine)
    };
    // Input, pool and output have 32 bytes each; the row memory behind them begins with a line of as many.
    assert_eq!(pass(96), pass(64));
}
