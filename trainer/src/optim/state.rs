//! What an optimiser remembers, as plain numbers.

use super::Optimiser;
use super::scale::LossScale;
use crate::backend::{Backend, DeviceError, Fault};
use crate::bits;
use crate::schedule::{PLATEAU_STATE, Plateau, ScheduleKind};
use std::collections::BTreeMap;
use std::fmt;

/// Key of the number of updates done.
const UPDATES: &str = "updates";
/// Key of the factor of the loss. It is there where the device needed one, and left aside where the device now does not.
const LOSS_SCALE: &str = "loss_scale";

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

/// Why an optimiser cannot go on where another one stopped.
#[derive(Debug)]
pub enum RestoreError {
    /// What that one remembered does not fit.
    State(StateError),
    /// The device failed.
    Device(DeviceError),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::State(error) => write!(f, "{error}"),
            RestoreError::Device(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for RestoreError {}

impl From<DeviceError> for RestoreError {
    fn from(error: DeviceError) -> Self {
        RestoreError::Device(error)
    }
}

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

impl<B: Backend> Optimiser<B> {
    /// Keys of the state of a parameter: `features.0.weight/momentum`.
    fn keys(&self, trained: usize) -> [String; 3] {
        let one = &self.trained[trained];
        self.groups.groups[one.group].settings.state_names().map(|state| format!("{}/{state}", one.name))
    }

    /// Which vectors of state a parameter has.
    fn has(&self, trained: usize) -> [bool; 3] {
        self.groups.groups[self.trained[trained].group].settings.method(0.0, 1).states()
    }

    /// Everything that a step depends on but for parameters, gradients and options: velocities and means by the parameter's name
    /// and PyTorch's name for them, counters, and what rates that follow a metric remember. Without the average; see
    /// [`Optimiser::average`].
    ///
    /// # Errors
    /// The device's.
    pub fn state(&self) -> Result<BTreeMap<String, Vec<f32>>, DeviceError> {
        let mut state = BTreeMap::from([(UPDATES.to_string(), bits::split(self.updates).to_vec())]);
        state.extend(self.loss_scale.as_ref().map(|scale| (LOSS_SCALE.to_string(), scale.state())));
        for (i, one) in self.trained.iter().enumerate() {
            for ((key, vector), has) in self.keys(i).into_iter().zip(&one.state).zip(self.has(i)) {
                if has {
                    let numbers = self.backend.host(self.backend.read_vector(vector)).map_err(DeviceError::of)?;
                    state.insert(key, numbers.into_owned());
                }
            }
        }
        for group in self.groups.iter().filter(|g| g.settings.schedule.schedule == ScheduleKind::Plateau) {
            state.insert(format!("plateau/{}", group.label), group.plateau.state());
        }
        Ok(state)
    }

    /// Goes on where another optimiser with the same options stopped: from here on both do the same, bit for bit.
    ///
    /// # Errors
    /// [`RestoreError::State`] names all that does not fit; nothing is changed then. [`RestoreError::Device`] where it fails.
    pub fn restore(&mut self, state: BTreeMap<String, Vec<f32>>) -> Result<(), RestoreError> {
        let mut given = Given::new(state);
        let updates = given.parse(UPDATES, bits::WORDS, bits::join);
        let loss_scale = given.vectors.remove(LOSS_SCALE).and_then(|state| LossScale::from_state(&state));
        let mut vectors = Vec::new();
        for (i, one) in self.trained.iter().enumerate() {
            let keys = self.keys(i).into_iter().zip(self.has(i)).enumerate().filter(|(_, (_, has))| *has);
            for (place, (key, _)) in keys {
                vectors.push((i, place, given.take(&key, one.len)));
            }
        }
        let mut plateaus = Vec::new();
        for group in self.groups.iter() {
            let follows = group.settings.schedule.schedule == ScheduleKind::Plateau;
            let key = format!("plateau/{}", group.label);
            plateaus.push(if follows { given.parse(&key, PLATEAU_STATE, Plateau::from_state) } else { None });
        }
        given.end().map_err(RestoreError::State)?;
        self.updates = updates.unwrap_or_default();
        if let (Some(place), Some(scale)) = (&mut self.loss_scale, loss_scale) {
            *place = scale;
        }
        for (i, place, vector) in vectors {
            let to = self.backend.write_vector(&mut self.trained[i].state[place]);
            self.backend.set(to, &vector.unwrap_or_default()).map_err(DeviceError::of)?;
        }
        for (group, plateau) in self.groups.groups.iter_mut().zip(plateaus) {
            group.plateau = plateau.unwrap_or_default();
        }
        Ok(())
    }

    /// The moving average of the parameters that are trained, by name; none where no average is asked for.
    ///
    /// # Errors
    /// The device's.
    pub fn average(&self) -> Result<Option<BTreeMap<String, Vec<f32>>>, DeviceError> {
        if self.options.ema.is_none() {
            return Ok(None);
        }
        let averages = self.trained.iter().filter_map(|one| Some((one.name.clone(), one.average.as_ref()?)));
        let all = averages.map(|(name, v)| Ok((name, self.backend.host(self.backend.read_vector(v))?.into_owned())));
        all.collect::<Result<_, Fault<B>>>().map(Some).map_err(DeviceError::of)
    }

    /// Goes on from an average that [`Optimiser::average`] gave.
    ///
    /// # Errors
    /// As [`Optimiser::restore`].
    pub fn restore_average(&mut self, average: BTreeMap<String, Vec<f32>>) -> Result<(), RestoreError> {
        let mut given = Given::new(average);
        let mut vectors = Vec::new();
        for (i, one) in self.trained.iter().enumerate() {
            vectors.extend(one.average.as_ref().map(|_| (i, given.take(&one.name, one.len))));
        }
        given.end().map_err(RestoreError::State)?;
        for (i, vector) in vectors {
            if let (Some(average), Some(vector)) = (&mut self.trained[i].average, vector) {
                let place = self.backend.write_vector(average);
                self.backend.set(place, &vector).map_err(DeviceError::of)?;
            }
        }
        Ok(())
    }
}
