//! What ONNX has no field for: preprocessing and class labels, as JSON in the model's `metadata_props`.

use serde::{Deserialize, Serialize};
use staticnet::preprocess::{Fit, Preprocess};

/// Key of the preprocessing.
pub(super) const PREPROCESS: &str = "staticnet.preprocess";
/// Key of the class labels, a JSON array of strings.
pub(super) const LABELS: &str = "staticnet.labels";

/// [`Preprocess`] in JSON. Means and deviations are written as f64, which holds every f32 exactly, so that no digit depends on
/// how a reader rounds decimals.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreprocessJson {
    width: u16,
    height: u16,
    channels: u8,
    fit: FitJson,
    mean: [f64; 3],
    std: [f64; 3],
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FitJson {
    Stretch,
    Cover { shorter: u16 },
}

/// The JSON of a preprocessing.
///
/// # Errors
/// A sentence where it is not a usable preprocessing.
pub(super) fn preprocess_to_json(p: &Preprocess) -> Result<String, String> {
    validate(p)?;
    let fit = match p.fit {
        Fit::Stretch => FitJson::Stretch,
        Fit::Cover { shorter } => FitJson::Cover { shorter },
    };
    let json = PreprocessJson {
        width: p.width,
        height: p.height,
        channels: p.channels,
        fit,
        mean: p.mean.map(f64::from),
        std: p.std.map(f64::from),
    };
    serde_json::to_string(&json).map_err(|e| e.to_string())
}

/// A preprocessing from its JSON.
///
/// # Errors
/// A sentence where the text is not JSON or not a usable preprocessing.
pub(super) fn preprocess_from_json(text: &str) -> Result<Preprocess, String> {
    let json: PreprocessJson = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let fit = match json.fit {
        FitJson::Stretch => Fit::Stretch,
        FitJson::Cover { shorter } => Fit::Cover { shorter },
    };
    let narrow = |values: [f64; 3]| values.map(|v| v as f32);
    let preprocess = Preprocess {
        width: json.width,
        height: json.height,
        channels: json.channels,
        fit,
        mean: narrow(json.mean),
        std: narrow(json.std),
    };
    validate(&preprocess).map(|()| preprocess)
}

fn validate(p: &Preprocess) -> Result<(), String> {
    if p.width == 0 || p.height == 0 {
        return Err(format!("a picture of {}x{} pixels is empty", p.width, p.height));
    }
    if p.channels != 1 && p.channels != 3 {
        return Err(format!("{} channels are neither grey (1) nor RGB (3)", p.channels));
    }
    if !p.mean.iter().chain(&p.std).all(|v| v.is_finite()) || p.std.contains(&0.0) {
        return Err(format!("mean {:?} or std {:?} cannot normalise", p.mean, p.std));
    }
    Ok(())
}

/// The JSON of class labels.
///
/// # Errors
/// What the writer says.
pub(super) fn labels_to_json(labels: &[String]) -> Result<String, String> {
    serde_json::to_string(labels).map_err(|e| e.to_string())
}

/// Class labels from their JSON.
///
/// # Errors
/// A sentence where the text is not a JSON array of strings.
pub(super) fn labels_from_json(text: &str) -> Result<Vec<String>, String> {
    serde_json::from_str(text).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_float_survives() {
        let mut bits = 0x3eaa_aaabu32;
        for _ in 0..2000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let v = f32::from_bits(bits);
            if !v.is_finite() || v == 0.0 {
                continue;
            }
            let p = Preprocess {
                width: 224,
                height: 225,
                channels: 3,
                fit: Fit::Cover { shorter: 256 },
                mean: [v, -v, 0.1],
                std: [v, 0.2, f32::MIN_POSITIVE],
            };
            assert_eq!(preprocess_from_json(&preprocess_to_json(&p).unwrap()), Ok(p));
        }
    }

    #[test]
    fn the_text_is_plain_json() {
        let text = r#"{"width":28,"height":28,"channels":1,"fit":"stretch","mean":[0.5,0,0],"std":[0.25,1,1]}"#;
        let p = preprocess_from_json(text).unwrap();
        assert_eq!((p.fit, p.mean[0], p.std[0]), (Fit::Stretch, 0.5, 0.25));
        for (from, to) in [("28", "0"), ("\"channels\":1", "\"channels\":2"), ("0.25", "0"), ("0.5", "1e40"), ("width", "w")] {
            assert!(preprocess_from_json(&text.replace(from, to)).is_err(), "{from} -> {to}");
        }
        assert!(labels_from_json("[1]").is_err());
        assert_eq!(labels_from_json(&labels_to_json(&["a\"b".into()]).unwrap()), Ok(vec!["a\"b".to_string()]));
    }
}
