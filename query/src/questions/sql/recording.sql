origins as (
    -- The metadata of the recordings, each value once.
    select replace(key, 'ctrace.', '') as item,
        -- Without the quotes and brackets of JSON.
        case key when 'ctrace.filters' then translate(value, '{}[]"', '')
            -- The rules that ran, with the number of values that each replaced where it is known.
            when 'ctrace.redacted' then trim(translate(replace(
                regexp_replace(value, '.*?"rules":[{]([^}]*)[}][^{]*', '\1 ', 'g'), ':null', ''), '"', ''))
            else value end as value, count(*) as recordings,
        row_number() over (partition by key order by count(*) desc, max(value)) as number
    from meta
    where key in ('ctrace.host', 'ctrace.kernel', 'ctrace.arch', 'ctrace.producer')
        or key = 'ctrace.filters' and value <> '{}'
        or key = 'ctrace.redacted'
    group by 1, 2, key
),
facts as (
    select 0 as part, 'recording' as section, 'recordings' as item, cast(count(distinct recording) as varchar) as value, 0 as rank
    from meta having count(distinct recording) > 1
    union all
    select 1, 'recording', item,
        case when count(*) = 1 then max(value)
            else string_agg(case when number <= 5 then value || ' (' || cast(recordings as varchar) || ')' end, ', ' order by number)
                || case when count(*) > 5 then ' and ' || cast(count(*) - 5 as varchar) || ' more' else '' end
        end, 0
    from origins group by item
    union all
    select 2, 'recording', 'from', to_char(min(time), '%Y-%m-%d %H:%M:%S%.3f'), 0 from scope
    union all
    select 3, 'recording', 'to', to_char(max(time), '%Y-%m-%d %H:%M:%S%.3f'), 0 from scope
    union all
    select 5, 'recording', 'lost', cast(coalesce(sum(lost), 0) as varchar), 0 from scope
),
