/* Files by container, the most used first; those on bind mounts and volumes with their path on the machine. */
select container{id}, path{bucket}, max(host_path) as host_path, count(*) as calls,
    count(case when operation = 'open' then 1 end) as opens,
    count(case when operation = 'exec' then 1 end) as execs,
    coalesce(sum(case when operation = 'read' then bytes end), 0) as bytes_read,
    coalesce(sum(case when operation = 'write' then bytes end), 0) as bytes_written,
    count(error) as failed, max(error) as error, max(comm) as comm, min(time) as first_seen, max(time) as last_seen{host}
from files
where {not_setup}
    {events}
group by container, container_id, path{by_bucket}{host}
order by calls desc, container, container_id, path{host}
{limit}
