-- offer: write down what the ledger holds for somebody of the waitlist, once.
--
-- KEYS[1]  st       hash   epoch, state (loading, open), avail, mut
-- KEYS[2]  h        hash   reservation id -> "qty|soft or durable|shopper"
-- KEYS[3]  u        hash   shopper -> units held or bought
-- ARGV[1]  epoch    count  the life of this stock that the caller knows
-- ARGV[2]  rid      text   reservation id
-- ARGV[3]  shopper  text   whom the units are for
-- ARGV[4]  qty      count  units, at least 1
-- ARGV[5]  seen     count  units of these that were free here: the others nobody saw between their owners
-- REPLY    "offered"   it stands until it is released
-- REPLY    "again"     this reservation was known already: nothing changed
-- REPLY    "unloaded"  Redis does not know this stock, or it is being loaded
-- REPLY    "fenced"    the caller knows another life of it
local st, h, u = KEYS[1], KEYS[2], KEYS[3]
local epoch, rid, shopper, qty, seen = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
-- @include shared/stock_life

if redis.call('HSETNX', h, rid, qty .. '|durable|' .. shopper) == 0 then
  return { 'again' }
end
redis.call('HINCRBY', u, shopper, qty)
redis.call('HSET', st, 'avail', avail - seen, 'mut', mut + 1)
return { 'offered' }
