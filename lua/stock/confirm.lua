-- confirm: make a soft hold durable, now that the ledger has promised it.
--
-- KEYS[1]  st     hash   epoch, state (loading, open), avail, mut, total, version
-- KEYS[2]  h      hash   reservation id -> "qty|soft or durable|shopper"
-- KEYS[3]  x      zset   reservation id of a soft hold -> when it lapses, ms since 1970
-- ARGV[1]  epoch  count  the life of this stock that the caller knows
-- ARGV[2]  rid    text   reservation id
-- REPLY    "confirmed"   the hold stands until it is released; also when it did before
-- REPLY    "gone"        it lapsed meanwhile: the guard of the ledger still counts it, `reconcile` mends the rest
-- REPLY    "unloaded"    Redis does not know this stock, or it is being loaded
-- REPLY    "fenced"      the caller knows another life of it
local st, h, x = KEYS[1], KEYS[2], KEYS[3]
local epoch, rid = ARGV[1], ARGV[2]
-- @include shared/stock_life

local found = redis.call('HGET', h, rid)
if not found then
  return { 'gone' }
end
if redis.call('ZREM', x, rid) == 1 then
  redis.call('HSET', h, rid, (string.gsub(found, '|soft|', '|durable|', 1)))
  redis.call('HSET', st, 'mut', mut + 1)
end
return { 'confirmed' }
