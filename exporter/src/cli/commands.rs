//! What each command does. `Ok(false)` is a failed check.

use super::budget;
use super::progress::Progress;
use super::{CheckArgs, CompileArgs, EvalArgs, ImportArgs, InspectArgs, RunArgs, VerifyArgs};
use crate::compile::{Options, Samples, emit_plan, plan_network};
use crate::error::Error;
use crate::host::{Model, host_shape, weights_path};
use crate::quantized_onnx::{self, Form};
use crate::report::{Memory, report, svg};
use crate::{evaluate, verify as verification};
use serde_json::json;
use staticnet::preprocess::Preprocess;
use staticnet::record::{HostType, TensorInfo};
use staticnet_data::{DataError, DataSet, Split, decode, pixels, sample};
use staticnet_graph::console::{line, note};
use staticnet_graph::diagnostic::Diagnostic;
use staticnet_graph::file::{read_at_most, write_atomically, write_parts_atomically};
use staticnet_graph::graph::{Graph, Tensor};
use staticnet_graph::memory::peak_rss;
use staticnet_graph::{models, npy, onnx, safetensors};
use std::path::Path;

/// Gives an error of the library, which knows no files, the name of the file that it is about.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other errors name their file themselves")]
fn about(file: &Path) -> impl Fn(Error) -> Error {
    let file = file.to_path_buf();
    move |error| match error {
        Error::Unsupported(problems) => Error::Import(onnx::ImportError::Unsupported { file: file.clone(), problems }),
        Error::Run(error) => Error::Input { from: file.display().to_string(), reason: error.to_string() },
        Error::Input { reason, .. } => Error::Input { from: file.display().to_string(), reason },
        other => other,
    }
}

fn wrong_input(path: &Path, reason: impl ToString) -> Error {
    Error::Input { from: path.display().to_string(), reason: reason.to_string() }
}

/// Reads a model with the sizes and constants that the command line gives it, or parameters of a network by name.
fn import(path: &Path, args: &ImportArgs) -> Result<Graph, Error> {
    let holds_parameters = path.extension().is_some_and(|e| e == "safetensors");
    let wrong = |reason: &str| Err(wrong_input(path, reason));
    match (args.arch.as_deref().and_then(models::by_name), holds_parameters) {
        (Some(architecture), true) => return Ok(safetensors::load_architecture(architecture, path)?),
        (Some(_), false) => {
            return wrong("is no .safetensors file; --arch is for those, an ONNX model has its network with it");
        }
        (None, true) => return wrong("holds parameters only; name their network with --arch"),
        (None, false) => {}
    }
    let mut options = onnx::ImportOptions::default();
    for (name, size) in &args.sizes {
        options.sizes.insert(name.clone(), *size);
    }
    for (name, file) in &args.bind {
        options.bind.insert(name.clone(), file.into());
    }
    Ok(onnx::import_with(path, &options)?)
}

pub(super) fn check(args: &CheckArgs) -> Result<bool, Error> {
    let problems: Vec<Diagnostic> = match import(&args.model, &args.import) {
        Ok(graph) => match crate::compile::network(graph) {
            Ok(_) => Vec::new(),
            Err(Error::Unsupported(problems)) => problems,
            Err(error) => return Err(error),
        },
        Err(Error::Import(error)) if !error.diagnostics().is_empty() => error.diagnostics().to_vec(),
        Err(error) => return Err(error),
    };
    if !args.json {
        problems.iter().try_for_each(line)?;
        line(if problems.is_empty() { "everything is supported" } else { "not supported" })?;
    }
    line(json!({ "supported": problems.is_empty(), "problems": problems }))?;
    Ok(problems.is_empty())
}

pub(super) fn compile(args: &CompileArgs) -> Result<bool, Error> {
    let graph = import(&args.model, &args.import)?;
    let options = Options { split: args.split, plan: args.budget.plan_options(), flash: args.budget.flash() };
    if args.budget.source().is_some() && graph.preprocess.is_none() {
        return Err(wrong_input(
            &args.model,
            "carries no preprocessing, so that no picture has rows for it: leave --source out",
        ));
    }
    if !args.float && args.calibrate.is_none() && !crate::compile::is_quantized(&graph) {
        let reason = "is not quantized yet: give samples with --calibrate, or keep f32 with --float".into();
        return Err(Error::Input { from: args.model.display().to_string(), reason });
    }
    let network = match &args.calibrate {
        Some(path) => {
            let limit = args.calibrate_samples as usize;
            let numbers = match is_npy(path) {
                true => arrays(path, &graph, limit)?,
                false => pictures(path, &graph, limit, Split::Train, pixels)?,
            };
            let samples = if is_npy(path) { Samples::Arrays(&numbers) } else { Samples::Pictures(&numbers) };
            note(format!("quantizing with {} samples of {}", numbers.len(), path.display()));
            crate::compile::quantized(graph, samples).map_err(|error| {
                let of_samples = matches!(error, Error::Input { .. });
                about(if of_samples { path } else { &args.model })(error)
            })?
        }
        None => crate::compile::as_it_is(graph).map_err(about(&args.model))?,
    };
    for (path, form) in [(&args.qoperator, Form::QOperator), (&args.qdq, Form::Qdq)] {
        if let Some(path) = path {
            let bytes = quantized_onnx::write(&network, form).map_err(Error::Unsupported).map_err(about(&args.model))?;
            write_atomically(path, &bytes)?;
        }
    }
    let planned = plan_network(&network, &options);
    let emitted = planned.and_then(|plan| Ok((emit_plan(network, &plan, &options)?, plan)));
    let (emitted, plan) = match emitted {
        Ok(both) => both,
        Err(Error::OverBudget(over)) => {
            note(format!("exporter: {}: {over}", args.model.display()));
            line(budget::over_json(&over))?;
            return Ok(false);
        }
        Err(error) => return Err(about(&args.model)(error)),
    };
    if args.split {
        if weights_path(&args.output) == args.output {
            let reason = "is where the weights go: give the artifact another ending".into();
            return Err(Error::Input { from: args.output.display().to_string(), reason });
        }
        write_atomically(&weights_path(&args.output), emitted.payload.as_ref())?;
        write_atomically(&args.output, &emitted.head)?;
    } else {
        write_parts_atomically(&args.output, &[&emitted.head, emitted.payload.as_ref()])?;
    }
    drop(emitted);
    let model = Model::load(&args.output)?;
    let report = report(&model.artifact());
    line(format!("{report}\n{}", budget::describe(&plan)))?;
    let peak: Vec<_> = plan.peak.iter().map(|share| json!({ "name": share.name, "bytes": share.bytes })).collect();
    line(json!({
        "output": args.output, "ram_bytes": report.ram_bytes, "activation_bytes": report.activation_bytes,
        "weight_bytes": report.weight_bytes, "weight_bytes_read": report.weight_bytes_read, "macs": report.macs,
        "bound_bytes": plan.bound.ram, "gap": plan.gap(), "peak": peak, "peak_rss_bytes": peak_rss(),
    }))?;
    Ok(true)
}

/// Whether samples are numbers as the ONNX model takes them, not pictures.
fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "npy")
}

/// The shape of a sample of the first input.
fn sample_shape(graph: &Graph) -> Vec<usize> {
    graph.inputs.first().map(|&i| graph.shape(i)[1..].to_vec()).unwrap_or_default()
}

/// Up to `limit` samples of a .npy as the ONNX model takes them, spread evenly.
fn arrays(path: &Path, graph: &Graph, limit: usize) -> Result<Vec<Vec<f32>>, Error> {
    let shape = sample_shape(graph);
    let batch = npy::read(path)?;
    if batch.shape.get(1..) != Some(&shape[..]) {
        let dims: String = shape.iter().map(|d| format!(", {d}")).collect();
        return Err(wrong_input(path, format!("has shape {:?}; the model takes [N{dims}]", batch.shape)));
    }
    if batch.shape[0] == 0 {
        return Err(wrong_input(path, "holds no sample"));
    }
    let (n, element) = (batch.shape[0], shape.iter().product::<usize>());
    let keep = n.min(limit);
    Ok((0..keep).map(|i| batch.data[i * n / keep * element..][..element].to_vec()).collect())
}

/// How a sample of a data set is read.
type Load = fn(&DataSet, usize, &Preprocess) -> Result<Vec<f32>, DataError>;

/// Up to `limit` samples of a data set through the model's preprocessing, spread evenly.
fn pictures(path: &Path, graph: &Graph, limit: usize, split: Split, load: Load) -> Result<Vec<Vec<f32>>, Error> {
    let hint = "the model carries no preprocessing: give a .npy of its inputs instead";
    let preprocess = graph.preprocess.ok_or_else(|| wrong_input(path, hint))?;
    let data = DataSet::open(path, split)?;
    let n = limit.min(data.len());
    Ok((0..n).map(|i| load(&data, i * data.len() / n, &preprocess)).collect::<Result<_, _>>()?)
}

pub(super) fn run(args: &RunArgs) -> Result<bool, Error> {
    let model = Model::load(&args.artifact)?;
    let artifact = model.artifact();
    let outputs = match &args.inputs[..] {
        [picture] if !is_npy(picture) => {
            let image = decode(picture)?;
            let mut ram = model.ram();
            let mut engine = model.engine(&mut ram)?;
            engine.set_picture(image.picture()).map_err(|error| about(&args.artifact)(error.into()))?;
            engine.run()?;
            let outputs = 0..artifact.output_count();
            let bytes = |i: usize| engine.output_bytes(i).unwrap_or(&[]).to_vec();
            outputs.map(|i| crate::host::decode_output(&artifact, i, &[bytes(i)])).collect()
        }
        arrays => {
            let inputs = arrays.iter().map(|path| npy::read(path)).collect::<Result<Vec<_>, _>>()?;
            model.run_all(&inputs).map_err(about(arrays.first().unwrap_or(&args.artifact)))?
        }
    };
    if args.output.len() > outputs.len() {
        let reason = format!("has {} outputs, {} files are named", outputs.len(), args.output.len());
        return Err(Error::Input { from: args.artifact.display().to_string(), reason });
    }
    for (i, (path, output)) in args.output.iter().zip(&outputs).enumerate() {
        npy::write_as(path, output, crate::host::output_type(&artifact, i))?;
    }
    let Some(outputs) = outputs.into_iter().next() else {
        line(json!({ "n": 0, "shape": [], "top": [] }))?;
        return Ok(true);
    };
    if outputs.shape.len() < 2 {
        line(json!({ "n": 1, "shape": outputs.shape, "top": [] }))?;
        return Ok(true);
    }
    let n = outputs.shape[0];
    let top = |scores: &[f32]| -> Vec<serde_json::Value> {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        let entry = |&class: &usize| json!({ "class": class, "label": artifact.label(class), "score": scores[class] });
        order.iter().take(args.top_k).map(entry).collect()
    };
    let tops: Vec<_> = outputs.data.chunks_exact((outputs.data.len() / n.max(1)).max(1)).map(top).collect();
    for (i, top) in tops.iter().enumerate().take(10) {
        for entry in top {
            let label = entry["label"].as_str().unwrap_or("");
            line(format!("{i}  {:>6}  {:>12.6}  {label}", entry["class"], entry["score"].as_f64().unwrap_or(f64::NAN)))?;
        }
    }
    line(json!({ "n": n, "shape": outputs.shape, "top": tops }))?;
    Ok(true)
}

pub(super) fn eval(args: &EvalArgs) -> Result<bool, Error> {
    let model = Model::load(&args.artifact)?;
    let data = DataSet::open(&args.data, Split::Test)?;
    let labels: Vec<&str> = (0..model.artifact().label_count()).filter_map(|i| model.artifact().label(i)).collect();
    if !labels.is_empty() && labels != data.labels {
        let reason = format!("has the classes {:?}, the artifact {labels:?}", data.labels);
        return Err(Error::Input { from: args.data.display().to_string(), reason });
    }
    let progress = Progress::new("eval", data.len(), args.json);
    let accuracy = evaluate::accuracy(&model, &data, &|done| progress.set(done)).map_err(about(&args.artifact))?;
    drop(progress);
    if !args.json {
        line(format!("{} samples: top-1 {:.2} %, top-5 {:.2} %", accuracy.n, 100.0 * accuracy.top1, 100.0 * accuracy.top5))?;
    }
    line(json!(accuracy))?;
    Ok(true)
}

pub(super) fn verify(args: &VerifyArgs) -> Result<bool, Error> {
    let graph = import(&args.model, &args.import)?;
    let bytes = match &args.import.arch {
        Some(_) => onnx::to_bytes(&graph).map_err(|e| wrong_input(&args.model, e))?,
        None => read_at_most(&args.model, u32::MAX as u64)?,
    };
    let model = Model::load(&args.artifact)?;
    let inputs = match &args.data {
        Some(path) => {
            let limit = args.samples as usize;
            let samples = match is_npy(path) {
                true => arrays(path, &graph, limit)?,
                false => pictures(path, &graph, limit, Split::Test, sample)?,
            };
            vec![Tensor { shape: [&[samples.len()], &sample_shape(&graph)[..]].concat(), data: samples.concat() }]
        }
        None => noise(&model, args.samples as usize),
    };
    let say = |layer: &str| {
        if !args.json {
            note(format!("comparing {layer}"));
        }
    };
    let verification = verification::verify_graph(graph, &bytes, &model, &inputs, &say).map_err(about(&args.artifact))?;
    if let Some(path) = &args.junit {
        write_atomically(path, junit(&verification).as_bytes())?;
    }
    if !args.json {
        line(format!(
            "{:<28} {:<8} {:>12} {:>12} {:>7} {:>9} {:>7}",
            "layer", "op", "max abs", "max rel", "units", "SQNR dB", "params"
        ))?;
        for layer in &verification.layers {
            let flag = if layer.ok { "" } else { "  outside" };
            line(format!(
                "{:<28} {:<8} {:>12.3e} {:>12.3e} {:>7} {:>9.1} {:>7.3}{flag}",
                layer.name, layer.op, layer.max_abs, layer.max_rel, layer.max_units, layer.sqnr_db, layer.parameter_units
            ))?;
        }
        line(format!(
            "whole network, {} samples: max rel {:.3e}, SQNR {:.1} dB, same top-1 {:.1} %: {}",
            verification.n,
            verification.max_rel,
            verification.sqnr_db,
            100.0 * verification.top1_agreement,
            if verification.ok { "ok" } else { "outside the bounds" }
        ))?;
    }
    line(json!(verification))?;
    Ok(verification.ok)
}

/// Uniform noise in [-1, 1], or over all codes, for each input; the same on every run.
fn noise(model: &Model, n: usize) -> Vec<Tensor> {
    let artifact = model.artifact();
    let mut state = 1u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let infos = (0..artifact.input_count()).filter_map(|i| artifact.tensor(artifact.input_slot(i)?.tensor as usize));
    let mut of = |info: TensorInfo| {
        // A model without a batch dimension takes one sample.
        let n = if info.rank > 0 && info.dims[0] == 1 { n } else { 1 };
        let shape = host_shape(&info, n);
        let value = |unit: f32| match info.host {
            HostType::Real => 2.0 * unit - 1.0,
            HostType::U8 => (256.0 * unit).floor(),
            HostType::I8 | HostType::I64 => (256.0 * unit).floor() - 128.0,
        };
        Tensor { data: (0..shape.iter().product()).map(|_| value(next())).collect(), shape }
    };
    infos.map(&mut of).collect()
}

/// The comparison as JUnit XML.
fn junit(verification: &verification::Verification) -> String {
    let escape = |s: &str| s.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let case = |name: &str, ok: bool, why: String| {
        let failure = if ok { String::new() } else { format!("<failure message=\"{}\"/>", escape(&why)) };
        format!("  <testcase classname=\"verify\" name=\"{}\">{failure}</testcase>\n", escape(name))
    };
    let mut cases = Vec::new();
    for layer in &verification.layers {
        let parameters = layer.parameter_units;
        let (abs, rel, units) = (layer.max_abs, layer.max_rel, layer.max_units);
        let why = format!("max abs {abs:e}, max rel {rel:e}, {units} units; parameters off by {parameters} units");
        cases.push((case(&layer.name, layer.ok, why), layer.ok));
    }
    // Where a layer is outside its bounds, that is the failure; else the whole may be.
    let whole = verification.ok || verification.layers.iter().any(|layer| !layer.ok);
    let why = format!("SQNR {} dB, same top-1 {}", verification.sqnr_db, verification.top1_agreement);
    cases.push((case("whole network", whole, why), whole));
    let failed = cases.iter().filter(|(_, ok)| !ok).count();
    let body: String = cases.iter().map(|(case, _)| case.as_str()).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"exporter verify\" tests=\"{}\" failures=\"{failed}\">\n\
         {body}</testsuite>\n",
        cases.len()
    )
}

pub(super) fn inspect(args: &InspectArgs) -> Result<bool, Error> {
    let model = Model::load(&args.artifact)?;
    let report = report(&model.artifact());
    let memory = args.plan.then(|| Memory::of(&model.artifact()));
    if let (Some(path), Some(memory)) = (&args.svg, &memory) {
        let name = args.artifact.file_stem().unwrap_or_default().to_string_lossy();
        write_atomically(path, svg(memory, &name).as_bytes())?;
    }
    if !args.json {
        line(&report)?;
        memory.iter().try_for_each(line)?;
    }
    line(json!(report))?;
    Ok(true)
}
