/* Peers by container, the busiest first. The local port of a client changes with each connection and is left out. */
select container{id}, direction, protocol, coalesce(case when direction = 'in' then local_addr else peer_addr end, peer_path)
        as address,
    case when direction = 'in' then local_port else peer_port end as port,
    case when direction = 'in' then peer_addr end as client,
    max(dns_name) as dns_name, sum(opened) as connections, sum(failed) as failed, max(connect_error) as error,
    sum(bytes_sent) as bytes_sent, sum(bytes_received) as bytes_received, max(comm) as comm,
    min(first_seen) as first_seen, max(last_seen) as last_seen{first_bucket}{host}
from connections
where {not_setup}
    {spans}
group by container, container_id, direction, protocol, address, port, client{by_bucket}{host}
order by sum(calls) desc, container, container_id, direction, protocol, address, port, client{host}
{limit}
