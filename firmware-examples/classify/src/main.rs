//! Classifies a few pictures and prints the five best labels of each over defmt.
//!
//! Model, memory and kernels are fixed when compiling: a damaged model or one that does not fit is a build error, and only the
//! kernels that the model needs are in the binary. What it prints stands in `classify.golden`.
#![no_std]
#![no_main]

use core::convert::Infallible;
use cortex_m_rt::entry;
use staticnet::{Engine, Mapped, Picture, Ram, RunError};
use staticnet_board as board;

staticnet::include_model!(static MODEL, "../../models/shapes.snet");
static RAM: Ram<{ MODEL.ram_bytes() }> = Ram::new();

/// Width and height of the pictures.
const SIDE: u32 = 32;

/// Pictures and what they show: rows top to bottom, red, green and blue interleaved.
const PICTURES: [(&str, &[u8]); 5] = [
    ("arrow", include_bytes!("../../pictures/arrow.rgb")),
    ("cross", include_bytes!("../../pictures/cross.rgb")),
    ("heart", include_bytes!("../../pictures/heart.rgb")),
    ("ring", include_bytes!("../../pictures/ring.rgb")),
    ("star", include_bytes!("../../pictures/star.rgb")),
];

#[entry]
fn main() -> ! {
    board::start();
    match classify() {
        Ok(()) => board::exit(0),
        Err(error) => {
            defmt::error!("{}", error);
            board::exit(1)
        }
    }
}

fn classify() -> Result<(), RunError<Infallible>> {
    // `take` hands the memory out once, and this is the only place that asks.
    let ram = RAM.take().unwrap_or_default();
    let mut engine = Engine::<{ MODEL.ops() }, _>::new(MODEL, ram, Mapped::new(&MODEL))?;
    for (shown, pixels) in PICTURES {
        engine.set_picture(Picture { pixels, width: SIDE, height: SIDE, channels: 3 })?;
        engine.run()?;
        defmt::info!("{=str}.rgb", shown);
        for score in engine.top_k::<5>() {
            let label = MODEL.label(score.class as usize).unwrap_or("(no label)");
            defmt::info!("  {=str} {=f32}", label, score.value);
        }
    }
    Ok(())
}
