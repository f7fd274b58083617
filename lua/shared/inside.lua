-- inside: how many sessions count. One that ran out counts a little longer: workers write down once a second whom they
-- saw, and whoever was seen in the last moment must not find the seat given away.
--
-- Where Redis lost its data, the room's `unseen` counts the seats of sessions that were inside and that no pass has shown
-- since; after `unseen_until_ms` none of them can be alive.
local LINGER_MS = 2000
local PURGE = 1000 -- at most so many at once: Redis answers nobody else meanwhile

local function unseen(room, now)
  local held = redis.call('HMGET', room, 'unseen', 'unseen_until_ms')
  return held[1] and now <= tonumber(held[2]) + LINGER_MS and tonumber(held[1]) or 0
end

-- a pass showed that a session is alive which Redis did not know: one seat less is held for the unseen
local function seen_again(room, now)
  local count = unseen(room, now)
  if count > 0 then
    redis.call('HSET', room, 'unseen', count - 1)
  end
end

local function inside(room, sessions, now)
  local over = redis.call('ZCOUNT', sessions, '-inf', string.format('%d', now - LINGER_MS))
  if over > 0 then
    redis.call('ZREMRANGEBYRANK', sessions, 0, math.min(over, PURGE) - 1)
  end
  return redis.call('ZCARD', sessions) - math.max(0, over - PURGE) + unseen(room, now)
end
