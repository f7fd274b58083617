-- health: how far admission slows down for the upstream's sake. `rooms/health` decides it, whoever admits heeds it.
--
-- In the room: health_ratio (1 = full rate), circuit (closed, open, half_open), circuit_ms (since when), rate_floor,
-- health_ms (the last report). Without these the upstream is well, as far as anybody knows.
local UNHEARD_MS = 30000

-- a room whose workers report no more is not slowed for what they said before
local function forget_unheard(room, now)
  local heard_ms = tonumber(redis.call('HGET', room, 'health_ms'))
  if heard_ms and now - heard_ms > UNHEARD_MS then
    redis.call('HDEL', room, 'health_ratio', 'circuit', 'circuit_ms', 'rate_floor', 'health_ms', 'judged_ms',
      'slowed_ms', 'probe_ms', 'probe_by', 'probe_until_ms')
  end
end

-- how many a minute may come in now, where `rate` may while all is well; as text, for the room
local function rate_in_force(room, rate)
  local held = redis.call('HMGET', room, 'health_ratio', 'rate_floor')
  if not held[1] or held[1] == '1' then
    return rate
  end
  local slowed = math.max(tonumber(held[2]), tonumber(rate) * tonumber(held[1]))
  return string.format('%.17g', math.min(tonumber(rate), slowed))
end

local function is_shut(room)
  return redis.call('HGET', room, 'circuit') == 'open'
end
