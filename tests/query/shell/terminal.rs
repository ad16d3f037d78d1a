//! `ctrace-query` on a terminal: a test presses keys and waits for text on the screen.

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const ENTER: &str = "\r";
const TAB: &str = "\t";
pub(crate) const UP: &str = "\x1b[A";
pub(crate) const RIGHT: &str = "\x1b[C";
pub(crate) const CTRL_A: &str = "\x01";
pub(crate) const CTRL_C: &str = "\x03";
pub(crate) const CTRL_D: &str = "\x04";
pub(crate) const CTRL_R: &str = "\x12";
pub(crate) const CTRL_U: &str = "\x15";
/// The prompt on a new line. Each key draws the prompt again, but not on a new line.
pub(crate) const PROMPT: &str = "\nctrace> ";

pub(crate) struct Terminal {
    child: Child,
    keys: Option<ChildStdin>,
    bytes: Receiver<Vec<u8>>,
    /// All bytes that were written to the terminal.
    pub(crate) raw: Vec<u8>,
    /// The length of the shown text up to the end of the last match.
    seen: usize,
    /// The numbers of columns and rows.
    size: (u16, u16),
}

impl Terminal {
    /// Starts `ctrace-query ARGS` in `dir`, which also has the history.
    pub(crate) fn new(dir: &Path, args: &str) -> Self {
        Self::of_size(dir, args, 80, 24)
    }

    /// Starts `ctrace-query ARGS` on a terminal of `columns` by `rows` characters.
    pub(crate) fn of_size(dir: &Path, args: &str, columns: u16, rows: u16) -> Self {
        let program = env!("CARGO_BIN_EXE_ctrace-query");
        Self::running(dir, &format!("exec {program} {args}"), columns, rows)
    }

    /// Runs a script of the shell on a terminal of `columns` by `rows` characters.
    pub(crate) fn running(dir: &Path, script: &str, columns: u16, rows: u16) -> Self {
        // script(1) runs it on a terminal of its own.
        let run = format!("stty cols {columns} rows {rows}; {script}");
        let mut child = Command::new("script")
            .args(["-qec", &run, "/dev/null"])
            .current_dir(dir)
            .env("XDG_STATE_HOME", dir)
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .envs([("PAGER", "sed 's/^/paged: /'")])
            .env_remove("NO_COLOR")
            .env_remove("CTRACE_RECORDING")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal {
            keys: child.stdin.take(),
            child,
            bytes,
            raw: Vec::new(),
            seen: 0,
            size: (columns, rows),
        }
    }

    /// Returns what stands on the screen.
    pub(crate) fn screen(&self) -> String {
        let [columns, rows] = [self.size.0, self.size.1].map(|n| NonZero::new(n).unwrap());
        let mut parser = vt100::Parser::new(rows, columns, 0);
        parser.process(&self.raw);
        parser.screen().contents()
    }

    /// Waits until `text` stands on the screen.
    pub(crate) fn expect_on_screen(&mut self, text: &str) -> &mut Self {
        self.expect_screen(&format!("`{text}`"), |screen| screen.contains(text))
    }

    /// Waits until the screen is as `is_wanted` says; `what` names that.
    pub(crate) fn expect_screen(
        &mut self,
        what: &str,
        is_wanted: impl Fn(&str) -> bool,
    ) -> &mut Self {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is_wanted(&screen) {
                return self;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.bytes.recv_timeout(left) {
                Ok(bytes) => self.raw.extend(bytes),
                Err(_) => panic!("no {what} on the screen:\n{screen}"),
            }
        }
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) -> &mut Self {
        let to = self.keys.as_mut().unwrap();
        to.write_all(keys.as_bytes()).unwrap();
        self
    }

    /// Waits for the prompt, and types a line.
    pub(crate) fn enter(&mut self, line: &str) -> &mut Self {
        self.expect(PROMPT).press(line).press(ENTER)
    }

    /// Waits until `text` is shown after the end of the last match.
    pub(crate) fn expect(&mut self, text: &str) -> &mut Self {
        if let Err(shown) = self.wait(text, PATIENCE) {
            panic!("no `{text}` in {shown:?}");
        }
        self
    }

    /// Presses Tab until `text` is offered: names are read in the background, which may take longer than one Tab waits.
    pub(crate) fn tab(&mut self, text: &str) -> &mut Self {
        const ONE: Duration = Duration::from_secs(5);
        for _ in 0..PATIENCE.as_secs() / ONE.as_secs() {
            if self.press(TAB).wait(text, ONE).is_ok() {
                return self;
            }
        }
        self.expect(text)
    }

    /// Waits for `text`. After `patience`, returns the text that was shown instead.
    fn wait(&mut self, text: &str, patience: Duration) -> Result<(), String> {
        let end = Instant::now() + patience;
        loop {
            let shown = shown(&self.raw);
            if let Some(at) = shown[self.seen..].find(text) {
                self.seen += at + text.len();
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.bytes.recv_timeout(left) {
                Ok(bytes) => self.raw.extend(bytes),
                Err(_) => return Err(shown[self.seen..].to_string()),
            }
        }
    }

    /// Waits for the program to exit. Returns the exit code and the text after the last match.
    pub(crate) fn exit(mut self) -> (i32, String) {
        loop {
            match self.bytes.recv_timeout(PATIENCE) {
                Ok(bytes) => self.raw.extend(bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("no exit: {:?}", shown(&self.raw)),
            }
        }
        let code = self.child.wait().unwrap().code().unwrap();
        (code, shown(&self.raw)[self.seen..].to_string())
    }
}

impl Drop for Terminal {
    /// Ends the program of a test that failed.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the id of the process that runs `ctrace-query` in `dir`.
pub(crate) fn process_in(dir: &Path) -> Option<u32> {
    let dir = dir.canonicalize().ok()?;
    let is_it = |process: &Path| {
        let program = std::fs::read_link(process.join("exe")).ok()?;
        let is_program = program == Path::new(env!("CARGO_BIN_EXE_ctrace-query"));
        let here = std::fs::read_link(process.join("cwd")).ok()?;
        (is_program && here == dir).then_some(())
    };
    let mut processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes.find_map(|process| {
        is_it(&process.path())?;
        process.file_name().to_str()?.parse().ok()
    })
}

/// Returns the shown text without control sequences. A line that is drawn again appears again.
fn shown(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' if rest.peek() == Some(&'[') => {
                rest.next();
                // The last byte of a control sequence (ECMA-48).
                while rest.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            '\x07' | '\r' => {}
            c => out.push(c),
        }
    }
    out
}
