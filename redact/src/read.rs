//! The files of a redaction: rules and a key.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::key::{Key, KeyError};
use crate::redactor::Redactor;
use crate::rules::{RuleError, Rules, Switches};

/// The name that stands for the default rules, where a file of rules may be named.
pub const DEFAULT_NAME: &str = "default";

/// An error in the rules or the key. The text is for the user.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file of rules cannot be read.
    #[error("cannot read the rules {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// A rule in a file is wrong.
    #[error("{}: {error}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: RuleError,
    },
    /// A name of a rule on the command line is wrong.
    #[error(transparent)]
    Rules(#[from] RuleError),
    /// The file of the key is wrong.
    #[error("{}: {error}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: KeyError,
    },
    /// There is no random key.
    #[error(transparent)]
    Key(KeyError),
}

impl Redactor {
    /// Creates the redactor with the rules and the key of two files. Without a file of rules, or with [`DEFAULT_NAME`] instead,
    /// the default rules run; without a file of the key, the key is random.
    ///
    /// # Errors
    /// A file cannot be read, or is wrong.
    pub fn read(
        rules: Option<&Path>,
        key: Option<&Path>,
        switches: &Switches,
    ) -> Result<Redactor, ReadError> {
        let rules = match rules.filter(|path| path.as_os_str() != DEFAULT_NAME) {
            None => Rules::new(None, switches)?,
            Some(path) => {
                let path = path.to_path_buf();
                let text = match std::fs::read_to_string(&path) {
                    Ok(text) => text,
                    Err(error) => return Err(ReadError::Unreadable { path, error }),
                };
                let rules = Rules::new(Some(&text), switches);
                rules.map_err(|error| ReadError::InFile { path, error })?
            }
        };
        let key = match key {
            None => Key::random().map_err(ReadError::Key)?,
            Some(path) => Key::read(path).map_err(|error| ReadError::KeyFile {
                path: path.to_path_buf(),
                error,
            })?,
        };
        Ok(Redactor::new(rules, key))
    }
}
