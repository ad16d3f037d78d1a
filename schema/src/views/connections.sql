select container, container_id, host,
    case
        when accepted > 0 then 'in'
        when connected > 0 or failed > 0 then 'out'
        -- A socket with no connection: who spoke first, asked.
        when protocol in ('tcp', 'stream', 'seqpacket') then null
        when received_first is null or sent_first <= received_first then 'out'
        else 'in'
    end as direction,
    family, protocol, local_addr, local_port, peer_addr, peer_port, peer_path, dns_name, comm,
    first_seen, last_seen, accepted + connected as opened, failed, connect_error, calls, bytes_sent, bytes_received
from (
    select container, container_id, host, family, protocol, local_addr, local_port, peer_addr, peer_port, peer_path,
        -- To a name server it is the name that was asked for.
        max(case when peer_port <> 53 then dns_name end) as dns_name, max(comm) as comm, min(time) as first_seen, max(time) as last_seen,
        count(*) as calls,
        count(case when syscall in ('accept', 'accept4') and error is null then 1 end) as accepted,
        count(case when syscall = 'connect' and coalesce(error, 'EINPROGRESS') = 'EINPROGRESS' then 1 end) as connected,
        count(case when syscall = 'connect' and error not in ('EINPROGRESS', 'EALREADY', 'EISCONN', 'EINTR') then 1 end)
            as failed,
        max(case when syscall = 'connect' and error not in ('EINPROGRESS', 'EALREADY', 'EISCONN', 'EINTR') then error end)
            as connect_error,
        min(case when syscall in ('send', 'sendto', 'sendmsg', 'sendmmsg', 'write', 'writev') then time end) as sent_first,
        min(case when syscall in ('recv', 'recvfrom', 'recvmsg', 'recvmmsg', 'read', 'readv') then time end)
            as received_first,
        cast(coalesce(sum(case when ret > 0 and syscall in ('send', 'sendto', 'sendmsg', 'sendmmsg', 'write', 'writev',
            'sendfile', 'sendfile64', 'splice') then bytes end), 0) as bigint) as bytes_sent,
        -- 2 is MSG_PEEK: those bytes are received again by a later call.
        cast(coalesce(sum(case when ret > 0 and (syscall in ('read', 'readv') or (coalesce(flags, 0) & 2) = 0
            and syscall in ('recv', 'recvfrom', 'recvmsg', 'recvmmsg')) then bytes end), 0) as bigint) as bytes_received
    from events
    where kind = 'syscall' and family in ('inet', 'inet6', 'unix') and (peer_addr is not null or peer_path is not null)
    group by container, container_id, host, family, protocol, local_addr, local_port, peer_addr, peer_port, peer_path
) as sockets
