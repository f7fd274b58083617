-- control: a change by ops, with who and why, written down with what was before.
--
-- KEYS[1]  room    hash    the room: limits, rate bucket, flags
-- KEYS[2]  audit   stream  every change
-- KEYS[3]  sessions zset   session id -> end, ms since 1970
-- KEYS[4]  line    hash    lane main: serving threshold, counts
-- KEYS[5]  calls   zset    lane main: batches of called tickets -> last turn
-- KEYS[6]  line    hash    lane priority
-- KEYS[7]  calls   zset    lane priority
-- KEYS[8]  line    hash    lane slow
-- KEYS[9]  calls   zset    lane slow
-- ARGV[1]  now     ms      0 = the clock of Redis
-- ARGV[2]  event   text    the event that counts now
-- ARGV[3]  kind    text    rate, cap, pause, resume, end, message, sold-out, close, open-all, revoke-all
-- ARGV[4]  value   text    the new rate, cap or message; of open-all how long, in ms
-- ARGV[5]  window  ms      how long a called ticket has to come in, from a resume on
-- ARGV[6]  who     text
-- ARGV[7]  why     text
-- ARGV[8]  id      text    of this change: sent again, it is made once
-- REPLY    "changed", before   the same when called again
-- REPLY    "unloaded"      the room has no state: tick first
-- @include shared/clock
-- @include shared/bucket
-- @include shared/calls
-- @include shared/audit
-- @include shared/health
local room, audit, sessions = KEYS[1], KEYS[2], KEYS[3]
local lanes = {
  { line = KEYS[4], calls = KEYS[5] }, { line = KEYS[6], calls = KEYS[7] }, { line = KEYS[8], calls = KEYS[9] },
}
local now, event, kind, value = clock_ms(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local window, who, why, id = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]

if redis.call('HEXISTS', room, 'generation') == 0 then
  return { 'unloaded' }
end
local last = redis.call('HMGET', room, 'last_change', 'last_before')
if last[1] == id then
  return { 'changed', last[2] }
end

local function flags()
  local held = redis.call('HMGET', room, 'paused', 'ended', 'closed', 'sold_out', 'open_until_ms')
  if held[3] == '1' then
    return 'closed'
  end
  if now < tonumber(held[5] or 0) then
    return 'open to all'
  end
  return held[2] == event and 'ended' or held[4] == event and 'sold-out' or held[1] == '1' and 'paused' or 'running'
end

local change = {}
function change.rate()
  local before = redis.call('HGET', room, 'full_rate')
  keep_tokens(room, refilled(room, now), now) -- what was earned so far, was earned at the old rate
  redis.call('HSET', room, 'rate_by_ops', value, 'full_rate', value, 'rate_per_minute', rate_in_force(room, value))
  return before
end
function change.cap()
  local before = redis.call('HGET', room, 'total_active_users')
  redis.call('HSET', room, 'cap_by_ops', value, 'total_active_users', value)
  return before
end
function change.message()
  local before = redis.call('HGET', room, 'message')
  redis.call('HSET', room, 'message', value)
  return before
end
function change.invite() -- codes were made: nothing changes before one is used
  return ''
end
function change.pause()
  local before = flags()
  redis.call('HSET', room, 'paused', '1')
  return before
end
function change.resume()
  local before = flags()
  if before ~= 'running' then
    keep_tokens(room, math.min(1, tonumber(redis.call('HGET', room, 'tokens'))), now)
    call_again(room, lanes, now, window)
  end
  redis.call('HDEL', room, 'paused', 'ended', 'sold_out', 'closed', 'open_until_ms')
  return before
end
change['end'] = function()
  local before = flags()
  redis.call('HSET', room, 'ended', event)
  return before
end
change['sold-out'] = function()
  local before = flags()
  redis.call('HSET', room, 'sold_out', event)
  return before
end
change.close = function() -- everybody is refused, with a pass or without, until a resume
  local before = flags()
  redis.call('HSET', room, 'closed', '1')
  return before
end
change['open-all'] = function() -- everybody comes in, whatever the limits say, until then or a resume
  local before = flags()
  redis.call('HSET', room, 'open_until_ms', string.format('%d', now + tonumber(value)))
  return before
end
change['revoke-all'] = function() -- passes issued up to now are worth nothing, and their seats are free
  local before = redis.call('ZCARD', sessions)
  redis.call('HSET', room, 'revoked_before_ms', string.format('%d', now))
  redis.call('HDEL', room, 'unseen', 'unseen_until_ms')
  redis.call('UNLINK', sessions)
  return tostring(before)
end

local before = change[kind]() or ''
redis.call('HINCRBY', room, 'revision', 1)
redis.call('HSET', room, 'last_change', id, 'last_before', before)
write_down(audit, now, { who = who, what = kind, value = value, before = before, why = why })
return { 'changed', before }
