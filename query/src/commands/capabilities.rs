//! `capabilities --as`: the least set of capabilities that containers used, in the form of a runtime.

use std::collections::BTreeSet;

use anyhow::bail;

use crate::cli::{CapabilityForm, Scope};
use crate::commands::answer::with_mode;
use crate::commands::query::{check, ready_sql};
use crate::commands::seccomp::{condition, warn_of_missing_calls};
use crate::engine::Engine;
use crate::messages;
use crate::output::AnswerDestination;
use crate::questions::ready_question;

/// The capabilities whose use depends on the owners and modes of files, which a recording does not have.
const OF_FILES: [&str; 3] = ["DAC_OVERRIDE", "FOWNER", "FSETID"];

/// Prints the set, and warns of capabilities that it may lack or need not contain.
///
/// # Errors
/// A recording cannot be read, or there is no such container.
pub(crate) async fn capabilities(
    form: CapabilityForm,
    scope: &Scope,
    engine: &Engine,
    to: AnswerDestination<'_>,
) -> anyhow::Result<()> {
    let question = ready_question("capabilities")?;
    check(question, scope, engine).await?;
    let sql = ready_sql(question, scope, engine).await?;
    let sql = format!("select distinct verdict || ' ' || capability from ({sql})");
    let found = engine.first_column(&sql).await?;
    let with = |verdict: &str| -> BTreeSet<&str> {
        let names = found.iter().filter_map(|line| line.strip_prefix(verdict));
        names
            .filter_map(|name| name.strip_prefix(" CAP_"))
            .collect()
    };
    let (used, perhaps, refused) = (with("used"), with("perhaps"), with("refused"));
    let containers = "select count(distinct container_id) from events";
    if engine.first_column(containers).await? == ["0"] {
        bail!(
            "the recording has no container: record with `ctrace-rec --out run.parquet` while it runs"
        );
    }
    warn_of_missing_calls(engine, &condition(&scope.containers), "set").await?;
    let warn = |names: &[&str], text: &str| {
        if !names.is_empty() {
            messages::warning(&format!("{}: {text}", names.join(" ")));
        }
    };
    let in_doubt: Vec<&str> = perhaps.difference(&used).copied().collect();
    warn(
        &in_doubt,
        "part of the set, although something else may explain the calls: `ctrace-query capabilities` tells what",
    );
    let set: BTreeSet<&str> = used.union(&perhaps).copied().collect();
    let lacking: Vec<&str> = refused.difference(&set).copied().collect();
    warn(
        &lacking,
        "not part of the set: calls failed for want of them, or of other rights",
    );
    warn(
        &OF_FILES,
        "not part of the set, because a recording does not have the owners and modes of files: add \
         those that programs of root need for files of other users",
    );
    let set: Vec<&str> = set.into_iter().collect();
    with_mode(engine, to)?.print(&in_form(form, &set))
}

/// Writes a set of capabilities, whose names have no `CAP_`.
fn in_form(form: CapabilityForm, capabilities: &[&str]) -> String {
    match form {
        CapabilityForm::Docker => {
            let added = capabilities.iter().map(|name| format!(" --cap-add={name}"));
            format!("--cap-drop=ALL{}", added.collect::<String>())
        }
        CapabilityForm::Kubernetes => {
            let head = "securityContext:\n  capabilities:\n    drop: [\"ALL\"]";
            let quoted = capabilities.iter().map(|name| format!("\"{name}\""));
            let quoted: Vec<String> = quoted.collect();
            match quoted.is_empty() {
                true => head.to_string(),
                false => format!("{head}\n    add: [{}]", quoted.join(", ")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_written_for_each_runtime() {
        let set = ["CHOWN", "NET_RAW"];
        let docker = "--cap-drop=ALL --cap-add=CHOWN --cap-add=NET_RAW";
        assert_eq!(in_form(CapabilityForm::Docker, &set), docker);
        assert_eq!(in_form(CapabilityForm::Docker, &[]), "--cap-drop=ALL");
        let kubernetes = "securityContext:\n  capabilities:\n    drop: [\"ALL\"]\n    add: [\"CHOWN\", \"NET_RAW\"]";
        assert_eq!(in_form(CapabilityForm::Kubernetes, &set), kubernetes);
        assert!(in_form(CapabilityForm::Kubernetes, &[]).ends_with("drop: [\"ALL\"]"));
    }
}
