-- load: put the stock of one sku back from the ledger, in chunks: begin, add as often as needed, open.
--
-- KEYS[1]  st       hash   epoch, state (loading, open), avail, mut, total, version
-- KEYS[2]  h        hash   reservation id -> "qty|soft or durable|shopper"
-- KEYS[3]  x        zset   reservation id of a soft hold -> when it lapses, ms since 1970
-- KEYS[4]  u        hash   shopper -> units held or bought
-- ARGV[1]  epoch    count  the new life of this stock, higher than any before
-- ARGV[2]  stage    text   begin, add or open
-- ARGV[3]  avail    count  begin: units that are free
-- ARGV[4]  total    count  begin: units there are
-- ARGV[5]  version  count  begin: of the ledger's row that said so
-- ARGV[6]  holds    text   add: JSON list of [reservation id, shopper, qty], not above some thousands
-- REPLY    "loading"       begun, or added
-- REPLY    "open"          holds are taken again; also when this life was open already: nothing changed
-- REPLY    "unloaded"      add or open without begin
-- REPLY    "fenced"        somebody has begun a later life
local st, h, x, u = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local epoch, stage, avail, total, version, holds = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local known = redis.call('HMGET', st, 'epoch', 'state')
if known[1] and (tonumber(known[1]) or 0) > tonumber(epoch) then
  return { 'fenced' }
end
if known[1] == epoch and known[2] == 'open' then
  return { 'open' }
end
if stage == 'begin' then
  redis.call('DEL', h, x, u)
  redis.call('HSET', st, 'epoch', epoch, 'state', 'loading', 'avail', avail, 'mut', 0)
  redis.call('HSET', st, 'total', total, 'version', version)
  return { 'loading' }
end
if known[1] ~= epoch then
  return { 'unloaded' }
end
if stage == 'open' then
  redis.call('HSET', st, 'state', 'open')
  return { 'open' }
end
for _, hold in ipairs(cjson.decode(holds)) do
  local rid, shopper, qty = hold[1], hold[2], hold[3]
  if redis.call('HSETNX', h, rid, string.format('%d', qty) .. '|durable|' .. shopper) == 1 then
    redis.call('HINCRBY', u, shopper, string.format('%d', qty))
  end
end
return { 'loading' }
