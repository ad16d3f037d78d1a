with life as (
    -- 65536 is CLONE_THREAD, which creates a thread instead of a process. A child whose flags are not known (priority 5) is a
    -- process if it has other rows.
    select host, boot_id, child_pid as pid, pid as parent, time, seq, container, container_id, cast(null as integer) as ns_pid,
        uid, comm, exe, cast(null as varchar) as argv, cast(null as integer) as exit_code,
        cast(null as integer) as exit_signal,
        case when setup then 1 when not setup then 0 end as setup, case when entered then 1 when not entered then 0 end as entered,
        'fork' as evidence,
        case when flags is null and syscall not in ('fork', 'vfork') then 5 else 4 end as priority,
        -- A null of the type of a time.
        case when 1 = 0 then time end as began
    from events
    where kind = 'syscall' and child_pid is not null and (ret > 0 or ret is null) and (coalesce(flags, 0) & 65536) = 0
    union all
    select host, boot_id, pid, ppid, time, seq, container, container_id, ns_pid, uid, comm, coalesce(path, exe), argv, null, null,
        case when setup then 1 when not setup then 0 end, case when entered then 1 when not entered then 0 end,
        'exec', 1, null
    from events
    -- 65536 is AT_EXECVE_CHECK: the program was not executed.
    where kind = 'syscall' and syscall in ('execve', 'execveat') and ret = 0
        and (syscall = 'execve' or (coalesce(flags, 0) & 65536) = 0)
    union all
    select host, boot_id, pid, ppid, time, seq, container, container_id, ns_pid, uid, comm, exe, null, exit_code, exit_signal,
        case when setup then 1 when not setup then 0 end, case when entered then 1 when not entered then 0 end,
        'exit', 2, null
    from events
    where kind = 'process' and action = 'exit'
    union all
    -- Processes that ran when the recording began.
    select host, boot_id, pid, ppid, time, seq, container, container_id, ns_pid, uid, comm, exe, argv, null, null,
        case when setup then 1 when not setup then 0 end, case when entered then 1 when not entered then 0 end,
        'found', 1, started
    from events
    where kind = 'process' and action = 'found'
    union all
    -- All pids that made calls. These rows matter for processes that started before the recording and neither exec nor exit.
    select host, boot_id, pid, min(ppid), min(time), min(seq), max(container), max(container_id), max(ns_pid), max(uid), max(comm),
        max(exe), null, null, null,
        min(case when setup then 1 when not setup then 0 end), max(case when entered then 1 when not entered then 0 end), 'seen', 3, null
    from events
    where kind = 'syscall' and pid is not null
    group by host, boot_id, pid
),
generations as (
    -- The kernel reuses a pid after its process has exited, and no process of another boot has it. The number of forks and of
    -- earlier exits distinguishes the processes of a pid, even if a fork or an exit was lost.
    select life.*,
        sum(case when evidence = 'fork' then 1 else 0 end)
            over (partition by host, boot_id, pid order by time, seq, priority rows between unbounded preceding and current row) as forks,
        coalesce(sum(case when evidence = 'exit' then 1 else 0 end)
            over (partition by host, boot_id, pid order by time, seq, priority rows between unbounded preceding and 1 preceding), 0) as exits
    from life
),
ranked as (
    -- The last exec describes the process best.
    select generations.*,
        row_number() over (partition by host, boot_id, pid, forks, exits order by priority, time desc, seq desc, evidence) as rank,
        row_number() over (partition by host, boot_id, pid, forks, exits order by priority, time, seq, evidence) as first_rank
    from generations
)
select max(case when rank = 1 then container end) as container,
    max(case when rank = 1 then container_id end) as container_id,
    host, boot_id, pid,
    coalesce(max(case when evidence = 'fork' then parent end), max(case when rank = 1 then parent end)) as ppid,
    max(ns_pid) as ns_pid,
    max(case when rank = 1 then uid end) as uid,
    max(case when rank = 1 then comm end) as comm,
    -- Without the right to trace processes, the recorder cannot read the executables of those that it finds.
    coalesce(max(case when rank = 1 then exe end), max(case when evidence = 'seen' then exe end)) as exe,
    max(case when rank = 1 then argv end) as argv,
    max(case when first_rank = 1 then argv end) as first_argv,
    cast(count(case when evidence = 'exec' then 1 end) as bigint) as execs,
    -- A fork is a call of the parent.
    coalesce(min(case when evidence <> 'fork' then setup end), min(setup)) = 1 as setup, max(entered) = 1 as entered,
    coalesce(min(case when evidence = 'fork' then time end), min(began)) as started,
    min(time) as first_seen,
    max(case when evidence = 'exit' then time end) as exited,
    max(exit_code) as exit_code,
    max(exit_signal) as exit_signal
from ranked
group by host, boot_id, pid, forks, exits
having min(priority) < 5
