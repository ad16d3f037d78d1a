#!/usr/bin/env python3
"""Prints the licences of everything that a program contains: crates, the C code in them, and libraries of the system.

Usage: packaging/licences.py PROGRAM ARCH

The texts are those that the authors publish with their crates. Crates with the same text stand above one copy of it.
"""

import json
import pathlib
import subprocess
import sys

FEATURES = {"ctrace-rec": "record", "ctrace-query": "query"}
# Debian's packages of the libraries that a static program contains, and that are beside a program in its image.
LIBRARIES = {"ctrace-rec": ["libc6", "libelf1", "zlib1g", "libgcc-s1"], "ctrace-query": ["libc6", "libgcc-s1"]}
NAMES = ("license", "licence", "copying", "notice", "unlicense", "copyright")


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments, "--locked"], check=True, text=True, stdout=subprocess.PIPE).stdout


def crates(program, arch):
    """Returns the crates of a program: name, version, licence and directory."""
    features = ["--no-default-features", "--features", FEATURES[program]]
    metadata = json.loads(cargo("metadata", "--format-version", "1", *features))
    packages = {(p["name"], p["version"]): p for p in metadata["packages"]}
    tree = cargo("tree", "--edges", "normal", "--prefix", "none", "--format", "{p}", "--target",
                 f"{arch}-unknown-linux-gnu", *features)
    used = {tuple(line.split(" ")[:2]) for line in tree.splitlines() if line}
    for name, version in sorted(used):
        package = packages[name, version.removeprefix("v")]
        if package["source"]:
            yield name, package["version"], package["license"], pathlib.Path(package["manifest_path"]).parent


def texts(directory):
    """Returns the texts of the licences in a crate and in the C code that it carries."""
    files = sorted(directory.glob("*")) + sorted(directory.glob("*/*"))
    return [f.read_text(errors="replace").strip() for f in files if f.is_file() and f.name.lower().startswith(NAMES)]


def main():
    program, arch = sys.argv[1:]
    owners = {}
    bare = []
    for name, version, licence, directory in crates(program, arch):
        found = texts(directory)
        for text in found:
            owners.setdefault(text, []).append(f"{name} {version} ({licence})")
        if not found:
            bare.append(f"{name} {version} ({licence})")
    for library in LIBRARIES[program]:
        file = pathlib.Path("/usr/share/doc", library, "copyright")
        if not file.exists():
            sys.exit(f"licences: {file} is missing: the programs are packaged on Debian or Ubuntu, with {library}")
        owners.setdefault(file.read_text().strip(), []).append(f"{library}, in the static program or beside it in an image")
    print(f"{program} contains the following, under these licences.")
    if bare:
        print("\nPublished without a text of the licence that they name:")
        print("".join(f"  {crate}\n" for crate in bare), end="")
    for text, names in sorted(owners.items(), key=lambda item: item[1]):
        print("\n" + "-" * 100)
        print("".join(f"{name}\n" for name in names))
        print(text)


main()
