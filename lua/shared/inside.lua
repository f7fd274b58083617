-- inside: how many sessions count. One that ran out counts a little longer: workers write down once a second whom they
-- saw, and whoever was seen in the last moment must not find the seat given away.
local LINGER_MS = 2000

local function inside(sessions, now)
  redis.call('ZREMRANGEBYSCORE', sessions, '-inf', string.format('%d', now - LINGER_MS))
  return redis.call('ZCARD', sessions)
end
