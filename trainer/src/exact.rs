//! Numbers that are the same bit for bit after JSON.
//!
//! As JSON's own numbers they would not be: what is not finite has none (`null` is written), and serde_json's reader may be off
//! in the last place. So a number is written as text, the shortest that Rust reads back exactly.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// A number as text.
#[derive(Clone, Copy)]
struct Exact(f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Exact).map_err(|_| serde::de::Error::custom(format!("`{text}` is no number")))
    }
}

/// Writes a number.
pub(crate) fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Exact(*number).serialize(serializer)
}

/// Reads a number.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Exact::deserialize(deserializer).map(|number| number.0)
}

/// Numbers by name.
pub(crate) mod map {
    use super::{BTreeMap, Deserialize, Deserializer, Exact, Serializer};

    /// Writes all of them.
    pub(crate) fn serialize<S: Serializer>(numbers: &BTreeMap<String, f64>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(numbers.iter().map(|(name, number)| (name, Exact(*number))))
    }

    /// Reads all of them.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, f64>, D::Error> {
        let numbers = BTreeMap::<String, Exact>::deserialize(from)?;
        Ok(numbers.into_iter().map(|(name, number)| (name, number.0)).collect())
    }
}
