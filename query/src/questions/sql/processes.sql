/* Processes as a tree: each process below its parent, with all programs that it executed, one after the other. `entered`: the
   process, or an ancestor, came into the container from outside after its start, as with `docker exec`. */
with recursive chosen as (
    select *, row_number() over (order by first_seen, pid, host, boot_id, exited, started) as number
    from processes
    where {not_setup}
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
),
programs as (
    select c.number, string_agg(e.argv, ' → ' order by e.time, e.seq) as commands
    from chosen as c
    join events as e on e.host = c.host and coalesce(e.boot_id, '') = coalesce(c.boot_id, '') and e.pid = c.pid
    -- 65536 is AT_EXECVE_CHECK: the program was not executed.
    where c.execs > 1 and e.kind = 'syscall' and e.syscall in ('execve', 'execveat') and e.ret = 0
        and (e.syscall = 'execve' or (coalesce(e.flags, 0) & 65536) = 0)
        and e.time >= c.first_seen and (c.exited is null or e.time <= c.exited)
    group by c.number
),
restarted as (
    select c.number, max(e.restarts) as restarts
    from chosen as c
    join events as e on e.host = c.host and e.container_id = c.container_id
    where c.ns_pid = 1 and e.kind = 'container' and e.restarts > 0 and (c.exited is null or e.time <= c.exited)
    group by c.number
)
select p.container{p.id}, p.pid, p.ppid, p.uid,
    repeat('  ', coalesce(tree.depth, 0)) || coalesce(programs.commands, p.argv, p.comm, p.exe, '?') as process,
    p.started, p.exited, p.exit_code, p.exit_signal, case when p.entered then true end as entered, restarted.restarts{p.host}
from linked as p
left join tree on p.number = tree.number
left join programs on p.number = programs.number
left join restarted on p.number = restarted.number
order by coalesce(tree.branch, '~'), p.number
{limit}
