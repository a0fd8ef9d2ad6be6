//! What an optimiser remembers, as plain numbers.

use super::Optimiser;
use crate::bits;
use crate::schedule::{PLATEAU_STATE, Plateau, ScheduleKind};
use std::collections::BTreeMap;
use std::fmt;

/// Key of the number of updates done.
const UPDATES: &str = "updates";

/// What of a state does not fit an optimiser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateError {
    /// Keys that are needed and not there.
    pub missing: Vec<String>,
    /// Keys, numbers that are there, and numbers that are needed.
    pub other_length: Vec<(String, usize, usize)>,
    /// Keys whose numbers are none that an optimiser gives.
    pub nonsense: Vec<String>,
    /// Keys that nobody needs.
    pub left_over: Vec<String>,
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lengths = self.other_length.iter().map(|(key, found, needed)| format!("{key} has {found} numbers, not {needed}"));
        let missing = self.missing.iter().map(|key| format!("{key} is missing"));
        let nonsense = self.nonsense.iter().map(|key| format!("{key} is damaged"));
        let left_over = self.left_over.iter().map(|key| format!("{key} is not needed"));
        let all: Vec<String> = missing.chain(lengths).chain(nonsense).chain(left_over).collect();
        write!(f, "not the state of this optimiser: {}", all.join("; "))
    }
}

impl std::error::Error for StateError {}

/// Vectors by name, and what is found wrong while they are looked up.
struct Given {
    vectors: BTreeMap<String, Vec<f32>>,
    error: StateError,
}

impl Given {
    fn new(vectors: BTreeMap<String, Vec<f32>>) -> Given {
        let error = StateError { missing: vec![], other_length: vec![], nonsense: vec![], left_over: vec![] };
        Given { vectors, error }
    }

    fn take(&mut self, key: &str, len: usize) -> Option<Vec<f32>> {
        match self.vectors.remove(key) {
            None => self.error.missing.push(key.into()),
            Some(vector) if vector.len() != len => self.error.other_length.push((key.into(), vector.len(), len)),
            Some(vector) => return Some(vector),
        }
        None
    }

    /// As [`Given::take`], and made something of; none if it cannot be.
    fn parse<T>(&mut self, key: &str, len: usize, parse: impl Fn(&[f32]) -> Option<T>) -> Option<T> {
        let vector = self.take(key, len)?;
        let value = parse(&vector);
        if value.is_none() {
            self.error.nonsense.push(key.into());
        }
        value
    }

    /// What is wrong, if anything.
    fn end(mut self) -> Result<(), StateError> {
        self.error.left_over.extend(self.vectors.into_keys());
        let StateError { missing, other_length, nonsense, left_over } = &self.error;
        let fine = missing.is_empty() && other_length.is_empty() && nonsense.is_empty() && left_over.is_empty();
        if fine { Ok(()) } else { Err(self.error) }
    }
}

impl Optimiser {
    /// Keys of the state of a parameter: `features.0.weight/momentum`.
    fn keys(&self, trained: usize) -> [String; 3] {
        let one = &self.trained[trained];
        self.groups.groups[one.group].settings.state_names().map(|state| format!("{}/{state}", one.name))
    }

    /// Everything that a step depends on but for parameters, gradients and options: velocities and means by the parameter's name
    /// and PyTorch's name for them, counters, and what rates that follow a metric remember. Without the average; see
    /// [`Optimiser::average`].
    pub fn state(&self) -> BTreeMap<String, Vec<f32>> {
        let mut state = BTreeMap::from([(UPDATES.to_string(), bits::split(self.updates).to_vec())]);
        for (i, one) in self.trained.iter().enumerate() {
            let vectors = self.keys(i).into_iter().zip(&one.state);
            state.extend(vectors.filter(|(_, v)| !v.is_empty()).map(|(key, v)| (key, v.clone())));
        }
        for group in self.groups.iter().filter(|g| g.settings.schedule.schedule == ScheduleKind::Plateau) {
            state.insert(format!("plateau/{}", group.label), group.plateau.state());
        }
        state
    }

    /// Goes on where another optimiser with the same options stopped: from here on both do the same, bit for bit.
    ///
    /// # Errors
    /// [`StateError`] names all that does not fit; nothing is changed then.
    pub fn restore(&mut self, state: BTreeMap<String, Vec<f32>>) -> Result<(), StateError> {
        let mut given = Given::new(state);
        let updates = given.parse(UPDATES, bits::WORDS, bits::join);
        let mut vectors = Vec::new();
        for (i, one) in self.trained.iter().enumerate() {
            let keys = self.keys(i).into_iter().enumerate().filter(|(place, _)| !one.state[*place].is_empty());
            for (place, key) in keys {
                vectors.push((i, place, given.take(&key, one.state[place].len())));
            }
        }
        let mut plateaus = Vec::new();
        for group in self.groups.iter() {
            let follows = group.settings.schedule.schedule == ScheduleKind::Plateau;
            let key = format!("plateau/{}", group.label);
            plateaus.push(if follows { given.parse(&key, PLATEAU_STATE, Plateau::from_state) } else { None });
        }
        given.end()?;
        self.updates = updates.unwrap_or_default();
        for (i, place, vector) in vectors {
            self.trained[i].state[place] = vector.unwrap_or_default();
        }
        for (group, plateau) in self.groups.groups.iter_mut().zip(plateaus) {
            group.plateau = plateau.unwrap_or_default();
        }
        Ok(())
    }

    /// The moving average of the parameters that are trained, by name; none where no average is asked for.
    pub fn average(&self) -> Option<BTreeMap<&str, &[f32]>> {
        self.options.ema?;
        Some(self.trained.iter().filter_map(|one| Some((one.name.as_str(), one.average.as_deref()?))).collect())
    }

    /// Goes on from an average that [`Optimiser::average`] gave.
    ///
    /// # Errors
    /// [`StateError`] names all that does not fit; nothing is changed then.
    pub fn restore_average(&mut self, average: BTreeMap<String, Vec<f32>>) -> Result<(), StateError> {
        let mut given = Given::new(average);
        let mut vectors = Vec::new();
        for (i, one) in self.trained.iter().enumerate() {
            vectors.extend(one.average.as_ref().map(|old| (i, given.take(&one.name, old.len()))));
        }
        given.end()?;
        for (i, vector) in vectors {
            self.trained[i].average = vector;
        }
        Ok(())
    }
}
