-- phase: where a room stands at `now`; times in ms since 1970, '' = not set. `waiting` = how many wait.
-- as what everybody is held back: by ops (paused, closed, sold out), else by a store that has nothing left (shared/supply)
local function held_as(room, event)
  local held = redis.call('HMGET', room, 'paused', 'closed', 'sold_out', 'gone')
  if held[3] == event then
    return 'sold_out'
  end
  return (held[1] == '1' or held[2] == '1') and 'paused' or held[4] == '1' and 'sold_out' or nil
end

local function phase_of(room, event, times, now, waiting)
  local prequeue, starts, ends = tonumber(times.prequeue), tonumber(times.starts), tonumber(times.ends)
  if redis.call('HGET', room, 'ended') == event or (ends and now >= ends) then
    return 'ended'
  end
  if starts and prequeue and now >= prequeue and now < starts then
    return 'prequeue'
  end
  local held = held_as(room, event)
  if held then
    return held
  end
  if starts and now >= starts then
    return 'open'
  end
  return waiting > 0 and 'open' or 'idle'
end
