use super::*;
use std::fs;

/// A fifth of the pictures, ten epochs: enough to tell some of the classes apart.
fn short() -> Extent {
    let pictures = SynthOptions { train_per_class: 120, test_per_class: 10, ..SynthOptions::default() };
    Extent { pictures, epochs: 10 }
}

#[test]
fn the_engines_agree_on_a_network_that_was_just_trained() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("demo");
    let (mut drawn, mut epochs) = (0, 0);
    let report = run(&out, &short(), &mut |stage| match stage {
        Stage::Drawing(done, _) => drawn = done,
        Stage::Training(Event::Epoch(_)) => epochs += 1,
        Stage::Training(_) | Stage::Doing(_) => {}
    })
    .unwrap();
    assert_eq!((drawn, epochs, report.pictures), (1300, 10, (1200, 100)));

    // Three engines in f32 on the same weights, of which one is tract; a picture may lie on the border between two classes.
    let [trained, tract, float, int8] = &report.rows[..] else { panic!("{:?}", report.rows) };
    assert!(trained.top1 > 0.3, "ten classes, and {} of the pictures are told apart", trained.top1);
    assert!((tract.top1 - trained.top1).abs() <= 0.011 && (float.top1 - tract.top1).abs() <= 0.011, "{:?}", report.rows);
    assert!(report.float.ok && report.float.max_rel <= 1e-4, "{:?}", report.float);
    assert!(report.int8.layers.iter().all(|layer| layer.ok), "{:?}", report.int8.layers);
    // A byte a weight in place of four, and the head.
    assert!(int8.bytes * 3 < float.bytes && int8.ram_bytes < float.ram_bytes, "{:?}", report.rows);
    for (row, file) in [(tract, "run/model.onnx"), (float, "model-f32.snet"), (int8, "model.snet")] {
        assert_eq!(fs::metadata(out.join(file)).unwrap().len(), row.bytes, "{file}");
    }
    let table = report.to_string();
    assert!(
        table.contains("the trained net, f32   trainer (dfdx)") && table.contains("10 epochs on 1200 drawn pictures"),
        "{table}"
    );
}

#[test]
fn only_a_folder_of_its_own_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let theirs = dir.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("thesis.tex"), "years of work").unwrap();
    assert!(matches!(prepare(&theirs), Err(DemoError::Occupied(path)) if path == theirs));
    assert_eq!(fs::read(theirs.join("thesis.tex")).unwrap(), b"years of work");

    let own = dir.path().join("own");
    prepare(&own).unwrap();
    fs::write(own.join("model.snet"), "of an earlier demo").unwrap();
    prepare(&own).unwrap();
    assert!(!own.join("model.snet").exists());
}
