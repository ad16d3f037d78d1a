/* Processes as a tree: each process below its parent. */
with recursive chosen as (
    select *, row_number() over (order by first_seen, pid, host, boot_id, exited, started) as number
    from processes
    where true
        {lives}
),
parents as (
    -- The parent is the process that had that pid at the time.
    select child.number, max(parent.number) as parent
    from chosen as child
    join chosen as parent
        on parent.host = child.host and coalesce(parent.boot_id, '') = coalesce(child.boot_id, '')
            and parent.pid = child.ppid and parent.number < child.number
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
    -- Deeper processes are listed at the end, without indentation: the branch names grow with the square of the depth.
    where tree.depth < 200
)
select p.container, p.pid, p.ppid, p.uid,
    repeat('  ', coalesce(tree.depth, 0)) || coalesce(p.argv, p.exe, p.comm, '?') as process,
    p.started, p.exited, p.exit_code, p.exit_signal{p.host}
from linked as p
left join tree on p.number = tree.number
order by coalesce(tree.branch, '~'), p.number
{limit}
