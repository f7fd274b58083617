-- clock: what time it is, in ms since 1970; 0 asks Redis, so that no machine's clock matters.
local function clock_ms(given)
  local now = tonumber(given)
  if now > 0 then
    return now
  end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
