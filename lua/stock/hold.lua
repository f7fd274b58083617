-- hold: set units of one sku aside for a shopper, softly: the ledger makes the promise.
--
-- KEYS[1]  st       hash    epoch, state (loading, open), avail, mut, total, version
-- KEYS[2]  h        hash    reservation id -> "qty|soft or durable|shopper"
-- KEYS[3]  x        zset    reservation id of a soft hold -> when it lapses, ms since 1970
-- KEYS[4]  u        hash    shopper -> units held or bought
-- ARGV[1]  epoch    count   the life of this stock that the caller knows
-- ARGV[2]  rid      text    reservation id
-- ARGV[3]  shopper  text    whom the units are for
-- ARGV[4]  qty      count   units, at least 1
-- ARGV[5]  limit    count   units a shopper may have
-- ARGV[6]  soft     ms      how long the hold stands without `confirm`
-- ARGV[7]  now      ms      0 = the clock of Redis
-- REPLY    "held", avail            set aside now
-- REPLY    "again", avail           this reservation was known already: nothing changed
-- REPLY    "sold-out", avail        fewer than qty are free
-- REPLY    "limit-reached", has     the shopper would have more than limit
-- REPLY    "unloaded"               Redis does not know this stock, or it is being loaded
-- REPLY    "fenced"                 the caller knows another life of it
-- @include shared/clock
local st, h, x, u = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local epoch, rid, shopper = ARGV[1], ARGV[2], ARGV[3]
local qty, limit, soft, now = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), clock_ms(ARGV[7])
-- @include shared/stock_life

if redis.call('HEXISTS', h, rid) == 1 then
  return { 'again', avail }
end
local has = tonumber(redis.call('HGET', u, shopper) or '0')
if has + qty > limit then
  return { 'limit-reached', has }
end
if avail < qty then
  return { 'sold-out', avail }
end
redis.call('HINCRBY', st, 'avail', -qty)
redis.call('HINCRBY', st, 'mut', 1)
redis.call('HSET', h, rid, ARGV[4] .. '|soft|' .. shopper)
redis.call('ZADD', x, now + soft, rid)
redis.call('HINCRBY', u, shopper, qty)
return { 'held', avail - qty }
