-- leave: take a ticket out of the line.
--
-- KEYS[1]  queue   zset    ticket id -> score
-- KEYS[2]  line    hash    the event: serving threshold
-- KEYS[3]  calls   zset    batches of called tickets -> last turn
-- KEYS[4]  claimed zset    ticket id -> turn, of tickets that came in, or were called once more
-- KEYS[5]  knocks  zset    ticket id -> turn, of called tickets that were told to come back
-- KEYS[6]  strays  zset    ticket id -> 1 if it was in the draw and left after it, 0 if it came after it
-- KEYS[7]  room    hash    the room: rate bucket
-- ARGV[1]  ticket  text    ticket id
-- ARGV[2]  now     ms      0 = the clock of Redis
-- REPLY    "left"          its place is free
-- REPLY    "unknown"       it had none
-- @include shared/clock
-- @include shared/order
-- @include shared/bucket
-- @include shared/calls
-- @include shared/returns
-- @include shared/lifetime
local queue, line, claimed, strays, room = KEYS[1], KEYS[2], KEYS[4], KEYS[6], KEYS[7]
local ticket, now = ARGV[1], clock_ms(ARGV[2])

-- the bucket held a token for whoever leaves; coming back later must find it filled no more than the rate filled it
local function keep_what_is_due()
  if redis.call('HEXISTS', room, 'tokens') == 1 then
    keep_tokens(room, refilled(room, now), now)
  end
end

local score = tonumber(redis.call('ZSCORE', queue, ticket))
local lane = { line = line, calls = KEYS[3], knocks = KEYS[5] }
local again = second_call(lane, ticket)
if not score or redis.call('ZSCORE', claimed, ticket) and not again then
  return { score and 'left' or 'unknown' } -- somebody inside has no place to give up; a session ends by release
end
local l = redis.call('HMGET', line, 'serving', 'spin', 'lapsed_upto')
local turn = turn_of(score, tonumber(l[2] or 0))
if score >= 0 and score < 1 and redis.call('HEXISTS', line, 'drawn_ms') == 1 then
  redis.call('ZADD', strays, 'NX', '1', ticket)
  end_with(strays, queue)
end
redis.call('ZREM', queue, ticket)
local called_at = turn > tonumber(l[3] or '-inf') and turn or again
if turn <= tonumber(l[1] or '-inf') and called_at then
  one_less(room, lane, ticket, called_at, now)
  end_second_call(lane, ticket)
  keep_what_is_due()
end
return { 'left' }
