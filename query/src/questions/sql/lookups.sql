asked as (
    select time, duration, host, container, container_id, comm, action, dns_name as name, dns_type as type,
        peer_addr || ':' || cast(peer_port as varchar) as server, coalesce(dns_code, error, 'no answer') as code, dns_answers as answers,
        -- The shortest name that the process asked for within five seconds with the same first label.
        min(lpad(cast(length(dns_name) as varchar), 4, '0') || dns_name) over (
            partition by host, container_id, pid, split_part(dns_name, '.', 1) order by cast(time as bigint)
            range between 5000000000 preceding and 5000000000 following) as shortest,
        -- The next answer of the process to a name with the same first label: 19 digits of time, and the name.
        min(case when dns_answers <> '[]' then lpad(cast(cast(time as bigint) as varchar), 19, '0') || dns_name end) over (
            partition by host, container_id, pid, split_part(dns_name, '.', 1) order by time desc
            rows between unbounded preceding and current row) as next
    from scope
    where kind = 'dns' and {not_setup}
),
lookups as (
    -- Questions to name servers, with the name of what is routine: a name to which a resolver has added a domain of its search list,
    -- if the name without the domain was asked for too, or found with a shorter domain of the list.
    select *, case
        when action = 'abandoned' then 'answered by another server'
        when code = 'NXDOMAIN' and (starts_with(name, substr(shortest, 5) || '.')
            or cast(substr(next, 1, 19) as bigint) - cast(time as bigint) <= 5000000000 and length(next) - 19 < length(name)
                and (ends_with(name, substr(next, 20 + length(substr_index(name, '.', 1)))) and starts_with(substr(next, 20), substr_index(name, '.', 1))
                    or ends_with(name, substr(next, 20 + length(substr_index(name, '.', 2)))) and starts_with(substr(next, 20), substr_index(name, '.', 2))
                    or ends_with(name, substr(next, 20 + length(substr_index(name, '.', 3)))) and starts_with(substr(next, 20), substr_index(name, '.', 3))
                    or ends_with(name, substr(next, 20 + length(substr_index(name, '.', 4)))) and starts_with(substr(next, 20), substr_index(name, '.', 4))))
            then 'search domain'
        end as routine
    from asked
),
