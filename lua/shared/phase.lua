-- phase: where a room stands at `now`; times in ms since 1970, '' = not set. `waiting` = how many wait.
local function phase_of(room, event, times, now, waiting)
  local prequeue, starts, ends = tonumber(times.prequeue), tonumber(times.starts), tonumber(times.ends)
  if redis.call('HGET', room, 'ended') == event or (ends and now >= ends) then
    return 'ended'
  end
  if starts and prequeue and now >= prequeue and now < starts then
    return 'prequeue'
  end
  if redis.call('HGET', room, 'paused') == '1' then
    return 'paused'
  end
  if starts and now >= starts then
    return 'open'
  end
  return waiting > 0 and 'open' or 'idle'
end
