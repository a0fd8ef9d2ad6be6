//! What the command line prints for other tools: JSON on the last line, with the fields and figures that they rely on.

#[path = "cli/fixture.rs"]
mod fixture;

use fixture::{CLASSES, Fixture, SIDE, graph};
use serde_json::Value;
use staticnet_graph::{npy, onnx};

#[test]
fn run_shows_the_best_classes_first() {
    let fixture = Fixture::compiled();
    let json = fixture.succeeds(&["run", "model.snet", "data/test/ant/0.png", "--top-k", "2", "--output", "out.npy"]);
    let scores = npy::read(&fixture.path("out.npy")).unwrap().data;
    let best = (0..3).max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a))).unwrap();
    let top = json["top"][0].as_array().unwrap();
    assert_eq!(top.len(), 2);
    assert_eq!((top[0]["class"].as_u64(), top[0]["label"].as_str()), (Some(best as u64), Some(CLASSES[best])));
    assert!(top[0]["score"].as_f64() >= top[1]["score"].as_f64());
    assert_eq!(json["n"], 1);
    fixture.succeeds(&["run", "model.snet", "data/test/ant/0.png", "--top-k", "100"]);
}

/// The fields that other tools read, and figures computed by hand.
#[test]
fn inspect_in_json() {
    let fixture = Fixture::compiled();
    for (artifact, planned, element, kind) in
        [("layers.snet", "model.snet", 1, &["--calibrate", "data"][..]), ("float-layers.snet", "float.snet", 4, &["--float"])]
    {
        // Where every tensor is whole, figures are easily told.
        fixture.succeeds(&[&["compile", "model.onnx", "-o", artifact, "--plan", "layers"][..], kind].concat());
        let json = fixture.succeeds(&["inspect", artifact, "--json"]);
        let number = |field: &str| json[field].as_u64().unwrap_or_else(|| panic!("{field}: {json}"));
        let side = SIDE as u64;
        let (conv, fc) = (side * side * 8 * 27, 3 * 8 * side * side / 4);
        assert_eq!((number("format_version"), &json["target"]), (4, &Value::from("portable")));
        assert_eq!(number("macs"), conv + fc);
        let per_channel = if element == 1 { 8 } else { 4 };
        let of_layer = [8 * (27 * element + per_channel), 0, 3 * (8 * side * side / 4 * element + per_channel)];
        assert_eq!(number("weight_bytes_read"), of_layer.iter().sum::<u64>());
        // Alignment may add to each layer's.
        assert!((number("weight_bytes_read")..number("weight_bytes_read") + 32).contains(&number("weight_bytes")));
        // The convolution's input and output are there at the same time; besides, there are its scratch and a line of 16-bit numbers,
        // in int8 with a table for each channel, that make rows of pictures.
        let activations = (3 + 8) * side * side * element;
        let (scratch, line, tables) = (4 * 27 * element, 2 * 3 * side, if element == 1 { 3 * 256 } else { 0 });
        assert!((activations..activations + 32).contains(&number("activation_bytes")), "{json}");
        let others = number("activation_bytes") + line + tables;
        assert!((others..others + scratch + 48).contains(&number("ram_bytes")), "{json}");
        let layers = json["layers"].as_array().unwrap();
        let names: Vec<_> = layers.iter().map(|l| (l["name"].as_str().unwrap(), l["op"].as_str().unwrap())).collect();
        assert_eq!(names, [("conv", "Conv"), ("pool", "MaxPool"), ("fc", "Gemm")]);
        let macs: Vec<_> = layers.iter().map(|l| l["macs"].as_u64().unwrap()).collect();
        assert_eq!(macs, [conv, 0, fc]);
        let weights: Vec<_> = layers.iter().map(|l| l["weight_bytes"].as_u64().unwrap()).collect();
        assert_eq!(weights, of_layer);
        assert_eq!(layers[1]["output_shape"], serde_json::json!([1, 8, 6, 6]));
        assert_eq!(layers[2]["output_shape"], serde_json::json!([1, 3]));
        let streamed = fixture.succeeds(&["inspect", planned, "--json"]);
        assert!(streamed["ram_bytes"].as_u64() < json["ram_bytes"].as_u64(), "{streamed}");
        assert_eq!(streamed["weight_bytes_read"], json["weight_bytes_read"]);
    }
    let plan = fixture.run(&["inspect", "model.snet", "--plan", "--svg", "memory.svg"]);
    let text = String::from_utf8(plan.stdout).unwrap();
    assert!(text.contains("RAM over time") && text.contains("peak: step"), "{text}");
    let svg = String::from_utf8(fixture.read("memory.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && svg.contains(">model</text>"), "{svg}");
    // The picture is of the plan.
    fixture.refuses(&["inspect", "model.snet", "--svg", "other.svg"], &["--plan"]);
    assert!(!fixture.path("other.svg").exists());
}

/// The accuracy, counted once more from `run` on each picture.
#[test]
fn eval_in_json() {
    let fixture = Fixture::compiled();
    let json = fixture.succeeds(&["eval", "model.snet", "data", "--json"]);
    let mut right = 0;
    for (c, class) in CLASSES.iter().enumerate() {
        for i in 0..2 {
            let top = fixture.succeeds(&["run", "model.snet", &format!("data/test/{class}/{i}.png"), "--top-k", "1"]);
            right += usize::from(top["top"][0][0]["class"] == c);
        }
    }
    assert_eq!((json["n"].as_u64(), json["top1"].as_f64()), (Some(6), Some(right as f64 / 6.0)));
    // Five places for three classes.
    assert_eq!(json["top5"].as_f64(), Some(1.0));
}

#[test]
fn verify_in_json_and_its_exit_codes() {
    let fixture = Fixture::compiled();
    for artifact in ["model.snet", "float.snet"] {
        for data in [&["--data", "data"][..], &[]] {
            let mut args = vec!["verify", "model.onnx", artifact, "--json", "--junit", "report.xml"];
            args.extend(data);
            let json = fixture.succeeds(&args);
            assert_eq!(json["ok"], true);
            assert!(json["max_rel"].as_f64().is_some() && json["top1_agreement"].as_f64().is_some(), "{json}");
            assert!(json["first_bad_layer"].is_null());
            let names: Vec<_> = json["layers"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect();
            assert_eq!(names, ["conv", "pool", "fc"]);
            for layer in json["layers"].as_array().unwrap() {
                assert!(layer["max_abs"].as_f64().is_some() && layer["max_rel"].as_f64().is_some(), "{layer}");
                assert!(layer.as_object().unwrap().contains_key("sqnr_db"), "{layer}");
            }
            let xml = String::from_utf8(fixture.read("report.xml")).unwrap();
            assert!(xml.contains("tests=\"4\" failures=\"0\"") && xml.contains("name=\"conv\""), "{xml}");
        }
    }
    // The same network with other weights: a failed check, not an error.
    fixture.write("other.onnx", &onnx::to_bytes(&graph(2)).unwrap());
    for artifact in ["model.snet", "float.snet"] {
        let json = fixture.exits(1, &["verify", "other.onnx", artifact, "--json", "--junit", "report.xml"]);
        assert_eq!((&json["ok"], &json["first_bad_layer"]), (&Value::Bool(false), &Value::from("conv")));
        let xml = String::from_utf8(fixture.read("report.xml")).unwrap();
        assert!(!xml.contains("failures=\"0\"") && xml.contains("<failure"), "{xml}");
    }
}
