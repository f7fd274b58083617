-- bucket: the rate, as tokens that grow with time; whoever comes in takes one.
--
-- The bound: from any instant on, in t minutes at most rate * t + rate / 60 + 1 + expected come in, where the room's
-- `expected` is how many at that instant were called, in all lanes, and are counted on to come (at most twice what the
-- rate brings while a call settles: those who do not show up are made up for). Beyond those, the bucket holds what one second brings, so that
-- ticks up to a second apart lose nothing, and one for the fraction that a call leaves over.
local WHOLE = 1 - 1e-9 -- ten tenths of a token are one, whatever floats say; the missing part is owed, not given
local LONGEST_WAIT_MS = 3600 * 1000

local function burst_of(rate_per_minute)
  return 1 + rate_per_minute / 60
end

-- tokens at `now`; written back by the caller
local function refilled(room, now)
  local held = redis.call('HMGET', room, 'tokens', 'refilled_ms', 'rate_per_minute', 'expected')
  local rate, expected = tonumber(held[3]), tonumber(held[4] or 0)
  local since = math.max(0, now - tonumber(held[2]))
  return math.min(tonumber(held[1]) + since * rate / 60000, burst_of(rate) + expected)
end

-- whether the bucket is as full as it may be, and was when it was last written down: then nothing is to be written
local function is_full(room, tokens)
  local held = redis.call('HMGET', room, 'tokens', 'rate_per_minute')
  return tokens >= burst_of(tonumber(held[2])) and tonumber(held[1]) == tokens
end

local function keep_tokens(room, tokens, now)
  redis.call('HSET', room, 'tokens', string.format('%.17g', tokens), 'refilled_ms', string.format('%d', now))
end

-- how long until one token is there, in ms
local function next_token_ms(tokens, rate_per_minute)
  return math.max(1, math.min(math.ceil((1 - tokens) * 60000 / rate_per_minute), LONGEST_WAIT_MS))
end
