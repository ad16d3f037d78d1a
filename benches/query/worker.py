#!/usr/bin/env python3
"""Runs one question in an engine from PyPI: worker.py ENGINE FILE CONTAINERS QUESTION TIMES [--answer FILE].

Prints the time of each answer, in ms; the first includes opening the file, but not the interpreter's start and imports. Then
prints the peak memory of the process, in MB."""

import datetime
import importlib
import resource
import sys
import time

import questions

THREADS = 2


def duckdb(module, file, containers, name):
    base = module.connect(config={"threads": THREADS})
    base.execute("set timezone = 'UTC'")
    base.execute(f"create view events as from '{file}'; create view containers as from '{containers}'")
    return lambda: base.sql(questions.sql("duckdb", name)).to_arrow_table()


def chdb(module, file, containers, name):
    text = questions.sql("chdb", name).replace("from events", f"from file('{file}') as events")
    text = text.replace("join containers", f"join file('{containers}')")
    text += f" settings max_threads = {THREADS}, join_use_nulls = 1"
    return lambda: module.query(text, "ArrowTable")


def datafusion(module, file, containers, name):
    context = module.SessionContext(module.SessionConfig().with_target_partitions(THREADS))
    context.register_parquet("events", file)
    context.register_parquet("containers", containers)
    return lambda: context.sql(questions.sql("datafusion", name)).to_arrow_table()


def polars(pl, file, containers, name):
    def ask():
        e, c = pl.scan_parquet(file), pl.scan_parquet(containers)
        col, n, time_ = pl.col, pl.len().alias("n"), pl.col("time")
        seen = [time_.min().alias("first_seen"), time_.max().alias("last_seen")]
        one = e.filter(col("container") == "api-1")
        if name == "q1":
            counted = e.filter(col("syscall").is_not_null()).group_by("container", "syscall").agg(n)
            ordered = counted.sort("container", "n", "syscall", descending=[False, True, False])
            plan = ordered.group_by("container", maintain_order=True).head(5)
        elif name == "q2":
            plan = e.filter(col("path") == "/etc/shadow").group_by("container", "comm").agg(n, *seen).sort("container", "comm")
        elif name == "q3":
            plan = one.filter(col("peer_addr").is_not_null()).group_by("peer_addr", "peer_port").agg(n, col("bytes").sum().alias("b"))
            plan = plan.sort("n", "peer_addr", "peer_port", descending=[True, False, False]).limit(20)
        elif name == "q4":
            plan = e.filter((col("ret") < 0) & (col("ret") > -4096)).group_by("container", "ret").agg(n)
            plan = plan.select("container", -col("ret"), "n").sort("container", "n", "ret", descending=[False, True, False])
        elif name == "q5":
            plan = e.filter(col("syscall").is_not_null()).group_by("syscall").agg(n, col("duration").quantile(0.99)).sort("syscall")
        elif name == "q6":
            plan = one.group_by(time_.dt.truncate("10s")).agg(n).sort("time")
        elif name == "q7":
            plan = e.filter(col("syscall") == "execve").group_by("container", "path").agg(n).sort("container", "path")
        elif name == "q8":
            prefix = col("path").str.extract("^[^/]*/([^/]*/?[^/]*)", 1).alias("prefix")
            plan = e.filter(col("path").is_not_null()).group_by("container", prefix).agg(*seen, n).sort("container", "prefix")
        elif name == "q9":
            ends = lambda *calls: e.filter(col("syscall").is_in(calls)).group_by("container", "peer_addr").agg(n)
            out = ends("connect", "sendto").join(c, on="container").join(c, left_on="peer_addr", right_on="ip", suffix="_to")
            plan = out.join(ends("accept4", "recvfrom"), left_on=["container_to", "ip"], right_on=["container", "peer_addr"])
            plan = plan.select("container", "container_to", "n", "n_right").sort("container", "container_to")
        elif name == "q10":
            at = lambda text: datetime.datetime.fromisoformat(text + "+00:00")
            plan = e.filter((time_ >= at(questions.FROM)) & (time_ < at(questions.TO))).sort("time", "seq")
        elif name == "q11":
            plan = e.filter(col("path").str.contains("secret", literal=True)).group_by("container", "path").agg(n)
            plan = plan.sort("n", "container", "path", descending=[True, False, False]).limit(100)
        else:
            calls = lambda container: e.filter(col("container") == container).select("syscall").unique()
            plan = calls("api-1").join(calls("web-0"), on="syscall", how="anti", nulls_equal=True).sort("syscall")
        return plan.collect(engine="streaming")

    return ask


def main():
    engine, file, containers, name, times = sys.argv[1:6]
    module = importlib.import_module(engine)
    start = time.perf_counter()
    ask = globals()[engine](module, file, containers, name)
    for _ in range(int(times)):
        answer = ask()
        now = time.perf_counter()
        print(f"{(now - start) * 1e3:.1f}")
        start = now
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    if sys.argv[6:7] == ["--answer"]:
        import pyarrow.parquet

        pyarrow.parquet.write_table(answer if engine != "polars" else answer.to_arrow(), sys.argv[7])


if __name__ == "__main__":
    main()
