//! Cgroup paths of real machines, one a line. `ID` stands for 64 hex digits.

use crate::containers::classify::classify;
use crate::containers::runtime::Runtime;
use Runtime::*;

use super::*;

const ID: &str = "07898f0291f1eec7e4e9f9c8d46868e2cab3682d08635794737a5c21186a7b46";
const OTHER: &str = "efc1d39e3855264bcf153b0dd46c5d7c960d9537c6224975d2d8bfbe8978cf8d";

/// Path, id, runtime.
#[rustfmt::skip]
const CONTAINERS: &[(&str, &str, Option<Runtime>)] = &[
    // Docker: cgroupfs driver, systemd driver, --cgroup-parent, rootless
    ("/docker/ID", "ID", Some(Docker)),
    ("/system.slice/docker-ID.scope", "ID", Some(Docker)),
    ("/mygroup/ID", "ID", None),
    ("/my/own/ID", "ID", None),
    ("/my.slice/docker-ID.scope", "ID", Some(Docker)),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope", "ID", Some(Docker)),
    ("/system.slice/docker.service/docker/ID", "ID", Some(Docker)),
    ("/actions_job/ID", "ID", None),
    // nested below a container: the outermost container is the owner
    ("/docker/ID/init.scope", "ID", Some(Docker)),
    ("/docker/ID/system.slice/nginx.service", "ID", Some(Docker)),
    ("/docker/ID/docker/OTHER", "ID", Some(Docker)),
    ("/docker/ID/kubelet/kubepods/burstable/pod2f3c/OTHER", "ID", Some(Docker)),
    ("/system.slice/docker-ID.scope/kubelet.slice/kubelet-kubepods.slice/cri-containerd-OTHER.scope", "ID", Some(Docker)),
    // Kubernetes: containerd with both drivers, each class of service, the mixed form, dockershim
    ("/kubepods/burstable/pod3a2e/ID", "ID", None),
    ("/kubepods/besteffort/pod5d2a9f0e-7a4c-4b0e-9f57-2a3b1d1c9d3e/ID", "ID", None),
    ("/kubepods/pod5d2a9f0e-7a4c-4b0e-9f57-2a3b1d1c9d3e/ID", "ID", None),
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod5d2a9f0e_7a4c.slice/cri-containerd-ID.scope", "ID", Some(Containerd)),
    ("/kubepods.slice/kubepods-pod5d2a9f0e_7a4c.slice/cri-containerd-ID.scope", "ID", Some(Containerd)),
    ("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podab.slice/docker-ID.scope", "ID", Some(Docker)),
    ("/system.slice/containerd.service/kubepods-besteffort-pod1544eb37.slice:cri-containerd:ID", "ID", Some(Containerd)),
    ("/kubepods-burstable-pod94598a35_ad1e.slice:cri-containerd:ID", "ID", Some(Containerd)),
    ("/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podab.slice/cri-containerd-ID.scope", "ID", Some(Containerd)),
    // containerd: ctr, nerdctl
    ("/default/ID", "ID", Some(Containerd)),
    ("/k8s.io/ID", "ID", Some(Containerd)),
    ("/system.slice/nerdctl-ID.scope", "ID", Some(Containerd)),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/nerdctl-ID.scope", "ID", Some(Containerd)),
    // CRI-O
    ("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podcb1.slice/crio-ID.scope", "ID", Some(CriO)),
    ("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podcb1.slice/crio-ID.scope/container", "ID", Some(CriO)),
    ("/kubepods/burstable/podcb1/crio-ID", "ID", Some(CriO)),
    // podman: both managers, crun's nested cgroup, rootless, --cgroups=split, pods
    ("/libpod_parent/libpod-ID", "ID", Some(Podman)),
    ("/machine.slice/libpod-ID.scope", "ID", Some(Podman)),
    ("/machine.slice/libpod-ID.scope/container", "ID", Some(Podman)),
    ("/machine.slice/libpod-ID.scope/container/init.scope", "ID", Some(Podman)),
    ("/libpod-ID", "ID", Some(Podman)),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container", "ID", Some(Podman)),
    ("/system.slice/web.service/libpod-payload-ID", "ID", Some(Podman)),
    ("/user.slice/user-1001.slice/user@1001.service/app.slice/redis.service/libpod-payload-ID", "ID", Some(Podman)),
    ("/libpod_parent/OTHER/libpod-ID", "ID", Some(Podman)),
    ("/machine.slice/machine-libpod_pod_OTHER.slice/libpod-ID.scope", "ID", Some(Podman)),
    // runc and crun with systemd's driver
    ("/system.slice/runc-web.scope", "web", Some(Runc)),
    ("/system.slice/crun-my-app.scope", "my-app", Some(Crun)),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/crun-web.scope/container", "web", Some(Crun)),
    // LXC: 4.0 and later, 3.1, before; LXD projects; Proxmox; systemd inside; unprivileged
    ("/lxc.payload.cont-lxc", "cont-lxc", Some(Lxc)),
    ("/lxc.payload.web_db/system.slice/ssh.service", "web_db", Some(Lxc)),
    ("/lxc.payload/web", "web", Some(Lxc)),
    ("/lxc/101", "101", Some(Lxc)),
    ("/lxc/101/ns/init.scope", "101", Some(Lxc)),
    ("/user.slice/user-1000.slice/user@1000.service/app.slice/lxc.payload.u1", "u1", Some(Lxc)),
    // systemd-nspawn
    (r"/machine.slice/machine-deb\x2d12.scope", "deb-12", Some(Nspawn)),
    (r"/machine.slice/machine-deb.scope/payload/init.scope", "deb", Some(Nspawn)),
    (r"/machine.slice/systemd-nspawn@deb\x2d12.service", "deb-12", Some(Nspawn)),
    ("/machine.slice/systemd-nspawn@deb.service/payload/system.slice/cron.service", "deb", Some(Nspawn)),
    (r"/machine.slice/machine-lxc\x2d4711\x2dweb\x2d1.scope", "web-1", Some(Lxc)),
    // BuildKit, alone and in dockerd
    ("/docker/buildkit/q3xr2kzz4dmh2wkrqmgl5lv9b", "q3xr2kzz4dmh2wkrqmgl5lv9b", Some(Buildkit)),
    ("/buildkit/q3xr2kzz4dmh2wkrqmgl5lv9b", "q3xr2kzz4dmh2wkrqmgl5lv9b", Some(Buildkit)),
    ("/system.slice/docker-q3xr2kzz4dmh2wkrqmgl5lv9b.scope", "q3xr2kzz4dmh2wkrqmgl5lv9b", Some(Buildkit)),
    // Garden
    ("/garden/b1a6c5d2-0bd4-4b57", "b1a6c5d2-0bd4-4b57", Some(Garden)),
    ("/garden/good/b1a6c5d2-0bd4-4b57", "b1a6c5d2-0bd4-4b57", Some(Garden)),
    // ECS: on EC2, on Fargate
    ("/ecs/0f1e2d3c4b5a69788796a5b4c3d2e1f0/ID", "ID", None),
    ("/ecs/0f1e2d3c4b5a69788796a5b4c3d2e1f0/0f1e2d3c4b5a69788796a5b4c3d2e1f0-2531612879", "0f1e2d3c4b5a69788796a5b4c3d2e1f0-2531612879", None),
];

const HOST: &[&str] = &[
    "/",
    "",
    "/init.scope",
    "/system.slice",
    "/system.slice/docker.service",
    "/system.slice/containerd.service",
    "/system.slice/ssh.service",
    "/system.slice/system-getty.slice/getty@tty1.service",
    "/system.slice/docker.socket",
    r"/system.slice/boot-efi.mount",
    "/system.slice/run-u34.scope",
    "/system.slice/run-r0f1e2d3c4b5a69788796a5b4c3d2e1f0.scope",
    "/user.slice/user-1000.slice/session-3.scope",
    "/user.slice/user-1000.slice/user@1000.service",
    "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-4242.scope",
    "/user.slice/user-1000.slice/user@1000.service/init.scope",
    "/user.slice/user-1000.slice/user@1000.service/user.slice/podman-4242.scope",
    "/docker",
    "/docker/buildkit",
    "/kubepods",
    "/kubepods/burstable",
    "/kubepods/burstable/pod5d2a9f0e-7a4c-4b0e-9f57-2a3b1d1c9d3e",
    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod5d2a9f0e_7a4c.slice",
    "/ecs",
    "/libpod_parent",
    "/libpod_parent/conmon",
    "/libpod_parent/OTHER",
    "/machine.slice",
    "/machine.slice/machine-libpod_pod_OTHER.slice",
    "/machine.slice/libpod-conmon-ID.scope",
    "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-conmon-ID.scope",
    "/kubepods.slice/kubepods-podcb1.slice/crio-conmon-ID.scope",
    "/crio-conmon-ID",
    "/lxc",
    "/lxc.pivot",
    "/lxc.monitor.cont-lxc",
    "/lxc.monitor/101",
    "/lxc.monitor.cont-lxc/child",
    r"/machine.slice/machine-qemu\x2d1\x2dvm.scope",
    "/machine.slice/systemd-nspawn@deb.service/supervisor",
    "/garden",
    "/garden/good",
];

const UNDECIDED: &[&str] = &[
    "/cont-runc",
    "/somewhere",
    "/somewhere/deep",
    "/default",
    "/default/web",
    "/cont-crun-group/inner",
    "/my/own",
    "/user.slice/user-0.slice/session-3.scope/web",
    "/system.slice/ci.service/job1",
    "/system.slice/web.service/runtime",
    "/memory-hogs/07898f0291f1",
    "/nix-build-uid-30001",
    "/payload",
];

fn full(text: &str) -> String {
    text.replace("ID", ID).replace("OTHER", OTHER)
}

#[test]
fn cgroups_of_containers_have_their_id_and_runtime() {
    for (path, id, hint) in CONTAINERS {
        match classify(&full(path)) {
            Verdict::Container {
                id: found,
                runtime_hint,
                cgroup,
            } => {
                assert_eq!((found, runtime_hint), (full(id), *hint), "{path}");
                assert!(full(path).starts_with(&cgroup), "{path}: {cgroup}");
            }
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn a_cgroup_inside_a_container_belongs_to_the_container() {
    let path = full("/machine.slice/libpod-ID.scope/container/init.scope");
    let Verdict::Container { cgroup, .. } = classify(&path) else {
        panic!("{path}");
    };
    assert_eq!(cgroup, full("/machine.slice/libpod-ID.scope"));
}

#[test]
fn cgroups_of_the_host_are_recognised() {
    for path in HOST {
        assert_eq!(classify(&full(path)), Verdict::Host, "{path}");
    }
}

#[test]
fn ambiguous_cgroups_are_undecided() {
    for path in UNDECIDED {
        assert_eq!(classify(&full(path)), Verdict::Undecided, "{path}");
    }
}

#[test]
fn runtimes_are_recognised_by_their_comm() {
    assert_eq!(creator(b"runc"), Some(Runc));
    assert_eq!(creator(b"crun"), Some(Crun));
    // A child of runc, and programs that create cgroups of the host.
    for comm in ["runc:[2:INIT]", "systemd", "lxc-start", "dockerd", ""] {
        assert_eq!(creator(comm.as_bytes()), None, "{comm}");
    }
    assert_eq!(first_thread(b"runc:[2:INIT]"), Some(Runc));
    assert_eq!(first_thread(b"crun"), Some(Crun));
    assert_eq!(first_thread(b"sh"), None);
}
