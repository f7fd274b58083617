-- enter: let somebody straight in, if nobody waits, the rate has a token and a session is free.
--
-- KEYS[1]  room      hash    the room: limits, rate bucket, flags of ops
-- KEYS[2]  sessions  zset    session id -> end, ms since 1970
-- KEYS[3]  queue     zset    lane main: ticket id -> score
-- KEYS[4]  line      hash    lane main: serving threshold, counts
-- KEYS[5]  queue     zset    lane priority
-- KEYS[6]  line      hash    lane priority
-- KEYS[7]  queue     zset    lane slow
-- KEYS[8]  line      hash    lane slow
-- ARGV[1]  session   text    id for the new session
-- ARGV[2]  now       ms      0 = the clock of Redis
-- ARGV[3]  duration  ms      how long the session lasts
-- ARGV[4]  event     text    the event that counts now
-- ARGV[5]  prequeue  ms      its times; empty = not set
-- ARGV[6]  starts    ms
-- ARGV[7]  ends      ms
-- REPLY    "admitted", end   ms since 1970; the same when called again
-- REPLY    "wait", why       a phase, or "health", "line", "rate", "cap", "stock"
-- REPLY    "unloaded"        the room has no state: tick first
-- @include shared/clock
-- @include shared/order
-- @include shared/phase
-- @include shared/bucket
-- @include shared/health
-- @include shared/inside
-- @include shared/calls
-- @include shared/memory
-- @include shared/lane
-- @include shared/lifetime
local room, sessions, line = KEYS[1], KEYS[2], KEYS[4]
local lanes = {
  { name = 'main', queue = KEYS[3], line = KEYS[4] },
  { name = 'priority', queue = KEYS[5], line = KEYS[6] },
  { name = 'slow', queue = KEYS[7], line = KEYS[8] },
}
local session, now, duration, event = ARGV[1], clock_ms(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local times = { prequeue = ARGV[5], starts = ARGV[6], ends = ARGV[7] }

if redis.call('HEXISTS', room, 'generation') == 0 or redis.call('HEXISTS', line, 'serving') == 0 then
  return { 'unloaded' }
end
local held = tonumber(redis.call('ZSCORE', sessions, session))
if held and held > now then
  return { 'admitted', held }
end
local waiting, ready = 0, 0
for _, lane in ipairs(lanes) do
  if redis.call('EXISTS', lane.queue) == 1 then
    look_at(lane, { now = now, starts = tonumber(times.starts) or 0 })
    waiting, ready = waiting + lane.waiting, ready + lane.ready
  end
end
ready = ready + missing_from(room, now, waiting) -- who waited before Redis lost them comes first
local phase = phase_of(room, event, times, now, ready)
if phase ~= 'idle' and phase ~= 'open' then
  return { 'wait', phase }
end
if is_shut(room) then
  return { 'wait', 'health' }
end
if ready > 0 then
  return { 'wait', 'line' }
end
local r = redis.call('HMGET', room, 'expected', 'may_buy')
local expected, may_buy = tonumber(r[1] or 0), tonumber(r[2])
local tokens = refilled(room, now)
if tokens - expected < WHOLE then
  return { 'wait', 'rate' }
end
if inside(room, sessions, now) + expected >= tonumber(redis.call('HGET', room, 'total_active_users')) then
  return { 'wait', 'cap' }
end
if may_buy and may_buy < 1 then
  return { 'wait', 'stock' }
end
keep_tokens(room, tokens - 1, now)
redis.call('ZADD', sessions, string.format('%d', now + duration), session)
redis.call('HINCRBY', line, 'admitted', 1)
if may_buy then
  redis.call('HINCRBY', room, 'may_buy', -1)
end
end_with(sessions, room)
return { 'admitted', now + duration }
