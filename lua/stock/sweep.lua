-- sweep: give back soft holds that nobody confirmed in time: their process died before the ledger knew of them.
--
-- KEYS[1]  st     hash   epoch, state (loading, open), avail, mut, total, version
-- KEYS[2]  h      hash   reservation id -> "qty|soft or durable|shopper"
-- KEYS[3]  x      zset   reservation id of a soft hold -> when it lapses, ms since 1970
-- KEYS[4]  u      hash   shopper -> units held or bought
-- ARGV[1]  epoch  count  the life of this stock that the caller knows
-- ARGV[2]  most   count  holds to give back in one go, so that Redis is never kept busy for long
-- ARGV[3]  now    ms     0 = the clock of Redis
-- REPLY    "swept", count   so many lapsed holds were given back
-- REPLY    "unloaded"       Redis does not know this stock, or it is being loaded
-- REPLY    "fenced"         the caller knows another life of it
-- @include shared/clock
local st, h, x, u = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local epoch, most, now = ARGV[1], tonumber(ARGV[2]), clock_ms(ARGV[3])
-- @include shared/stock_life
-- @include shared/stock_release

local lapsed = redis.call('ZRANGEBYSCORE', x, '-inf', now, 'LIMIT', 0, most)
for _, rid in ipairs(lapsed) do
  give_back(rid, 0)
end
return { 'swept', #lapsed }
