//! What a tool tells its user about a model it cannot take.

use serde::Serialize;
use std::fmt;

/// One thing in a model that is not supported or not valid. Tools collect all of them before they give up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The node (or input, output, initializer) it is about; empty when it is about the model as a whole.
    pub node: String,
    /// The operator as ONNX spells it, or what else the name belongs to (`input`, `initializer`, `model`).
    pub op: String,
    /// The attribute, input or dimension at fault; empty when it is about the whole node.
    pub attribute: String,
    /// What is wrong.
    pub reason: String,
    /// What the user can do about it.
    pub hint: String,
}

impl fmt::Display for Diagnostic {
    /// `NODE (OP), ATTRIBUTE: REASON; HINT` on one line, leaving out what is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.node.as_str(), self.op.as_str()) {
            ("", op) => write!(f, "{op}")?,
            (node, "") => write!(f, "{node}")?,
            (node, op) => write!(f, "{node} ({op})")?,
        }
        if !self.attribute.is_empty() {
            write!(f, ", {}", self.attribute)?;
        }
        write!(f, ": {}", self.reason)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Diagnostic;

    #[test]
    fn names_what_is_known_and_no_more() {
        let text = |s: &str| s.to_string();
        let mut d = Diagnostic {
            node: text("conv1"),
            op: text("Conv"),
            attribute: text("pads"),
            reason: text("-1 is negative"),
            hint: text("crop the input instead"),
        };
        assert_eq!(d.to_string(), "conv1 (Conv), pads: -1 is negative; crop the input instead");
        d.node.clear();
        d.attribute.clear();
        d.hint.clear();
        assert_eq!(d.to_string(), "Conv: -1 is negative");
    }
}
