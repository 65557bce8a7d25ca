-- Counts of studies, kept instead of counted, and an order in which items are handed out: a page of studies and
-- the next task cost the same at a million items as at ten.

alter table study_items
    -- A place that says nothing about the item. Hand-outs begin at a place of the person's own.
    add column place bigint not null generated always as (uuid_hash_extended(id, 0)) stored,
    -- People who rated it, a second time not counted.
    add column raters integer not null default 0,
    -- Rated by as many people as the study asks for. Training and gold are for everybody, and never full.
    add column is_full boolean not null default false;

create index study_items_to_rate on study_items (study_id, place) where not is_full and kind <> 'training';
create index study_items_to_learn on study_items (study_id, place) where kind = 'training';

create table study_item_counts (
    study_id       uuid not null references studies (id),
    kind           text not null,
    repeated       boolean not null,
    is_full        boolean not null,
    items          bigint not null,
    primary key (study_id, kind, repeated, is_full)
);

-- How far each person is. One row a person, so that people who rate at the same time do not wait for each other.
create table study_rater_counts (
    study_id       uuid not null references studies (id),
    subject_id     uuid not null references subjects (id),
    -- What they rated, second times counted: training, and everything else.
    votes          bigint not null,
    training       bigint not null,
    -- What the items that they have and that are not full add to what is left, see item_weight.
    with_room      bigint not null,
    -- Items that they have once and are to get twice.
    to_repeat      bigint not null,
    primary key (study_id, subject_id)
);

-- How often an item comes to one person.
create function item_weight(kind text, repeated boolean) returns integer immutable language sql as
    $$ select case when repeated and kind <> 'training' then 2 else 1 end $$;

update study_items set raters = done.raters
from (select item_id, count(*) as raters from assignments where repeat = 0 and done_at is not null group by item_id) done
where item_id = id;

update study_items set is_full = true
from studies where studies.id = study_id and kind = 'rated' and raters >= overlap;

insert into study_item_counts
select study_id, kind, repeated, is_full, count(*) from study_items group by 1, 2, 3, 4;

insert into study_rater_counts
select assignments.study_id, subject_id, count(done_at) filter (where kind <> 'training'),
       count(done_at) filter (where kind = 'training'),
       coalesce(sum(item_weight(kind, repeated)) filter (where repeat = 0 and not is_full), 0),
       sum((item_weight(kind, repeated) - 1) * (1 - 2 * repeat))
from assignments join study_items on study_items.id = item_id group by 1, 2;

-- Whether an item is full follows from its other columns.
create function fill_study_item() returns trigger language plpgsql as $$
begin
    new.is_full := new.kind = 'rated'
        and new.raters >= (select overlap from studies where id = new.study_id);
    return new;
end
$$;

create trigger study_items_fill before update of kind, raters on study_items
    for each row execute function fill_study_item();

create function refill_study() returns trigger language plpgsql as $$
begin
    update study_items set is_full = kind = 'rated' and raters >= new.overlap
    where study_id = new.id and is_full <> (kind = 'rated' and raters >= new.overlap);
    return null;
end
$$;

create trigger studies_refill after update of overlap on studies
    for each row when (old.overlap <> new.overlap) execute function refill_study();

-- Rows of counts are always taken in the order of their keys, so that no two transactions wait for each other.
create function count_added_items() returns trigger language plpgsql as $$
begin
    insert into study_item_counts as counts
    select study_id, kind, repeated, is_full, count(*) from added group by 1, 2, 3, 4 order by 1, 2, 3, 4
    on conflict (study_id, kind, repeated, is_full) do update set items = counts.items + excluded.items;
    return null;
end
$$;

create function count_changed_items() returns trigger language plpgsql as $$
begin
    insert into study_item_counts as counts
    select study_id, kind, repeated, is_full, sum(change) from (
        select study_id, kind, repeated, is_full, 1 as change from added
        union all select study_id, kind, repeated, is_full, -1 from removed
    ) changes group by 1, 2, 3, 4 having sum(change) <> 0 order by 1, 2, 3, 4
    on conflict (study_id, kind, repeated, is_full) do update set items = counts.items + excluded.items;
    -- And what that changes for those who have the items.
    insert into study_rater_counts as counts
    select assignments.study_id, subject_id,
           sum(case when done_at is null then 0 else (removed.kind = 'training')::int - (added.kind = 'training')::int end),
           sum(case when done_at is null then 0 else (added.kind = 'training')::int - (removed.kind = 'training')::int end),
           sum(case when repeat = 0 then
               item_weight(added.kind, added.repeated) * (not added.is_full)::int
               - item_weight(removed.kind, removed.repeated) * (not removed.is_full)::int else 0 end),
           sum((item_weight(added.kind, added.repeated) - item_weight(removed.kind, removed.repeated)) * (1 - 2 * repeat))
    from added join removed on removed.id = added.id
    and (removed.kind, removed.repeated, removed.is_full) <> (added.kind, added.repeated, added.is_full)
    join assignments on item_id = added.id group by 1, 2 order by 1, 2
    on conflict (study_id, subject_id) do update
    set votes = counts.votes + excluded.votes, training = counts.training + excluded.training,
        with_room = counts.with_room + excluded.with_room, to_repeat = counts.to_repeat + excluded.to_repeat;
    return null;
end
$$;

create trigger study_items_count_added after insert on study_items
    referencing new table as added for each statement execute function count_added_items();
create trigger study_items_count_changed after update on study_items
    referencing old table as removed new table as added for each statement execute function count_changed_items();

create function count_rating() returns trigger language plpgsql as $$
declare
    rating assignments := coalesce(new, old);
    -- By how much there is more of it than before, and more of it done.
    there integer := (tg_op <> 'DELETE')::int - (tg_op <> 'INSERT')::int;
    done integer := (case when new.done_at is null then 0 else 1 end) - (case when old.done_at is null then 0 else 1 end);
    item study_items;
begin
    if there <> 0 then
        -- Locked: whoever fills the item meanwhile waits, or is waited for.
        select * into item from study_items where id = rating.item_id for share;
        insert into study_rater_counts as counts
        values (rating.study_id, rating.subject_id, 0, 0,
                case when rating.repeat = 0 and not item.is_full
                     then there * item_weight(item.kind, item.repeated) else 0 end,
                there * (item_weight(item.kind, item.repeated) - 1) * (1 - 2 * rating.repeat))
        on conflict (study_id, subject_id) do update
        set with_room = counts.with_room + excluded.with_room, to_repeat = counts.to_repeat + excluded.to_repeat;
    end if;
    if done <> 0 then
        -- The same for whoever changes the overlap: what is full is decided with one of the two.
        perform from studies where id = rating.study_id for share;
        if rating.repeat = 0 then
            update study_items set raters = raters + done where id = rating.item_id;
        end if;
        select * into item from study_items where id = rating.item_id;
        insert into study_rater_counts as counts
        values (rating.study_id, rating.subject_id, case item.kind when 'training' then 0 else done end,
                case item.kind when 'training' then done else 0 end, 0, 0)
        on conflict (study_id, subject_id) do update
        set votes = counts.votes + excluded.votes, training = counts.training + excluded.training;
    end if;
    return null;
end
$$;

create trigger assignments_count after insert or update or delete on assignments
    for each row execute function count_rating();

-- The review queue of one study, in each of its orders.
create index threads_of_study_by_disagreement on annotation_threads
    (study_id, state, coalesce(disagreement, -1) desc, id desc);
create index threads_of_study_by_confidence on annotation_threads (study_id, state, coalesce(confidence, 2), id);
create index threads_of_study_by_age on annotation_threads (study_id, state, id);
