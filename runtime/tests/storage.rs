//! Weights that are copied: what is read, when it is asked for, and what becomes of a pass whose storage fails.

use staticnet::record::DType;
use staticnet::{ALL_OPS, Engine, ReadAhead, RunError, Transfer};
use staticnet_testing::net::Net;
use staticnet_testing::plan::{self, Plan};
use staticnet_testing::run::{Model, input, outputs, quantized, run};
use staticnet_testing::source::{Broken, Copying, Event, Fault};
use staticnet_testing::{Case, Random, chain, every_op};
use std::cell::RefCell;

/// A network and a plan with places for its weights.
fn planned(seed: u64) -> (Net, Plan) {
    let dtype = if seed.is_multiple_of(2) { DType::I8 } else { DType::F32 };
    let net = if seed.is_multiple_of(3) { every_op::net(dtype, seed) } else { chain::net(dtype, seed) };
    let mut random = Random(seed);
    let plan = if seed.is_multiple_of(5) { plan::streamed(&net, &mut random) } else { plan::mixed(&net, &mut random) };
    let places = random.within(1, 3);
    (net, Plan { places, ..plan })
}

#[test]
fn each_load_is_read_once_and_the_next_is_asked_for_before() {
    let mut kept = 0;
    for seed in 0..100 {
        let _case = Case("loads", seed);
        let (net, plan) = planned(seed);
        let bytes = quantized(&net.info(net.inputs[0]), &input(&net, seed));
        let mut model = Model::new(&net, &plan);
        let (artifact, ram) = model.parts();
        assert!(artifact.weights_in_storage() && artifact.stack_bytes() == 2048);
        let steps: Vec<_> = (0..artifact.step_count()).filter_map(|i| artifact.step(i)).collect();
        let loads: Vec<u32> =
            steps.iter().filter(|s| s.load).map(|s| artifact.chunk(s.chunk).expect("a load has a chunk").offset).collect();
        kept += steps.iter().filter(|s| artifact.chunk(s.chunk).is_some() && !s.load).count();
        let log = RefCell::new(vec![]);
        let mut engine =
            Engine::<ALL_OPS, _>::new(artifact, ram, Copying::<true>::new(artifact.payload(), &log)).expect("it fits");
        for _ in 0..2 {
            log.borrow_mut().clear();
            engine.run_on(&[&bytes]).expect("all is well");
            // The first is asked for, then always the next one before the one that is waited for.
            let mut want: Vec<Event> = loads.first().map(|&first| Event::Start(first)).into_iter().collect();
            for (i, &load) in loads.iter().enumerate() {
                want.extend(loads.get(i + 1).map(|&next| Event::Start(next)));
                want.push(Event::Wait(load));
            }
            let got = log.borrow();
            let order = |events: &[Event], wait: bool| -> Vec<Event> {
                events.iter().copied().filter(|e| matches!(e, Event::Wait(_)) == wait).collect()
            };
            for wait in [false, true] {
                assert_eq!(order(&got, wait), order(&want, wait));
            }
            // Before each wait, one more has been asked for than waited for, where there is one.
            let mut started = 0;
            let mut waited = 0;
            for event in got.iter() {
                match event {
                    Event::Start(_) => started += 1,
                    Event::Wait(_) => {
                        assert!(started >= loads.len().min(waited + 2), "{got:?}");
                        waited += 1;
                    }
                }
            }
        }
    }
    assert!(kept > 300, "{kept} steps found their chunk where it was");
}

#[test]
fn a_failing_storage_is_reported_and_the_next_pass_is_right() {
    for seed in 0..60 {
        let _case = Case("faults", seed);
        let (net, plan) = planned(seed);
        let want = run(&net, &plan, seed).1;
        let info = net.info(net.inputs[0]);
        let bytes = quantized(&info, &input(&net, seed));
        let mut model = Model::new(&net, &plan);
        let (artifact, ram) = model.parts();
        let loads: Vec<u32> =
            (0..artifact.step_count()).filter_map(|i| artifact.step(i)).filter(|s| s.load).map(|s| s.chunk).collect();
        for (at, &chunk) in loads.iter().enumerate() {
            for fault in [Fault::Error, Fault::Damage, Fault::Short] {
                let log = RefCell::new(vec![]);
                let mut source = Copying::<true>::new(artifact.payload(), &log);
                source.fault = Some((at, fault));
                let mut engine = Engine::<ALL_OPS, _>::new(artifact, &mut *ram, source).expect("it fits");
                let error = match fault {
                    Fault::Error => RunError::Weights(Broken),
                    Fault::Damage | Fault::Short => RunError::Chunk { chunk },
                };
                if seed.is_multiple_of(2) {
                    assert_eq!(engine.run_on(&[&bytes]), Err(error));
                } else {
                    engine.begin();
                    let rows = bytes.chunks_exact(info.row_bytes() as usize);
                    let pushed = rows.clone().map(|row| engine.push_input_row(row)).find(|pushed| pushed.is_err());
                    assert_eq!(pushed.unwrap_or_else(|| engine.finish()), Err(error));
                    // What still comes of that picture belongs to no pass.
                    let last = rows.last().expect("it has rows");
                    assert_eq!(engine.push_input_row(last), Err(RunError::NotBegun));
                }
                engine.run_on(&[&bytes]).expect("all is well again");
                assert_eq!(outputs(&engine), want);
            }
        }
    }
}

#[test]
fn a_source_that_copies_needs_places() {
    let (net, plan) = planned(1);
    let mut model = Model::new(&net, &Plan { places: 0, ..plan });
    let (artifact, ram) = model.parts();
    let log = RefCell::new(vec![]);
    let refused = Engine::<ALL_OPS, _>::new(artifact, ram, Copying::<true>::new(artifact.payload(), &log)).err();
    assert_eq!(refused, Some(RunError::WeightsNotMapped));
}

/// A transfer that takes until it is waited for.
struct Slow<'p>(&'p [u8]);

impl<'b> Transfer<'b> for Slow<'_> {
    type Error = Broken;
    type Running = (u32, &'b mut [u8], usize);

    fn begin(&mut self, offset: u32, buffer: &'b mut [u8], len: usize) -> Self::Running {
        (offset, buffer, len)
    }

    fn finish(&mut self, (offset, buffer, len): Self::Running) -> (&'b mut [u8], Result<(), Broken>) {
        buffer[..len].copy_from_slice(&self.0[offset as usize..][..len]);
        (buffer, Ok(()))
    }
}

#[test]
fn weights_that_are_read_ahead_give_the_same_bytes() {
    for seed in 0..40 {
        let _case = Case("ahead", seed);
        let (net, plan) = planned(seed);
        let want = run(&net, &plan, seed).1;
        let bytes = quantized(&net.info(net.inputs[0]), &input(&net, seed));
        let mut model = Model::new(&net, &plan);
        let (artifact, ram) = model.parts();
        let mut buffer = vec![0; Random(seed).within(1, 200)];
        let source = ReadAhead::new(Slow(artifact.payload()), 0, &mut buffer);
        let mut engine = Engine::<ALL_OPS, _>::new(artifact, ram, source).expect("it fits");
        for _ in 0..2 {
            engine.run_on(&[&bytes]).expect("all is well");
            assert_eq!(outputs(&engine), want);
            // A pass that is broken off forgets what was asked for.
            engine.begin();
            engine.push_input_row(&bytes[..net.info(net.inputs[0]).row_bytes() as usize]).expect("a row of the input");
        }
    }
}
