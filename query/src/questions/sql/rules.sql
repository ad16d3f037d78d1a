/* The findings of the rules: a row for each rule, container, process and subject, alerts first. Events of set-up are no findings. */
with
{findings}
select level, rule, first_seen, last_seen, container{id}, comm, pid, exe, subject, count, description{host}
from findings
order by rank, first_seen, rule, container, container_id, subject, comm
{limit}
