"""Runs the containers of pods by the Container Runtime Interface, as the kubelet does.

    cri.py SOCKET IMAGE NAMESPACE/POD/CONTAINER... -- COMMAND...

Each pod is a sandbox in the machine's network, with the uid uid-POD and the label pod=POD. Each container runs COMMAND
from IMAGE and has the label tier=CONTAINER. Prints a line `ID SANDBOX_ID` for each container that has started, waits until
stdin is closed, and removes the pods.

The messages are those of api.proto of k8s.io/cri-api (runtime.v1). They are encoded here, so that nothing is generated:
https://protobuf.dev/programming-guides/encoding/
"""

import sys

import grpc

# NamespaceMode
CONTAINER = 1
NODE = 2


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def message(fields):
    """Encodes a message: a dict of field numbers to texts, numbers, messages, or lists of them."""
    out = b""
    for field, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, int):
                out += varint(field << 3) + varint(value)
                continue
            if isinstance(value, dict):
                value = message(value)
            elif isinstance(value, str):
                value = value.encode()
            out += varint(field << 3 | 2) + varint(len(value)) + value
    return out


def first_text(answer):
    """Returns field 1 of an answer, which is an id of less than 128 bytes."""
    assert answer[0] == 1 << 3 | 2, answer
    return answer[2 : 2 + answer[1]].decode()


def label(key, value):
    return {1: key, 2: value}


class Runtime:
    def __init__(self, socket):
        self.channel = grpc.insecure_channel(f"unix://{socket}")

    def call(self, method, fields):
        call = self.channel.unary_unary(f"/runtime.v1.RuntimeService/{method}")
        return call(message(fields), timeout=60, wait_for_ready=True)

    def run_pod(self, namespace, pod):
        host = {1: {1: NODE, 2: CONTAINER}}
        config = {
            1: {1: pod, 2: f"uid-{pod}", 3: namespace},
            3: "/tmp",
            6: [label("pod", pod)],
            8: {2: host},
        }
        return config, first_text(self.call("RunPodSandbox", {1: config}))

    def start(self, sandbox, sandbox_config, name, image, command):
        config = {
            1: {1: name},
            2: {1: image},
            3: command,
            9: [label("tier", name)],
            15: {2: {3: {1: NODE, 2: CONTAINER}}},
        }
        created = self.call("CreateContainer", {1: sandbox, 2: config, 3: sandbox_config})
        container = first_text(created)
        self.call("StartContainer", {1: container})
        return container


def main():
    socket, image = sys.argv[1:3]
    end = sys.argv.index("--")
    wanted, command = sys.argv[3:end], sys.argv[end + 1 :]
    runtime = Runtime(socket)
    pods = {}
    try:
        for names in wanted:
            namespace, pod, name = names.split("/")
            if (namespace, pod) not in pods:
                pods[namespace, pod] = runtime.run_pod(namespace, pod)
            config, sandbox = pods[namespace, pod]
            container = runtime.start(sandbox, config, name, image, command)
            print(container, sandbox, flush=True)
        sys.stdin.read()
    finally:
        for _, sandbox in pods.values():
            runtime.call("StopPodSandbox", {1: sandbox})
            runtime.call("RemovePodSandbox", {1: sandbox})


main()
