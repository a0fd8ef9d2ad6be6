//! Parameters in safetensors files, under their PyTorch names, as f32.

use crate::file::{self, FileError};
use crate::graph::{Graph, ShapeError};
use crate::models::Architecture;
use ::safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// No file of parameters is larger than this; more would not fit the tools' memory anyway.
const MAX_BYTES: u64 = 1 << 34;

/// Why parameters cannot be saved or loaded.
#[derive(Debug)]
pub enum SafetensorsError {
    /// The file cannot be read or written.
    File(FileError),
    /// The file is not a safetensors file, or the parameters cannot be put into one.
    Format {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file's tensors are not those of the graph.
    Mismatch {
        /// The file.
        file: PathBuf,
        /// One sentence per tensor that is missing, unknown or of another shape or type.
        problems: Vec<String>,
    },
}

impl fmt::Display for SafetensorsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SafetensorsError::File(error) => write!(f, "{error}"),
            SafetensorsError::Format { file, reason } => write!(f, "{}: {reason}", file.display()),
            SafetensorsError::Mismatch { file, problems } => {
                write!(f, "{}: the tensors are not those of the network: {}", file.display(), problems.join("; "))
            }
        }
    }
}

impl std::error::Error for SafetensorsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SafetensorsError::File(error) => Some(error),
            SafetensorsError::Format { .. } | SafetensorsError::Mismatch { .. } => None,
        }
    }
}

/// Writes every parameter of the graph.
///
/// # Errors
/// [`SafetensorsError`] naming the file; it is then left as it was.
pub fn save(graph: &Graph, path: &Path) -> Result<(), SafetensorsError> {
    write(graph.params.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.clone(), &tensor.data[..])), path)
}

/// Writes tensors: name, shape, elements.
fn write<'a>(tensors: impl Iterator<Item = (&'a str, Vec<usize>, &'a [f32])>, path: &Path) -> Result<(), SafetensorsError> {
    let format = |reason: String| SafetensorsError::Format { file: path.to_path_buf(), reason };
    let bytes: Vec<(&str, Vec<usize>, Vec<u8>)> =
        tensors.map(|(name, shape, data)| (name, shape, little_endian(data))).collect();
    let mut views = Vec::with_capacity(bytes.len());
    for (name, shape, bytes) in &bytes {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        views.push((*name, view.map_err(|e| format(format!("parameter {name} cannot be written: {e}")))?));
    }
    let file = ::safetensors::serialize(views, None).map_err(|e| format(format!("cannot be written: {e}")))?;
    file::write_atomically(path, &file).map_err(SafetensorsError::File)
}

/// Replaces every parameter of the graph by the file's. The file must hold exactly the graph's tensors, in f32; on an error the
/// graph is left as it was.
///
/// # Errors
/// [`SafetensorsError`] naming the file and every tensor that does not fit.
pub fn load(graph: &mut Graph, path: &Path) -> Result<(), SafetensorsError> {
    let bytes = file::read_at_most(path, MAX_BYTES).map_err(SafetensorsError::File)?;
    fill(graph, &parse(&bytes, path)?, path)
}

/// Writes vectors that belong to no graph, such as the state of an optimiser.
///
/// # Errors
/// As [`save`].
pub fn save_vectors(vectors: &BTreeMap<String, Vec<f32>>, path: &Path) -> Result<(), SafetensorsError> {
    write(vectors.iter().map(|(name, data)| (name.as_str(), vec![data.len()], &data[..])), path)
}

/// Reads what [`save_vectors`] wrote: every tensor of the file, flat.
///
/// # Errors
/// [`SafetensorsError`] naming the file, and the tensors that are not f32.
pub fn load_vectors(path: &Path) -> Result<BTreeMap<String, Vec<f32>>, SafetensorsError> {
    let bytes = file::read_at_most(path, MAX_BYTES).map_err(SafetensorsError::File)?;
    let tensors = parse(&bytes, path)?;
    let foreign = |(name, view): (&str, TensorView)| {
        (view.dtype() != Dtype::F32).then(|| format!("{name} is {:?}, not F32", view.dtype()))
    };
    let problems: Vec<String> = tensors.iter().filter_map(foreign).collect();
    if !problems.is_empty() {
        return Err(SafetensorsError::Mismatch { file: path.to_path_buf(), problems });
    }
    Ok(tensors.iter().map(|(name, view)| (name.to_string(), floats(view.data()))).collect())
}

/// A network by name with the file's parameters. Its channels and classes are those of the file's first and last weight.
///
/// The file knows neither the preprocessing nor the labels.
///
/// # Errors
/// As [`load`].
pub fn load_architecture(architecture: &Architecture, path: &Path) -> Result<Graph, SafetensorsError> {
    let not_built = |e: ShapeError| SafetensorsError::Format {
        file: path.to_path_buf(),
        reason: format!("its sizes make no {}: {e}", architecture.name),
    };
    let bytes = file::read_at_most(path, MAX_BYTES).map_err(SafetensorsError::File)?;
    let tensors = parse(&bytes, path)?;
    // Any sizes have the names; where the file does not have those, these sizes are as good for saying so.
    let (channels, classes) = (3, 1000);
    let any = (architecture.build)(channels, classes).map_err(not_built)?;
    let weights = || any.nodes.iter().filter_map(|node| node.params.first());
    // Only where everything else about the weight is right: then the network is no larger than the file.
    let size = |name: Option<&String>, axis: usize| {
        let (found, mut expected) = (tensors.tensor(name?).ok()?, any.params.get(name?)?.shape.clone());
        *expected.get_mut(axis)? = *found.shape().get(axis)?;
        (found.shape() == expected).then_some(expected[axis])
    };
    let channels = size(weights().next(), 1).unwrap_or(channels);
    let classes = size(weights().next_back(), 0).unwrap_or(classes);
    let mut graph = (architecture.build)(channels, classes).map_err(not_built)?;
    fill(&mut graph, &tensors, path)?;
    Ok(graph)
}

fn parse<'a>(bytes: &'a [u8], path: &Path) -> Result<SafeTensors<'a>, SafetensorsError> {
    SafeTensors::deserialize(bytes).map_err(|e| SafetensorsError::Format {
        file: path.to_path_buf(),
        reason: format!("not a safetensors file ({e}); it may be cut short"),
    })
}

/// [`load`] of what is read already.
fn fill(graph: &mut Graph, tensors: &SafeTensors, path: &Path) -> Result<(), SafetensorsError> {
    let mut problems = Vec::new();
    for (name, expected) in &graph.params {
        match tensors.tensor(name) {
            Err(_) => problems.push(format!("{name} {:?} is missing", expected.shape)),
            Ok(found) if found.shape() != expected.shape => {
                problems.push(format!("{name} is {:?}, the network needs {:?}", found.shape(), expected.shape));
            }
            Ok(found) if found.dtype() != Dtype::F32 => {
                problems.push(format!("{name} is {:?}, only F32 is taken: convert it first", found.dtype()));
            }
            Ok(_) => {}
        }
    }
    let mut unknown: Vec<&str> = tensors.names().into_iter().filter(|name| !graph.params.contains_key(*name)).collect();
    unknown.sort_unstable();
    problems.extend(unknown.iter().map(|name| format!("{name} belongs to no layer of the network")));
    if !problems.is_empty() {
        return Err(SafetensorsError::Mismatch { file: path.to_path_buf(), problems });
    }
    for (name, view) in tensors.iter() {
        if let Some(tensor) = graph.params.get_mut(name) {
            tensor.data = floats(view.data());
        }
    }
    Ok(())
}

fn little_endian(data: &[f32]) -> Vec<u8> {
    data.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Tensor;
    use crate::models::{ARCHITECTURES, by_name};

    fn net() -> Graph {
        let mut graph = Graph::new("net");
        let x = graph.input("input", &[1, 3]);
        let y = graph.linear("fc", x, 2).unwrap();
        graph.output(y);
        for (i, value) in graph.params.values_mut().flat_map(|t| &mut t.data).enumerate() {
            *value = 0.1 * i as f32 - 0.25;
        }
        graph
    }

    #[test]
    fn what_is_saved_is_loaded_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        let graph = net();
        save(&graph, &path).unwrap();
        let mut other = net();
        other.params.values_mut().for_each(|t| t.data.fill(0.0));
        load(&mut other, &path).unwrap();
        assert_eq!(other, graph);
    }

    /// The format, byte by byte: length of the header, the header in JSON, the data at the offsets it gives.
    #[test]
    fn the_file_is_as_the_format_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        save(&net(), &path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let header_len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header_len]).unwrap();
        let bias = &header["fc.bias"];
        assert_eq!(bias["dtype"], "F32");
        assert_eq!(bias["shape"], serde_json::json!([2]));
        let at = 8 + header_len + bias["data_offsets"][0].as_u64().unwrap() as usize;
        assert_eq!(bytes[at..at + 4], (-0.25f32).to_le_bytes());
        assert_eq!(header["fc.weight"]["shape"], serde_json::json!([2, 3]));
    }

    #[test]
    fn vectors_come_back_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.safetensors");
        let vectors =
            BTreeMap::from([("a/momentum".to_string(), vec![0.1, f32::MIN_POSITIVE, -0.0]), ("b".to_string(), vec![])]);
        save_vectors(&vectors, &path).unwrap();
        let bits = |v: &BTreeMap<String, Vec<f32>>| {
            v.iter().map(|(n, v)| (n.clone(), v.iter().map(|x| x.to_bits()).collect())).collect::<Vec<(String, Vec<u32>)>>()
        };
        assert_eq!(bits(&load_vectors(&path).unwrap()), bits(&vectors));
        std::fs::write(&path, b"short").unwrap();
        assert!(load_vectors(&path).unwrap_err().to_string().contains("state.safetensors"));
    }

    #[test]
    fn everything_that_does_not_fit_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other.safetensors");
        let mut saved = net();
        saved.params.remove("fc.weight");
        saved.params.insert("fc.bias".into(), Tensor::zeros(&[3]));
        saved.params.insert("old.weight".into(), Tensor::zeros(&[1]));
        save(&saved, &path).unwrap();
        let mut graph = net();
        let message = load(&mut graph, &path).unwrap_err().to_string();
        for part in
            ["other.safetensors", "fc.weight [2, 3] is missing", "fc.bias is [3]", "[2]", "old.weight belongs to no layer"]
        {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert_eq!(graph, net());
    }

    #[test]
    fn a_layer_without_a_bias_needs_none_and_takes_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        let mut graph = net();
        graph.nodes[0].params.truncate(1);
        graph.params.remove("fc.bias");
        save(&graph, &path).unwrap();
        let mut again = graph.clone();
        again.params.values_mut().for_each(|t| t.data.fill(0.0));
        load(&mut again, &path).unwrap();
        assert_eq!(again, graph);
        save(&net(), &path).unwrap();
        assert!(load(&mut again, &path).unwrap_err().to_string().contains("fc.bias belongs to no layer"));
    }

    #[test]
    fn a_network_by_name_takes_its_sizes_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        for architecture in ARCHITECTURES.iter().filter(|a| a.size <= 32) {
            let mut saved = (architecture.build)(1, 7).unwrap();
            saved.params.values_mut().enumerate().for_each(|(i, t)| t.data.fill(i as f32));
            save(&saved, &path).unwrap();
            assert_eq!(load_architecture(architecture, &path).unwrap(), saved);
        }
        save(&net(), &path).unwrap();
        let lenet = by_name("lenet").unwrap();
        let message = load_architecture(lenet, &path).unwrap_err().to_string();
        for part in ["features.0.weight [20, 3, 5, 5] is missing", "classifier.2.bias", "fc.weight belongs to no layer"] {
            assert!(message.contains(part), "{part} in {message}");
        }
        // A last weight that makes no network.
        let mut none = (lenet.build)(1, 7).unwrap();
        none.params.insert("classifier.2.weight".into(), Tensor { shape: vec![0, 500], data: vec![] });
        save(&none, &path).unwrap();
        assert!(load_architecture(lenet, &path).unwrap_err().to_string().contains("m.safetensors"));
    }

    #[test]
    fn a_file_cut_short_is_an_error_at_every_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        save(&net(), &path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(load(&mut net(), &path).unwrap_err().to_string().contains("m.safetensors"), "{length} bytes");
        }
        assert!(load(&mut net(), &dir.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
