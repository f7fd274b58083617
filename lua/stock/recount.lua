-- recount: set what shoppers have to what the ledger says, unless something moves meanwhile.
--
-- KEYS[1]  st      hash   epoch, state (loading, open), avail, mut
-- KEYS[2]  x       zset   reservation id of a soft hold -> when it lapses, ms since 1970
-- KEYS[3]  u       hash   shopper -> units held or bought
-- ARGV[1]  epoch   count  the life of this stock that the caller knows
-- ARGV[2]  seen    count  `mut` before the ledger was read
-- ARGV[3]  counts  json   list of [shopper, units], 0 for none, not above some thousands
-- REPLY    "recounted", mut  done
-- REPLY    "moved", mut      something changed since: read the ledger again
-- REPLY    "busy", mut       soft holds are on their way into the ledger: count when it is quiet
-- REPLY    "unloaded"        Redis does not know this stock, or it is being loaded
-- REPLY    "fenced"          the caller knows another life of it
local st, x, u = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen, counts = ARGV[1], tonumber(ARGV[2]), cjson.decode(ARGV[3])
-- @include shared/stock_life
-- @include shared/stock_still

for _, one in ipairs(counts) do
  local shopper, units = one[1], one[2]
  if units > 0 then
    redis.call('HSET', u, shopper, string.format('%d', units))
  else
    redis.call('HDEL', u, shopper)
  end
end
redis.call('HSET', st, 'mut', mut + 1)
return { 'recounted', mut + 1 }
