use super::*;

#[test]
fn a_renamed_container_keeps_its_name_in_earlier_rows() {
    let mut registry = Registry::new(false);
    registry.learn(&container(7, "abc", Some("first")));
    let earlier = registry.index(7);
    let again = registry.learn(&container(7, "abc", Some("second")));
    let later = registry.index(7);
    assert_eq!(again, ContainerChange::Changed(later));
    let names = registry.names();
    let name = |index: u32| names[index as usize].name.as_deref();
    assert_eq!(
        (name(earlier), name(later)),
        (Some("first"), Some("second"))
    );
    assert_eq!(registry.alive(), 1);
    let removed = CgroupFact {
        kind: CgroupKind::Removed,
        ..container(7, "abc", None)
    };
    assert_eq!(registry.learn(&removed), ContainerChange::Removed(later));
}

#[test]
fn a_container_leaves_the_recording_and_comes_back_by_its_name() {
    let mut r = Registry::new(false);
    r.learn(&container(7, "abc", Some("web")));
    let before = r.index(7);
    let excluded = CgroupFact {
        kind: CgroupKind::Excluded,
        ..container(7, "abc", None)
    };
    assert_eq!(r.learn(&excluded), ContainerChange::None);
    let recorded = |r: &mut Registry, index: u32| r.names()[index as usize].recorded;
    let meanwhile = r.index(7);
    assert!(recorded(&mut r, before) && !recorded(&mut r, meanwhile));
    assert_eq!(r.alive(), 0);
    let again = r.learn(&container(7, "abc", Some("web")));
    assert_eq!(again, ContainerChange::Included(r.index(7)));
    assert_eq!(r.alive(), 1);
}

fn container(cgroup: u64, id: &str, name: Option<&str>) -> CgroupFact {
    let facts = ContainerFacts {
        id: id.into(),
        name: name.map(Into::into),
        ..ContainerFacts::default()
    };
    CgroupFact {
        boot_ns: 0,
        cgroup,
        path: format!("/{id}"),
        kind: CgroupKind::Container(Box::new(facts)),
    }
}

#[test]
fn a_late_name_applies_to_earlier_rows() {
    let mut r = Registry::new(false);
    let row = r.index(5);
    assert_eq!(r.entered_by(5), None);
    r.enter(5, b"");
    r.enter(5, b"runc:[2:INIT]");
    r.enter(5, b"sh");
    assert_eq!(r.entered_by(5), Some(&b"runc:[2:INIT]"[..]));
    assert_eq!(
        r.learn(&container(5, "abc", None)),
        ContainerChange::Appeared(row)
    );
    assert_eq!(r.names()[row as usize].name.as_deref(), Some("abc"));
    assert_eq!(
        r.learn(&container(5, "abc", Some("web"))),
        ContainerChange::Changed(row)
    );
    assert_eq!(r.names()[row as usize].name.as_deref(), Some("web"));
}

#[test]
fn events_left_out_before_a_decision_are_counted() {
    let mut r = Registry::new(false);
    let row = r.index(5);
    r.count_left_out(row, 7);
    r.count_left_out(0, 9);
    assert_eq!(
        r.learn(&container(5, "abc", None)),
        ContainerChange::Appeared(row)
    );
    r.count_left_out(row, 100);
    assert_eq!([5, 5, 6].map(|cgroup| r.take_left_out(cgroup)), [7, 0, 0]);
}

#[test]
fn two_undecided_cgroups_of_a_container_become_one_container() {
    let mut r = Registry::new(false);
    let (first, second) = (r.index(5), r.index(6));
    assert_eq!(
        r.learn(&container(5, "abc", None)),
        ContainerChange::Appeared(first)
    );
    assert_eq!(r.learn(&container(6, "abc", None)), ContainerChange::None);
    assert_eq!(r.names()[first as usize], r.names()[second as usize]);
    assert_eq!(r.index(6), first);
}

#[test]
fn removed_cgroups_are_dropped_and_their_indices_are_reused() {
    let mut r = Registry::new(false);
    let removed = |cgroup: u64| CgroupFact {
        boot_ns: cgroup,
        cgroup,
        path: String::new(),
        kind: CgroupKind::Removed,
    };
    let end_batch = |r: &mut Registry, cgroup| r.forget(cgroup + RETENTION_NS, true);
    for cgroup in 1..10_000 {
        r.learn(&container(cgroup, &format!("c{cgroup}"), Some("name")));
        let index = r.index(cgroup);
        r.learn(&removed(cgroup));
        // Earlier rows and their batch still find the name.
        assert_eq!(r.index(cgroup), index);
        let id = format!("c{cgroup}");
        assert_eq!(r.names()[index as usize].id.as_deref(), Some(&*id));
        end_batch(&mut r, cgroup);
    }
    assert!(r.states.len() < 20, "{}", r.states.len());
    assert!(r.by_cgroup.len() < 20 && r.removed.len() < 20 && r.by_container_id.is_empty());
    // Cgroups without rows are not retained for batches.
    let host = |cgroup| CgroupFact {
        kind: CgroupKind::Host,
        ..removed(cgroup)
    };
    for cgroup in 10_000..20_000 {
        r.learn(&host(cgroup));
        r.learn(&removed(cgroup));
    }
    end_batch(&mut r, 20_000);
    assert!(r.by_cgroup.len() < 20 && r.removed.len() < 20);
}

#[test]
fn a_container_in_two_hierarchies_is_one_and_a_reused_id_is_another() {
    let mut r = Registry::new(false);
    let ContainerChange::Appeared(first) = r.learn(&container(5, "abc", None)) else {
        panic!("the container is new")
    };
    assert_eq!(r.learn(&container(6, "abc", None)), ContainerChange::None);
    assert_eq!(r.index(6), first);
    let removed = |cgroup| CgroupFact {
        boot_ns: 0,
        cgroup,
        path: String::new(),
        kind: CgroupKind::Removed,
    };
    assert_eq!(r.learn(&removed(5)), ContainerChange::Removed(first));
    assert_eq!(r.learn(&removed(6)), ContainerChange::None);
    let ContainerChange::Appeared(second) = r.learn(&container(7, "abc", None)) else {
        panic!("the container is new")
    };
    assert_ne!(first, second);
    assert_eq!(r.alive(), 1);
}
