/* Peers. A port from 32768 to 60999, Linux' default for clients, is null. `action` is the direction, or null if only the ports tell. */
select coalesce(container_id, container) as id, protocol, peer_addr, peer_path, generalize(max(case when peer_port <> 53 then dns_name end)) as name,
    max(case when peer_port <> 53 then dns_name end) as dns_name,
    case when local_port between 32768 and 60999 then null else local_port end as local_port,
    case when peer_port between 32768 and 60999 then null else peer_port end as peer_port,
    coalesce(direction, case when syscall in ('accept', 'accept4', 'io_uring:accept') then 'in'
        when syscall in ('connect', 'io_uring:connect') then 'out' end) as direction,
    count(*) as n, cast(min(time) as bigint) as first_seen
from events
where kind in ('syscall', 'connection') and family in ('inet', 'inet6', 'unix') and (peer_addr is not null or peer_path is not null)
    and (error is null or error in ('EINPROGRESS', 'EAGAIN', 'EINTR', 'EALREADY', 'EISCONN')) and {not_setup}
    and coalesce(syscall, '') not in ('bind', 'io_uring:bind')
    -- Port 0: nothing is sent, as when getaddrinfo(3) sorts addresses.
    and (peer_port is not null or coalesce(protocol, '') not in ('tcp', 'udp', 'udplite', 'mptcp', 'dccp', 'sctp'))
    -- An attempt that failed is an error.
    and (kind = 'syscall' or action in ('established', 'closed', 'reset'))
    {events}
group by 1, 2, 3, 4, 7, 8, 9
