//! The subjects of a pair of containers: those that are new, and those that have vanished.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::diff::change::{Change, ChangeKind, Measure};
use crate::diff::facts::{Aspect, ContainerFacts, SubjectFacts};
use crate::diff::load::Load;
use crate::diff::pairs::Pair;
use crate::diff::peers;
use crate::diff::side::Side;

/// A use of a subject: the aspect, the subject and the action.
pub(super) type Key = (Aspect, String, Option<String>);

/// A subject that one side used, over all containers of the side.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) count: u64,
    rank: i64,
    first_seen: i64,
    example: String,
    aliases: BTreeSet<String>,
}

/// The uses of subjects on one side.
pub(super) type Uses = BTreeMap<Key, Use>;

/// The subjects of a pair of containers.
pub(super) struct Subjects<'a> {
    name: &'a str,
    pub(super) good: Uses,
    pub(super) bad: Uses,
    /// The subjects that the other side may have used without a row in its recordings.
    not_in_good: HashSet<Key>,
    not_in_bad: HashSet<Key>,
}

/// Calls without which a side cannot tell that an action did not happen.
const CALLS_OF_ACTIONS: &[(&str, &[&str])] = &[
    ("open", &["openat"]),
    ("read", &["read", "pread64", "mmap"]),
    ("write", &["write", "pwrite64"]),
    ("create", &["mkdir", "rename", "symlink"]),
    ("delete", &["unlink", "unlinkat"]),
    ("rename", &["rename"]),
    ("attributes", &["chmod", "fchmod", "chown"]),
    ("mount", &["mount"]),
];

impl<'a> Subjects<'a> {
    pub(super) fn new(
        pair: &'a Pair<'_>,
        good: &Side<'_>,
        bad: &Side<'_>,
        load: &Load<'_>,
    ) -> Subjects<'a> {
        let mut uses_of_good = uses(good, &pair.good);
        let mut uses_of_bad = uses(bad, &pair.bad);
        add_calls(&mut uses_of_good, &load.good.calls);
        add_calls(&mut uses_of_bad, &load.bad.calls);
        let missing = |uses: &Uses, other: &Side<'_>| {
            let not_told = uses.keys().filter(|key| !is_told(key, other));
            not_told.cloned().collect()
        };
        Subjects {
            name: &pair.name,
            not_in_good: missing(&uses_of_bad, good),
            not_in_bad: missing(&uses_of_good, bad),
            good: uses_of_good,
            bad: uses_of_bad,
        }
    }

    /// Returns what is new, and what has vanished. `all`: also what vanished although it was rare.
    pub(super) fn changes(&self, load: &Load<'_>, all: bool) -> Vec<Change> {
        let new = only(&self.bad, &self.good, &self.not_in_good);
        let mut changes = self.told(ChangeKind::New, new, &self.good);
        let vanished = only(&self.good, &self.bad, &self.not_in_bad);
        let expected = vanished
            .into_iter()
            .filter(|(_, used)| all || load.expects(used.count, &load.good, &load.bad));
        changes.extend(self.told(ChangeKind::Vanished, expected.collect(), &self.bad));
        changes
    }

    /// Returns a change for each use, and one for all files of a directory that the `other` side does not use.
    fn told(&self, kind: ChangeKind, uses: Vec<(&Key, &Use)>, other: &Uses) -> Vec<Change> {
        let (files, others): (Vec<_>, Vec<_>) = uses
            .into_iter()
            .partition(|((aspect, ..), _)| *aspect == Aspect::File);
        let others = others.into_iter().map(|((aspect, subject, action), used)| {
            self.change(kind, *aspect, subject.clone(), action.clone(), used)
        });
        let files = folded(files, other);
        let files = files.into_iter().map(|(subject, actions, used)| {
            let actions = actions.into_iter().collect::<Vec<_>>().join(", ");
            self.change(kind, Aspect::File, subject, Some(actions), &used)
        });
        others.chain(files).collect()
    }

    fn change(
        &self,
        kind: ChangeKind,
        aspect: Aspect,
        subject: String,
        action: Option<String>,
        used: &Use,
    ) -> Change {
        // What a process already was when the recording began is not counted.
        let count = used.count.max(1) as f64;
        let (good, bad) = match kind {
            ChangeKind::New => (0.0, count),
            _ => (count, 0.0),
        };
        Change {
            kind,
            aspect,
            container: self.name.to_string(),
            since: (kind == ChangeKind::New).then_some(used.first_seen),
            example: (used.example != subject).then(|| used.example.clone()),
            subject,
            action,
            good,
            bad,
            measure: Measure::Count,
            rank: used.rank,
        }
    }
}

/// Returns what the containers of a side used.
fn uses(side: &Side<'_>, containers: &[&ContainerFacts]) -> Uses {
    let peers: Vec<_> = side.peers(containers).collect();
    let peers = peers::subjects(&peers, side);
    let mut uses = Uses::new();
    for facts in side.subjects(containers).chain(&peers) {
        let renamed = match facts.aspect {
            Aspect::Error => peers::with_container(&facts.subject, side),
            _ => None,
        };
        let subject = renamed.unwrap_or_else(|| facts.subject.clone());
        add(
            &mut uses,
            (facts.aspect, subject, facts.action.clone()),
            facts,
        );
    }
    uses
}

fn add(uses: &mut Uses, key: Key, facts: &SubjectFacts) {
    let used = uses.entry(key).or_insert_with(|| Use {
        count: 0,
        rank: facts.rank,
        first_seen: i64::MAX,
        example: facts.example.clone(),
        aliases: BTreeSet::new(),
    });
    used.count += facts.count;
    used.rank = used.rank.min(facts.rank);
    used.first_seen = used.first_seen.min(facts.first_seen);
    used.aliases.extend(facts.alias.clone());
}

/// Adds the calls that were made, and those that seccomp refused.
fn add_calls(uses: &mut Uses, calls: &super::load::Calls<'_>) {
    for ((name, error), series) in calls {
        // A call that the kernel or the profile does not know has a fallback.
        let is_refused = series.is_denied && *error != Some("ENOSYS");
        let (aspect, action) = match () {
            () if is_refused => (Aspect::Denied, error.map(String::from)),
            () if name.contains(' ') => continue,
            () => (Aspect::Call, None),
        };
        let facts = SubjectFacts {
            aspect,
            container: String::new(),
            subject: name.to_string(),
            action: action.clone(),
            example: name.to_string(),
            alias: None,
            rank: 1,
            count: series.total(),
            first_seen: series.first_seen,
        };
        add(uses, (aspect, name.to_string(), action), &facts);
    }
}

/// Returns whether the recordings of a side would tell of a use.
fn is_told((aspect, subject, action): &Key, side: &Side<'_>) -> bool {
    let action = action.as_deref().unwrap_or_default();
    match aspect {
        Aspect::Call | Aspect::Denied => side.records(subject),
        Aspect::Executable => side.records("execve"),
        Aspect::Peer => side.records("connect"),
        Aspect::Name => side.records("sendto"),
        // `dns` and set-up are not calls.
        Aspect::Error => match action.split(' ').next() {
            Some(call) if !call.is_empty() && call != "set-up" => side.records(call),
            _ => true,
        },
        Aspect::File => {
            let calls = CALLS_OF_ACTIONS.iter().find(|(name, _)| *name == action);
            calls.is_none_or(|(_, calls)| calls.iter().all(|call| side.records(call)))
        }
        Aspect::Exit | Aspect::Container => true,
    }
}

/// Returns the uses that the other side does not have, except those of which it cannot tell.
fn only<'u>(uses: &'u Uses, other: &Uses, not_told: &HashSet<Key>) -> Vec<(&'u Key, &'u Use)> {
    let names: BTreeSet<(Aspect, &str)> = other
        .keys()
        .map(|(aspect, subject, _)| (*aspect, subject.as_str()))
        .collect();
    let executables = other
        .iter()
        .filter(|((aspect, ..), _)| *aspect == Aspect::Executable);
    let files: BTreeSet<&str> = executables
        .flat_map(|(_, used)| used.aliases.iter().map(String::as_str))
        .collect();
    let is_known = |key: &Key, used: &Use| {
        let (aspect, subject, action) = key;
        match aspect {
            Aspect::Executable => {
                let mut aliases = used.aliases.iter();
                other.contains_key(key)
                    || aliases
                        .any(|file| is_version(subject, file) && files.contains(file.as_str()))
            }
            // Of a known file, only changes count.
            Aspect::File => {
                let is_change = !matches!(action.as_deref(), Some("open" | "read"));
                other.contains_key(key) || !is_change && names.contains(&(*aspect, subject))
            }
            _ => other.contains_key(key),
        }
    };
    let uses = uses
        .iter()
        .filter(|(key, used)| !is_known(key, used) && !not_told.contains(*key));
    uses.collect()
}

/// Returns whether a file has the same name as the link that led to it, but for a version: python3.12 and python3. A file may be many
/// programs, such as busybox, by the name of the link.
fn is_version(link: &str, file: &str) -> bool {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_string();
    name(file).starts_with(&name(link))
}

/// Returns the files, with one entry for all files of each directory in which the `other` side uses none.
fn folded(files: Vec<(&Key, &Use)>, other: &Uses) -> Vec<(String, BTreeSet<String>, Use)> {
    let known: BTreeSet<&str> = other
        .keys()
        .filter(|(aspect, ..)| *aspect == Aspect::File)
        .map(|(_, path, _)| path.as_str())
        .collect();
    let mut directories: BTreeMap<String, BTreeMap<&str, (BTreeSet<String>, Use)>> =
        BTreeMap::new();
    for ((_, path, action), used) in files {
        let directory = unknown_directory(path, &known).unwrap_or(path);
        let files = directories.entry(directory.to_string()).or_default();
        let (actions, all) = files.entry(path).or_insert_with(|| {
            (
                BTreeSet::new(),
                Use {
                    count: 0,
                    ..used.clone()
                },
            )
        });
        actions.extend(action.clone());
        merge(all, used);
    }
    let mut folded = vec![];
    for (directory, files) in directories {
        let mut files = files.into_iter();
        let Some((path, (mut actions, mut all))) = files.next() else {
            continue;
        };
        let mut name = path.to_string();
        for (_, (more, used)) in files {
            name = format!("{directory}/**");
            actions.extend(more);
            merge(&mut all, &used);
        }
        // A file is opened before it is used.
        if actions.len() > 1 {
            actions.remove("open");
        }
        folded.push((name, actions, all));
    }
    folded
}

fn merge(all: &mut Use, used: &Use) {
    all.count += used.count;
    all.rank = all.rank.min(used.rank);
    all.first_seen = all.first_seen.min(used.first_seen);
}

/// Returns the directory nearest to the root that is above a path and above no known path; `None`: there is none.
fn unknown_directory<'p>(path: &'p str, known: &BTreeSet<&str>) -> Option<&'p str> {
    let ends = path.match_indices('/').map(|(end, _)| end).skip(1);
    let mut directories = ends.map(|end| &path[..end]);
    directories.find(|directory| {
        let below = format!("{directory}/");
        let mut after = known.range(below.as_str()..);
        !known.contains(directory) && after.next().is_none_or(|next| !next.starts_with(&below))
    })
}
