//! The Python scripts of `tests/scripts/`.

use std::path::Path;
use std::process::Command;

/// Creates the command that runs a script of `tests/scripts/` with the Python that packaging/setup.sh installs beside
/// the programs.
pub(crate) fn script(name: &str) -> Command {
    let programs = Path::new(env!("CARGO_BIN_EXE_ctrace-rec")).parent();
    let python = programs.unwrap().with_file_name("python/bin/python");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut command = Command::new(python);
    command.arg("-B").arg(scripts.join(name));
    command
}
