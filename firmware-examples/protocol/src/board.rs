//! The simulated boards.

/// A board: how to build for it and where its memory lies. Its linker script is `board/memory/<name>.x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// QEMU's name of the machine.
    pub name: &'static str,
    /// Its core, as a data sheet spells it.
    pub core: &'static str,
    /// The compiler's target triple.
    pub target: &'static str,
    /// The compiler's `target-cpu`.
    pub target_cpu: &'static str,
    /// Address of the external memory in which the host places a [`Job`](crate::Job); 16-byte aligned.
    pub job_address: u32,
    /// Bytes of that memory that a job may use.
    pub job_space: u32,
    /// Whether the core has the low-overhead loops of Armv8.1-M, which firmware must enable.
    pub low_overhead_loops: bool,
}

const MIB: u32 = 1 << 20;

/// Every board the project runs on.
pub const BOARDS: [Board; 4] = [
    Board {
        name: "mps2-an385",
        core: "Cortex-M3",
        target: "thumbv7m-none-eabi",
        target_cpu: "cortex-m3",
        job_address: 0x2100_0000,
        job_space: 16 * MIB,
        low_overhead_loops: false,
    },
    Board {
        name: "mps2-an386",
        core: "Cortex-M4F",
        target: "thumbv7em-none-eabihf",
        target_cpu: "cortex-m4",
        job_address: 0x2100_0000,
        job_space: 16 * MIB,
        low_overhead_loops: false,
    },
    Board {
        name: "mps2-an500",
        core: "Cortex-M7",
        target: "thumbv7em-none-eabihf",
        target_cpu: "cortex-m7",
        job_address: 0x6000_0000,
        job_space: 16 * MIB,
        low_overhead_loops: false,
    },
    Board {
        name: "mps3-an547",
        core: "Cortex-M55",
        target: "thumbv8m.main-none-eabihf",
        target_cpu: "cortex-m55",
        job_address: 0x6000_0000,
        job_space: 1024 * MIB,
        low_overhead_loops: true,
    },
];

impl Board {
    /// The board QEMU calls `name`.
    pub const fn named(name: &str) -> Option<&'static Board> {
        let mut i = 0;
        while i < BOARDS.len() {
            if same(BOARDS[i].name, name) {
                return Some(&BOARDS[i]);
            }
            i += 1;
        }
        None
    }
}

/// `==` on strings is not `const`.
const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}
