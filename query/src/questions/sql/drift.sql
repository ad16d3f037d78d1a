/* Programs that were executed and are not from the image of the container: `origin` is `container` (written or changed since the
   container was created), `mount` (a bind mount or a volume) or `memory` (memfd_create(2)), or null if the recording tells that the
   container had written the file but not where the file lies. `written_by` is the thread that wrote, renamed or opened the file for
   writing last before the last run. The newest first. */
with runs as (
    select host, container, container_id, pid, path, path_arg, exe_origin, argv, comm, time, seq
    from events
    -- 65536 is AT_EXECVE_CHECK: the program was not executed.
    where kind = 'syscall' and syscall in ('execve', 'execveat') and ret = 0 and (syscall = 'execve' or (coalesce(flags, 0) & 65536) = 0)
        and path is not null and container_id is not null and {not_setup}
        {events}
),
opened as (
    -- Interpreters open a script by the name with which it was executed.
    select r.host as run_host, r.pid as run_pid, r.time as run_time, min(o.path) as opened
    from runs as r
    join events as o on o.host = r.host and o.pid = r.pid and o.path_arg = r.path_arg and o.time >= r.time
    where r.path_arg not like '/%' and o.kind = 'syscall' and o.syscall like 'open%' and o.error is null
    group by 1, 2, 3
),
programs as (
    -- A script has the path of its interpreter; `script` is its own.
    select host, container, container_id, path as program, exe_origin, case when path_arg like '/%' then path_arg else opened end as script,
        count(*) as runs, min(time) as first_run, max(time) as last_run,
        first_value(argv order by time, seq) as argv
    from runs
    left join opened on run_host = host and run_pid = pid and run_time = time
    group by 1, 2, 3, 4, 5, 6
),
written as (
    select host, container_id, time, seq, comm, case when operation = 'rename' then path2 else path end as path
    from files
    -- The two lowest bits of the flags of open(2): O_WRONLY, O_RDWR.
    where error is null and container_id is not null
        and (operation in ('write', 'rename', 'create') or operation = 'open' and (flags & 3) > 0)
),
sources as (
    -- The files of each program: the program itself, and its script.
    select host, container_id, program, script, exe_origin, last_run, program as file from programs
    union
    select host, container_id, program, script, exe_origin, last_run, script from programs where script is not null
),
writers as (
    select s.host, s.container_id, program, script, exe_origin, file, w.time as written, w.comm as written_by,
        row_number() over (partition by s.host, s.container_id, program, script, exe_origin order by w.time desc, w.seq desc) as number
    from sources as s
    join written as w on w.host = s.host and w.container_id = s.container_id and w.path = s.file
    where w.time <= last_run
)
select p.container{p.id}, coalesce(w.file, p.program) as path,
    -- The origin of a script is not recorded, only that of its interpreter.
    case when coalesce(w.file, p.program) = p.program then p.exe_origin end as origin, p.argv, p.runs,
    w.written_by, w.written, p.first_run, p.last_run{p.host}
from programs as p
left join writers as w
    on w.number = 1 and w.host = p.host and w.container_id = p.container_id and w.program = p.program
        and coalesce(w.script, '') = coalesce(p.script, '') and coalesce(w.exe_origin, '') = coalesce(p.exe_origin, '')
where p.exe_origin in ('container', 'mount', 'memory') or w.written_by is not null
order by p.first_run desc, p.container, p.container_id, p.program, p.script, p.exe_origin{p.host}
{limit}
