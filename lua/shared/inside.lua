-- inside: how many sessions count. One that ran out counts a little longer: workers write down once a second whom they
-- saw, and whoever was seen in the last moment must not find the seat given away.
--
-- Where Redis lost its data, the room's `unseen` counts the seats of sessions that were inside and that no pass has shown
-- since; after `unseen_until_ms` none of them can be alive.
--
-- Where nobody ticked for longer than that (`ticked_ms`; Redis was away), nobody wrote down whom they saw either: whoever's
-- end passed in the silence counts until HOLD_MS after it, so that those who are alive are there again before their seats
-- are given away.
local LINGER_MS = 2000
local HOLD_MS = 10000
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

-- sessions that ended up to here do not count any more
local function over_upto(room, now)
  local held = redis.call('HMGET', room, 'ticked_ms', 'silent_from_ms', 'silent_until_ms')
  if held[1] and now - tonumber(held[1]) > LINGER_MS then
    redis.call('HSET', room, 'silent_from_ms', held[1], 'silent_until_ms', string.format('%d', now + HOLD_MS))
    return tonumber(held[1]) - LINGER_MS
  end
  if held[3] and now < tonumber(held[3]) then
    return tonumber(held[2]) - LINGER_MS
  end
  return now - LINGER_MS
end

-- a silence matters only while somebody is inside
local function note_tick(room, seats, now)
  if seats > 0 then
    redis.call('HSET', room, 'ticked_ms', string.format('%d', now))
  elseif redis.call('HEXISTS', room, 'ticked_ms') == 1 then
    redis.call('HDEL', room, 'ticked_ms')
  end
end

local function inside(room, sessions, now)
  local over = redis.call('ZCOUNT', sessions, '-inf', string.format('%d', over_upto(room, now)))
  if over > 0 then
    redis.call('ZREMRANGEBYRANK', sessions, 0, math.min(over, PURGE) - 1)
  end
  return redis.call('ZCARD', sessions) - math.max(0, over - PURGE) + unseen(room, now)
end
