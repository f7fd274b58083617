-- bucket: the rate, as tokens that grow with time. One admission takes one token, so over any time t no more come in
-- than rate * t plus what the bucket held: one second's worth (at least one), and one for each that was called
-- and is about to come.
local function burst_of(rate_per_minute)
  return math.max(1, rate_per_minute / 60)
end

-- tokens at `now`; written back by the caller. `expected` = called a moment ago, not here yet.
local function refilled(room, now, expected)
  local held = redis.call('HMGET', room, 'tokens', 'refilled_ms', 'rate_per_minute')
  local rate = tonumber(held[3])
  local since = math.max(0, now - tonumber(held[2]))
  return math.min(tonumber(held[1]) + since * rate / 60000, burst_of(rate) + expected)
end

local function keep_tokens(room, tokens, now)
  redis.call('HSET', room, 'tokens', string.format('%.9f', tokens), 'refilled_ms', string.format('%d', now))
end
