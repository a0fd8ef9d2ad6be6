//! Offsets: what lives at the same time must not overlap.
//!
//! Whatever has to lie at a fixed distance of something else (an output over the dead rows of its input) is placed with it, as one
//! group. Groups take the lowest place that is free in their time, or the highest below the goal, in several orders; the first order
//! that needs no more than the most that lives at any time is the best there can be.

use super::problem::aligned;

/// A part of a group: bytes at a distance from the group's beginning, during some times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub at: u64,
    pub bytes: u64,
    /// First and last time.
    pub from: usize,
    pub to: usize,
}

/// What is placed as one.
pub(super) type Group = Vec<Member>;

/// Orders that are tried, fewer where there is much to place.
fn tries(groups: usize) -> u64 {
    (4_000_000 / (groups * groups).max(1) as u64).clamp(8, 400)
}

/// The beginning of each group, and the end of all. `goal` is the least end that is possible.
pub(super) fn place(groups: &[Group], goal: u64) -> (Vec<u64>, u64) {
    let total = |g: &Group| g.iter().map(|m| aligned(m.bytes)).sum::<u64>();
    let time = |g: &Group| g.iter().map(|m| m.to - m.from + 1).max().unwrap_or(0) as u64;
    let mut best: Option<(Vec<u64>, u64)> = None;
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for attempt in 0..tries(groups.len()) {
        let mut order: Vec<usize> = (0..groups.len()).filter(|&g| total(&groups[g]) > 0).collect();
        let mut high = vec![false; groups.len()];
        match attempt {
            0 => order.sort_by_key(|&g| std::cmp::Reverse(total(&groups[g]))),
            1 => order.sort_by_key(|&g| std::cmp::Reverse(total(&groups[g]) * time(&groups[g]))),
            _ => {
                // Sizes shaken by up to a factor of two, and some from above.
                let keys: Vec<u64> = groups.iter().map(|g| total(g) * (64 + next() % 64)).collect();
                order.sort_by_key(|&g| std::cmp::Reverse(keys[g]));
                high.iter_mut().for_each(|h| *h = attempt % 2 == 1 && next() % 3 == 0);
            }
        }
        let offsets = in_order(groups, &order, &high, goal);
        let end = end(groups, &offsets);
        if best.as_ref().is_none_or(|(_, least)| end < *least) {
            best = Some((offsets, end));
        }
        if best.as_ref().is_some_and(|(_, least)| *least <= goal) {
            break;
        }
    }
    best.unwrap_or((vec![0; groups.len()], 0))
}

fn end(groups: &[Group], offsets: &[u64]) -> u64 {
    groups.iter().zip(offsets).flat_map(|(g, o)| g.iter().map(move |m| o + m.at + aligned(m.bytes))).max().unwrap_or(0)
}

fn in_order(groups: &[Group], order: &[usize], high: &[bool], goal: u64) -> Vec<u64> {
    let mut offsets = vec![0; groups.len()];
    let mut placed: Vec<(Member, u64)> = Vec::new();
    for &g in order {
        let group = &groups[g];
        // Where the group must not begin.
        let mut taken: Vec<(u64, u64)> = Vec::new();
        for member in group.iter().filter(|m| m.bytes > 0) {
            for (other, at) in &placed {
                if other.from <= member.to && member.from <= other.to {
                    let first = (at + 1).saturating_sub(member.at + aligned(member.bytes));
                    let end = (at + aligned(other.bytes)).saturating_sub(member.at);
                    taken.push((first, end));
                }
            }
        }
        taken.sort_unstable();
        let mut lowest = 0;
        for &(first, end) in &taken {
            if first > lowest {
                break;
            }
            lowest = lowest.max(end);
        }
        let offset = if high[g] { highest(group, &taken, goal).unwrap_or(lowest) } else { lowest };
        offsets[g] = offset;
        placed.extend(group.iter().filter(|m| m.bytes > 0).map(|m| (*m, offset + m.at)));
    }
    offsets
}

/// The highest free place below the goal.
fn highest(group: &Group, taken: &[(u64, u64)], goal: u64) -> Option<u64> {
    let extent = group.iter().map(|m| m.at + aligned(m.bytes)).max()?;
    let top = goal.checked_sub(extent)? / 16 * 16;
    let free = |at: u64| taken.iter().all(|&(first, end)| at < first || end <= at);
    // A free place ends below something that is taken: its first forbidden beginning, less 1, rounded down.
    let mut places: Vec<u64> = taken.iter().filter_map(|&(first, _)| Some(first.checked_sub(1)? / 16 * 16)).collect();
    places.push(top);
    places.into_iter().filter(|&at| at <= top && free(at)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: u64, from: usize, to: usize) -> Group {
        vec![Member { at: 0, bytes, from, to }]
    }

    #[test]
    fn a_chain_needs_its_largest_pair() {
        let groups = [one(160, 0, 1), one(96, 1, 2), one(128, 2, 3), one(128, 3, 4), one(16, 4, 5)];
        let (offsets, end) = place(&groups, 256);
        assert_eq!(end, 256);
        for (i, pair) in groups.windows(2).enumerate() {
            let (a, b) = (offsets[i], offsets[i + 1]);
            assert!(a + pair[0][0].bytes <= b || b + pair[1][0].bytes <= a, "{offsets:?}");
        }
    }

    #[test]
    fn members_keep_their_distance_and_their_times() {
        // The second half of the group lives on; another takes the place of the first.
        let pair = vec![Member { at: 0, bytes: 64, from: 0, to: 0 }, Member { at: 64, bytes: 64, from: 0, to: 1 }];
        let (offsets, end) = place(&[pair, one(64, 1, 1)], 128);
        assert_eq!((offsets, end), (vec![0, 0], 128));
    }
}
