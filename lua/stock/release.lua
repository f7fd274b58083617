-- release: give the units of a reservation back, once, after the ledger did.
--
-- KEYS[1]  st     hash   epoch, state (loading, open), avail, mut, total, version
-- KEYS[2]  h      hash   reservation id -> "qty|soft or durable|shopper"
-- KEYS[3]  x      zset   reservation id of a soft hold -> when it lapses, ms since 1970
-- KEYS[4]  u      hash   shopper -> units held or bought
-- ARGV[1]  epoch  count  the life of this stock that the caller knows
-- ARGV[2]  rid    text   reservation id
-- ARGV[3]  kept   count  units of it that are spoken for: they go to who waits, and nobody sees them free
-- REPLY    "released", qty   it had so many; but for `kept` they are free again
-- REPLY    "gone"            the reservation was not known any more: nothing changed
-- REPLY    "unloaded"        Redis does not know this stock, or it is being loaded
-- REPLY    "fenced"          the caller knows another life of it
local st, h, x, u = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local epoch, rid, kept = ARGV[1], ARGV[2], tonumber(ARGV[3])
-- @include shared/stock_life
-- @include shared/stock_release

local qty = give_back(rid, kept)
if qty == 0 then
  return { 'gone' }
end
return { 'released', qty }
