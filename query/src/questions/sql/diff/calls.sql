/* Calls by container, result and slice of time, with a histogram of their durations. */
select coalesce(container_id, container) as id,
    coalesce(syscall, case kind when 'dns' then 'dns question' else 'tcp handshake' end) as name, error, coalesce(denied, false) as denied,
    {slice} as slice, count(*) as n, cast(min(time) as bigint) as first_seen, histograms(duration) as durations
from events
where (kind = 'syscall' or kind = 'dns' and action = 'answered' or kind = 'connection' and action = 'established') and {not_setup}
    and {in_span}
    {events}
group by 1, 2, 3, 4, 5
