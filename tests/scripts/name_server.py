"""A name server on UDP and TCP: name_server.py ADDRESS. The first label of a name says what becomes of a question:

nx: NXDOMAIN. broken: SERVFAIL. refused: REFUSED. silent: no answer. late: an answer after half a second.
long: over UDP no answer but the flag TC, over TCP an answer of 100 records. srv: a record of type SRV. txt: of type TXT.
Any other name has the address 10.9.8.7, and no records of other types. Prints "ready" when the sockets are bound.
"""

import socket
import struct
import sys
import threading
import time

CODES = {"nx": 3, "broken": 2, "refused": 5}
POINTER = b"\xc0\x0c"  # the name in the question


def record(kind, data):
    return POINTER + struct.pack(">HHIH", kind, 1, 60, len(data)) + data


def records(label, kind):
    if label == "srv" and kind == 33:
        return [record(33, struct.pack(">HHH", 1, 2, 8080) + b"\x02db\x04test\x00")]
    if label == "txt" and kind == 16:
        return [record(16, b"\x05hello")]
    if label == "long" and kind == 1:
        return [record(1, bytes([10, 0, 1, n])) for n in range(100)]
    return [record(1, bytes([10, 9, 8, 7]))] if kind == 1 else []


def answer(message, over_tcp):
    """Returns the answer to a question, or None."""
    at = 12
    while message[at]:
        at += message[at] + 1
    label = message[13 : 13 + message[12]].decode()
    (kind,) = struct.unpack(">H", message[at + 1 : at + 3])
    if label == "silent":
        return None
    if label == "late":
        time.sleep(0.5)
    code = CODES.get(label, 0)
    cut = label == "long" and not over_tcp
    found = [] if code or cut else records(label, kind)
    flags = 0x8180 | code | (0x200 if cut else 0)
    header = message[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0)
    return header + message[12 : at + 5] + b"".join(found)


def serve_udp(udp):
    def reply(message, client):
        text = answer(message, False)
        if text:
            udp.sendto(text, client)

    while True:
        message, client = udp.recvfrom(4096)
        # In the order of the questions: after an answer that is cut, glibc reads no other one.
        if message[13:].startswith(b"late"):
            threading.Thread(target=reply, args=(message, client), daemon=True).start()
        else:
            reply(message, client)


def serve_tcp(tcp):
    def talk(client):
        with client, client.makefile("rb") as stream:
            while length := stream.read(2):
                text = answer(stream.read(int.from_bytes(length, "big")), True)
                if text:
                    client.sendall(struct.pack(">H", len(text)) + text)

    while True:
        threading.Thread(target=talk, args=(tcp.accept()[0],), daemon=True).start()


def main():
    address = (sys.argv[1], 53)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(address)
    tcp = socket.create_server(address)
    print("ready", flush=True)
    threading.Thread(target=serve_tcp, args=(tcp,), daemon=True).start()
    serve_udp(udp)


main()
