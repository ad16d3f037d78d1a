asked as (
    select time, duration, host, coalesce(container_id, '') as owner, container, container_id, comm, action, dns_name as name,
        dns_type as type, peer_addr || ':' || cast(peer_port as varchar) as server, coalesce(dns_code, error, 'no answer') as code,
        dns_answers as answers
    from scope
    where kind = 'dns' and {not_setup}
),
names as (
    select host, owner, comm, name, split_part(name, '.', 1) as label,
        split_part(name, '.', -2) || '.' || split_part(name, '.', -1) as top,
        count(case when code = 'NXDOMAIN' then 1 end) > 0 as missing, count(case when answers <> '[]' then 1 end) > 0 as found
    from asked
    group by 1, 2, 3, 4
),
searched as (
    -- Names to which a resolver has added a domain of its search list: without the domain, the name was asked for too, or it was
    -- found in another domain of the same parent.
    select distinct a.host, a.owner, a.comm, a.name
    from names as a
    join names as b on b.host = a.host and b.owner = a.owner and b.comm = a.comm and b.label = a.label
    where a.missing and a.name <> b.name and (starts_with(a.name, b.name || '.') or b.found and b.top = a.top)
),
lookups as (
    -- Questions to name servers, with the name of what is routine.
    select asked.*, case
        when action = 'abandoned' then 'answered by another server'
        when code = 'NXDOMAIN' and searched.name is not null then 'search domain'
        end as routine
    from asked
    left join searched on searched.host = asked.host and searched.owner = asked.owner and searched.comm = asked.comm
        and searched.name = asked.name
),
