//! The documented example of a data set, a loss, a metric and a callback from outside.

#[path = "../examples/own_data.rs"]
mod own_data;

#[test]
fn the_example_learns() {
    let dir = tempfile::tempdir().unwrap();
    let (summary, share) = own_data::train_spots(dir.path(), 12).unwrap();
    assert!(share >= 0.8, "{share} found");
    assert!(dir.path().join("model.onnx").is_file() && summary.epochs >= 1);
    let header = std::fs::read_to_string(dir.path().join("metrics.csv")).unwrap();
    assert!(header.lines().next().unwrap().contains("found"));
}
