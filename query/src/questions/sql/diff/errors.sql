/* Failed calls, without those that are part of normal work and those that seccomp refused. */
with scope as (
    select *
    from events
    where true
        {events}
),
{failures}
{setup_failures}
lines as (
    select coalesce(container_id, container) as id, 0 as rank, coalesce(subject, '') as example,
        case when entered then 'set-up of an exec failed' else 'set-up failed' end || coalesce(' ' || syscall, '') || coalesce(' ' || error, '')
            as action,
        generalize(coalesce(subject, '')) as subject, 1 as n, time as first_seen
    from setup_failures
    union all
    select coalesce(container_id, container), rank, coalesce(subject, ''), syscall || ' ' || error,
        -- An address is not a name.
        case when class = 'network' and subject not like '/%' then subject else generalize(coalesce(subject, '')) end, calls, first_seen
    from failures
    where routine is null and not denied
)
select id, subject, action, min(example) as example, cast(null as varchar) as alias, min(rank) as rank, sum(n) as n,
    cast(min(first_seen) as bigint) as first_seen
from lines
group by 1, 2, 3
