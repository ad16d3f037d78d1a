"""Parses Prometheus text on stdin with Prometheus's own client and prints a JSON object of "name/labels" to values."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

samples = {}
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation and family.type in ("counter", "gauge"), family
    for sample in family.samples:
        # Names of counters end in `_total`, names of gauges do not.
        assert sample.name.endswith("_total") == (family.type == "counter"), sample
        samples["/".join([sample.name, *sample.labels.values()])] = sample.value
print(json.dumps(samples))
