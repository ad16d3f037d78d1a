-- Processes as a tree: each stands below the one that started it.
with recursive chosen as (
    select *, row_number() over (order by first_seen, pid) as number
    from processes
    where true
        {lives}
),
parents as (
    -- The parent is the process that had that pid at the time.
    select child.number, max(parent.number) as parent
    from chosen as child
    join chosen as parent
        on parent.host = child.host and parent.pid = child.ppid and parent.number < child.number
    group by child.number
),
linked as (
    select chosen.*, parents.parent
    from chosen
    left join parents on parents.number = chosen.number
),
tree as (
    select number, lpad(cast(number as varchar), 9, '0') as branch, cast(0 as bigint) as depth
    from linked
    where parent is null
    union all
    select linked.number, tree.branch || '/' || lpad(cast(linked.number as varchar), 9, '0'), tree.depth + 1
    from linked
    join tree on linked.parent = tree.number
    -- A chain that is longer than this is no tree that anybody reads, and an order that grows with its square.
    where tree.depth < 200
)
select p.container, p.pid, p.ppid, p.uid,
    repeat('  ', tree.depth) || coalesce(p.argv, p.exe, p.comm, '?') as process,
    p.started, p.exited, p.exit_code, p.exit_signal
from tree
join linked as p on p.number = tree.number
order by tree.branch
{limit}
