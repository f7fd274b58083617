-- returns: one second call for whoever comes back after theirs has lapsed, beside those who were called last: it counts and
-- ends as theirs do. While it lives it stands in `knocks`, under a name of its own; `claimed` has it for good, so that nobody
-- has a third.
--
-- Up to the line's `no_return_upto` nobody returns: Redis has lost who of them had come in, or forgotten it in time.
local function second_call(lane, ticket)
  return tonumber(redis.call('ZSCORE', lane.knocks, '+' .. ticket))
end

local function end_second_call(lane, ticket)
  redis.call('ZREM', lane.knocks, '+' .. ticket)
end

local function call_back(room, lane, ticket, turn, now, window)
  local l = redis.call('HMGET', lane.line, 'serving', 'no_return_upto')
  if second_call(lane, ticket) then
    return true
  end
  if redis.call('ZSCORE', lane.claimed, ticket) or turn <= tonumber(l[2] or '-inf') then
    return false
  end
  local serving = tonumber(l[1])
  local batch = batch_at(lane.calls, serving)
  if not batch then
    batch = new_batch(lane, now)
    batch.upto = serving
    keep_batch(lane.calls, batch)
  end
  redis.call('ZADD', lane.claimed, string.format('%.17g', turn), ticket)
  redis.call('ZADD', lane.knocks, l[1], '+' .. ticket)
  local more_ms = math.max(0, now + window - batch.deadline_ms)
  add_to_batch(room, lane, serving, { left = 1, due = 1, deadline_ms = more_ms }, now)
  return true
end
