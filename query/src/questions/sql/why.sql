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
{lookups}
{waits}
states as (
    select *
    from events
    where kind = 'container'
        {container}
),
last_end as (
    -- The end of the last start; the same container may have ended and been started again.
    select time as stopped, exit_code, exit_signal, reason
    from states
    where action = 'stopped' and time >= coalesce((select max(time) from states where action in ('started', 'found')), time)
    order by time desc limit 1
),
facts as (
    select last_value(container order by time, seq) as container, max(container_id) as container_id, max(image) as image,
        max(runtime) as runtime, max(command) as command, count(case when action = 'started' then 1 end) as starts,
        coalesce(max(case when action = 'started' then time end), max(started)) as started, max(restarts) as restarts
    from states
),
failing as (
    select min(rank) as rank, coalesce(syscall || ' ', '') || error || coalesce(' ' || subject, '') as item, sum(calls) as calls,
        max(last_seen) as last
    from (
        select rank, syscall, error, subject, calls, last_seen from failures where routine is null
        union all
        select 1, 'dns', code, name || ' at ' || server, 1, time from lookups where action <> 'answered' and routine is null
    )
    group by syscall, error, subject
),
parts as (
    select 1 as part, 'container' as section, started as time,
        container || ' (' || substr(container_id, 1, 12) || ')' || coalesce(' from ' || image, '') || coalesce(', ' || runtime, '')
            || coalesce(', command: ' || command, '') || case when starts = 0 then ', began before it was recorded' else '' end
            || coalesce(', restarted ' || cast(case when restarts > 0 then restarts end as varchar) || ' times', '') as what, 0 as rank
    from facts where container_id is not null
    union all
    select 2, 'end', max(stopped),
        case
            when max(stopped) is null then 'not ended in the recording'
            else coalesce(nullif(max(reason), 'killed by a signal') || ', ', '')
                || coalesce('killed by ' || signal_name(max(exit_signal)), 'exit code ' || cast(max(exit_code) as varchar), 'no exit code is known')
        end, 0
    from last_end
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
    select 4, case when entered then 'set-up of an exec failed' else 'set-up failed' end, time, coalesce(syscall || ' ', '') || error || coalesce(' ' || subject, ''), row_number() over (order by time)
    from setup_failures
    union all
    select * from (
        -- What the container waits for comes before its failures as long as it runs.
        select case when (select count(*) from last_end) = 0 then 5 else 7 end as part, 'not returned', time, coalesce(comm, '?') || ': ' || text as what,
            row_number() over (order by rank, took desc, time, seq) as number
        from waits where state <> 'returned' or rank = 1
        order by number limit 5)
    union all
    select * from (
        select 6, 'failed', last, item || case when calls > 1 then ', ' || cast(calls as varchar) || ' times' else '' end as what,
            row_number() over (order by rank, last desc, item) as number
        from (select *, row_number() over (partition by rank order by last desc, item) as nth from failing)
        where rank < 3 or nth <= 3
        order by number limit 10)
    union all
    select * from (
        select 8, 'process ended', max(time) as time, coalesce(comm, exe, '?') || ': '
                || coalesce(signal_name(exit_signal), 'exit code ' || cast(exit_code as varchar))
                || case when count(*) > 1 then ', ' || cast(count(*) as varchar) || ' times' else '' end as what,
            row_number() over (order by max(time) desc, max(seq) desc) as number
        from scope
        where kind = 'process' and action = 'exit' and (exit_code <> 0 or exit_signal is not null) and {not_setup}
        group by comm, exe, exit_signal, exit_code
        order by number limit 10)
    union all
    select * from (
        select 9, 'executed', max(time) as time, coalesce(argv, path) || case when count(*) > 1 then ', ' || cast(count(*) as varchar) || ' times' else '' end as what,
            row_number() over (order by max(time) desc, max(seq) desc) as number
        from scope where kind = 'syscall' and syscall in ('execve', 'execveat') and ret = 0 and {not_setup}
        group by argv, path
        order by number limit 10)
    union all
    select * from (
        select 10, 'last calls', time, strace(scope) as what, row_number() over (order by time desc, seq desc) as number
        from scope where kind = 'syscall' and {not_setup}
        order by number limit 5)
)
select section, time, what
from parts
order by part, case when part < 8 then rank end, time, rank desc, what
{limit}
