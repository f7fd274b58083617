-- join: give a ticket its place in the line, once; say where it stands.
--
-- KEYS[1]  room      hash    the room
-- KEYS[2]  queue     zset    ticket id -> score
-- KEYS[3]  line      hash    the event: serving threshold, counts, draw
-- KEYS[4]  claimed   zset    ticket id -> turn, of tickets that came in, or were called once more
-- KEYS[5]  sessions  zset    session id -> end, ms since 1970
-- KEYS[6]  calls     zset    batches of called tickets -> last turn
-- KEYS[7]  strays    zset    ticket id -> 1 if it was in the draw and left after it, 0 if it came after it
-- KEYS[8]  knocks    zset    ticket id -> turn, of called tickets that were told to come back, or (as "+id") called once more
-- ARGV[1]  ticket    text    ticket id
-- ARGV[2]  now       ms      0 = the clock of Redis
-- ARGV[3]  event     text    the event that counts now
-- ARGV[4]  starts    ms      its opening; empty = not set
-- ARGV[5]  ends      ms      its end; empty = not set
-- ARGV[6]  kept      number  score in a ticket that was given before; empty = a new ticket
-- ARGV[7]  head      number  score, should it be among the first before the opening
-- ARGV[8]  heads     number  how many of those there are at most
-- ARGV[9]  draw      number  score, should it come before the opening after those
-- ARGV[10] tail      number  score, should it come after the opening
-- ARGV[11] most      number  how many may wait in this lane; 0 = as many as come, -1 = nobody more
-- ARGV[12] window    ms      how long somebody whose call lapsed has to come in, when they come back
-- REPLY    "waiting", score, ahead, was_known    ahead is nil in a draw that is to come, and behind it
-- REPLY    "called", score, 0, was_known
-- REPLY    "admitted", score, 0, was_known
-- REPLY    "lapsed", score, 0, was_known     it was called and did not come in time
-- REPLY    "full"            as many wait as may, and this ticket never had a place
-- REPLY    "ended"           the room takes nobody any more
-- REPLY    "unloaded"        the room has no state: tick first
-- @include shared/clock
-- @include shared/order
-- @include shared/lifetime
local room, queue, line, claimed, sessions, calls = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local strays, knocks = KEYS[7], KEYS[8]
local ticket, now, event, starts, ends = ARGV[1], clock_ms(ARGV[2]), ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local kept, head, heads, draw, tail = ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9], ARGV[10]
local most, window = tonumber(ARGV[11]), tonumber(ARGV[12])
local LATE_STEP = 2 ^ -11 -- ms; the least that a float keeps beside the time of today in ms, twice

-- A crowd joins at once, and three of the calls below, or thirty functions, cost Redis as much as the place itself:
-- what a newcomer cannot need is neither asked for nor made, hence the includes where they are used.
local r = redis.call('HMGET', room, 'generation', 'ended')
local l = redis.call('HMGET', line, 'serving', 'spin', 'lapsed_upto', 'drawn_ms')
if not r[1] or not l[1] then
  return { 'unloaded' }
end
local serving, spin, lapsed_upto = tonumber(l[1]), tonumber(l[2]), tonumber(l[3] or '-inf')
local is_new, is_early = kept == '', starts and now < starts
local is_over = r[2] == event or (ends and now >= ends)

local score = (not is_new or is_over or most ~= 0) and redis.call('ZSCORE', queue, ticket)
local was_known, is_late = score and 1 or 0, false
if not score then
  if is_over then
    return { 'ended' }
  end
  if most ~= 0 and is_new and redis.call('ZCARD', queue) - count_upto(queue, serving, spin) >= most then
    return { 'full' }
  end
  if not is_new then
    score = kept
  elseif is_early and heads > 0 then
    -- @include shared/heads
    score = heads_taken(line, queue) < heads and head or draw
  elseif is_early then
    score = draw
  elseif turn_of(tonumber(tail), spin) > serving then
    score = tail
  else -- a newcomer never lands at or before the threshold: being late must not be a way to the front
    local late_upto = tonumber(redis.call('HGET', line, 'late_upto') or serving)
    score = number_text(math.max(late_upto, serving) + LATE_STEP) -- one by one: equal scores are called together
    is_late = true
  end
  if redis.call('ZADD', queue, 'NX', score, ticket) == 0 then -- a newcomer whose answer was lost, and who asks again
    score, was_known = redis.call('ZSCORE', queue, ticket), 1
  elseif is_late then
    redis.call('HSET', line, 'late_upto', score)
  end
end
local number = tonumber(score)
local turn, is_stray = turn_of(number, spin), l[4] and number >= 0 and number < 1
if was_known == 0 and (is_stray or redis.call('ZCARD', queue) == 1) then
  end_with(queue, room)
  if is_stray then
    redis.call('ZADD', strays, 'NX', '0', ticket)
    end_with(strays, room)
  end
end
local is_called = turn <= serving and turn > lapsed_upto and not redis.call('ZSCORE', claimed, ticket)
local has_history = not is_new or was_known == 1 -- a ticket of this moment has no session
local is_inside = has_history and (tonumber(redis.call('ZSCORE', sessions, ticket)) or 0) > now
local has_lapsed = turn <= lapsed_upto and not is_over and not is_inside -- who is inside needs no second call
if has_lapsed or is_called and was_known == 0 then
  -- @include shared/bucket
  -- @include shared/calls
  -- @include shared/returns
  local lane = { line = line, calls = calls, claimed = claimed, knocks = knocks }
  if is_called then
    one_more(room, lane, turn, now)
  elseif call_back(room, lane, ticket, turn, now, window) then
    is_called = true
    end_with(calls, room)
    end_with(claimed, room)
    end_with(knocks, room)
  end
end
if is_inside then
  return { 'admitted', score, 0, was_known }
end
if turn <= serving then
  return { is_called and 'called' or 'lapsed', score, 0, was_known }
end
if is_early and number >= 0 then
  return { 'waiting', score, false, was_known }
end
local ahead = count_upto(queue, turn, spin) - count_upto(queue, serving, spin) - 1
return { 'waiting', score, math.max(0, ahead), was_known }
