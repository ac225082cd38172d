-- redis.lua - what a mint does in TIM3, in Redis: an idempotency key, collateral moved from available to locked, a
-- token credited, a position updated. ARGV: id, account, amount. The balance after it; an error when it is refused.
-- In Redis' favour: amounts are doubles or 64-bit integers, no totals are kept, no history and no event is written.
local id, account, amount = ARGV[1], ARGV[2], ARGV[3]
local fields = account .. ':' .. amount
local before = redis.call('HGET', 'mint', id)
if before then
    local known, balance = string.match(before, '^(.*)=(%d+)$')
    if known ~= fields then
        return redis.error_reply('id_reused')
    end
    return tonumber(balance)
end
local available = tonumber(redis.call('HGET', 'available', account) or '0')
if available < tonumber(amount) then
    return redis.error_reply('insufficient_funds')
end
redis.call('HINCRBY', 'available', account, -amount)
redis.call('HINCRBY', 'locked', account, amount)
local balance = redis.call('HINCRBY', 'token', account, amount)
redis.call('HINCRBY', 'minted', account, amount)
redis.call('HINCRBY', 'events', account, 1)
redis.call('HSET', 'mint', id, fields .. '=' .. balance)
return balance
