//! The tables of the page: the ready question of each, its columns, and how its rows follow the time.

/// A section of the page with a table.
pub(crate) struct ReportSection {
    pub(crate) title: &'static str,
    /// A sentence about the table.
    pub(crate) note: &'static str,
    /// The ready question whose answer the table shows.
    pub(crate) question: &'static str,
    pub(crate) columns: &'static [PageColumn],
    /// The columns with the host and the name of each container that a row is about.
    pub(crate) containers: &'static [(&'static str, &'static str)],
    pub(crate) counted: Option<CountedRows>,
    /// The columns with the first and the last time of a row. Such a row is on the page if it overlaps the chosen time; with
    /// neither counts nor a span, a row always is.
    pub(crate) span: Option<(&'static str, &'static str)>,
}

/// Rows that are counted by time, so that their counts are those of the chosen time.
pub(crate) struct CountedRows {
    /// The columns by which a row is found in the answer by time.
    pub(crate) key: &'static [&'static str],
    /// The columns with counts, which add up over time.
    pub(crate) counts: &'static [&'static str],
    /// The column of the key with the most values; the answer by time is asked for these only.
    pub(crate) subject: Option<&'static str>,
    /// True if the counts are of beginnings: a row is also there after that, as its span says.
    pub(crate) lasts: bool,
}

const OWN: &[(&str, &str)] = &[("host", "container")];
const SEEN_SPAN: Option<(&str, &str)> = Some(("first_seen", "last_seen"));

const fn section(
    title: &'static str,
    question: &'static str,
    columns: &'static [PageColumn],
    note: &'static str,
) -> ReportSection {
    ReportSection {
        title,
        note,
        question,
        columns,
        containers: OWN,
        counted: None,
        span: None,
    }
}

const fn counted(
    section: ReportSection,
    key: &'static [&'static str],
    counts: &'static [&'static str],
    subject: Option<&'static str>,
) -> ReportSection {
    ReportSection {
        counted: Some(CountedRows {
            key,
            counts,
            subject,
            lasts: false,
        }),
        ..section
    }
}

const fn lasting(section: ReportSection) -> ReportSection {
    let counted = match section.counted {
        Some(counted) => Some(CountedRows {
            lasts: true,
            ..counted
        }),
        None => None,
    };
    ReportSection { counted, ..section }
}

const fn spanned(
    section: ReportSection,
    span: Option<(&'static str, &'static str)>,
) -> ReportSection {
    ReportSection { span, ..section }
}

/// The tables in the order of the page: failures first.
pub(crate) const SECTIONS: &[ReportSection] = &[
    spanned(
        section(
            "Rules that fired",
            "rules",
            RULES,
            "What rules found, alerts first: a reason to look, not a proof.",
        ),
        SEEN_SPAN,
    ),
    counted(
        section(
            "Containers",
            "containers",
            CONTAINERS,
            "The containers that ran, and how busy they were. Errors are all errnos, including EAGAIN and others that are not failures.",
        ),
        &["host", "id", "container"],
        &["calls", "errors"],
        None,
    ),
    spanned(
        counted(
            section(
                "Failures",
                "errors",
                ERRORS,
                "Failed calls: those at which the set-up of a container failed, then those of disks, connections and rights first, then missing files, and routine failures at the end. Without EAGAIN and EINPROGRESS of non-blocking I/O, and without calls that the kernel restarts after a signal.",
            ),
            &["host", "id", "container", "syscall", "error", "subject"],
            &["calls"],
            Some("subject"),
        ),
        SEEN_SPAN,
    ),
    counted(
        section(
            "Refused by seccomp",
            "denied",
            DENIED,
            "Calls that seccomp did not allow.",
        ),
        &["host", "id", "container", "syscall", "error", "exe", "comm"],
        &["calls"],
        Some("exe"),
    ),
    spanned(
        section(
            "Programs from outside of the image",
            "drift",
            DRIFT,
            "Programs that containers had written, or that were on a mount or in memory.",
        ),
        Some(("first_run", "last_run")),
    ),
    section(
        "Powers",
        "powers",
        POWERS,
        "What containers may do and use on the machine, the most powerful first.",
    ),
    spanned(
        section(
            "Calls that wait",
            "stuck",
            STUCK,
            "Calls that have not returned, or took 100 ms or more; waits for work, for time and for children come last.",
        ),
        Some(("since", "")),
    ),
    counted(
        section("Files", "files", FILES, "The most used first."),
        &["host", "id", "container", "path"],
        &["calls", "opens", "execs", "failed"],
        Some("path"),
    ),
    spanned(
        lasting(counted(
            section(
                "Peers",
                "peers",
                PEERS,
                "The peers that containers connected to (out), and those that connected to containers (in).",
            ),
            &[
                "host",
                "id",
                "container",
                "direction",
                "protocol",
                "address",
                "port",
                "client",
            ],
            &["connections", "failed"],
            Some("address"),
        )),
        SEEN_SPAN,
    ),
    ReportSection {
        containers: &[("source_host", "source"), ("target_host", "target")],
        ..spanned(
            section(
                "Links",
                "links",
                LINKS,
                "Which container talks to which, by connections, sockets and shared files.",
            ),
            SEEN_SPAN,
        )
    },
    counted(
        section(
            "Names",
            "dns",
            DNS,
            "The names that containers asked name servers for: questions that failed or had no answer first.",
        ),
        &["host", "id", "container", "name", "type", "code", "server"],
        &["questions"],
        Some("name"),
    ),
    counted(
        section("Calls", "syscalls", SYSCALLS, "The most frequent first."),
        &["host", "id", "container", "syscall"],
        &["calls", "errors"],
        None,
    ),
    spanned(
        section(
            "Processes",
            "processes",
            PROCESSES,
            "Each process below its parent.",
        ),
        Some(("started", "exited")),
    ),
    spanned(
        section("Gaps", "gaps", GAPS, "When events were lost, and how many."),
        Some(("from_time", "to_time")),
    ),
];

/// A column of a table, computed from the columns of an answer. A column without values is left out.
pub(crate) struct PageColumn {
    pub(crate) heading: &'static str,
    pub(crate) format: CellFormat,
    /// True if a value other than zero, or any text, tells of a failure.
    pub(crate) is_failure: bool,
}

/// The format of the cells of a column, and the names of the answer's columns.
pub(crate) enum CellFormat {
    Text(&'static str),
    /// The values that are not null, with a separator.
    Joined(&'static [&'static str], &'static str),
    Number(&'static str),
    Bytes(&'static str),
    /// A duration, from microseconds.
    Duration(&'static str),
    Time(&'static str),
    /// A span between two times.
    Span(&'static str, &'static str),
    /// The end of a process: the signal, else the exit code.
    End(&'static str, &'static str),
}

const fn column(heading: &'static str, format: CellFormat) -> PageColumn {
    PageColumn {
        heading,
        format,
        is_failure: false,
    }
}

const fn failure(heading: &'static str, format: CellFormat) -> PageColumn {
    PageColumn {
        is_failure: true,
        ..column(heading, format)
    }
}

const CONTAINER: PageColumn = column("Container", CellFormat::Joined(&["host", "container"], "/"));
/// The pod, where containers are in pods.
const POD: PageColumn = column("Pod", CellFormat::Text("pod"));
/// The id, where two containers have the same name.
const ID: PageColumn = column("Id", CellFormat::Text("id"));
const COMMAND: PageColumn = column("Command", CellFormat::Text("comm"));
const SEEN: PageColumn = column("When", CellFormat::Span("first_seen", "last_seen"));
const CALLS: PageColumn = column("Calls", CellFormat::Number("calls"));
const REFUSED: PageColumn = failure("Refused", CellFormat::Number("denied"));
const SENT: PageColumn = column("Sent", CellFormat::Bytes("bytes_sent"));
const RECEIVED: PageColumn = column("Received", CellFormat::Bytes("bytes_received"));
const FAILED: PageColumn = failure("Failed", CellFormat::Number("failed"));
const CONNECTIONS: PageColumn = column("Connections", CellFormat::Number("connections"));

const RULES: &[PageColumn] = &[
    column("Level", CellFormat::Text("level")),
    column("Rule", CellFormat::Text("rule")),
    CONTAINER,
    POD,
    ID,
    column("Process", CellFormat::Joined(&["comm", "exe"], " ")),
    column("On", CellFormat::Text("subject")),
    column("Times", CellFormat::Number("count")),
    SEEN,
    column("Meaning", CellFormat::Text("description")),
];
const CONTAINERS: &[PageColumn] = &[
    CONTAINER,
    ID,
    column("Image", CellFormat::Text("image")),
    column("Runtime", CellFormat::Text("runtime")),
    column("Pod", CellFormat::Joined(&["namespace", "pod"], "/")),
    column("Began – ended", CellFormat::Span("started", "stopped")),
    column("Processes", CellFormat::Number("processes")),
    CALLS,
    failure("Errors", CellFormat::Number("errors")),
    REFUSED,
    failure("Lost", CellFormat::Number("lost")),
];
const POWERS: &[PageColumn] = &[
    CONTAINER,
    ID,
    POD,
    column("Privileged", CellFormat::Text("privileged")),
    column("Added capabilities", CellFormat::Text("added_capabilities")),
    column(
        "Namespaces of the machine",
        CellFormat::Text("host_namespaces"),
    ),
    column("Can write to", CellFormat::Text("writable_host_paths")),
    column("Seccomp", CellFormat::Text("seccomp")),
    column("AppArmor", CellFormat::Text("apparmor")),
    column("User", CellFormat::Text("run_as")),
    column("Limits", CellFormat::Text("limits")),
];
const ERRORS: &[PageColumn] = &[
    CONTAINER,
    POD,
    ID,
    column("Call", CellFormat::Text("syscall")),
    failure("Error", CellFormat::Text("error")),
    column("On", CellFormat::Text("subject")),
    column("Times", CellFormat::Number("calls")),
    COMMAND,
    SEEN,
];
/// The columns of the story of a container.
pub(crate) const WHY: &[PageColumn] = &[
    column("", CellFormat::Text("section")),
    column("When", CellFormat::Time("time")),
    column("What", CellFormat::Text("what")),
];
const DENIED: &[PageColumn] = &[
    CONTAINER,
    POD,
    ID,
    column("Call", CellFormat::Text("syscall")),
    failure("Error", CellFormat::Text("error")),
    column("Times", CellFormat::Number("calls")),
    column("Program", CellFormat::Text("exe")),
    column("Such as", CellFormat::Text("example")),
    SEEN,
];
const FILES: &[PageColumn] = &[
    CONTAINER,
    POD,
    ID,
    column("Path", CellFormat::Text("path")),
    column("On the machine", CellFormat::Text("host_path")),
    CALLS,
    column("Opened", CellFormat::Number("opens")),
    column("Executed", CellFormat::Number("execs")),
    column("Read", CellFormat::Bytes("bytes_read")),
    column("Written", CellFormat::Bytes("bytes_written")),
    FAILED,
    failure("Error", CellFormat::Text("error")),
    COMMAND,
    SEEN,
];
const PEERS: &[PageColumn] = &[
    CONTAINER,
    POD,
    ID,
    column(
        "Direction",
        CellFormat::Joined(&["direction", "protocol"], ", "),
    ),
    column("Address", CellFormat::Joined(&["address", "port"], ":")),
    column("Client", CellFormat::Text("client")),
    column("Name", CellFormat::Text("dns_name")),
    CONNECTIONS,
    FAILED,
    failure("Error", CellFormat::Text("error")),
    SENT,
    RECEIVED,
    COMMAND,
    SEEN,
];
const LINKS: &[PageColumn] = &[
    column(
        "From",
        CellFormat::Joined(&["source_pod", "source", "source_id"], " "),
    ),
    column(
        "To",
        CellFormat::Joined(&["target_pod", "target", "target_id"], " "),
    ),
    column("By", CellFormat::Text("protocol")),
    column("Address", CellFormat::Text("address")),
    CONNECTIONS,
    FAILED,
    SENT,
    RECEIVED,
    SEEN,
];
const DNS: &[PageColumn] = &[
    CONTAINER,
    POD,
    ID,
    column("Name", CellFormat::Text("name")),
    column("Type", CellFormat::Text("type")),
    failure("Answer", CellFormat::Text("code")),
    column("Server", CellFormat::Text("server")),
    column("Times", CellFormat::Number("questions")),
    column("Median", CellFormat::Duration("median_us")),
    column("Slowest", CellFormat::Duration("max_us")),
    column("Records", CellFormat::Text("answers")),
    COMMAND,
    SEEN,
];
const SYSCALLS: &[PageColumn] = &[
    CONTAINER,
    POD,
    ID,
    column("Call", CellFormat::Text("syscall")),
    column("Times", CellFormat::Number("calls")),
    failure("Errors", CellFormat::Number("errors")),
    REFUSED,
    column("Bytes", CellFormat::Bytes("bytes")),
    column("Took in all", CellFormat::Duration("total_us")),
    column("On average", CellFormat::Duration("mean_us")),
    column("99 of 100 below", CellFormat::Duration("p99_us")),
    column("At most", CellFormat::Duration("max_us")),
];
const PROCESSES: &[PageColumn] = &[
    CONTAINER,
    POD,
    ID,
    column("Process", CellFormat::Text("process")),
    column("Pid", CellFormat::Text("pid")),
    column("Parent", CellFormat::Text("ppid")),
    column("User", CellFormat::Text("uid")),
    column("Began – ended", CellFormat::Span("started", "exited")),
    failure("End", CellFormat::End("exit_code", "exit_signal")),
    column("From outside", CellFormat::Text("entered")),
    column("Restarts", CellFormat::Text("restarts")),
];
const STUCK: &[PageColumn] = &[
    CONTAINER,
    POD,
    ID,
    COMMAND,
    column("Call", CellFormat::Text("syscall")),
    column("Waits for", CellFormat::Text("waits_for")),
    column("State", CellFormat::Text("state")),
    column("Times", CellFormat::Number("calls")),
    column("Longest", CellFormat::Text("longest")),
    column("Since", CellFormat::Time("since")),
];
const DRIFT: &[PageColumn] = &[
    CONTAINER,
    POD,
    ID,
    column("Program", CellFormat::Text("path")),
    column("From", CellFormat::Text("origin")),
    column("Arguments", CellFormat::Text("argv")),
    column("Runs", CellFormat::Number("runs")),
    column("Written by", CellFormat::Text("written_by")),
    column("When", CellFormat::Span("first_run", "last_run")),
];
const GAPS: &[PageColumn] = &[
    column("When", CellFormat::Span("from_time", "to_time")),
    column("Host", CellFormat::Text("host")),
    CONTAINER,
    POD,
    ID,
    column("Class", CellFormat::Text("class")),
    failure("Lost", CellFormat::Number("lost")),
    column("Why", CellFormat::Text("reason")),
];
