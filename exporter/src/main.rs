//! `exporter`: see `exporter --help`.

fn main() -> std::process::ExitCode {
    staticnet_exporter::cli::main()
}
