"""Checks the manifests in packaging/kubernetes/: the schemas of four versions of Kubernetes accept them, the chart of helm and
the base of kustomize say the same, and the recorder accepts the flags, the configuration and the rights that they give it.

Usage: kubernetes.py CTRACE-REC, in the environment of packaging/requirements.txt
"""

import copy
import pathlib
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

VERSIONS = ["1.31.0", "1.33.0", "1.35.0", "1.37.0"]
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = ROOT / "packaging/kubernetes"
TOOLS = pathlib.Path(sys.executable).parent


def objects(*command):
    """Runs helm or kubectl, and returns the objects that it prints."""
    done = subprocess.run([TOOLS / command[0], *command[1:]], text=True, capture_output=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return [o for o in yaml.safe_load_all(done.stdout) if o]


def of_kind(found, kind):
    [only] = [o for o in found if o["kind"] == kind]
    return only


def validate(found, version):
    """Checks objects by the schemas of a version of Kubernetes, which do not have those of the Prometheus operator."""
    for each in found:
        if each["kind"] != "PodMonitor":
            kubernetes_validate.validate(each, version, strict=True)


def is_refused(found, version):
    try:
        validate(found, version)
    except kubernetes_validate.ValidationError:
        return True
    return False


def substance(found):
    """Returns objects by kind, without what helm and kustomize each do in their own way: the namespace, which helm makes by a
    flag, and the mark of the configuration, which is a part of the map's name or an annotation of the pods."""
    result = {}
    for each in copy.deepcopy(found):
        if each["kind"] == "Namespace":
            continue
        assert each["kind"] not in result, each["kind"]
        if each["kind"] == "ConfigMap":
            each["metadata"]["name"] = re.sub(r"-[a-z0-9]{10}$", "", each["metadata"]["name"])
        if each["kind"] == "DaemonSet":
            template = each["spec"]["template"]
            template["metadata"]["annotations"].pop("checksum/config", None)
            for volume in template["spec"]["volumes"]:
                if "configMap" in volume:
                    volume["configMap"]["name"] = re.sub(r"-[a-z0-9]{10}$", "", volume["configMap"]["name"])
        result[each["kind"]] = each
    return result


def check_pod(pod, recorder):
    """Checks that the pod gives the recorder what it needs, and no more."""
    [container] = pod["containers"]
    security = container["securityContext"]
    unit = (ROOT / "packaging/ctrace-rec.service").read_text()
    bounding = re.search("^CapabilityBoundingSet=(.*)", unit, re.M)[1].replace("CAP_", "").split()
    assert sorted(security["capabilities"]["add"]) == sorted(bounding), "the unit and the pod give other capabilities"
    assert security["capabilities"]["drop"] == ["ALL"]
    assert not security["privileged"] and not security["allowPrivilegeEscalation"] and security["readOnlyRootFilesystem"]
    assert pod["hostPID"] and not pod["automountServiceAccountToken"]
    assert not pod.get("hostNetwork"), "a policy for the network would not apply"
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    writable = {name for name, mount in mounts.items() if not mount.get("readOnly")}
    assert writable == {"recordings", "socket"}, writable
    for name in ("cgroups", "runtimes", "state", "socket"):
        assert volumes[name]["hostPath"]["path"] == mounts[name]["mountPath"], name
    help_text = subprocess.run([recorder, "--help"], text=True, capture_output=True, check=True).stdout
    flags = dict(argument.split("=", 1) for argument in container["args"])
    for flag in flags:
        assert f"{flag} <" in help_text, f"ctrace-rec has no {flag}"
    assert flags["--out"] == mounts["recordings"]["mountPath"] + "/"
    assert pathlib.Path(flags["--config"]).parent == pathlib.Path(mounts["config"]["mountPath"])
    [port] = container["ports"]
    return port


def check_config(text, port, recorder):
    """Checks that the recorder accepts the configuration, by replaying a capture with it."""
    assert f'metrics = "0.0.0.0:{port["containerPort"]}"' in text
    # The address may be taken on this machine.
    text = text.replace("0.0.0.0:9464", "127.0.0.1:0")
    with tempfile.TemporaryDirectory() as directory:
        config = pathlib.Path(directory, "ctrace-rec.toml")
        command = [recorder, "--config", config, "--from-raw", ROOT / "fixtures/demo.raw", "--out", f"{directory}/out/"]
        config.write_text(text + "planted = true\n")
        assert subprocess.run(command, capture_output=True).returncode == 2, "an unknown key is accepted"
        config.write_text(text)
        done = subprocess.run(command, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr


def main():
    recorder = sys.argv[1]
    base = objects("kubectl", "kustomize", HERE / "base")
    monitoring = objects("kubectl", "kustomize", HERE / "monitoring")
    chart = ["helm", "template", "ctrace", HERE / "chart", "--namespace", "ctrace"]
    subprocess.run([TOOLS / "helm", "lint", "--quiet", "--strict", HERE / "chart"], check=True, capture_output=True)

    for version in VERSIONS:
        for found in (base, objects(*chart)):
            validate(found, version)
            planted = copy.deepcopy(found)
            of_kind(planted, "DaemonSet")["spec"]["template"]["spec"]["hostPids"] = True
            assert is_refused(planted, version), f"{version}: an unknown field is accepted"

    assert substance(base) == substance(objects(*chart)), "kustomize and helm differ"
    assert substance(monitoring) == substance(objects(*chart, "--set", "podMonitor=true"))
    given = objects(*chart, "--set", "image.repository=registry.example/ctrace-rec,image.tag=2,recordings=/srv/ctrace,"
                    "monitoringNamespace=metrics", "--set-string", 'config=host = true')
    pod = of_kind(given, "DaemonSet")["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "registry.example/ctrace-rec:2"
    assert "/srv/ctrace" in str(pod["volumes"]) and "/var/lib/ctrace" not in str(pod["volumes"])
    assert of_kind(given, "ConfigMap")["data"] == {"ctrace-rec.toml": "host = true"}
    assert "metrics" in str(of_kind(given, "NetworkPolicy")["spec"]["ingress"][0]["from"])

    version = re.search('^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    daemons = of_kind(base, "DaemonSet")["spec"]
    template = daemons["template"]
    assert template["spec"]["containers"][0]["image"] == f"ctrace-rec:{version}"
    port = check_pod(template["spec"], recorder)
    check_config(of_kind(base, "ConfigMap")["data"]["ctrace-rec.toml"], port, recorder)
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])
    labels = template["metadata"]["labels"]
    monitor = of_kind(monitoring, "PodMonitor")["spec"]
    assert daemons["selector"]["matchLabels"] == monitor["selector"]["matchLabels"] == labels
    assert monitor["podMetricsEndpoints"][0]["port"] == port["name"]
    assert not of_kind(base, "ServiceAccount")["automountServiceAccountToken"]
    assert not [o for o in base if "Role" in o["kind"]], "the account has rights"
    print(f"kubernetes.py: the manifests are valid for Kubernetes {', '.join(VERSIONS)}")


main()
