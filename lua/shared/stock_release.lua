-- Give the units of one reservation back but for `kept`, once: only a field that still exists adds stock.
local function give_back(rid, kept)
  local found = redis.call('HGET', h, rid)
  redis.call('ZREM', x, rid)
  if not found then
    return 0
  end
  local qty, shopper = string.match(found, '^(%d+)|%a+|(.*)$')
  qty = tonumber(qty)
  redis.call('HDEL', h, rid)
  if redis.call('HINCRBY', u, shopper, -qty) <= 0 then
    redis.call('HDEL', u, shopper)
  end
  redis.call('HINCRBY', st, 'avail', math.max(0, qty - kept))
  redis.call('HINCRBY', st, 'mut', 1)
  return qty
end
