//! Batches on their way to the device, ahead of the training.

use super::TrainError;
use crate::backend::Backend;
use crate::network::Staged;
use crate::source::Batches;
use std::sync::mpsc::{IntoIter, sync_channel};
use std::thread::Scope;

/// Batches that are sent on their way before they are asked for.
const AHEAD: usize = 2;

/// The batches of an epoch, in order, on the device.
pub(crate) enum StagedBatches<'a, B: Backend> {
    /// The device has no memory of its own: nothing is on its way.
    Here(&'a B, Batches<'a>),
    /// A thread sends them.
    Ahead(IntoIter<Result<Staged<B>, TrainError>>),
}

impl<'a, B: Backend> StagedBatches<'a, B> {
    /// Sends `batches` to the device of `backend`; where that is work, on a thread of `scope`, which ends when these batches are dropped.
    pub(crate) fn new<'scope>(backend: &'a B, batches: Batches<'a>, scope: &'scope Scope<'scope, 'a>) -> Self
    where
        'a: 'scope,
    {
        if !B::STAGES {
            return StagedBatches::Here(backend, batches);
        }
        let (sender, receiver) = sync_channel(AHEAD);
        scope.spawn(move || {
            for batch in batches {
                let staged = batch.map_err(TrainError::Data).and_then(|batch| Ok(Staged::new(backend, batch)?));
                let failed = staged.is_err();
                if sender.send(staged).is_err() || failed {
                    return;
                }
            }
        });
        StagedBatches::Ahead(receiver.into_iter())
    }
}

impl<B: Backend> Iterator for StagedBatches<'_, B> {
    type Item = Result<Staged<B>, TrainError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            StagedBatches::Here(backend, batches) => {
                Some(batches.next()?.map_err(TrainError::Data).and_then(|batch| Ok(Staged::new(*backend, batch)?)))
            }
            StagedBatches::Ahead(staged) => staged.next(),
        }
    }
}
