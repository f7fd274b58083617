-- claim: exchange a called ticket for a session, once.
--
-- KEYS[1]  room      hash    the room: limits, rate bucket, flags of ops
-- KEYS[2]  sessions  zset    session id -> end, ms since 1970
-- KEYS[3]  revoked   zset    session id -> until when it is remembered, ms since 1970
-- KEYS[4]  queue     zset    ticket id -> score
-- KEYS[5]  line      hash    the event: serving threshold, counts
-- KEYS[6]  calls     zset    batches of called tickets -> last turn
-- KEYS[7]  claimed   zset    ticket id -> turn, of tickets that came in, or were called once more
-- KEYS[8]  knocks    zset    ticket id -> turn, of called tickets that were told to come back
-- ARGV[1]  ticket    text    ticket id; it is the id of the session too
-- ARGV[2]  now       ms      0 = the clock of Redis
-- ARGV[3]  duration  ms      how long the session lasts
-- ARGV[4]  event     text    the event that counts now
-- ARGV[5]  ends      ms      its end; empty = not set
-- REPLY    "admitted", end   ms since 1970; the same when called again
-- REPLY    "waiting"         not called yet
-- REPLY    "later", in       ms: called, but the rate or the cap is used up for a moment, or the room is paused or sold
--                             out, or the upstream is down
-- REPLY    "lapsed"          called, but too long ago, or the session is over
-- REPLY    "ended"           the room admits nobody any more
-- REPLY    "unknown"         this ticket has no place: join first
-- REPLY    "unloaded"        the room has no state: tick first
-- @include shared/clock
-- @include shared/order
-- @include shared/phase
-- @include shared/bucket
-- @include shared/calls
-- @include shared/returns
-- @include shared/health
-- @include shared/inside
-- @include shared/lifetime
local room, sessions, revoked, queue = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local line, claimed, knocks = KEYS[5], KEYS[7], KEYS[8]
local lane = { line = line, calls = KEYS[6], knocks = knocks }
local MOMENT_MS = 5000 -- a session may end, or a pause, at any moment: ask again soon
local PATIENCE_MS = 30000 -- how much later than told somebody may come back
local ticket, now, duration, event, ends = ARGV[1], clock_ms(ARGV[2]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])

local r = redis.call('HMGET', room, 'generation', 'ended', 'rate_per_minute', 'total_active_users')
local l = redis.call('HMGET', line, 'serving', 'spin', 'lapsed_upto')
if not r[1] or not l[1] then
  return { 'unloaded' }
end
local held = tonumber(redis.call('ZSCORE', sessions, ticket))
if held and held > now then
  return { 'admitted', held }
end
local again = second_call(lane, ticket) -- of somebody who lapsed and is back: when they were called again
if redis.call('ZSCORE', revoked, ticket) or redis.call('ZSCORE', claimed, ticket) and not again then
  return { 'lapsed' }
end
if r[2] == event or (ends and now >= ends) then
  return { 'ended' }
end
local score = tonumber(redis.call('ZSCORE', queue, ticket))
if not score then
  return { 'unknown' }
end
local serving, spin = tonumber(l[1]), tonumber(l[2])
local turn = turn_of(score, spin)
if turn > serving then
  return { 'waiting' }
end
local called_at = turn > tonumber(l[3] or '-inf') and turn or again
if not called_at then
  return { 'lapsed' }
end
if held_as(room, event) then
  return { 'later', MOMENT_MS }
end
if is_shut(room) then
  return { 'later', MOMENT_MS }
end
local tokens = refilled(room, now)
local wait = tokens < WHOLE and next_token_ms(tokens, tonumber(r[3]))
  or inside(room, sessions, now) >= tonumber(r[4]) and MOMENT_MS
if wait then
  knock(room, lane, ticket, called_at, now + wait + PATIENCE_MS, now)
  end_with(knocks, room)
  return { 'later', wait }
end
keep_tokens(room, tokens - 1, now)
one_less(room, lane, ticket, called_at, now)
end_second_call(lane, ticket)
redis.call('ZADD', claimed, number_text(turn), ticket)
redis.call('ZADD', sessions, string.format('%d', now + duration), ticket)
redis.call('HINCRBY', line, 'admitted', 1)
end_with(claimed, room)
end_with(sessions, room)
return { 'admitted', now + duration }
