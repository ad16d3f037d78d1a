/* Which container talks to which, from both ends. */
select source, target, protocol, address, connections, failed, bytes_sent, bytes_received, first_seen, last_seen{source_id, target_id}{source_host, target_host}
from links
where true
    {links}
order by source, target, protocol, address, source_id, target_id, source_host, target_host
{limit}
