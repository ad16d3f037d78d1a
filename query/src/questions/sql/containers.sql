/* Containers and how busy they were. */
with boots as (
    -- After a boot, a pid belongs to another process.
    select coalesce(container_id, container) as container_key, host, boot_id,
        count(case when kind = 'syscall' and {not_setup} then 1 end) as calls,
        count(case when kind = 'syscall' and {not_setup} then error end) as errors,
        count(case when denied and {not_setup} then 1 end) as denied,
        count(distinct case when {not_setup} then pid end) as processes,
        coalesce(sum(lost), 0) as lost
    from events
    where container is not null
        {events}
    group by coalesce(container_id, container), host, boot_id
),
activity as (
    select container_key, host, sum(calls) as calls, sum(errors) as errors, sum(denied) as denied,
        sum(processes) as processes, sum(lost) as lost
    from boots
    group by container_key, host
)
select c.container, substr(c.container_id, 1, 12) as id, c.image, c.runtime, c.pod, c.namespace, c.started, c.stopped,
    a.processes, a.calls, a.errors, a.denied, a.lost{c.host}
from activity as a
join containers as c
    on c.host = a.host and coalesce(c.container_id, c.container) = a.container_key
order by a.calls desc, c.container, c.container_id, c.host
{limit}
