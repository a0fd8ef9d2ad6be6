//! Random networks of every operator, and the one that has them all, held against tract: float and int8, layer by layer and whole.

use staticnet::op::PadMode;
use staticnet_exporter::Error;
use staticnet_exporter::host::Model;
use staticnet_exporter::verify::{Verification, verify};
use staticnet_graph::graph::{Graph, Op, Tensor};
use staticnet_graph::onnx;
use staticnet_testing::graphs::networks::{self, Kind, Operators};
use staticnet_testing::graphs::{compiled, every_op};
use staticnet_testing::{Case, Random};

/// What `verify` says of a float and an int8 artifact of a graph.
fn verified(graph: &Graph, random: &mut Random) -> [Result<Verification, Error>; 2] {
    let bytes = onnx::to_bytes(graph).expect("a consistent graph");
    let samples = networks::samples(graph, random, 12);
    let shape = [&[samples.len()], &graph.shape(graph.inputs[0])[1..]].concat();
    let batch = Tensor { shape, data: samples.concat() };
    // What the exporter is given: import leaves out what does nothing.
    let imported = onnx::import_bytes(&bytes).expect("just written");
    compiled(&imported, &samples).map(|model: Model| verify(&bytes, &model, &batch, &|_| {}))
}

#[test]
fn random_networks() {
    let (mut sqnr, mut layers) = (vec![], 0);
    for seed in 0..200 {
        let _case = Case("equivalence", seed);
        let mut random = Random(seed);
        let kind = Kind { depth: random.within(2, 8), branches: random.one_in(2), operators: Operators::Every };
        let graph = networks::random(&mut random, kind);
        // tract has no such mode, and no norms.
        let unknown = |op: &Op| match op {
            Op::Pad { mode, .. } => *mode == PadMode::Wrap,
            Op::LpPool(_) => true,
            _ => false,
        };
        if graph.nodes.iter().any(|node| unknown(&node.op)) {
            continue;
        }
        let [float, int8] = verified(&graph, &mut random).map(|v| v.unwrap_or_else(|e| panic!("{e}\n{graph}")));
        let wrong: Vec<_> = float.layers.iter().filter(|layer| !layer.ok).collect();
        assert!(float.ok, "{graph}\n{wrong:#?}\nthe whole: {}", float.max_rel);
        let wrong: Vec<_> = int8.layers.iter().filter(|layer| !layer.ok).collect();
        assert!(int8.first_bad_layer.is_none(), "{graph}\n{wrong:#?}");
        layers += int8.layers.len();
        sqnr.push(int8.sqnr_db);
    }
    assert!(sqnr.len() > 150, "only {} networks were compared", sqnr.len());
    sqnr.sort_by(f64::total_cmp);
    println!("{layers} layers; SQNR {:.1} dB at least, {:.1} dB in the middle", sqnr[0], sqnr[sqnr.len() / 2]);
    // No network of random weights owes anybody 20 dB, but most have them.
    assert!(sqnr[sqnr.len() / 10] >= 20.0, "{sqnr:?}");
}

#[test]
fn every_operator() {
    let [float, int8] = verified(&every_op::graph_of_tract(), &mut Random(3)).map(|v| v.expect("tract runs it"));
    assert!(float.ok, "{float:#?}");
    // Indices of the highest are another number where two are about as high; that no ratio of signal and noise describes.
    assert!(int8.first_bad_layer.is_none(), "{int8:#?}");
}
