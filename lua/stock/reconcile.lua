-- reconcile: set the free units to what the ledger says, unless something moves meanwhile.
--
-- KEYS[1]  st     hash   epoch, state (loading, open), avail, mut
-- KEYS[2]  x      zset   reservation id of a soft hold -> when it lapses, ms since 1970
-- ARGV[1]  epoch  count  the life of this stock that the caller knows
-- ARGV[2]  seen   count  `mut` before the ledger was read; -1 only asks for it
-- ARGV[3]  free   count  total less allocated, as the ledger has them
-- REPLY    "agreed", avail   it was right already
-- REPLY    "mended", drift   Redis had so many more (or, below 0, fewer) free than the ledger allows
-- REPLY    "moved", mut      something changed since: read the ledger again
-- REPLY    "busy", mut       soft holds are on their way into the ledger: compare when it is quiet
-- REPLY    "unloaded"        Redis does not know this stock, or it is being loaded
-- REPLY    "fenced"          the caller knows another life of it
local st, x = KEYS[1], KEYS[2]
local epoch, seen, free = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
-- @include shared/stock_life

if seen ~= mut then
  return { 'moved', mut }
end
-- a soft hold may stand in the ledger already or not yet: counting it would be wrong in one of the two cases
if redis.call('ZCARD', x) > 0 then
  return { 'busy', mut }
end
if free == avail then
  return { 'agreed', avail }
end
redis.call('HSET', st, 'avail', free, 'mut', mut + 1)
return { 'mended', avail - free }
