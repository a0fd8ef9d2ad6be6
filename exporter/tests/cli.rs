//! The command line, as users meet it: exit codes, messages that name the file, and files that are whole or not there.

#[path = "cli/fixture.rs"]
mod fixture;

use fixture::{Fixture, SIDE, graph, normalised, picture};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::{AttributeProto, Message, ModelProto, NodeProto};
use serde_json::Value;
use staticnet_graph::graph::Op;
use staticnet_graph::{npy, onnx};

const COMMANDS: [&str; 6] = ["check", "compile", "run", "eval", "verify", "inspect"];

#[test]
fn help_has_an_example_and_bad_usage_is_2() {
    let fixture = Fixture::new();
    for command in COMMANDS {
        let output = fixture.run(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("Example") && help.contains(&format!("exporter {command}")), "{help}");
        fixture.refuses(&[command, "--no-such-option"], &["--no-such-option"]);
        fixture.refuses(&[command], &["required"]);
    }
    fixture.refuses(&["frobnicate"], &["frobnicate"]);
}

#[test]
fn a_model_that_is_missing_or_no_model() {
    let fixture = Fixture::compiled();
    fixture.write("text.onnx", b"this is not a protobuf message, let alone a model");
    fixture.write("empty.onnx", b"");
    let model = fixture.read("model.onnx");
    fixture.write("half.onnx", &model[..model.len() / 2]);
    for bad in ["nowhere.onnx", "text.onnx", "empty.onnx", "half.onnx", "data"] {
        fixture.refuses(&["check", bad], &[bad]);
        fixture.refuses(&["compile", bad, "--float", "-o", "new.snet"], &[bad]);
        fixture.refuses(&["verify", bad, "model.snet"], &[bad]);
    }
    assert!(!fixture.path("new.snet").exists());
}

/// The model with two operators behind it that are not supported, and a pad mode that does not exist.
fn unsupported() -> Vec<u8> {
    let mut model = ModelProto::parse_from_bytes(&onnx::to_bytes(&graph(1)).unwrap()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let conv = graph.node.iter_mut().find(|n| n.name == "conv").unwrap();
    conv.attribute.retain(|a| a.name != "pads");
    let s = b"SAME_SOMEHOW".to_vec();
    conv.attribute.push(AttributeProto {
        name: "auto_pad".into(),
        type_: AttributeType::STRING.into(),
        s,
        ..Default::default()
    });
    let node = |name: &str, op: &str, input: &str, output: &str| NodeProto {
        name: name.into(),
        op_type: op.into(),
        input: vec![input.into()],
        output: vec![output.into()],
        ..Default::default()
    };
    let logits = graph.output[0].name.clone();
    graph.node.push(node("squash", "Erf", &logits, "squashed"));
    graph.node.push(node("probabilities", "Hardmax", &logits, "soft"));
    graph.output[0].name = "soft".into();
    model.write_to_bytes().unwrap()
}

#[test]
fn everything_unsupported_is_listed_at_once() {
    let fixture = Fixture::new();
    fixture.write("odd.onnx", &unsupported());
    let json = fixture.exits(1, &["check", "odd.onnx", "--json"]);
    assert_eq!(json["supported"], false);
    let problems = json["problems"].as_array().unwrap();
    let field = |node: &str, field: &str| -> String {
        let problem = problems.iter().find(|p| p["node"] == node).unwrap_or_else(|| panic!("{node} is missing: {json}"));
        problem[field].as_str().unwrap_or_else(|| panic!("no {field}: {problem}")).to_string()
    };
    assert_eq!([field("conv", "op"), field("conv", "attribute")], ["Conv", "auto_pad"]);
    assert!(field("conv", "reason").contains("SAME_SOMEHOW"));
    assert_eq!([field("squash", "op"), field("probabilities", "op")], ["Erf", "Hardmax"]);
    for node in ["conv", "squash", "probabilities"] {
        assert!(!field(node, "reason").is_empty() && !field(node, "hint").is_empty());
    }
    // In words, the same, from check and from compile.
    let words = ["conv (Conv), auto_pad: SAME_SOMEHOW", "squash (Erf)", "probabilities (Hardmax)"];
    let output = fixture.run(&["check", "odd.onnx"]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(words.iter().all(|w| stdout.contains(w)), "{stdout}");
    let mut needles = vec!["odd.onnx"];
    needles.extend(words);
    fixture.refuses(&["compile", "odd.onnx", "--float", "-o", "new.snet"], &needles);
    assert!(!fixture.path("new.snet").exists());

    let json = fixture.succeeds(&["check", "model.onnx", "--json"]);
    assert_eq!((&json["supported"], json["problems"].as_array().map(Vec::len)), (&Value::Bool(true), Some(0)));
}

/// What ONNX can say and the importer takes, but the runtime does not have.
#[test]
fn what_the_runtime_lacks_names_the_file_too() {
    let fixture = Fixture::new();
    let mut graph = graph(1);
    let pooled = graph.nodes[2].output;
    let wide = graph.add("wide", Op::Reshape { shape: vec![1, 1, 8, 6, 6] }, &[pooled], &[]).unwrap();
    graph.outputs = vec![wide];
    graph.labels.clear();
    fixture.write("five.onnx", &onnx::to_bytes(&graph).unwrap());
    fixture.refuses(&["compile", "five.onnx", "--float", "-o", "new.snet"], &["five.onnx", "wide"]);
    assert_eq!(fixture.exits(1, &["check", "five.onnx"])["supported"], false);
}

#[test]
fn compile_needs_samples_or_float_and_not_both() {
    let fixture = Fixture::new();
    fixture.refuses(&["compile", "model.onnx", "-o", "new.snet"], &["--calibrate"]);
    fixture.refuses(&["compile", "model.onnx", "-o", "new.snet", "--float", "--calibrate", "data"], &["--float"]);
    fixture.refuses(&["compile", "model.onnx", "--float"], &["--output"]);
    fixture.refuses(&["compile", "model.onnx", "-o", "new.snet", "--calibrate", "nowhere"], &["nowhere"]);
    assert_eq!(fixture.listing(), ["data", "model.onnx"]);
}

#[test]
fn arrays_that_do_not_fit() {
    let fixture = Fixture::compiled();
    let side = SIDE as usize;
    fixture.write_npy("narrow.npy", &[2, 3, side, side - 1], vec![0.0; 2 * 3 * side * (side - 1)]);
    fixture.write_npy("nhwc.npy", &[1, side, side, 3], vec![0.0; 3 * side * side]);
    fixture.write_npy("none.npy", &[0, 3, side, side], vec![]);
    fixture.write_npy("nan.npy", &[1, 3, side, side], vec![f32::NAN; 3 * side * side]);
    let fitting = fixture.path("narrow.npy");
    std::fs::write(fixture.path("cut.npy"), &std::fs::read(fitting).unwrap()[..300]).unwrap();
    fixture.write("text.npy", b"1 2 3");
    for bad in ["narrow.npy", "nhwc.npy", "cut.npy", "text.npy", "nowhere.npy"] {
        fixture.refuses(&["compile", "model.onnx", "--calibrate", bad, "-o", "new.snet"], &[bad]);
        fixture.refuses(&["run", "model.snet", bad], &[bad]);
        fixture.refuses(&["verify", "model.onnx", "model.snet", "--data", bad], &[bad]);
    }
    fixture.refuses(&["run", "model.snet", "narrow.npy"], &["[2, 3, 12, 11]", "[1, 3, 12, 12]"]);
    fixture.refuses(
        &["compile", "model.onnx", "--calibrate", "narrow.npy", "-o", "new.snet"],
        &["[2, 3, 12, 11]", "[N, 3, 12, 12]"],
    );
    fixture.refuses(&["compile", "model.onnx", "--calibrate", "none.npy", "-o", "new.snet"], &["none.npy", "no sample"]);
    fixture.refuses(&["verify", "model.onnx", "model.snet", "--data", "none.npy"], &["none.npy", "no sample"]);
    fixture.refuses(&["compile", "model.onnx", "--calibrate", "nan.npy", "-o", "new.snet"], &["nan.npy", "not a number"]);
    assert!(!fixture.path("new.snet").exists());
}

#[test]
fn artifacts_that_are_damaged() {
    let fixture = Fixture::compiled();
    let good = fixture.read("model.snet");
    fixture.write("cut.snet", &good[..good.len() - 1]);
    fixture.write("head.snet", &good[..100]);
    fixture.write("empty.snet", b"");
    fixture.write("magic.snet", b"a text of more than sixty-four bytes, which is the length of the header of an artifact");
    for (name, at) in [("head-bit.snet", 70), ("weight-bit.snet", good.len() - 40)] {
        let mut bad = good.clone();
        bad[at] ^= 4;
        fixture.write(name, &bad);
    }
    for bad in ["cut.snet", "head.snet", "empty.snet", "magic.snet", "head-bit.snet", "weight-bit.snet", "nowhere.snet"] {
        fixture.refuses(&["inspect", bad], &[bad]);
        fixture.refuses(&["run", bad, "data/test/ant/0.png"], &[bad]);
        fixture.refuses(&["eval", bad, "data"], &[bad]);
        fixture.refuses(&["verify", "model.onnx", bad], &[bad]);
    }
    fixture.refuses(&["inspect", "cut.snet"], &["truncated"]);
    fixture.refuses(&["inspect", "weight-bit.snet"], &["checksum"]);
    fixture.refuses(&["inspect", "magic.snet"], &["SNET"]);
}

#[test]
fn pictures_and_folders_that_cannot_be_used() {
    let fixture = Fixture::compiled();
    fixture.refuses(&["eval", "model.snet", "nowhere"], &["nowhere"]);
    fixture.refuses(&["eval", "model.snet", "model.onnx"], &["model.onnx"]);
    fixture.refuses(&["run", "model.snet", "nowhere.png"], &["nowhere.png"]);

    let good = fixture.read("data/test/bee/1.png");
    fixture.write("data/test/bee/broken.png", &good[..good.len() / 2]);
    fixture.write("data/train/cow/broken.jpg", b"no picture");
    fixture.refuses(&["eval", "model.snet", "data"], &["broken.png"]);
    fixture.refuses(&["run", "model.snet", "data/test/bee/broken.png"], &["broken.png"]);
    fixture.refuses(&["compile", "model.onnx", "--calibrate", "data", "-o", "new.snet"], &["broken.jpg"]);
    fixture.refuses(&["verify", "model.onnx", "model.snet", "--data", "data"], &["broken.png"]);
    std::fs::remove_file(fixture.path("data/test/bee/broken.png")).unwrap();
    std::fs::remove_file(fixture.path("data/train/cow/broken.jpg")).unwrap();

    std::fs::create_dir_all(fixture.path("data/train/dog")).unwrap();
    fixture.refuses(&["compile", "model.onnx", "--calibrate", "data", "-o", "new.snet"], &["dog", "empty"]);
    assert!(!fixture.path("new.snet").exists());
    std::fs::create_dir_all(fixture.path("none")).unwrap();
    fixture.refuses(&["eval", "model.snet", "none"], &["none", "class"]);
}

#[test]
fn labels_of_another_data_set() {
    let fixture = Fixture::compiled();
    std::fs::rename(fixture.path("data/train/bee"), fixture.path("data/train/yak")).unwrap();
    std::fs::rename(fixture.path("data/test/bee"), fixture.path("data/test/yak")).unwrap();
    fixture.refuses(&["eval", "model.snet", "data"], &["data", "yak", "bee"]);
}

/// A model without preprocessing takes numbers only, and says so.
#[test]
fn a_model_without_preprocessing() {
    let fixture = Fixture::new();
    let mut graph = graph(1);
    graph.preprocess = None;
    fixture.write("bare.onnx", &onnx::to_bytes(&graph).unwrap());
    fixture.refuses(&["compile", "bare.onnx", "--calibrate", "data", "-o", "new.snet"], &["preprocessing", ".npy"]);
    fixture.succeeds(&["compile", "bare.onnx", "--float", "-o", "bare.snet"]);
    fixture.refuses(&["run", "bare.snet", "data/test/ant/0.png"], &["bare.snet", "preprocessing"]);
    fixture.refuses(&["eval", "bare.snet", "data"], &["bare.snet", "preprocessing"]);
}

#[test]
fn outputs_that_cannot_be_written() {
    let fixture = Fixture::compiled();
    let before = fixture.listing();
    for target in ["no/such/folder/out", "data"] {
        fixture.refuses(&["compile", "model.onnx", "--float", "-o", target], &[target]);
        let output = fixture.run(&["run", "model.snet", "data/test/ant/0.png", "--output", target]);
        fixture.says_no(&output, &["run"], &[target]);
        let output = fixture.run(&["verify", "model.onnx", "model.snet", "--json", "--junit", target]);
        fixture.says_no(&output, &["verify"], &[target]);
    }
    fixture.refuses(&["compile", "model.onnx", "--float", "--split", "-o", "new.weights"], &["new.weights"]);
    assert_eq!(fixture.listing(), before);
}

/// The disk is full: the old file stays as it was, and nothing is left beside it.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_old_file_and_no_other() {
    let fixture = Fixture::compiled();
    fixture.write("old.npy", b"an older result");
    fixture.write("old.xml", b"an older report");
    let kept: Vec<(String, Vec<u8>)> = ["model.snet", "old.npy", "old.xml"].map(|n| (n.to_string(), fixture.read(n))).into();
    let before = fixture.listing();
    let runs: [(u32, &[&str], &str); 6] = [
        // Room for the beginning of the file.
        (1, &["compile", "model.onnx", "--float", "-o", "model.snet"], "model.snet"),
        // For nothing at all.
        (0, &["compile", "model.onnx", "--float", "-o", "model.snet"], "model.snet"),
        (1, &["compile", "model.onnx", "--float", "-o", "new.snet"], "new.snet"),
        (0, &["compile", "model.onnx", "--float", "--split", "-o", "new.snet"], "new.weights"),
        (0, &["run", "model.snet", "data/test/ant/0.png", "--output", "old.npy"], "old.npy"),
        (0, &["verify", "model.onnx", "model.snet", "--junit", "old.xml", "--json"], "old.xml"),
    ];
    for (blocks, args, named) in runs {
        fixture.says_no(&fixture.run_on_a_full_disk(blocks, args), args, &[named]);
        assert_eq!(fixture.listing(), before, "{args:?}");
        for (name, bytes) in &kept {
            assert_eq!(&fixture.read(name), bytes, "{args:?} changed {name}");
        }
    }
    // The limit is what stopped it.
    let output = fixture.run_on_a_full_disk(10_000, &["compile", "model.onnx", "--float", "-o", "new.snet"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn split_weights_make_the_round_trip() {
    let fixture = Fixture::compiled();
    fixture.succeeds(&["compile", "model.onnx", "--calibrate", "data", "--split", "-o", "split.snet"]);
    let (whole, head, weights) = (fixture.read("model.snet"), fixture.read("split.snet"), fixture.read("split.weights"));
    assert_eq!(head.len() + weights.len(), whole.len());
    assert!(whole.ends_with(&weights));
    let image = "data/test/cow/1.png";
    fixture.succeeds(&["run", "model.snet", image, "--output", "whole.npy"]);
    fixture.succeeds(&["run", "split.snet", image, "--output", "split.npy"]);
    assert_eq!(fixture.read("whole.npy"), fixture.read("split.npy"));
    assert_eq!(fixture.succeeds(&["verify", "model.onnx", "split.snet", "--json"])["ok"], true);

    let mut damaged = weights.clone();
    damaged[weights.len() / 2] ^= 1;
    for bad in [damaged, weights[1..].to_vec(), vec![]] {
        fixture.write("split.weights", &bad);
        fixture.refuses(&["run", "split.snet", image], &["split.weights"]);
        fixture.refuses(&["inspect", "split.snet"], &["split.weights"]);
    }
    std::fs::remove_file(fixture.path("split.weights")).unwrap();
    fixture.refuses(&["run", "split.snet", image], &["split.weights"]);
}

/// A picture of the input's size and the numbers that the model's preprocessing makes of it are the same input.
#[test]
fn a_picture_and_its_numbers_give_the_same_bytes() {
    let fixture = Fixture::compiled();
    let pictures: Vec<_> = (0..3).map(|seed| picture(1000 + seed, SIDE, SIDE)).collect();
    let numbers = pictures.iter().flat_map(normalised).collect();
    fixture.write_npy("all.npy", &[3, 3, SIDE as usize, SIDE as usize], numbers);
    for artifact in ["model.snet", "float.snet"] {
        fixture.succeeds(&["run", artifact, "all.npy", "--output", "all-out.npy"]);
        let all = npy::read(&fixture.path("all-out.npy")).unwrap();
        assert_eq!(all.shape, [3, 3]);
        for (i, picture) in pictures.iter().enumerate() {
            picture.save(fixture.path("one.png")).unwrap();
            fixture.succeeds(&["run", artifact, "one.png", "--output", "one.npy"]);
            let one = npy::read(&fixture.path("one.npy")).unwrap();
            assert_eq!(one.shape, [1, 3]);
            assert_eq!(one.data, all.data[3 * i..3 * i + 3], "{artifact}, picture {i}");
        }
    }
    // A grey picture is taken too.
    fixture::save_grey(&fixture.path("grey.png"));
    fixture.succeeds(&["run", "model.snet", "grey.png"]);
}
