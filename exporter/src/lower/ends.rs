//! Inputs and outputs of the network, and how tensors look on the host.

use super::view::View;
use super::{Held, Lowering, Refused, SIZE_HINT, grouped, natural, problem, refused};
use crate::network::{Kind, Quant};
use staticnet::record::HostType;
use staticnet_graph::diagnostic::Diagnostic;
use staticnet_graph::graph::{Elem, Node, ValueId};

impl Lowering {
    pub(super) fn input(&mut self, value: ValueId) -> Result<(), String> {
        let v = self.graph.value(value).clone();
        if v.shape.len() > 4 {
            return Err(format!("{} has {} dimensions", v.name, v.shape.len()));
        }
        // A picture [N, H, W, C] that the model itself turns into [N, C, H, W] lies on the device as the model takes it.
        let channels_behind = v.shape.len() == 4 && self.turned_channels_first(value);
        let (order, size) = if channels_behind { (vec![0, 1, 2, 3], grouped(&v.shape)) } else { natural(&v.shape) };
        let kind = match v.elem {
            Elem::F32 => Kind::Real,
            Elem::I8 | Elem::U8 => Kind::Codes(Quant { scale: 1.0, zero_point: -super::grid::shift(v.elem) as i8 }),
            Elem::I64 => return Err(format!("{} is of integers", v.name)),
        };
        let tensor = self.tensor(&v.name, size, kind)?;
        self.show(tensor, &v.shape, v.shape.len() == 4 && !channels_behind, v.elem);
        self.network.inputs.push(tensor);
        self.hold(value, View::in_order(tensor, &v.shape, &order));
        Ok(())
    }

    /// Gives a tensor its look on the host.
    fn show(&mut self, tensor: usize, shape: &[usize], channels_last: bool, elem: Elem) {
        let t = &mut self.network.tensors[tensor];
        t.dims = shape.iter().map(|&d| d as u16).collect();
        t.channels_last = channels_last;
        t.host = host_type(t.kind, elem);
    }

    /// Gives the tensor that a node has just made the look of the node's value, for reports: inputs and outputs have theirs anyway.
    pub(super) fn show_made(&mut self, node: &Node) {
        let Some(Held::Lies(view)) = &self.held[node.output.0] else { return };
        let (tensor, shape) = (view.tensor, view.shape());
        let fills = view.lies_in(&natural(&shape).0, self.network.tensors[tensor].elements());
        let made = self.network.layers.last().is_some_and(|layer| layer.output == tensor && layer.name == node.name);
        if made && fills && shape.len() <= 4 {
            let elem = self.graph.value(node.output).elem;
            self.show(tensor, &shape, shape.len() == 4, elem);
        }
    }

    /// Makes a value a network output: a tensor of its own that holds the value's elements and nothing else.
    pub(super) fn output(&mut self, value: ValueId) -> Result<(), Refused> {
        let v = self.graph.value(value).clone();
        if v.shape.len() > 4 {
            return refused("shape", format!("it has {} dimensions", v.shape.len()), SIZE_HINT);
        }
        if self.held[value.0].is_none() {
            return Ok(());
        }
        let name = v.name.clone();
        let view = self.lies(value, &name)?;
        let (order, size) = natural(&v.shape);
        let row_major: Vec<usize> = (0..v.shape.len()).collect();
        let elements = self.network.tensors[view.tensor].elements();
        // How the elements are cut into rows and pixels does not matter to the host.
        let (tensor, channels_last) = if view.lies_in(&order, elements) {
            (view.tensor, v.shape.len() == 4)
        } else if view.lies_in(&row_major, elements) {
            (view.tensor, false)
        } else {
            (self.arranged(&view, &order, size, &name)?, v.shape.len() == 4)
        };
        let taken = self.network.outputs.contains(&tensor) || self.network.inputs.contains(&tensor);
        let tensor = if taken { self.copy(tensor, &name)? } else { tensor };
        self.show(tensor, &v.shape, channels_last, v.elem);
        self.network.tensors[tensor].name = name;
        self.network.outputs.push(tensor);
        Ok(())
    }

    pub(super) fn preprocess_problem(&self) -> Option<Diagnostic> {
        let preprocess = self.network.preprocess?;
        let t = &self.network.tensors[*self.network.inputs.first()?];
        let made = [preprocess.height as u32, preprocess.width as u32, preprocess.channels as u32];
        (made != t.size() || !t.channels_last).then(|| {
            let reason = format!("the stored preprocessing makes {}x{}x{}", made[0], made[1], made[2]);
            let hint = "export the model again with the preprocessing of its input's size";
            problem(&t.name, "input", "preprocess", reason, hint)
        })
    }
}

/// What a tensor's elements are on the host.
pub(super) fn host_type(kind: Kind, elem: Elem) -> HostType {
    match (kind, elem) {
        (Kind::Index, _) => HostType::I64,
        (_, Elem::U8) => HostType::U8,
        (_, Elem::I8) => HostType::I8,
        (Kind::Real | Kind::Codes(_), Elem::F32 | Elem::I64) => HostType::Real,
    }
}
