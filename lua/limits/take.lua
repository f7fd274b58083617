-- take: let a key through at a steady rate with room for a burst, or say when to come back.
--
-- GCRA (ITU-T I.371): one number a key, the instant up to which it has used its rate. Sent twice after a lost
-- connection it counts twice, which errs on the strict side.
--
-- KEYS[1]  meter  text   used up to, µs since 1970; gone once that is past
-- ARGV[1]  rate   count  units a minute, more than 0
-- ARGV[2]  burst  count  units that may come at once, at least 1
-- ARGV[3]  cost   count  units to take now, at most burst
-- ARGV[4]  now    ms     0 = the clock of Redis
-- REPLY    "taken", left   units that could be taken at once after this
-- REPLY    "later", wait   nothing was taken; ms until the same take would pass
-- @include shared/clock
local meter = KEYS[1]
local rate, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = clock_ms(ARGV[4]) * 1000

local interval = math.ceil(60000000 / rate) -- whole µs keep every sum exact, rounded up: never above the rate
local window = interval * burst
local used = math.max(tonumber(redis.call('GET', meter) or '0'), now)
used = math.min(used, now + window) -- a clock that jumped back must not lock anybody out for longer
local after = used + interval * cost
if after > now + window then
  return { 'later', math.ceil((after - now - window) / 1000) }
end
if cost > 0 then
  redis.call('SET', meter, string.format('%.0f', after), 'PXAT', string.format('%.0f', math.ceil(after / 1000)))
end
return { 'taken', math.floor((now + window - after) / interval) }
