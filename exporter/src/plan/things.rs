//! What needs a place in RAM, and when.

use super::place::{Group, Member, place};
use super::problem::Planned;
use super::segment::{Segment, ring_bytes};
use super::terms::Share;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// What a member of a group stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Thing {
    /// A tensor that is held whole.
    Whole(usize),
    /// A ring of a segment.
    Ring(usize, usize),
    /// Weights of a layer in a segment.
    Weights(usize, usize),
    /// Scratch of a segment.
    Scratch(usize),
    /// Memory of the row-wise input.
    RowMemory,
}

/// A group's members, and what each stands for.
pub(super) type Things = Vec<(Thing, Member)>;

/// Everything that needs a place, in groups, with the times (segments) at which it does.
pub(super) fn things(planned: &Planned, segments: &[(Range<usize>, Segment)]) -> Vec<Things> {
    let at_time = |layer: isize| segments.iter().position(|(l, _)| (layer as usize) < l.end).unwrap_or(segments.len());
    let streamed = segments.iter().any(|(_, s)| s.streamed);
    let mut groups: Vec<Things> = Vec::new();
    let mut group_of: HashMap<usize, usize> = HashMap::new();
    let is_ring = |t: usize| segments.iter().any(|(_, s)| s.rings.contains_key(&t));
    for t in 0..planned.tensors.len() {
        let life = planned.life[t];
        if life.from == isize::MAX || is_ring(t) || (streamed && planned.network.inputs.first() == Some(&t)) {
            continue;
        }
        let (from, to) = (at_time(life.from.max(0)), at_time(life.to.max(0)));
        group_of.insert(t, groups.len());
        groups.push(vec![(Thing::Whole(t), Member { at: 0, bytes: planned.bytes(t), from, to })]);
    }
    // Overlapping pairs become one group, segment by segment.
    for overlay in segments.iter().filter_map(|(_, s)| s.overlay) {
        let (Some(&gx), Some(&gy)) = (group_of.get(&overlay.x), group_of.get(&overlay.y)) else { continue };
        let at = |g: usize, t: usize| groups[g].iter().find(|(thing, _)| *thing == Thing::Whole(t)).map_or(0, |(_, m)| m.at);
        let (x, y) = (at(gx, overlay.x), at(gy, overlay.y));
        // y begins `distance` before x: shift whichever group would begin below 0.
        let (shift_x, shift_y) = (overlay.distance + y, x);
        let low = shift_x.min(shift_y);
        let moved = std::mem::take(&mut groups[gy]);
        groups[gx].iter_mut().for_each(|(_, m)| m.at += shift_x - low);
        for (thing, mut member) in moved {
            member.at += shift_y - low;
            if let Thing::Whole(t) = thing {
                group_of.insert(t, gx);
            }
            groups[gx].push((thing, member));
        }
    }
    for (time, (_, s)) in segments.iter().enumerate() {
        let member = |bytes: u64| Member { at: 0, bytes, from: time, to: time };
        groups.extend(s.rings.iter().map(|(&t, &ring)| vec![(Thing::Ring(time, t), member(ring_bytes(planned, t, ring)))]));
        groups.extend(s.held.iter().map(|h| vec![(Thing::Weights(time, h.layer), member(h.bytes))]));
        groups.push(vec![(Thing::Scratch(time), member(s.scratch))]);
    }
    // From the first row until the last that is read.
    if let Some(to) = segments.iter().rposition(|(_, s)| s.row_memory > 0) {
        let bytes = segments[to].1.row_memory;
        groups.push(vec![(Thing::RowMemory, Member { at: 0, bytes, from: 0, to })]);
    }
    groups.retain(|g| !g.is_empty());
    groups
}

/// Where everything begins.
pub(super) fn offsets(groups: &[Things], goal: u64) -> (BTreeMap<Thing, (u64, u64)>, u64) {
    let members: Vec<Group> = groups.iter().map(|g| g.iter().map(|(_, m)| *m).collect()).collect();
    let (bases, end) = place(&members, goal);
    let places = groups.iter().zip(&bases).flat_map(|(g, base)| g.iter().map(move |(t, m)| (*t, (base + m.at, m.bytes))));
    (places.collect(), end)
}

/// What takes the RAM in the segment that takes most.
pub(super) fn peak(planned: &Planned, groups: &[Things], segments: &[(Range<usize>, Segment)]) -> Vec<Share> {
    let time = (0..segments.len()).max_by_key(|&i| segments[i].1.cost.ram).unwrap_or(0);
    let name = |thing: &Thing| match thing {
        Thing::Whole(t) => planned.network.tensors[*t].name.clone(),
        Thing::Ring(_, t) => format!("{} (ring)", planned.network.tensors[*t].name),
        Thing::Weights(_, layer) => format!("weights of {}", planned.network.layers[*layer].name),
        Thing::Scratch(_) => "scratch".to_string(),
        Thing::RowMemory => "row-wise input".to_string(),
    };
    let there = groups.iter().flatten().filter(|(_, m)| m.from <= time && time <= m.to && m.bytes > 0);
    let mut shares: Vec<Share> = there.map(|(thing, m)| Share { name: name(thing), bytes: m.bytes }).collect();
    shares.sort_by_key(|s| std::cmp::Reverse(s.bytes));
    shares
}
