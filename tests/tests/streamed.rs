//! The same network planned layer by layer, and with every layer streamed through rings of rows in blocks of channels: the engine
//! must make the same bytes of both, int8 and f32.

mod common;

use common::networks::{self, Kind};
use common::streaming::streamed;
use common::{Case, Random, input_info, nhwc, quantized};
use staticnet_exporter::compile::{self, Options};
use staticnet_exporter::emit::Emitted;
use staticnet_exporter::host::Model;

fn output(emitted: &Emitted, x: &[f32]) -> Vec<u8> {
    let model = Model::from_bytes(&emitted.joined()).expect("the plan is acceptable");
    let mut ram = model.ram();
    let mut engine = model.engine(&mut ram).expect("the memory fits");
    engine.set_input_f32(0, &nhwc(&input_info(&model.artifact()), x)).expect("the sample fits");
    engine.run().expect("an accepted artifact runs");
    engine.output_bytes(0).expect("there is an output").to_vec()
}

#[test]
fn streamed_and_layer_by_layer_are_the_same_bytes() {
    let mut saved = 0;
    for seed in 0..400 {
        let _case = Case("streaming", seed);
        let mut random = Random(seed);
        let kind = Kind { depth: random.within(1, 6), branches: false, lrn: true };
        let graph = networks::random(&mut random, kind);
        let network = compile::network(&graph).expect("everything is supported");
        let samples = networks::samples(&graph, &mut random, 3);
        let quantized = quantized(&network, &samples);
        let float = compile::emit_network(&network, None, &Options::default()).expect("small");
        let int8 = compile::emit_network(&network, Some(&quantized), &Options::default()).expect("small");
        for (whole, quantized) in [(float, None), (int8, Some(&quantized))] {
            let sliced = streamed(&network, quantized, &mut random);
            for x in &samples {
                assert_eq!(output(&whole, x), output(&sliced, x), "{graph}");
            }
            let rows = |e: &Emitted| Model::from_bytes(&e.joined()).map(|m| m.artifact().step_count()).expect("just made");
            saved += usize::from(rows(&sliced) > rows(&whole));
        }
    }
    assert!(saved > 700, "only {saved} of 800 plans were sliced at all");
}
