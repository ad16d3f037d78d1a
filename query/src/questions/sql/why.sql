/* The last minute of a container's life: what it was, how it ended and who ended it, what failed in this minute, which calls
   have not returned, which programs it executed, and its last calls. */
with scope as (
    select *
    from events
    where container_id is not null
        {events}
),
{failures}
{setup_failures}
facts as (
    select max(container) as container, max(container_id) as container_id, max(image) as image, max(runtime) as runtime,
        max(command) as command, min(case when action = 'started' then time end) as started,
        max(case when action = 'stopped' then time end) as stopped, max(exit_code) as exit_code, max(exit_signal) as exit_signal,
        max(reason) as reason, max(restarts) as restarts
    from events
    where kind = 'container'
        {container}
),
parts as (
    select 1 as part, 'container' as section, started as time,
        container || ' (' || substr(container_id, 1, 12) || ')' || coalesce(' from ' || image, '') || coalesce(', ' || runtime, '')
            || coalesce(', command: ' || command, '')
            || coalesce(', restarted ' || cast(case when restarts > 0 then restarts end as varchar) || ' times', '') as what, 0 as rank
    from facts where container_id is not null
    union all
    select 2, 'end', stopped,
        case
            when stopped is null then 'not ended in the recording'
            else coalesce(reason || ', ', '')
                || coalesce('killed by ' || signal_name(exit_signal), 'exit code ' || cast(exit_code as varchar), 'no exit code is known')
        end, 0
    from facts where container_id is not null
    union all
    select 3, 'signal', time,
        case action
            when 'out of memory' then 'out of memory: the kernel killed ' || coalesce(comm, '?')
                || coalesce(', with a limit of ' || human_bytes(memory_limit), '')
            else coalesce(signal_name(signal), '?') || ' to ' || coalesce(comm, '?') || ' from '
                || coalesce(sender_comm || coalesce(' in ' || sender_container, ''), 'the kernel')
                || case when action = 'ignored' then ', which ignored it' else '' end
        end, row_number() over (order by time, seq)
    from scope where kind = 'signal'
    union all
    select 4, 'set-up failed', time, syscall || ' ' || error || coalesce(' ' || subject, ''), row_number() over (order by time)
    from setup_failures
    union all
    select * from (
        select 5, 'failed', min(first_seen), syscall || ' ' || error || coalesce(' ' || subject, '')
                || case when sum(calls) > 1 then ', ' || cast(sum(calls) as varchar) || ' times' else '' end as what,
            row_number() over (order by min(rank), sum(calls) desc, syscall, error, subject) as number
        from failures where routine is null
        group by syscall, error, subject
        order by number limit 10)
    union all
    select * from (
        select 6, 'not returned', time, coalesce(comm, '?') || ': ' || strace(scope) as what, row_number() over (order by time, seq) as number
        from scope
        where kind = 'syscall' and ret is null and not coalesce(denied, false) and syscall not in ('exit', 'exit_group') and {not_setup}
        order by number limit 5)
    union all
    select * from (
        select 7, 'process ended', time, coalesce(comm, exe, '?') || ': '
                || coalesce(signal_name(exit_signal), 'exit code ' || cast(exit_code as varchar)) as what,
            row_number() over (order by time desc, seq desc) as number
        from scope
        where kind = 'process' and action = 'exit' and (exit_code <> 0 or exit_signal is not null) and {not_setup}
        order by number limit 10)
    union all
    select * from (
        select 8, 'executed', time, coalesce(argv, path) as what, row_number() over (order by time desc, seq desc) as number
        from scope where kind = 'syscall' and syscall in ('execve', 'execveat') and ret = 0 and {not_setup}
        order by number limit 10)
    union all
    select * from (
        select 9, 'last calls', time, strace(scope) as what, row_number() over (order by time desc, seq desc) as number
        from scope where kind = 'syscall' and {not_setup}
        order by number limit 5)
)
select section, time, what
from parts
order by part, case when part < 7 then rank end, time, rank desc, what
{limit}
