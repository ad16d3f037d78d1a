//! The containers of both sides that are the same: by name, pod or service, else by image, else because there is one on each side.

use std::collections::{BTreeMap, BTreeSet};

use crate::diff::change::{Change, ChangeKind, Measure};
use crate::diff::facts::{Aspect, ContainerFacts, SideFacts};

/// The letters of random suffixes in names of Kubernetes (`k8s.io/apimachinery/pkg/util/rand`): without vowels, so that no
/// word is one.
const SUFFIX_LETTERS: &str = "bcdfghjklmnpqrstvwxz2456789";
/// Length of the random suffix of a pod.
const POD_SUFFIX: usize = 5;
/// Lengths of the hash of a pod template, which the name of a Deployment's pod contains.
const TEMPLATE_HASH: std::ops::RangeInclusive<usize> = 6..=10;

/// Containers of the good and of the bad side that are compared.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    pub(super) name: String,
    pub(super) good: Vec<&'a ContainerFacts>,
    pub(super) bad: Vec<&'a ContainerFacts>,
}

/// Returns the pairs of containers. One side of a pair may be empty. `as_one`: the containers of each side are one.
pub(super) fn pairs<'a>(good: &'a SideFacts, bad: &'a SideFacts, as_one: bool) -> Vec<Pair<'a>> {
    if as_one {
        let name = |side: &[ContainerFacts]| {
            let names: BTreeSet<&str> = side.iter().map(|c| c.name.as_str()).collect();
            names.into_iter().collect::<Vec<_>>().join(", ")
        };
        return vec![Pair {
            name: name(&bad.containers),
            good: good.containers.iter().collect(),
            bad: bad.containers.iter().collect(),
        }];
    }
    let mut pairs: BTreeMap<String, Pair<'a>> = BTreeMap::new();
    for (containers, is_good) in [(&good.containers, true), (&bad.containers, false)] {
        for container in containers {
            let name = identity(container);
            let pair = pairs.entry(name.clone()).or_insert(Pair {
                name,
                good: vec![],
                bad: vec![],
            });
            match is_good {
                true => pair.good.push(container),
                false => pair.bad.push(container),
            }
        }
    }
    let mut pairs: Vec<_> = pairs.into_values().collect();
    pair_by_image(&mut pairs);
    pair_the_only_ones(&mut pairs);
    pairs
}

/// Returns what tells the container of one run to be that of another run.
fn identity(container: &ContainerFacts) -> String {
    if let Some(service) = &container.service {
        return service.clone();
    }
    let Some(pod) = &container.pod else {
        return container.general_name.clone();
    };
    let workload = workload(pod);
    let namespace = container.namespace.as_deref().unwrap_or("?");
    match container.name == *pod {
        // The sandbox of the pod.
        true => format!("{namespace}/{workload}"),
        false => format!("{namespace}/{workload}/{}", container.name),
    }
}

/// Returns the name of a pod without the suffixes that Deployments, DaemonSets and Jobs add, which is the name of the workload.
fn workload(pod: &str) -> &str {
    let is_random =
        |text: &str| !text.is_empty() && text.chars().all(|c| SUFFIX_LETTERS.contains(c));
    let Some((rest, suffix)) = pod.rsplit_once('-') else {
        return pod;
    };
    if suffix.len() != POD_SUFFIX || !is_random(suffix) {
        return pod;
    }
    match rest.rsplit_once('-') {
        Some((name, hash)) if TEMPLATE_HASH.contains(&hash.len()) && is_random(hash) => name,
        // The scheduled time of a CronJob, in minutes.
        Some((name, minutes))
            if minutes.len() >= 8 && minutes.bytes().all(|b| b.is_ascii_digit()) =>
        {
            name
        }
        _ => rest,
    }
}

/// Joins pairs with one side that have the only containers of an image.
fn pair_by_image(pairs: &mut Vec<Pair<'_>>) {
    let mut of_image: BTreeMap<String, [Vec<usize>; 2]> = BTreeMap::new();
    for (i, pair) in pairs.iter().enumerate() {
        let side = match (pair.good.is_empty(), pair.bad.is_empty()) {
            (false, true) => 0,
            (true, false) => 1,
            _ => continue,
        };
        let mut containers = pair.good.iter().chain(&pair.bad);
        if let Some(image) = containers.find_map(|c| c.image.as_deref()) {
            of_image.entry(repository(image).into()).or_default()[side].push(i);
        }
    }
    let only = of_image
        .into_values()
        .filter_map(|[good, bad]| match (&good[..], &bad[..]) {
            ([good], [bad]) => Some((*good, *bad)),
            _ => None,
        });
    for (good, bad) in only {
        pairs[bad].good = std::mem::take(&mut pairs[good].good);
    }
    pairs.retain(|pair| !pair.good.is_empty() || !pair.bad.is_empty());
}

/// Joins the only container of one side with the only one of the other.
fn pair_the_only_ones(pairs: &mut Vec<Pair<'_>>) {
    let with = |has: fn(&Pair<'_>) -> bool| {
        let found = pairs.iter().enumerate().filter(|(_, pair)| has(pair));
        found.map(|(i, _)| i).collect::<Vec<_>>()
    };
    let good = with(|pair| pair.good.iter().any(|c| c.has_id));
    let bad = with(|pair| pair.bad.iter().any(|c| c.has_id));
    if let ([good], [bad]) = (&good[..], &bad[..])
        && good != bad
    {
        pairs[*bad].good = std::mem::take(&mut pairs[*good].good);
        pairs.remove(*good);
    }
}

/// Returns the name of an image without tag and digest.
fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or(image);
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
}

impl Pair<'_> {
    /// Returns the changes of the containers themselves: those that are only on one side, other images, and restarts.
    pub(super) fn changes(&self) -> Vec<Change> {
        let change =
            |kind, subject: String, action: Option<&str>, good: usize, bad: usize, since| Change {
                kind,
                aspect: Aspect::Container,
                container: self.name.clone(),
                subject,
                action: action.map(String::from),
                good: good as f64,
                bad: bad as f64,
                measure: Measure::Count,
                since,
                example: None,
                rank: 0,
            };
        let images = |containers: &[&ContainerFacts]| -> BTreeMap<String, (usize, i64)> {
            let mut images: BTreeMap<_, (usize, i64)> = BTreeMap::new();
            for container in containers {
                let image = container
                    .image
                    .clone()
                    .unwrap_or_else(|| container.name.clone());
                let (count, since) = images.entry(image).or_insert((0, i64::MAX));
                *count += 1;
                *since = container
                    .started
                    .unwrap_or(container.first_seen)
                    .min(*since);
            }
            images
        };
        let (good, bad) = (images(&self.good), images(&self.bad));
        let is_whole = self.good.is_empty() || self.bad.is_empty();
        let action = Some(if is_whole { "container" } else { "image" });
        let mut changes = vec![];
        for (image, (count, since)) in bad.iter().filter(|(image, _)| !good.contains_key(*image)) {
            changes.push(change(
                ChangeKind::New,
                image.clone(),
                action,
                0,
                *count,
                Some(*since),
            ));
        }
        for (image, (count, _)) in good.iter().filter(|(image, _)| !bad.contains_key(*image)) {
            changes.push(change(
                ChangeKind::Vanished,
                image.clone(),
                action,
                *count,
                0,
                None,
            ));
        }
        if is_whole {
            return changes;
        }
        let digests = |containers: &[&ContainerFacts]| -> BTreeSet<String> {
            containers
                .iter()
                .filter_map(|c| c.image_digest.clone())
                .collect()
        };
        let (before, after) = (digests(&self.good), digests(&self.bad));
        // An image that was built anew under its name.
        if changes.is_empty() && !before.is_empty() {
            for digest in after.difference(&before) {
                changes.push(change(
                    ChangeKind::New,
                    digest.clone(),
                    Some("image"),
                    0,
                    1,
                    None,
                ));
            }
        }
        let restarts = |containers: &[&ContainerFacts]| {
            let restarts = containers
                .iter()
                .map(|c| usize::try_from(c.restarts).unwrap_or(0));
            restarts.max().unwrap_or(0)
        };
        let (good, bad) = (restarts(&self.good), restarts(&self.bad));
        if bad > good {
            let kind = if good == 0 {
                ChangeKind::New
            } else {
                ChangeKind::More
            };
            changes.push(change(
                kind,
                "restarts".into(),
                Some("restart"),
                good,
                bad,
                None,
            ));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(containers: Vec<ContainerFacts>) -> SideFacts {
        SideFacts {
            span: (0, 1),
            containers,
            addresses: vec![],
            subjects: vec![],
            peers: vec![],
            calls: vec![],
            records: Box::new(|_| true),
        }
    }

    fn container(name: &str, image: &str) -> ContainerFacts {
        ContainerFacts {
            id: format!("{name} of {image}"),
            name: name.into(),
            general_name: name.into(),
            has_id: true,
            image: Some(image.into()),
            ..ContainerFacts::default()
        }
    }

    fn names(good: Vec<ContainerFacts>, bad: Vec<ContainerFacts>) -> Vec<String> {
        let (good, bad) = (side(good), side(bad));
        let of = |containers: &[&ContainerFacts]| {
            let names: Vec<_> = containers.iter().map(|c| c.name.as_str()).collect();
            names.join("+")
        };
        let pairs = pairs(&good, &bad, false);
        let each = pairs
            .iter()
            .map(|p| format!("{}: {} {}", p.name, of(&p.good), of(&p.bad)));
        each.collect()
    }

    #[test]
    fn suffixes_of_pods_are_no_part_of_the_workload() {
        for (pod, want) in [
            ("pay-7f8b9c6d5-x2x4z", "pay"),
            ("agent-x2x4z", "agent"),
            ("backup-28901230-bcdfg", "backup"),
            ("db-0", "db-0"),
            ("my-great", "my-great"),
            ("single", "single"),
        ] {
            assert_eq!(workload(pod), want, "{pod}");
        }
    }

    #[test]
    fn containers_are_paired_by_name_then_by_image_then_because_they_are_alone() {
        let of = container;
        let good = vec![of("web", "nginx:1"), of("brave_curie", "shop/api:1")];
        let bad = vec![of("web", "nginx:2"), of("sad_bohr", "shop/api:2")];
        assert_eq!(
            names(good, bad),
            ["sad_bohr: brave_curie sad_bohr", "web: web web"]
        );
        assert_eq!(
            names(vec![of("a", "x:1")], vec![of("b", "y:1")]),
            ["b: a b"]
        );
        let good = vec![of("a", "x:1"), of("c", "z")];
        assert_eq!(
            names(good, vec![of("b", "y:1")]),
            ["a: a ", "b:  b", "c: c "]
        );
        let mut pods = [of("pay", "p"), of("pay", "p")];
        for (pod, name) in pods
            .iter_mut()
            .zip(["pay-7f8b9c6d5-x2x4z", "pay-6c6d5b7f8-zzxxb"])
        {
            (pod.pod, pod.namespace) = (Some(name.into()), Some("shop".into()));
        }
        let [first, second] = pods;
        assert_eq!(names(vec![first], vec![second]), ["shop/pay/pay: pay pay"]);
    }

    #[test]
    fn another_image_is_a_change() {
        let (good, bad) = (
            side(vec![container("web", "nginx:1")]),
            side(vec![container("web", "nginx:2")]),
        );
        let pairs = pairs(&good, &bad, false);
        let changes = pairs[0].changes();
        let texts: Vec<_> = changes
            .iter()
            .map(|c| (c.kind, c.subject.as_str()))
            .collect();
        assert_eq!(
            texts,
            [
                (ChangeKind::New, "nginx:2"),
                (ChangeKind::Vanished, "nginx:1")
            ]
        );
        assert_eq!(
            repository("registry:5000/shop/api:2@sha256:00"),
            "registry:5000/shop/api"
        );
        assert_eq!(
            repository("registry:5000/shop/api"),
            "registry:5000/shop/api"
        );
    }
}
