-- join: give a ticket its place in the line, once; say where it stands.
--
-- KEYS[1]  room      hash    the room
-- KEYS[2]  queue     zset    ticket id -> score
-- KEYS[3]  line      hash    the event: serving threshold, counts, draw
-- KEYS[4]  claimed   zset    ticket id -> turn, of tickets that came in while their call was alive
-- KEYS[5]  sessions  zset    session id -> end, ms since 1970
-- KEYS[6]  calls     zset    batches of called tickets -> last turn
-- KEYS[7]  strays    zset    ticket id -> 1 if it was in the draw and left after it, 0 if it came after it
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
-- ARGV[11] most      number  how many may wait; 0 = as many as come
-- REPLY    "waiting", score, ahead, waiting, called, was_known
-- REPLY    "called", score, 0, waiting, called, was_known
-- REPLY    "admitted", score, 0, waiting, called, was_known
-- REPLY    "lapsed", score, 0, waiting, called, was_known   it was called and did not come in time
-- REPLY    "full"            as many wait as may, and this ticket never had a place
-- REPLY    "ended"           the room takes nobody any more
-- REPLY    "unloaded"        the room has no state: tick first
-- @include shared/clock
-- @include shared/order
-- @include shared/calls
-- @include shared/lifetime
-- @include shared/heads
local room, queue, line, claimed, sessions, calls = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local strays = KEYS[7]
local ticket, now, event, starts, ends = ARGV[1], clock_ms(ARGV[2]), ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local kept, head, heads, draw, tail = tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8]), ARGV[9], ARGV[10]
local most = tonumber(ARGV[11])

if redis.call('HEXISTS', room, 'generation') == 0 or redis.call('HEXISTS', line, 'serving') == 0 then
  return { 'unloaded' }
end
local l = redis.call('HMGET', line, 'serving', 'spin', 'called', 'lapsed_upto')
local serving, spin, called = tonumber(l[1]), tonumber(l[2]), tonumber(l[3] or 0)
local lapsed_upto = tonumber(l[4] or '-inf')

-- a newcomer never lands at or before the threshold: being late must not be a way to the front
local function behind_threshold(score)
  if turn_of(score, spin) > serving then
    return score
  end
  return serving + 2 ^ -10 * (1 + score % 1)
end

local function new_score()
  if not starts or now >= starts then
    return behind_threshold(tonumber(tail))
  end
  if heads > 0 and heads_taken(line, queue) < heads then
    return tonumber(head)
  end
  return tonumber(draw)
end

local score = tonumber(redis.call('ZSCORE', queue, ticket))
local was_known = score and 1 or 0
local has_come = redis.call('ZSCORE', claimed, ticket)
if not score then
  if redis.call('HGET', room, 'ended') == event or (ends and now >= ends) then
    return { 'ended' }
  end
  if most > 0 and not kept and redis.call('ZCARD', queue) - count_upto(queue, serving, spin) >= most then
    return { 'full' }
  end
  score = kept or new_score()
  redis.call('ZADD', queue, 'NX', number_text(score), ticket)
  end_with(queue, room)
  if score >= 0 and score < 1 and redis.call('HEXISTS', line, 'drawn_ms') == 1 then
    redis.call('ZADD', strays, 'NX', '0', ticket)
    end_with(strays, room)
  end
end
local turn = turn_of(score, spin)
if was_known == 0 and turn <= serving and turn > lapsed_upto and not has_come then
  one_more(room, { line = line, calls = calls }, turn)
end
local seen = count_upto(queue, serving, spin)
local waiting = redis.call('ZCARD', queue) - seen
local state, ahead = 'waiting', 0
if (tonumber(redis.call('ZSCORE', sessions, ticket)) or 0) > now then
  state = 'admitted'
elseif turn > serving then
  ahead = math.max(0, count_upto(queue, turn, spin) - seen - 1)
elseif turn <= lapsed_upto or has_come then
  state = 'lapsed'
else
  state = 'called'
end
return { state, number_text(score), ahead, waiting, called, was_known }
