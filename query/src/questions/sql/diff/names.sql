/* Names that were looked up, by the outcome. */
with scope as (
    select *
    from events
    where true
        {events}
),
{lookups}
asked_for as (
    select coalesce(container_id, container) as id, generalize(name) as subject, code as action, min(name) as example, count(*) as n,
        min(time) as first_seen
    from lookups
    where routine is null and name is not null
    group by 1, 2, 3
)
select id, subject, action, example, cast(null as varchar) as alias, case when action = 'NOERROR' then 2 else 1 end as rank, n,
    cast(first_seen as bigint) as first_seen
from asked_for
