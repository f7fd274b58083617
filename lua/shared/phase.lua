-- phase: where a room stands at `now`; times in ms since 1970, '' = not set. `waiting` = how many wait.
-- whether ops hold everybody back: paused, closed or sold out
local function is_held(room, event)
  local held = redis.call('HMGET', room, 'paused', 'closed', 'sold_out')
  return held[1] == '1' or held[2] == '1' or held[3] == event
end

local function phase_of(room, event, times, now, waiting)
  local prequeue, starts, ends = tonumber(times.prequeue), tonumber(times.starts), tonumber(times.ends)
  if redis.call('HGET', room, 'ended') == event or (ends and now >= ends) then
    return 'ended'
  end
  if starts and prequeue and now >= prequeue and now < starts then
    return 'prequeue'
  end
  if is_held(room, event) then
    return redis.call('HGET', room, 'sold_out') == event and 'sold_out' or 'paused'
  end
  if starts and now >= starts then
    return 'open'
  end
  return waiting > 0 and 'open' or 'idle'
end
