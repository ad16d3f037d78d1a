/* A recording of counts in a few sections: contents, containers, calls, failures. */
with scope as (
    select *
    from events
    where true
        {events}
),
calls as (
    select {name} as container, syscall, calls, errors, duration
    from scope
    where kind = 'counts' and {not_setup}
),
{recording}
parts as (
    select * from facts
    union all
    select 4, 'recording', 'calls counted', cast(coalesce(sum(calls), 0) as varchar), 0 from calls
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
order by part, rank, item, value
{limit}
