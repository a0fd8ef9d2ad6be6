//! Chooses the board: `STATICNET_BOARD` names it, a Cortex-M7 one is the default.

use staticnet_protocol::Board;
use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-env-changed=STATICNET_BOARD");
    let name = env::var("STATICNET_BOARD").unwrap_or_else(|_| "mps2-an500".to_string());
    let Some(board) = Board::named(&name) else {
        panic!("STATICNET_BOARD={name} is none of {:?}", staticnet_protocol::board::BOARDS.map(|board| board.name));
    };
    let target = env::var("TARGET").expect("cargo sets TARGET");
    if target.ends_with("-none-eabi") || target.ends_with("-none-eabihf") {
        assert_eq!(target, board.target, "{name} is a {}: build it with --target {}", board.core, board.target);
    }

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let script = format!("memory/{name}.x");
    println!("cargo:rerun-if-changed={script}");
    fs::copy(&script, out.join("memory.x")).unwrap_or_else(|e| panic!("{script}: {e}"));
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-env=STATICNET_BOARD={name}");
}
