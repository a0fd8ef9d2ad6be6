//! The deepest path through a graph of calls.

use std::collections::BTreeSet;

/// A function in the graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Bytes of its frame, where they are known.
    pub frame: Option<u32>,
    /// The functions it may call.
    pub callees: BTreeSet<usize>,
}

/// Functions by index, and what of them counts.
#[derive(Clone, Debug)]
pub struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    /// A graph of these functions.
    pub fn new(nodes: Vec<Node>) -> Self {
        Graph { nodes }
    }

    /// The graph without the calls of functions that are `cut`.
    pub fn without(&self, cut: impl Fn(usize) -> bool) -> Self {
        let kept = |node: &Node| node.callees.iter().copied().filter(|&callee| !cut(callee)).collect();
        Graph { nodes: self.nodes.iter().map(|node| Node { callees: kept(node), ..node.clone() }).collect() }
    }

    /// The functions reached from `entry`, itself among them.
    pub fn reached(&self, entry: usize) -> BTreeSet<usize> {
        let (mut reached, mut open) = (BTreeSet::from([entry]), vec![entry]);
        while let Some(node) = open.pop() {
            open.extend(self.nodes[node].callees.iter().filter(|&&callee| reached.insert(callee)));
        }
        reached
    }

    /// Groups of functions, reached from `entry`, that call themselves or each other in a circle (strongly connected
    /// components).
    pub fn recursion(&self, entry: usize) -> Vec<BTreeSet<usize>> {
        let mut groups: Vec<BTreeSet<usize>> = Vec::new();
        let from: Vec<(usize, BTreeSet<usize>)> =
            self.reached(entry).into_iter().map(|node| (node, self.reached(node))).collect();
        for (node, reached) in &from {
            let circle = from.iter().filter(|(other, back)| reached.contains(other) && back.contains(node));
            let circle: BTreeSet<usize> = circle.map(|&(other, _)| other).collect();
            let calls_itself = self.nodes[*node].callees.contains(node);
            if (circle.len() > 1 || calls_itself) && !groups.contains(&circle) {
                groups.push(circle);
            }
        }
        groups
    }

    /// The path from `entry` whose frames add up to most, and their sum; `None` where a circle or an unknown frame is reached.
    pub fn deepest(&self, entry: usize) -> Option<(u32, Vec<usize>)> {
        if !self.recursion(entry).is_empty() {
            return None;
        }
        // Of each function the bytes below its caller and the callee that takes most of them. There is no circle, so this ends.
        let mut best: Vec<Option<(u32, Option<usize>)>> = vec![None; self.nodes.len()];
        let mut open = vec![entry];
        while let Some(&node) = open.last() {
            let unknown = open.len();
            open.extend(self.nodes[node].callees.iter().filter(|&&callee| best[callee].is_none()));
            if open.len() > unknown {
                continue;
            }
            let below = self.nodes[node].callees.iter().filter_map(|&callee| Some((best[callee]?.0, callee))).max();
            let (bytes, callee) = below.map_or((0, None), |(bytes, callee)| (bytes, Some(callee)));
            best[node] = Some((self.nodes[node].frame?.checked_add(bytes)?, callee));
            open.pop();
        }
        let sum = best[entry]?.0;
        let path = std::iter::successors(Some(entry), |&node| best[node].and_then(|(_, callee)| callee));
        Some((sum, path.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A graph from each function's frame and callees.
    fn graph<const N: usize>(nodes: [(u32, &[usize]); N]) -> Graph {
        let node = |(frame, callees): (u32, &[usize])| Node { frame: Some(frame), callees: callees.iter().copied().collect() };
        Graph::new(nodes.map(node).to_vec())
    }

    #[test]
    fn the_deepest_path_is_not_the_longest_or_the_largest_frame() {
        let graph = graph([(8, &[1, 2, 3]), (100, &[]), (16, &[3, 4]), (8, &[4]), (90, &[]), (500, &[0])]);
        assert_eq!(graph.deepest(0), Some((8 + 16 + 8 + 90, vec![0, 2, 3, 4])));
        assert_eq!(graph.deepest(3), Some((98, vec![3, 4])));
    }

    #[test]
    fn circles_have_no_bound() {
        let graph = graph([(8, &[1, 3]), (8, &[2]), (8, &[1]), (8, &[3]), (8, &[])]);
        assert_eq!(graph.recursion(0), [BTreeSet::from([1, 2]), BTreeSet::from([3])]);
        assert_eq!(graph.deepest(0), None);
        assert_eq!(graph.recursion(4), []);
        assert_eq!(graph.deepest(4), Some((8, vec![4])));
        let cut = graph.without(|node| node == 2 || node == 3);
        assert_eq!(cut.deepest(0), Some((16, vec![0, 1])));
    }

    #[test]
    fn an_unknown_frame_has_no_bound_where_it_is_reached() {
        let mut graph = graph([(8, &[1]), (8, &[2]), (8, &[]), (8, &[2])]);
        graph.nodes[1].frame = None;
        assert_eq!(graph.deepest(0), None);
        assert_eq!(graph.deepest(3), Some((16, vec![3, 2])));
    }
}
