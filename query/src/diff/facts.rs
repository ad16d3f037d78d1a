//! The facts about a side: its containers, the subjects that they used, and the calls that they made.

use ctrace_schema::histogram::Histogram;

/// One of the two sides that are compared.
pub(crate) struct SideFacts {
    /// The first and the last time, ns since 1970 UTC.
    pub(crate) span: (i64, i64),
    pub(crate) containers: Vec<ContainerFacts>,
    /// The addresses of all containers of the recordings, and their general names.
    pub(crate) addresses: Vec<(String, String)>,
    pub(crate) subjects: Vec<SubjectFacts>,
    pub(crate) peers: Vec<PeerFacts>,
    pub(crate) calls: Vec<CallFacts>,
    /// Tells of the name of a call whether the recordings of the side have all such calls.
    pub(crate) records: Box<dyn Fn(&str) -> bool>,
}

/// A container, or everything outside of containers.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContainerFacts {
    /// The container id, or the name if there is no id.
    pub(crate) id: String,
    pub(crate) name: String,
    /// The name without the parts that differ from run to run.
    pub(crate) general_name: String,
    pub(crate) has_id: bool,
    pub(crate) image: Option<String>,
    pub(crate) image_digest: Option<String>,
    pub(crate) pod: Option<String>,
    pub(crate) namespace: Option<String>,
    /// The project and the service of Docker Compose.
    pub(crate) service: Option<String>,
    /// Network addresses.
    pub(crate) addresses: Vec<String>,
    pub(crate) restarts: i64,
    /// When it started and stopped, ns since 1970 UTC.
    pub(crate) started: Option<i64>,
    pub(crate) stopped: Option<i64>,
    pub(crate) first_seen: i64,
}

/// The kinds of subjects that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Aspect {
    Denied,
    Exit,
    Executable,
    Error,
    Container,
    Peer,
    Name,
    File,
    Call,
}

impl Aspect {
    /// Returns the word for the aspect in answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Aspect::Denied => "denied call",
            Aspect::Exit => "exit",
            Aspect::Executable => "executable",
            Aspect::Error => "error",
            Aspect::Container => "container",
            Aspect::Peer => "peer",
            Aspect::Name => "dns name",
            Aspect::File => "file",
            Aspect::Call => "call",
        }
    }
}

/// A subject that a container used.
#[derive(Clone, Debug)]
pub(crate) struct SubjectFacts {
    pub(crate) aspect: Aspect,
    /// [`ContainerFacts::id`].
    pub(crate) container: String,
    /// The subject without the parts that differ from run to run.
    pub(crate) subject: String,
    /// The action on the subject, or its outcome.
    pub(crate) action: Option<String>,
    /// One of the originals of `subject`.
    pub(crate) example: String,
    /// Another name of the same subject.
    pub(crate) alias: Option<String>,
    /// The severity within the aspect; 0 is the most severe.
    pub(crate) rank: i64,
    pub(crate) count: u64,
    pub(crate) first_seen: i64,
}

/// A peer with which a container exchanged data, or tried to.
#[derive(Clone, Debug)]
pub(crate) struct PeerFacts {
    /// [`ContainerFacts::id`].
    pub(crate) container: String,
    pub(crate) protocol: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) path: Option<String>,
    /// The name that led to the address, without the parts that differ from run to run, and as it is.
    pub(crate) name: Option<String>,
    pub(crate) dns_name: Option<String>,
    /// Ports; `None`: one for clients.
    pub(crate) local_port: Option<i64>,
    pub(crate) peer_port: Option<i64>,
    /// `in` or `out`; `None`: not known.
    pub(crate) direction: Option<String>,
    pub(crate) count: u64,
    pub(crate) first_seen: i64,
}

/// Calls of one name and result that a container made in a slice of time.
#[derive(Clone, Debug)]
pub(crate) struct CallFacts {
    /// [`ContainerFacts::id`].
    pub(crate) container: String,
    pub(crate) name: String,
    pub(crate) error: Option<String>,
    pub(crate) is_denied: bool,
    /// The number of the slice, from 0.
    pub(crate) slice: usize,
    pub(crate) count: u64,
    pub(crate) first_seen: i64,
    /// The durations, ns.
    pub(crate) durations: Histogram,
}

/// Number of slices of time into which a side is divided to see how much its rates vary.
pub(crate) const SLICES: usize = 20;

impl SideFacts {
    /// Returns the length of a slice, ns.
    pub(crate) fn slice_ns(&self) -> i64 {
        slice_ns(self.span)
    }
}

/// Returns the length of the slices of a span, ns.
pub(crate) fn slice_ns((from, to): (i64, i64)) -> i64 {
    (to.saturating_sub(from) / SLICES as i64).saturating_add(1)
}
