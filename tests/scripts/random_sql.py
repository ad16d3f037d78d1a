"""Random statements over the tables of recordings, in the SQL that ctrace-query and DuckDB share, and smaller forms of them.

A statement is a tree of nodes. A node has the type of its value, and a text in which {0}, {1}, ... stand for its children.
"""

import dataclasses

TEXT, NUMBER, SMALL, BOOL, TIME = "text", "number", "small", "bool", "time"
COLUMNS = {
    TEXT: ["container", "syscall", "error", "comm", "exe", "path", "class", "kind", "host", "peer_addr", "argv"],
    # Sums and products of columns of 32 bits fit into 64 bits.
    SMALL: ["pid", "tid", "uid", "fd", "exit_code", "peer_port", "ns_pid"],
    NUMBER: ["ret", "bytes", "duration", "arg0", "flags", "inode"],
    BOOL: ["denied", "compat"],
    TIME: ["time"],
}
LITERALS = {
    TEXT: ["''", "'a'", "'ENOENT'", "'EBADF'", "'EAGAIN'", "'read'", "'openat'", "'demo-web'", "'/tmp/a'", "'/tmp/a\\x0ab'", "'é'", "'it''s'", "'syscall'"],
    SMALL: ["0", "1", "-1", "2", "7", "100", "2147483647"],
    NUMBER: ["0", "1", "-1", "-2", "10", "9223372036854775807", "-9223372036854775807", "9007199254740993"],
    BOOL: ["true", "false"],
    TIME: ["timestamp '2026-11-30 13:52:54'", "timestamp '2026-11-30 13:52:52'", "timestamp '2026-10-15 00:00:00'", "timestamp '2262-01-01 00:00:00'"],
}
NULLS = {TEXT: "cast(null as varchar)", SMALL: "cast(null as integer)", NUMBER: "cast(null as bigint)", BOOL: "cast(null as boolean)", TIME: "cast(null as timestamp)"}
PATTERNS = ["'%a%'", "'/tmp/_%'", "'/tmp/a\\x0a%'", "'E%'", "'%'", "''", "'_'", "'/etc/%'", "'%\\\\%'", "'demo-w__'"]
COMPARISONS = ["=", "<>", "<", "<=", ">", ">="]


@dataclasses.dataclass(frozen=True)
class Node:
    kind: str
    text: str
    children: tuple = ()
    # The text for DuckDB, where it differs.
    other: str = None

    def sql(self, duckdb=False):
        text = self.other if duckdb and self.other is not None else self.text
        parts = [child.sql(duckdb) for child in self.children]
        for number, part in enumerate(parts):
            text = text.replace(f"{{{number}}}", part)
        return text

    def ours(self):
        return self.sql()

    def theirs(self):
        return self.sql(True)

    def size(self):
        return 1 + sum(child.size() for child in self.children)


def smaller(node):
    """Returns the trees with one node replaced by a descendant of its type or by a leaf, the greatest savings first."""
    found = sorted(_smaller(node), key=lambda candidate: candidate.size())
    return [candidate for candidate in found if candidate.size() < node.size() or candidate.size() == node.size() == 1]


def _smaller(node):
    for candidate in _descendants(node):
        if candidate.kind == node.kind and node.kind != "statement":
            yield candidate
    if node.children and node.kind in LITERALS:
        yield Node(node.kind, LITERALS[node.kind][0])
    for number, child in enumerate(node.children):
        for candidate in _smaller(child):
            children = node.children[:number] + (candidate,) + node.children[number + 1 :]
            yield dataclasses.replace(node, children=children)


def _descendants(node):
    for child in node.children:
        yield child
        yield from _descendants(child)


def items(nodes, separator=", "):
    return Node("list", separator.join(f"{{{number}}}" for number in range(len(nodes))), tuple(nodes))


class Statements:
    def __init__(self, chance):
        self.chance = chance
        self.aliases = 0

    def pick(self, choices):
        return self.chance.choice(choices)

    def column(self, kind, table):
        if kind == NUMBER and self.chance.random() < 0.3:
            kind = SMALL
        return Node(kind, f"{table}.{self.pick(COLUMNS[kind])}")

    def leaf(self, kind, table):
        roll = self.chance.random()
        if roll < 0.7 or kind == TIME and roll < 0.9:
            return self.column(kind, table)
        if roll < 0.97:
            return Node(kind, self.pick(LITERALS[kind]))
        return Node(kind, NULLS[kind])

    def value(self, kind, table, depth):
        if depth <= 0 or kind == TIME or self.chance.random() < 0.35:
            return self.leaf(kind, table)
        make = {TEXT: self.text, NUMBER: self.number, SMALL: self.small, BOOL: self.condition}[kind]
        return make(table, depth - 1)

    def general(self, kind, table, depth):
        """Creates an expression of a type."""
        value = lambda: self.value(kind, table, depth)
        condition = lambda: self.condition(table, depth)
        return self.pick([
            lambda: Node(kind, "coalesce({0}, {1})", (value(), value())),
            lambda: Node(kind, "nullif({0}, {1})", (value(), value())),
            lambda: Node(kind, "case when {0} then {1} else {2} end", (condition(), value(), value())),
            lambda: Node(kind, "case when {0} then {1} when {2} then {3} end", (condition(), value(), condition(), value())),
        ])()

    def text(self, table, depth):
        value = lambda: self.value(TEXT, table, depth)
        return self.pick([
            lambda: self.general(TEXT, table, depth),
            lambda: Node(TEXT, "upper({0})", (value(),)),
            lambda: Node(TEXT, "lower({0})", (value(),)),
            lambda: Node(TEXT, f"substr({{0}}, {self.pick([1, 2, 3])}, {self.pick([1, 2, 5])})", (value(),)),
            lambda: Node(TEXT, "({0} || {1})", (value(), value())),
            lambda: Node(TEXT, "replace({0}, 'a', '')", (value(),)),
            lambda: Node(TEXT, "cast({0} as varchar)", (self.value(NUMBER, table, depth),)),
            lambda: Node(TEXT, "split_part({0}, '/', 2)", (value(),)),
        ])()

    def small(self, table, depth):
        value = lambda: self.value(SMALL, table, depth)
        return self.pick([
            lambda: self.general(SMALL, table, depth),
            lambda: Node(SMALL, "cast(length({0}) as integer)", (self.value(TEXT, table, depth),)),
        ])()

    def number(self, table, depth):
        small = lambda: self.column(SMALL, table)
        return self.pick([
            lambda: self.general(NUMBER, table, depth),
            lambda: self.general(NUMBER, table, depth),
            lambda: Node(NUMBER, "(cast({0} as bigint) + {1})", (small(), small())),
            lambda: Node(NUMBER, "(cast({0} as bigint) - {1})", (small(), small())),
            lambda: Node(NUMBER, "({0} % 7)", (self.value(NUMBER, table, depth),)),
            lambda: Node(NUMBER, "mod({0}, 10)", (self.value(NUMBER, table, depth),)),
            lambda: Node(NUMBER, "length({0})", (self.value(TEXT, table, depth),)),
        ])()

    def literal(self, kind):
        return Node(kind, self.pick(LITERALS[kind]))

    def members(self, kind, table):
        members = [self.literal(kind) for _ in range(self.pick([1, 2, 3, 5]))]
        if self.chance.random() < 0.15:
            members.append(Node(kind, "null"))
        return items(members)

    def subquery(self, kind, outer, depth):
        """Creates a query of one column, sometimes with a condition on the outer row."""
        self.aliases += 1
        table = f"s{self.aliases}"
        condition = self.condition(table, min(depth, 1))
        if self.chance.random() < 0.3:
            column = self.pick(["host", "container", "error", "pid"])
            condition = Node(BOOL, f"({{0}} and {table}.{column} = {outer}.{column})", (condition,))
        return Node("query", f"select {{0}} from events as {table} where {{1}}", (self.column(kind, table), condition))

    def condition(self, table, depth):
        kind = self.pick([TEXT, TEXT, NUMBER, SMALL, TIME])
        value = lambda: self.value(kind, table, depth - 1)
        condition = lambda: self.condition(table, depth - 1)
        simple = [
            lambda: Node(BOOL, f"{{0}} {self.pick(COMPARISONS)} {{1}}", (value(), value())),
            lambda: Node(BOOL, f"{{1}} {self.pick(COMPARISONS)} {{0}}", (self.column(kind, table), self.literal(kind))),
            lambda: Node(BOOL, f"{{0}} is {self.pick(['', 'not '])}null", (value(),)),
            lambda: Node(BOOL, f"{{0}} {self.pick(['', 'not '])}in ({{1}})", (self.column(kind, table), self.members(kind, table))),
            lambda: Node(BOOL, f"{{0}} {self.pick(['', 'not '])}between {{1}} and {{2}}", (value(), self.literal(kind), self.literal(kind))),
            lambda: Node(BOOL, f"{{0}} {self.pick(['', 'not '])}like {self.pick(PATTERNS)}", (self.value(TEXT, table, depth - 1),)),
            lambda: Node(BOOL, f"{{0}} is {self.pick(['', 'not '])}distinct from {{1}}", (value(), value())),
            lambda: self.column(BOOL, table),
        ]
        if depth <= 0:
            return self.pick(simple)()
        negation = self.pick(["", "not "])
        nested = [
            lambda: Node(BOOL, "({0} and {1})", (condition(), condition())),
            lambda: Node(BOOL, "({0} or {1})", (condition(), condition())),
            lambda: Node(BOOL, "(not ({0}))", (condition(),)),
            lambda: Node(BOOL, f"(({{0}}) is {negation}{self.pick(['true', 'false', 'null'])})", (condition(),)),
            # Without parentheses, so that the precedence of the operators matters.
            lambda: Node(BOOL, "({0} is not distinct from {1} and {2})", (self.column(BOOL, table), self.column(BOOL, table), condition())),
            lambda: Node(BOOL, "({0} is distinct from {1} or {2})", (self.leaf(kind, table), self.leaf(kind, table), condition())),
            lambda: Node(BOOL, "({0} and {1})", (self.test_of(table, kind), self.test_of(table, kind))),
            lambda: Node(BOOL, "({0} or {1})", (self.test_of(table, kind), self.test_of(table, kind))),
            lambda: Node(BOOL, f"({{0}} {negation}in ({{1}}))", (self.column(kind, table), self.subquery(kind, table, depth))),
            lambda: Node(BOOL, f"({negation}exists ({{0}}))", (self.subquery(kind, table, depth),)),
        ]
        if kind in (TEXT, SMALL):
            nested.append(lambda: Node(BOOL, f"({{0}} {self.pick(['=', '<>', '<', '>='])} {self.pick(['any', 'all'])} ({{1}}))", (self.column(kind, table), self.plain_subquery(kind))))
        return self.pick(simple + nested + nested)()

    def plain_subquery(self, kind):
        self.aliases += 1
        table = f"s{self.aliases}"
        return Node("query", f"select {{0}} from events as {table} where {{1}}", (self.column(kind, table), self.condition(table, 0)))

    def test_of(self, table, kind):
        """Creates a test of one of few columns, so that several tests have the same column."""
        kind = self.pick([TEXT, SMALL])
        column = Node(kind, f"{table}.{'error' if kind == TEXT else 'pid'}")
        literal = self.literal(kind)
        return self.pick([
            lambda: Node(BOOL, f"{{0}} {self.pick(['', 'not '])}in ({{1}})", (column, self.members(kind, table))),
            lambda: Node(BOOL, f"{{0}} {self.pick(COMPARISONS)} {{1}}", (column, literal)),
            lambda: Node(BOOL, f"{{1}} {self.pick(COMPARISONS)} {{0}}", (column, literal)),
        ])()

    def aggregate(self, table, depth):
        text, number = (lambda: self.value(TEXT, table, depth)), (lambda: self.value(NUMBER, table, depth))
        condition = lambda: self.condition(table, depth)
        aggregate = self.pick([
            lambda: Node("aggregate", "count(*)"),
            lambda: Node("aggregate", "count({0})", (text(),)),
            lambda: Node("aggregate", "count(distinct {0})", (text(),)),
            lambda: Node("aggregate", "sum({0})", (number(),)),
            lambda: Node("aggregate", "sum({0})", (self.column(NUMBER, table),)),
            lambda: Node("aggregate", "sum(distinct {0})", (self.column(NUMBER, table),)),
            lambda: Node("aggregate", "avg({0})", (self.column(NUMBER, table),)),
            lambda: Node("aggregate", f"{self.pick(['min', 'max'])}({{0}})", (number(),)),
            lambda: Node("aggregate", f"{self.pick(['min', 'max'])}({{0}})", (text(),)),
            lambda: Node("aggregate", f"bool_{self.pick(['and', 'or'])}({{0}})", (condition(),)),
            lambda: Node("aggregate", "sum(case when {0} then {1} else 0 end)", (condition(), number())),
            lambda: Node("aggregate", "count(case when {0} then 1 end)", (condition(),)),
        ])()
        if self.chance.random() < 0.2:
            return Node("aggregate", "{0} filter (where {1})", (aggregate, condition()))
        return aggregate

    def group(self, table):
        kind = self.pick([TEXT, TEXT, NUMBER, SMALL, BOOL])
        return self.value(kind, table, self.pick([0, 0, 1, 2]))

    def source(self):
        return self.pick(["events as t"] * 5 + ["(select * from events where kind = 'syscall') as t", "(select distinct * from events where error is not null) as t"])

    def statement(self):
        depth = self.pick([1, 2, 2, 3])
        return self.pick([self.count, self.grouped, self.grouped, self.totals, self.distinct, self.first, self.window, self.join, self.union, self.expression])(depth)

    def count(self, depth):
        return Node("statement", f"select count(*) as n from {self.source()} where {{0}}", (self.condition("t", depth),))

    def totals(self, depth):
        aggregates = named([self.aggregate("t", depth - 1) for _ in range(self.pick([1, 2, 3]))])
        return Node("statement", f"select {{0}} from {self.source()} where {{1}}", (aggregates, self.condition("t", depth)))

    def grouped(self, depth):
        groups = [self.group("t") for _ in range(self.pick([1, 1, 2]))]
        aggregates = [self.aggregate("t", depth - 1) for _ in range(self.pick([1, 2]))]
        numbers = ", ".join(str(number + 1) for number in range(len(groups)))
        having = self.pick(["", "", " having count(*) > 3"])
        text = f"select {{0}}, {{1}} from {self.source()} where {{2}} group by {numbers}{having}"
        return Node("statement", text, (named(groups), named(aggregates, "a"), self.condition("t", depth - 1)))

    def distinct(self, depth):
        groups = named([self.group("t") for _ in range(self.pick([1, 2]))])
        return Node("statement", f"select distinct {{0}} from {self.source()} where {{1}}", (groups, self.condition("t", depth)))

    def order(self, table):
        # SQL takes a literal for the number of a column.
        key = self.column(self.pick([TEXT, NUMBER, SMALL]), table)
        direction = self.pick(["asc nulls first", "desc nulls last", "asc nulls last"])
        return Node("list", f"{{0}} {direction}, {table}.host, {table}.seq, {table}.kind, {table}.syscall, {table}.container nulls first", (key,))

    def first(self, depth):
        columns = named([self.group("t") for _ in range(self.pick([1, 2, 3]))])
        limit = self.pick([1, 5, 50])
        return Node("statement", f"select {{0}} from events as t where t.host = 'edge' and {{1}} order by {{2}} limit {limit}", (columns, self.condition("t", depth), self.order("t")))

    def window(self, depth):
        function = self.pick(["row_number()", "count(*)", "sum({0})", "min({0})", "lag({0})", "first_value({0})"])
        frame = self.pick(["", " rows between 2 preceding and current row"]) if function.startswith(("sum", "min", "count")) else ""
        text = f"select t.seq, {function} over (partition by {{1}} order by {{2}}{frame}) as w from events as t where t.host = 'edge' and {{3}}"
        return Node("statement", text, (self.column(NUMBER, "t"), self.group("t"), self.order("t"), self.condition("t", depth)))

    def join(self, depth):
        how = self.pick(["join", "left join"])
        key = self.pick(["error", "pid", "syscall", "container"])
        condition = self.condition("t", depth)
        right = f"(select {key}, count(*) as n, max(ret) as m from events group by {key}) as r"
        text = f"select {{0}}, count(*) as n, sum(r.n) as s, max(r.m) as m from events as t {how} {right} on t.{key} = r.{key} where {{1}} group by 1"
        return Node("statement", text, (named([self.group("t")]), condition))

    def union(self, depth):
        how = self.pick(["union", "union all", "intersect", "except"])
        kind = self.pick([TEXT, NUMBER])
        one, two = (self.value(kind, "t", 1) for _ in range(2))
        text = f"select x, count(*) as n from (select {{0}} as x from events as t where {{1}} {how} select {{2}} as x from events as t where {{3}}) as u group by x"
        return Node("statement", text, (one, self.condition("t", depth - 1), two, self.condition("t", depth - 1)))

    def expression(self, depth):
        """Creates a query with conditions as columns and a common table expression."""
        conditions = named([self.condition("t", depth) for _ in range(self.pick([1, 2]))])
        numbers = ", ".join(f"g{number}" for number in range(len(conditions.children)))
        return Node("statement", f"with c as (select {{0}} from {self.source()}) select {numbers}, count(*) as n from c group by {numbers}", (conditions,))


def named(nodes, prefix="g"):
    """Returns a list of expressions with names."""
    children = [Node("column", f"{{0}} as {prefix}{number}", (node,)) for number, node in enumerate(nodes)]
    return items(children)
