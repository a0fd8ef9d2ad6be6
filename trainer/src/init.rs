//! How a network's parameters begin.

use crate::nearest::meant;
use crate::plan::{Kind, Role};
use crate::rng::{KeyedRng, stream};
use crate::text::written_as_text;
use serde::{Deserialize, Serialize};
use staticnet_graph::graph::Graph;
use std::fmt;
use std::str::FromStr;

/// Distribution of the initial weights. Biases begin at 0, but for [`Init::Alexnet`] and where a rule says otherwise.
///
/// `fan_in` and `fan_out` are the numbers of weights that go into one output, and out of one input, as PyTorch counts them: for
/// a convolution's `[O, C, KH, KW]`, `C * KH * KW` and `O * KH * KW`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Init {
    /// Normal with standard deviation `sqrt(2 / fan_in)`: keeps the variance through ReLU layers (He et al., "Delving Deep into
    /// Rectifiers", 2015).
    #[default]
    Kaiming,
    /// Uniform within `sqrt(6 / (fan_in + fan_out))` of 0 (Glorot and Bengio, "Understanding the difficulty of training deep
    /// feedforward neural networks", 2010).
    Xavier,
    /// Normal with the variance of [`Init::Xavier`], `2 / (fan_in + fan_out)`.
    XavierNormal,
    /// Normal with this standard deviation.
    Gaussian(f32),
    /// Uniform within this distance of 0.
    Uniform(f32),
    /// This number.
    Constant(f32),
    /// As in the AlexNet paper, section 5: weights as of [`Init::GAUSSIAN`]; biases 1 in the second, fourth and fifth
    /// convolution and in the hidden fully connected layers, 0 elsewhere.
    Alexnet,
}

/// Names that [`Init`] is written with, those of [`Init::Gaussian`] and its like followed by a colon and a number.
const NAMES: [&str; 7] = ["kaiming", "xavier", "xavier-normal", "gaussian", "uniform", "constant", "alexnet"];

/// Text that is no [`Init`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitError(String);

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InitError {}

impl FromStr for Init {
    type Err = InitError;

    fn from_str(text: &str) -> Result<Self, InitError> {
        let (name, number) = match text.split_once(':') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        let wrong = |what: &str| Err(InitError(format!("{what}, not `{text}`")));
        let value = match number.map(f32::from_str) {
            None => None,
            Some(Ok(value)) if value.is_finite() => Some(value),
            Some(_) => return wrong("a number is needed behind the colon"),
        };
        match (name, value) {
            ("kaiming", None) => Ok(Init::Kaiming),
            ("xavier", None) => Ok(Init::Xavier),
            ("xavier-normal", None) => Ok(Init::XavierNormal),
            ("alexnet", None) => Ok(Init::Alexnet),
            ("gaussian", None) => Ok(Init::GAUSSIAN),
            ("gaussian", Some(std)) if std > 0.0 => Ok(Init::Gaussian(std)),
            ("uniform", Some(bound)) if bound > 0.0 => Ok(Init::Uniform(bound)),
            ("constant", Some(value)) => Ok(Init::Constant(value)),
            ("gaussian" | "uniform", Some(_)) => wrong("a number above 0 is needed behind the colon"),
            ("uniform" | "constant", None) => wrong(&format!("{name}:NUMBER is needed")),
            (name, Some(_)) if NAMES.contains(&name) => wrong(&format!("{name} takes no number")),
            _ => {
                let list = "kaiming, xavier, xavier-normal, gaussian[:STD], uniform:BOUND, constant:VALUE or alexnet is needed";
                let close = meant(name, NAMES).map_or(String::new(), |name| format!(" (perhaps {name})"));
                wrong(&format!("{list}{close}"))
            }
        }
    }
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Init::Kaiming => f.write_str("kaiming"),
            Init::Xavier => f.write_str("xavier"),
            Init::XavierNormal => f.write_str("xavier-normal"),
            Init::Alexnet => f.write_str("alexnet"),
            init if *init == Init::GAUSSIAN => f.write_str("gaussian"),
            Init::Gaussian(std) => write!(f, "gaussian:{std}"),
            Init::Uniform(bound) => write!(f, "uniform:{bound}"),
            Init::Constant(value) => write!(f, "constant:{value}"),
        }
    }
}

written_as_text!(Init);

impl Init {
    /// The weights of the AlexNet paper: normal with standard deviation 0.01.
    pub const GAUSSIAN: Init = Init::Gaussian(0.01);

    /// Whether `text` begins with the name of one: it is then no path.
    pub fn is_meant(text: &str) -> bool {
        NAMES.contains(&text.split(':').next().unwrap_or(text))
    }

    /// Whether it can be drawn without knowing how many weights go in and out, as it is for a bias.
    pub fn suits_biases(&self) -> bool {
        match self {
            Init::Kaiming | Init::Xavier | Init::XavierNormal | Init::Alexnet => false,
            Init::Gaussian(_) | Init::Uniform(_) | Init::Constant(_) => true,
        }
    }

    /// Fills a parameter of this shape with what `rng` gives.
    fn fill(self, shape: &[usize], data: &mut [f32], mut rng: KeyedRng) {
        let outputs = shape.first().map_or(1, |o| *o);
        let fan_in: usize = shape.iter().skip(1).product();
        let fans = (fan_in + outputs * shape.iter().skip(2).product::<usize>()) as f32;
        let mut normal = |std: f32| data.fill_with(|| std * rng.normal());
        match self {
            Init::Kaiming => normal((2.0 / fan_in as f32).sqrt()),
            Init::XavierNormal => normal((2.0 / fans).sqrt()),
            Init::Gaussian(std) => normal(std),
            Init::Alexnet => Init::GAUSSIAN.fill(shape, data, rng),
            Init::Xavier => Init::Uniform((6.0 / fans).sqrt()).fill(shape, data, rng),
            Init::Uniform(bound) => data.fill_with(|| bound * (2.0 * rng.uniform() - 1.0)),
            Init::Constant(value) => data.fill(value),
        }
    }
}

/// Epoch of the key that biases are drawn with: weights have 0.
const BIAS: u32 = 1;

/// Fills the parameters of `graph`. Every layer draws from a sequence of its own, so a net's first layers begin alike whatever
/// follows them.
pub fn initialise(graph: &mut Graph, init: Init, seed: u64) {
    initialise_by(graph, init, seed, |_| None);
}

/// Fills the parameters of `graph` with what `rule` says of one by its name, or else with `init`. A layer that the trainer does not train
/// keeps its parameters.
pub fn initialise_by(graph: &mut Graph, init: Init, seed: u64, rule: impl Fn(&str) -> Option<Init>) {
    let (mut convs, mut linears) = (0, 0);
    let hidden = graph.nodes.iter().filter(|n| Kind::of(&n.op) == Some(Kind::Linear)).count().saturating_sub(1);
    for (layer, node) in graph.nodes.iter().enumerate() {
        let one = match Kind::of(&node.op) {
            Some(Kind::Conv) => {
                convs += 1;
                matches!(convs, 2 | 4 | 5)
            }
            Some(Kind::Linear) => {
                linears += 1;
                linears <= hidden
            }
            None => continue,
        };
        for (name, role) in node.params.iter().zip([Role::Weight, Role::Bias]) {
            let Some(tensor) = graph.params.get_mut(name) else { continue };
            let (default, epoch) = match role {
                Role::Weight => (init, 0),
                Role::Bias => (Init::Constant(if one && init == Init::Alexnet { 1.0 } else { 0.0 }), BIAS),
            };
            let rng = KeyedRng::new(seed, epoch, layer as u64, stream::INIT);
            rule(name).unwrap_or(default).fill(&tensor.shape, &mut tensor.data, rng);
        }
    }
}

#[cfg(test)]
mod tests;
