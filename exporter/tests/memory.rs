//! Memory over time, as `inspect --plan` shows it: read off artifacts of networks small enough to say what must be there.

use staticnet::Artifact;
use staticnet::artifact::ALIGN;
use staticnet::op::{Conv2d, Function, Lrn, MaxPool, Window};
use staticnet::preprocess::{Fit, PixelFormat, Preprocess, Source};
use staticnet::record::NONE16;
use staticnet_exporter::compile::{self, Options};
use staticnet_exporter::host::Model;
use staticnet_exporter::plan::{PlanOptions, Ram};
use staticnet_exporter::report::{Kind, Life, Memory, svg};
use staticnet_graph::graph::{Graph, Op};

/// Two convolutions, LRN, a pool, a function in place, two fully connected layers; a name that a picture must escape.
fn graph() -> Graph {
    let mut graph = Graph::new("tiny");
    let x = graph.input("x", &[1, 3, 32, 32]);
    let x = graph.conv("conv<1> & \"so\"", x, 16, Conv2d { window: Window::square(3, 1, 1), groups: 1 }).unwrap();
    let lrn = Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 };
    let x = graph.add("lrn", Op::Lrn(lrn), &[x], &[]).unwrap();
    let x = graph.add("pool", Op::MaxPool(MaxPool { window: Window::square(2, 2, 0) }), &[x], &[]).unwrap();
    let x = graph.conv("conv2", x, 24, Conv2d { window: Window::square(3, 1, 1), groups: 1 }).unwrap();
    let x = graph.add("sigmoid", Op::Unary(Function::Sigmoid), &[x], &[]).unwrap();
    let x = graph.add("flatten", Op::Flatten, &[x], &[]).unwrap();
    let x = graph.linear("fc1", x, 20).unwrap();
    let x = graph.linear("fc2", x, 4).unwrap();
    graph.output(x);
    graph.preprocess =
        Some(Preprocess { width: 32, height: 32, channels: 3, fit: Fit::Stretch, mean: [0.5; 3], std: [0.25; 3] });
    graph
}

fn model(options: PlanOptions) -> Model {
    let emitted = compile::compile_float(graph(), &Options { split: true, plan: options, flash: None }).unwrap();
    Model::from_emitted(emitted).unwrap()
}

fn plans() -> Vec<PlanOptions> {
    let base = PlanOptions::default();
    let source = Some(Source { width: 48, height: 40, format: PixelFormat::Rgb565 });
    vec![
        PlanOptions { layers: true, ..base },
        base,
        PlanOptions { storage: true, ..base },
        PlanOptions { storage: true, ram: Ram::Min, source, ..base },
    ]
}

/// Whether some step while both are there reads one and writes the other: only then may they share bytes.
fn one_becomes_the_other(artifact: &Artifact, a: &Life, b: &Life) -> bool {
    let tensor = |slot: u16| (slot != NONE16).then(|| artifact.slot(slot as usize).unwrap().tensor as usize);
    let both = a.first.max(b.first)..=a.last.min(b.last);
    let mut steps = both.filter_map(|i| artifact.step(i));
    a.kind == Kind::Activations
        && b.kind == Kind::Activations
        && steps.any(|step| {
            let (x, y) = ([tensor(step.input), tensor(step.input2)], tensor(step.output));
            [(a, b), (b, a)].iter().any(|(from, to)| x.contains(&from.tensor) && y == to.tensor)
        })
}

#[test]
fn what_is_there_at_the_same_time_shares_no_bytes() {
    for options in plans() {
        let model = model(options);
        let (artifact, memory) = (model.artifact(), Memory::of(&model.artifact()));
        for (i, a) in memory.lives.iter().enumerate() {
            assert!(a.end() <= memory.ram, "{a:?} in {} bytes", memory.ram);
            for b in &memory.lives[i + 1..] {
                let apart = a.end() <= b.offset || b.end() <= a.offset || a.last < b.first || b.last < a.first;
                assert!(apart || one_becomes_the_other(&artifact, a, b), "{a:?}\n{b:?}\n{options:?}");
            }
        }
        // The RAM ends where the last of them does.
        let end = memory.lives.iter().map(Life::end).max().unwrap();
        assert_eq!(end.next_multiple_of(ALIGN as u64), memory.ram.next_multiple_of(ALIGN as u64), "{options:?}");
        let (_, used) = memory.peak(0, memory.steps - 1);
        assert!(used <= memory.ram && used == (0..memory.steps).map(|step| memory.used(step)).max().unwrap());
    }
}

#[test]
fn everything_that_steps_use_is_there() {
    for options in plans() {
        let model = model(options);
        let (artifact, memory) = (model.artifact(), Memory::of(&model.artifact()));
        let at = |step: usize, kind: Kind, offset: u64| {
            memory.lives.iter().any(|l| l.kind == kind && l.is_at(step) && l.offset <= offset && offset < l.end())
        };
        for i in 0..memory.steps {
            let step = artifact.step(i).unwrap();
            for slot in [step.input, step.input2, step.output].into_iter().filter(|&slot| slot != NONE16) {
                assert!(at(i, Kind::Activations, artifact.slot(slot as usize).unwrap().offset as u64), "step {i}");
            }
            assert!(
                !artifact.weights_in_storage()
                    || artifact.chunk(step.chunk).is_none()
                    || at(i, Kind::Weights, step.place as u64)
            );
        }
        let kinds = |kind: Kind| memory.lives.iter().filter(|life| life.kind == kind).count();
        assert_eq!((kinds(Kind::RowMemory), kinds(Kind::Weights) > 0), (1, options.storage));
        let (input, output) = (&memory.lives[0], memory.lives.iter().rfind(|l| l.name == "fc2").unwrap());
        assert_eq!((&input.name[..], input.first, output.last), ("input", 0, memory.steps - 1));
        assert!(memory.weights_read >= memory.weights && memory.weights > 0);
    }
}

#[test]
fn segments_are_the_layers_that_run_together() {
    let whole = Memory::of(&model(plans()[0]).artifact());
    let names: Vec<_> = whole.segments.iter().map(|s| s.layers.join(" > ")).collect();
    assert_eq!(names, ["conv<1> & \"so\"", "lrn", "pool", "conv2", "sigmoid", "fc1", "fc2"]);
    assert!(whole.segments.iter().all(|s| s.steps() == 1 && s.how == "whole"));
    for options in plans() {
        let memory = Memory::of(&model(options).artifact());
        let (mut next, mut layers) = (0, vec![]);
        for segment in &memory.segments {
            assert_eq!(segment.first, next);
            next = segment.last + 1;
            layers.extend(segment.layers.iter().map(String::as_str));
            assert!(segment.layers_within(12).chars().count() <= 24, "{}", segment.layers_within(12));
        }
        assert_eq!((next, layers.len()), (memory.steps, 7));
        assert_eq!(memory.segments.iter().map(|s| s.weights_read).sum::<u64>(), memory.weights_read);
    }
    let least = Memory::of(&model(plans()[3]).artifact());
    assert!(least.streamed && least.segments[0].how.ends_with("as the input comes"), "{:?}", least.segments[0]);
}

#[test]
fn the_text_fits_a_terminal_and_names_everything() {
    for options in plans() {
        let model = model(options);
        let text = Memory::of(&model.artifact()).to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 130), "{text}");
        assert!(text.lines().count() < 110, "{text}");
        for name in ["input", "lrn", "conv2", "fc2", "peak: step", "stack stated 4096 B"] {
            assert!(text.contains(name), "{name}: {text}");
        }
        // Layer by layer the figures are as simple as this: the convolution's input and output, 4 bytes an element.
        if options.layers {
            let line = format!("RAM {} B, of which activations {} B", model.artifact().ram_bytes(), 2 * 32 * 32 * 16 * 4);
            assert!(text.contains(&line), "{line}: {text}");
        }
    }
}

#[test]
fn the_picture_is_well_formed() {
    for options in plans() {
        let memory = Memory::of(&model(options).artifact());
        let svg = svg(&memory, "a<b> & \"c\"");
        assert!(svg.contains("a&lt;b&gt; &amp; &quot;c&quot;") && svg.contains("conv&lt;1&gt; &amp; &quot;so&quot;"), "{svg}");
        // Every tag that is opened is closed, in order; no number is none.
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1).map(|rest| rest.split_once('>').unwrap().0) {
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "{svg}"),
                None if tag.ends_with('/') => {}
                None => open.push(tag.split(' ').next().unwrap()),
            }
        }
        assert!(open.is_empty() && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let boxes = svg.matches("<rect x=").count();
        // Besides, each kind has one in the legend.
        let kinds = Kind::ALL.into_iter().filter(|kind| memory.lives.iter().any(|life| life.kind == *kind)).count();
        assert_eq!(boxes, memory.lives.len() + kinds);
    }
}
