select container, container_id, host, boot_id,
    case
        when accepted > 0 then 'in'
        when connected > 0 or failed > 0 then 'out'
        -- Without a connection, the end that sends first is the client.
        when protocol in ('tcp', 'stream', 'seqpacket') then null
        when received_first is null or sent_first <= received_first then 'out'
        else 'in'
    end as direction,
    family, protocol, local_addr, local_port, peer_addr, peer_port, peer_path, dns_name, comm,
    first_seen, last_seen, accepted + connected as opened, failed, connect_error, calls, bytes_sent, bytes_received
from (
    select container, container_id, host, boot_id, family, protocol, local_addr, local_port, peer_addr, peer_port, peer_path,
        -- For a socket to a name server, dns_name is the name that was looked up, not the server's name.
        max(case when peer_port <> 53 then dns_name end) as dns_name, max(comm) as comm, min(time) as first_seen, max(time) as last_seen,
        count(*) as calls,
        count(case when operation = 'accept' and error is null then 1 end) as accepted,
        count(case when operation = 'connect' and coalesce(error, 'EINPROGRESS') = 'EINPROGRESS' then 1 end) as connected,
        count(case when operation = 'connect' and error not in ('EINPROGRESS', 'EALREADY', 'EISCONN', 'EINTR') then 1 end)
            as failed,
        max(case when operation = 'connect' and error not in ('EINPROGRESS', 'EALREADY', 'EISCONN', 'EINTR') then error end)
            as connect_error,
        min(case when operation = 'send' then time end) as sent_first,
        min(case when operation = 'receive' then time end) as received_first,
        cast(coalesce(sum(case when ret > 0 and operation = 'send' then bytes end), 0) as bigint) as bytes_sent,
        cast(coalesce(sum(case when ret > 0 and operation = 'receive' and not again then bytes end), 0) as bigint)
            as bytes_received
    from (
        -- 2 is MSG_PEEK, 8192 MSG_ERRQUEUE: the bytes are received again later, or were sent by the caller.
        select *, syscall in ('recv', 'recvfrom', 'recvmsg', 'recvmmsg', 'recvmmsg_time64', 'io_uring:recv',
            'io_uring:recvmsg') and (coalesce(flags, 0) & 8194) <> 0 as again,
        case
            when syscall in ('accept', 'accept4', 'io_uring:accept') then 'accept'
            when syscall in ('connect', 'io_uring:connect') then 'connect'
            -- A call between two fds: `fd` is the fd of the socket.
            when syscall = 'splice' and fd = arg0 or syscall in ('sendfile', 'sendfile64') and fd = arg1 then 'receive'
            when syscall in ('send', 'sendto', 'sendmsg', 'sendmmsg', 'write', 'writev', 'sendfile', 'sendfile64',
                'splice', 'io_uring:splice', 'io_uring:send', 'io_uring:sendmsg', 'io_uring:send_zc', 'io_uring:sendmsg_zc',
                'io_uring:write', 'io_uring:writev', 'io_uring:write_fixed', 'io_uring:writev_fixed') then 'send'
            when syscall in ('recv', 'recvfrom', 'recvmsg', 'recvmmsg', 'recvmmsg_time64', 'read', 'readv', 'io_uring:recv',
                'io_uring:recvmsg', 'io_uring:recv_zc', 'io_uring:read', 'io_uring:readv', 'io_uring:read_fixed',
                'io_uring:readv_fixed', 'io_uring:read_multishot') then 'receive'
        end as operation
        from events
        where kind = 'syscall' and family in ('inet', 'inet6', 'unix')
            and (peer_addr is not null or peer_path is not null)
            -- A bind that fails has the address that it asked for, not that of the socket.
            and not (syscall in ('bind', 'io_uring:bind') and error is not null)
            -- Port 0: nothing is sent, as when getaddrinfo(3) sorts addresses.
            and (peer_port is not null or coalesce(protocol, '') not in ('tcp', 'udp', 'udplite', 'mptcp', 'dccp', 'sctp'))
    ) as calls
    group by container, container_id, host, boot_id, family, protocol, local_addr, local_port, peer_addr, peer_port, peer_path
) as sockets
