/* A recording of counts in a few sections: what, who, which calls, what failed. */
with scope as (
    select *
    from events
    where true
        {events}
),
calls as (
    select coalesce(container, '?') as container, syscall, calls, errors, duration
    from scope
    where kind = 'counts'
),
origins as (
    -- What the recordings say of themselves, each value once.
    select replace(key, 'ctrace.', '') as item, value, count(*) as recordings,
        row_number() over (partition by key order by count(*) desc, value) as number
    from meta
    where key in ('ctrace.host', 'ctrace.kernel', 'ctrace.arch', 'ctrace.producer')
    group by key, value
),
parts as (
    select 0 as part, 'recording' as section, 'recordings' as item, cast(count(distinct recording) as varchar) as value, 0 as rank
    from meta having count(distinct recording) > 1
    union all
    select 1, 'recording', item,
        case when count(*) = 1 then max(value)
            else string_agg(case when number <= 5 then value || ' (' || cast(recordings as varchar) || ')' end, ', ' order by number)
                || case when count(*) > 5 then ' and ' || cast(count(*) - 5 as varchar) || ' more' else '' end
        end, 0
    from origins group by item
    union all
    select 2, 'recording', 'from', to_char(min(time), '%Y-%m-%d %H:%M:%S%.3f'), 0 from scope
    union all
    select 3, 'recording', 'to', to_char(max(time), '%Y-%m-%d %H:%M:%S%.3f'), 0 from scope
    union all
    select 4, 'recording', 'calls counted', cast(coalesce(sum(calls), 0) as varchar), 0 from calls
    union all
    select 5, 'recording', 'lost', cast(coalesce(sum(lost), 0) as varchar), 0 from scope
    union all
    select 6, 'calls of container', container, cast(sum(calls) as varchar), -sum(calls) from calls group by container
    union all
    select * from (
        select 7, 'top calls', syscall, cast(sum(calls) as varchar) as value, -sum(calls) as rank
        from calls group by syscall order by rank, syscall limit 5)
    union all
    select * from (
        select 8, 'time in calls', syscall, human_duration(sum(duration)) as value, -sum(duration) as rank
        from calls where duration > 0 group by syscall order by rank, syscall limit 5)
    union all
    select * from (
        select 9, 'failed calls', container || ' ' || syscall, cast(sum(errors) as varchar) as value, -sum(errors) as rank
        from calls where errors > 0 group by container, syscall order by rank, container, syscall limit 5)
)
select section, item, value
from parts
where value is not null
order by part, rank, item
{limit}
