select container, container_id, host, boot_id,
    case
        when accepted > 0 then 'in'
        when connected > 0 or failed > 0 or begun > 0 then 'out'
        -- Without a connection, the end that sends first is the client.
        when protocol in ('tcp', 'stream', 'seqpacket') then null
        when received_first is null or sent_first <= received_first then 'out'
        else 'in'
    end as direction,
    family, protocol, local_addr, local_port, peer_addr, peer_port, peer_path, dns_name, comm,
    first_seen, last_seen, accepted + connected as opened, failed,
    case when begun > connected + failed then begun - connected - failed else 0 end as unknown,
    connect_error, calls, bytes_sent, bytes_received, setup = 1 as setup
from (
    -- A call, a row of kind connection, or both tell of a connection. The greater number counts, because rows may be lost.
    select container, container_id, host, boot_id, family, protocol, local_addr, local_port, peer_addr, peer_port, peer_path,
        dns_name, comm, first_seen, last_seen, connect_error, calls, sent_first, received_first, bytes_sent, bytes_received,
        setup,
        -- A second connect on a socket that waits is the same attempt.
        case when waiting > connect_calls + failed_calls then waiting else connect_calls + failed_calls end as begun,
        case when accept_calls > accepted_rows then accept_calls else accepted_rows end as accepted,
        case
            when connect_calls > connected_rows then connect_calls
            when connected_rows > 0 then connected_rows
            -- A connect that did not wait: a socket that has transferred bytes is connected.
            when waiting > failed_calls + failed_rows and bytes_sent + bytes_received > 0 then 1
            else 0
        end as connected,
        case when failed_calls > failed_rows then failed_calls else failed_rows end as failed
    from (
        select container, container_id, host, boot_id, family, protocol, local_port, peer_addr, peer_port, peer_path,
            -- The kernel clears the local address of a socket whose connect fails before the call returns, and not the port.
            max(local_addr) as local_addr,
            -- For a socket to a name server, dns_name is the name that was looked up, not the server's name.
            max(case when peer_port <> 53 then dns_name end) as dns_name, max(comm) as comm,
            min(time) as first_seen, max(time) as last_seen,
            count(syscall) as calls,
            min(case when setup then 1 when not setup then 0 end) as setup,
            count(case when operation = 'accept' and error is null then 1 end) as accept_calls,
            count(case when operation = 'established' and direction = 'in' then 1 end) as accepted_rows,
            count(case when operation = 'connect' and error is null then 1 end) as connect_calls,
            count(case when operation = 'established' and direction = 'out' then 1 end) as connected_rows,
            count(case when operation = 'connect' and error in ('EINPROGRESS', 'EINTR') then 1 end) as waiting,
            count(case when operation = 'connect' and is_failure then 1 end) as failed_calls,
            count(case when operation = 'failure' then 1 end) as failed_rows,
            max(case when is_failure then coalesce(error, action) end) as connect_error,
            min(case when operation = 'send' then time end) as sent_first,
            min(case when operation = 'receive' then time end) as received_first,
            cast(coalesce(sum(case when ret > 0 and operation = 'send' then bytes end), 0) as bigint) as bytes_sent,
            cast(coalesce(sum(case when ret > 0 and operation = 'receive' and not again then bytes end), 0) as bigint)
                as bytes_received
        from (
            select *,
                operation = 'failure' or operation = 'connect' and error is not null and error not like 'ERESTART%'
                    and error not in ('EINPROGRESS', 'EALREADY', 'EISCONN', 'EINTR') as is_failure
            from (
                -- 2 is MSG_PEEK, 8192 MSG_ERRQUEUE: the bytes are received again later, or were sent by the caller.
                select *, syscall in ('recv', 'recvfrom', 'recvmsg', 'recvmmsg', 'recvmmsg_time64', 'io_uring:recv',
                    'io_uring:recvmsg') and (coalesce(flags, 0) & 8194) <> 0 as again,
                case
                    when kind = 'connection' and action = 'established' then 'established'
                    -- The end of an established connection has a lifetime, and no duration.
                    when kind = 'connection' and duration is not null then 'failure'
                    when syscall in ('accept', 'accept4', 'io_uring:accept') then 'accept'
                    when syscall in ('connect', 'io_uring:connect') then 'connect'
                    -- A call between two fds: `fd` is the fd of the socket.
                    when syscall = 'splice' and fd = arg0 or syscall in ('sendfile', 'sendfile64') and fd = arg1
                        then 'receive'
                    when syscall in ('send', 'sendto', 'sendmsg', 'sendmmsg', 'write', 'writev', 'pwritev2', 'sendfile', 'sendfile64',
                        'splice', 'io_uring:splice', 'io_uring:send', 'io_uring:sendmsg', 'io_uring:send_zc',
                        'io_uring:sendmsg_zc', 'io_uring:write', 'io_uring:writev', 'io_uring:write_fixed',
                        'io_uring:writev_fixed') then 'send'
                    when syscall in ('recv', 'recvfrom', 'recvmsg', 'recvmmsg', 'recvmmsg_time64', 'read', 'readv',
                        'preadv2', 'io_uring:recv', 'io_uring:recvmsg', 'io_uring:recv_zc', 'io_uring:read', 'io_uring:readv',
                        'io_uring:read_fixed', 'io_uring:readv_fixed', 'io_uring:read_multishot') then 'receive'
                end as operation
                from events
                where kind in ('syscall', 'connection') and family in ('inet', 'inet6', 'unix')
                    and (peer_addr is not null or peer_path is not null)
                    -- A bind that fails has the address that it asked for, not that of the socket.
                    and not (syscall is not null and syscall in ('bind', 'io_uring:bind') and error is not null)
                    -- Port 0: nothing is sent, as when getaddrinfo(3) sorts addresses.
                    and (peer_port is not null
                        or coalesce(protocol, '') not in ('tcp', 'udp', 'udplite', 'mptcp', 'dccp', 'sctp'))
            ) as operations
        ) as calls
        group by container, container_id, host, boot_id, family, protocol, local_port, peer_addr, peer_port, peer_path
    ) as sums
) as sockets
