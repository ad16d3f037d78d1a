//! An event of any kind as a line: when, where, who, and what as strace prints it.

use std::fmt::{self, Display, Formatter};

use crate::human;
use crate::strace::{Call, Socket};

/// The values of an event that stand in its line, from the columns of the same names.
///
/// The displayed form is that of the live lines of the recorder, without a line break:
/// `03:12:01.000250 web             nginx               101 read(3</srv/a>, ..., 10) = 10 <25µs>`.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "each field is the column of the same name")]
pub struct Event<'a> {
    /// ns since 1970 UTC.
    pub time: Option<i64>,
    pub duration: Option<i64>,
    pub container: Option<&'a str>,
    pub comm: Option<&'a str>,
    pub tid: Option<i64>,
    pub kind: &'a str,
    pub action: Option<&'a str>,
    pub class: Option<&'a str>,
    pub syscall: Option<&'a str>,
    pub compat: bool,
    pub ret: Option<i64>,
    pub error: Option<&'a str>,
    pub denied: bool,
    /// `arg0` to `arg5`.
    pub args: [Option<i64>; 6],
    pub path: Option<&'a str>,
    pub path_arg: Option<&'a str>,
    pub path2: Option<&'a str>,
    pub socket: Socket<'a>,
    pub dns_name: Option<&'a str>,
    pub dns_type: Option<&'a str>,
    pub dns_code: Option<&'a str>,
    pub dns_answers: Option<&'a str>,
    pub argv: Option<&'a str>,
    pub exit_code: Option<i64>,
    pub exit_signal: Option<i64>,
    pub image: Option<&'a str>,
    pub lost: Option<i64>,
    /// The architecture of the machine, as `uname -m` prints it.
    pub arch: &'a str,
}

impl Event<'_> {
    /// Writes the time of the day, UTC.
    fn write_clock(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(ns) = self.time else {
            return Ok(());
        };
        let micros = ns.div_euclid(1000);
        let seconds = micros.div_euclid(1_000_000).rem_euclid(86_400);
        let (minutes, micros) = (seconds / 60, micros.rem_euclid(1_000_000));
        let (hour, minute, second) = (minutes / 60, minutes % 60, seconds % 60);
        write!(f, "{hour:02}:{minute:02}:{second:02}.{micros:06}")
    }

    fn write_call(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.syscall.unwrap_or_default();
        let mut call = Call::of_machine(name, self.arch, self.compat);
        call.args = self.args;
        call.ret = self.ret;
        call.path = self.path;
        call.path_arg = self.path_arg;
        call.path2 = self.path2;
        call.socket = self.socket;
        call.argv = self.argv;
        call.denied = self.denied;
        write!(f, "{call}")?;
        match self.duration {
            Some(ns) => write!(f, " <{}>", human::duration(ns)),
            None => Ok(()),
        }
    }

    /// Writes a query to a name server: `--- dns db.test A 10.0.0.1:53: NXDOMAIN [] --- <2.1ms>`.
    fn write_dns_query(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let server = self.socket.peer;
        write!(
            f,
            "--- dns {} {} {}:{}: ",
            self.dns_name.unwrap_or("?"),
            self.dns_type.unwrap_or("?"),
            server.addr.unwrap_or("?"),
            server.port.unwrap_or(0)
        )?;
        match self.dns_code {
            Some(code) => write!(f, "{code} {}", self.dns_answers.unwrap_or_default())?,
            None => f.write_str(self.action.unwrap_or_default())?,
        }
        if let Some(error) = self.error {
            write!(f, " {error}")?;
        }
        let took = self.duration.unwrap_or(0);
        write!(f, " --- <{}>", human::duration(took))
    }
}

impl Display for Event<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write_clock(f)?;
        let (container, comm) = (
            self.container.unwrap_or_default(),
            self.comm.unwrap_or_default(),
        );
        write!(f, " {container:<15} {comm:<15} ")?;
        match self.tid {
            Some(tid) => write!(f, "{tid:>7} ")?,
            None => write!(f, "{:>7} ", "")?,
        }
        let action = self.action.unwrap_or_default();
        match self.kind {
            "syscall" => self.write_call(f),
            "process" if action == "found" => {
                write!(f, "--- process found {} ---", self.argv.unwrap_or_default())
            }
            "process" => match (self.exit_code, self.exit_signal) {
                (_, Some(signal)) => write!(f, "+++ killed by signal {signal} +++"),
                (code, None) => write!(f, "+++ exited with {} +++", code.unwrap_or(0)),
            },
            "gap" => {
                let (lost, class) = (self.lost.unwrap_or(0), self.class.unwrap_or_default());
                write!(f, "--- {lost} {class} events lost ---")
            }
            "dns" => self.write_dns_query(f),
            kind => {
                let image = self.image.unwrap_or_default();
                write!(f, "--- {kind} {action} {image} ---")
            }
        }
    }
}
