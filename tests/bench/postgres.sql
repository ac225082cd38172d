-- postgres.sql - what a mint does in TIM3, in PostgreSQL: an idempotency key, collateral moved from available to
-- locked, a token credited, a position updated; all of it in one transaction.
--
-- In PostgreSQL's favour: amounts are of 64 bits (TIM3's are of 128), no totals are kept (rows that every
-- transaction would wait for), no history by account and no event is written, and room is left in the pages for
-- updates in place.

create table account (
    name text primary key,
    available bigint not null,
    locked bigint not null default 0
) with (fillfactor = 50);

create table mint (
    id uuid primary key,
    account text not null,
    amount bigint not null,
    balance bigint,
    at timestamptz not null default now()
);

create table token (
    account text primary key,
    balance bigint not null
) with (fillfactor = 50);

create table position (
    account text primary key,
    minted bigint not null,
    events bigint not null
) with (fillfactor = 50);

-- The balance after it; null when the account has not enough. The same id again gives what it gave before; two at
-- the same instant end in an error for one of them, which may ask again.
create function do_mint(p_id uuid, p_account text, p_amount bigint) returns bigint language plpgsql as $$
declare
    v_known mint;
    v_balance bigint;
begin
    select * into v_known from mint where id = p_id;
    if found then
        if v_known.account <> p_account or v_known.amount <> p_amount then
            raise exception 'id_reused';
        end if;
        return v_known.balance;
    end if;
    update account set available = available - p_amount, locked = locked + p_amount
        where name = p_account and available >= p_amount;
    if not found then
        return null;
    end if;
    insert into token values (p_account, p_amount)
        on conflict (account) do update set balance = token.balance + excluded.balance
        returning token.balance into v_balance;
    insert into position values (p_account, p_amount, 1)
        on conflict (account) do update
            set minted = position.minted + excluded.minted, events = position.events + 1;
    insert into mint (id, account, amount, balance) values (p_id, p_account, p_amount, v_balance);
    return v_balance;
end $$;

-- Many at once, each table in one statement; how many were new. All or nothing where an account has not enough.
create function do_mints(p_ids uuid[], p_accounts text[], p_amounts bigint[]) returns bigint language plpgsql as $$
declare
    v_accounts text[];
    v_sums bigint[];
    v_counts bigint[];
    v_new bigint;
    v_moved bigint;
begin
    with added as (
        insert into mint (id, account, amount) select * from unnest(p_ids, p_accounts, p_amounts)
            on conflict (id) do nothing returning account, amount
    ), sums as (
        select account, sum(amount)::bigint as amount, count(*) as mints from added group by account order by account
    )
    select array_agg(account), array_agg(amount), array_agg(mints), coalesce(sum(mints), 0)
        into v_accounts, v_sums, v_counts, v_new from sums;
    update account a set available = a.available - s.amount, locked = a.locked + s.amount
        from unnest(v_accounts, v_sums) as s(name, amount) where a.name = s.name and a.available >= s.amount;
    get diagnostics v_moved = row_count;
    if v_moved <> coalesce(cardinality(v_accounts), 0) then
        raise exception 'insufficient_funds';
    end if;
    insert into token select * from unnest(v_accounts, v_sums)
        on conflict (account) do update set balance = token.balance + excluded.balance;
    insert into position select * from unnest(v_accounts, v_sums, v_counts)
        on conflict (account) do update
            set minted = position.minted + excluded.minted, events = position.events + excluded.events;
    return v_new;
end $$;
