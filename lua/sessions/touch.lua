-- touch: renew a batch of sessions to the ends their passes carry.
--
-- A session that is missing is put back: whoever holds a valid pass was admitted, and Redis may have lost it.
--
-- KEYS[1]  sessions  zset  session id -> end, ms since 1970
-- KEYS[2]  revoked   zset  session id -> until when it is remembered, ms since 1970
-- KEYS[3]  room      hash  the room: seats that are held for sessions which Redis has lost
-- ARGV[1]  now       ms    0 = the clock of Redis
-- ARGV[2]  visits    text  JSON: [session id, end in ms, session id, end in ms, ...]
-- ARGV[3]  revoked_before  ms  the last time that the worker knows of when every pass was revoked
-- REPLY    "outdated"            there was a later one: nothing is renewed
-- REPLY    "touched", id, id, ...   those that are revoked, and so were not renewed
-- @include shared/clock
-- @include shared/inside
local sessions, revoked, room = KEYS[1], KEYS[2], KEYS[3]
local now, visits = clock_ms(ARGV[1]), cjson.decode(ARGV[2])

if tonumber(redis.call('HGET', room, 'revoked_before_ms') or 0) > tonumber(ARGV[3]) then
  return { 'outdated' }
end

local KEEP_MS = 2 * 24 * 3600 * 1000 -- longer than any session; a tick gives its own end

local reply = { 'touched' }
for i = 1, #visits, 2 do
  local id, ends = visits[i], visits[i + 1]
  if redis.call('ZSCORE', revoked, id) then
    reply[#reply + 1] = id
  elseif ends > now then
    if redis.call('ZADD', sessions, 'GT', string.format('%d', ends), id) == 1 then
      seen_again(room, now)
    end
  end
end
if redis.call('PTTL', sessions) == -1 then
  redis.call('PEXPIRE', sessions, KEEP_MS)
end
return reply
