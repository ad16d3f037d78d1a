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

#[test]
fn rows_of_an_excluded_container_stay_out_when_it_comes_in() {
    let mut r = Registry::new(false);
    let excluded = |cgroup| CgroupFact {
        kind: CgroupKind::Excluded,
        ..container(cgroup, "abc", None)
    };
    // The container's cgroups in two hierarchies, whose calls before the decision were left out.
    let before = [7, 8].map(|cgroup| r.index(cgroup));
    r.count_left_out(before[0], 5);
    for cgroup in [7, 8] {
        assert_eq!(r.learn(&excluded(cgroup)), ContainerChange::None);
    }
    let included = [7, 8].map(|cgroup| r.learn(&container(cgroup, "abc", Some("web"))));
    let after = [7, 8].map(|cgroup| r.index(cgroup));
    assert_eq!(after[0], after[1]);
    assert_eq!(
        included,
        [ContainerChange::Included(after[0]), ContainerChange::None]
    );
    let names = r.names();
    let recorded = |index: u32| names[index as usize].recorded;
    assert_eq!(before.map(recorded), [false, false]);
    assert!(recorded(after[0]));
    assert_eq!(r.take_left_out(7), 0);
    assert_eq!(r.alive(), 1);
    // Their indices are reused after the batches that may contain their rows.
    let reused: Vec<u32> = (0..8).flat_map(|_| r.forget(0, true)).collect();
    assert_eq!(reused, before);
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

fn undecided(cgroup: u64) -> CgroupFact {
    CgroupFact {
        kind: CgroupKind::Undecided,
        ..container(cgroup, "x", None)
    }
}

#[test]
fn a_cgroup_without_a_fact_is_recorded_as_unknown() {
    let mut r = Registry::new(false);
    let unknown = CgroupFact {
        kind: CgroupKind::Unknown,
        ..undecided(6)
    };
    r.learn(&undecided(5));
    r.learn(&unknown);
    let names = |r: &mut Registry, cgroup| {
        let index = r.index(cgroup) as usize;
        let name = r.names().swap_remove(index);
        (name.name, name.recorded)
    };
    assert_eq!(names(&mut r, 5), (Some("host".to_string()), false));
    for cgroup in [6, 7] {
        let expected = (Some("unknown".to_string()), true);
        assert_eq!(names(&mut r, cgroup), expected);
        r.enter(cgroup, b"sh");
        assert!(!r.has_undecided() && r.entered_by(cgroup).is_none());
    }
    // A fact that arrives late applies to earlier rows.
    r.learn(&container(7, "abc", Some("web")));
    assert_eq!(names(&mut r, 7), (Some("web".to_string()), true));
}

#[test]
fn a_change_that_no_row_shows_has_no_row() {
    let mut r = Registry::new(false);
    r.learn(&container(7, "abc", None));
    let index = r.index(7);
    let mut started = container(7, "abc", None);
    if let CgroupKind::Container(facts) = &mut started.kind {
        facts.started_ns = Some(5);
    }
    assert_eq!(r.learn(&started), ContainerChange::None);
    let removed = CgroupFact {
        kind: CgroupKind::Removed,
        ..container(7, "abc", None)
    };
    assert_eq!(r.learn(&removed), ContainerChange::Removed(index));
    // The answer of a runtime's socket, after the end.
    let late = container(7, "abc", Some("web"));
    assert_eq!(r.learn(&late), ContainerChange::None);
    assert_eq!(r.names()[index as usize].name.as_deref(), Some("web"));
}

#[test]
fn a_late_name_applies_to_earlier_rows() {
    let mut r = Registry::new(false);
    r.learn(&undecided(5));
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
    r.learn(&undecided(5));
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

#[test]
fn indices_of_earlier_names_are_reused_and_bounded() {
    let mut r = Registry::new(false);
    let rename = |r: &mut Registry, n: usize| {
        r.learn(&container(7, "abc", Some(&format!("name{n}"))));
        r.index(7)
    };
    let first = rename(&mut r, 0);
    rename(&mut r, 1);
    for batches in 1..=RETENTION_BATCHES + 1 {
        assert_eq!(r.names()[first as usize].name.as_deref(), Some("name0"));
        let dropped = r.forget(0, true);
        assert_eq!(dropped.is_empty(), batches <= RETENTION_BATCHES);
    }
    assert_eq!(rename(&mut r, 2), first);
    // A batch that does not end.
    for n in 3..10_000 {
        let index = rename(&mut r, n);
        let name = format!("name{n}");
        assert_eq!(r.names()[index as usize].name.as_deref(), Some(&*name));
        r.forget(0, false);
    }
    assert!(
        r.states.len() <= MAX_RETIRED + 3,
        "{} indices",
        r.states.len()
    );
    let excluded = CgroupFact {
        kind: CgroupKind::Excluded,
        ..container(7, "abc", None)
    };
    r.learn(&excluded);
    let index = r.index(7);
    assert!(
        r.names()[index as usize].recorded,
        "rows of the batch are kept"
    );
    for _ in 0..=RETENTION_BATCHES {
        r.forget(0, true);
    }
    r.learn(&excluded);
    let index = r.index(7);
    assert!(!r.names()[index as usize].recorded);
    assert_eq!((r.retired.len(), r.free.len()), (1, MAX_RETIRED - 1));
}

#[test]
fn the_second_index_of_a_container_is_reused() {
    let mut r = Registry::new(false);
    for id in 0..1000 {
        let cgroups = [10 * id, 10 * id + 1];
        for cgroup in cgroups {
            r.index(1 + cgroup);
        }
        for cgroup in cgroups {
            r.learn(&container(1 + cgroup, &format!("c{id}"), None));
        }
        for cgroup in cgroups {
            let kind = CgroupKind::Removed;
            let removed = container(1 + cgroup, "", None);
            r.learn(&CgroupFact { kind, ..removed });
        }
        r.forget(RETENTION_NS + 1, true);
    }
    assert!(r.states.len() < 30, "{} indices", r.states.len());
}

#[test]
fn a_container_whose_processes_are_all_killed_for_lack_of_memory_has_that_reason() {
    let mut r = Registry::new(false);
    r.learn(&container(7, "abc", None));
    let killed = Exit {
        signal: Some(9),
        ..Exit::default()
    };
    // The first process of the container, and that of a namespace in the container.
    for pid in [100, 200] {
        r.add_oom_victim(7, pid);
    }
    let index = r.index(7);
    r.set_exit(7, 200, killed);
    r.set_exit(7, 100, killed);
    assert_eq!(r.exit(index).reason(), "out of memory");
    // Another process later has the number.
    r.set_exit(7, 100, killed);
    assert_eq!(r.exit(index).reason(), "killed by a signal");
    for pid in 0..1000 {
        r.add_oom_victim(7, pid);
    }
    assert_eq!(r.oom_victims[&index].len(), MAX_OOM_VICTIMS);
}
