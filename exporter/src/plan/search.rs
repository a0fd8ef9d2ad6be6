//! Which segments in which modes.
//!
//! What a segment costs does not depend on the others, so the plan that reads the fewest weights, and among these takes the fewest
//! instructions, within a limit of RAM is a shortest path over the places between layers. The least limit for which there is a path
//! is a bound for every plan of these moves; offsets may need more, and then the plan says by how much.

use super::build::build;
use super::layers::layer_by_layer;
use super::problem::Planned;
use super::segment::{Cost, Mode, Segment, Setting, segment};
use super::terms::{Bound, Plan, PlanOptions, Ram, TooLarge};
use std::ops::Range;

/// Layers of the longest segment.
const LONGEST: usize = 24;

/// Weights that may be read twice where a plan counts as reading each once: the neighbours that LRN looks at between two blocks of
/// channels.
const TWICE: f64 = 0.005;

/// Instructions that the least RAM may cost, by estimate; with weights in storage small blocks are worth more.
const DEARER: [f64; 2] = [0.03, 0.055];

/// A segment that may be part of a plan.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    first: usize,
    end: usize,
    mode: Mode,
    cost: Cost,
    /// Bytes that it would need more without an output over dead rows of its input.
    saved: u64,
}

/// RAM that no segment of a path exceeds, and whether outputs may lie over dead rows of their inputs to keep it so.
#[derive(Clone, Copy, Debug)]
struct Limit {
    ram: u64,
    overlays: bool,
}

impl Limit {
    const NONE: Limit = Limit::ram(u64::MAX);

    const fn ram(ram: u64) -> Self {
        Limit { ram, overlays: true }
    }

    fn holds(self, candidate: &Candidate) -> bool {
        let saved = if self.overlays { 0 } else { candidate.saved };
        candidate.cost.ram + saved <= self.ram
    }
}

/// Bytes read and instructions, compared in this order.
type Price = (u64, u64);

/// All segments of a network in all modes.
fn candidates(planned: &Planned, setting: Setting) -> Vec<Candidate> {
    let n = planned.network.layers.len();
    let mut found = Vec::new();
    let mut add = |first: usize, end: usize, mode: Mode| {
        let found_one = segment(planned, first..end, mode, setting).map(|s| (s.cost, s.saved(planned)));
        found.extend(found_one.map(|(cost, saved)| Candidate { first, end, mode, cost, saved }));
        found_one
    };
    for first in 0..n {
        let (rows, channels) = planned.made(first);
        let (rows, channels) = (rows.len() as u32, channels.len() as u32);
        let in_blocks = setting.storage && planned.is_cut_by_channels(first);
        for channels in block_sizes(channels, in_blocks) {
            for bands in [1, 2, 3, 4, 6, 8, 16, u32::MAX].into_iter().filter(|&b| b == 1 || b < rows || b == u32::MAX) {
                // With weights in RAM as a whole bands cost nothing; in blocks they are read again.
                add(first, first + 1, Mode::Blocks { channels, bands: bands.min(rows) });
                if rows == 1 {
                    break;
                }
            }
        }
        for end in first + 1..=n.min(first + LONGEST) {
            add(first, end, Mode::Rows);
            let channels = planned.made(end - 1).1.len() as u32;
            for channels in block_sizes(channels, true).skip(1) {
                if add(first, end, Mode::Channels { channels }).is_none() {
                    break;
                }
            }
        }
    }
    found
}

/// All of the channels, and what is below of 1, 2, 3, and 4 to 7 times a power of two.
fn block_sizes(all: u32, in_blocks: bool) -> impl Iterator<Item = u32> {
    let octaves = (0..10).rev().flat_map(|p| (4..8).rev().map(move |m| m << p));
    let smaller = octaves.chain([3, 2, 1]).filter(move |&b| in_blocks && b < all);
    std::iter::once(all).chain(smaller)
}

/// The cheapest path within a limit: its candidates in order, and its price.
fn path(n: usize, candidates: &[Candidate], limit: Limit) -> Option<(Vec<Candidate>, Price)> {
    let mut best: Vec<Option<(Price, usize)>> = vec![None; n + 1];
    best[0] = Some(((0, 0), usize::MAX));
    for (i, c) in candidates.iter().enumerate() {
        if !limit.holds(c) {
            continue;
        }
        let Some(((reads, instructions), _)) = best[c.first] else { continue };
        let price = (reads + c.cost.reads, instructions + c.cost.instructions);
        if best[c.end].is_none_or(|(other, _)| price < other) {
            best[c.end] = Some((price, i));
        }
    }
    let (price, _) = best[n]?;
    let (mut at, mut chosen) = (n, Vec::new());
    while at > 0 {
        let candidate = candidates[best[at]?.1];
        chosen.push(candidate);
        at = candidate.first;
    }
    chosen.reverse();
    Some((chosen, price))
}

/// The least value of `of` over the candidates for which `holds`; `holds` does not become false again above it.
fn least(candidates: &[Candidate], of: impl Fn(&Candidate) -> u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    let mut values: Vec<u64> = candidates.iter().map(of).collect();
    values.sort_unstable();
    values.dedup();
    let at = values.partition_point(|&v| !holds(v));
    values.get(at).copied()
}

/// The limit that the options stand for, or the least RAM of any plan where theirs is too little.
fn limit(n: usize, candidates: &[Candidate], options: &PlanOptions) -> Result<Limit, u64> {
    let price = |limit: Limit| path(n, candidates, limit).map(|(_, price)| price);
    let smallest = || least(candidates, |c| c.cost.ram, |ram| price(Limit::ram(ram)).is_some()).unwrap_or(0);
    match options.ram {
        Ram::Limit(bytes) => {
            let limit = Limit::ram(bytes.saturating_sub(options.stack));
            price(limit).map(|_| limit).ok_or_else(|| smallest() + options.stack)
        }
        Ram::Min => Ok(Limit::ram(smallest())),
        Ram::Least => {
            let unlimited = price(Limit::NONE).unwrap_or_default();
            let cheap = |limit: Limit| price(limit).is_some_and(|price| is_cheap(options, price, unlimited));
            let ram = least(candidates, |c| c.cost.ram, |ram| cheap(Limit::ram(ram)));
            Ok(Limit::ram(ram.unwrap_or(u64::MAX)))
        }
    }
}

/// Whether a plan that takes the least RAM may cost that, where one of unlimited RAM costs `unlimited`.
fn is_cheap(options: &PlanOptions, price: Price, unlimited: Price) -> bool {
    let dearer = DEARER[options.storage as usize];
    price.0 as f64 <= unlimited.0 as f64 * (1.0 + TWICE) && price.1 as f64 <= unlimited.1 as f64 * (1.0 + dearer)
}

/// The best plan for the options.
///
/// # Errors
/// [`TooLarge`].
pub(super) fn best(planned: &Planned, options: &PlanOptions) -> Result<Plan, TooLarge> {
    let n = planned.network.layers.len();
    if n == 0 {
        return layer_by_layer(planned, options);
    }
    let candidates = candidates(planned, setting(options));
    let limit = limit(n, &candidates, options).map_err(|needed| TooLarge { needed })?;
    let found = match options.ram {
        // Where looking around gaps finds nothing, the least RAM of all may still do.
        Ram::Limit(_) => within(planned, options, &candidates, limit).or_else(|| {
            let least = least(&candidates, |c| c.cost.ram, |ram| path(n, &candidates, Limit::ram(ram)).is_some())?;
            let plan = smallest(planned, options, &candidates, Limit::ram(least), |_| true)?;
            (plan.ram_bytes as u64 <= limit.ram).then_some(plan)
        }),
        Ram::Least => {
            let unlimited = path(n, &candidates, Limit::NONE).map(|(_, price)| price).unwrap_or_default();
            smallest(planned, options, &candidates, limit, |price| is_cheap(options, price, unlimited))
        }
        Ram::Min => smallest(planned, options, &candidates, limit, |_| true),
    };
    let found = found.ok_or(TooLarge { needed: limit.ram.saturating_add(options.stack) })?;
    // Gaps may cost more than streaming gains.
    match layer_by_layer(planned, options) {
        Ok(layers) if !matches!(options.ram, Ram::Limit(_)) && layers.ram_bytes < found.ram_bytes => {
            Ok(Plan { bound: found.bound, ..layers })
        }
        _ => Ok(found),
    }
}

/// The plan of a path, in `goal` bytes of RAM if offsets allow.
fn realize(planned: &Planned, options: &PlanOptions, chosen: &[Candidate], goal: u64, bound: Bound) -> Plan {
    let setting = setting(options);
    let segments = chosen.iter().filter_map(|c| Some((c.first..c.end, segment(planned, c.first..c.end, c.mode, setting)?)));
    let mut segments: Vec<(Range<usize>, Segment)> = segments.collect();
    segments.iter_mut().for_each(|(_, s)| s.relax(planned, goal));
    build(planned, options, &segments, bound)
}

/// RAM that a path needs where there are no gaps.
fn peak_of(chosen: &[Candidate]) -> u64 {
    chosen.iter().map(|c| c.cost.ram).max().unwrap_or(0)
}

/// The plan that reads the fewest weights within a limit. Where there are gaps between tensors, one that needs so much less is looked
/// for.
fn within(planned: &Planned, options: &PlanOptions, candidates: &[Candidate], limit: Limit) -> Option<Plan> {
    let (n, mut ram, mut fewest) = (planned.network.layers.len(), limit.ram, None);
    loop {
        let (chosen, (reads, _)) = path(n, candidates, Limit::ram(ram))?;
        let bound = Bound { ram: peak_of(&chosen), reads: *fewest.get_or_insert(reads) };
        let plan = realize(planned, options, &chosen, limit.ram, bound);
        let over = (plan.ram_bytes as u64).saturating_sub(limit.ram);
        if over == 0 {
            return Some(plan);
        }
        ram = bound.ram.checked_sub(over.clamp(16, 1024))?;
    }
}

/// Limits that are tried above the bound, where gaps between tensors keep a plan from it.
const LIMITS_TRIED: usize = 40;

/// The plan that takes the least RAM. A path with a little more room may have fewer gaps.
fn smallest(
    planned: &Planned,
    options: &PlanOptions,
    candidates: &[Candidate],
    least: Limit,
    allowed: impl Fn(Price) -> bool,
) -> Option<Plan> {
    let n = planned.network.layers.len();
    let (chosen, (reads, _)) = path(n, candidates, least)?;
    let bound = Bound { ram: peak_of(&chosen), reads };
    let mut best = realize(planned, options, &chosen, bound.ram, bound);
    for overlays in [true, false] {
        let needed = |c: &Candidate| c.cost.ram + if overlays { 0 } else { c.saved };
        let mut limits: Vec<u64> = candidates.iter().map(needed).filter(|&ram| ram > bound.ram).collect();
        limits.sort_unstable();
        limits.dedup();
        limits.retain(|&ram| ram < best.ram_bytes as u64);
        for at in (0..limits.len()).step_by(limits.len().div_ceil(LIMITS_TRIED).max(1)) {
            let limit = Limit { ram: limits[at], overlays };
            let path = path(n, candidates, limit).filter(|(_, price)| limit.ram < best.ram_bytes as u64 && allowed(*price));
            let Some((chosen, _)) = path else { continue };
            let plan = realize(planned, options, &chosen, if overlays { limit.ram } else { u64::MAX }, bound);
            if plan.ram_bytes < best.ram_bytes {
                best = plan;
            }
        }
    }
    (best.ram_bytes < u32::MAX).then_some(best)
}

fn setting(options: &PlanOptions) -> Setting {
    Setting { storage: options.storage, source: options.source.is_some() }
}
