-- confirm: make soft holds durable, now that the ledger has promised them.
--
-- KEYS[1]  st     hash   epoch, state (loading, open), avail, mut, total, version
-- KEYS[2]  h      hash   reservation id -> "qty|soft or durable|shopper"
-- KEYS[3]  x      zset   reservation id of a soft hold -> when it lapses, ms since 1970
-- ARGV[1]  epoch  count  the life of this stock that the caller knows
-- ARGV[2]  rids   json   list of reservation ids: those that one commit of the ledger made true
-- REPLY    "confirmed", standing  so many stand until they are released; also those that did before. The others lapsed
--                                 meanwhile: the guard of the ledger still counts them, `reconcile` mends the rest
-- REPLY    "unloaded"             Redis does not know this stock, or it is being loaded
-- REPLY    "fenced"               the caller knows another life of it
local st, h, x = KEYS[1], KEYS[2], KEYS[3]
local epoch, rids = ARGV[1], cjson.decode(ARGV[2])
-- @include shared/stock_life

local standing, moved = 0, 0
for _, rid in ipairs(rids) do
  local found = redis.call('HGET', h, rid)
  if found then
    standing = standing + 1
    if redis.call('ZREM', x, rid) == 1 then
      redis.call('HSET', h, rid, (string.gsub(found, '|soft|', '|durable|', 1)))
      moved = moved + 1
    end
  end
end
if moved > 0 then
  redis.call('HSET', st, 'mut', mut + moved)
end
return { 'confirmed', standing }
