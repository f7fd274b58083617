-- lifetime: tick gives every key of a room its end; a key made between two ticks ends with `elder` should none follow.
local function end_with(key, elder)
  local left = redis.call('PTTL', elder)
  if left > 0 and redis.call('PTTL', key) == -1 then
    redis.call('PEXPIRE', key, left)
  end
end
