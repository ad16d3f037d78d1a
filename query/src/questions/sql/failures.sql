found as (
    -- The names that a search for a file or a program found in the end, as in $PATH or the directories of libraries.
    select distinct host, owner, comm, split_part(path, '/', -1) as name
    from (
        select host, coalesce(container_id, '') as owner, comm, syscall, path
        from scope
        where kind = 'syscall' and error is null and path is not null
        group by 1, 2, 3, 4, 5
    )
    where syscall like 'open%' or syscall like '%stat%' or syscall like '%access%' or syscall like 'exec%'
),
failed as (
    -- A call, a row of kind connection, or both tell of a failed connection. The greater number counts.
    select host, coalesce(container_id, '') as owner, container, container_id, class, coalesce(syscall, 'connect') as syscall,
        coalesce(error, action) as error, comm, coalesce(denied, false) as denied,
        coalesce(path, peer_addr || ':' || case
            -- Each connection of a client has another port.
            when peer_port >= 32768 and syscall <> 'connect' and not {all} then '*'
            else cast(peer_port as varchar)
        end, peer_path, path_arg) as subject,
        greatest(count(syscall), count(case when kind = 'connection' then 1 end)) as calls,
        min(time) as first_seen, max(time) as last_seen
    from scope
    -- The end of an established connection has no duration.
    where {not_setup} and ({failed} or kind = 'connection' and action <> 'established' and duration is not null)
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
),
failures as (
    select failed.*,
        case when not {all} then coalesce({routine}, case
            when error = 'ENOENT' and (name is not null or subject like '/etc/ld.so.%' or subject like '%/glibc-hwcaps%')
                then 'found elsewhere'
        end) end as routine,
        {rank} as rank
    from failed
    left join found
        on found.host = failed.host and found.owner = failed.owner and found.comm = failed.comm
            and found.name = split_part(failed.subject, '/', -1)
),
