with ends as (
    -- An IPv6 socket with an IPv4 peer has mapped addresses on its side only.
    select container, container_id, host, coalesce(boot_id, '') as boot, direction, family, protocol, local_port, peer_port,
        peer_path, first_seen, last_seen, opened, failed, bytes_sent, bytes_received,
        replace(local_addr, '::ffff:', '') as local_addr, replace(peer_addr, '::ffff:', '') as peer_addr
    from connections
    where setup is not true
),
lives as (
    select container, container_id, host, coalesce(boot_id, '') as boot, min(time) as first_seen, max(time) as last_seen
    from events
    where container is not null
    group by container, container_id, host, boot_id
),
addresses as (
    select used.container, used.container_id, used.host, used.boot, used.local_addr, lives.first_seen, lives.last_seen
    from (
        select distinct container, container_id, host, boot, local_addr
        from ends
        where local_addr is not null and local_addr not in ('0.0.0.0', '::', '::1') and local_addr not like '127.%'
    ) as used
    join lives on lives.host = used.host and lives.boot = used.boot and lives.container = used.container
        and coalesce(lives.container_id, '') = coalesce(used.container_id, '')
),
owners as (
    -- An address belongs to a container from the container's start until a later container has the address.
    select a.container, a.container_id, a.host, a.boot, a.local_addr, a.first_seen, min(later.first_seen) as replaced
    from addresses as a
    left join addresses as later on later.host = a.host and later.boot = a.boot and later.local_addr = a.local_addr
        and later.first_seen > a.last_seen
    group by a.container, a.container_id, a.host, a.boot, a.local_addr, a.first_seen
),
places as (
    select distinct host, local_addr from addresses
),
shared as (
    -- Devices and kernel files are excluded: each container has its own under the same names. (`like` would ignore case in
    -- SQLite, and exclude `/Proc` too.) So is the set-up of containers by their runtime, which recordings before
    -- version 1.5 tell by the name of runc's threads.
    select container, container_id, host, coalesce(boot_id, '') as boot, dev, inode, operation, path,
        substr(path, length(rtrim(path, replace(path, '/', ''))) + 1) as name,
        min(time) as first_seen, max(time) as last_seen, cast(sum(bytes) as bigint) as bytes
    from files
    where operation in ('read', 'write') and bytes > 0 and dev is not null and inode is not null
        and substr(path, 1, 6) <> '/proc/' and substr(path, 1, 5) <> '/sys/'
        and (substr(path, 1, 5) <> '/dev/' or substr(path, 1, 9) = '/dev/shm/')
        and not coalesce(setup, substr(comm, 1, 6) = 'runc:[', false)
    group by container, container_id, host, boot_id, dev, inode, operation, path
),
deleted as (
    select container, coalesce(container_id, '') as container_id, host, coalesce(boot_id, '') as boot, path, time
    from files
    where operation = 'delete' and ret = 0
    union all
    -- 3: RENAME_NOREPLACE and RENAME_EXCHANGE, which delete nothing.
    select container, coalesce(container_id, ''), host, coalesce(boot_id, ''), path2, time
    from files
    where operation = 'rename' and ret = 0 and path2 is not null and (coalesce(flags, 0) & 3) = 0
),
pairs as (
    -- Both ends of one connection: local and peer ports and addresses are exchanged. The address of an unbound socket is a
    -- wildcard. With a service address (DNAT), both sides agree on the client's end only. If a host has an address itself,
    -- its containers do not reach another host's container at that address. A connection does not outlive a boot.
    select c.container as source, c.container_id as source_id, c.host as source_host,
        s.container as target, s.container_id as target_id, s.host as target_host,
        c.protocol, s.local_addr || ':' || cast(s.local_port as varchar) as address,
        case when c.opened > 1 then c.opened else 1 end as connections, c.failed,
        c.bytes_sent, c.bytes_received, c.first_seen, c.last_seen
    from ends as c
    join ends as s on c.protocol = s.protocol and c.local_port = s.peer_port
    left join places as near on near.host = c.host and near.local_addr = c.peer_addr
    left join places as far on far.host = s.host and far.local_addr = s.peer_addr
    where coalesce(c.direction, 'out') = 'out' and coalesce(s.direction, 'in') = 'in'
        and (c.direction = 'out' or s.direction = 'in' or c.peer_port < c.local_port)
        and ((c.host = s.host and c.boot = s.boot) or (c.host <> s.host and near.host is null and far.host is null))
        and ((c.peer_port = s.local_port and c.local_addr = s.peer_addr and c.peer_addr = s.local_addr
                and (c.host = s.host or c.local_addr not like '127.%' and c.local_addr <> '::1'))
            or (c.peer_port = s.local_port and (c.local_addr = s.peer_addr or c.local_addr in ('0.0.0.0', '::'))
                and (c.peer_addr = s.local_addr or s.local_addr in ('0.0.0.0', '::'))
                and s.peer_addr not like '127.%' and s.peer_addr <> '::1')
            or (c.local_addr = s.peer_addr and c.protocol = 'tcp'
                and c.local_addr not like '127.%' and c.local_addr not in ('0.0.0.0', '::', '::1')))
    union all
    -- Failed connections: the target is the container that had the address at the time, by other connections.
    select c.container, c.container_id, c.host, a.container, a.container_id, a.host,
        c.protocol, c.peer_addr || ':' || cast(c.peer_port as varchar), 0, c.failed, 0, 0, c.first_seen, c.last_seen
    from ends as c
    join owners as a on c.peer_addr = a.local_addr
    left join places as near on near.host = c.host and near.local_addr = c.peer_addr
    where c.failed > 0 and c.opened = 0
        and ((c.host = a.host and c.boot = a.boot) or (c.host <> a.host and near.host is null))
        and a.first_seen <= c.last_seen and (a.replaced is null or c.first_seen < a.replaced)
    union all
    -- Unix sockets: both ends have the same path. A client whose own container serves the path is connected to that server.
    select c.container, c.container_id, c.host, s.container, s.container_id, s.host,
        'unix', c.peer_path, c.opened, c.failed, c.bytes_sent, c.bytes_received, c.first_seen, c.last_seen
    from ends as c
    join ends as s on c.host = s.host and c.boot = s.boot and c.peer_path = s.peer_path
    left join ends as own on own.host = c.host and own.boot = c.boot and own.peer_path = c.peer_path and own.direction = 'in'
        and own.family = 'unix' and own.container = c.container
    where c.family = 'unix' and s.family = 'unix' and c.direction = 'out' and s.direction = 'in' and own.host is null
        -- A path that nobody answered at may be of another file system.
        and (c.opened > 0 or c.failed = 0)
    union all
    -- Files, identified by device and inode, that one container wrote and the other read afterwards. After a file is deleted,
    -- another one may get its inode. So neither container may have deleted the file in between: if the names differ, between
    -- its first use and its last one, otherwise between the last write and the first read.
    select w.container, w.container_id, w.host, r.container, r.container_id, r.host,
        'file', w.path, 0, 0, max(w.bytes), 0, min(w.first_seen), max(r.last_seen)
    from shared as w
    join shared as r on w.host = r.host and w.boot = r.boot and w.dev = r.dev and w.inode = r.inode
    left join deleted as dw on dw.host = w.host and dw.boot = w.boot and dw.container = w.container
        and dw.container_id = coalesce(w.container_id, '') and dw.path = w.path
        and dw.time >= case when w.name = r.name then w.last_seen else w.first_seen end
        and dw.time <= case when w.name = r.name then r.first_seen else r.last_seen end
    left join deleted as dr on dr.host = r.host and dr.boot = r.boot and dr.container = r.container
        and dr.container_id = coalesce(r.container_id, '') and dr.path = r.path
        and dr.time >= case when w.name = r.name then w.last_seen else w.first_seen end
        and dr.time <= case when w.name = r.name then r.first_seen else r.last_seen end
    where w.operation = 'write' and r.operation = 'read' and r.last_seen >= w.first_seen
        and dw.path is null and dr.path is null
    group by w.container, w.container_id, w.host, w.boot, r.container, r.container_id, r.host, w.path, w.dev, w.inode
)
select source, source_id, source_host, target, target_id, target_host, protocol, address,
    cast(sum(connections) as bigint) as connections, cast(sum(failed) as bigint) as failed,
    cast(sum(bytes_sent) as bigint) as bytes_sent, cast(sum(bytes_received) as bigint) as bytes_received,
    min(first_seen) as first_seen, max(last_seen) as last_seen
from pairs
where source <> target or source_id <> target_id or source_host <> target_host
group by source, source_id, source_host, target, target_id, target_host, protocol, address
