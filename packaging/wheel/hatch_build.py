"""Names the platform of the wheel, and adds the bill of materials of its program."""

import os

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Platform(BuildHookInterface):
    def initialize(self, version, build_data):
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{os.environ['PLATFORM']}"
        build_data["sbom_files"].append("sbom.cdx.json")
