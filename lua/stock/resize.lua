-- resize: take over how many units there are, once the ledger has changed it: free units come or go by the difference.
--
-- KEYS[1]  st       hash   epoch, state (loading, open), avail, mut, total, version
-- ARGV[1]  epoch    count  the life of this stock that the caller knows
-- ARGV[2]  total    count  units there are
-- ARGV[3]  version  count  of the ledger's row that said so: who comes with an older one changes nothing
-- REPLY    "resized", by   so many more (below 0: fewer) are free; below 0 too where more are held than are left
-- REPLY    "known"         it was told before
-- REPLY    "unloaded"      Redis does not know this stock, or it is being loaded
-- REPLY    "fenced"        the caller knows another life of it
local st = KEYS[1]
local epoch, total, version = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
-- @include shared/stock_life

local known = redis.call('HMGET', st, 'total', 'version')
if version <= tonumber(known[2]) then
  return { 'known' }
end
local by = total - tonumber(known[1])
redis.call('HSET', st, 'avail', avail + by, 'mut', mut + 1, 'total', total, 'version', version)
return { 'resized', by }
