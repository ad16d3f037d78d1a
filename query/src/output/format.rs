//! The formats of answers.

/// The format of an answer, as `--format` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerFormat {
    Table,
    Vertical,
    Csv,
    Tsv,
    Json,
    Ndjson,
    Markdown,
    Arrow,
    Parquet,
}

impl AnswerFormat {
    /// Every format, in the order of the help.
    pub(crate) const ALL: &[AnswerFormat] = &[
        AnswerFormat::Table,
        AnswerFormat::Vertical,
        AnswerFormat::Csv,
        AnswerFormat::Tsv,
        AnswerFormat::Json,
        AnswerFormat::Ndjson,
        AnswerFormat::Markdown,
        AnswerFormat::Arrow,
        AnswerFormat::Parquet,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            AnswerFormat::Table => "table",
            AnswerFormat::Vertical => "vertical",
            AnswerFormat::Csv => "csv",
            AnswerFormat::Tsv => "tsv",
            AnswerFormat::Json => "json",
            AnswerFormat::Ndjson => "ndjson",
            AnswerFormat::Markdown => "markdown",
            AnswerFormat::Arrow => "arrow",
            AnswerFormat::Parquet => "parquet",
        }
    }

    /// Returns the description of the format in the help.
    pub(crate) fn about(self) -> &'static str {
        match self {
            AnswerFormat::Table => "Aligned columns, cut to the width of the terminal",
            AnswerFormat::Vertical => "Each row as a list of columns and values, uncut",
            AnswerFormat::Csv => "Comma-separated values (RFC 4180)",
            AnswerFormat::Tsv => "Tab-separated values",
            AnswerFormat::Json => "One JSON array of objects",
            AnswerFormat::Ndjson => "One JSON object per line",
            AnswerFormat::Markdown => "A Markdown table",
            AnswerFormat::Arrow => "An Arrow IPC stream",
            AnswerFormat::Parquet => {
                "A Parquet file; `select * from events ...` makes a smaller recording"
            }
        }
    }

    /// Finds a format by its name, in any case.
    pub(crate) fn from_name(name: &str) -> Option<AnswerFormat> {
        let mut all = AnswerFormat::ALL.iter().copied();
        all.find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// Returns whether readers of the format find columns by their names.
    pub(crate) fn needs_unique_names(self) -> bool {
        matches!(
            self,
            AnswerFormat::Json | AnswerFormat::Ndjson | AnswerFormat::Arrow | AnswerFormat::Parquet
        )
    }

    /// Returns whether the format is unreadable on a terminal.
    pub(crate) fn is_binary(self) -> bool {
        matches!(self, AnswerFormat::Arrow | AnswerFormat::Parquet)
    }
}
