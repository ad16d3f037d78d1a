tried as (
    -- What searches try: programs in $PATH, libraries and modules in their directories, and names that are only asked about.
    select host, tid, split_part(path, '/', -1) as name, path, time, seq, error is not null as missing
    from scope
    where kind = 'syscall' and path is not null and (error is null or error = 'ENOENT') and not {all} and {not_setup}
        and (syscall like 'exec%' or syscall like '%stat%' or syscall like '%access%' or syscall like 'open%'
            and (path like '%.so' or path like '%.so.%' or path like '%.py' or path like '%.pyc' or path like '%/package.json'))
),
sought as (
    select *,
        -- The next time at which the thread found the name, and where: 19 digits, and the path.
        min(case when not missing then lpad(cast(cast(time as bigint) as varchar), 19, '0') || path end) over (
            partition by host, tid, name order by time desc, seq desc rows between unbounded preceding and current row) as next
    from tried
),
searched as (
    -- The calls that looked for a name in vain which the same thread found elsewhere within a second.
    select distinct host as found_host, tid as found_tid, time as found_time, seq as found_seq
    from sought
    where missing and substr(next, 20) <> path and cast(substr(next, 1, 19) as bigint) - cast(time as bigint) <= 1000000000
),
failed as (
    -- A call, a row of kind connection, or both tell of a failed connection. The greater number counts.
    select host, container, container_id, class, coalesce(syscall, 'connect') as syscall,
        coalesce(error, action) as error, comm, coalesce(denied, false) as denied, found_seq is not null as found,
        coalesce(path, peer_addr || ':' || case
            -- Each connection of a client has another port.
            when peer_port >= 32768 and syscall <> 'connect' and not {all} then '*'
            else cast(peer_port as varchar)
        end, peer_path, case when syscall = 'bind' then coalesce(local_addr, '*') || ':' || cast(local_port as varchar) end, path_arg)
            as subject,
        greatest(count(syscall), count(case when kind = 'connection' then 1 end)) as calls,
        min(time) as first_seen, max(time) as last_seen{bucket}
    from scope
    left join searched on found_host = host and found_tid = tid and found_time = time and found_seq = seq
    -- The end of an established connection has no duration.
    where {not_setup} and ({failed} or kind = 'connection' and action <> 'established' and duration is not null)
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10{by_bucket}
),
failures as (
    select *,
        case when not {all} then coalesce({routine}, case
            when found then 'found elsewhere'
            when {optional} then 'optional file'
        end) end as routine,
        {rank} as rank
    from failed
),
