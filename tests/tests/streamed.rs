//! The same network planned layer by layer, and with every layer streamed through rings of rows in blocks of channels: the engine
//! must make the same bytes of both, int8 and f32.

mod common;

use common::networks::{self, Kind};
use common::streaming::streamed;
use common::{Case, Random, emitted, input_info, lowered, model, to_device};
use staticnet_exporter::emit::Emitted;

fn outputs(emitted: &Emitted, x: &[f32]) -> Vec<Vec<u8>> {
    let model = model(emitted);
    let mut ram = model.ram();
    let mut engine = model.engine(&mut ram).expect("the memory fits");
    engine.set_input_f32(0, &to_device(&input_info(&model.artifact()), x)).expect("the sample fits");
    engine.run().expect("an accepted artifact runs");
    (0..model.artifact().output_count()).map(|i| engine.output_bytes(i).expect("counted").to_vec()).collect()
}

#[test]
fn streamed_and_layer_by_layer_are_the_same_bytes() {
    let mut saved = 0;
    for seed in 0..400 {
        let _case = Case("streaming", seed);
        let mut random = Random(seed);
        let kind =
            Kind { depth: random.within(1, 6), branches: random.one_in(2), operators: random.pick(&networks::OPERATORS) };
        let graph = networks::random(&mut random, kind);
        let samples = networks::samples(&graph, &mut random, 3);
        for pair in lowered(&graph, &samples) {
            let (whole, sliced) = (emitted(&pair), streamed(&pair.0, &pair.1, &mut random));
            for x in &samples {
                assert_eq!(outputs(&whole, x), outputs(&sliced, x), "{graph}");
            }
            let steps = |e: &Emitted| model(e).artifact().step_count();
            saved += usize::from(steps(&sliced) > steps(&whole));
        }
    }
    assert!(saved > 700, "only {saved} of 800 plans were sliced at all");
}
