//! The same network planned layer by layer, planned in every other way that the exporter has, and cut at random: the engine
//! must make the same bytes of all, int8 and f32, with weights that are mapped and with weights that are read.

use staticnet::op::{Conv2d, MaxPool, Window};
use staticnet::preprocess::{PixelFormat, Source};
use staticnet::record::{Chunk, DType};
use staticnet::{ALL_OPS, Artifact, Engine, Mapped, Picture, RunError, WeightSource, quant};
use staticnet_data::Image;
use staticnet_exporter::host::Model;
use staticnet_exporter::plan::{PlanOptions, Ram};
use staticnet_exporter::report;
use staticnet_graph::graph::{Graph, Op};
use staticnet_testing::graphs::networks::{self, Kind};
use staticnet_testing::graphs::plans::{self, planned};
use staticnet_testing::graphs::storage::{Broken, Fault, Storage};
use staticnet_testing::graphs::streaming::{Setting, streamed};
use staticnet_testing::graphs::{device_bytes, emitted, input_info, lowered, model, to_device, watch};
use staticnet_testing::{Case, Random};

/// The chunks that a copying source is asked for in a pass.
fn loaded(artifact: &Artifact) -> Vec<Chunk> {
    let steps = (0..artifact.step_count()).filter_map(|i| artifact.step(i));
    steps.filter(|step| step.load).filter_map(|step| artifact.chunk(step.chunk)).collect()
}

fn outputs<S: WeightSource>(engine: &Engine<ALL_OPS, S>) -> Vec<Vec<u8>> {
    (0..engine.artifact().output_count()).map(|i| engine.output_bytes(i).expect("counted").to_vec()).collect()
}

/// Every tensor of a pass with mapped weights. Where the plan is for a storage, weights that are copied must give the same, and
/// be read as often as the plan says.
fn tensors(model: &Model, input: &[u8]) -> Vec<Vec<u8>> {
    let artifact = model.artifact();
    let mut ram = model.ram();
    let mut engine = model.engine(&mut ram).expect("the memory fits");
    let mapped = watch(&mut engine, &[input]).expect("an accepted artifact runs");
    let (mut ram, mut storage) = (model.ram(), Storage::new(model.payload()));
    let copying = Engine::<ALL_OPS, _>::new(artifact, ram.as_mut(), &mut storage);
    if !artifact.weights_in_storage() {
        assert_eq!(copying.map(drop), Err(RunError::WeightsNotMapped));
        return mapped;
    }
    let copied = watch(&mut copying.expect("planned for a storage"), &[input]).expect("the storage is whole");
    assert_eq!(storage.given, loaded(&artifact));
    assert!(storage.is_idle(), "a chunk was asked for and never used");
    assert_eq!(storage.bytes(), report::report(&artifact).weight_bytes_read);
    assert_eq!(copied, mapped);
    mapped
}

/// The outputs of a pass on real numbers, which go in as they come.
fn run_on_reals(model: &Model, x: &[f32]) -> Vec<Vec<u8>> {
    let mut ram = model.ram();
    let mut engine = model.engine(&mut ram).expect("the memory fits");
    engine.set_input_f32(0, &to_device(&input_info(&model.artifact()), x)).expect("the sample fits");
    engine.run().expect("an accepted artifact runs");
    outputs(&engine)
}

#[test]
fn every_plan_makes_the_same_bytes() {
    let mut count = [0; 4];
    for seed in 0..250 {
        let _case = Case("plans", seed);
        let mut random = Random(seed);
        let graph = networks::any(&mut random, 8);
        let samples = networks::samples(&graph, &mut random, 2);
        for network in lowered(&graph, &samples) {
            let whole = model(&emitted(&network));
            let inputs: Vec<Vec<u8>> = samples.iter().map(|x| device_bytes(&input_info(&whole.artifact()), x)).collect();
            let want: Vec<_> = inputs.iter().map(|input| tensors(&whole, input)).collect();
            for _ in 0..2 {
                let options = plans::options(&mut random, &network);
                let (plan, emitted) = planned(&network, &options);
                let model = model(&emitted);
                let artifact = model.artifact();
                assert_eq!(report::report(&artifact).weight_bytes_read, plan.weight_bytes_read);
                for (input, want) in inputs.iter().zip(&want) {
                    assert!(tensors(&model, input) == *want, "{options:?}\n{graph}");
                }
                assert_eq!(run_on_reals(&model, &samples[0]), run_on_reals(&whole, &samples[0]));
                let windows =
                    plan.slots.iter().any(|s| u32::from(s.channels) < artifact.tensor(s.tensor.into()).unwrap().channels);
                let kinds = [artifact.is_streamed(), plan.storage, windows, plan.steps.len() > artifact.layer_count()];
                kinds.iter().zip(&mut count).for_each(|(is, count)| *count += usize::from(*is));
            }
        }
    }
    println!("of 1000 plans, streamed, in storage, with windows, with more steps than layers: {count:?}");
    assert!(count.iter().all(|n| *n > 25), "{count:?}");
}

#[test]
fn random_cuts_make_the_same_bytes() {
    let (mut saved, mut by_rows) = (0, 0);
    for seed in 0..400 {
        let _case = Case("cuts", seed);
        let mut random = Random(seed);
        let kind =
            Kind { depth: random.within(1, 6), branches: random.one_in(2), operators: random.pick(&networks::OPERATORS) };
        let graph = networks::random(&mut random, kind);
        let samples = networks::samples(&graph, &mut random, 3);
        for network in lowered(&graph, &samples) {
            let setting = Setting::random(&mut random);
            let (whole, sliced) = (model(&emitted(&network)), model(&streamed(&network, setting, &mut random)));
            for x in &samples {
                assert_eq!(run_on_reals(&whole, x), run_on_reals(&sliced, x), "{setting:?}\n{graph}");
            }
            let input = device_bytes(&input_info(&whole.artifact()), &samples[0]);
            assert!(tensors(&whole, &input) == tensors(&sliced, &input), "{setting:?}\n{graph}");
            let steps = |model: &Model| model.artifact().step_count();
            saved += usize::from(steps(&sliced) > steps(&whole));
            by_rows += usize::from(sliced.artifact().is_streamed());
        }
    }
    assert!(saved > 700, "only {saved} of 800 plans were sliced at all");
    assert!(by_rows > 150, "only {by_rows} of 800 plans take their input row by row");
}

/// A picture of random pixels, as the source gives it, and as the host decodes it.
fn picture(random: &mut Random, source: Source) -> (Vec<u8>, Image) {
    let (width, height) = (source.width as usize, source.height as usize);
    let raw: Vec<u8> = (0..height * source.row_bytes()).map(|_| random.bits() as u8).collect();
    let pixels = match source.format {
        PixelFormat::Rgb888 | PixelFormat::Grey => raw.clone(),
        PixelFormat::Rgb565 => {
            let wide = |word: u16| {
                let part = |shift: u16, bits: u16| (word >> shift) & ((1 << bits) - 1);
                // To eight bits, the upper ones again below.
                let [r, b] = [part(11, 5), part(0, 5)].map(|v| (v << 3 | v >> 2) as u8);
                let g = part(5, 6);
                [r, (g << 2 | g >> 4) as u8, b]
            };
            raw.chunks_exact(2).flat_map(|b| wide(u16::from_le_bytes([b[0], b[1]]))).collect()
        }
    };
    let channels = if source.format == PixelFormat::Grey { 1 } else { 3 };
    assert_eq!(pixels.len(), width * height * channels as usize);
    (raw, Image { pixels, width: width as u32, height: height as u32, channels })
}

/// The network's input as the host evaluates it.
fn input_of(artifact: &Artifact, picture: Picture) -> Vec<u8> {
    let (preprocess, info) = (artifact.preprocess().expect("takes pictures"), input_info(artifact));
    let mut values = vec![0.0; preprocess.len()];
    preprocess.to_f32(picture, &mut values).expect("the picture is one");
    match info.dtype {
        DType::I8 => values.iter().map(|&v| quant::quantize(v, info.scale, info.zero_point) as u8).collect(),
        DType::F32 | DType::I32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

/// Pushes a picture row by row, and returns the outputs.
fn push(model: &Model, raw: &[u8]) -> Vec<Vec<u8>> {
    let artifact = model.artifact();
    let mut ram = model.ram();
    ram.as_mut().fill(0xa5);
    let mut engine = model.engine(&mut ram).expect("the memory fits");
    engine.begin();
    for row in raw.chunks_exact(artifact.source().expect("planned for one").row_bytes()) {
        engine.push_row(row).expect("a row of the source");
    }
    engine.finish().expect("all rows have come");
    outputs(&engine)
}

/// Rows of pictures, pushed one by one, make the input that the host makes of the whole picture.
#[test]
fn pictures_row_by_row() {
    let mut streamed = 0;
    for seed in 0..250 {
        let _case = Case("pictures", seed);
        let mut random = Random(seed);
        let mut graph = match random.one_in(3) {
            true => {
                // What comes out is the input itself.
                let mut graph = Graph::new("input");
                let shape = [1, random.pick(&[1, 3]), random.within(1, 20), random.within(1, 20)];
                let x = graph.input("x", &shape);
                let pool = MaxPool { window: Window::square(1, 1, 0) };
                let y = graph.add("same", Op::MaxPool(pool), &[x], &[]).expect("fits");
                graph.output(y);
                graph
            }
            false => networks::any(&mut random, 6),
        };
        plans::take_pictures(&mut graph, &mut random);
        if graph.preprocess.is_none() {
            continue;
        }
        let samples = networks::samples(&graph, &mut random, 2);
        for network in lowered(&graph, &samples) {
            let source = plans::source(&mut random);
            // The least RAM, where there are more steps between the rows.
            let ram = if random.one_in(4) { Ram::Least } else { Ram::Min };
            let options = PlanOptions { ram, source: Some(source), layers: false, ..plans::options(&mut random, &network) };
            let model = model(&planned(&network, &options).1);
            let artifact = model.artifact();
            assert_eq!(artifact.source(), Some(source));
            let (raw, image) = picture(&mut random, source);
            let input = input_of(&artifact, image.picture());
            let pushed = push(&model, &raw);
            let mut ram = model.ram();
            let mut engine = model.engine(&mut ram).expect("the memory fits");
            engine.run_on(&[&input]).expect("an accepted artifact runs");
            assert_eq!(pushed, outputs(&engine), "{source:?}, {options:?}\n{graph}");
            engine.set_picture(image.picture()).expect("a picture");
            engine.run().expect("an accepted artifact runs");
            assert_eq!(pushed, outputs(&engine), "the whole picture, {source:?}, {options:?}\n{graph}");
            streamed += usize::from(artifact.is_streamed());
        }
    }
    assert!(streamed > 30, "only {streamed} networks took their input row by row");
}

/// Whichever chunk fails, and however: the right error, and then a pass that is right.
#[test]
fn a_storage_that_fails_at_any_chunk() {
    let mut random = Random(7);
    let mut graph = Graph::new("small");
    let x = graph.input("x", &[1, 3, 12, 12]);
    let conv = |stride| Conv2d { window: Window::square(3, stride, 1), groups: 1 };
    let a = graph.conv("a", x, 12, conv(1)).expect("fits");
    let a = graph.add("a.relu", Op::Relu, &[a], &[]).expect("fits");
    let b = graph.conv("b", a, 8, conv(2)).expect("fits");
    let c = graph.add("flat", Op::Flatten, &[b], &[]).expect("fits");
    let c = graph.linear("c", c, 10).expect("fits");
    graph.output(c);
    networks::fill(&mut graph, &mut random);
    let samples = networks::samples(&graph, &mut random, 2);
    let mut most = 0;
    for network in lowered(&graph, &samples) {
        for ram in [Ram::Least, Ram::Min] {
            let options = PlanOptions { storage: true, ram, ..PlanOptions::default() };
            let model = model(&planned(&network, &options).1);
            let artifact = model.artifact();
            let input = device_bytes(&input_info(&artifact), &samples[0]);
            let other = device_bytes(&input_info(&artifact), &samples[1]);
            let (mut ram, mut good) = (model.ram(), model.ram());
            let mut good = Engine::<ALL_OPS, _>::new(artifact, good.as_mut(), Mapped::at(model.payload())).expect("fits");
            good.run_on(&[&input]).expect("nothing fails");
            let want = outputs(&good);
            let loads: Vec<u32> =
                (0..artifact.step_count()).filter_map(|i| artifact.step(i)).filter(|s| s.load).map(|s| s.chunk).collect();
            for (k, &chunk) in loads.iter().enumerate() {
                for fault in [Fault::Error, Fault::Damage] {
                    let mut storage = Storage::new(model.payload());
                    storage.fault = Some((k, fault));
                    let mut engine = Engine::<ALL_OPS, _>::new(artifact, ram.as_mut(), &mut storage).expect("fits");
                    let expected = match fault {
                        Fault::Error => RunError::Weights(Broken),
                        Fault::Damage => RunError::Chunk { chunk },
                    };
                    assert_eq!(engine.run_on(&[&other]), Err(expected), "load {k} of {options:?}");
                    engine.run_on(&[&input]).expect("the storage is whole again");
                    assert_eq!(outputs(&engine), want, "after {fault:?} at load {k} of {options:?}");
                    assert_eq!(storage.given.len(), k + 1 + loads.len());
                }
            }
            most = most.max(loads.len());
        }
    }
    assert!(most > 6, "no plan loads more than {most} chunks");
}
