-- reconcile: set the free units to what the ledger says, unless something moves meanwhile.
--
-- KEYS[1]  st       hash   epoch, state (loading, open), avail, mut, total, version
-- KEYS[2]  x        zset   reservation id of a soft hold -> when it lapses, ms since 1970
-- ARGV[1]  epoch    count  the life of this stock that the caller knows
-- ARGV[2]  seen     count  `mut` before the ledger was read; -1 only asks for it
-- ARGV[3]  free     count  total less allocated, as the ledger has them
-- ARGV[4]  total    count  units there are, as the ledger has them
-- ARGV[5]  version  count  of the ledger's row that said so
-- REPLY    "agreed", avail   it was right already; a total that is new to Redis is taken over
-- REPLY    "mended", drift   Redis had so many more (or, below 0, fewer) free than the ledger allows
-- REPLY    "moved", mut      something changed since: read the ledger again
-- REPLY    "busy", mut       soft holds are on their way into the ledger: compare when it is quiet
-- REPLY    "unloaded"        Redis does not know this stock, or it is being loaded
-- REPLY    "fenced"          the caller knows another life of it
local st, x = KEYS[1], KEYS[2]
local epoch, seen, free, total, version = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
-- @include shared/stock_life
-- @include shared/stock_still

local drift = avail + total - redis.call('HGET', st, 'total') - free
if free ~= avail or drift ~= 0 then
  redis.call('HSET', st, 'avail', free, 'mut', mut + 1, 'total', total, 'version', version)
end
if drift == 0 then
  return { 'agreed', free }
end
return { 'mended', drift }
