with life as (
    -- 65536 is CLONE_THREAD: a thread is no process. Where the flags are not known, it is one if it is heard of again.
    select host, child_pid as pid, pid as parent, time, seq, container, container_id, cast(null as integer) as ns_pid,
        uid, comm, exe, cast(null as varchar) as argv, cast(null as integer) as exit_code,
        cast(null as integer) as exit_signal, 'fork' as what,
        case when flags is null and syscall not in ('fork', 'vfork') then 5 else 4 end as worth
    from events
    where kind = 'syscall' and child_pid is not null and ret > 0 and (coalesce(flags, 0) & 65536) = 0
    union all
    select host, pid, ppid, time, seq, container, container_id, ns_pid, uid, comm, coalesce(path, exe), argv, null, null,
        'exec', 1
    from events
    where kind = 'syscall' and syscall in ('execve', 'execveat') and ret = 0
    union all
    select host, pid, ppid, time, seq, container, container_id, ns_pid, uid, comm, exe, null, exit_code, exit_signal,
        'exit', 2
    from events
    where kind = 'process' and action = 'exit'
    union all
    -- What ran before the recording began and has neither forked, executed nor exited since.
    select host, pid, min(ppid), min(time), min(seq), max(container), max(container_id), max(ns_pid), max(uid), max(comm),
        max(exe), null, null, null, 'seen', 3
    from events
    where kind = 'syscall' and pid is not null
    group by host, pid
),
turns as (
    -- A pid is used again after its process has exited: count the exits before each row.
    select life.*, coalesce(sum(case when what = 'exit' then 1 else 0 end)
        over (partition by host, pid order by time, seq rows between unbounded preceding and 1 preceding), 0) as turn
    from life
),
ranked as (
    -- The last exec tells best what the process is.
    select turns.*, row_number() over (partition by host, pid, turn order by worth, time desc, seq desc) as rank
    from turns
)
select max(case when rank = 1 then container end) as container,
    max(case when rank = 1 then container_id end) as container_id,
    host, pid,
    coalesce(max(case when what = 'fork' then parent end), max(case when rank = 1 then parent end)) as ppid,
    max(ns_pid) as ns_pid,
    max(case when rank = 1 then uid end) as uid,
    max(case when rank = 1 then comm end) as comm,
    max(case when rank = 1 then exe end) as exe,
    max(case when rank = 1 then argv end) as argv,
    min(case when what = 'fork' then time end) as started,
    min(time) as first_seen,
    max(case when what = 'exit' then time end) as exited,
    max(exit_code) as exit_code,
    max(exit_signal) as exit_signal
from ranked
group by host, pid, turn
having min(worth) < 5
